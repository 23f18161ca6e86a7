//! An HTTP service of one thread a connection that serves a folder by ranges, with faults.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// HTTP 503.
    Busy,
    /// HTTP 429 with a Retry-After.
    Throttled,
    /// Half of the body, then the connection closes.
    Truncated,
    /// One byte of the body is another.
    Flipped,
    /// The second half of the body is zero.
    Zeroed,
    /// Nothing comes for a while.
    Stalled,
    /// Another range than asked for.
    WrongRange,
    /// The file is elsewhere.
    Moved,
    /// The body of another version of the file, as its ETag says.
    Changed,
    /// HTTP 403.
    Forbidden,
    /// The service refuses all connections for a while, open ones too.
    Down,
}

/// How long a service is down.
const DOWN: Duration = Duration::from_millis(40);

/// How long a stalled answer is held back.
pub(crate) const STALL: Duration = Duration::from_millis(900);

/// A JSON answer for a path.
pub(crate) type Answers = BTreeMap<String, Vec<u8>>;

pub(crate) struct Service {
    pub(crate) url: String,
    state: Arc<State>,
}

/// Files that a fault befalls in every answer, by a part of their path.
pub(crate) type Cursed = String;

struct State {
    root: PathBuf,
    fault: Fault,
    permille: u64,
    /// Draws the answers that go wrong.
    seed: u64,
    cursed: Option<Cursed>,
    address: SocketAddr,
    down: AtomicBool,
    requests: AtomicU64,
    faults: AtomicU64,
    log: Mutex<Vec<String>>,
    /// Answers to POST, by path, one after the other.
    answers: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
    bodies: Mutex<Vec<String>>,
}

impl Service {
    /// Serves a folder; of a thousand answers about so many go wrong.
    pub(crate) fn new(root: impl Into<PathBuf>, fault: Fault, permille: u64) -> Self {
        Self::seeded(root, fault, permille, 0)
    }

    /// As [`Service::new`], with other answers going wrong for another seed.
    pub(crate) fn seeded(root: impl Into<PathBuf>, fault: Fault, permille: u64, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::of(listener, root.into(), (fault, permille, seed), None)
    }

    /// A service on which all is well but the files whose path holds this.
    pub(crate) fn cursed(root: impl Into<PathBuf>, fault: Fault, files: impl Into<Cursed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::of(listener, root.into(), (fault, 0, 0), Some(files.into()))
    }

    fn of(
        listener: TcpListener,
        root: PathBuf,
        (fault, permille, seed): (Fault, u64, u64),
        cursed: Option<Cursed>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            root,
            fault,
            permille,
            seed,
            cursed,
            address,
            down: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            log: Mutex::default(),
            answers: Mutex::default(),
            bodies: Mutex::default(),
        });
        let shared = state.clone();
        std::thread::spawn(move || shared.listen(listener));
        Self { url: format!("http://{address}"), state }
    }

    /// Is gone for a while.
    pub(crate) fn rest(&self) {
        self.state.rest();
    }

    /// Gives these answers, in turn, to POSTs to a path.
    pub(crate) fn answer(&self, path: &str, answers: Vec<Vec<u8>>) {
        self.state.answers.lock().unwrap().insert(path.into(), answers);
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.state.bodies.lock().unwrap().clone()
    }

    pub(crate) fn faults(&self) -> u64 {
        self.state.faults.load(Ordering::Relaxed)
    }

    /// Every request as `path range`.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.log.lock().unwrap().clone()
    }
}

impl State {
    /// Leaves the door for a while.
    fn rest(&self) {
        self.down.store(true, Ordering::SeqCst);
        // Wakes the one at the door, who goes.
        let _ = TcpStream::connect(self.address);
    }

    /// Takes connections; while it is down there is nobody at the door.
    fn listen(self: Arc<Self>, mut listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept() else { return };
            if self.down.load(Ordering::SeqCst) {
                drop((stream, listener));
                std::thread::sleep(DOWN);
                listener = bind_again(self.address);
                self.down.store(false, Ordering::SeqCst);
                continue;
            }
            let shared = self.clone();
            std::thread::spawn(move || shared.serve(stream));
        }
    }

    fn serve(&self, stream: TcpStream) {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        while let Some((method, path, range, body)) = read_request(&mut reader) {
            if self.down.load(Ordering::SeqCst) {
                return;
            }
            let going_on = if method == "POST" {
                self.post(&mut writer, &path, &body)
            } else {
                self.get(&mut writer, &path, range)
            };
            if going_on.is_none() {
                return;
            }
        }
    }

    fn post(&self, writer: &mut TcpStream, path: &str, body: &[u8]) -> Option<()> {
        self.bodies.lock().unwrap().push(String::from_utf8_lossy(body).into());
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            let list = answers.get_mut(path).filter(|list| !list.is_empty());
            list.map(|list| list.remove(0))
        };
        let status = if answer.is_some() { "200 OK" } else { "404 Not Found" };
        send(writer, status, &[], &answer.unwrap_or_default())
    }

    /// What goes wrong with this answer.
    fn draw(&self, path: &str, moved: bool) -> Fault {
        let turn = self.requests.fetch_add(1, Ordering::Relaxed) + (self.seed << 20);
        let drawn = (turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 1000;
        let cursed = self.cursed.as_ref().is_some_and(|part| path.contains(part));
        if moved || !(cursed || drawn < self.permille) {
            return Fault::None;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.fault
    }

    fn get(&self, writer: &mut TcpStream, path: &str, range: Option<(u64, u64)>) -> Option<()> {
        let moved = path.starts_with(MOVED);
        let path = path.strip_prefix(MOVED).unwrap_or(path);
        let Ok(whole) = fs::read(self.root.join(path.trim_start_matches('/'))) else {
            return send(writer, "404 Not Found", &[], b"");
        };
        let Some((start, end)) = range else { return send(writer, "200 OK", &[], &whole) };
        self.log.lock().unwrap().push(format!("{path} {start}-{end}"));
        let total = whole.len() as u64;
        if start >= total {
            return send(writer, "416 Range Not Satisfiable", &[], b"");
        }
        let end = (end + 1).min(total);
        let mut etag = "ETag: \"one\"".to_string();
        let mut body = whole[start as usize..end as usize].to_vec();
        let fault = self.draw(path, moved);
        let mut stated = format!("Content-Range: bytes {start}-{}/{total}", end - 1);
        let half = body.len() / 2;
        match fault {
            Fault::None => {}
            Fault::Busy => return send(writer, "503 Service Unavailable", &[], b""),
            Fault::Forbidden => return send(writer, "403 Forbidden", &[], b""),
            Fault::Throttled => {
                return send(writer, "429 Too Many Requests", &["Retry-After: 0".into()], b"");
            }
            Fault::Truncated => {
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\n{stated}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                writer.write_all(head.as_bytes()).ok()?;
                writer.write_all(&body[..half]).ok()?;
                writer.shutdown(std::net::Shutdown::Both).ok()?;
                return None;
            }
            Fault::Flipped => body[half] ^= 0x55,
            Fault::Zeroed => body[half..].fill(0),
            Fault::Stalled => std::thread::sleep(STALL),
            Fault::WrongRange => {
                stated = format!("Content-Range: bytes {}-{}/{total}", start + 1, end);
            }
            Fault::Moved => {
                let place = format!("Location: {MOVED}{path}");
                return send(writer, "307 Temporary Redirect", &[place], b"");
            }
            Fault::Changed => {
                body.fill(1);
                etag = "ETag: \"two\"".to_string();
            }
            Fault::Down => {
                self.rest();
                return None;
            }
        }
        send(writer, "206 Partial Content", &[stated, etag], &body)
    }
}

/// Listens again where one has listened; another test may have been lent the port for a while.
pub(crate) fn bind_again(address: SocketAddr) -> TcpListener {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if tries == 500 => panic!("{address}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
        tries += 1;
    }
}

/// Where files are that are elsewhere.
const MOVED: &str = "/moved";

fn send(writer: &mut TcpStream, status: &str, headers: &[String], body: &[u8]) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    writer.write_all(head.as_bytes()).ok()?;
    writer.write_all(body).ok()
}

type Request = (String, String, Option<(u64, u64)>, Vec<u8>);

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
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
    Some((method, path, range, body))
}
