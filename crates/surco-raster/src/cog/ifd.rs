//! Image file directories: the tags of a TIFF, read from bytes that may not all be there yet.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::{CogError, damaged};

/// Tags read or written here.
///
/// # Source
/// Adobe, *TIFF 6.0*; OGC 19-008r4, *GeoTIFF 1.1*, Annex B; GDAL, *GTiff driver*.
pub(crate) mod tag {
    pub(crate) const SUBFILE_TYPE: u16 = 254;
    pub(crate) const WIDTH: u16 = 256;
    pub(crate) const HEIGHT: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTES: u16 = 279;
    pub(crate) const PLANAR: u16 = 284;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOUR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_HEIGHT: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTES: u16 = 325;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const PIXEL_SCALE: u16 = 33550;
    pub(crate) const TIEPOINT: u16 = 33922;
    pub(crate) const TRANSFORMATION: u16 = 34264;
    pub(crate) const GEO_KEYS: u16 = 34735;
    pub(crate) const GDAL_METADATA: u16 = 42112;
    pub(crate) const GDAL_NODATA: u16 = 42113;
}

/// Bytes of the longest text read from a tag.
pub(crate) const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Why parsing stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Bytes up to here are needed.
    More(u64),
    /// The file is no use.
    Bad(CogError),
}

impl From<CogError> for Stop {
    fn from(error: CogError) -> Self {
        Self::Bad(error)
    }
}

/// Where the bytes of a header come from.
pub(crate) trait Source {
    /// The bytes `at..at + len`, which hold `what`.
    fn bytes(&self, what: &'static str, at: u64, len: u64) -> Result<Cow<'_, [u8]>, Stop>;

    /// How many bytes there are, as far as is known.
    fn size(&self) -> u64;
}

impl Source for [u8] {
    fn bytes(&self, _what: &'static str, at: u64, len: u64) -> Result<Cow<'_, [u8]>, Stop> {
        let end = at.saturating_add(len);
        let range =
            usize::try_from(at).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
        self.get(range).map(Cow::Borrowed).ok_or(Stop::More(end))
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// Whether a TIFF counts its offsets in 4 or 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Classic,
    Big,
}

/// One tag as it stands in the directory.
#[derive(Clone, Debug)]
struct Field {
    kind: u16,
    count: u64,
    /// The value itself if it fits, else its offset.
    inline: [u8; 8],
}

/// Type of a tag's values, bytes of one, and all bytes.
type Raw<'s> = (u16, usize, Cow<'s, [u8]>);

/// A directory of tags.
#[derive(Debug)]
pub(crate) struct Ifd {
    width: Width,
    fields: BTreeMap<u16, Field>,
}

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The width of a TIFF and where its first directory lies.
pub(crate) fn read_start<S: Source + ?Sized>(source: &S) -> Result<(Width, u64), Stop> {
    let start = source.bytes("the TIFF header", 0, 8)?;
    match &start[..4] {
        [0x49, 0x49, 42, 0] => Ok((Width::Classic, le(&start[4..8]))),
        [0x49, 0x49, 43, 0] => {
            let start = source.bytes("the BigTIFF header", 0, 16)?;
            if le(&start[4..6]) != 8 {
                return Err(damaged("BigTIFF offset size", le(&start[4..6]), 8).into());
            }
            Ok((Width::Big, le(&start[8..16])))
        }
        [0x4d, 0x4d, 0, 42 | 43] => Err(CogError::Unsupported {
            what: "byte order",
            found: "big-endian (MM)".into(),
            expected: "little-endian (II)",
        }
        .into()),
        other => Err(CogError::NotTiff { found: other.to_vec() }.into()),
    }
}

impl Ifd {
    /// The directory at an offset, and the offset of the next one (0 if none).
    pub(crate) fn read<S: Source + ?Sized>(
        source: &S,
        width: Width,
        at: u64,
    ) -> Result<(Self, u64), Stop> {
        const WHAT: &str = "an image file directory";
        let (count_len, entry_len, next_len) = match width {
            Width::Classic => (2, 12, 4),
            Width::Big => (8, 20, 8),
        };
        let count = le(&source.bytes(WHAT, at, count_len)?);
        if count == 0 || count > 4096 {
            return Err(damaged("number of tags in a directory", count, "1 to 4096").into());
        }
        let body_at = at.saturating_add(count_len);
        let body = source.bytes(WHAT, body_at, count * entry_len + next_len)?;
        let (entries, next) = body.split_at((count * entry_len) as usize);
        let mut fields = BTreeMap::new();
        for entry in entries.chunks_exact(entry_len as usize) {
            let value_at = if width == Width::Classic { 8 } else { 12 };
            let mut inline = [0; 8];
            inline[..entry.len() - value_at].copy_from_slice(&entry[value_at..]);
            let field =
                Field { kind: le(&entry[2..4]) as u16, count: le(&entry[4..value_at]), inline };
            fields.insert(le(&entry[..2]) as u16, field);
        }
        Ok((Self { width, fields }, le(next)))
    }

    pub(crate) fn has(&self, tag: u16) -> bool {
        self.fields.contains_key(&tag)
    }

    /// Refuses a tag with another number of values than wanted, before any of them is read.
    pub(crate) fn check_count(
        &self,
        tag: u16,
        what: &'static str,
        want: u128,
    ) -> Result<(), CogError> {
        match self.fields.get(&tag) {
            Some(field) if u128::from(field.count) != want => Err(damaged(what, field.count, want)),
            _ => Ok(()),
        }
    }

    /// The raw bytes of a tag's value and the size of one element.
    fn raw<'s, S: Source + ?Sized>(
        &'s self,
        source: &'s S,
        tag: u16,
        max: u64,
    ) -> Result<Option<Raw<'s>>, Stop> {
        let Some(field) = self.fields.get(&tag) else { return Ok(None) };
        let size = match field.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            other => return Err(damaged("type of a tag's value", other, "1 to 18").into()),
        };
        // A hostile count must not make us fetch or allocate more than the tag can need.
        if field.count > max {
            let expected = format!("at most {max} in tag {tag}");
            return Err(damaged("number of values of a tag", field.count, expected).into());
        }
        let len = field.count.saturating_mul(size);
        let room = if self.width == Width::Classic { 4 } else { 8 };
        let bytes = if len <= room {
            Cow::Borrowed(&field.inline[..len as usize])
        } else {
            source.bytes("the value of a tag", le(&field.inline[..room as usize]), len)?
        };
        Ok(Some((field.kind, size as usize, bytes)))
    }

    /// The values, at most `max` of them, of an integer tag, or nothing if it is absent.
    pub(crate) fn integers<S: Source + ?Sized>(
        &self,
        source: &S,
        tag: u16,
        max: u64,
    ) -> Result<Option<Vec<u64>>, Stop> {
        let Some((kind, size, bytes)) = self.raw(source, tag, max)? else { return Ok(None) };
        if !matches!(kind, 1 | 3 | 4 | 13 | 16 | 18) {
            let expected = format!("an unsigned integer in tag {tag}");
            return Err(damaged("type of a tag's value", kind, expected).into());
        }
        Ok(Some(bytes.chunks_exact(size).map(le).collect()))
    }

    /// The values of a tag that lists blocks: never bytes, so that what is held of a list stays in
    /// proportion to what the file holds of it.
    pub(crate) fn list<S: Source + ?Sized>(
        &self,
        source: &S,
        tag: u16,
    ) -> Result<Option<Vec<u64>>, Stop> {
        if self.fields.get(&tag).is_some_and(|field| field.kind == 1) {
            let expected = format!("2, 4 or 8 bytes each in tag {tag}");
            return Err(damaged("type of a tag's value", "bytes", expected).into());
        }
        self.integers(source, tag, u64::MAX)
    }

    /// The single value of an integer tag, or nothing if it is absent.
    pub(crate) fn integer<S: Source + ?Sized>(
        &self,
        source: &S,
        tag: u16,
    ) -> Result<Option<u64>, Stop> {
        Ok(self.integers(source, tag, 1)?.and_then(|values| values.first().copied()))
    }

    /// The values of a float tag, or nothing if it is absent.
    pub(crate) fn floats<S: Source + ?Sized>(
        &self,
        source: &S,
        tag: u16,
    ) -> Result<Option<Vec<f64>>, Stop> {
        let Some((kind, _, bytes)) = self.raw(source, tag, 64)? else { return Ok(None) };
        if kind != 12 {
            let expected = format!("12 (double) in tag {tag}");
            return Err(damaged("type of a tag's value", kind, expected).into());
        }
        Ok(Some(bytes.chunks_exact(8).map(|b| f64::from_bits(le(b))).collect()))
    }

    /// The text of a tag, at most `max` bytes, without its closing zero, or nothing if it is absent.
    pub(crate) fn text<S: Source + ?Sized>(
        &self,
        source: &S,
        tag: u16,
        max: u64,
    ) -> Result<Option<String>, Stop> {
        let Some((_, size, bytes)) = self.raw(source, tag, max)? else {
            return Ok(None);
        };
        if size != 1 {
            return Err(
                damaged("type of a tag's value", "numbers", format!("text in tag {tag}")).into()
            );
        }
        Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').trim().to_owned()))
    }
}
