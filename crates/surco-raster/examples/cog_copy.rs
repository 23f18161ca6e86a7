//! Copies a GeoTIFF to a Cloud Optimized GeoTIFF: `cog_copy IN OUT [BLOCK_PX]`.
//!
//! Read by our reader and written by our writer, so that another tool can compare the two files.

use std::error::Error;

use surco_core::Georef;
use surco_raster::cog::{CogFile, CogOptions, Sample, SampleKind, write_cog};

fn copy<T: Sample>(file: &CogFile, to: &str, block_px: usize) -> Result<(), Box<dyn Error>> {
    let header = file.header();
    let nowhere = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_000_000.0, px_m: 10.0 };
    let options = CogOptions { block_px, nodata: header.nodata, ..CogOptions::default() };
    let image = file.read::<T>(header.window())?;
    Ok(write_cog(to, image.view(), header.georef.unwrap_or(nowhere), &options)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, rest @ ..] = &args[..] else { return Err("cog_copy IN OUT [BLOCK_PX]".into()) };
    let block_px = rest.first().map_or(Ok(1024), |text| text.parse())?;
    let file = CogFile::open(from)?;
    match file.header().sample {
        SampleKind::U8 => copy::<u8>(&file, to, block_px),
        SampleKind::U16 => copy::<u16>(&file, to, block_px),
        SampleKind::I16 => copy::<i16>(&file, to, block_px),
        SampleKind::F32 => copy::<f32>(&file, to, block_px),
    }
}
