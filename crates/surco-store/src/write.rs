//! Writing a shard: pixels first, manifest last.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use surco_core::CellId;

use crate::atomic::{AtomicFile, remove_object, write_object};
use crate::manifest::{DateRecord, MANIFEST_SCHEMA};
use crate::metadata::CellMeta;
use crate::shard::{DecodeError, Decoder, INNER_PX, Inner, SHARD_DATES, ShardIndex, encode};
use crate::{ObjectRecord, SceneRecord, ShardBuffer, ShardManifest, Store, StoreError};

/// Dates of one shard, ready to be written.
///
/// Values are 16-bit numbers and quality is a byte, both 0 where there is no data.
#[derive(Debug)]
pub struct ShardPixels<'a> {
    /// Where in the shard the dates lie, 0 to 11, rising; the buffer holds nothing elsewhere.
    pub slots: &'a [usize],
    /// The pixels of these slots.
    pub buffer: &'a mut ShardBuffer,
    /// Provenance and holes of each date.
    pub scenes: &'a [SceneRecord],
}

/// What a shard came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the objects written, the manifest not counted.
    pub bytes: u64,
}

/// A shard that is encoded but not yet synced, and invisible until [`StagedShard::commit`].
#[must_use]
#[derive(Debug)]
pub struct StagedShard {
    parts: Vec<Part>,
    dates: Vec<DateRecord>,
    manifest: PathBuf,
}

impl StagedShard {
    /// Syncs the shard's objects, puts them in their places, and the manifest last.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`] if the disk refuses.
    pub fn commit(self) -> Result<Written, StoreError> {
        let (mut objects, mut written) = (Vec::new(), Written::default());
        let mut ready = Vec::new();
        for part in self.parts {
            ready.push(match part.file {
                Some(mut file) => {
                    let sealed = file.seal()?;
                    written.bytes += sealed.bytes;
                    let (bytes, sha256) = (sealed.bytes, sealed.sha256);
                    objects.push(ObjectRecord { key: part.key, bytes, sha256 });
                    (part.place, Some(file))
                }
                None => (part.place, None),
            });
        }
        for (place, file) in ready {
            match file {
                Some(file) => file.commit()?,
                None => remove_object(&place)?,
            }
        }
        let manifest = ShardManifest { schema: MANIFEST_SCHEMA, objects, dates: self.dates };
        let mut bytes = serde_json::to_vec_pretty(&manifest).map_err(|e| {
            StoreError::Metadata { path: self.manifest.clone(), reason: e.to_string() }
        })?;
        bytes.push(b'\n');
        write_object(&self.manifest, &bytes)?;
        Ok(written)
    }
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
        pixels: ShardPixels<'_>,
    ) -> Result<Written, StoreError> {
        self.stage_shard(cell, shard, pixels)?.commit()
    }

    /// The first half of [`Store::write_shard`]: encodes, so that the buffer is free again while the disk
    /// syncs.
    ///
    /// # Errors
    /// As [`Store::write_shard`].
    pub fn stage_shard(
        &self,
        cell: &CellId,
        shard: usize,
        pixels: ShardPixels<'_>,
    ) -> Result<StagedShard, StoreError> {
        let meta = self.meta(cell)?;
        check(cell, shard, &meta, &pixels)?;
        let mut dates = self.kept(cell, shard, &meta, pixels.slots)?;
        let kept: Vec<usize> = dates.iter().map(|d| d.slot).collect();
        let given = pixels.slots.iter().zip(pixels.scenes);
        dates.extend(given.map(|(&slot, scene)| DateRecord { slot, scene: scene.clone() }));
        dates.sort_by_key(|d| d.slot);
        pixels.buffer.settle();
        let buffer = &*pixels.buffer;
        let job = Job { store: self, cell, shard, meta: &meta, kept: &kept, slots: pixels.slots };
        let bands = meta.bands.len();
        let parts = vec![
            job.part("reflectance", format!("reflectance/c/{shard}/0/0/0"), bands * 2, |chunk| {
                bytemuck::cast_slice(buffer.value_chunk(chunk))
            })?,
            job.part("scl", format!("scl/c/{shard}/0/0"), 1, |chunk| buffer.quality_chunk(chunk))?,
        ];
        Ok(StagedShard { parts, dates, manifest: self.manifest_path(cell, shard) })
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
    let want = (meta.bands.len(), meta.rows, meta.cols);
    if pixels.buffer.shape() != want {
        return wrong("pixels", format!("{want:?}"), format!("{:?}", pixels.buffer.shape()));
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

/// One array of the shard, encoded but not yet visible; no file if it is all zero.
#[derive(Debug)]
struct Part {
    key: String,
    place: PathBuf,
    file: Option<AtomicFile>,
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
    /// Encodes one array; `pixel_bytes` is a pixel's share of all bands of a date.
    fn part<'b>(
        &self,
        array: &'static str,
        key: String,
        pixel_bytes: usize,
        chunk: impl Fn(usize) -> &'b [u8] + Sync,
    ) -> Result<Part, StoreError> {
        let place = self.store.cell_dir(self.cell).join(&key);
        let inner = Inner::of(self.meta.rows, self.meta.cols);
        let date_bytes = INNER_PX * INNER_PX * pixel_bytes;
        let old = self.old(array, &place, inner)?;
        let dates = |slots: &[usize]| -> Vec<Range<usize>> {
            slots.iter().map(|slot| slot * date_bytes..(slot + 1) * date_bytes).collect()
        };
        let (given, kept) = (dates(self.slots), dates(self.kept));
        let mut file = AtomicFile::create(&place)?;
        let any = encode(&mut file, inner, |number| {
            let new = chunk(number);
            let Some((path, index)) = &old else {
                return Ok(Cow::Borrowed(new));
            };
            let mut raw = vec![0; new.len()];
            let at = (number / inner.across, number % inner.across);
            keep(path, index, at, kept.iter().cloned(), &mut raw)
                .map_err(|e| self.damaged(array, &e))?;
            given.iter().for_each(|r| raw[r.clone()].copy_from_slice(&new[r.clone()]));
            Ok(Cow::Owned(raw))
        })?;
        Ok(Part { key, place, file: any.then_some(file) })
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
    fn take(from: &[u8]) -> Self;
}

impl Pixel for u16 {
    const BYTES: usize = 2;

    #[inline]
    fn take(from: &[u8]) -> Self {
        Self::from_le_bytes([from[0], from[1]])
    }
}

impl Pixel for u8 {
    const BYTES: usize = 1;

    #[inline]
    fn take(from: &[u8]) -> Self {
        from[0]
    }
}

#[cfg(target_endian = "big")]
compile_error!("the shard buffer is written as it lies in memory, which must be little-endian");
