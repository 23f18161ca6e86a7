//! Serves a folder with an `items.json` on this machine until it is ended: `serve_archive DIR [PORT]`.
#![allow(clippy::print_stdout)]

use surco_serve::{ServeError, serve_archive};

fn main() -> Result<(), ServeError> {
    let args: Vec<String> = std::env::args().collect();
    let dir = args.get(1).map_or(".", String::as_str);
    let port = args.get(2).and_then(|port| port.parse().ok()).unwrap_or(0);
    let server = serve_archive(dir, ([127, 0, 0, 1], port).into())?;
    println!("{}", server.url);
    loop {
        std::thread::park();
    }
}
