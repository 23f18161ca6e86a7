//! Fourteen scenes of four cells; every second one carries the +1000 offset.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use ndarray::Array3;
use serde_json::{Value, json};
use surco_core::Georef;
use surco_raster::cog::{CogOptions, Overviews, write_cog};
use surco_raster::projection::Projection;

pub(crate) const ROWS: usize = 1072;
pub(crate) const COLS: usize = 1088;
pub(crate) const DATES: usize = 14;
/// Name, asset key, factor.
pub(crate) const BANDS: [(&str, &str, usize); 4] =
    [("B02", "blue", 1), ("B04", "red", 1), ("B08", "nir", 1), ("B11", "swir16", 2)];

pub(crate) const GRID: Georef =
    Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_100_000.0, px_m: 10.0 };

pub(crate) fn has_offset(date: usize) -> bool {
    date % 2 == 1
}

/// Harmonised digital number of a band's own pixel; a corner is outside the swath.
pub(crate) fn truth(date: usize, band: usize, row: usize, col: usize) -> u16 {
    let factor = BANDS[band].2;
    if (row + col) * factor < 300 {
        return 0;
    }
    let mixed =
        ((date * 31 + band * 7 + row / 3 * 131 + col / 3 * 37) as u32).wrapping_mul(2_654_435_761);
    [200, 300, 2000, 1500][band] + (mixed >> 24) as u16
}

/// Vegetation in the west, water and cloud in the east.
pub(crate) fn scl(date: usize, row: usize, col: usize) -> u8 {
    match (row + col < 150, col / 100, date % 3) {
        (true, _, _) => 0,
        (_, 4, _) => 6,
        (_, 3, 0) => 9,
        _ => 4,
    }
}

pub(crate) fn name(date: usize) -> String {
    format!("S2B_19HBA_202305{:02}_0_L2A", date + 1)
}

/// The folder that holds the scenes and `items.json`, made once a test binary.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path());
            dir
        })
        .path()
}

fn write(dir: &Path) {
    let options = CogOptions {
        block_px: 256,
        deflate_level: 1,
        nodata: Some(0.0),
        overviews: Overviews::Nearest,
        ..CogOptions::default()
    };
    for date in 0..DATES {
        fs::create_dir(dir.join(name(date))).unwrap();
        let add = if has_offset(date) { 1000 } else { 0 };
        for (band, (_, key, factor)) in BANDS.iter().enumerate() {
            let size = (1, ROWS / factor, COLS / factor);
            let image = Array3::from_shape_fn(size, |(_, row, col)| {
                let dn = truth(date, band, row, col);
                if dn == 0 { 0 } else { dn + add }
            });
            let grid = Georef { px_m: 10.0 * *factor as f64, ..GRID };
            let path = dir.join(name(date)).join(format!("{key}.tif"));
            write_cog(path, image.view(), grid, &options).unwrap();
        }
        let image =
            Array3::from_shape_fn((1, ROWS / 2, COLS / 2), |(_, row, col)| scl(date, row, col));
        let path = dir.join(name(date)).join("scl.tif");
        write_cog(path, image.view(), Georef { px_m: 20.0, ..GRID }, &options).unwrap();
    }
    let items: Vec<Value> = (0..DATES).map(item).collect();
    let catalog = json!({ "type": "FeatureCollection", "features": items });
    fs::write(dir.join("items.json"), catalog.to_string()).unwrap();
}

/// A legacy Earth Search item.
pub(crate) fn item(date: usize) -> Value {
    let projection = Projection::from_epsg(GRID.epsg).unwrap();
    let (right, bottom) = (GRID.x0_m + COLS as f64 * 10.0, GRID.y0_m - ROWS as f64 * 10.0);
    let corners =
        [(GRID.x0_m, GRID.y0_m), (right, GRID.y0_m), (right, bottom), (GRID.x0_m, bottom)];
    let ring: Vec<Value> = corners
        .iter()
        .cycle()
        .take(5)
        .map(|&(x, y)| projection.to_lonlat(x, y).unwrap())
        .map(|(lon, lat)| json!([lon, lat]))
        .collect();
    let asset = |key: &str, factor: usize, declared: Option<f64>| {
        json!({
            "href": format!("./{}/{key}.tif", name(date)),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "proj:shape": [ROWS / factor, COLS / factor],
            "proj:transform": [10 * factor, 0, GRID.x0_m, 0, -(10 * factor as i64), GRID.y0_m],
            "raster:bands": [{ "nodata": 0, "offset": declared }],
        })
    };
    let declared = if has_offset(date) { -0.1 } else { 0.0 };
    let mut assets: serde_json::Map<String, Value> =
        BANDS.iter().map(|b| (b.1.to_string(), asset(b.1, b.2, Some(declared)))).collect();
    assets.insert("scl".into(), asset("scl", 2, None));
    json!({
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name(date),
        "collection": "sentinel-2-l2a",
        "geometry": { "type": "Polygon", "coordinates": [ring] },
        "properties": {
            "datetime": format!("2023-05-{:02}T14:38:51.024Z", date + 1),
            "platform": "sentinel-2b",
            "grid:code": "MGRS-19HBA",
            "proj:epsg": GRID.epsg,
            "eo:cloud_cover": date as f64,
            "s2:processing_baseline": if has_offset(date) { "05.09" } else { "02.14" },
            "earthsearch:boa_offset_applied": false,
        },
        "links": [],
        "assets": assets,
    })
}
