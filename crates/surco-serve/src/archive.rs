//! The archive: one catalog file and its rasters behind HTTP on this machine.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use surco_core::Fault;
use tokio::sync::oneshot;
use tower_http::services::ServeDir;

/// Items on a page if the client names no limit, and at most.
const PAGE_ITEMS: usize = 10;
const MOST_ITEMS: usize = 1000;

/// Why an archive could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Only this machine may be served.
    #[error(
        "{0} is no loopback address: the archive is served to this machine only, use 127.0.0.1:0"
    )]
    NotLoopback(SocketAddr),
    /// The catalog file cannot be used.
    #[error("cannot serve {path}: {reason}")]
    Catalog {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is taken or the system refuses.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    /// The kind of fault, which decides the exit code.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotLoopback(_) => Fault::Usage,
            Self::Catalog { .. } => Fault::Input,
            Self::Listen { .. } => Fault::Failed,
        }
    }
}

/// A running archive; dropping it ends it.
#[derive(Debug)]
pub struct ArchiveServer {
    /// Root of the STAC API, for example `http://127.0.0.1:41234`.
    pub url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ArchiveServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(()); // The server has ended already if nobody listens.
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves `dir/items.json` as a STAC API and the files of `dir` by ranges, on a thread of its own.
///
/// Answers `/`, `/collections`, `/search` (GET and POST, with `bbox`, `datetime`, `collections`, `limit` and
/// pages chained by `next`) and `/files/…`. Port 0 takes a free one.
///
/// # Errors
/// [`ServeError::NotLoopback`] for an address others could reach, [`ServeError::Catalog`] if `items.json`
/// is missing or no FeatureCollection, [`ServeError::Listen`] if the address is taken.
pub fn serve_archive(
    dir: impl AsRef<Path>,
    address: SocketAddr,
) -> Result<ArchiveServer, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let dir = dir.as_ref();
    let path = dir.join("items.json");
    let bad = |reason: String| ServeError::Catalog { path: path.clone(), reason };
    let text = std::fs::read(&path).map_err(|e| bad(e.to_string()))?;
    let mut catalog: Value = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let features = catalog.get_mut("features").and_then(Value::as_array_mut);
    let mut items = std::mem::take(features.ok_or_else(|| bad("no `features`".into()))?);

    let refused = |source| ServeError::Listen { address, source };
    let socket = std::net::TcpListener::bind(address).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    let url = format!("http://{}", socket.local_addr().map_err(refused)?);
    for item in &mut items {
        absolute(item, &url);
    }
    let archive = Arc::new(Archive { url: url.clone(), items });
    let app = Router::new()
        .route("/", get(landing))
        .route("/collections", get(collections))
        .route("/search", get(search_get).post(search_post))
        .nest_service("/files", ServeDir::new(dir))
        .with_state(archive);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("surco-archive")
        .enable_all()
        .build()
        .map_err(refused)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
            // Not a graceful shutdown: that would wait for clients that keep connections open.
            tokio::select! {
                _ = axum::serve(listener, app) => {}
                _ = stopped => {}
            }
        });
        runtime.shutdown_background();
    });
    Ok(ArchiveServer { url, stop: Some(stop), thread: Some(thread) })
}

struct Archive {
    url: String,
    items: Vec<Value>,
}

/// Makes relative asset hrefs absolute.
fn absolute(item: &mut Value, url: &str) {
    let assets = item.get_mut("assets").and_then(Value::as_object_mut);
    for asset in assets.into_iter().flat_map(|a| a.values_mut()) {
        let Some(href) = asset.get("href").and_then(Value::as_str) else { continue };
        if !href.contains("://") {
            asset["href"] = format!("{url}/files/{}", href.trim_start_matches("./")).into();
        }
    }
}

async fn landing(State(archive): State<Arc<Archive>>) -> Json<Value> {
    let url = &archive.url;
    Json(json!({
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "surco-archive",
        "description": "An archive on this machine",
        "conformsTo": [
            "https://api.stacspec.org/v1.0.0/core",
            "https://api.stacspec.org/v1.0.0/item-search",
        ],
        "links": [
            { "rel": "self", "href": url },
            { "rel": "root", "href": url },
            { "rel": "data", "href": format!("{url}/collections") },
            { "rel": "search", "href": format!("{url}/search"), "method": "GET" },
            { "rel": "search", "href": format!("{url}/search"), "method": "POST" },
        ],
    }))
}

async fn collections(State(archive): State<Arc<Archive>>) -> Json<Value> {
    let ids: BTreeSet<&str> =
        archive.items.iter().filter_map(|item| item["collection"].as_str()).collect();
    let collection = |id| json!({ "type": "Collection", "stac_version": "1.0.0", "id": id });
    let collections: Vec<Value> = ids.into_iter().map(collection).collect();
    Json(json!({ "collections": collections, "links": [] }))
}

/// A search, as GET parameters.
#[derive(Deserialize)]
struct Parameters {
    bbox: Option<String>,
    datetime: Option<String>,
    collections: Option<String>,
    limit: Option<usize>,
    token: Option<usize>,
}

/// A search, as a POST body.
#[derive(Clone, Default, Deserialize)]
struct Search {
    bbox: Option<Vec<f64>>,
    datetime: Option<String>,
    collections: Option<Vec<String>>,
    limit: Option<usize>,
    token: Option<usize>,
}

async fn search_get(
    State(archive): State<Arc<Archive>>,
    Query(asked): Query<Parameters>,
) -> Json<Value> {
    let list = |text: &str| text.split(',').map(str::to_string).collect::<Vec<_>>();
    let search = Search {
        bbox: asked
            .bbox
            .as_deref()
            .map(|b| list(b).iter().filter_map(|v| v.parse().ok()).collect()),
        datetime: asked.datetime.clone(),
        collections: asked.collections.as_deref().map(list),
        limit: asked.limit,
        token: asked.token,
    };
    Json(archive.page(&search, |token| {
        let mut href = format!("{}/search?token={token}", archive.url);
        let named = [
            ("bbox", asked.bbox.clone()),
            ("datetime", asked.datetime.clone()),
            ("collections", asked.collections.clone()),
            ("limit", asked.limit.map(|n| n.to_string())),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                href.push_str(&format!("&{name}={}", value.replace('+', "%2B")));
            }
        }
        json!({ "rel": "next", "method": "GET", "href": href })
    }))
}

async fn search_post(State(archive): State<Arc<Archive>>, Json(body): Json<Value>) -> Json<Value> {
    let search = Search::deserialize(&body).unwrap_or_default();
    // As Earth Search does it: only what changes, to be merged into the last body.
    Json(archive.page(&search, |token| {
        json!({
            "rel": "next",
            "method": "POST",
            "href": format!("{}/search", archive.url),
            "merge": true,
            "body": { "token": token },
        })
    }))
}

impl Archive {
    fn page(&self, search: &Search, next: impl Fn(usize) -> Value) -> Value {
        let found: Vec<&Value> = self.items.iter().filter(|item| search.finds(item)).collect();
        let start = search.token.unwrap_or(0).min(found.len());
        let limit = search.limit.unwrap_or(PAGE_ITEMS).clamp(1, MOST_ITEMS);
        let end = (start + limit).min(found.len());
        let links: Vec<Value> = (end < found.len()).then(|| next(end)).into_iter().collect();
        json!({
            "type": "FeatureCollection",
            "features": found[start..end],
            "links": links,
            "numberMatched": found.len(),
            "numberReturned": end - start,
        })
    }
}

impl Search {
    fn finds(&self, item: &Value) -> bool {
        let collection = item["collection"].as_str();
        let asked = self.collections.as_ref().filter(|list| !list.is_empty());
        let wanted = asked.is_none_or(|list| list.iter().any(|c| Some(c.as_str()) == collection));
        wanted && self.meets(&item["bbox"]) && self.spans(&item["properties"]["datetime"])
    }

    fn meets(&self, bbox: &Value) -> bool {
        let own: Vec<f64> =
            bbox.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        match (self.bbox.as_deref(), &own[..]) {
            (Some(&[west, south, east, north]), &[w, s, e, n]) => {
                west <= e && w <= east && south <= n && s <= north
            }
            _ => true,
        }
    }

    /// Times as RFC 3339 in UTC sort as text, up to the fraction of a second.
    fn spans(&self, datetime: &Value) -> bool {
        let (Some(asked), Some(own)) = (self.datetime.as_deref(), datetime.as_str()) else {
            return true;
        };
        let (from, to) = asked.split_once('/').unwrap_or((asked, asked));
        let cut = |text: &str| text.get(..19).unwrap_or(text).to_string();
        let open = |text: &str| text.is_empty() || text == "..";
        (open(from) || cut(own) >= cut(from)) && (open(to) || cut(own) <= cut(to))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// The status line and body of one request.
    fn ask(url: &str, request: &str) -> (String, Vec<u8>) {
        let mut socket = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let text = format!("{request}\r\nConnection: close\r\n\r\n");
        let text = match request.split_once("\n\n") {
            Some((head, body)) => format!("{head}\r\nConnection: close\r\n\r\n{body}"),
            None => text,
        };
        socket.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head.lines().next().unwrap().into(), answer[end + 4..].to_vec())
    }

    fn post(url: &str, body: &Value) -> Value {
        let body = body.to_string();
        let head = "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\n\n{body}", body.len());
        serde_json::from_slice(&ask(url, &request).1).unwrap()
    }

    fn archive() -> (tempfile::TempDir, ArchiveServer) {
        let dir = tempfile::tempdir().unwrap();
        let item = |i: usize| {
            json!({
                "type": "Feature",
                "id": format!("scene-{i}"),
                "collection": "sentinel-2-c1-l2a",
                "bbox": [i, 0, i + 1, 1],
                "properties": { "datetime": format!("2023-05-{:02}T14:00:00.123Z", i + 1) },
                "assets": { "red": { "href": "./red.tif" } },
            })
        };
        let items: Vec<Value> = (0..25).map(item).collect();
        let catalog = json!({ "type": "FeatureCollection", "features": items });
        std::fs::write(dir.path().join("items.json"), catalog.to_string()).unwrap();
        std::fs::write(dir.path().join("red.tif"), b"0123456789").unwrap();
        let server = serve_archive(dir.path(), ([127, 0, 0, 1], 0).into()).unwrap();
        (dir, server)
    }

    #[test]
    fn pages_are_chained_and_filtered() {
        let (_dir, server) = archive();
        let first = post(&server.url, &json!({ "limit": 20 }));
        assert_eq!(first["features"].as_array().unwrap().len(), 20);
        let next = &first["links"][0];
        assert_eq!((&next["merge"], &next["body"]["token"]), (&json!(true), &json!(20)));
        let last = post(&server.url, &json!({ "limit": 20, "token": 20 }));
        assert_eq!(last["features"].as_array().unwrap().len(), 5);
        assert_eq!(last["links"], json!([]));
        let found = post(
            &server.url,
            &json!({
                "bbox": [2.5, 0.5, 6.5, 0.6],
                "datetime": "2023-05-04T00:00:00Z/2023-05-06T00:00:00Z",
                "collections": ["sentinel-2-c1-l2a"],
            }),
        );
        let ids: Vec<&str> = found["features"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["scene-3", "scene-4"]);
        let get = "GET /search?limit=10&bbox=0,0,30,1 HTTP/1.1\r\nHost: x";
        let page: Value = serde_json::from_slice(&ask(&server.url, get).1).unwrap();
        let next = page["links"][0]["href"].as_str().unwrap();
        assert!(next.ends_with("/search?token=10&bbox=0,0,30,1&limit=10"), "{next}");
    }

    #[test]
    fn files_are_read_by_ranges() {
        let (_dir, server) = archive();
        let range = "GET /files/red.tif HTTP/1.1\r\nHost: x\r\nRange: bytes=3-5";
        let (status, body) = ask(&server.url, range);
        assert_eq!((status.as_str(), &body[..]), ("HTTP/1.1 206 Partial Content", &b"345"[..]));
        let (status, _) = ask(&server.url, "GET /files/../Cargo.toml HTTP/1.1\r\nHost: x");
        assert!(status.contains("404"), "{status}");
    }

    #[test]
    fn only_this_machine_is_served() {
        let error = serve_archive(".", ([0, 0, 0, 0], 0).into()).unwrap_err();
        assert_eq!(error.fault(), Fault::Usage);
        assert!(error.to_string().starts_with("0.0.0.0:0 is no loopback address"), "{error}");
    }
}
