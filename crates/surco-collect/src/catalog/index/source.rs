//! A file of an index, on disk or behind HTTP, of which only the needed parts are read.

use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::task::JoinSet;

use super::super::{network, unreadable};
use crate::CollectError;
use crate::fetch::{FetchError, Hub, RangeReader};
use crate::href::{Href, Place};

/// Bytes at the end that are fetched first: the footer of most.
const TAIL_BYTES: u64 = 256 << 10;
/// The largest footer: 3,000 columns in 1,000 row groups have less.
const MAX_FOOTER_BYTES: u64 = 256 << 20;
/// Parts this close are fetched as one.
const GAP_BYTES: u64 = 64 << 10;
/// One request fetches at most this much.
const REQUEST_BYTES: u64 = 4 << 20;
/// The most that is fetched of one row group: it is held in memory, and unpacked it is several times that.
const GROUP_BYTES: u64 = 512 << 20;
/// Requests at the same time.
const REQUESTS: usize = 8;

/// Parts of the file that are here, by their place.
type Parts = Arc<RwLock<Vec<(u64, Bytes)>>>;

/// The file.
pub(super) struct Source {
    href: Href,
    reader: RangeReader,
    length: u64,
    parts: Parts,
}

/// What the parquet reader reads.
pub(super) struct Chunks {
    length: u64,
    parts: Parts,
}

impl Source {
    /// Fetches the footer.
    pub(super) async fn open(place: &Place, hub: &Arc<Hub>) -> Result<Self, CollectError> {
        let href = place.href();
        let reader = RangeReader::new(&href, hub);
        let failed = |e: FetchError| match e {
            FetchError::Gone(reason) => {
                let remedy = "check the address, or download the index and give its path";
                unreadable(href.to_string(), format!("{reason}; {remedy}"))
            }
            other => network(&href, &other),
        };
        let length = reader.read(0..4).await.map_err(failed)?.total;
        let no_index = |why: &str| unreadable(href.to_string(), why);
        if length < 12 {
            return Err(no_index("too short for a parquet file"));
        }
        let mut start = length.saturating_sub(TAIL_BYTES);
        let mut tail = reader.read(start..length).await.map_err(failed)?.bytes;
        let end = tail.last_chunk::<8>().filter(|end| end.ends_with(b"PAR1"));
        let Some(&[a, b, c, d, ..]) = end else {
            return Err(no_index("no parquet file: it does not end in PAR1"));
        };
        let footer = u64::from(u32::from_le_bytes([a, b, c, d])) + 8;
        if footer > length.min(MAX_FOOTER_BYTES) {
            return Err(no_index("no parquet file: its footer is longer than it can be"));
        }
        if footer > tail.len() as u64 {
            start = length - footer;
            tail = reader.read(start..length).await.map_err(failed)?.bytes;
        }
        let parts = Arc::new(RwLock::new(vec![(start, Bytes::from(tail))]));
        Ok(Self { reader, length, parts, href })
    }

    pub(super) fn chunks(&self) -> Chunks {
        Chunks { length: self.length, parts: self.parts.clone() }
    }

    /// Fetches parts of a row group.
    pub(super) async fn fetch(&self, wanted: &[Range<u64>]) -> Result<(), CollectError> {
        let joined = join(wanted);
        let bytes: u64 = joined.iter().map(|range| range.end - range.start).sum();
        if bytes > GROUP_BYTES || joined.last().is_some_and(|last| last.end > self.length) {
            let reason = format!(
                "a row group has {} MB of needed columns, of {} MB of the file; write the index in row \
                 groups of 100,000 items or less",
                bytes >> 20,
                self.length >> 20
            );
            return Err(unreadable(self.href.to_string(), reason));
        }
        let mut requests = Vec::new();
        for range in joined {
            let mut start = range.start;
            while start < range.end {
                let end = (start + REQUEST_BYTES).min(range.end);
                requests.push((range.start, start..end));
                start = end;
            }
        }
        let mut fetched = Vec::new();
        for several in requests.chunks(REQUESTS) {
            let mut tasks = JoinSet::new();
            for (whole, range) in several.iter().cloned() {
                let reader = self.reader.clone();
                tasks.spawn(async move { (whole, range.start, reader.read(range).await) });
            }
            while let Some(done) = tasks.join_next().await {
                let (whole, start, part) =
                    done.map_err(|e| CollectError::Runtime(io::Error::other(e)))?;
                let part = part.map_err(|e| network(&self.href, &e))?;
                fetched.push((whole, start, part.bytes));
            }
        }
        fetched.sort_by_key(|part| part.1);
        let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
        for (whole, _, bytes) in fetched {
            match parts.last_mut() {
                Some(last) if last.0 == whole => last.1.extend(bytes),
                _ => parts.push((whole, bytes)),
            }
        }
        let mut here = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        here.extend(parts.into_iter().map(|(start, bytes)| (start, Bytes::from(bytes))));
        Ok(())
    }

    /// Lets go of all parts but the footer.
    pub(super) fn forget(&self) {
        self.parts.write().unwrap_or_else(PoisonError::into_inner).truncate(1);
    }
}

/// Ranges in order, close ones as one.
fn join(wanted: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut wanted = wanted.to_vec();
    wanted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in wanted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP_BYTES) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

impl Chunks {
    /// What is here from a place on.
    fn from(&self, start: u64) -> Option<Bytes> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.iter().find_map(|(at, bytes)| {
            let skip = usize::try_from(start.checked_sub(*at)?).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let bytes = self.from(start).ok_or_else(|| absent(start))?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start).filter(|bytes| length <= bytes.len());
        Ok(bytes.ok_or_else(|| absent(start))?.slice(..length))
    }
}

fn absent(start: u64) -> ParquetError {
    ParquetError::EOF(format!("its columns lead to byte {start}, where none of them lies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_parts_are_fetched_as_one_and_distant_ones_apart() {
        let far = 10 * GAP_BYTES;
        let wanted = [far..far + 5, 10..20, 0..10, 25..30];
        assert_eq!(join(&wanted), [0..30, far..far + 5]);
        assert_eq!(join(&[]), []);
    }
}
