//! Reading the whole store again and comparing it with its manifests.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use surco_core::{CellId, Progress};

use crate::shard::SHARD_DATES;
use crate::{Store, StoreError, hex};

/// Bytes of an object that are held at a time.
const PIECE_BYTES: usize = 4 << 20;

/// What the store holds, and what of it cannot be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Planned cells.
    pub cells: u64,
    /// Planned shards.
    pub shards: u64,
    /// Planned dates, over all cells.
    pub dates: u64,
    /// Planned dates that are not done.
    pub missing_dates: u64,
    /// Objects read again.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Holes that the manifests list.
    pub holes: u64,
    /// Objects that are not what was written.
    pub damaged: Vec<Damage>,
}

/// One object that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Damage {
    /// Its cell.
    pub cell: String,
    /// Its shard.
    pub shard: usize,
    /// Its key below the cell.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl VerifyReport {
    fn add(mut self, other: Self) -> Self {
        self.cells += other.cells;
        self.shards += other.shards;
        self.dates += other.dates;
        self.missing_dates += other.missing_dates;
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.holes += other.holes;
        self.damaged.extend(other.damaged);
        self
    }
}

impl Store {
    /// Reads every object again and compares it with the manifests' SHA-256.
    ///
    /// # Errors
    /// [`StoreError::Metadata`] if a manifest cannot be read, [`StoreError::Stopped`] on a stop.
    pub fn verify(&self, progress: &dyn Progress) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let mut shards = Vec::new();
        for cell in self.cells()? {
            let meta = self.meta(&cell)?;
            report.cells += 1;
            shards.extend((0..meta.shards()).map(|shard| {
                let ids = meta.scenes.iter().skip(shard * SHARD_DATES).take(SHARD_DATES);
                (cell.clone(), shard, ids.map(|slot| slot.id.clone()).collect::<Vec<_>>())
            }));
        }
        let done = AtomicU64::new(0);
        let total = shards.len() as u64;
        let mut report = shards
            .par_iter()
            .map(|(cell, shard, ids)| {
                if progress.stopped() {
                    return Err(StoreError::Stopped);
                }
                let part = self.verify_shard(cell, *shard, ids)?;
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                progress.report("verify", done, total, &cell.to_string());
                Ok(part)
            })
            .try_reduce(VerifyReport::default, |a, b| Ok(a.add(b)))?
            .add(report);
        report.damaged.sort();
        Ok(report)
    }

    fn verify_shard(
        &self,
        cell: &CellId,
        shard: usize,
        ids: &[String],
    ) -> Result<VerifyReport, StoreError> {
        let dates = ids.len() as u64;
        let mut report =
            VerifyReport { shards: 1, dates, missing_dates: dates, ..VerifyReport::default() };
        let Some((manifest, _)) = self.manifest_as_written(cell, shard)? else {
            return Ok(report);
        };
        for date in &manifest.dates {
            if ids.get(date.slot) == Some(&date.scene.id) {
                report.missing_dates -= 1;
                report.holes += date.scene.holes.len() as u64;
            }
        }
        for object in &manifest.objects {
            let reason = match self.hash(&format!("{cell}/{}", object.key)) {
                Ok(None) => Some("it is not there".into()),
                Ok(Some((bytes, _))) if bytes != object.bytes => {
                    Some(format!("{bytes} bytes, expected {}", object.bytes))
                }
                Ok(Some((_, sha256))) if sha256 != object.sha256 => {
                    Some("its SHA-256 differs".into())
                }
                Ok(Some(_)) => None,
                // A service that fails says nothing about what it keeps.
                Err(error @ StoreError::Remote { .. }) => return Err(error),
                Err(error) => Some(error.to_string()),
            };
            report.objects += 1;
            report.bytes += object.bytes;
            report.damaged.extend(reason.map(|reason| Damage {
                cell: cell.to_string(),
                shard,
                key: object.key.clone(),
                reason,
            }));
        }
        Ok(report)
    }

    /// Length and SHA-256 of an object, read piece by piece; nothing if it is not there.
    fn hash(&self, key: &str) -> Result<Option<(u64, String)>, StoreError> {
        let Some(stamp) = self.place.stamp(key)? else { return Ok(None) };
        let mut hash = Sha256::new();
        for start in (0..stamp.length).step_by(PIECE_BYTES) {
            let end = stamp.length.min(start + PIECE_BYTES as u64);
            match self.place.range(key, &stamp, start..end)? {
                Some(piece) => hash.update(&piece),
                None => return Ok(None),
            }
        }
        Ok(Some((stamp.length, hex(&hash.finalize()))))
    }
}
