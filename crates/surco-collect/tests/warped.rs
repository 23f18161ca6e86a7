//! Sensors on grids of their own, brought onto the cells of a store that is there.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod world;

use std::fs;
use std::path::Path;

use ndarray::Array3;
use serde_json::{Value, json};
use surco_collect::{CollectError, CollectRequest, CollectSummary, Onto, OntoCell, plan, run};
use surco_core::{CellId, Georef, Sensor, Silent, Window};
use surco_raster::cog::{CogOptions, Overviews, write_cog};
use surco_raster::projection::Projection;
use surco_store::Store;

use world::{files, options};

/// The upper right corner of 18HYF, 72° west runs through it.
const EAST: Georef = Georef { epsg: 32718, x0_m: 752_000.0, y0_m: 6_100_000.0, px_m: 10.0 };

fn cell(georef: Georef) -> OntoCell {
    let id = CellId { tile: "18HYF".into(), row: 3, col: 5 };
    OntoCell { id, georef, rows: 100, cols: 120 }
}

/// A smooth landscape, so that the exact projection and its approximation agree: no seams, no noise.
fn height(lon: f64, lat: f64) -> f64 {
    800.0 + 300.0 * (lon * 400.0).sin() + 200.0 * (lat * 300.0).cos()
}

/// A file of a grid whose pixels show `value(lon, lat)`; outside of `rows` it is cut.
fn write(
    path: &Path,
    grid: Georef,
    (rows, cols): (usize, usize),
    nodata: f64,
    value: impl Fn(f64, f64) -> f32,
) {
    let projection = Projection::from_epsg(grid.epsg).unwrap();
    let image = Array3::from_shape_fn((1, rows, cols), |(_, row, col)| {
        let (x, y) = grid.centre(row, col);
        let (lon, lat) = projection.to_lonlat(x, y).unwrap();
        value(lon, lat)
    });
    let options = CogOptions {
        block_px: 64,
        nodata: Some(nodata),
        overviews: Overviews::None,
        ..CogOptions::default()
    };
    write_cog(path, image.view(), grid, &options).unwrap();
}

fn item(id: &str, day: u32, grid: Georef, shape: (usize, usize), assets: &[&str]) -> Value {
    let Georef { epsg, x0_m, y0_m, px_m } = grid;
    let asset = |key: &&str| (key.to_string(), json!({ "href": format!("{id}-{key}.tif") }));
    json!({
        "type": "Feature",
        "id": id,
        "properties": {
            "datetime": format!("2023-05-{day:02}T09:51:07Z"),
            "platform": "sentinel-1a",
            "proj:code": format!("EPSG:{epsg}"),
            "proj:shape": [shape.0, shape.1],
            "proj:transform": [px_m, 0, x0_m, 0, -px_m, y0_m],
        },
        "assets": assets.iter().map(asset).collect::<serde_json::Map<_, _>>(),
    })
}

fn catalog(folder: &Path, items: &[Value]) -> String {
    let path = folder.join("items.json");
    fs::write(&path, json!({ "features": items }).to_string()).unwrap();
    path.to_str().unwrap().into()
}

fn request(sensor: &str, catalog: &str, georef: Georef) -> CollectRequest {
    let onto = Onto::of_cells(vec![cell(georef)]);
    CollectRequest {
        sensor: Sensor::builtin(sensor).unwrap(),
        onto: Some(onto),
        ..CollectRequest::all_of(catalog)
    }
}

fn collect(request: &CollectRequest, store: &Path) -> Result<CollectSummary, CollectError> {
    run(&plan(request, &Silent)?, &options(store), &Silent)
}

/// Compares the cell with what its pixels' own places show.
fn compare(store: &Path, want: impl Fn(usize, f64, f64) -> f64, off: f64) -> usize {
    let store = Store::open(store).unwrap();
    let id = store.cells().unwrap().remove(0);
    let cell = store.cell(&id).unwrap();
    let dates: Vec<usize> = (0..cell.times.len()).collect();
    let all = Window { row: 0, col: 0, rows: cell.rows, cols: cell.cols };
    let read = cell.read(&dates, all).unwrap();
    let projection = Projection::from_epsg(cell.georef.epsg).unwrap();
    let mut seen = 0;
    for ((_, band, row, col), &number) in read.reflectance.indexed_iter() {
        if number == 0 {
            continue;
        }
        let (x, y) = cell.georef.centre(row, col);
        let (lon, lat) = projection.to_lonlat(x, y).unwrap();
        let want = want(band, lon, lat);
        assert!((f64::from(number) - want).abs() <= off, "{row},{col}: {number}, not {want}");
        seen += 1;
    }
    seen
}

/// Zone 19 scenes over a cell of zone 18. Expected values: the power at each pixel's own place, in the
/// steps of the store; bilinear means of a smooth landscape err by a fraction of a step's hundred.
#[test]
fn radar_of_the_next_zone_is_brought_onto_the_cell_as_power_and_kept_as_decibels() {
    let folder = tempfile::tempdir().unwrap();
    let power = |lon, lat| (height(lon, lat) / 10_000.0) as f32;
    let grid = Georef { epsg: 32719, x0_m: 203_000.0, y0_m: 6_101_000.0, px_m: 10.0 };
    let shape = (300, 300);
    for key in ["vv", "vh"] {
        let path = folder.path().join(format!("A-{key}.tif"));
        let weak = if key == "vh" { 0.1 } else { 1.0 };
        write(&path, grid, shape, -32768.0, |lon, lat| power(lon, lat) * weak);
    }
    let catalog = catalog(folder.path(), &[item("A", 2, grid, shape, &["vv", "vh"])]);
    // Where is the cell? In the middle of the file.
    let (to, from) = (Projection::from_epsg(32718).unwrap(), Projection::from_epsg(32719).unwrap());
    let (lon, lat) = from.to_lonlat(204_500.0, 6_099_500.0).unwrap();
    let (x, y) = to.from_lonlat(lon, lat).unwrap();
    let snap = |v: f64| (v / 10.0).floor() * 10.0;
    let georef = Georef { x0_m: snap(x) - 600.0, y0_m: snap(y) + 500.0, ..EAST };
    let store = folder.path().join("store");
    let done = collect(&request("sentinel-1-rtc", &catalog, georef), &store).unwrap();
    assert_eq!((done.scenes, done.cells, done.shards_done), (1, 1, 1));
    assert_eq!((done.holes.len(), done.verdicts.undecided), (0, 0));
    let decibel = |band: usize, lon: f64, lat: f64| {
        let power = height(lon, lat) / 10_000.0 * if band == 1 { 0.1 } else { 1.0 };
        (10.0 * power.log10() + 50.0) / 0.001
    };
    assert_eq!(compare(&store, decibel, 30.0), 2 * 100 * 120, "0.03 dB");
    let again = collect(&request("sentinel-1-rtc", &catalog, georef), &store).unwrap();
    assert_eq!((again.shards_done, again.shards_skipped, again.blocks), (0, 1, 0));
}

/// A file whose second half is cut off: its blocks are holes, and the other scenes are whole.
#[test]
fn a_broken_file_is_a_hole_that_is_listed_and_filled_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let shape = (200, 200);
    let grid = Georef { x0_m: EAST.x0_m - 300.0, y0_m: EAST.y0_m + 400.0, ..EAST };
    let mut items = Vec::new();
    for (day, id) in ["A", "B"].iter().enumerate() {
        for key in ["vv", "vh"] {
            let path = folder.path().join(format!("{id}-{key}.tif"));
            write(&path, grid, shape, -32768.0, |lon, lat| (height(lon, lat) / 1e4) as f32);
        }
        items.push(item(id, day as u32 + 1, grid, shape, &["vv", "vh"]));
    }
    let catalog = catalog(folder.path(), &items);
    let whole = folder.path().join("whole");
    let request = request("sentinel-1-rtc", &catalog, EAST);
    assert_eq!(collect(&request, &whole).unwrap().holes, []);
    let path = folder.path().join("B-vh.tif");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let store = folder.path().join("store");
    let done = collect(&request, &store).unwrap();
    assert!(!done.holes.is_empty());
    let missing: u64 = done.holes.iter().map(|h| h.hole.pixels).sum();
    for hole in &done.holes {
        assert_eq!((hole.scene.as_str(), &hole.hole.bands[..]), ("B", &["VH".to_string()][..]));
        assert!(hole.hole.reason.contains("truncated"), "{}", hole.hole.reason);
    }
    let seen = compare(
        &store,
        |_, lon, lat| (10.0 * (height(lon, lat) / 1e4).log10() + 50.0) / 0.001,
        1.0,
    );
    assert_eq!(seen as u64 + missing, 4 * 100 * 120, "what is not there is listed");
    fs::write(&path, &bytes).unwrap();
    let planned = plan(&request, &Silent).unwrap();
    let again = surco_collect::RunOptions { retry_holes: true, ..options(&store) };
    assert_eq!(run(&planned, &again, &Silent).unwrap().holes, []);
    world::assert_same(&store, &whole);
}

/// Two files of degrees that meet in the middle of the cell. Expected values: the height at each pixel's
/// own place, the seam among them.
#[test]
fn heights_of_two_files_are_one_plane_without_a_seam() {
    let folder = tempfile::tempdir().unwrap();
    let px = 1.0 / 3600.0;
    let projection = Projection::from_epsg(32718).unwrap();
    let (lon, lat) = projection.to_lonlat(EAST.x0_m + 600.0, EAST.y0_m - 500.0).unwrap();
    let snap = |v: f64| (v / px).floor() * px;
    let grid =
        Georef { epsg: 4326, x0_m: snap(lon) - 60.0 * px, y0_m: snap(lat) + 70.0 * px, px_m: px };
    let mut items = Vec::new();
    for (id, col) in [("W", 0), ("E", 60)] {
        let part = grid.shifted(0, col);
        let name = folder.path().join(format!("{id}-data.tif"));
        write(&name, part, (140, 60), -9999.0, |lon, lat| height(lon, lat) as f32);
        items.push(item(id, 1, part, (140, 60), &["data"]));
    }
    let catalog = catalog(folder.path(), &items);
    let store = folder.path().join("store");
    let mut request = request("cop-dem-glo-30", &catalog, EAST);
    request.seasons = vec![surco_core::Season::agricultural(2030).unwrap()];
    let done = collect(&request, &store).unwrap();
    assert_eq!((done.scenes, done.holes.len()), (1, 0), "no season can leave heights out");
    let seen = compare(&store, |_, lon, lat| (height(lon, lat) + 1000.0) / 0.2, 8.0);
    assert_eq!(seen, 34 * 40, "1000 m by 1200 m in pixels of 30 m");
    let reader = Store::open(&store).unwrap().cell(&cell(EAST).id).unwrap();
    assert_eq!((reader.scenes[0].id.as_str(), reader.times.len()), ("E+W", 1));
}

/// Landsat states northern zones in the south, and quality as bits.
#[test]
fn landsat_of_a_northern_code_keeps_reflectance_and_quality() {
    let folder = tempfile::tempdir().unwrap();
    // Pixels of 30 m whose centres are those of the cell's.
    let grid =
        Georef { epsg: 32618, x0_m: EAST.x0_m - 300.0, y0_m: EAST.y0_m - 1e7 + 300.0, px_m: 30.0 };
    let shape = (70, 80);
    // Odd numbers never fall half between two steps of the store.
    let numbers = |row: usize, col: usize| 8001 + 2 * (row * 211 + col * 37) as u16;
    let options = CogOptions { block_px: 32, nodata: Some(0.0), ..CogOptions::default() };
    let put = |key: &str, value: &dyn Fn(usize, usize) -> u16| {
        let image = Array3::from_shape_fn((1, shape.0, shape.1), |(_, row, col)| value(row, col));
        write_cog(folder.path().join(format!("L-{key}.tif")), image.view(), grid, &options)
            .unwrap();
    };
    put("red", &|row, col| if row == 30 { 0 } else { numbers(row, col) });
    put("qa_pixel", &|row, col| match (row, col) {
        (30, _) => 1,
        (_, 20) => 22_280,
        _ => 21_824,
    });
    let mut scene = item("L", 5, grid, shape, &["red", "qa_pixel"]);
    scene["properties"]["platform"] = "landsat-9".into();
    let mut old = item("O", 5, grid, shape, &["red"]);
    old["properties"]["platform"] = "landsat-7".into();
    let catalog = catalog(folder.path(), &[scene, old]);
    let mut request = request("landsat-c2-l2", &catalog, EAST);
    request.bands = vec!["red".into()];
    let store = folder.path().join("store");
    let done = collect(&request, &store).unwrap();
    assert_eq!(done.scenes, 1, "ETM+ is another sensor");
    let reader = Store::open(&store).unwrap().cell(&cell(EAST).id).unwrap();
    assert_eq!((reader.rows, reader.cols, reader.georef.px_m), (34, 40, 30.0));
    assert_eq!((reader.bands[0].as_str(), reader.georef.epsg), ("OLI_B4", 32718));
    let read = reader.read(&[0], Window { row: 0, col: 0, rows: 34, cols: 40 }).unwrap();
    for ((_, _, row, col), &number) in read.reflectance.indexed_iter() {
        let dn = f64::from(numbers(row + 10, col + 10));
        let want = if row == 20 { 0 } else { ((dn * 0.0000275 - 0.2) * 1e4).round() as u16 };
        assert_eq!(number, want, "{row},{col}");
        let quality = read.scl[[0, row, col]];
        let want = if row == 20 {
            0
        } else if col == 10 {
            22_280_u16 as u8
        } else {
            64
        };
        assert_eq!(quality, want, "{row},{col}");
    }
}

#[test]
fn a_sensor_without_tiles_needs_an_area_or_cells() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path(), &[item("A", 2, EAST, (64, 64), &["vv", "vh"])]);
    let mut request = request("sentinel-1-rtc", &catalog, EAST);
    request.onto = None;
    let error = plan(&request, &Silent).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"area: found none, expected an area, or a store whose cells are taken: this sensor has no tiles");
    request.area = Some(surco_collect::Area::Bbox([-72.3, -35.3, -72.2, -35.2]));
    let planned = plan(&request, &Silent).unwrap();
    let cells: Vec<String> = planned.cells().map(ToString::to_string).collect();
    insta::assert_snapshot!(cells.join(" "), @"18HYF/r00c05 18HYG/r09c05 19HBA/r00c00 19HBB/r09c00");
    let points = vec![(-72.25, -35.25)];
    request.places = Some(surco_collect::Places { points, side_px: 64 });
    let error = plan(&request, &Silent).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"places: found sentinel-1-rtc, which has no tiles to cut chips from, expected an area, or a store whose cells are taken");
    request.places = None;
    request.sensor = Sensor::builtin("agera5").unwrap();
    let error = plan(&request, &Silent).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"sensor: found agera5, a table, expected one that gives images");
    assert!(files(folder.path()).len() == 1, "plans write nothing");
}
