//! Files that are refused without a token, as on Planetary Computer.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod imitation;
mod world;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use surco_collect::{plan_with, run};
use surco_core::{Fault as Kind, Silent};

use imitation::{Answer, Asked, Imitation};
use world::scenes::{DATES, folder, item};
use world::{PATIENCE, assert_same, collect, files, options, request};

/// What no output may hold.
const SECRET: &str = "V3ryS3cret";

/// What the service does.
#[derive(Default)]
struct State {
    /// Tokens given so far.
    tokens: AtomicU64,
    /// The first of them that is still good. Time ends none: on a busy machine a read may come late.
    good_from: AtomicU64,
    /// Requests that came with a good one.
    read: AtomicU64,
    /// The token service refuses once, and files are refused for good.
    busy: AtomicBool,
    closed: AtomicBool,
}

/// Catalog at `/api/stac/v1`, files at `/account/container/…`; a token is good for so many reads.
fn planetary(state: Arc<State>, reads_a_token: u64, seconds: i64) -> Imitation {
    Imitation::new(move |asked: &Asked| {
        let path = asked.path.as_str();
        if path == "/api/sas/v1/token/account/container" {
            if !state.busy.swap(true, Ordering::Relaxed) {
                return Answer::status(429).with("Retry-After: 0");
            }
            let turn = state.tokens.fetch_add(1, Ordering::Relaxed) + 1;
            let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            let token = format!("sv=2024&sig={SECRET}{turn}");
            return Answer::json(&json!({ "msft:expiry": end.to_string(), "token": token }));
        }
        if let Some(file) = path.strip_prefix("/account/container/") {
            let turn = asked.query.strip_prefix(&format!("sv=2024&sig={SECRET}"));
            let turn = turn.and_then(|turn| turn.parse::<u64>().ok());
            let good = turn.is_some_and(|turn| turn >= state.good_from.load(Ordering::Relaxed));
            if !good || state.closed.load(Ordering::Relaxed) {
                return Answer::status(403);
            }
            if (state.read.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(reads_a_token) {
                // From now on only tokens that nobody has are good.
                let given = state.tokens.load(Ordering::Relaxed);
                state.good_from.store(given + 1, Ordering::Relaxed);
            }
            return match fs::read(folder().join(file)) {
                Ok(whole) => Answer::part(&whole, asked),
                Err(_) => Answer::status(404),
            };
        }
        match path {
            "/api/stac/v1/collections" => {
                Answer::json(&json!({ "collections": [{ "id": "sentinel-2-l2a" }] }))
            }
            "/api/stac/v1/search" => {
                Answer::json(&json!({ "type": "FeatureCollection", "features": signed_items() }))
            }
            _ => Answer::status(404),
        }
    })
}

/// Items whose files lie on the service itself.
fn signed_items() -> Vec<Value> {
    let of = |date: usize| {
        let mut item = item(date);
        for asset in item["assets"].as_object_mut().unwrap().values_mut() {
            let href = asset["href"].as_str().unwrap().trim_start_matches("./");
            asset["href"] = format!("/account/container/{href}").into();
        }
        item
    };
    (0..DATES).map(of).collect()
}

#[test]
fn signed_files_give_the_same_store_though_tokens_end_while_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let plain = folder().join("items.json");
    collect(plain.to_str().unwrap(), &dir.path().join("plain")).unwrap();
    for (reads, seconds) in [(150, 3600), (u64::MAX, 1)] {
        let state = Arc::new(State::default());
        let service = planetary(state.clone(), reads, seconds);
        let store = dir.path().join(format!("{reads}"));
        let summary = collect(&format!("{}/api/stac/v1", service.url), &store).unwrap();
        assert_eq!(summary.holes, []);
        assert_same(&store, &dir.path().join("plain"));
        let (asked, read) = (service.count("/api/sas"), state.read.load(Ordering::Relaxed));
        assert!(read > 600, "{read} reads");
        if reads == 150 {
            // One refusal, one token at first, and one for each that ended: all who need it share it.
            assert!((3..=2 + read as usize / 150).contains(&asked), "{asked} for {read} reads");
        } else {
            assert!(asked > 2, "tokens of a second are renewed before they end");
            assert_eq!(service.log().len() - asked - 2, read as usize, "none is refused");
        }
    }
}

#[test]
fn files_that_stay_refused_are_holes_and_no_secret_is_told() {
    let state = Arc::new(State::default());
    state.closed.store(true, Ordering::Relaxed);
    let service = planetary(state, u64::MAX, 3600);
    let dir = tempfile::tempdir().unwrap();
    let asked = request(&format!("{}/api/stac/v1", service.url));
    let plan = plan_with(&asked, PATIENCE, &Silent).unwrap();
    let summary = run(&plan, &options(dir.path()), &Silent).unwrap();
    assert!(!summary.holes.is_empty());
    assert!(summary.holes.iter().all(|h| h.hole.reason == "HTTP 403 Forbidden"));
    assert!(service.log().iter().any(|asked| asked.query.contains(SECRET)), "it was used");
    let told = format!("{plan:?} {summary:?} {}", serde_json::to_string(&summary).unwrap());
    assert!(!told.contains(SECRET), "{told}");
    for (key, bytes) in files(dir.path()) {
        assert!(!bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "{key}");
    }
}

#[test]
fn a_token_service_that_fails_is_named() {
    let service = Imitation::new(|asked: &Asked| match asked.path.as_str() {
        "/api/stac/v1/search" => {
            Answer::json(&json!({ "type": "FeatureCollection", "features": signed_items() }))
        }
        "/api/sas/v1/token/account/container" => Answer::status(503),
        _ => Answer::status(404),
    });
    let dir = tempfile::tempdir().unwrap();
    let error = collect(&format!("{}/api/stac/v1", service.url), dir.path()).unwrap_err();
    assert_eq!(error.fault(), Kind::Network);
    let reason =
        format!("no token from {}/api/sas/v1/token/account/container: HTTP 503", service.url);
    assert!(error.to_string().contains(&reason), "{error}");
    let asked = service.count("/api/sas");
    assert!(asked <= 2 * PATIENCE.attempts as usize, "{asked}: who waited does not ask again");
}
