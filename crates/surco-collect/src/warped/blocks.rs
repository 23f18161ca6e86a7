//! The blocks of a scene's files that a cell needs: asked for together, decoded in parallel.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ndarray::Array3;
use rayon::prelude::*;
use surco_core::Window;
use surco_raster::cog::{CogError, DecodedBlock, Header, SampleKind, decode_block};
use tokio::task::JoinSet;

use super::Heads;
use super::sheet::Sheet;
use crate::CollectError;
use crate::blocks::coalesce;
use crate::fetch::{FetchError, Fetched};
use crate::fetching::Fetching;
use crate::opened::{Opened, Trouble};
use crate::scene::{Scene, SceneAsset};

/// A block that is needed, or all of a file whose header cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) sheet: usize,
    pub(crate) part: usize,
    pub(crate) asset: usize,
    /// Number of the block; nothing for all of the file.
    block: Option<usize>,
    /// Row and column of the block among the file's.
    pub(crate) place: Option<(usize, usize)>,
    /// Pixels of the file.
    pub(crate) window: Window,
    /// Bands of the file that it holds.
    pub(crate) bands: Range<usize>,
    source: Source,
}

/// Where a block's bytes are.
#[derive(Clone, Debug)]
enum Source {
    Range(Arc<Opened>, Range<u64>),
    Memory(Arc<Opened>, Vec<u8>),
    Nowhere(String),
}

/// Decoded samples of a block.
pub(crate) struct Piece {
    /// First band in the file.
    pub(crate) band: usize,
    pub(crate) window: Window,
    pub(crate) samples: Array3<f32>,
    /// What the file calls no data.
    pub(crate) nodata: Option<f64>,
}

impl Piece {
    pub(crate) fn bands(&self) -> Range<usize> {
        self.band..self.band + self.samples.shape()[0]
    }

    /// Samples of any type as floats: all 16-bit numbers are floats.
    fn decode(header: &Header, block: usize, bytes: &[u8]) -> Result<Self, CogError> {
        let nodata = header.nodata;
        let (band, window, samples) = match header.sample {
            SampleKind::U8 => wide(decode_block::<u8>(header, block, bytes)?),
            SampleKind::U16 => wide(decode_block::<u16>(header, block, bytes)?),
            SampleKind::I16 => wide(decode_block::<i16>(header, block, bytes)?),
            SampleKind::F32 => {
                let DecodedBlock { band, window, samples } = decode_block(header, block, bytes)?;
                (band, window, samples)
            }
        };
        Ok(Self { band, window, samples, nodata })
    }
}

fn wide<T: Copy + Into<f32>>(block: DecodedBlock<T>) -> (usize, Window, Array3<f32>) {
    (block.band, block.window, block.samples.mapv(Into::into))
}

/// The blocks that the sheets of a cell need, each once.
pub(crate) fn wanted(
    fetching: &Fetching<'_>,
    scene: usize,
    heads: &Heads,
    sheets: &[Sheet],
) -> Vec<Wanted> {
    let assets = &fetching.plan.scenes[scene].assets;
    let mut wanted = Vec::new();
    for (sheet_number, sheet) in sheets.iter().enumerate() {
        let Some(needs) = sheet.window else { continue };
        for (part_number, part) in sheet.parts.iter().enumerate() {
            let lies = Window { row: part.row, col: part.col, rows: part.rows, cols: part.cols };
            let Some(common) = lies.intersect(&needs) else { continue };
            let window =
                Window { row: common.row - part.row, col: common.col - part.col, ..common };
            let asset = &assets[part.asset];
            let all = Wanted {
                sheet: sheet_number,
                part: part_number,
                asset: part.asset,
                block: None,
                place: None,
                window: Window { row: 0, col: 0, rows: part.rows, cols: part.cols },
                bands: 0..usize::MAX,
                source: Source::Nowhere(String::new()),
            };
            match heads.get(&(scene, part.asset)) {
                Some(Ok(opened)) => wanted.extend(of_file(opened, asset, window, &all)),
                Some(Err(reason)) => {
                    wanted.push(Wanted { source: Source::Nowhere(reason.clone()), ..all });
                }
                None => {} // Cannot be: all were read before.
            }
        }
    }
    wanted
}

/// The blocks of one file that hold a window of it.
fn of_file(opened: &Arc<Opened>, asset: &SceneAsset, window: Window, like: &Wanted) -> Vec<Wanted> {
    let header = &opened.header;
    let mut numbers: Vec<usize> =
        asset.layers.iter().flat_map(|l| header.blocks_for(l.1, window)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let block = |number: usize| {
        let (band, window) = header.block_window(number).ok()?;
        let range = header.byte_range(number)?;
        let memory = opened.whole.as_ref().and_then(|whole| {
            whole.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec)
        });
        let source = if range.is_empty() {
            Source::Memory(opened.clone(), Vec::new())
        } else if let Some(bytes) = memory {
            Source::Memory(opened.clone(), bytes)
        } else if range.end <= opened.total {
            Source::Range(opened.clone(), range)
        } else {
            Source::Nowhere(format!("truncated: the file has {} bytes", opened.total))
        };
        Some(Wanted {
            block: Some(number),
            place: Some((window.row / header.block.1, window.col / header.block.0)),
            window,
            bands: band..band + header.block_bands(),
            source,
            ..like.clone()
        })
    };
    numbers.into_iter().filter_map(block).collect()
}

/// Blocks on their way: each request with the numbers of the blocks that it holds.
pub(crate) struct Asked {
    wanted: Vec<Wanted>,
    tasks: JoinSet<Answer>,
}

/// The blocks of one request, by their places in what was wanted, and what came.
type Answer = (Vec<(usize, Range<u64>)>, u64, Result<Fetched, FetchError>);

/// What came of a scene's blocks.
pub(crate) struct Came {
    pub(crate) pieces: Vec<(Wanted, Piece)>,
    /// What did not come, and why.
    pub(crate) missing: Vec<(Wanted, String)>,
}

/// Asks for blocks; what lies together is one request.
pub(crate) fn ask(fetching: &Fetching<'_>, scene: usize, wanted: Vec<Wanted>) -> Asked {
    let mut tasks = JoinSet::new();
    for asset in 0..fetching.plan.scenes[scene].assets.len() {
        let mut file = None;
        let mut ranges = Vec::new();
        for (i, block) in wanted.iter().enumerate().filter(|(_, w)| w.asset == asset) {
            if let Source::Range(opened, range) = &block.source {
                file = Some(opened.clone());
                ranges.push((i, range.clone()));
            }
        }
        let Some(opened) = file else { continue };
        for group in coalesce(ranges) {
            let (slots, opened) = (fetching.headers.slots.clone(), opened.clone());
            let start = group.first().map_or(0, |b| b.1.start);
            let end = group.iter().map(|b| b.1.end).max().unwrap_or(start);
            let task = async move {
                let _permit = slots.acquire_owned().await;
                let fetched = opened.reader.read(start..end).await;
                (group, start, fetched)
            };
            tasks.spawn_on(task, fetching.runtime.handle());
        }
    }
    Asked { wanted, tasks }
}

impl Asked {
    /// Waits for the blocks and decodes them; broken ones are fetched again.
    pub(crate) fn collect(
        self,
        fetching: &Fetching<'_>,
        scene: &Scene,
    ) -> Result<Came, CollectError> {
        let Self { wanted, tasks } = self;
        let mut bytes: Vec<Option<Vec<u8>>> = wanted.iter().map(|_| None).collect();
        let mut gone: Vec<Option<String>> = wanted.iter().map(|_| None).collect();
        fetching.join(tasks, |(group, start, fetched)| {
            match fetched {
                Ok(fetched) => {
                    for (i, range) in group {
                        let place = (range.start - start) as usize..(range.end - start) as usize;
                        // Short answers decode as broken blocks and are asked for again.
                        bytes[i] = Some(fetched.bytes.get(place).unwrap_or_default().to_vec());
                    }
                }
                Err(error) => {
                    for (i, _) in group {
                        match Trouble::of(&scene.assets[wanted[i].asset], &error) {
                            Trouble::Hole(reason) => gone[i] = Some(reason),
                            Trouble::Fatal(error) => return Err(*error),
                        }
                    }
                }
            }
            Ok(())
        })?;
        let decoded: Vec<Result<Piece, Trouble>> = wanted
            .par_iter()
            .zip(bytes.into_par_iter().zip(gone))
            .map(|(block, (bytes, gone))| decoded(fetching, scene, block, bytes, gone))
            .collect();
        let mut came = Came { pieces: Vec::new(), missing: Vec::new() };
        for (block, piece) in wanted.into_iter().zip(decoded) {
            match piece {
                Ok(piece) => came.pieces.push((block, piece)),
                Err(Trouble::Hole(reason)) => came.missing.push((block, reason)),
                Err(Trouble::Fatal(error)) => return Err(*error),
            }
        }
        fetching.blocks.fetch_add(came.pieces.len() as u64, Ordering::Relaxed);
        Ok(came)
    }
}

fn decoded(
    fetching: &Fetching<'_>,
    scene: &Scene,
    block: &Wanted,
    bytes: Option<Vec<u8>>,
    gone: Option<String>,
) -> Result<Piece, Trouble> {
    if let Some(reason) = gone {
        return Err(Trouble::Hole(reason));
    }
    let (opened, bytes) = match &block.source {
        Source::Range(opened, _) => (opened, bytes.unwrap_or_default()),
        Source::Memory(opened, bytes) => (opened, bytes.clone()),
        Source::Nowhere(reason) => return Err(Trouble::Hole(reason.clone())),
    };
    let Some(number) = block.block else { return Err(Trouble::Hole("no block".into())) };
    Piece::decode(&opened.header, number, &bytes).or_else(|error| {
        let file = (&scene.assets[block.asset], &scene.grid);
        let broken = (number, error.to_string());
        let hub = &fetching.headers.hub;
        fetching.runtime.block_on(opened.reread(file, hub, broken, Piece::decode))
    })
}
