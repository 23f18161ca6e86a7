//! Ranges over HTTP, checked and asked for again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::{FetchError, Fetched};
use crate::CollectError;
use crate::run::Patience;

/// The longest that a service may make us wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One client for all requests, its patience, and what it carried.
#[derive(Debug)]
pub(crate) struct Hub {
    client: Client,
    patience: Patience,
    bytes: AtomicU64,
}

/// One try that failed.
enum Failed {
    /// For good.
    Final(FetchError),
    /// Perhaps not the next time; the service may have said when.
    Retry { reason: String, after: Option<Duration> },
}

impl Hub {
    pub(crate) fn new(patience: Patience) -> Result<Self, CollectError> {
        // Fails only if a provider is installed already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(patience.stall.min(Duration::from_secs(10)))
            .read_timeout(patience.stall)
            .user_agent(concat!("surco/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| CollectError::Runtime(std::io::Error::other(words(&e))))?;
        Ok(Self { client, patience, bytes: AtomicU64::new(0) })
    }

    /// Bytes read so far, over the network and from disk.
    pub(crate) fn carried(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The JSON text that a request gives, with its status; server faults are asked again.
    pub(crate) async fn text(
        &self,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), FetchError> {
        let mut tried = 0;
        loop {
            match self.try_text(request(&self.client)).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => self.wait(&mut tried, failed).await?,
            }
        }
    }

    async fn try_text(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Failed> {
        let response = request.send().await.map_err(|e| transport(&e))?;
        let status = retryable(&response)?;
        let body = response.bytes().await.map_err(|e| transport(&e))?;
        Ok((status, body.to_vec()))
    }

    /// Waits before the next attempt, unless there is none.
    async fn wait(&self, tried: &mut u32, failed: Failed) -> Result<(), FetchError> {
        *tried += 1;
        let (reason, after) = match failed {
            Failed::Final(error) => return Err(error),
            Failed::Retry { reason, after } => (reason, after),
        };
        if *tried >= self.patience.attempts {
            return Err(FetchError::Down { attempts: *tried, reason });
        }
        let backoff = self.patience.first_wait * 2_u32.pow((*tried - 1).min(10));
        let jittered = backoff.min(LONGEST_WAIT).mul_f64(0.5 + chance());
        tokio::time::sleep(after.unwrap_or(jittered).min(LONGEST_WAIT)).await;
        Ok(())
    }
}

/// A file behind HTTP.
#[derive(Debug)]
pub(crate) struct HttpFile {
    url: Url,
    hub: Arc<Hub>,
    /// ETag of the first whole answer that had one: later ones must agree.
    etag: OnceLock<String>,
}

impl HttpFile {
    pub(crate) fn new(url: Url, hub: Arc<Hub>) -> Self {
        Self { url, hub, etag: OnceLock::new() }
    }

    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Fetched, FetchError> {
        if range.is_empty() {
            return Ok(Fetched { bytes: Vec::new(), total: u64::MAX });
        }
        let mut tried = 0;
        loop {
            match self.try_read(&range).await {
                Ok(fetched) => return Ok(fetched),
                Err(failed) => self.hub.wait(&mut tried, failed).await?,
            }
        }
    }

    async fn try_read(&self, range: &Range<u64>) -> Result<Fetched, Failed> {
        let wanted = format!("bytes={}-{}", range.start, range.end - 1);
        let request = self.hub.client.get(self.url.clone()).header(RANGE, wanted);
        let response = request.send().await.map_err(|e| transport(&e))?;
        let gone = |reason: String| Err(Failed::Final(FetchError::Gone(reason)));
        let again = |reason: String| Err(Failed::Retry { reason, after: None });
        let status = retryable(&response)?;
        let announced = match status {
            StatusCode::PARTIAL_CONTENT => content_range(response.headers()),
            StatusCode::OK if range.start == 0 => {
                response.content_length().filter(|&n| n <= range.end).map(|n| (0..n, n))
            }
            StatusCode::OK => return gone("the server ignores byte ranges".into()),
            _ => return gone(format!("HTTP {status}")),
        };
        let Some((part, total)) = announced else {
            return match status {
                StatusCode::OK => gone("the server ignores byte ranges".into()),
                _ => again("no Content-Range".into()),
            };
        };
        let expected = range.start..range.end.min(total);
        if part != expected {
            return again(format!("Content-Range {part:?}, expected {expected:?}"));
        }
        let etag = response.headers().get(ETAG).and_then(|e| e.to_str().ok()).map(str::to_string);
        let body = response.bytes().await.map_err(|e| transport(&e))?;
        self.hub.count(body.len());
        let length = part.end - part.start;
        if body.len() as u64 != length {
            return again(format!("{} bytes, expected {length}", body.len()));
        }
        if let Some(etag) = etag
            && *self.etag.get_or_init(|| etag.clone()) != etag
        {
            return Err(Failed::Final(FetchError::Changed));
        }
        Ok(Fetched { bytes: body.to_vec(), total })
    }
}

/// The range and the whole length in `bytes 0-99/1234`.
fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (part, total) = text.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    Some((first..last.checked_add(1)?, total.trim().parse().ok()?))
}

/// The status, unless it is one that passes.
fn retryable(response: &Response) -> Result<StatusCode, Failed> {
    let status = response.status();
    if matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504) {
        let after = retry_after(response.headers());
        return Err(Failed::Retry { reason: format!("HTTP {status}"), after });
    }
    Ok(status)
}

/// Seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let when = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = when.duration_since(jiff::Timestamp::now());
    Some(wait.try_into().unwrap_or(Duration::ZERO))
}

fn transport(error: &reqwest::Error) -> Failed {
    Failed::Retry { reason: words(error), after: None }
}

/// What went wrong, without the URL (it may hold a signature).
fn words(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// A number from 0 to 1, another one each time: spreads the retries of many clients.
fn chance() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
