//! A small world for tests: scenes whose truth is known, and a service that misbehaves on purpose.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "all of it is test")]

pub(crate) mod scenes;
pub(crate) mod service;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use surco_collect::{
    CollectError, CollectRequest, CollectSummary, Patience, RunOptions, plan_with, run,
};
use surco_core::Silent;

/// Quick to ask again, so that tests are quick, and slow to give up on a connection: on a busy machine an
/// answer may take its time, and one asked for twice would be taken for a fault.
pub(crate) const PATIENCE: Patience =
    Patience { attempts: 12, first_wait: Duration::from_millis(2), stall: Duration::from_secs(60) };

pub(crate) fn request(catalog: &str) -> CollectRequest {
    let bands = scenes::BANDS.iter().map(|b| b.0.to_string()).collect();
    CollectRequest { bands, ..CollectRequest::all_of(catalog) }
}

pub(crate) fn options(store: &Path) -> RunOptions {
    RunOptions { patience: PATIENCE, ..RunOptions::into_store(store) }
}

pub(crate) fn collect(catalog: &str, store: &Path) -> Result<CollectSummary, CollectError> {
    collect_with(catalog, store, PATIENCE)
}

pub(crate) fn collect_with(
    catalog: &str,
    store: &Path,
    patience: Patience,
) -> Result<CollectSummary, CollectError> {
    let plan = plan_with(&request(catalog), patience, &Silent)?;
    run(&plan, &RunOptions { patience, ..options(store) }, &Silent)
}

/// Every object of a store.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
                found.insert(key, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Says which objects differ, not how.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (files(left), files(right));
    let keys = left.keys().chain(right.keys());
    let differing: Vec<&String> = keys.filter(|k| left.get(*k) != right.get(*k)).collect();
    assert!(differing.is_empty(), "{differing:?}");
}
