use proptest::prelude::*;

use super::*;

/// A tile of Sentinel-2 by the lower left corner of its square in the south: its upper left corner goes
/// to the next 60 m outside, and it has 109.8 km a side.
pub(crate) fn tile(zone: u32, east_km: f64, north_km: f64) -> Grid {
    let x0_m = (east_km * 1000.0 / 60.0).floor() * 60.0;
    let y0_m = ((north_km + 100.0) * 1000.0 - 1e7) / 60.0;
    let y0_m = y0_m.ceil() * 60.0 + 1e7;
    let georef = Georef { epsg: 32_700 + zone, x0_m, y0_m, px_m: 10.0 };
    Grid { georef, rows: 10_980, cols: 10_980 }
}

/// Squares of both zones around 72° W and a latitude, as the tiles' grid has them there.
pub(crate) fn around_72_west(lat: f64) -> Vec<(String, Grid)> {
    let mut tiles = Vec::new();
    for zone in [18, 19] {
        let projection = Projection::from_epsg(32_700 + zone).unwrap();
        let (x, y) = projection.from_lonlat(-72.0, lat).unwrap();
        let km = |v: f64| (v / SQUARE_M).floor() * 100.0;
        for (i, east) in [-100.0, 0.0, 100.0].into_iter().enumerate() {
            for (j, north) in [-100.0, 0.0, 100.0].into_iter().enumerate() {
                let column = char::from(b'A' + i as u8);
                let row = char::from(b'A' + j as u8);
                let name = format!("{zone}H{column}{row}");
                tiles.push((name, tile(zone, km(x) + east, km(y) + north)));
            }
        }
    }
    tiles
}

fn owners(tiles: &[(String, Grid)]) -> Owners {
    let named: Vec<(&str, Grid)> = tiles.iter().map(|(name, grid)| (&**name, *grid)).collect();
    Owners::of(&named).unwrap()
}

/// The rule as it is written, for one point: the reference.
fn owner_of(tiles: &[(String, Grid)], lon: f64, lat: f64) -> Option<usize> {
    let mut order: Vec<usize> = (0..tiles.len()).collect();
    order.sort_by_key(|&i| &tiles[i].0);
    let place = |i: usize| {
        let projection = Projection::from_epsg(tiles[i].1.georef.epsg).unwrap();
        projection.from_lonlat(lon, lat).unwrap()
    };
    let covers = |i: usize| {
        let (x, y) = place(i);
        let (row, col) = tiles[i].1.georef.row_col(x, y);
        0.0 <= row && row < tiles[i].1.rows as f64 && 0.0 <= col && col < tiles[i].1.cols as f64
    };
    let own = |i: usize| {
        let (x, y) = place(i);
        let georef = tiles[i].1.georef;
        let (west, north) = ((georef.x0_m / 1e5).round() * 1e5, (georef.y0_m / 1e5).round() * 1e5);
        let start = f64::from(georef.epsg % 100) * 6.0 - 186.0;
        (west..west + 1e5).contains(&x)
            && north - 1e5 < y
            && y <= north
            && start <= lon
            && lon < start + 6.0
    };
    let covering = || order.iter().copied().filter(|&i| covers(i));
    let first_own = covering().find(|&i| own(i));
    first_own.or_else(|| covering().next())
}

/// Tiles that have the pixel which holds a point.
fn holders(tiles: &[(String, Grid)], owners: &Owners, lon: f64, lat: f64) -> Vec<usize> {
    let mut found = Vec::new();
    for (i, (_, grid)) in tiles.iter().enumerate() {
        let projection = &owners.projections[&grid.georef.epsg];
        let (x, y) = projection.from_lonlat(lon, lat).unwrap();
        let (row, col) = grid.georef.row_col(x, y);
        let inside =
            (0.0..grid.rows as f64).contains(&row) && (0.0..grid.cols as f64).contains(&col);
        if inside {
            let (row, col) = (row as usize, col as usize);
            let cell =
                Window { row: row / 1024 * 1024, col: col / 1024 * 1024, rows: 1024, cols: 1024 };
            let whole = Window { row: 0, col: 0, rows: grid.rows, cols: grid.cols };
            let cell = cell.intersect(&whole).unwrap();
            let owned = owners.owned(i, &cell).unwrap();
            let pixel = Window { row: row - cell.row, col: col - cell.col, rows: 1, cols: 1 };
            if owned.meets(&pixel) {
                found.push(i);
            }
        }
    }
    found
}

#[test]
fn a_lone_tile_owns_all_it_has_wherever_it_lies() {
    let small = Georef { epsg: 32719, x0_m: 345_670.0, y0_m: 6_345_670.0, px_m: 10.0 };
    let small = Grid { georef: small, rows: 512, cols: 64 };
    let all = Window { row: 0, col: 0, rows: 512, cols: 64 };
    let alone = Owners::of(&[("19HBA", small)]).unwrap();
    assert_eq!(alone.owned(0, &all), Ok(Owned::All));
    let far = Owners::of(&[("19HBA", small), ("19HCC", tile(19, 600.0, 6300.0))]).unwrap();
    assert_eq!(far.owned(0, &all), Ok(Owned::All));
}

/// Worked by hand. The square of 19HCC begins at 300 km east: its tile begins at 300,000 (60 divides it),
/// that of 19HDC, at 400 km, 40 m before, at 399,960. Their rows begin at the same place.
#[test]
fn neighbours_part_at_the_border_of_their_squares() {
    let tiles = [("19HCC", tile(19, 300.0, 6200.0)), ("19HDC", tile(19, 400.0, 6200.0))];
    assert_eq!((tiles[0].1.georef.x0_m, tiles[1].1.georef.x0_m), (300_000.0, 399_960.0));
    let owners = Owners::of(&tiles).unwrap();
    let owned =
        |tile, row, col| owners.owned(tile, &Window { row, col, rows: 1024, cols: 1024 }).unwrap();
    assert_eq!(owned(0, 1024, 8192), Owned::All);
    // Column 10,000 is the first east of 400,000 m: 784 columns of the tenth cell.
    assert_eq!(owned(0, 1024, 9216).key(), "r0-1024c0-784");
    assert_eq!(owned(1, 1024, 0).key(), "r0-1024c4-1024");
    let last = Window { row: 1024, col: 10_240, rows: 1024, cols: 740 };
    assert_eq!(owners.owned(0, &last), Ok(Owned::None));
}

/// Worked by hand: below the square of 19HCC no tile is planned that has the ground there.
#[test]
fn the_rest_of_a_tile_is_its_own_where_no_other_is_planned() {
    let tiles = [("19HCB", tile(19, 300.0, 6100.0)), ("19HCC", tile(19, 300.0, 6200.0))];
    let owners = Owners::of(&tiles).unwrap();
    let bottom = Window { row: 10_240, col: 0, rows: 740, cols: 1024 };
    assert_eq!(owners.owned(1, &bottom), Ok(Owned::None), "19HCB has it");
    assert_eq!(owners.owned(0, &bottom), Ok(Owned::All), "19HCA has it not");
    let east = Window { row: 5120, col: 10_240, rows: 1024, cols: 740 };
    assert_eq!(owners.owned(0, &east), Ok(Owned::All));
    let corner = Window { row: 0, col: 10_240, rows: 1024, cols: 740 };
    assert_eq!(owners.owned(0, &corner), Ok(Owned::All));
    // East of 400 km neither has the ground in its square: the first by name has it. 19HCB begins at
    // 6,200,020 m, 19HCC ends at 6,300,040 - 109,800 = 6,190,240 m: they share 978 rows, 10,002 and on.
    let lower = Window { row: 9216, col: 10_240, rows: 1024, cols: 740 };
    assert_eq!(owners.owned(1, &lower).unwrap().key(), "r0-786c0-740");
}

/// Two tiles of one place and different names, as when a place is recorded under two.
#[test]
fn of_two_equal_tiles_the_first_by_name_has_all() {
    let grid = tile(19, 300.0, 6200.0);
    let owners = Owners::of(&[("19HCC", grid), ("19HBC", grid)]).unwrap();
    let cell = Window { row: 2048, col: 2048, rows: 1024, cols: 1024 };
    assert_eq!(owners.owned(0, &cell), Ok(Owned::None));
    assert_eq!(owners.owned(1, &cell), Ok(Owned::All));
}

#[test]
fn the_date_line_parts_zones_as_any_meridian_does() {
    for (lon, other) in [(179.98, 1), (-179.98, 60)] {
        let own = if other == 1 { 60 } else { 1 };
        let mut tiles = Vec::new();
        for zone in [own, other] {
            let (x, y) =
                Projection::from_epsg(32_700 + zone).unwrap().from_lonlat(lon, -17.0).unwrap();
            let km = |v: f64| (v / SQUARE_M).floor() * 100.0;
            tiles.push((format!("{zone:02}KXX"), tile(zone, km(x), km(y))));
        }
        let owners = owners(&tiles);
        assert_eq!(owners.tiles[0].near.len(), 2, "they share ground");
        assert_eq!(holders(&tiles, &owners, lon, -17.0), [0], "{lon}");
    }
}

/// Counts every pixel of a cell on the meridian against the rule.
#[test]
fn each_pixel_of_a_cell_on_the_border_of_zones_is_decided_by_its_centre() {
    let tiles = around_72_west(-35.3);
    let owners = owners(&tiles);
    for zone in [18, 19] {
        let projection = &owners.projections[&(32_700 + zone)];
        let (x, y) = projection.from_lonlat(-72.0, -35.3).unwrap();
        let i = tiles.iter().position(|(name, _)| *name == format!("{zone}HBB")).unwrap();
        let (row, col) = tiles[i].1.georef.row_col(x, y);
        let window =
            Window { row: row as usize - 60, col: col as usize - 60, rows: 120, cols: 120 };
        let owned = owners.owned(i, &window).unwrap();
        assert!(matches!(owned, Owned::Some(_)));
        for row in 0..120 {
            for col in 0..120 {
                let (x, y) = tiles[i].1.georef.centre(window.row + row, window.col + col);
                let (lon, lat) = projection.to_lonlat(x, y).unwrap();
                let pixel = Window { row, col, rows: 1, cols: 1 };
                let want = owner_of(&tiles, lon, lat) == Some(i);
                assert_eq!(owned.meets(&pixel), want, "zone {zone}, {row}, {col}");
            }
        }
    }
}

/// Half the diagonal of a pixel and a little, in degrees of latitude.
const PIXEL_DEG: f64 = 8.0 / DEGREE_M;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any rectangles in either zone, here and there, at any latitude: the fast way and the rule agree.
    #[test]
    fn windows_are_decided_as_their_pixels_are(
        lat in -80.0..-1.0_f64,
        corners in proptest::collection::vec(
            (18_u32..20, -60.0..20.0_f64, -60.0..20.0_f64, 1000_usize..9000), 2..6),
        at in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let tiles: Vec<(String, Grid)> = corners
            .iter()
            .enumerate()
            .map(|(i, &(zone, east_km, south_km, side))| {
                let projection = Projection::from_epsg(32_700 + zone).unwrap();
                let (x, y) = projection.from_lonlat(-72.0, lat).unwrap();
                let round = |v: f64| (v / 10.0).round() * 10.0;
                let (x0_m, y0_m) = (round(x + east_km * 1e3), round(y - south_km * 1e3));
                let georef = Georef { epsg: 32_700 + zone, x0_m, y0_m, px_m: 10.0 };
                (format!("{i}"), Grid { georef, rows: side, cols: side })
            })
            .collect();
        let owners = owners(&tiles);
        let side = tiles[0].1.rows;
        let place = |t: f64| (t * (side - 700) as f64) as usize;
        let window = Window { row: place(at.0), col: place(at.1), rows: 700, cols: 700 };
        let owned = owners.owned(0, &window).unwrap();
        let projection = &owners.projections[&tiles[0].1.georef.epsg];
        for row in (0..700).step_by(23) {
            for col in (0..700).step_by(29) {
                let (x, y) = tiles[0].1.georef.centre(window.row + row, window.col + col);
                let (lon, lat) = projection.to_lonlat(x, y).unwrap();
                let want = owner_of(&tiles, lon, lat) == Some(0);
                let pixel = Window { row, col, rows: 1, cols: 1 };
                prop_assert_eq!(owned.meets(&pixel), want, "{}, {}", row, col);
            }
        }
    }

    /// Ground near the border of the zones: exactly one tile has it, or it lies within half a pixel of
    /// a border, where pixels of two zones are turned against each other.
    #[test]
    fn ground_belongs_to_one_tile(
        lat in -56.0..-17.0_f64,
        points in proptest::collection::vec((-0.6..0.6_f64, -0.4..0.4_f64), 40),
    ) {
        let tiles = around_72_west(lat);
        let owners = owners(&tiles);
        for (east, north) in points {
            let (lon, lat) = (-72.0 + east, lat + north);
            let found = holders(&tiles, &owners, lon, lat);
            let step = PIXEL_DEG / lat.to_radians().cos();
            let around = [(-step, 0.0), (step, 0.0), (0.0, -PIXEL_DEG), (0.0, PIXEL_DEG)];
            let want = owner_of(&tiles, lon, lat);
            let inner = around.iter().all(|d| owner_of(&tiles, lon + d.0, lat + d.1) == want);
            prop_assert!(found.len() == 1 || !inner, "{lon}, {lat}: {found:?}");
            prop_assert!(!inner || found.first().copied() == want);
        }
    }
}
