use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use surco_core::{Season, Silent};
use surco_raster::projection::Projection;
use surco_raster::vector::Polygon;

use super::*;
use crate::owner::tests::{around_72_west, tile};
use crate::{Area, Places};

/// An item of a tile whose outline is the tile, its sides straight in degrees.
fn item(name: &str, grid: &Grid, day: &str) -> Value {
    let Grid { georef, rows, cols } = grid;
    let projection = Projection::from_epsg(georef.epsg).unwrap();
    let (right, bottom) = (georef.x0_m + *cols as f64 * 10.0, georef.y0_m - *rows as f64 * 10.0);
    let corners =
        [(georef.x0_m, bottom), (right, bottom), (right, georef.y0_m), (georef.x0_m, georef.y0_m)];
    let ring: Vec<Value> = corners
        .iter()
        .cycle()
        .take(5)
        .map(|&(x, y)| projection.to_lonlat(x, y).unwrap())
        .map(|(lon, lat)| json!([lon, lat]))
        .collect();
    let asset = |key: &str, factor: usize| {
        let px = 10 * factor as i64;
        json!({
            "href": format!("https://example.org/{name}/{day}/{key}.tif"),
            "proj:shape": [rows / factor, cols / factor],
            "proj:transform": [px, 0, georef.x0_m, 0, -px, georef.y0_m],
        })
    };
    json!({
        "type": "Feature",
        "id": format!("S2A_{name}_{}_0_L2A", day.replace('-', "")),
        "geometry": { "type": "Polygon", "coordinates": [ring] },
        "properties": {
            "datetime": format!("{day}T14:38:51Z"),
            "platform": "sentinel-2a",
            "proj:epsg": georef.epsg,
        },
        "assets": { "red": asset("red", 1), "swir16": asset("swir16", 2), "scl": asset("scl", 2) },
    })
}

fn request() -> CollectRequest {
    CollectRequest { bands: vec!["B04".into(), "B11".into()], ..CollectRequest::all_of("items") }
}

fn plan_of(tiles: &[(String, Grid)], request: &CollectRequest) -> Plan {
    let items = tiles.iter().map(|(name, grid)| item(name, grid, "2023-06-01"));
    plan_items(request, items, &Silent).unwrap()
}

fn within(bbox: [f64; 4]) -> CollectRequest {
    CollectRequest { area: Some(Area::Bbox(bbox)), ..request() }
}

fn closed(points: &[(f64, f64)]) -> Vec<[f64; 2]> {
    let mut ring: Vec<[f64; 2]> = points.iter().map(|&(x, y)| [x, y]).collect();
    ring.push(ring[0]);
    ring
}

/// Cells whose kept pixels hold a point of the ground.
fn holders(plan: &Plan, projections: &[Projection], lon: f64, lat: f64) -> Vec<String> {
    let mut found = Vec::new();
    for cell in &plan.cells {
        let georef = plan.tiles[cell.tile].grid.georef;
        let projection = projections.iter().find(|p| p.epsg() == georef.epsg).unwrap();
        let (x, y) = projection.from_lonlat(lon, lat).unwrap();
        let (row, col) = georef.row_col(x, y);
        let (row, col) = (row - cell.window.row as f64, col - cell.window.col as f64);
        let inside = (0.0..cell.window.rows as f64).contains(&row)
            && (0.0..cell.window.cols as f64).contains(&col);
        let pixel = Window { row: row as usize, col: col as usize, rows: 1, cols: 1 };
        if inside && cell.kept.meets(&pixel) {
            found.push(cell.id.to_string());
        }
    }
    found
}

fn zones() -> [Projection; 2] {
    [32_718, 32_719].map(|epsg| Projection::from_epsg(epsg).unwrap())
}

fn covered(tiles: &[(String, Grid)], projections: &[Projection], lon: f64, lat: f64) -> bool {
    tiles.iter().any(|(_, grid)| {
        let projection = projections.iter().find(|p| p.epsg() == grid.georef.epsg).unwrap();
        let (x, y) = projection.from_lonlat(lon, lat).unwrap();
        let (row, col) = grid.georef.row_col(x, y);
        (0.0..grid.rows as f64).contains(&row) && (0.0..grid.cols as f64).contains(&col)
    })
}

/// Counted by hand: 11 × 11 cells of a lone tile; 10 m blocks as many, 20 m blocks 6 × 6.
#[test]
fn a_lone_tile_is_planned_whole() {
    let tiles = [("19HCC".to_string(), tile(19, 300.0, 6200.0))];
    let plan = plan_of(&tiles, &request());
    let PlanFigures { scenes, tiles, cells, shards, blocks, bytes_wire, bytes_stored, .. } =
        plan.figures;
    assert_eq!((scenes, tiles, cells, shards, blocks), (1, 1, 121, 121, 121 + 2 * 36));
    let pixels = 10_980.0 * 10_980.0;
    let wire = pixels * (2.0 + 2.0 / 4.0 + 0.1 / 4.0) / 1.5;
    assert!((bytes_wire as f64 - wire).abs() < 2.0, "{bytes_wire} {wire}");
    let stored = pixels * (2.0 * 2.0 / 1.6 + 0.05);
    assert!((bytes_stored as f64 - stored).abs() < 2.0, "{bytes_stored} {stored}");
    assert!(plan.cells.iter().all(|cell| cell.kept == Owned::All && cell.windows.is_none()));
    let half = plan.figures.seconds_at(wire / 2.0).unwrap();
    assert!((half - 2.0).abs() < 1e-6, "{half}");
    assert_eq!(plan.figures.seconds_at(0.0), None);
    let spec = plan.spec(120);
    assert_eq!((spec.rows, spec.cols, spec.scenes.len()), (740, 740, 1));
    assert_eq!(plan.scenes_by_key(120).len(), 1);
}

/// Counted by hand: of the western tile's last column of cells the eastern one has all but three, which
/// reach over the upper and lower border of the squares, where the first by name has all it covers.
#[test]
fn what_two_tiles_share_is_planned_once() {
    let tiles = [("19HCC", tile(19, 300.0, 6200.0)), ("19HDC", tile(19, 400.0, 6200.0))];
    let tiles = tiles.map(|(name, grid)| (name.to_string(), grid));
    let plan = plan_of(&tiles, &request());
    assert_eq!(plan.figures.cells, 110 + 3 + 121);
    let last = plan.cells().filter(|id| id.tile == "19HCC" && id.col == 10);
    assert_eq!(last.map(|id| id.row).collect::<Vec<_>>(), [0, 9, 10]);
    let stored = plan.figures.bytes_stored as f64;
    let pixels = (10_000.0 + 10_976.0) * 10_980.0;
    assert!((stored - pixels * 2.55).abs() < 2.0, "{stored}");
    // 240 m east of the border, 240 m west of it.
    let projection = Projection::from_epsg(32719).unwrap();
    for (x, tile) in [(400_240.0, "19HDC"), (399_760.0, "19HCC")] {
        let (lon, lat) = projection.to_lonlat(x, 6_250_000.0).unwrap();
        let near = within([lon - 1e-4, lat - 1e-4, lon + 1e-4, lat + 1e-4]);
        let names: Vec<String> = plan_of(&tiles, &near).cells().map(|c| c.tile.clone()).collect();
        assert_eq!(names, [tile], "the neighbour's part of its cell is not asked for");
    }
}

#[test]
fn seasons_add_up_and_the_order_of_items_does_not_count() {
    let tiles = around_72_west(-35.0);
    let days = ["2021-06-01", "2022-06-01", "2023-06-01", "2023-07-01"];
    let items: Vec<Value> =
        tiles.iter().flat_map(|(n, g)| days.map(|day| item(n, g, day))).collect();
    let season = |year| Season::agricultural(year).unwrap();
    let wanted = CollectRequest { seasons: vec![season(2023), season(2021)], ..request() };
    let plan = plan_items(&wanted, items.clone(), &Silent).unwrap();
    // Tiles that lie wholly on the other zone's side, and under its tiles, have nothing of their own.
    assert!(plan.figures.tiles < tiles.len() as u64);
    assert_eq!(plan.figures.scenes, 3 * plan.figures.tiles);
    assert!(plan.cells.iter().all(|cell| cell.scenes.len() == 3));
    let again = plan_items(&wanted, items.into_iter().rev(), &Silent).unwrap();
    assert_eq!(again.figures, plan.figures);
    for i in (0..plan.cells.len()).step_by(17) {
        assert_eq!(again.spec(i), plan.spec(i));
        assert_eq!(again.cells[i].kept, plan.cells[i].kept);
        assert_eq!(again.cells[i].id, plan.cells[i].id);
    }
}

#[test]
fn scenes_are_those_whose_outline_meets_the_cell() {
    let grid = tile(19, 300.0, 6200.0);
    let mut west = item("19HCC", &grid, "2023-06-01");
    let ring = west["geometry"]["coordinates"][0].as_array().unwrap().clone();
    let lon = |i: usize| ring[i][0].as_f64().unwrap();
    let middle = (lon(0) + lon(1)) / 2.0;
    for corner in [1, 2] {
        west["geometry"]["coordinates"][0][corner][0] = middle.into();
    }
    let mut without = item("19HCC", &grid, "2023-06-03");
    without["geometry"] = Value::Null;
    let items = [west, item("19HCC", &grid, "2023-06-02"), without];
    let plan = plan_items(&request(), items, &Silent).unwrap();
    let dates = |col: usize| {
        let cell = plan.cells.iter().position(|c| c.id.row == 5 && c.id.col == col).unwrap();
        plan.spec(cell).scenes.len()
    };
    assert_eq!((dates(0), dates(5), dates(6), dates(10)), (3, 3, 2, 2));
}

/// Around a crossing of the date line: both zones' tiles, asked for by two boxes.
#[test]
fn an_area_beside_the_date_line_is_planned_on_its_own_side() {
    let mut tiles = Vec::new();
    for zone in [1, 60] {
        let projection = Projection::from_epsg(32_700 + zone).unwrap();
        let (x, y) = projection.from_lonlat(180.0, -17.0).unwrap();
        let km = |v: f64| (v / 1e5).floor() * 100.0;
        tiles.push((format!("{zone:02}KXX"), tile(zone, km(x), km(y))));
    }
    let east = plan_of(&tiles, &within([-179.95, -17.05, -179.9, -17.0]));
    assert!(east.cells().count() > 0 && east.cells().all(|id| id.tile == "01KXX"));
    let west = plan_of(&tiles, &within([179.9, -17.05, 179.95, -17.0]));
    assert!(west.cells().count() > 0 && west.cells().all(|id| id.tile == "60KXX"));
    let places = Places { points: vec![(179.9999, -17.02), (-179.9999, -17.02)], side_px: 64 };
    let chips = plan_of(&tiles, &CollectRequest { places: Some(places), ..request() });
    let both: BTreeSet<&str> = chips.cells().map(|id| &*id.tile).collect();
    assert_eq!(both, BTreeSet::from(["01KXX", "60KXX"]));
    assert_eq!((chips.figures.places, chips.figures.places_outside), (2, 0));
}

/// Worked by hand: a chip in the middle of a cell, one in the corner of four, one in the sea.
#[test]
fn places_are_planned_by_chunks_and_those_outside_are_counted() {
    let grid = tile(19, 300.0, 6200.0);
    let tiles = [("19HCC".to_string(), grid)];
    let projection = Projection::from_epsg(32719).unwrap();
    let at = |row: usize, col: usize| {
        let (x, y) = grid.georef.centre(row, col);
        projection.to_lonlat(x, y).unwrap()
    };
    let points = vec![at(500, 3500), at(2048, 2048), (-60.0, -20.0)];
    let places = Places { points, side_px: 64 };
    let plan = plan_of(&tiles, &CollectRequest { places: Some(places), ..request() });
    let names: Vec<String> = plan.cells().map(|id| format!("r{}c{}", id.row, id.col)).collect();
    assert_eq!(names, ["r0c3", "r1c1", "r1c2", "r2c1", "r2c2"]);
    assert_eq!((plan.figures.places, plan.figures.places_outside), (2, 1));
    // Rows 468 to 531, columns 3468 - 3072 = 396 to 459: chunks 448 to 575 and 384 to 511.
    let window = Window { row: 468, col: 396, rows: 64, cols: 64 };
    assert_eq!(plan.cells[0].windows, Some(vec![window]));
    assert_eq!(plan.cells[0].kept.key(), "r448-576c384-512");
    let quarter = Window { row: 992, col: 992, rows: 32, cols: 32 };
    assert_eq!(plan.cells[1].windows, Some(vec![quarter]));
    assert_eq!(plan.cells[1].kept.key(), "r960-1024c960-1024");
    // Five blocks of 10 m; the five cells lie in the 20 m blocks r0c1, r0c0, r0c1, r1c0 and r1c1.
    assert_eq!(plan.figures.blocks, 5 + 2 * 4);
    let stored = (128.0 * 128.0 + 4.0 * 64.0 * 64.0) * 2.55;
    assert!((plan.figures.bytes_stored as f64 - stored).abs() < 1.0);
}

#[test]
fn cells_in_a_hole_of_the_area_are_not_planned() {
    let tiles = [("19HCC".to_string(), tile(19, 300.0, 6200.0))];
    let square = |half: f64| {
        let (lon, lat) = (-70.6, -33.9);
        closed(&crate::geometry::rectangle([lon - half, lat - half, lon + half, lat + half]))
    };
    let of = |rings: Vec<Vec<[f64; 2]>>| {
        let area = Some(Area::Polygons(vec![Polygon { rings }]));
        plan_of(&tiles, &CollectRequest { area, ..request() }).figures.cells
    };
    let (all, inner) = (of(vec![square(0.4)]), of(vec![square(0.2)]));
    let border = of(vec![square(0.4), square(0.2)]);
    let cut = of(vec![square(0.2), square(0.199)]);
    // The cells along the inner border belong to both.
    assert_eq!(border, all - inner + cut, "{all} {inner} {cut}");
    assert!(cut < inner && inner < all);
}

#[test]
fn nothing_to_collect_says_where_it_went() {
    let tiles = [("19HCC".to_string(), tile(19, 300.0, 6200.0))];
    let items = tiles.iter().map(|(name, grid)| item(name, grid, "2023-06-01"));
    let error = plan_items(&within([10.0, 10.0, 11.0, 11.0]), items, &Silent).unwrap_err();
    insta::assert_snapshot!(error, @"no scene to collect: 1 items in catalog items, 1 in the season, 0 of them in the area, 0 of them clear enough; widen what is asked for");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any box or star around 72° W: each point of it that a tile covers is in exactly one planned cell,
    /// unless it lies on the border of two zones, whose pixels are turned against each other.
    #[test]
    fn no_ground_of_an_area_is_lost_or_planned_twice(
        lat in -55.0..-18.0_f64,
        centre in (-0.5..0.5_f64, -0.5..0.5_f64),
        corners in proptest::collection::vec(0.01..0.6_f64, 3..12),
        is_box in any::<bool>(),
        points in proptest::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 60),
        left_out in proptest::collection::btree_set(0_usize..18, 0..6),
    ) {
        let tiles: Vec<(String, Grid)> = around_72_west(lat)
            .into_iter()
            .enumerate()
            .filter_map(|(i, tile)| (!left_out.contains(&i)).then_some(tile))
            .collect();
        let centre = (-72.0 + centre.0, lat + centre.1);
        let star: Vec<(f64, f64)> = corners
            .iter()
            .enumerate()
            .map(|(i, reach)| {
                let angle = i as f64 * std::f64::consts::TAU / corners.len() as f64;
                (centre.0 + reach * angle.cos(), centre.1 + reach * angle.sin())
            })
            .collect();
        let [west, south, east, north] = crate::geometry::bounds(&star);
        let polygon = Polygon { rings: vec![closed(&star)] };
        let area = match is_box {
            true => Area::Bbox([west, south, east, north]),
            false => Area::Polygons(vec![polygon.clone()]),
        };
        let request = CollectRequest { area: Some(area), ..request() };
        let items = tiles.iter().map(|(name, grid)| item(name, grid, "2023-06-01"));
        let Ok(plan) = plan_items(&request, items, &Silent) else {
            // Then no tile is left where the area lies.
            let zones = zones();
            for (x, y) in points {
                let (lon, lat) = (west + x * (east - west), south + y * (north - south));
                let asked = is_box || surco_raster::rasterise::contains(&polygon, lon, lat);
                prop_assert!(!asked || !covered(&tiles, &zones, lon, lat));
            }
            return Ok(());
        };
        let zones = zones();
        for (x, y) in points {
            let (lon, lat) = (west + x * (east - west), south + y * (north - south));
            let asked = is_box || surco_raster::rasterise::contains(&polygon, lon, lat);
            let step = 8.0 / 111_320.0;
            let around = [(0.0, 0.0), (0.0, step), (0.0, -step), (2.0 * step, 0.0), (-2.0 * step, 0.0)];
            let found: Vec<Vec<String>> =
                around.iter().map(|d| holders(&plan, &zones, lon + d.0, lat + d.1)).collect();
            prop_assert!(found[0].len() < 2 || found.iter().any(|f| f != &found[0]), "{found:?}");
            if asked && found[0].is_empty() && covered(&tiles, &zones, lon, lat) {
                // Within half a pixel of a border of zones or of a tile's edge.
                let lost = found.iter().filter(|f| f.is_empty()).count();
                prop_assert!(lost < 5, "{lon}, {lat} is lost");
            }
        }
    }

    /// Every pixel of a chip that some tile covers is kept once.
    #[test]
    fn no_pixel_of_a_chip_is_lost_or_planned_twice(
        lat in -55.0..-18.0_f64,
        points in proptest::collection::vec((-0.9..0.9_f64, -0.9..0.9_f64), 1..20),
        side_px in 1_usize..300,
        at in proptest::collection::vec((-0.5..0.5_f64, -0.5..0.5_f64), 6),
    ) {
        let tiles = around_72_west(lat);
        let points: Vec<(f64, f64)> = points.iter().map(|p| (-72.0 + p.0, lat + p.1)).collect();
        let places = Some(Places { points: points.clone(), side_px });
        let plan = plan_of(&tiles, &CollectRequest { places, ..request() });
        let zones = zones();
        prop_assert_eq!(plan.figures.places + plan.figures.places_outside, points.len() as u64);
        for cell in &plan.cells {
            let windows = cell.windows.as_ref().unwrap();
            prop_assert!(!windows.is_empty() && windows.iter().all(|w| cell.owned.meets(w)));
            let whole = Window { row: 0, col: 0, rows: cell.window.rows, cols: cell.window.cols };
            prop_assert!(windows.iter().all(|w| whole.intersect(w) == Some(*w)));
        }
        for &(lon, lat) in &points {
            // Turned squares of two zones share at least the disc in them.
            let reach = (side_px as f64 - 3.0).max(0.0) * 10.0 / 111_500.0 * 0.7;
            for (x, y) in &at {
                let (lon, lat) = (lon + x * reach / lat.to_radians().cos(), lat + y * reach);
                let step = 8.0 / 111_320.0;
                let around = [(0.0, 0.0), (0.0, step), (0.0, -step), (2.0 * step, 0.0), (-2.0 * step, 0.0)];
                let found: Vec<Vec<String>> =
                    around.iter().map(|d| holders(&plan, &zones, lon + d.0, lat + d.1)).collect();
                prop_assert!(found[0].len() < 2 || found.iter().any(|f| f != &found[0]));
                let lost = found[0].is_empty() && found.iter().all(|f| f == &found[0]);
                prop_assert!(!lost || !covered(&tiles, &zones, lon, lat), "{lon}, {lat}");
            }
        }
    }
}
