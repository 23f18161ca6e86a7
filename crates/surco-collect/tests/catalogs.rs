//! Several catalogs together, and services as they are: busy, forgetful, away for a while.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod imitation;
mod world;

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use surco_collect::{CollectRequest, Patience, Plan, plan_with};
use surco_core::{Progress, Season, Silent};

use imitation::{Answer, Asked, Imitation};
use world::scenes::{DATES, folder, item, name};
use world::service::bind_again;
use world::{PATIENCE, collect, request};

fn planned(request: &CollectRequest) -> Plan {
    plan_with(request, PATIENCE, &Silent).unwrap()
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.scenes().map(|scene| scene.id.to_string()).collect()
}

/// Items of these dates as a collection would list them.
fn listed(dates: Range<usize>, collection: &str, prefix: &str) -> Vec<Value> {
    let of = |date: usize| {
        let mut item = item(date);
        item["collection"] = collection.into();
        item["id"] = format!("{prefix}{}", name(date)).into();
        item
    };
    dates.map(of).collect()
}

fn page(items: &[Value]) -> Value {
    json!({ "type": "FeatureCollection", "features": items, "links": [] })
}

fn write(dir: &Path, file: &str, items: &[Value]) -> String {
    let path = dir.join(file);
    fs::write(&path, page(items).to_string()).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn collections_of_one_service_fill_each_others_gaps() {
    let service = Imitation::new(|asked: &Asked| match asked.path.as_str() {
        "/v1/collections" => Answer::json(&json!({ "collections": [
            { "id": "sentinel-2-l2a" }, { "id": "landsat" }, { "id": "sentinel-2-c1-l2a" },
        ] })),
        "/v1/search" => {
            let mut items = listed(5..DATES, "sentinel-2-l2a", "legacy-");
            items.extend(listed(0..7, "sentinel-2-c1-l2a", ""));
            // What nobody asked for, as services do from the second page on.
            items.extend(listed(0..2, "landsat", "x"));
            Answer::json(&page(&items))
        }
        _ => Answer::status(404),
    });
    let plan = planned(&request(&format!("{}/v1", service.url)));
    let asked: Vec<Asked> = service.log();
    let searched = asked.iter().find(|a| a.path == "/v1/search").unwrap();
    assert_eq!(searched.body["collections"], json!(["sentinel-2-c1-l2a", "sentinel-2-l2a"]));
    assert_eq!((plan.figures.scenes, plan.figures.duplicates), (DATES as u64, 2));
    let first = plan.scenes().filter(|s| s.collection == Some("sentinel-2-c1-l2a"));
    assert_eq!(first.count(), 7, "Collection 1 wherever it has the scene");
    let twice: Vec<_> = plan.scenes().filter(|s| !s.others.is_empty()).collect();
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0].others[0].id, format!("legacy-{}", twice[0].id));
}

#[test]
fn a_lower_catalog_fills_the_gaps_of_a_higher_one() {
    let dir = tempfile::tempdir().unwrap();
    let high = write(dir.path(), "high.json", &listed(3..9, "sentinel-2-l2a", "high-"));
    let low = write(dir.path(), "low.json", &listed(0..DATES, "sentinel-2-l2a", "low-"));
    let mut asked = request(&high);
    asked.catalogs.push(low);
    let plan = planned(&asked);
    assert_eq!((plan.figures.items, plan.figures.duplicates), (6 + DATES as u64, 6));
    let ids = ids(&plan);
    assert_eq!(ids.iter().filter(|id| id.starts_with("high-")).count(), 6);
    assert_eq!(ids.len(), DATES);
    asked.catalogs.reverse();
    assert!(planned(&asked).scenes().all(|s| s.id.starts_with("low-")), "the order decides");
}

#[test]
fn an_item_listed_twice_is_one_and_no_stand_in_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let items = [listed(0..4, "c", ""), listed(2..6, "c", "")].concat();
    let plan = planned(&request(&write(dir.path(), "items.json", &items)));
    assert_eq!((plan.figures.items, plan.figures.duplicates), (6, 0));
    assert!(plan.scenes().all(|scene| scene.others.is_empty()));
}

#[test]
fn items_of_a_service_that_cannot_be_used_are_counted_and_told() {
    let of = |broken: Range<usize>| {
        Imitation::new(move |asked: &Asked| {
            let mut items = listed(0..5, "c", "");
            for item in &mut items[broken.clone()] {
                item["assets"].as_object_mut().unwrap().remove("red");
            }
            match asked.path.as_str() {
                "/search" => Answer::json(&page(&items)),
                _ => Answer::status(404),
            }
        })
    };
    let plan = planned(&request(&of(1..2).url));
    assert_eq!((plan.figures.scenes, plan.figures.unreadable), (4, 1));
    assert_eq!(
        plan.unreadable,
        ["item S2B_19HBA_20230502_0_L2A, asset for B04: absent; leave the \
        item or the band out, or use another catalog"]
    );
    let error = plan_with(&request(&of(0..5).url), PATIENCE, &Silent).unwrap_err();
    assert!(error.to_string().contains("asset for B04: absent"), "{error}");
}

/// A service that says what it can, over items that say when they were listed.
fn dated(conforms: &'static str, says: bool) -> Imitation {
    Imitation::new(move |asked: &Asked| match asked.path.as_str() {
        "/" => Answer::json(&json!({ "conformsTo": [
            format!("https://api.stacspec.org/v1.0.0/item-search#{conforms}"),
            "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2#basic-cql2",
        ] })),
        "/search" => {
            let mut items = listed(0..6, "c", "");
            for (date, item) in items.iter_mut().enumerate().filter(|_| says) {
                let properties = &mut item["properties"];
                properties["created"] = format!("2023-06-0{}T00:00:00Z", date + 1).into();
                if date == 0 {
                    properties["updated"] = "2024-01-01T00:00:00Z".into();
                }
            }
            Answer::json(&page(&items))
        }
        _ => Answer::status(404),
    })
}

#[test]
fn only_items_listed_since_are_taken_and_a_service_that_can_is_told() {
    let since = |service: &Imitation| {
        let mut asked = request(&service.url);
        asked.created_since = Some("2023-06-05T00:00:00Z".parse().unwrap());
        let found = ids(&planned(&asked));
        let log = service.log();
        let last = log.iter().rev().find(|a| a.path == "/search").unwrap();
        (found, last.body.clone())
    };
    let wanted = [name(0), name(4), name(5)];
    let (found, body) = since(&dated("query", true));
    assert_eq!(found, wanted, "the first was changed since");
    assert_eq!(body["query"], json!({ "updated": { "gte": "2023-06-05T00:00:00Z" } }));
    let (found, body) = since(&dated("filter", true));
    assert_eq!(found, wanted);
    let args = json!([{ "property": "updated" }, "2023-06-05T00:00:00Z"]);
    assert_eq!(body["filter"], json!({ "op": ">=", "args": args }));
    let (found, body) = since(&dated("sort", true));
    assert_eq!((found, &body["query"]), (wanted.to_vec(), &Value::Null));
    let (found, body) = since(&dated("query", false));
    assert_eq!(found.len(), 6, "items that do not say may be new");
    assert_eq!(body["query"], Value::Null, "and are not lost on the service's side");
}

#[test]
fn seasons_that_follow_each_other_are_one_search_and_others_their_own() {
    let service = dated("sort", false);
    let season =
        |from: &str, to: &str| Season::between(from.parse().unwrap(), to.parse().unwrap()).unwrap();
    let mut asked = request(&service.url);
    asked.seasons = vec![
        season("2023-05-04", "2023-05-06"),
        season("2023-05-01", "2023-05-02"),
        season("2023-05-02", "2023-05-03"),
    ];
    assert_eq!(ids(&planned(&asked)), [name(0), name(1), name(3), name(4)]);
    let log = service.log();
    let spans: Vec<&Value> =
        log.iter().filter(|a| a.post).map(|asked| &asked.body["datetime"]).collect();
    assert_eq!(
        spans,
        [
            &json!("2023-05-01T00:00:00Z/2023-05-03T00:00:00Z"),
            &json!("2023-05-04T00:00:00Z/2023-05-06T00:00:00Z"),
        ]
    );
}

#[test]
fn pages_by_get_are_followed_where_post_is_not_known() {
    let service = Imitation::new(|asked: &Asked| match (asked.post, asked.query.as_str()) {
        (false, "token=b") => Answer::json(&page(&listed(3..6, "c", ""))),
        (false, query) if query.contains("limit=200") && query.contains("collections=c") => {
            let mut first = page(&listed(0..3, "c", ""));
            first["links"] = json!([{ "rel": "next", "href": "?token=b" }]);
            Answer::json(&first)
        }
        _ => Answer::status(405),
    });
    let mut asked = request(&service.url);
    asked.collections = vec!["c".into()];
    assert_eq!(planned(&asked).figures.scenes, 6);
}

#[test]
fn a_throttling_service_is_left_alone_as_long_as_it_says() {
    let date = || {
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon).unwrap()
    };
    for by_date in [false, true] {
        let refused = AtomicU64::new(0);
        let service = Imitation::new(move |asked: &Asked| {
            if asked.path == "/search" && refused.fetch_add(1, Ordering::Relaxed) < 1 {
                let after = if by_date { date() } else { "1".into() };
                return Answer::status(429).with(format!("Retry-After: {after}"));
            }
            Answer::json(&page(&listed(0..3, "c", "")))
        });
        let mut asked = request(&service.url);
        asked.collections = vec!["c".into()];
        assert_eq!(planned(&asked).figures.scenes, 3);
        let log = service.log();
        let waited = log[1].at - log[0].at;
        assert!(waited >= Duration::from_millis(950), "by date {by_date}: {waited:?}");
    }
}

#[test]
fn a_service_that_throttles_gently_is_not_given_up_after_so_many_attempts() {
    let refused = AtomicU64::new(0);
    let service = Imitation::new(move |_: &Asked| {
        if refused.fetch_add(1, Ordering::Relaxed) < 20 {
            return Answer::status(429).with("Retry-After: 0");
        }
        Answer::json(&page(&listed(0..3, "c", "")))
    });
    let mut asked = request(&service.url);
    asked.collections = vec!["c".into()];
    assert_eq!(planned(&asked).figures.scenes, 3, "twelve attempts are allowed");
}

#[test]
fn a_host_that_takes_four_at_a_time_is_soon_asked_that_much() {
    let (busy, refused) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = refused.clone();
    let service = Imitation::new(move |asked: &Asked| {
        let now = busy.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = if now > 4 {
            counted.fetch_add(1, Ordering::Relaxed);
            Answer::status(503)
        } else {
            std::thread::sleep(Duration::from_millis(2));
            match fs::read(folder().join(asked.path.trim_start_matches('/'))) {
                Ok(whole) => Answer::part(&whole, asked),
                Err(_) => Answer::status(404),
            }
        };
        busy.fetch_sub(1, Ordering::Relaxed);
        answer
    });
    let dir = tempfile::tempdir().unwrap();
    let summary = collect(&format!("{}/items.json", service.url), dir.path()).unwrap();
    assert_eq!(summary.holes, []);
    let (asked, refused) = (service.log().len() as u64, refused.load(Ordering::Relaxed));
    assert!(asked > 600, "{asked} requests");
    assert!(refused * 3 < asked, "{refused} of {asked} requests were one too many");
}

/// Keeps what it hears about waiting.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Progress for Listener {
    fn report(&self, stage: &'static str, _: u64, _: u64, message: &str) {
        if stage == "waiting" {
            self.0.lock().unwrap().push(message.into());
        }
    }
}

#[test]
fn a_service_that_is_away_is_waited_for_and_that_is_said() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let back = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        let listener = bind_again(address);
        Imitation::on(listener, |_: &Asked| Answer::json(&page(&listed(0..3, "c", ""))))
    });
    let mut asked = request(&format!("http://{address}"));
    asked.collections = vec!["c".into()];
    let heard = Listener::default();
    let patience = Patience { first_wait: Duration::from_millis(50), ..PATIENCE };
    let plan = plan_with(&asked, patience, &heard).unwrap();
    back.join().unwrap();
    assert_eq!(plan.figures.scenes, 3);
    let heard = heard.0.into_inner().unwrap();
    assert!(!heard.is_empty(), "nothing was said");
    assert!(heard[0].starts_with(&format!("{address}: ")), "{heard:?}");
}

/// Wants to stop after a moment.
struct Hurried(Instant);

impl Progress for Hurried {
    fn report(&self, _: &'static str, _: u64, _: u64, _: &str) {}

    fn stopped(&self) -> bool {
        self.0.elapsed() > Duration::from_millis(300)
    }
}

#[test]
fn waiting_for_a_service_ends_when_the_user_asks() {
    let service = Imitation::new(|_: &Asked| Answer::status(429).with("Retry-After: 60"));
    let started = Instant::now();
    let error = plan_with(&request(&service.url), PATIENCE, &Hurried(started)).unwrap_err();
    assert!(matches!(error, surco_collect::CollectError::Stopped), "{error}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// The words a user reads when a catalog cannot be used.
#[test]
fn catalogs_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error_of = |catalog: &str| {
        let error = plan_with(&request(catalog), PATIENCE, &Silent).unwrap_err().to_string();
        error.replace(dir.path().to_str().unwrap(), "DIR")
    };
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    insta::assert_snapshot!(error_of("s3://bucket/items.json"), @"cannot read catalog s3://bucket/items.json: `s3:` cannot be read; give a path or an http(s) URL");
    insta::assert_snapshot!(error_of(dir.path().to_str().unwrap()), @"cannot read catalog DIR: a folder without .parquet files; give a file of items");
    fs::write(at("a.parquet"), b"PAR1 but no more than that").unwrap();
    insta::assert_snapshot!(error_of(&at("a.parquet")), @"cannot read catalog DIR/a.parquet: no parquet file: it does not end in PAR1");
    fs::write(at("b.json"), b"{}").unwrap();
    insta::assert_snapshot!(error_of(&at("b.json")), @"cannot read catalog DIR/b.json: neither a FeatureCollection nor an item");
    let service = Imitation::new(|asked: &Asked| match asked.path.as_str() {
        "/collections" => Answer::status(404),
        _ => Answer::json(&json!({ "description": "no such collection" })).code(400),
    });
    let error = error_of(&service.url).replace(&service.url, "URL");
    insta::assert_snapshot!(error, @"catalog URL/search gave no STAC items: HTTP 400 Bad Request no such collection");
}
