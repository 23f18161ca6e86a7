//! A service whose every answer a test decides.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "all of it is test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) post: bool,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

/// What is answered.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: value.to_string().into_bytes() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn code(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn with(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    /// The part of a file that was asked for.
    pub(crate) fn part(whole: &[u8], asked: &Asked) -> Self {
        let total = whole.len() as u64;
        let Some((start, end)) = asked.range else {
            return Self { status: 200, headers: Vec::new(), body: whole.to_vec() };
        };
        if start >= total {
            return Self::status(416);
        }
        let end = (end + 1).min(total);
        let body = whole[start as usize..end as usize].to_vec();
        let range = format!("Content-Range: bytes {start}-{}/{total}", end - 1);
        Self { status: 206, headers: vec![range], body }
    }
}

pub(crate) struct Imitation {
    pub(crate) url: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

impl Imitation {
    pub(crate) fn new(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), handler)
    }

    pub(crate) fn on(
        listener: TcpListener,
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (shared, handler): (_, Arc<Handler>) = (log.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handler) = (shared.clone(), handler.clone());
                std::thread::spawn(move || serve(stream, &log, &*handler));
            }
        });
        Self { url, log }
    }

    pub(crate) fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// How often a path that begins so was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.log().iter().filter(|asked| asked.path.starts_with(path)).count()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, handler: &Handler) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let asked = read(&mut reader)?;
        log.lock().unwrap().push(asked.clone());
        let Answer { status, headers, body } = handler(&asked);
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        for header in headers {
            head += &format!("{header}\r\n");
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        writer.write_all(&body).ok()?;
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (mut range, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|&n| n > 0)?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(text) = header.strip_prefix("range: bytes=") {
            let (start, end) = text.split_once('-')?;
            range = Some((start.parse().ok()?, end.parse().ok()?));
        }
        if let Some(text) = header.strip_prefix("content-length: ") {
            length = text.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        post: method == "POST",
        path: path.into(),
        query: query.into(),
        range,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        at: Instant::now(),
    })
}
