//! A file of a scene whose header is read.

use std::sync::Arc;

use surco_raster::cog::{CogError, Header, MAX_HEADER_BYTES, Parsed};
use surco_raster::warp::PixelGrid;

use crate::CollectError;
use crate::catalog::network;
use crate::fetch::{FetchError, Fetched, Hub, RangeReader};
use crate::scene::{Grid, Own, SceneAsset};

/// Bytes asked for first: the header of a 10,980-pixel COG with its overviews has about 5 kB.
const FIRST_BYTES: u64 = 32 << 10;
/// How often a header or block that came whole but wrong is asked for.
pub(crate) const REREADS: u32 = 4;

/// An asset with its header.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) reader: RangeReader,
    pub(crate) header: Header,
    /// Length of the file.
    pub(crate) total: u64,
    /// All of the file, if it is no longer than what was asked for first.
    pub(crate) whole: Option<Arc<Vec<u8>>>,
}

/// Why an asset or block gives no pixels.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It cannot be read, now or later: a hole.
    Hole(String),
    /// The run must end.
    Fatal(Box<CollectError>),
}

impl Trouble {
    pub(crate) fn of(asset: &SceneAsset, error: &FetchError) -> Self {
        match error {
            FetchError::Gone(reason) => Self::Hole(reason.clone()),
            other => Self::Fatal(Box::new(network(&asset.href, other))),
        }
    }
}

impl Opened {
    /// Reads the header, again if it makes no sense.
    pub(crate) async fn open(
        asset: &SceneAsset,
        grid: &Grid,
        hub: &Arc<Hub>,
    ) -> Result<Self, Trouble> {
        let reader = RangeReader::new(&asset.href, hub);
        let tries = if reader.is_remote() { REREADS } else { 1 };
        let mut last = String::new();
        for _ in 0..tries {
            match Self::try_open(&reader, asset, grid).await {
                Ok(opened) => return Ok(opened),
                Err(Trouble::Hole(reason)) => last = reason,
                Err(fatal) => return Err(fatal),
            }
        }
        Err(Trouble::Hole(last))
    }

    async fn try_open(
        reader: &RangeReader,
        asset: &SceneAsset,
        grid: &Grid,
    ) -> Result<Self, Trouble> {
        let mut end = FIRST_BYTES;
        loop {
            let fetched = reader.read(0..end).await.map_err(|e| Trouble::of(asset, &e))?;
            let Fetched { bytes, total } = fetched;
            match Header::parse(&bytes).map_err(|e| Trouble::Hole(e.to_string()))? {
                Parsed::NeedMore { bytes: more } => {
                    if total <= bytes.len() as u64 || more > MAX_HEADER_BYTES {
                        return Err(Trouble::Hole("truncated in its header".into()));
                    }
                    end = more.max(end * 2);
                }
                Parsed::Header(header) => {
                    check(&header, asset, grid).map_err(Trouble::Hole)?;
                    let small = total <= bytes.len() as u64;
                    let whole = small.then(|| Arc::new(bytes));
                    let header = *header;
                    return Ok(Self { reader: reader.clone(), header, total, whole });
                }
            }
        }
    }

    /// Reads a block that came broken again, at last with a fresh header: a header has no checksum.
    pub(crate) async fn reread<T>(
        &self,
        (asset, grid): (&SceneAsset, &Grid),
        hub: &Arc<Hub>,
        (block, mut reason): (usize, String),
        decode: impl Fn(&Header, usize, &[u8]) -> Result<T, CogError>,
    ) -> Result<T, Trouble> {
        if !self.reader.is_remote() {
            return Err(Trouble::Hole(reason));
        }
        for turn in 0..REREADS {
            let fresh = match turn {
                2 => Some(Self::open(asset, grid, hub).await?),
                _ => None,
            };
            let header = fresh.as_ref().map_or(&self.header, |f| &f.header);
            let range = header.byte_range(block).unwrap_or(0..0);
            let fetched = self.reader.read(range).await.map_err(|e| Trouble::of(asset, &e))?;
            match decode(header, block, &fetched.bytes) {
                Ok(piece) => return Ok(piece),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(Trouble::Hole(reason))
    }
}

/// Whether the file is what the catalog says it is.
fn check(header: &Header, asset: &SceneAsset, grid: &Grid) -> Result<(), String> {
    if let Some(own) = &asset.own {
        return check_own(header, asset, own);
    }
    header.check_square().map_err(|e| e.to_string())?;
    let (rows, cols) = (grid.rows / asset.factor, grid.cols / asset.factor);
    if (header.height, header.width) != (rows, cols) {
        let found = format!("{} × {}", header.height, header.width);
        return Err(format!("has {found} pixels, the catalog says {rows} × {cols}"));
    }
    check_bands(header, asset)?;
    if let Some(own) = header.georef {
        let (stated, px) = (grid.georef, grid.georef.px_m * asset.factor as f64);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
        let same = own.epsg == stated.epsg
            && near(own.px_m, px)
            && near(own.x0_m, stated.x0_m)
            && near(own.y0_m, stated.y0_m);
        if !same {
            return Err(format!(
                "lies at EPSG:{} {},{} {} m, the catalog says EPSG:{} {},{} {px} m",
                own.epsg, own.x0_m, own.y0_m, own.px_m, stated.epsg, stated.x0_m, stated.y0_m
            ));
        }
    }
    Ok(())
}

fn check_bands(header: &Header, asset: &SceneAsset) -> Result<(), String> {
    match asset.layers.iter().map(|l| l.1).find(|&band| band >= header.bands) {
        Some(band) => Err(format!("has {} bands, band {} was expected", header.bands, band + 1)),
        None => Ok(()),
    }
}

/// Whether a file on a grid of its own is what the catalog says it is.
fn check_own(header: &Header, asset: &SceneAsset, own: &Own) -> Result<(), String> {
    if (header.height, header.width) != (own.rows, own.cols) {
        let found = format!("{} × {}", header.height, header.width);
        return Err(format!("has {found} pixels, the catalog says {} × {}", own.rows, own.cols));
    }
    check_bands(header, asset)?;
    match &header.grid {
        Some(found) if found.steps_to(&own.grid) != Some((0, 0)) => {
            let words =
                |g: &PixelGrid| format!("EPSG:{} {},{} {} × {}", g.epsg, g.x0, g.y0, g.dx, g.dy);
            Err(format!("lies at {}, the catalog says {}", words(found), words(&own.grid)))
        }
        _ => Ok(()),
    }
}
