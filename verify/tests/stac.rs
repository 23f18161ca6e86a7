//! What real services answered, recorded, is understood as it was meant.
//!
//! The answers are in `stac` of the test data. None of them is over Chile: what is tested is how four
//! services spell their items, not where they are.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use surco_collect::{CollectRequest, ListedScene, Plan, plan};
use surco_core::{OffsetVerdict, Season, Silent};
use surco_verify::{data, data_json};

const EARTH_SEARCH_C1: &str = "stac/earthsearch_v1_sentinel-2-c1-l2a_items_13TDE.json";
const PLANETARY_INDEX: &str = "stac/planetary_computer_100_s2_items_13TDE.parquet";

fn path_of(inside: &str) -> String {
    data(inside).to_str().expect("the path is UTF-8").to_string()
}

fn planned(catalogs: &[String], collections: &[&str]) -> Plan {
    let mut request = CollectRequest::all_of("");
    request.catalogs = catalogs.to_vec();
    request.collections = collections.iter().map(ToString::to_string).collect();
    plan(&request, &Silent).unwrap_or_else(|e| panic!("{catalogs:?}: {e}"))
}

/// The scene with this id.
fn scene<'p>(plan: &'p Plan, id: &str) -> ListedScene<'p> {
    plan.scenes().find(|s| s.id == id).unwrap_or_else(|| panic!("no scene {id}"))
}

/// Answers POSTs to `/search` with recorded answers, in turn; `next` links lead back here.
struct Replay {
    root: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Replay {
    fn of(recorded: &[&str], prefix: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let root = format!("http://{}{prefix}", listener.local_addr().expect("it is bound"));
        let mut answers = Vec::new();
        for file in recorded {
            let mut answer = data_json(file)["response"].take();
            for link in answer["links"].as_array_mut().into_iter().flatten() {
                if link["rel"] == "next" {
                    link["href"] = format!("{root}/search").into();
                }
            }
            answers.push(answer);
        }
        // The last recorded page has a `next` link too, to pages that nobody recorded.
        if let Some(last) = answers.last_mut() {
            last["links"] = Value::Array(Vec::new());
        }
        answers.reverse();
        let (answers, bodies) = (Arc::new(Mutex::new(answers)), Arc::default());
        let seen = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &answers, &seen));
            }
        });
        Self { root, bodies }
    }
}

fn serve(stream: TcpStream, answers: &Mutex<Vec<Value>>, bodies: &Mutex<Vec<Value>>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.to_lowercase());
        }
        let length =
            lines.iter().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let posted = lines.first()?.starts_with("post");
        let answer = if posted {
            bodies.lock().ok()?.push(serde_json::from_slice(&body).unwrap_or_default());
            answers.lock().ok()?.pop()
        } else {
            None
        };
        let status = if answer.is_some() { "200 OK" } else { "404 Not Found" };
        let text = answer.unwrap_or_default().to_string();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", text.len());
        writer.write_all((head + &text).as_bytes()).ok()?;
    }
}

/// Pages 1 and 2 of Earth Search hold items of four collections, because the recorded request named none;
/// the service's `next` drops what was asked for, so the same could happen to a request that did.
#[test]
fn two_pages_of_earth_search_are_one_answer_without_what_nobody_asked_for() {
    let pages = ["stac/earthsearch_v1_search_page1.json", "stac/earthsearch_v1_search_page2.json"];
    let replay = Replay::of(&pages, "/v1");
    let collections = ["sentinel-2-c1-l2a", "sentinel-2-l2a"];
    let plan = planned(std::slice::from_ref(&replay.root), &collections);
    let mut expected = BTreeSet::new();
    let mut tiles = BTreeSet::new();
    for page in pages {
        let page = data_json(page);
        for item in page["response"]["features"].as_array().expect("features") {
            if collections.iter().any(|c| item["collection"] == *c) {
                expected.insert(item["id"].as_str().expect("an id").to_string());
                let code = item["properties"]["grid:code"].as_str().expect("a tile");
                tiles.insert(code.trim_start_matches("MGRS-").to_string());
            }
        }
    }
    let mut found = BTreeSet::new();
    for scene in plan.scenes() {
        found.insert(scene.id.to_string());
        found.extend(scene.others.iter().map(|other| other.id.to_string()));
    }
    assert_eq!(found, expected, "every item is a scene or stands by one");
    assert_eq!(plan.figures.items, expected.len() as u64);
    assert_eq!(plan.scenes().map(|s| s.tile.to_string()).collect::<BTreeSet<_>>(), tiles);
    // The same acquisition in both collections: Collection 1 is kept, the older one stands by.
    let both: Vec<_> = plan.scenes().filter(|s| !s.others.is_empty()).collect();
    assert!(!both.is_empty());
    for scene in both {
        assert_eq!(scene.collection, Some("sentinel-2-c1-l2a"));
        assert_eq!(scene.others[0].collection, Some("sentinel-2-l2a"));
    }
    let bodies = replay.bodies.lock().expect("no thread fell");
    assert_eq!(bodies.len(), 2);
    let next = &data_json(pages[1])["request"]["body"];
    let next: Value = serde_json::from_str(next.as_str().expect("a body")).expect("JSON");
    assert_eq!(bodies[1], next, "the second request is the recorded one");
}

/// The trap in this item: its offset is declared as -0.1 while it says that it was applied.
#[test]
fn a_legacy_item_whose_fields_disagree_is_known_as_such() {
    let replay = Replay::of(&["stac/earthsearch_v1_search_s2-l2a_landsat.json"], "/v1");
    let plan = planned(&[replay.root], &["sentinel-2-l2a"]);
    let scenes: Vec<_> = plan.scenes().collect();
    assert_eq!(scenes.len(), 1, "Landsat was not asked for");
    assert_eq!((scenes[0].id, scenes[0].tile), ("S2A_13TDE_20231008_0_L2A", "13TDE"));
    assert_eq!((scenes[0].baseline, scenes[0].catalog), (Some("05.09"), "local"));
    assert_eq!(scenes[0].expected_offset, OffsetVerdict::Absent);
    assert!(scenes[0].fields_disagree);
}

#[test]
fn collection_1_of_earth_search_carries_its_offset_and_says_so() {
    let plan = planned(&[path_of(EARTH_SEARCH_C1)], &[]);
    assert_eq!((plan.figures.scenes, plan.figures.duplicates), (10, 0));
    for scene in plan.scenes() {
        assert_eq!((scene.tile, scene.baseline), ("13TDE", Some("05.10")));
        assert_eq!(scene.expected_offset, OffsetVerdict::Subtracted);
        assert!(!scene.fields_disagree);
    }
}

#[test]
fn planetary_computer_s_answer_is_read_with_its_own_asset_names() {
    let replay =
        Replay::of(&["stac/planetary_computer_search_sentinel-2-l2a.json"], "/api/stac/v1");
    let plan = planned(&[replay.root], &["sentinel-2-l2a"]);
    assert_eq!((plan.figures.items, plan.figures.duplicates), (33, 0));
    let one = scene(&plan, "S2A_MSIL2A_20190101T000001_R116_T60VUK_20201007T214652");
    assert_eq!((one.tile, one.baseline), ("60VUK", Some("02.12")));
    assert_eq!(one.expected_offset, OffsetVerdict::Absent, "before baseline 04.00");
}

/// Rustac's index of 100 items; on 30 May 2024 the tile was cut in two.
#[test]
fn an_index_of_planetary_computer_is_read_whole_with_both_pieces_of_a_cut_tile() {
    let plan = planned(&[path_of(PLANETARY_INDEX)], &[]);
    assert_eq!((plan.figures.items, plan.figures.scenes, plan.figures.duplicates), (100, 100, 0));
    let cut: Vec<_> =
        plan.scenes().filter(|s| s.datetime.starts_with("2024-05-30")).map(|s| s.id).collect();
    assert_eq!(cut.len(), 2, "{cut:?}");
    let one = scene(&plan, "S2B_MSIL2A_20241203T174629_R098_T13TDE_20241203T211406");
    assert_eq!((one.tile, one.baseline), ("13TDE", Some("05.11")));
    assert_eq!(one.datetime, "2024-12-03T17:46:29.024Z");
    assert_eq!(one.expected_offset, OffsetVerdict::Subtracted);
}

/// Two services over the same tile: the ten of Earth Search are all in the hundred of Planetary Computer,
/// under other ids, other times (tile against datatake) and another spelling of the satellite.
#[test]
fn two_services_are_one_archive() {
    let catalogs = [path_of(EARTH_SEARCH_C1), path_of(PLANETARY_INDEX)];
    let plan = planned(&catalogs, &[]);
    let figures = &plan.figures;
    assert_eq!((figures.items, figures.scenes, figures.duplicates), (110, 100, 10));
    let first: Vec<_> =
        plan.scenes().filter(|s| s.collection == Some("sentinel-2-c1-l2a")).collect();
    assert_eq!(first.len(), 10);
    for scene in &first {
        // S2A_T13TDE_20240422T174753_L2A and S2A_MSIL2A_20240422T173911_R098_T13TDE_…: same day.
        let day = &scene.id[11..19];
        assert_eq!(scene.others.len(), 1, "{}", scene.id);
        assert!(scene.others[0].id[11..].starts_with(day), "{} {}", scene.id, scene.others[0].id);
        assert_eq!(scene.others[0].id[..3], scene.id[..3], "the same satellite");
    }
    let other_way = planned(&[catalogs[1].clone(), catalogs[0].clone()], &[]);
    assert_eq!((other_way.figures.scenes, other_way.figures.duplicates), (100, 10));
    assert!(other_way.scenes().all(|s| s.collection == Some("sentinel-2-l2a")));
}

#[test]
fn an_index_gives_the_same_scenes_by_parts_over_http_and_only_those_of_the_season() {
    let server = serve_file(&data(PLANETARY_INDEX));
    let mut request = CollectRequest::all_of(format!("{server}/index.parquet"));
    let (from, to) = ("2024-05-01".parse(), "2024-06-01".parse());
    let season = Season::between(from.expect("a date"), to.expect("a date")).expect("a season");
    request.seasons = vec![season];
    let remote = plan(&request, &Silent).expect("the index is there");
    request.catalogs = vec![path_of(PLANETARY_INDEX)];
    let local = plan(&request, &Silent).expect("the index is there");
    let ids = |plan: &Plan| plan.scenes().map(|s| s.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&remote), ids(&local));
    assert!(local.scenes().all(|s| s.datetime.starts_with("2024-05")));
    assert_eq!(local.figures.scenes, 13);
}

/// Serves one file by ranges, whatever the path.
fn serve_file(path: &Path) -> String {
    let whole = Arc::new(std::fs::read(path).expect("the data are readable"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let whole = Arc::clone(&whole);
            std::thread::spawn(move || serve_parts(stream, &whole));
        }
    });
    url
}

fn serve_parts(stream: TcpStream, whole: &[u8]) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut range = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.to_lowercase().strip_prefix("range: bytes=") {
                let (start, end) = text.trim().split_once('-')?;
                range = Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?));
            }
        }
        let (start, end) = range?;
        let end = (end + 1).min(whole.len());
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n\r\n",
            end - start,
            end - 1,
            whole.len()
        );
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(&whole[start..end]).ok()?;
    }
}
