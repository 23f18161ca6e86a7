//! Writes a class map and a measurement with every option, for another tool to look at: `cog_classes
//! FOLDER`.

use std::error::Error;
use std::path::Path;

use ndarray::Array3;
use surco_core::{Georef, Legend};
use surco_raster::cog::{CogOptions, write_cog};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("cog_classes FOLDER")?;
    let folder = Path::new(&folder);
    let grid = Georef { epsg: 5361, x0_m: 300_000.0, y0_m: 6_300_000.0, px_m: 10.0 };
    let legend = Legend::from_names(&["trigo", "maíz & <otros>", "viña"])?;
    let classes =
        Array3::from_shape_fn((1, 1500, 1100), |(_, y, x)| ((y / 100 + x / 70) % 4) as u8);
    write_cog(folder.join("classes.tif"), classes.view(), grid, &CogOptions::classes(legend))?;
    let cover = Array3::from_shape_fn((3, 1500, 1100), |(band, y, x)| {
        if x < 40 { f32::NAN } else { (band * 7 + y) as f32 / (x + 1) as f32 }
    });
    let options = CogOptions {
        block_px: 256,
        nodata: Some(f64::NAN),
        band_names: ["wheat", "maíz", "a < b & c"].map(String::from).into(),
        metadata: vec![("MODEL".into(), "v1 \"quoted\" <&>".into())],
        ..CogOptions::default()
    };
    let grid = Georef { epsg: 4326, x0_m: -71.5, y0_m: -33.0, px_m: 0.0001 };
    write_cog(folder.join("cover.tif"), cover.view(), grid, &options)?;
    Ok(())
}
