//! What each run did: facts of runs, not of pixels, so they lie beside the store's content.
//!
//! A record a run in `STORE/.runs/`, a folder that begins with a dot: readers of Zarr do not look there, and
//! comparing two stores leaves it out, because times and counts differ where pixels do not.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use surco_core::write_whole;

use super::ReportError;
use crate::{CollectSummary, PlanFigures, RunOptions};

/// The folder of records in a store.
const RUNS: &str = ".runs";

/// What one run did. A run that was killed leaves none: what it had finished, the next one skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// When it began.
    pub start: Timestamp,
    /// Process that ran.
    pub process: u32,
    /// Seconds it took.
    pub seconds: f64,
    /// Which part of the plan it ran, from 0.
    pub shard_index: usize,
    /// Number of parts.
    pub shard_count: usize,
    /// Items of the plan that were older processings or duplicates.
    pub duplicates: u64,
    /// Scenes that its shards hold.
    pub scenes: u64,
    /// Shards it wrote.
    pub shards: u64,
    /// Shards that were done before.
    pub skipped: u64,
    /// Blocks it fetched and decoded.
    pub blocks: u64,
    /// Bytes it read from the service or the disk.
    pub bytes_fetched: u64,
    /// Bytes of the shards it wrote.
    pub bytes_stored: u64,
    /// Holes in its shards.
    pub holes: u64,
    /// Requests it made, where they were counted.
    #[serde(default)]
    pub requests: Option<u64>,
    /// Requests it repeated, where they were counted.
    #[serde(default)]
    pub retries: Option<u64>,
}

impl RunRecord {
    /// The record of a run of this process.
    #[must_use]
    pub fn of(
        start: Timestamp,
        options: &RunOptions,
        figures: &PlanFigures,
        done: &CollectSummary,
    ) -> Self {
        Self {
            start,
            process: std::process::id(),
            seconds: done.seconds,
            shard_index: options.shard_index,
            shard_count: options.shard_count,
            duplicates: figures.duplicates,
            scenes: done.scenes,
            shards: done.shards_done,
            skipped: done.shards_skipped,
            blocks: done.blocks,
            bytes_fetched: done.bytes_fetched,
            bytes_stored: done.bytes_stored,
            holes: done.holes.len() as u64,
            requests: None,
            retries: None,
        }
    }

    /// Adds the record to those of a store on this machine's disks.
    ///
    /// # Errors
    /// [`ReportError::Io`] if the disk refuses.
    pub fn write(&self, store: &Path) -> Result<PathBuf, ReportError> {
        let folder = store.join(RUNS);
        let io = |source| ReportError::Io { what: "write", path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(io)?;
        // Parts of a plan start at the same moment, on many machines with the same process numbers.
        let stem = format!(
            "{}-{}of{}-{}",
            self.start.strftime("%Y%m%dT%H%M%S%3fZ"),
            self.shard_index,
            self.shard_count,
            self.process
        );
        let text = serde_json::to_vec_pretty(self).map_err(|e| io(e.into()))?;
        let free = (1..).map(|n| {
            folder.join(if n == 1 { format!("{stem}.json") } else { format!("{stem}-{n}.json") })
        });
        let path = free.into_iter().find(|path| !path.exists()).unwrap_or_default();
        write_whole(&path, &text).map_err(io)?;
        Ok(path)
    }
}

/// The records of a store, the earliest first; none if no run left one.
///
/// # Errors
/// [`ReportError::Io`] if the folder or a record cannot be read, [`ReportError::Record`] if one is damaged.
pub fn read_runs(store: &Path) -> Result<Vec<RunRecord>, ReportError> {
    let folder = store.join(RUNS);
    let io = |source| ReportError::Io { what: "read", path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut runs = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A record in the making begins with a dot.
        if name.starts_with('.') || path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let bytes = fs::read(&path).map_err(io)?;
        let record: RunRecord = serde_json::from_slice(&bytes)
            .map_err(|source| ReportError::Record { path: path.clone(), source })?;
        runs.push(record);
    }
    runs.sort_by_key(|run| (run.start, run.shard_index, run.process));
    Ok(runs)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn record(second: i64, index: usize) -> RunRecord {
        RunRecord {
            start: Timestamp::from_second(1_700_000_000 + second).unwrap(),
            process: 7,
            seconds: 12.5,
            shard_index: index,
            shard_count: 4,
            duplicates: 3,
            scenes: 26,
            shards: 6,
            skipped: 1,
            blocks: 880,
            bytes_fetched: 120_000_000,
            bytes_stored: 80_000_000,
            holes: 0,
            requests: Some(900),
            retries: None,
        }
    }

    #[test]
    fn records_come_back_in_the_order_of_their_starts() {
        let store = tempfile::tempdir().unwrap();
        assert_eq!(read_runs(store.path()).unwrap(), []);
        let runs = [record(5, 0), record(5, 1), record(1, 2)];
        let places: Vec<PathBuf> =
            runs.iter().map(|run| run.write(store.path()).unwrap()).collect();
        assert!(places[0].ends_with(".runs/20231114T221325000Z-0of4-7.json"), "{places:?}");
        fs::write(store.path().join(".runs/.half.json.3.surco-tmp"), "{").unwrap();
        let back = read_runs(store.path()).unwrap();
        assert_eq!(back, [runs[2].clone(), runs[0].clone(), runs[1].clone()]);
    }

    #[test]
    fn two_machines_with_one_process_number_keep_both_records() {
        let store = tempfile::tempdir().unwrap();
        let first = record(5, 0).write(store.path()).unwrap();
        let second = record(5, 0).write(store.path()).unwrap();
        assert_ne!(first, second);
        assert_eq!(read_runs(store.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let store = tempfile::tempdir().unwrap();
        let path = record(5, 0).write(store.path()).unwrap();
        fs::write(&path, "{\"start\": 3").unwrap();
        let error = read_runs(store.path()).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()) && error.contains("delete"), "{error}");
    }
}
