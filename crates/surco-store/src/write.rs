//! Writing a shard: pixels first, manifest last.

use surco_core::CellId;

use crate::manifest::{DateRecord, MANIFEST_SCHEMA};
use crate::metadata::{CellMeta, quality_key, values_key};
use crate::pixel::Pixel;
use crate::place::{Draft, Expected};
use crate::shard::{DecodeError, Decoder, INNER_PX, Inner, SHARD_DATES, Shard, encode};
use crate::store::manifest_key;
use crate::{ObjectRecord, SceneRecord, ShardBuffer, ShardManifest, Store, StoreError};

/// Dates of one shard, ready to be written.
#[derive(Debug)]
pub struct ShardPixels<'a> {
    /// Where in the shard the dates lie, 0 to 11, rising; the buffer holds nothing elsewhere.
    pub slots: &'a [usize],
    /// The pixels of these slots; its quality is not read in a cell without a quality layer.
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

/// A shard that is encoded, and invisible until [`StagedShard::commit`].
#[must_use]
pub struct StagedShard {
    store: Store,
    cell: CellId,
    shard: usize,
    parts: Vec<Part>,
    dates: Vec<DateRecord>,
    /// The manifest in the making.
    list: Draft,
    expected: Expected,
}

impl StagedShard {
    /// Brings the shard's objects to safety, puts them in their places, and the manifest last.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`] if the disk refuses, [`StoreError::Remote`] if the service
    /// does, [`StoreError::Contended`] if another process wrote other dates of the shard meanwhile.
    pub fn commit(mut self) -> Result<Written, StoreError> {
        let (mut objects, mut written) = (Vec::new(), Written::default());
        for part in &mut self.parts {
            if let Some(draft) = &mut part.draft {
                let sealed = draft.seal()?;
                written.bytes += sealed.bytes;
                let (bytes, sha256) = (sealed.bytes, sealed.sha256);
                objects.push(ObjectRecord { key: part.key.clone(), bytes, sha256 });
            }
        }
        for part in self.parts {
            match part.draft {
                Some(draft) => draft.commit()?,
                None => self.store.place.remove(&format!("{}/{}", self.cell, part.key))?,
            }
        }
        let manifest = ShardManifest { schema: MANIFEST_SCHEMA, objects, dates: self.dates };
        let path = || self.store.manifest_path(&self.cell, self.shard);
        let mut bytes = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| StoreError::Metadata { path: path(), reason: e.to_string() })?;
        bytes.push(b'\n');
        self.list.write(&bytes)?;
        self.list.seal()?;
        if !self.list.commit_if(&self.expected)? {
            self.store.discard_shard(&self.cell, self.shard)?;
            return Err(StoreError::Contended { path: path() });
        }
        Ok(written)
    }
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
        // Begun first: on a disk it holds off other writers of this shard until it is committed.
        let list = self.place.begin_whole(&manifest_key(cell, shard))?;
        let (mut dates, expected) = self.kept(cell, shard, &meta, pixels.slots)?;
        let kept: Vec<usize> = dates.iter().map(|d| d.slot).collect();
        let given = pixels.slots.iter().zip(pixels.scenes);
        dates.extend(given.map(|(&slot, scene)| DateRecord { slot, scene: scene.clone() }));
        dates.sort_by_key(|d| d.slot);
        pixels.buffer.settle();
        let buffer = &*pixels.buffer;
        let job = Job { store: self, cell, shard, kept: &kept, slots: pixels.slots };
        let name = &meta.values.name;
        let values = |chunk| buffer.value_chunk(chunk);
        let mut parts = vec![job.part(name, values_key(name, shard), meta.inner(), values)?];
        if let Some(quality) = &meta.quality {
            let (name, inner) = (&quality.name, meta.quality_inner());
            let classes = |chunk| buffer.quality_chunk(chunk);
            parts.push(job.part(name, quality_key(name, shard), inner, classes)?);
        }
        let (store, cell) = (self.clone(), cell.clone());
        Ok(StagedShard { store, cell, shard, parts, dates, list, expected })
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

/// One array of the shard, encoded but not yet visible; no draft if it is all zero.
struct Part {
    key: String,
    draft: Option<Draft>,
}

struct Job<'a> {
    store: &'a Store,
    cell: &'a CellId,
    shard: usize,
    kept: &'a [usize],
    slots: &'a [usize],
}

impl Job<'_> {
    /// Encodes one array; `pixels` gives an inner chunk of the buffer.
    fn part<'b, T: Pixel>(
        &self,
        array: &str,
        key: String,
        inner: Inner,
        pixels: impl Fn(usize) -> &'b [T] + Sync,
    ) -> Result<Part, StoreError> {
        let place = &self.store.place;
        let full = format!("{}/{key}", self.cell);
        let old = match self.kept.is_empty() {
            true => None,
            false => Shard::open(place, &full, inner).map_err(|e| self.damaged(array, e))?,
        };
        let mut draft = place.begin(&full)?;
        let any = encode(&mut draft, inner, |row, col, chunk: &mut [T]| {
            let given = pixels(row * inner.across + col);
            let kept = old.as_ref();
            // Most chunks of a sample hold nothing, and need no place.
            if kept.is_none() && given.iter().all(|&px| px == T::default()) {
                return Ok(false);
            }
            if self.slots.len() < SHARD_DATES {
                chunk.fill(T::default());
            }
            if let Some(old) = kept {
                self.keep(old, inner, (row, col), chunk).map_err(|e| self.damaged(array, e))?;
            }
            self.lay(given, inner, chunk);
            Ok(kept.is_none() || chunk.iter().any(|&px| px != T::default()))
        })?;
        Ok(Part { key, draft: any.then_some(draft) })
    }

    /// Copies the given dates into an inner chunk.
    fn lay<T: Pixel>(&self, given: &[T], inner: Inner, chunk: &mut [T]) {
        for (y, band) in (0..INNER_PX).flat_map(|y| (0..inner.bands).map(move |band| (y, band))) {
            for &slot in self.slots {
                let from = ((slot * inner.bands + band) * INNER_PX + y) * INNER_PX;
                let to = inner.at(y, band, slot);
                chunk[to..to + INNER_PX].copy_from_slice(&given[from..from + INNER_PX]);
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
