//! The header of a GeoTIFF: what its pixels are and where their blocks lie.

use std::ops::Range;

use surco_core::{Georef, Window};

use super::error::{CogError, damaged};
use super::geo::{read_georef, square};
use super::ifd::{Ifd, MAX_TEXT_BYTES, Source, Stop, read_start, tag};
use super::sample::SampleKind;
use crate::warp::PixelGrid;

/// Bytes from the beginning of a file in which [`Header::parse`] expects the whole header.
pub const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Bytes a block may take once decompressed.
const MAX_BLOCK_BYTES: u64 = 256 << 20;

/// Directories a file may have.
const MAX_IFDS: usize = 64;

/// Bytes of the text of a nodata value: GDAL writes at most 25.
const MAX_NODATA_BYTES: u64 = 256;

/// Bytes that a block takes at least in the lists of offsets and lengths.
const LISTED_BYTES: u64 = 4;

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Deflate in a zlib envelope (codes 8 and 32946).
    Deflate,
}

/// What was done to samples before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    /// Nothing (1).
    None,
    /// Difference to the sample on the left (2).
    Horizontal,
    /// Bytes of floats sorted by weight, then differences (3).
    Float,
}

impl Predictor {
    /// Value of the TIFF tag `Predictor`.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Horizontal => 2,
            Self::Float => 3,
        }
    }
}

/// Whether bands share blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planar {
    /// A block holds all bands, pixel by pixel.
    Chunky,
    /// Each band has its own blocks.
    Separate,
}

/// Where a block lies in the file; a block of no bytes is all nodata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// What the pixels of an image are and where their blocks lie.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bands.
    pub bands: usize,
    /// Type of the samples.
    pub sample: SampleKind,
    /// Columns and rows of a block. Strips are blocks as wide as the image.
    pub block: (usize, usize),
    /// All blocks, row by row; the blocks of one band after those of the other if `planar` is
    /// [`Planar::Separate`].
    pub blocks: Vec<BlockRef>,
    /// Whether the last row of blocks is stored cut (strips) rather than padded (tiles).
    pub strips: bool,
    /// The grid, if the file states one and its pixels are square.
    pub georef: Option<Georef>,
    /// The grid, if the file states one, whatever its pixels; overviews state none.
    pub grid: Option<PixelGrid>,
    /// The value that stands for "no data", as the file states it.
    pub nodata: Option<f64>,
    /// How blocks are compressed.
    pub compression: Compression,
    /// What was done to samples before compression.
    pub predictor: Predictor,
    /// Whether bands share blocks.
    pub planar: Planar,
    /// GDAL's metadata as XML (band names among it), if any.
    pub gdal_metadata: Option<String>,
    /// The same image at lower resolution, largest first.
    pub overviews: Vec<Header>,
}

/// What came of reading a header from the first bytes of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// The whole header.
    Header(Box<Header>),
    /// The header goes on: try again with at least this many bytes from the beginning.
    NeedMore {
        /// Bytes from the beginning of the file; never over [`MAX_HEADER_BYTES`].
        bytes: u64,
    },
}

impl Header {
    /// The header, from the first bytes of a file, or how many more of them are needed.
    ///
    /// Blocks may still lie past the end of the file: see [`Header::check_len`].
    ///
    /// # Errors
    /// [`CogError`] if this is no TIFF, one of a sort that is not read here, or a damaged one;
    /// [`CogError::HeaderTooFar`] if it needs more than [`MAX_HEADER_BYTES`].
    pub fn parse(prefix: &[u8]) -> Result<Parsed, CogError> {
        match Self::read(prefix) {
            Ok(header) => Ok(Parsed::Header(Box::new(header))),
            Err(Stop::Bad(error)) => Err(error),
            Err(Stop::More(end)) if end > MAX_HEADER_BYTES => {
                Err(CogError::HeaderTooFar { end, limit: MAX_HEADER_BYTES })
            }
            Err(Stop::More(bytes)) => Ok(Parsed::NeedMore { bytes }),
        }
    }

    /// Checks that all blocks, those of overviews too, lie in a file of this many bytes.
    ///
    /// # Errors
    /// [`CogError::Truncated`] if one does not.
    pub fn check_len(&self, file_len: u64) -> Result<(), CogError> {
        let ends = self.blocks.iter().map(|b| b.offset.saturating_add(b.len));
        let end = ends.max().unwrap_or(0);
        if end > file_len {
            return Err(CogError::Truncated { what: "a block", end, len: file_len });
        }
        self.overviews.iter().try_for_each(|o| o.check_len(file_len))
    }

    /// Checks that pixels are square, if the file states a grid.
    ///
    /// # Errors
    /// [`CogError::Georef`] if they are not.
    pub fn check_square(&self) -> Result<(), CogError> {
        match (&self.grid, &self.georef) {
            (Some(grid), None) => Err(CogError::Georef {
                what: "pixel size",
                found: format!("{} x {}", grid.dx, grid.dy),
                expected: "square and north-up",
            }),
            _ => Ok(()),
        }
    }

    /// The whole image as a window.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { row: 0, col: 0, rows: self.height, cols: self.width }
    }

    /// Columns and rows of blocks.
    #[must_use]
    pub fn block_grid(&self) -> (usize, usize) {
        (self.width.div_ceil(self.block.0), self.height.div_ceil(self.block.1))
    }

    /// Numbers of the blocks that hold a band of a window, row by row. The part of the window outside
    /// the image has none, nor has a band that is not there.
    #[must_use]
    pub fn blocks_for(&self, band: usize, window: Window) -> Vec<usize> {
        let Some(inside) = window.intersect(&self.window()) else { return Vec::new() };
        if band >= self.bands {
            return Vec::new();
        }
        let (across, down) = self.block_grid();
        let first = if self.planar == Planar::Separate { band * across * down } else { 0 };
        let cols = inside.col / self.block.0..(inside.col + inside.cols).div_ceil(self.block.0);
        let rows = inside.row / self.block.1..(inside.row + inside.rows).div_ceil(self.block.1);
        rows.flat_map(|r| cols.clone().map(move |c| first + r * across + c)).collect()
    }

    /// The bytes of a block in the file, or nothing if there is no such block.
    #[must_use]
    pub fn byte_range(&self, block: usize) -> Option<Range<u64>> {
        self.blocks.get(block).map(|b| b.offset..b.offset.saturating_add(b.len))
    }

    /// First band and pixels of a block, without its padding past the image's edge.
    ///
    /// # Errors
    /// [`CogError::NoBlock`] if there is no such block.
    pub fn block_window(&self, block: usize) -> Result<(usize, Window), CogError> {
        if block >= self.blocks.len() {
            return Err(CogError::NoBlock { block, blocks: self.blocks.len() });
        }
        let (across, down) = self.block_grid();
        let (plane, place) = (block / (across * down), block % (across * down));
        let (row, col) = (place / across * self.block.1, place % across * self.block.0);
        let rows = self.block.1.min(self.height - row);
        let cols = self.block.0.min(self.width - col);
        Ok((plane, Window { row, col, rows, cols }))
    }

    /// Bands that one block holds.
    #[must_use]
    pub fn block_bands(&self) -> usize {
        match self.planar {
            Planar::Chunky => self.bands,
            Planar::Separate => 1,
        }
    }

    pub(crate) fn read<S: Source + ?Sized>(source: &S) -> Result<Self, Stop> {
        let (width, first) = read_start(source)?;
        let (ifd, mut next) = Ifd::read(source, width, first)?;
        let mut main = Self::read_image(source, &ifd)?;
        main.grid = read_georef(&ifd, source)?;
        main.georef = main.grid.as_ref().and_then(square);
        main.gdal_metadata = ifd.text(source, tag::GDAL_METADATA, MAX_TEXT_BYTES)?;
        let mut listed = main.blocks.len() as u64;
        let mut seen = vec![first];
        while next != 0 {
            if seen.contains(&next) || seen.len() == MAX_IFDS {
                let found = format!("{} directories, then one at {next}", seen.len());
                return Err(damaged("chain of directories", found, "no loop, at most 64").into());
            }
            seen.push(next);
            let (ifd, after) = Ifd::read(source, width, next)?;
            next = after;
            // Bit 0: reduced resolution; bit 2: a mask, which is not read.
            if ifd.integer(source, tag::SUBFILE_TYPE)?.unwrap_or(0) & 5 == 1 {
                let mut overview = Self::read_image(source, &ifd)?;
                // Lists of several directories that lie over each other would fill memory from a few bytes.
                listed += overview.blocks.len() as u64;
                let most = source.size() / LISTED_BYTES;
                if listed > most {
                    let expected = format!("at most {most} in {} bytes", source.size());
                    return Err(damaged("number of blocks", listed, expected).into());
                }
                if !overview.is_of(&main)? {
                    continue;
                }
                let factor = (main.width as f64 / overview.width as f64).round().max(1.0);
                overview.georef = main.georef.map(|g| Georef { px_m: g.px_m * factor, ..g });
                main.overviews.push(overview);
            }
        }
        Ok(main)
    }

    fn read_image<S: Source + ?Sized>(source: &S, ifd: &Ifd) -> Result<Self, Stop> {
        let need = |tag: u16, what: &'static str| {
            ifd.integer(source, tag)?.ok_or_else(|| Stop::from(damaged(what, "absent", "a number")))
        };
        let side = |tag: u16, what: &'static str| {
            let value = need(tag, what)?;
            if value == 0 || value > 1 << 31 {
                return Err(damaged(what, value, "1 to 2^31").into());
            }
            Ok::<usize, Stop>(value as usize)
        };
        let width = side(tag::WIDTH, "width")?;
        let height = side(tag::HEIGHT, "height")?;
        let bands = ifd.integer(source, tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if bands == 0 || bands > u64::from(u16::MAX) {
            return Err(damaged("number of bands", bands, "1 to 65535").into());
        }
        let bands = bands as usize;
        let sample = read_sample(source, ifd, bands as u64)?;
        let planar = read_planar(source, ifd, bands)?;
        let (compression, predictor) = read_coding(source, ifd, sample)?;
        let strips = !ifd.has(tag::TILE_WIDTH);
        let block = if strips {
            let rows = ifd.integer(source, tag::ROWS_PER_STRIP)?.unwrap_or(height as u64);
            if rows == 0 {
                return Err(damaged("rows of a strip", 0, "at least 1").into());
            }
            (width, (rows as usize).min(height))
        } else {
            (
                side(tag::TILE_WIDTH, "columns of a block")?,
                side(tag::TILE_HEIGHT, "rows of a block")?,
            )
        };
        let mut header = Self {
            width,
            height,
            bands,
            sample,
            block,
            blocks: Vec::new(),
            strips,
            georef: None,
            grid: None,
            nodata: read_nodata(source, ifd)?,
            compression,
            predictor,
            planar,
            gdal_metadata: None,
            overviews: Vec::new(),
        };
        header.check_block_size()?;
        header.blocks = header.read_blocks(source, ifd)?;
        Ok(header)
    }

    /// Whether this can be the main image at a lower resolution; one that is larger is refused.
    fn is_of(&self, main: &Self) -> Result<bool, CogError> {
        if self.width > main.width || self.height > main.height {
            let found = format!("{} x {}", self.width, self.height);
            let expected = format!("at most {} x {}", main.width, main.height);
            return Err(damaged("size of an overview", found, expected));
        }
        Ok((self.bands, self.sample) == (main.bands, main.sample))
    }

    /// Bytes of one block once decompressed.
    pub(crate) fn block_bytes(&self) -> u128 {
        let samples = self.block.0 as u128 * self.block.1 as u128 * self.block_bands() as u128;
        samples * self.sample.bytes() as u128
    }

    fn check_block_size(&self) -> Result<(), CogError> {
        let bytes = self.block_bytes();
        if bytes > u128::from(MAX_BLOCK_BYTES) {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            return Err(CogError::TooLarge { what: "one block", bytes, limit: MAX_BLOCK_BYTES });
        }
        Ok(())
    }

    fn read_blocks<S: Source + ?Sized>(
        &self,
        source: &S,
        ifd: &Ifd,
    ) -> Result<Vec<BlockRef>, Stop> {
        let (offsets_tag, bytes_tag) = if self.strips {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTES)
        } else {
            (tag::TILE_OFFSETS, tag::TILE_BYTES)
        };
        let planes = self.bands / self.block_bands();
        let (across, down) = self.block_grid();
        let want = across as u128 * down as u128 * planes as u128;
        let list = |tag: u16, what: &'static str| {
            ifd.check_count(tag, what, want)?;
            ifd.list(source, tag)?.ok_or_else(|| Stop::from(damaged(what, "absent", want)))
        };
        let offsets = list(offsets_tag, "number of block offsets")?;
        let lens = list(bytes_tag, "number of block lengths")?;
        Ok(offsets.into_iter().zip(lens).map(|(offset, len)| BlockRef { offset, len }).collect())
    }
}

fn read_sample<S: Source + ?Sized>(source: &S, ifd: &Ifd, bands: u64) -> Result<SampleKind, Stop> {
    let bits = ifd.integers(source, tag::BITS_PER_SAMPLE, bands)?.unwrap_or_else(|| vec![1]);
    let formats = ifd.integers(source, tag::SAMPLE_FORMAT, bands)?.unwrap_or_else(|| vec![1]);
    let uniform = |values: &[u64]| values.windows(2).all(|pair| pair[0] == pair[1]);
    let known = match (bits.first(), formats.first()) {
        (Some(8), Some(1)) => Some(SampleKind::U8),
        (Some(16), Some(1)) => Some(SampleKind::U16),
        (Some(16), Some(2)) => Some(SampleKind::I16),
        (Some(32), Some(3)) => Some(SampleKind::F32),
        _ => None,
    };
    match known {
        Some(kind) if uniform(&bits) && uniform(&formats) => Ok(kind),
        _ => {
            let first = |values: &[u64]| values.iter().copied().take(8).collect::<Vec<_>>();
            let found = format!("of bits {:?}, format {:?}", first(&bits), first(&formats));
            Err(CogError::Unsupported {
                what: "sample type",
                found,
                expected: "uint8, uint16, int16 or float32, one for all bands",
            }
            .into())
        }
    }
}

fn read_planar<S: Source + ?Sized>(source: &S, ifd: &Ifd, bands: usize) -> Result<Planar, Stop> {
    match ifd.integer(source, tag::PLANAR)?.unwrap_or(1) {
        2 if bands > 1 => Ok(Planar::Separate),
        1 | 2 => Ok(Planar::Chunky),
        other => Err(damaged("planar configuration", other, "1 or 2").into()),
    }
}

fn read_coding<S: Source + ?Sized>(
    source: &S,
    ifd: &Ifd,
    sample: SampleKind,
) -> Result<(Compression, Predictor), Stop> {
    let compression = match ifd.integer(source, tag::COMPRESSION)?.unwrap_or(1) {
        1 => Compression::None,
        8 | 32946 => Compression::Deflate,
        other => {
            let found = match other {
                5 => "5 (LZW)".into(),
                7 => "7 (JPEG)".into(),
                34887 => "34887 (LERC)".into(),
                50000 => "50000 (ZSTD)".into(),
                _ => other.to_string(),
            };
            let expected = "1 (none), 8 or 32946 (deflate)";
            return Err(CogError::Unsupported { what: "compression", found, expected }.into());
        }
    };
    // Uncompressed samples are stored as they are, whatever the predictor says.
    if compression == Compression::None {
        return Ok((compression, Predictor::None));
    }
    let predictor = match ifd.integer(source, tag::PREDICTOR)?.unwrap_or(1) {
        1 => Predictor::None,
        2 => Predictor::Horizontal,
        3 if sample == SampleKind::F32 => Predictor::Float,
        other => {
            let (found, expected) = (format!("{other} of {sample}"), "1 or 2, or 3 of float32");
            return Err(CogError::Unsupported { what: "predictor", found, expected }.into());
        }
    };
    Ok((compression, predictor))
}

fn read_nodata<S: Source + ?Sized>(source: &S, ifd: &Ifd) -> Result<Option<f64>, Stop> {
    let Some(text) = ifd.text(source, tag::GDAL_NODATA, MAX_NODATA_BYTES)? else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) => Ok(Some(value)),
        Err(_) => {
            let found: String = text.chars().take(40).collect();
            Err(damaged("nodata", format!("`{found}`"), "a number").into())
        }
    }
}
