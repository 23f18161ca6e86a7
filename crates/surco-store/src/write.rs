//! Writing a shard: pixels first, manifest last.

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{ArrayView3, ArrayView4, Axis};
use surco_core::CellId;

use crate::atomic::{AtomicFile, remove_object, write_object};
use crate::manifest::{DateRecord, MANIFEST_SCHEMA};
use crate::metadata::CellMeta;
use crate::shard::{DecodeError, Decoder, INNER_PX, Inner, SHARD_DATES, ShardIndex, encode};
use crate::{ObjectRecord, SceneRecord, ShardManifest, Store, StoreError};

/// Dates of one shard, ready to be written.
///
/// | | shape | type |
/// |---|---|---|
/// | `slots` | `[date]` | place in the shard, 0 to 11, rising |
/// | `reflectance` | `[date, band, y, x]` | u16, 0 = no data |
/// | `scl` | `[date, y, x]` | u8, 0 = no data |
/// | `scenes` | `[date]` | |
#[derive(Clone, Debug)]
pub struct ShardPixels<'a> {
    /// Where in the shard each date goes.
    pub slots: &'a [usize],
    /// Harmonised digital numbers.
    pub reflectance: ArrayView4<'a, u16>,
    /// Scene classification.
    pub scl: ArrayView3<'a, u8>,
    /// Provenance and holes of each date.
    pub scenes: &'a [SceneRecord],
}

/// What a shard came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the objects written, the manifest not counted.
    pub bytes: u64,
}

impl Store {
    /// Writes dates of a shard; dates of it that are done already and not given are kept.
    ///
    /// A kill at any moment leaves either what was there before or the whole new shard. The same dates
    /// give the same bytes however they are divided between calls and threads.
    ///
    /// # Errors
    /// [`StoreError::Shape`] if shapes, slots or scenes do not fit the plan, [`StoreError::Damaged`] if
    /// dates to keep cannot be read, [`StoreError::Full`] or [`StoreError::Io`] if the disk refuses.
    pub fn write_shard(
        &self,
        cell: &CellId,
        shard: usize,
        pixels: &ShardPixels<'_>,
    ) -> Result<Written, StoreError> {
        let meta = self.meta(cell)?;
        check(cell, shard, &meta, pixels)?;
        let mut dates = self.kept(cell, shard, &meta, pixels.slots)?;
        let kept: Vec<usize> = dates.iter().map(|d| d.slot).collect();
        let given = pixels.slots.iter().zip(pixels.scenes);
        dates.extend(given.map(|(&slot, scene)| DateRecord { slot, scene: scene.clone() }));
        dates.sort_by_key(|d| d.slot);

        let job = Job { store: self, cell, shard, meta: &meta, kept: &kept, slots: pixels.slots };
        let scl = pixels.scl.insert_axis(Axis(1));
        let parts = [
            job.part("reflectance", format!("reflectance/c/{shard}/0/0/0"), pixels.reflectance)?,
            job.part("scl", format!("scl/c/{shard}/0/0"), scl)?,
        ];
        let mut objects = Vec::new();
        let mut written = Written::default();
        for part in parts {
            match part.object {
                Some((file, record)) => {
                    file.commit()?;
                    written.bytes += record.bytes;
                    objects.push(record);
                }
                None => remove_object(&part.place)?,
            }
        }
        let manifest = ShardManifest { schema: MANIFEST_SCHEMA, objects, dates };
        let place = self.manifest_path(cell, shard);
        let mut bytes = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| StoreError::Metadata { path: place.clone(), reason: e.to_string() })?;
        bytes.push(b'\n');
        write_object(&place, &bytes)?;
        Ok(written)
    }

    /// The dates of a shard that stay: done, still planned, and not written anew.
    fn kept(
        &self,
        cell: &CellId,
        shard: usize,
        meta: &CellMeta,
        given: &[usize],
    ) -> Result<Vec<DateRecord>, StoreError> {
        let Some(manifest) = self.manifest(cell, shard)? else { return Ok(Vec::new()) };
        let planned = |date: &DateRecord| {
            meta.scenes
                .get(shard * SHARD_DATES + date.slot)
                .is_some_and(|slot| slot.id == date.scene.id)
        };
        let dates = manifest.dates.into_iter();
        Ok(dates.filter(|d| !given.contains(&d.slot) && planned(d)).collect())
    }
}

fn check(
    cell: &CellId,
    shard: usize,
    meta: &CellMeta,
    pixels: &ShardPixels<'_>,
) -> Result<(), StoreError> {
    let wrong = |what, expected: String, found: String| {
        Err(StoreError::Shape { cell: cell.clone(), shard, what, expected, found })
    };
    let dates = pixels.slots.len();
    let want = [dates, meta.bands.len(), meta.rows, meta.cols];
    if pixels.reflectance.shape() != want {
        return wrong(
            "reflectance",
            format!("{want:?}"),
            format!("{:?}", pixels.reflectance.shape()),
        );
    }
    let want = [dates, meta.rows, meta.cols];
    if pixels.scl.shape() != want {
        return wrong("scl", format!("{want:?}"), format!("{:?}", pixels.scl.shape()));
    }
    let rising = pixels.slots.windows(2).all(|p| p[0] < p[1])
        && pixels.slots.last().is_none_or(|&last| last < SHARD_DATES);
    let planned = pixels.slots.iter().map(|slot| meta.scenes.get(shard * SHARD_DATES + slot));
    let ids = pixels.scenes.iter().map(|s| Some(s.id.as_str()));
    if !rising || !planned.map(|s| s.map(|s| s.id.as_str())).eq(ids) {
        let found: Vec<&str> = pixels.scenes.iter().map(|s| s.id.as_str()).collect();
        let expected = "the scenes planned at those slots".to_string();
        return wrong("scenes", expected, format!("{:?} {found:?}", pixels.slots));
    }
    Ok(())
}

/// One array of the shard, encoded and synced but not yet visible.
struct Part {
    place: PathBuf,
    object: Option<(AtomicFile, ObjectRecord)>,
}

struct Job<'a> {
    store: &'a Store,
    cell: &'a CellId,
    shard: usize,
    meta: &'a CellMeta,
    kept: &'a [usize],
    slots: &'a [usize],
}

impl Job<'_> {
    fn part<T: Pixel>(
        &self,
        array: &'static str,
        key: String,
        pixels: ArrayView4<'_, T>,
    ) -> Result<Part, StoreError> {
        let place = self.store.cell_dir(self.cell).join(&key);
        let inner = Inner::of(self.meta.rows, self.meta.cols);
        let plane_bytes = INNER_PX * INNER_PX * T::BYTES;
        let date_bytes = pixels.shape()[1] * plane_bytes;
        let old = self.old(array, &place, inner)?;
        let mut file = AtomicFile::create(&place)?;
        let any = encode(&mut file, inner, SHARD_DATES * date_bytes, |row, col, raw| {
            raw.fill(0);
            if let Some((path, index)) = &old {
                let slots = self.kept.iter().map(|slot| slot * date_bytes);
                keep(path, index, (row, col), slots.map(|at| at..at + date_bytes), raw)
                    .map_err(|e| self.damaged(array, &e))?;
            }
            for (&slot, date) in self.slots.iter().zip(pixels.outer_iter()) {
                for (band, plane) in date.outer_iter().enumerate() {
                    let rows = (row * INNER_PX)..((row + 1) * INNER_PX).min(self.meta.rows);
                    let cols = (col * INNER_PX)..((col + 1) * INNER_PX).min(self.meta.cols);
                    let at = slot * date_bytes + band * plane_bytes;
                    for (line, y) in rows.enumerate() {
                        let start = at + line * INNER_PX * T::BYTES;
                        let target =
                            raw[start..start + cols.len() * T::BYTES].chunks_exact_mut(T::BYTES);
                        let source = plane.row(y);
                        let source = source.slice(ndarray::s![cols.clone()]);
                        target.zip(source).for_each(|(to, &value)| value.put(to));
                    }
                }
            }
            Ok(raw.iter().any(|&b| b != 0))
        })?;
        if !any {
            return Ok(Part { place, object: None });
        }
        let sealed = file.seal()?;
        let record = ObjectRecord { key, bytes: sealed.bytes, sha256: sealed.sha256 };
        Ok(Part { place, object: Some((file, record)) })
    }

    /// The object that holds the dates to keep, if there are any and it is not all zero.
    fn old(
        &self,
        array: &'static str,
        place: &Path,
        inner: Inner,
    ) -> Result<Option<(PathBuf, ShardIndex)>, StoreError> {
        if self.kept.is_empty() || !place.is_file() {
            return Ok(None);
        }
        let index = File::open(place)
            .map_err(DecodeError::from)
            .and_then(|mut file| ShardIndex::read(&mut file, inner))
            .map_err(|e| self.damaged(array, &e))?;
        Ok(Some((place.into(), index)))
    }

    fn damaged(&self, object: &'static str, error: &DecodeError) -> StoreError {
        StoreError::Damaged {
            cell: self.cell.clone(),
            shard: self.shard,
            object,
            reason: error.to_string(),
            manifest: self.store.manifest_path(self.cell, self.shard),
        }
    }
}

/// Copies byte ranges of an inner chunk of the old shard into the new one.
fn keep(
    path: &Path,
    index: &ShardIndex,
    place: (usize, usize),
    ranges: impl Iterator<Item = std::ops::Range<usize>>,
    raw: &mut [u8],
) -> Result<(), DecodeError> {
    let mut old = vec![0; raw.len()];
    let mut file = File::open(path)?;
    if index.chunk(&mut file, place, &mut Decoder::new()?, &mut old)? {
        for range in ranges {
            raw[range.clone()].copy_from_slice(&old[range]);
        }
    }
    Ok(())
}

/// A pixel that an array holds.
pub(crate) trait Pixel: Copy + Sync + Send {
    const BYTES: usize;
    fn put(self, to: &mut [u8]);
    fn take(from: &[u8]) -> Self;
}

impl Pixel for u16 {
    const BYTES: usize = 2;

    #[inline]
    fn put(self, to: &mut [u8]) {
        to.copy_from_slice(&self.to_le_bytes());
    }

    #[inline]
    fn take(from: &[u8]) -> Self {
        Self::from_le_bytes([from[0], from[1]])
    }
}

impl Pixel for u8 {
    const BYTES: usize = 1;

    #[inline]
    fn put(self, to: &mut [u8]) {
        to[0] = self;
    }

    #[inline]
    fn take(from: &[u8]) -> Self {
        from[0]
    }
}
