//! How much one host is asked at a time.
//!
//! Nothing holds requests back until a host says it has too much: HTTP 429 or 503, or no answer in time.
//! Then half of what was in flight is allowed, and one more for every so many good answers, until as much
//! is in flight as before (additive increase, multiplicative decrease, as in TCP). A host that says when
//! to come back is left alone until then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Good answers for one more request at a time: so a twentieth of random faults still leaves twenty at a
/// time, where a host that is truly full soon has few.
const GOOD_ANSWERS: usize = 2;
/// A host that gives nothing but faults for this long is waited for, which is worth saying.
const WORTH_SAYING: Duration = Duration::from_secs(2);

/// One host of a run.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// The most that may be; at first all.
    limit: usize,
    /// The most that ever were.
    peak: usize,
    good: usize,
    /// Counts the cuts: what was sent before a cut does not cut again.
    cuts: u64,
    left_alone_until: Option<Instant>,
    /// Since when there was no good answer, and the last fault.
    failing: Option<(Instant, String)>,
}

/// Leave to send one request.
#[derive(Debug)]
pub(super) struct Permit {
    host: Arc<Host>,
    cuts: u64,
}

impl Host {
    pub(super) fn new(name: String) -> Self {
        let state = State {
            in_flight: 0,
            limit: usize::MAX,
            peak: 0,
            good: 0,
            cuts: 0,
            left_alone_until: None,
            failing: None,
        };
        Self { name, state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more request may be sent.
    pub(super) async fn permit(self: &Arc<Self>) -> Permit {
        loop {
            let wait = {
                let mut state = self.state();
                let now = Instant::now();
                let pause =
                    state.left_alone_until.and_then(|until| until.checked_duration_since(now));
                if pause.is_none() && state.in_flight < state.limit {
                    state.in_flight += 1;
                    state.peak = state.peak.max(state.in_flight);
                    return Permit { host: self.clone(), cuts: state.cuts };
                }
                pause
            };
            match wait {
                Some(pause) => tokio::time::sleep(pause).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// What the host is waited for, if it gives nothing but faults.
    pub(super) fn waited_for(&self) -> Option<(Duration, String)> {
        let state = self.state();
        let (since, reason) = state.failing.as_ref()?;
        let elapsed = since.elapsed();
        (elapsed >= WORTH_SAYING).then(|| (elapsed, format!("{}: {reason}", self.name)))
    }

    #[cfg(test)]
    fn limit(&self) -> usize {
        self.state().limit
    }
}

impl Permit {
    /// A whole answer came.
    pub(super) fn good(self) {
        let mut state = self.host.state();
        state.failing = None;
        if state.limit == usize::MAX {
            return;
        }
        state.good += 1;
        if state.good >= GOOD_ANSWERS {
            state.good = 0;
            state.limit += 1;
            if state.limit >= state.peak {
                state.limit = usize::MAX;
            }
            drop(state);
            self.host.changed.notify_one();
        }
    }

    /// No answer came, or a bad one; `overload` if the host has too much, with when to come back.
    pub(super) fn bad(self, reason: &str, overload: bool, after: Option<Duration>) {
        let mut state = self.host.state();
        match &mut state.failing {
            Some((_, last)) => *last = reason.into(),
            none => *none = Some((Instant::now(), reason.into())),
        }
        if !overload {
            return;
        }
        if self.cuts == state.cuts {
            state.cuts += 1;
            state.limit = (state.in_flight / 2).max(1);
            state.good = 0;
        }
        if let Some(after) = after {
            let until = Instant::now() + after;
            state.left_alone_until = state.left_alone_until.max(Some(until));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.host.state().in_flight -= 1;
        self.host.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn permits(host: &Arc<Host>, count: usize) -> Vec<Permit> {
        let mut permits = Vec::new();
        for _ in 0..count {
            permits.push(host.permit().await);
        }
        permits
    }

    #[tokio::test]
    async fn a_busy_host_is_asked_half_as_much_once_and_then_more_and_more() {
        let host = Arc::new(Host::new("h".into()));
        let all = permits(&host, 16).await;
        assert_eq!(host.limit(), usize::MAX, "nothing holds back before a fault");
        for permit in all {
            permit.bad("HTTP 503", true, None);
        }
        assert_eq!(host.limit(), 8, "sixteen faults of one moment are one");
        host.permit().await.bad("HTTP 503", true, None);
        assert_eq!(host.limit(), 1, "a fault of one alone");
        for good in 1..=15 * GOOD_ANSWERS {
            host.permit().await.good();
            let steps = 1 + good / GOOD_ANSWERS;
            assert_eq!(host.limit(), if steps < 16 { steps } else { usize::MAX });
        }
    }

    #[tokio::test]
    async fn over_the_limit_one_waits_for_a_permit_to_come_back() {
        let host = Arc::new(Host::new("h".into()));
        let mut held = permits(&host, 4).await;
        held.pop().unwrap().bad("HTTP 429", true, None);
        let waiting = tokio::spawn({
            let host = host.clone();
            async move { host.permit().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "three are in flight, two may be");
        held.truncate(1);
        let permit = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap();
        assert_eq!(permit.unwrap().cuts, 1);
    }

    #[tokio::test]
    async fn a_host_that_says_when_is_left_alone_until_then() {
        let host = Arc::new(Host::new("h".into()));
        host.permit().await.bad("HTTP 429", true, Some(Duration::from_millis(60)));
        let asked = Instant::now();
        let _permit = host.permit().await;
        assert!(asked.elapsed() >= Duration::from_millis(50), "{:?}", asked.elapsed());
    }
}
