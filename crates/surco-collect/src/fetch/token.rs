//! Tokens for files that are refused without one.
//!
//! One token opens a container for an hour or so. All files of the container share it; the first that
//! needs it asks for it while the others wait, it is renewed before it ends, and once more when the files'
//! host refuses it. Nothing of it is ever shown.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{StatusCode, Url};

use super::{FetchError, Hub};
use crate::signing::Signing;

/// A token is renewed this long before its end, or after three quarters of its life if that is later.
const BEFORE_END: Duration = Duration::from_secs(300);
/// Life of a token that does not say when it ends.
const UNSTATED: Duration = Duration::from_secs(300);

/// The tokens of a run.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// By the URL that gives them.
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Known(Token),
    /// Nobody needs to ask again who waited while this was found out.
    Failed(Instant, FetchError),
}

/// A token, or that none is needed.
#[derive(Clone)]
pub(super) struct Token {
    query: Option<Arc<str>>,
    renew_at: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The URL with this token in place of any other.
    pub(super) fn sign(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if let Some(query) = &self.query {
            url.set_query(Some(query));
        }
        url
    }

    /// Whether it is time for another one.
    pub(super) fn has_ended(&self) -> bool {
        Instant::now() >= self.renew_at
    }

    fn is(&self, other: &Self) -> bool {
        self.query == other.query
    }

    fn of(token: &str, expiry: Option<&str>) -> Self {
        let left = expiry.and_then(|text| text.parse::<Timestamp>().ok()).map(|end| {
            Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
        });
        let left = left.unwrap_or(UNSTATED);
        let life = left.saturating_sub(BEFORE_END).max(left.mul_f64(0.75));
        let query = Some(token.trim_start_matches('?').into());
        Self { query, renew_at: Instant::now() + life }
    }

    fn unneeded() -> Self {
        Self { query: None, renew_at: Instant::now() + Duration::from_secs(3600) }
    }
}

impl Hub {
    /// The token for a file, if it needs one; another one than the one that was refused.
    pub(super) async fn token(
        &self,
        signing: &Signing,
        file: &Url,
        refused: Option<&Token>,
    ) -> Result<Option<Token>, FetchError> {
        let Some((account, container)) = signing.container(file) else { return Ok(None) };
        let came = Instant::now();
        let from = format!("{}/{account}/{container}", signing.endpoint);
        let slot = {
            let mut slots = self.tokens.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(from.clone()).or_default().clone()
        };
        let mut state = slot.state.lock().await;
        match &*state {
            State::Known(token) if !token.has_ended() && !refused.is_some_and(|r| r.is(token)) => {
                return Ok(Some(token.clone()));
            }
            State::Failed(at, error) if *at >= came => return Err(error.clone()),
            State::Known(_) | State::Failed(..) | State::Unknown => {}
        }
        match self.ask_token(&from).await {
            Ok(token) => {
                *state = State::Known(token.clone());
                Ok(Some(token))
            }
            Err(error) => {
                *state = State::Failed(Instant::now(), error.clone());
                Err(error)
            }
        }
    }

    async fn ask_token(&self, from: &str) -> Result<Token, FetchError> {
        let url = Url::parse(from).map_err(|e| FetchError::Gone(format!("{from}: {e}")))?;
        let down = |attempts, reason: &str| FetchError::Down {
            attempts,
            reason: format!("no token from {from}: {reason}"),
        };
        let (status, answer) = self.json(&url, None).await.map_err(|error| match error {
            FetchError::Down { attempts, reason } => down(attempts, &reason),
            FetchError::Gone(reason) => down(1, &reason),
            FetchError::Changed => FetchError::Changed,
        })?;
        match (status, answer["token"].as_str()) {
            (StatusCode::NOT_FOUND, _) => Ok(Token::unneeded()),
            (status, Some(token)) if status.is_success() => {
                Ok(Token::of(token, answer["msft:expiry"].as_str()))
            }
            (status, _) => Err(down(1, &format!("HTTP {status}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_takes_the_place_of_an_older_one_and_is_never_shown() {
        let token = Token::of("?sv=1&sig=secret", Some("2015-01-01T00:00:00Z"));
        let url = Url::parse("https://a.blob.core.windows.net/c/f.tif?sig=old").unwrap();
        assert_eq!(token.sign(&url).query(), Some("sv=1&sig=secret"));
        assert!(token.renew_at <= Instant::now(), "it has ended");
        assert_eq!(format!("{:?}", State::Known(token)), "Known(Token(…))");
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        let ending = |seconds: i64| {
            let end = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            let life = Token::of("t", Some(&end.to_string())).renew_at - Instant::now();
            life.as_secs_f64()
        };
        assert!((ending(3600) - 3300.0).abs() < 2.0, "five minutes before");
        assert!((ending(40) - 30.0).abs() < 2.0, "a short one after three quarters");
    }
}
