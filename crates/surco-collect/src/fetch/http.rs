//! Ranges over HTTP, checked and asked for again.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, RANGE};
use reqwest::{Response, StatusCode, Url};

use super::hub::{Failed, Tried, retryable};
use super::token::Token;
use super::{FetchError, Fetched, Hub};
use crate::href::Remote;

/// A file behind HTTP.
pub(crate) struct HttpFile {
    place: Remote,
    hub: Arc<Hub>,
    /// ETag of the first whole answer that had one: later ones must agree.
    etag: OnceLock<String>,
}

impl fmt::Debug for HttpFile {
    /// Without its query, which may hold a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)
    }
}

impl HttpFile {
    pub(crate) fn new(place: Remote, hub: Arc<Hub>) -> Self {
        Self { place, hub, etag: OnceLock::new() }
    }

    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Fetched, FetchError> {
        if range.is_empty() {
            return Ok(Fetched { bytes: Vec::new(), total: u64::MAX });
        }
        let plain = self.place.url().map_err(FetchError::Gone)?;
        let mut tried = Tried::default();
        let (mut token, mut renewed) = (self.token(&plain, None).await?, false);
        loop {
            // A token may end while a request waits for its turn.
            if let Some(old) = &token
                && old.has_ended()
            {
                token = self.token(&plain, None).await?;
            }
            let url = token.as_ref().map_or_else(|| plain.clone(), |token| token.sign(&plain));
            let failed = match self.hub.attempt(&url, self.try_read(&url, &range)).await {
                Ok(fetched) => return Ok(fetched),
                Err(failed) => failed,
            };
            match (&failed, &token) {
                (Failed::Denied(_), Some(refused)) if !renewed => {
                    renewed = true;
                    token = self.token(&plain, Some(refused)).await?;
                }
                _ => self.hub.wait(&mut tried, failed).await?,
            }
        }
    }

    async fn token(
        &self,
        plain: &Url,
        refused: Option<&Token>,
    ) -> Result<Option<Token>, FetchError> {
        match self.place.signing() {
            // A signature that came with the catalog is used until it is refused.
            Some(signing) => self.hub.token(signing, plain, refused).await,
            None => Ok(None),
        }
    }

    async fn try_read(&self, url: &Url, range: &Range<u64>) -> Result<Fetched, Failed> {
        let wanted = format!("bytes={}-{}", range.start, range.end - 1);
        let request = self.hub.client.get(url.clone()).header(RANGE, wanted);
        let response = request.send().await.map_err(|e| Failed::transport(&e))?;
        let gone = |reason: String| Err(Failed::Final(FetchError::Gone(reason)));
        let again = |reason: String| Err(Failed::again(reason));
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
        let bytes = whole_body(response, (part.end - part.start) as usize).await?;
        self.hub.count(bytes.len());
        if let Some(etag) = etag
            && *self.etag.get_or_init(|| etag.clone()) != etag
        {
            return Err(Failed::Final(FetchError::Changed));
        }
        Ok(Fetched { bytes, total })
    }
}

/// The body of an answer, which must be as long as it was announced; more is not even read.
async fn whole_body(mut response: Response, length: usize) -> Result<Vec<u8>, Failed> {
    let cut = |got: usize| Failed::cut(format!("truncated: {got} of {length} bytes came"));
    let mut bytes = Vec::with_capacity(length);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= length => {
                bytes.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => return Err(Failed::again(format!("more than {length} bytes came"))),
            Ok(None) if bytes.len() == length => return Ok(bytes),
            Ok(None) => return Err(cut(bytes.len())),
            Err(error) if error.is_timeout() => return Err(Failed::transport(&error)),
            Err(_) => return Err(cut(bytes.len())),
        }
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
