//! Writing a Cloud Optimized GeoTIFF, whole or row by row.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use libdeflater::CompressionLvl;
use ndarray::{Array3, ArrayView3, s};
use rayon::prelude::*;
use surco_core::Georef;
use tempfile::SpooledTempFile;

use super::assemble::{Frame, LEADER_BYTES, Layer, assemble};
use super::encode::{BlockForm, encode_block};
use super::error::CogError;
use super::options::{CogOptions, Overviews};
use super::overview::halve;
use super::pam::class_names;
use super::sample::{Sample, nodata_as};
use crate::atomic;

/// Side of the largest image that needs no overview.
const OVERVIEW_PX: usize = 512;

/// Compressed bytes a layer may hold in memory before they go to a file without a name.
const SPOOL_BYTES: usize = 64 << 20;

/// Writes an image (`[band, y, x]`) as a Cloud Optimized GeoTIFF.
///
/// Blocks are compressed in parallel; the same image and options give the same bytes. The file
/// appears under its name only when it is whole, and replaces one that was there.
///
/// # Errors
/// [`CogError::Options`] if options do not go together or the image is empty, [`CogError::Io`] if the
/// file cannot be written; then nothing under that name has changed.
pub fn write_cog<T: Sample>(
    path: impl AsRef<Path>,
    image: ArrayView3<'_, T>,
    georef: Georef,
    options: &CogOptions,
) -> Result<(), CogError> {
    let mut writer = CogWriter::create(path, image.dim(), georef, options)?;
    writer.push(image)?;
    writer.finish()
}

/// Writes a Cloud Optimized GeoTIFF from rows that arrive from top to bottom.
///
/// Holds one row of blocks of each resolution in memory; compressed blocks of large images wait in
/// unnamed files beside the result. Dropped before [`CogWriter::finish`], it leaves nothing behind.
///
/// # Example
/// ```
/// use surco_core::Georef;
/// use surco_raster::cog::{CogFile, CogOptions, CogWriter};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.tif");
/// let grid = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_000_000.0, px_m: 10.0 };
/// let mut writer = CogWriter::<u8>::create(&path, (1, 100, 40), grid, &CogOptions::default())?;
/// for row in 0..100_u8 {
///     writer.push(ndarray::Array3::from_elem((1, 1, 40), row).view())?;
/// }
/// writer.finish()?;
/// let file = CogFile::open(&path)?;
/// assert_eq!(file.read_u8(file.header().window())?[[0, 99, 0]], 99);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CogWriter<T: Sample> {
    path: PathBuf,
    folder: PathBuf,
    bands: usize,
    georef: Georef,
    options: CogOptions,
    levels: Vec<Level<T>>,
}

/// One resolution in the making.
#[derive(Debug)]
struct Level<T> {
    width: usize,
    height: usize,
    form: BlockForm<T>,
    /// Rows that do not yet fill a row of blocks.
    waiting: Array3<T>,
    waiting_rows: usize,
    done_rows: usize,
    spool: SpooledTempFile,
    blocks: Vec<(u64, u64)>,
    bytes: u64,
}

impl<T: Sample> Level<T> {
    /// Takes the first of these rows: those that fill a row of blocks or end the image, which are
    /// returned with the row of blocks, or all, to wait. Returns how many were taken.
    fn take(&mut self, rows: ArrayView3<'_, T>) -> (usize, Option<Array3<T>>) {
        let end = self.form.block_px.min(self.height - self.done_rows);
        let count = rows.dim().1.min(end - self.waiting_rows);
        let to = self.waiting_rows..self.waiting_rows + count;
        self.waiting.slice_mut(s![.., to, ..]).assign(&rows.slice(s![.., ..count, ..]));
        self.waiting_rows += count;
        if self.waiting_rows < end {
            return (count, None);
        }
        // Handed out and allocated anew, so that compressing needs no second copy.
        let fresh = Array3::from_elem(self.waiting.dim(), self.form.fill);
        let mut full = std::mem::replace(&mut self.waiting, fresh);
        full.slice_collapse(s![.., ..end, ..]);
        self.waiting_rows = 0;
        (count, Some(full))
    }

    /// Compresses and stores a row of blocks.
    fn store(&mut self, rows: ArrayView3<'_, T>) -> Result<io::Result<()>, CogError> {
        let side = self.form.block_px;
        let starts: Vec<usize> = (0..self.width).step_by(side).collect();
        let encoded: Vec<Vec<u8>> = starts
            .par_iter()
            .map(|&col| {
                let end = (col + side).min(self.width);
                encode_block(rows.slice(s![.., .., col..end]), &self.form)
            })
            .collect::<Result<_, _>>()?;
        self.done_rows += rows.dim().1;
        Ok(encoded.iter().try_for_each(|block| self.append(block)))
    }

    /// Stores a block between its leader (its size) and its trailer (its last 4 bytes again).
    fn append(&mut self, block: &[u8]) -> io::Result<()> {
        self.spool.write_all(&(block.len() as u32).to_le_bytes())?;
        self.spool.write_all(block)?;
        self.spool.write_all(&block[block.len() - 4..])?;
        self.blocks.push((self.bytes + LEADER_BYTES, block.len() as u64));
        self.bytes += block.len() as u64 + 2 * LEADER_BYTES;
        Ok(())
    }
}

/// Side of the blocks of an image. Validators call an image as wide as one block "not tiled", so a
/// large one gets smaller blocks then.
fn block_side(width: usize, height: usize, wanted_px: usize) -> usize {
    let large = width.max(height) > OVERVIEW_PX;
    if large && width == wanted_px && wanted_px.is_multiple_of(32) {
        wanted_px / 2
    } else {
        wanted_px
    }
}

impl<T: Sample> CogWriter<T> {
    /// Begins an image of this many bands, rows and columns.
    ///
    /// # Errors
    /// [`CogError::Options`] if options do not go together or the image is empty.
    pub fn create(
        path: impl AsRef<Path>,
        shape: (usize, usize, usize),
        georef: Georef,
        options: &CogOptions,
    ) -> Result<Self, CogError> {
        let (bands, height, width) = shape;
        options.check::<T>(bands)?;
        check_image(shape, &georef)?;
        let level = i32::from(options.deflate_level);
        let level = CompressionLvl::new(level).map_err(|e| CogError::Options {
            what: "deflate_level",
            found: format!("{level}: {e:?}"),
            expected: "1 to 12".into(),
        })?;
        let path = path.as_ref().to_path_buf();
        let folder = atomic::folder_of(&path);
        let fill: T = nodata_as(options.nodata).unwrap_or_default();
        let mut levels = Vec::new();
        let (mut width, mut height) = (width, height);
        loop {
            let block_px = block_side(width, height, options.block_px);
            levels.push(Level {
                width,
                height,
                form: BlockForm { block_px, fill, level },
                waiting: Array3::from_elem((bands, block_px.min(height), width), fill),
                waiting_rows: 0,
                done_rows: 0,
                spool: SpooledTempFile::new_in(SPOOL_BYTES, &folder),
                blocks: Vec::new(),
                bytes: 0,
            });
            if options.overviews == Overviews::None || width.max(height) <= OVERVIEW_PX {
                break;
            }
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        Ok(Self { path, folder, bands, georef, options: options.clone(), levels })
    }

    /// Adds the next rows, `[band, y, x]`, any number of them.
    ///
    /// # Errors
    /// [`CogError::Options`] if they are of another width or number of bands or go past the image's
    /// end; [`CogError::Io`] if they cannot be stored.
    pub fn push(&mut self, rows: ArrayView3<'_, T>) -> Result<(), CogError> {
        let (bands, height, width) = rows.dim();
        let image = &self.levels[0];
        let left = image.height - image.done_rows - image.waiting_rows;
        if bands != self.bands || width != image.width || height > left {
            return Err(CogError::Options {
                what: "rows pushed (bands, rows, columns)",
                found: format!("{bands}, {height}, {width}"),
                expected: format!("{}, at most {left}, {}", self.bands, image.width),
            });
        }
        self.push_to(0, rows)
    }

    fn push_to(&mut self, index: usize, rows: ArrayView3<'_, T>) -> Result<(), CogError> {
        let mut rows = rows;
        while rows.dim().1 > 0 {
            let (taken, full) = self.levels[index].take(rows.view());
            rows = rows.slice_move(s![.., taken.., ..]);
            let Some(full) = full else { continue };
            let stored = self.levels[index].store(full.view())?;
            stored.map_err(CogError::io("store compressed blocks in", &self.folder))?;
            if index + 1 < self.levels.len() {
                let half = halve(full.view(), self.options.overviews, self.options.nodata);
                drop(full);
                self.push_to(index + 1, half.view())?;
            }
        }
        Ok(())
    }

    /// Ends the image and gives the file its name.
    ///
    /// # Errors
    /// [`CogError::Options`] if rows are missing; [`CogError::Io`] if the file cannot be written.
    pub fn finish(mut self) -> Result<(), CogError> {
        let image = &self.levels[0];
        if image.done_rows != image.height {
            return Err(CogError::Options {
                what: "number of rows pushed",
                found: (image.done_rows + image.waiting_rows).to_string(),
                expected: image.height.to_string(),
            });
        }
        let head = {
            let layers: Vec<Layer<'_>> = self.levels.iter().map(Level::layer).collect();
            let frame = Frame {
                bands: self.bands,
                kind: T::KIND,
                georef: self.georef,
                options: &self.options,
            };
            assemble(&layers, &frame)
        };
        let levels = &mut self.levels;
        atomic::write(&self.path, |out| {
            out.write_all(&head)?;
            for level in levels.iter_mut().rev() {
                level.spool.seek(SeekFrom::Start(0))?;
                io::copy(&mut level.spool, out)?;
            }
            Ok(())
        })
        .map_err(CogError::io("write", &self.path))?;
        self.write_names()
    }

    /// Names of classes beside the raster; those of an older raster are removed.
    fn write_names(&self) -> Result<(), CogError> {
        let mut name: OsString = self.path.clone().into_os_string();
        name.push(".aux.xml");
        let path = PathBuf::from(name);
        match &self.options.legend {
            Some(legend) => {
                atomic::write(&path, |out| out.write_all(class_names(legend).as_bytes()))
                    .map_err(CogError::io("write", &path))
            }
            None => match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(CogError::io("remove old class names", &path)(e))
                }
                _ => Ok(()),
            },
        }
    }
}

impl<T> Level<T> {
    fn layer(&self) -> Layer<'_> {
        Layer {
            width: self.width,
            height: self.height,
            block_px: self.form.block_px,
            blocks: &self.blocks,
            bytes: self.bytes,
        }
    }
}

fn check_image(shape: (usize, usize, usize), georef: &Georef) -> Result<(), CogError> {
    let (bands, height, width) = shape;
    let fits = |n: usize, most: usize| (1..=most).contains(&n);
    let most = i32::MAX as usize;
    if !(fits(bands, usize::from(u16::MAX)) && fits(height, most) && fits(width, most)) {
        return Err(CogError::Options {
            what: "image (bands, rows, columns)",
            found: format!("{bands}, {height}, {width}"),
            expected: "at least 1 each, at most 65535 bands".into(),
        });
    }
    let finite = georef.x0_m.is_finite() && georef.y0_m.is_finite() && georef.px_m.is_finite();
    if !finite || georef.px_m <= 0.0 || !(1024..32767).contains(&georef.epsg) {
        return Err(CogError::Options {
            what: "grid",
            found: format!("{georef:?}"),
            expected: "an EPSG code from 1024 to 32766, a finite corner, a pixel over 0".into(),
        });
    }
    Ok(())
}
