//! Writing a shard: pixels first, manifest last.

use ndarray::{ArrayView3, ArrayView4, Axis};
use surco_core::CellId;

use crate::manifest::{DateRecord, MANIFEST_SCHEMA};
use crate::metadata::{CellMeta, quality_key, values_key};
use crate::pixel::Pixel;
use crate::place::{Draft, Expected};
use crate::shard::{DecodeError, Decoder, INNER_PX, Inner, SHARD_DATES, Shard, encode};
use crate::store::manifest_key;
use crate::{ObjectRecord, SceneRecord, ShardManifest, Store, StoreError};

/// Dates of one shard, ready to be written.
///
/// | | shape | type |
/// |---|---|---|
/// | `slots` | `[date]` | place in the shard, 0 to 11, rising |
/// | `reflectance` | `[date, band, y, x]` | u16, 0 = no data |
/// | `scl` | `[date, y, x]`, or empty in a cell without a quality layer | u8, 0 = no data |
/// | `scenes` | `[date]` | |
#[derive(Clone, Debug)]
pub struct ShardPixels<'a> {
    /// Where in the shard each date goes.
    pub slots: &'a [usize],
    /// The measured values, whatever they are called in the store.
    pub reflectance: ArrayView4<'a, u16>,
    /// The quality layer.
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
    /// In a bucket nothing holds off a second process that adds other dates to the same shard at the same
    /// time: whoever comes second finds that out, forgets the shard and fails, and the next run collects
    /// it again. Parts of one plan never write the same shard.
    ///
    /// # Errors
    /// [`StoreError::Shape`] if shapes, slots or scenes do not fit the plan, [`StoreError::Damaged`] if
    /// dates to keep cannot be read, [`StoreError::Full`] or [`StoreError::Io`] if the disk refuses,
    /// [`StoreError::Remote`] if the service does, [`StoreError::Contended`] as above.
    pub fn write_shard(
        &self,
        cell: &CellId,
        shard: usize,
        pixels: &ShardPixels<'_>,
    ) -> Result<Written, StoreError> {
        let meta = self.meta(cell)?;
        check(cell, shard, &meta, pixels)?;
        // Begun first: on a disk it holds off other writers of this shard until it is committed.
        let mut list = self.place.begin_whole(&manifest_key(cell, shard))?;
        let (mut dates, expected) = self.kept(cell, shard, &meta, pixels.slots)?;
        let kept: Vec<usize> = dates.iter().map(|d| d.slot).collect();
        let given = pixels.slots.iter().zip(pixels.scenes);
        dates.extend(given.map(|(&slot, scene)| DateRecord { slot, scene: scene.clone() }));
        dates.sort_by_key(|d| d.slot);

        let job = Job { store: self, cell, shard, meta: &meta, kept: &kept, slots: pixels.slots };
        let name = &meta.values.name;
        let values = values_key(name, shard);
        let mut parts = vec![job.part(name, values, meta.inner(), pixels.reflectance)?];
        if let Some(quality) = &meta.quality {
            let (name, scl) = (&quality.name, pixels.scl.insert_axis(Axis(1)));
            parts.push(job.part(name, quality_key(name, shard), meta.quality_inner(), scl)?);
        }
        let mut objects = Vec::new();
        let mut written = Written::default();
        for part in parts {
            match part.object {
                Some((draft, record)) => {
                    draft.commit()?;
                    written.bytes += record.bytes;
                    objects.push(record);
                }
                None => self.place.remove(&part.key)?,
            }
        }
        let manifest = ShardManifest { schema: MANIFEST_SCHEMA, objects, dates };
        let path = || self.manifest_path(cell, shard);
        let mut bytes = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| StoreError::Metadata { path: path(), reason: e.to_string() })?;
        bytes.push(b'\n');
        list.write(&bytes)?;
        list.seal()?;
        if !list.commit_if(&expected)? {
            self.discard_shard(cell, shard)?;
            return Err(StoreError::Contended { path: path() });
        }
        Ok(written)
    }

    /// The dates of a shard that stay: done, still planned, and not written anew.
    fn kept(
        &self,
        cell: &CellId,
        shard: usize,
        meta: &CellMeta,
        given: &[usize],
    ) -> Result<(Vec<DateRecord>, Expected), StoreError> {
        let Some((manifest, stamp)) = self.manifest_as_written(cell, shard)? else {
            return Ok((Vec::new(), Expected::Nothing));
        };
        let expected = Expected::Version(stamp);
        if self.manifest(cell, shard)?.is_none() {
            return Ok((Vec::new(), expected)); // Its objects are gone.
        }
        let planned = |date: &DateRecord| {
            meta.scenes
                .get(shard * SHARD_DATES + date.slot)
                .is_some_and(|slot| slot.id == date.scene.id)
        };
        let dates = manifest.dates.into_iter();
        let kept = dates.filter(|d| !given.contains(&d.slot) && planned(d)).collect();
        Ok((kept, expected))
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
    let fits = match meta.quality {
        Some(_) => pixels.scl.shape() == want,
        None => pixels.scl.is_empty(),
    };
    if !fits && meta.quality.is_none() {
        return wrong("scl", "nothing".into(), format!("{:?}", pixels.scl.shape()));
    }
    if !fits {
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

/// One array of the shard, encoded and safe but not yet visible.
struct Part {
    key: String,
    object: Option<(Draft, ObjectRecord)>,
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
        array: &str,
        key: String,
        inner: Inner,
        pixels: ArrayView4<'_, T>,
    ) -> Result<Part, StoreError> {
        let place = &self.store.place;
        let full = format!("{}/{key}", self.cell);
        let old = match self.kept.is_empty() {
            true => None,
            false => Shard::open(place, &full, inner).map_err(|e| self.damaged(array, e))?,
        };
        // A copy only of a view with gaps, which callers have no reason to pass.
        let pixels = pixels.as_standard_layout();
        let given = pixels.as_slice().unwrap_or_default();
        let mut draft = place.begin(&full)?;
        let any = encode(&mut draft, inner, |row, col, chunk: &mut [T]| {
            chunk.fill(T::default());
            if let Some(old) = &old {
                self.keep(old, inner, (row, col), chunk).map_err(|e| self.damaged(array, e))?;
            }
            self.lay(given, inner, (row, col), chunk);
            Ok(chunk.iter().any(|&px| px != T::default()))
        })?;
        if !any {
            return Ok(Part { key: full, object: None });
        }
        let sealed = draft.seal()?;
        let record = ObjectRecord { key, bytes: sealed.bytes, sha256: sealed.sha256 };
        Ok(Part { key: full, object: Some((draft, record)) })
    }

    /// Copies the given dates into an inner chunk.
    fn lay<T: Pixel>(
        &self,
        given: &[T],
        inner: Inner,
        (row, col): (usize, usize),
        chunk: &mut [T],
    ) {
        let (all_rows, all_cols) = (self.meta.rows, self.meta.cols);
        let rows = row * INNER_PX..((row + 1) * INNER_PX).min(all_rows);
        let cols = col * INNER_PX..((col + 1) * INNER_PX).min(all_cols);
        for (date, &slot) in self.slots.iter().enumerate() {
            for band in 0..inner.bands {
                let plane = (date * inner.bands + band) * all_rows;
                for (y, from) in rows.clone().enumerate() {
                    let from = (plane + from) * all_cols;
                    let to = inner.at(y, band, slot);
                    chunk[to..to + cols.len()]
                        .copy_from_slice(&given[from + cols.start..from + cols.end]);
                }
            }
        }
    }

    /// Copies the dates that stay from the old shard into an inner chunk.
    fn keep<T: Pixel>(
        &self,
        old: &Shard,
        inner: Inner,
        (row, col): (usize, usize),
        chunk: &mut [T],
    ) -> Result<(), DecodeError> {
        let encoded = old.read(&self.store.place, row, col..col + 1)?;
        let mut px = vec![T::default(); inner.px()];
        encoded.blocks::<T>(0, 0..px.len(), &mut Decoder::new()?, |from, streams| {
            T::join(streams, 0, &mut px[from..from + streams.len() / T::BYTES]);
        })?;
        for (y, band) in (0..INNER_PX).flat_map(|y| (0..inner.bands).map(move |band| (y, band))) {
            for &slot in self.kept {
                let at = inner.at(y, band, slot);
                chunk[at..at + INNER_PX].copy_from_slice(&px[at..at + INNER_PX]);
            }
        }
        Ok(())
    }

    fn damaged(&self, object: &str, error: DecodeError) -> StoreError {
        match error {
            DecodeError::Store(error) => error,
            error => StoreError::Damaged {
                cell: self.cell.clone(),
                shard: self.shard,
                object: object.into(),
                reason: error.to_string(),
                manifest: self.store.manifest_path(self.cell, self.shard),
            },
        }
    }
}
