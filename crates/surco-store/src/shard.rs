//! The shard codec: inner chunks of 12 dates × all bands × 64 × 64, zstd and crc32c, with an index at the
//! end.
//!
//! # Source
//! *Zarr v3 core specification*, `sharding_indexed` codec, version 1.0: inner chunks, then an index of
//! (offset, length) pairs as little-endian u64, 2⁶⁴−1 for a chunk that is left out, then the index's
//! crc32c.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rayon::prelude::*;

use crate::StoreError;
use crate::atomic::AtomicFile;

/// Dates in a shard.
pub const SHARD_DATES: usize = 12;
/// Side of an inner chunk in pixels.
pub const INNER_PX: usize = 64;

/// Level of zstd: 3 costs half of level 6 and loses 2 % of the space on reflectances.
const ZSTD_LEVEL: i32 = 3;
/// Inner chunks encoded before they are written: bounds the memory to some tens of MB.
const BATCH: usize = 32;
const CRC_BYTES: usize = 4;
const LEFT_OUT: u64 = u64::MAX;

/// The inner chunks of a shard: how many down and across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    pub(crate) down: usize,
    pub(crate) across: usize,
}

impl Inner {
    pub(crate) fn of(rows: usize, cols: usize) -> Self {
        Self { down: rows.div_ceil(INNER_PX), across: cols.div_ceil(INNER_PX) }
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
/// `chunk(number)` gives the raw little-endian bytes of one inner chunk. Returns whether anything was
/// written: a shard of zeros needs no object.
pub(crate) fn encode<'a>(
    file: &mut AtomicFile,
    inner: Inner,
    chunk: impl Fn(usize) -> Result<Cow<'a, [u8]>, StoreError> + Sync,
) -> Result<bool, StoreError> {
    let places: Vec<usize> = (0..inner.count()).collect();
    let mut index = Vec::with_capacity(inner.index_bytes());
    let mut any = false;
    for batch in places.chunks(BATCH) {
        let encoded: Vec<Option<Vec<u8>>> = batch
            .par_iter()
            .map_init(
                || zstd::bulk::Compressor::new(ZSTD_LEVEL),
                |zstd, &place| {
                    let raw = chunk(place)?;
                    if raw.iter().all(|&b| b == 0) {
                        return Ok(None);
                    }
                    let failed = |e: &std::io::Error| std::io::Error::other(e.to_string());
                    let mut bytes = zstd
                        .as_mut()
                        .map_err(|e| failed(e))
                        .and_then(|z| z.compress(&raw))
                        .map_err(|e| StoreError::io("compress", Path::new("an inner chunk"), e))?;
                    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
                    Ok(Some(bytes))
                },
            )
            .collect::<Result<_, StoreError>>()?;
        for bytes in encoded {
            let (at, len) = match &bytes {
                Some(bytes) => (file.len(), bytes.len() as u64),
                None => (LEFT_OUT, LEFT_OUT),
            };
            index.extend(at.to_le_bytes());
            index.extend(len.to_le_bytes());
            if let Some(bytes) = bytes {
                file.write(&bytes)?;
                any = true;
            }
        }
    }
    index.extend(crc32c::crc32c(&index).to_le_bytes());
    file.write(&index)?;
    Ok(any)
}

/// The index of a written shard: where each inner chunk lies.
pub(crate) struct ShardIndex {
    inner: Inner,
    places: Vec<(u64, u64)>,
}

/// Why a shard could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Bytes(&'static str),
}

impl ShardIndex {
    /// Reads the index of a shard.
    pub(crate) fn read(file: &mut File, inner: Inner) -> Result<Self, DecodeError> {
        let mut bytes = vec![0; inner.index_bytes()];
        let length = file.metadata()?.len();
        let at = length
            .checked_sub(bytes.len() as u64)
            .ok_or(DecodeError::Bytes("shorter than its index"))?;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes)?;
        let pairs = checked(&bytes).ok_or(DecodeError::Bytes("checksum of its index"))?;
        let word = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap_or_default());
        let places: Vec<_> =
            pairs.chunks_exact(16).map(|p| (word(&p[..8]), word(&p[8..]))).collect();
        let fits = |&(start, len): &(u64, u64)| {
            start == LEFT_OUT || start.checked_add(len).is_some_and(|end| end <= at)
        };
        if !places.iter().all(fits) {
            return Err(DecodeError::Bytes("an index beyond its end"));
        }
        Ok(Self { inner, places })
    }

    /// Reads and decodes one inner chunk into `raw`; zeros if it was left out. Says whether it was there.
    pub(crate) fn chunk(
        &self,
        file: &mut File,
        place: (usize, usize),
        decoder: &mut Decoder,
        raw: &mut [u8],
    ) -> Result<bool, DecodeError> {
        let (start, len) = self.places[place.0 * self.inner.across + place.1];
        if start == LEFT_OUT {
            return Ok(false);
        }
        decoder.bytes.resize(len as usize, 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut decoder.bytes)?;
        let frame = checked(&decoder.bytes).ok_or(DecodeError::Bytes("checksum of a chunk"))?;
        let got = decoder.zstd.decompress_to_buffer(frame, raw)?;
        if got != raw.len() {
            return Err(DecodeError::Bytes("length of a chunk"));
        }
        Ok(true)
    }
}

/// Buffers that one thread keeps from chunk to chunk.
pub(crate) struct Decoder {
    zstd: zstd::bulk::Decompressor<'static>,
    bytes: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new() -> Result<Self, DecodeError> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, bytes: Vec::new() })
    }
}

/// The bytes before a trailing crc32c, if it is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*crc)).then_some(body)
}
