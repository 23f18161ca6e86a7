//! How long a plan of Chile takes and how much memory it needs:
//! `plan_size TILES.geojson SCENES_PER_TILE [AREA.geojson|AREA.parquet|PLACES.csv]`.
//!
//! The tiles have `tile`, `epsg`, `xmin` and `ymin`; their scenes are made up: outlines of whole tiles and
//! of the parts that a swath leaves, eight seasons of dates.
#![allow(clippy::print_stdout)]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use surco_collect::{Area, CollectError, CollectRequest, Places, plan_items};
use surco_core::{Progress, S2_BANDS};
use surco_raster::projection::Projection;
use surco_raster::vector::{Feature, read_geojson};

/// Notes when the items are read and planning begins.
struct Watch(Mutex<Option<Instant>>);

impl Progress for Watch {
    fn report(&self, stage: &'static str, _: u64, _: u64, _: &str) {
        if let Ok(mut begun) = self.0.lock()
            && stage == "plan"
            && begun.is_none()
        {
            println!("scenes in memory: {}", memory());
            *begun = Some(Instant::now());
        }
    }

    fn stopped(&self) -> bool {
        false
    }
}

fn main() -> Result<(), CollectError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [tiles, count, area @ ..] = &args[..] else {
        println!("usage: plan_size TILES.geojson SCENES_PER_TILE [AREA]");
        return Ok(());
    };
    let count: usize = count.parse().unwrap_or(1);
    let tiles = read_geojson(tiles)?.features;
    let mut request = CollectRequest::all_of("made up");
    if let Some(path) = area.first() {
        let begun = Instant::now();
        if path.ends_with(".csv") {
            request.places = Some(Places::read(path, 128)?);
        } else {
            request.area = Some(Area::read(path)?);
        }
        println!("area read in {:.2} s", begun.elapsed().as_secs_f64());
    }
    println!("before: {}", memory());
    let items = tiles.iter().flat_map(|tile| {
        let corners = corners(tile);
        (0..count).filter_map(move |number| item(tile, corners?, number))
    });
    let watch = Watch(Mutex::default());
    let begun = Instant::now();
    let plan = plan_items(&request, items, &watch)?;
    let all = begun.elapsed();
    let planned = watch.0.lock().ok().and_then(|at| *at).map_or(Duration::ZERO, |at| at.elapsed());
    println!(
        "planned in {:.2} s after {:.2} s of items",
        planned.as_secs_f64(),
        (all - planned).as_secs_f64()
    );
    println!("planned: {}", memory());
    println!("{:#?}", plan.figures);
    Ok(())
}

/// Corners of a tile in degrees: lower left, lower right, upper right, upper left.
fn corners(tile: &Feature) -> Option<[(f64, f64); 4]> {
    let number = |name: &str| tile.properties.get(name)?.as_f64();
    let (x, y) = (number("xmin")?, number("ymin")?);
    let projection = Projection::from_epsg(number("epsg")? as u32).ok()?;
    let side = 109_800.0;
    let at = |x: f64, y: f64| projection.to_lonlat(x, y).ok();
    Some([at(x, y)?, at(x + side, y)?, at(x + side, y + side)?, at(x, y + side)?])
}

/// The scene of a tile with this number.
fn item(tile: &Feature, corners: [(f64, f64); 4], number: usize) -> Option<Value> {
    let name = tile.text("tile")?;
    let (x0, y0) = (
        tile.properties.get("xmin")?.as_f64()?,
        tile.properties.get("ymin")?.as_f64()? + 109_800.0,
    );
    let day = jiff::civil::date(2017, 5, 1)
        .checked_add(jiff::Span::new().days((number * 5 / 2) as i64))
        .ok()?;
    // Every second scene shows a part, each time a little more or less of it.
    let part = 0.45 + (number * 7919 % 100) as f64 / 1000.0;
    let along = |a: (f64, f64), b: (f64, f64)| (a.0 + part * (b.0 - a.0), a.1 + part * (b.1 - a.1));
    let [a, b, c, d] = corners;
    let ring = match number % 4 {
        0 | 2 => [a, b, c, d, a],
        1 => [a, along(a, b), along(d, c), d, a],
        _ => [along(a, b), b, c, along(d, c), along(a, b)],
    };
    let ring: Vec<[f64; 2]> = ring.into_iter().map(Into::into).collect();
    let url = format!("https://sentinel-cogs.s3.us-west-2.amazonaws.com/{name}/{day}/{number}");
    let asset = |key: &str, factor: usize| {
        let px = 10 * factor;
        let grid = json!([px, 0, x0, 0, -(px as i64), y0]);
        let checksum = format!("1220{number:064x}");
        json!({
            "href": format!("{url}/{key}.tif"), "proj:shape": [10_980 / factor, 10_980 / factor],
            "proj:transform": grid, "file:size": 123_456_789, "file:checksum": checksum,
        })
    };
    let mut assets: serde_json::Map<String, Value> = S2_BANDS
        .iter()
        .map(|band| (band.asset_key.into(), asset(band.asset_key, band.gsd_m as usize / 10)))
        .collect();
    assets.insert("scl".into(), asset("scl", 2));
    Some(json!({
        "id": format!("S2A_{name}_{number:06}_0_L2A"),
        "collection": "sentinel-2-c1-l2a",
        "geometry": { "type": "Polygon", "coordinates": [ring] },
        "properties": {
            "datetime": format!("{day}T14:38:51.024Z"), "platform": "sentinel-2a",
            "proj:epsg": tile.properties.get("epsg")?, "grid:code": format!("MGRS-{name}"),
            "s2:processing_baseline": "05.00", "eo:cloud_cover": (number % 100) as f64,
            "s2:datatake_id": format!("GS2A_{day}_{number:06}_N05.00"),
            "s2:datastrip_id": format!("S2A_OPER_MSI_L2A_DS_{number}_S{day}T{number:06}_N05.00"),
        },
        "assets": assets,
    }))
}

/// Memory of this program, now and at most.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let kb =
            status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kb.and_then(|kb| kb.trim().parse::<f64>().ok()).map_or(f64::NAN, |kb| kb / 1024.0)
    };
    format!("{:.0} MB, {:.0} MB at most", line("VmRSS:"), line("VmHWM:"))
}
