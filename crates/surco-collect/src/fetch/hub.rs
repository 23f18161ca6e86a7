//! One client for all requests: its patience, its hosts, its tokens, and what it carried.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use surco_core::Progress;

use super::FetchError;
use super::host::Host;
use super::token::Tokens;
use crate::CollectError;
use crate::run::Patience;

/// The longest wait of our own between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest that a service may make us wait.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// How often somebody looks whether to stop or to say something.
const LOOK: Duration = Duration::from_millis(100);
/// Seconds between two words about the same wait.
const SAY_EVERY_S: u64 = 2;

/// One client for all requests.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) client: Client,
    patience: Patience,
    bytes: AtomicU64,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    pub(super) tokens: Tokens,
    started: Instant,
    /// When something was said about waiting, in seconds since the start, plus one.
    said: AtomicU64,
}

/// One try that failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// For good.
    Final(FetchError),
    /// Not allowed: a token may help.
    Denied(StatusCode),
    /// Perhaps not the next time.
    Retry {
        reason: String,
        /// The host has too much.
        overload: bool,
        /// When it asked us to come back.
        after: Option<Duration>,
        /// The answer was good as far as it went.
        cut: bool,
    },
}

impl Failed {
    /// A fault of one answer.
    pub(super) fn again(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), overload: false, after: None, cut: false }
    }

    pub(super) fn transport(error: &reqwest::Error) -> Self {
        Self::Retry { reason: words(error), overload: error.is_timeout(), after: None, cut: false }
    }

    /// An answer that ended too early.
    pub(super) fn cut(reason: String) -> Self {
        Self::Retry { reason, overload: false, after: None, cut: true }
    }
}

/// How often something was tried and how long was waited for it.
#[derive(Debug, Default)]
pub(super) struct Tried {
    attempts: u32,
    waited: Duration,
    /// Attempts that brought the beginning of a good answer.
    cut: u32,
}

impl Hub {
    pub(crate) fn new(patience: Patience) -> Result<Self, CollectError> {
        // Fails only if a provider is installed already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .referer(false) // A redirected request must not tell its signature.
            .connect_timeout(patience.stall.min(Duration::from_secs(10)))
            .read_timeout(patience.stall)
            .user_agent(concat!("surco/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| CollectError::Runtime(std::io::Error::other(words(&e))))?;
        Ok(Self {
            client,
            patience,
            bytes: AtomicU64::new(0),
            hosts: Mutex::default(),
            tokens: Tokens::default(),
            started: Instant::now(),
            said: AtomicU64::new(0),
        })
    }

    /// Bytes read so far, over the network and from disk.
    pub(crate) fn carried(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The JSON that a URL gives, with its status; server faults are asked again. Of an answer that is no
    /// success and no JSON, only the status is given.
    pub(crate) async fn json(
        &self,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), FetchError> {
        let mut tried = Tried::default();
        loop {
            let request = match body {
                Some(body) => self.client.post(url.clone()).json(body),
                None => self.client.get(url.clone()),
            };
            match self.attempt(url, self.try_json(request)).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => self.wait(&mut tried, failed).await?,
            }
        }
    }

    async fn try_json(&self, request: RequestBuilder) -> Result<(StatusCode, Value), Failed> {
        let response = request.send().await.map_err(|e| Failed::transport(&e))?;
        let status = retryable(&response)?;
        let body = response.bytes().await.map_err(|e| Failed::transport(&e))?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok((status, value)),
            Err(_) if !status.is_success() => Ok((status, Value::Null)),
            Err(e) => Err(Failed::again(format!("its answer is no JSON: {e}"))),
        }
    }

    /// Sends one request when its host may be asked, and tells the host's keeper how it went.
    pub(super) async fn attempt<T>(
        &self,
        url: &Url,
        request: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let permit = self.host(url).permit().await;
        let outcome = request.await;
        match &outcome {
            Err(Failed::Retry { reason, overload, after, .. }) => {
                permit.bad(reason, *overload, after.map(|a| a.min(LONGEST_ASKED)));
            }
            Ok(_) | Err(Failed::Final(_) | Failed::Denied(_)) => permit.good(),
        }
        outcome
    }

    fn host(&self, url: &Url) -> Arc<Host> {
        let name = url.authority();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return host.clone();
        }
        let host = Arc::new(Host::new(name.to_string()));
        hosts.insert(name.to_string(), host.clone());
        host
    }

    /// Waits before the next attempt, unless there is none.
    ///
    /// Given up is only after so many attempts *and* half of the time that they would take: a service that
    /// throttles gently is not given up for its gentleness.
    pub(super) async fn wait(&self, tried: &mut Tried, failed: Failed) -> Result<(), FetchError> {
        tried.attempts += 1;
        let (reason, after) = match failed {
            Failed::Final(error) => return Err(error),
            Failed::Denied(status) => return Err(FetchError::Gone(format!("HTTP {status}"))),
            Failed::Retry { reason, after, cut, .. } => {
                tried.cut += u32::from(cut);
                (reason, after)
            }
        };
        let backoff = |attempt: u32| {
            (self.patience.first_wait * 2_u32.pow((attempt - 1).min(20))).min(LONGEST_WAIT)
        };
        let whole: Duration = (1..self.patience.attempts).map(backoff).sum();
        if tried.attempts >= self.patience.attempts && tried.waited * 2 >= whole {
            // A service that answers and always stops early has a broken file, and may have whole ones.
            return Err(match tried.cut == tried.attempts {
                true => FetchError::Gone(reason),
                false => FetchError::Down { attempts: tried.attempts, reason },
            });
        }
        let jittered = backoff(tried.attempts).mul_f64(0.5 + chance());
        // Those who were told the same moment come back one after the other.
        let asked =
            after.map(|a| a.min(LONGEST_ASKED) + self.patience.first_wait.mul_f64(chance()));
        let wait = asked.unwrap_or(jittered);
        tried.waited += wait;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Says which host is waited for, if one gives nothing but faults; to be called now and then.
    pub(crate) fn say_waiting(&self, progress: &dyn Progress) {
        let now = self.started.elapsed().as_secs() + 1;
        let said = self.said.load(Ordering::Relaxed);
        if said != 0 && now < said + SAY_EVERY_S {
            return;
        }
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, what)) = hosts.values().filter_map(|host| host.waited_for()).max() {
            self.said.store(now, Ordering::Relaxed);
            progress.report("waiting", since.as_secs(), 0, &what);
        }
    }

    /// Does something that needs the network, says what it waits for, and ends when the user asks to.
    pub(crate) async fn watched<T, E>(
        &self,
        progress: &dyn Progress,
        stopped: E,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut work = pin!(work);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = look.tick() => {
                    self.say_waiting(progress);
                    if progress.stopped() {
                        return Err(stopped);
                    }
                }
            }
        }
    }
}

/// The status, unless it is one that passes.
pub(super) fn retryable(response: &Response) -> Result<StatusCode, Failed> {
    let status = response.status();
    match status.as_u16() {
        401 | 403 => Err(Failed::Denied(status)),
        408 | 425 | 429 | 500 | 502 | 503 | 504 => Err(Failed::Retry {
            reason: format!("HTTP {status}"),
            overload: matches!(status.as_u16(), 408 | 429 | 503 | 504),
            after: retry_after(response.headers()),
            cut: false,
        }),
        _ => Ok(status),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_when_to_come_back_in_seconds_or_by_date() {
        let after = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO), "long ago");
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(40);
        let soon = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon);
        let wait = after(&soon.unwrap()).unwrap();
        assert!((38..=40).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(after("soon"), None);
    }

    /// Of the default patience, worked by hand: 0.5 + 1 + 2 + … + 32 + 60 s, of which jitter leaves at
    /// least half.
    #[test]
    fn a_dead_service_is_waited_for_a_minute_at_least() {
        let patience = Patience::default();
        let waits = (0..patience.attempts - 1)
            .map(|n| (patience.first_wait.as_secs_f64() * f64::from(2_u32.pow(n))).min(60.0));
        assert!(waits.sum::<f64>() / 2.0 >= 60.0);
    }
}
