//! The shard codec: inner chunks of 12 dates × all bands × 64 × 64 with Blosc and crc32c, and an index
//! at the end.
//!
//! Inside a chunk the pixels lie row by row of the ground: `[y, band, time, x]`. A row of a band of half
//! the resolution then equals the row before it over thousands of bytes, and a window needs only the
//! blocks of its own rows.
//!
//! # Source
//! *Zarr v3 core specification*, `sharding_indexed` codec, version 1.0: inner chunks, then an index of
//! (offset, length) pairs as little-endian u64, 2⁶⁴−1 for a chunk that is left out, then the index's
//! crc32c.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use zstd::bulk::Decompressor;

use crate::StoreError;
use crate::blosc::{Encoder, Frame, block_rows};
use crate::pixel::Pixel;
use crate::place::{Draft, Place, Stamp};

/// Dates in a shard.
pub const SHARD_DATES: usize = 12;
/// Side of an inner chunk in pixels.
pub const INNER_PX: usize = 64;

/// Inner chunks encoded before they are written: bounds the memory to some tens of MB.
const BATCH: usize = 16;
const CRC_BYTES: usize = 4;
const LEFT_OUT: u64 = u64::MAX;

/// The inner chunks of a shard: how many down and across, and of how many bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) down: usize,
    pub(crate) across: usize,
    pub(crate) bands: usize,
}

impl Inner {
    pub(crate) fn of(rows: usize, cols: usize, bands: usize) -> Self {
        Self { down: rows.div_ceil(INNER_PX), across: cols.div_ceil(INNER_PX), bands }
    }

    /// Pixels of an inner chunk.
    pub(crate) fn px(self) -> usize {
        self.row_px() * INNER_PX
    }

    /// Where in an inner chunk a row of 64 pixels begins.
    pub(crate) fn at(self, y: usize, band: usize, slot: usize) -> usize {
        ((y * self.bands + band) * SHARD_DATES + slot) * INNER_PX
    }

    /// Bytes of a block of an inner chunk, as the metadata state them.
    pub(crate) fn block_bytes<T: Pixel>(self) -> usize {
        self.block_px::<T>() * T::BYTES
    }

    /// Pixels of one row of the ground: all its bands and dates.
    fn row_px(self) -> usize {
        self.bands * SHARD_DATES * INNER_PX
    }

    fn block_px<T: Pixel>(self) -> usize {
        self.row_px() * block_rows::<T>(INNER_PX, self.row_px())
    }

    pub(crate) fn count(self) -> usize {
        self.down * self.across
    }

    fn index_bytes(self) -> usize {
        self.count() * 16 + CRC_BYTES
    }
}

/// Encodes a shard into an object in the making, inner chunks in row order.
///
/// `chunk(row, col, pixels)` fills one inner chunk and says whether any of it is not zero. Returns
/// whether anything was written: a shard of zeros needs no object. While a batch is encoded the one
/// before it is hashed and written.
pub(crate) fn encode<T: Pixel>(
    draft: &mut Draft,
    inner: Inner,
    chunk: impl Fn(usize, usize, &mut [T]) -> Result<bool, StoreError> + Sync,
) -> Result<bool, StoreError> {
    let places: Vec<usize> = (0..inner.count()).collect();
    let pools = Pools { workers: Pool::default(), chunks: Pool::default() };
    let index = Vec::with_capacity(inner.index_bytes());
    let mut sink = Sink { draft, index, any: false, spare: &pools.chunks };
    let mut ready = Vec::new();
    for batch in places.chunks(BATCH) {
        let (encoded, written) = rayon::join(
            || encode_batch(inner, batch, &pools, &chunk),
            || sink.append(std::mem::take(&mut ready)),
        );
        written?;
        ready = encoded?;
    }
    sink.append(ready)?;
    sink.finish()
}

fn encode_batch<T: Pixel>(
    inner: Inner,
    batch: &[usize],
    pools: &Pools<T>,
    chunk: &(impl Fn(usize, usize, &mut [T]) -> Result<bool, StoreError> + Sync),
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let failed = |e: io::Error| StoreError::io("compress", Path::new("an inner chunk"), e);
    let encode = |place: &usize| {
        let mut worker = match pools.workers.take() {
            Some(worker) => worker,
            None => (vec![T::default(); inner.px()], Encoder::new::<T>().map_err(failed)?),
        };
        let (px, encoder) = &mut worker;
        let mut bytes = None;
        if chunk(place / inner.across, place % inner.across, px)? {
            let mut out = pools.chunks.take().unwrap_or_default();
            encoder.encode(px, inner.block_px::<T>(), &mut out).map_err(failed)?;
            out.extend(crc32c::crc32c(&out).to_le_bytes());
            bytes = Some(out);
        }
        pools.workers.put(worker);
        Ok(bytes)
    };
    batch.par_iter().map(encode).collect()
}

/// What is used again from chunk to chunk, because fresh memory costs as much as compressing into it.
struct Pools<T> {
    workers: Pool<(Vec<T>, Encoder)>,
    chunks: Pool<Vec<u8>>,
}

struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pool<T> {
    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, item: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }
}

/// Where encoded chunks go, in order.
struct Sink<'a> {
    draft: &'a mut Draft,
    index: Vec<u8>,
    any: bool,
    spare: &'a Pool<Vec<u8>>,
}

impl Sink<'_> {
    fn append(&mut self, chunks: Vec<Option<Vec<u8>>>) -> Result<(), StoreError> {
        for bytes in chunks {
            let (at, len) = match &bytes {
                Some(bytes) => (self.draft.len(), bytes.len() as u64),
                None => (LEFT_OUT, LEFT_OUT),
            };
            self.index.extend(at.to_le_bytes());
            self.index.extend(len.to_le_bytes());
            if let Some(bytes) = bytes {
                self.draft.write(&bytes)?;
                self.any = true;
                self.spare.put(bytes);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<bool, StoreError> {
        self.index.extend(crc32c::crc32c(&self.index).to_le_bytes());
        self.draft.write(&self.index)?;
        Ok(self.any)
    }
}

/// A written shard: which object, and where in it each inner chunk lies.
#[derive(Debug)]
pub(crate) struct Shard {
    key: String,
    inner: Inner,
    stamp: Stamp,
    places: Vec<(u64, u64)>,
}

/// Why a shard could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is another one than when its index was read.
    #[error("it changed while it was read")]
    Changed,
    #[error("{0}")]
    Bytes(&'static str),
}

impl Shard {
    /// Reads the index of a shard; nothing if there is no such object.
    pub(crate) fn open(
        place: &Place,
        key: &str,
        inner: Inner,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(tail) = place.tail(key, inner.index_bytes())? else { return Ok(None) };
        if tail.bytes.len() < inner.index_bytes() {
            return Err(DecodeError::Bytes("shorter than its index"));
        }
        let end = tail.stamp.length - tail.bytes.len() as u64;
        let pairs = checked(&tail.bytes).ok_or(DecodeError::Bytes("checksum of its index"))?;
        let word = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap_or_default());
        let places: Vec<_> =
            pairs.chunks_exact(16).map(|p| (word(&p[..8]), word(&p[8..]))).collect();
        let fits = |&(start, len): &(u64, u64)| {
            start == LEFT_OUT || start.checked_add(len).is_some_and(|past| past <= end)
        };
        if !places.iter().all(fits) {
            return Err(DecodeError::Bytes("an index beyond its end"));
        }
        Ok(Some(Self { key: key.into(), inner, stamp: tail.stamp, places }))
    }

    /// Reads neighbours in a row of inner chunks with one request.
    pub(crate) fn read(
        &self,
        place: &Place,
        row: usize,
        cols: Range<usize>,
    ) -> Result<Encoded<'_>, DecodeError> {
        let first = row * self.inner.across + cols.start;
        let places = &self.places[first..first + cols.len()];
        let there = || places.iter().filter(|p| p.0 != LEFT_OUT);
        let start = there().map(|p| p.0).min().unwrap_or(0);
        let end = there().map(|p| p.0 + p.1).max().unwrap_or(0);
        let bytes = match end > start {
            true => place.range(&self.key, &self.stamp, start..end)?.ok_or(DecodeError::Changed)?,
            false => Vec::new(),
        };
        Ok(Encoded { inner: self.inner, places, start, bytes })
    }
}

/// Inner chunks as they lie in the shard.
pub(crate) struct Encoded<'a> {
    inner: Inner,
    places: &'a [(u64, u64)],
    start: u64,
    bytes: Vec<u8>,
}

impl Encoded<'_> {
    /// Gives `take(first pixel, streams)` the blocks of a chunk that hold some of these pixels; none if
    /// the chunk was left out, which means zeros.
    pub(crate) fn blocks<T: Pixel>(
        &self,
        chunk: usize,
        px: Range<usize>,
        decoder: &mut Decoder,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), DecodeError> {
        let (start, len) = self.places[chunk];
        if start == LEFT_OUT {
            return Ok(());
        }
        let from = (start - self.start) as usize;
        let frame = self.bytes.get(from..from + len as usize).and_then(checked);
        let frame = frame.ok_or(DecodeError::Bytes("checksum of a chunk"))?;
        let frame = Frame::parse::<T>(frame, self.inner.px());
        let frame = frame.ok_or(DecodeError::Bytes("form of a chunk"))?;
        let block_px = frame.block_bytes() / T::BYTES;
        for block in px.start / block_px..px.end.div_ceil(block_px).min(frame.blocks()) {
            let streams = frame.streams(block, &mut decoder.zstd, &mut decoder.streams);
            take(block * block_px, streams.ok_or(DecodeError::Bytes("length of a chunk"))?);
        }
        Ok(())
    }
}

/// Buffers that one thread keeps from chunk to chunk.
pub(crate) struct Decoder {
    zstd: Decompressor<'static>,
    streams: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> Result<Self, DecodeError> {
        let zstd = Decompressor::new().map_err(|_| DecodeError::Bytes("no memory to decode it"))?;
        Ok(Self { zstd, streams: Vec::new() })
    }
}

/// The bytes before a trailing crc32c, if it is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}
