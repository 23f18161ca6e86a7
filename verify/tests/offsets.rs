//! Whether the +1000 of a scene is found in its pixels when the catalog lies, in both directions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::Value;
use surco_verify::{data, oracle, surco, tree};

const ITEMS: &str = "s2_stack_flanders_2018_31UDS/items.json";

/// Witnesses from which on a wrong verdict is no bad luck any more.
const MANY: u64 = 100;

/// What became of the scenes that were described in one way.
#[derive(Debug, Default)]
struct Outcome {
    right: u32,
    /// Left out, listed as a contradiction.
    hole: u32,
    /// Nothing testified: the catalog was believed, and was right or wrong.
    silent_right: u32,
    silent_wrong: u32,
    wrong: u32,
    /// No clear ground: nothing was kept, so nothing needed a verdict.
    unseen: u32,
}

/// The records of all dates of a store, from its done-lists.
fn records(store: &Path) -> Vec<Value> {
    let lists = tree(store).into_keys().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('t') && name.ends_with(".json")
    });
    let mut found = Vec::new();
    for list in lists {
        let text = fs::read_to_string(store.join(list)).expect("a list of the store can be read");
        let list: Value = serde_json::from_str(&text).expect("it is JSON");
        let dates = list["dates"].as_array().expect("`dates` is a list");
        found.extend(dates.iter().map(|date| date["scene"].clone()));
    }
    found
}

/// Real pixels of 118 dates, 1000 added to every second; the expected verdicts are what was done to them.
#[test]
fn a_lying_catalog_is_found_out_or_leaves_a_hole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (stack, store) = (folder.path().join("stack"), folder.path().join("store"));
    println!("{}", oracle("lying.py", [data(ITEMS).as_os_str(), stack.as_os_str()]));
    let text = fs::read_to_string(stack.join("truth.json")).expect("the oracle wrote it");
    let truth: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut command = surco::<OsString>([
        "collect".into(),
        "--catalog".into(),
        stack.join("items.json").into(),
        "--store".into(),
        store.clone().into(),
        "--json".into(),
    ]);
    let code = command.output().expect("the program starts").status.code();
    assert!(matches!(code, Some(0 | 5)), "exit code {code:?}");

    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    let records = records(&store);
    assert_eq!(records.len(), 118, "every date is in the store");
    for record in &records {
        let id = record["id"].as_str().expect("an id");
        let (has, lies) = (&truth[id]["has_offset"], &truth[id]["lies"]);
        let lie = match (lies[0].as_bool(), lies[1].as_bool()) {
            (Some(false), Some(false)) => "honest",
            (Some(true), Some(false)) => "wrong offset",
            (Some(false), Some(true)) => "wrong baseline",
            _ => "both wrong",
        };
        let outcome = outcomes.entry(format!("{lie}, offset there: {has}")).or_default();
        let offset = &record["offset"];
        if offset.is_null() {
            outcome.unseen += 1;
            continue;
        }
        let right = if has == true { "subtracted" } else { "absent" };
        let is_right = offset["verdict"] == right;
        match (offset["verdict"].is_null(), offset["evidence"] == "silent") {
            (true, _) => outcome.hole += 1,
            (false, true) if is_right => outcome.silent_right += 1,
            (false, true) => outcome.silent_wrong += 1,
            (false, false) if is_right => outcome.right += 1,
            (false, false) => outcome.wrong += 1,
        }
        let witnesses = offset["witnesses"].as_u64().expect("witnesses are counted");
        assert!(
            witnesses < MANY || is_right || offset["verdict"].is_null(),
            "{id} has {witnesses} witnesses and is wrong: {offset}"
        );
    }
    for (lie, outcome) in &outcomes {
        println!("{lie}: {outcome:?}");
    }
    let sum = |of: fn(&Outcome) -> u32| outcomes.values().map(of).sum::<u32>();
    assert_eq!(sum(|o| o.wrong), 0, "pixels that testify are never wrong");
    for (lie, outcome) in &outcomes {
        let honest = lie.starts_with("honest");
        assert!(!honest || outcome.hole == 0, "no hole of an honest catalog: {outcome:?}");
        // A lie without a contradiction cannot be found where no pixel testifies.
        assert!(outcome.silent_wrong == 0 || lie.starts_with("both"), "{lie}: {outcome:?}");
    }
    assert_eq!(outcomes.len(), 8);
    assert!(sum(|o| o.right) >= 4 * sum(|o| o.hole), "holes are the exception");
}
