//! A GeoTIFF on disk.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{Array3, s};
use rayon::prelude::*;
use surco_core::Window;

use super::decode::{DecodedBlock, decode_block};
use super::error::CogError;
use super::header::Header;
use super::ifd::{Source, Stop};
use super::sample::{Sample, nodata_as};

/// Bytes read at once in the hope that they hold the whole header.
const PREFIX_BYTES: u64 = 64 << 10;

/// Bytes of decompressed blocks held beside the pixels that are handed out, unless one takes more.
const AT_ONCE_BYTES: u128 = 256 << 20;

/// Bytes of pixels handed out at once.
const MAX_READ_BYTES: u64 = 16 << 30;

/// A GeoTIFF on disk, its header read, its blocks decoded when asked for.
///
/// # Example
/// ```
/// use surco_core::Georef;
/// use surco_raster::cog::{CogFile, CogOptions, write_cog};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.tif");
/// let pixels = ndarray::Array3::<u16>::from_elem((1, 20, 30), 700);
/// let grid = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_000_000.0, px_m: 10.0 };
/// write_cog(&path, pixels.view(), grid, &CogOptions::default())?;
/// let file = CogFile::open(&path)?;
/// assert_eq!(file.header().georef, Some(grid));
/// assert_eq!(file.read_u16(file.header().window())?, pixels);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CogFile {
    path: PathBuf,
    file: Mutex<File>,
    header: Header,
}

/// The bytes of a file of which the first ones are in memory.
struct Prefixed<'f> {
    path: &'f Path,
    file: &'f Mutex<File>,
    prefix: Vec<u8>,
    len: u64,
}

impl Source for Prefixed<'_> {
    fn bytes(&self, what: &'static str, at: u64, len: u64) -> Result<Cow<'_, [u8]>, Stop> {
        let end = at.saturating_add(len);
        if end > self.len {
            return Err(CogError::Truncated { what, end, len: self.len }.into());
        }
        if end <= self.prefix.len() as u64 {
            return Ok(Cow::Borrowed(&self.prefix[at as usize..end as usize]));
        }
        Ok(Cow::Owned(read_at(self.file, self.path, at, len)?))
    }

    fn size(&self) -> u64 {
        self.len
    }
}

fn locked(file: &Mutex<File>) -> MutexGuard<'_, File> {
    // Nothing that holds the lock leaves the file in a state worth refusing.
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_at(file: &Mutex<File>, path: &Path, at: u64, len: u64) -> Result<Vec<u8>, CogError> {
    let fail = CogError::io("read", path);
    let mut bytes = vec![0; len as usize];
    let mut file = locked(file);
    file.seek(SeekFrom::Start(at)).map_err(&fail)?;
    file.read_exact(&mut bytes).map_err(&fail)?;
    Ok(bytes)
}

impl CogFile {
    /// Opens a file and reads its header, wherever in the file that lies.
    ///
    /// # Errors
    /// [`CogError`] if the file cannot be opened, is no TIFF read here, or points past its end.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CogError> {
        let path = path.as_ref();
        let mut file = File::open(path).map_err(CogError::io("open", path))?;
        let len = file.metadata().map_err(CogError::io("open", path))?.len();
        let mut prefix = Vec::new();
        (&mut file)
            .take(PREFIX_BYTES)
            .read_to_end(&mut prefix)
            .map_err(CogError::io("read", path))?;
        let file = Mutex::new(file);
        let source = Prefixed { path, file: &file, prefix, len };
        let header = Header::read(&source).map_err(|stop| match stop {
            Stop::Bad(error) => error,
            Stop::More(end) => CogError::Truncated { what: "the header", end, len },
        })?;
        header.check_len(len)?;
        header.check_square()?;
        Ok(Self { path: path.into(), file, header })
    }

    /// What the pixels are and where they lie.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bands of a window, `[band, y, x]`.
    ///
    /// # Errors
    /// [`CogError`] if the window does not lie in the image, samples are of another type, or a block
    /// is damaged.
    pub fn read<T: Sample>(&self, window: Window) -> Result<Array3<T>, CogError> {
        self.read_image(&self.header, window)
    }

    /// All bands of a window of an overview, 0 being the largest, `[band, y, x]`.
    ///
    /// # Errors
    /// As [`CogFile::read`], and [`CogError::NoOverview`].
    pub fn read_overview<T: Sample>(
        &self,
        level: usize,
        window: Window,
    ) -> Result<Array3<T>, CogError> {
        let levels = self.header.overviews.len();
        let image = self.header.overviews.get(level);
        self.read_image(image.ok_or(CogError::NoOverview { level, levels })?, window)
    }

    /// [`CogFile::read`] of `u8`.
    ///
    /// # Errors
    /// As [`CogFile::read`].
    pub fn read_u8(&self, window: Window) -> Result<Array3<u8>, CogError> {
        self.read(window)
    }

    /// [`CogFile::read`] of `u16`.
    ///
    /// # Errors
    /// As [`CogFile::read`].
    pub fn read_u16(&self, window: Window) -> Result<Array3<u16>, CogError> {
        self.read(window)
    }

    /// [`CogFile::read`] of `f32`.
    ///
    /// # Errors
    /// As [`CogFile::read`].
    pub fn read_f32(&self, window: Window) -> Result<Array3<f32>, CogError> {
        self.read(window)
    }

    fn read_image<T: Sample>(&self, image: &Header, window: Window) -> Result<Array3<T>, CogError> {
        if image.sample != T::KIND {
            return Err(CogError::SampleKind { found: image.sample, asked: T::KIND });
        }
        let within = |start: usize, len: usize, whole: usize| {
            start < whole && (1..=whole - start).contains(&len)
        };
        if !(within(window.row, window.rows, image.height)
            && within(window.col, window.cols, image.width))
        {
            return Err(CogError::Window { window, height: image.height, width: image.width });
        }
        let shape = (image.bands, window.rows, window.cols);
        let bytes = shape.0 as u128 * shape.1 as u128 * shape.2 as u128 * T::KIND.bytes() as u128;
        if bytes > u128::from(MAX_READ_BYTES) {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            return Err(CogError::TooLarge { what: "the window", bytes, limit: MAX_READ_BYTES });
        }
        let fill = nodata_as(image.nodata).unwrap_or_default();
        let mut out = Array3::from_elem(shape, fill);
        let planes = image.bands / image.block_bands();
        let blocks: Vec<usize> =
            (0..planes).flat_map(|band| image.blocks_for(band, window)).collect();
        // A few blocks a thread at a time, so that a large window is not in memory twice; fewer if a
        // block is large.
        let fit = usize::try_from(AT_ONCE_BYTES / image.block_bytes().max(1)).unwrap_or(usize::MAX);
        for some in blocks.chunks(fit.clamp(1, 4 * rayon::current_num_threads())) {
            let decoded: Vec<DecodedBlock<T>> = some
                .par_iter()
                .map(|&block| {
                    let at = image.blocks[block];
                    let bytes = read_at(&self.file, &self.path, at.offset, at.len)?;
                    decode_block(image, block, &bytes)
                })
                .collect::<Result<_, _>>()?;
            for block in &decoded {
                paste(&mut out, &window, block);
            }
        }
        Ok(out)
    }
}

/// Copies the part of a block that lies in the window.
fn paste<T: Sample>(out: &mut Array3<T>, window: &Window, block: &DecodedBlock<T>) {
    let Some(common) = window.intersect(&block.window) else { return };
    let within = |outer: &Window| {
        let (row, col) = (common.row - outer.row, common.col - outer.col);
        (row..row + common.rows, col..col + common.cols)
    };
    let (rows, cols) = within(&block.window);
    let bands = block.band..block.band + block.samples.dim().0;
    let part = block.samples.slice(s![.., rows, cols]);
    let (rows, cols) = within(window);
    out.slice_mut(s![bands, rows, cols]).assign(&part);
}
