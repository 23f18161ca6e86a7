//! Surveys and pages of small stores.

use ndarray::{Array3, Array4};
use surco_core::{CellId, Georef, OffsetVerdict, PixelEvidence, Silent};
use surco_raster::projection::wkt;
use surco_raster::vector::parse_geojson;
use surco_store::{
    CellSpec, Hole, OffsetRecord, SceneRecord, SceneSlot, ShardBuffer, ShardPixels, Store,
};

use super::runs::tests::record;
use super::*;

const MAY_1: i64 = 1_682_899_200;
const DAY: i64 = 86_400;

fn scene(id: &str, verdict: Option<OffsetVerdict>, holes: Vec<Hole>) -> SceneRecord {
    SceneRecord {
        id: id.into(),
        inputs: "00".into(),
        datetime: "2023-05-01T00:00:00Z".into(),
        platform: None,
        baseline: Some("05.09".into()),
        catalog: "local".into(),
        collection: None,
        offset: Some(OffsetRecord {
            rule: "sentinel-2-l2a".into(),
            expected: OffsetVerdict::Subtracted,
            fields_disagree: id == "b",
            evidence: PixelEvidence::Silent,
            witnesses: 0,
            verdict,
        }),
        holes,
        elsewhere: Vec::new(),
    }
}

fn hole(reason: &str) -> Hole {
    Hole {
        asset: Some("nir".into()),
        bands: vec!["B08".into()],
        block: Some((0, 3)),
        reason: reason.into(),
        pixels: 1200,
    }
}

/// Two cells of one tile: the first has three planned dates (1 May, 11 May, 10 June) and the first two of them
/// done, the second of these with a hole; the second cell has the same three done.
fn store(folder: &std::path::Path) -> Store {
    let store = Store::create_or_open(folder).unwrap();
    for (col, done) in [(0, 2), (1, 3)] {
        let cell = CellId { tile: "19HBA".into(), row: 4, col };
        let x0_m = 300_000.0 + 10_240.0 * col as f64;
        let slot = |(id, day): (&str, i64)| SceneSlot {
            key: format!("key-{id}"),
            id: id.into(),
            time_s: MAY_1 + day * DAY,
        };
        let spec = CellSpec {
            georef: Georef { epsg: 32719, x0_m, y0_m: 6_300_000.0, px_m: 10.0 },
            crs_wkt: wkt(32719).unwrap(),
            rows: 8,
            cols: 8,
            bands: vec!["B08".into()],
            scenes: [("a", 0), ("b", 10), ("c", 40)].map(slot).to_vec(),
            ..CellSpec::default()
        };
        store.plan_cell(&cell, &spec).unwrap();
        let holes = if col == 0 { vec![hole("cut <short>")] } else { Vec::new() };
        let scenes = [
            scene("a", Some(OffsetVerdict::Subtracted), Vec::new()),
            scene("b", (col == 0).then_some(OffsetVerdict::Absent), holes),
            scene("c", None, Vec::new()),
        ];
        let slots: Vec<usize> = (0..done).collect();
        let reflectance = Array4::from_elem((done, 1, 8, 8), 700);
        let scl = Array3::from_elem((done, 8, 8), 4);
        let buffer = &mut ShardBuffer::of(&slots, reflectance.view(), scl.view());
        let pixels = ShardPixels { slots: &slots, buffer, scenes: &scenes[..done] };
        store.write_shard(&cell, 0, pixels).unwrap();
    }
    record(5, 0).write(folder).unwrap();
    store
}

#[test]
fn a_date_is_done_in_a_tile_when_all_its_cells_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let found = survey(&store(folder.path()), &Silent).unwrap();
    assert_eq!((found.done, found.missing, found.cells.len()), (5, 1, 2));
    let tile = &found.tiles[0];
    let month = |name: &str| tile.months[name];
    assert_eq!(month("2023-05"), MonthCount { planned: 2, done: 2, with_holes: 1 });
    assert_eq!(month("2023-06"), MonthCount { planned: 1, done: 0, with_holes: 0 });
    assert_eq!(tile.total(), MonthCount { planned: 3, done: 2, with_holes: 1 });
    let cell = &found.cells[0];
    assert_eq!((cell.dates, cell.missing, cell.holes, cell.hole_pixels), (2, 1, 1, 1200));
    assert_eq!(
        (cell.first.as_deref(), cell.last.as_deref()),
        (Some("2023-05-01"), Some("2023-05-11"))
    );
    assert_eq!(found.hole_list[0].day, "2023-05-11");
    assert_eq!(found.runs, [record(5, 0)]);
}

#[test]
fn verdicts_are_counted_by_scene_and_differing_ones_apart() {
    let folder = tempfile::tempdir().unwrap();
    let found = survey(&store(folder.path()), &Silent).unwrap();
    let counts: Vec<_> =
        found.offsets.iter().map(|o| (o.verdict, o.scenes, o.fields_disagree)).collect();
    assert_eq!(counts, [("differing", 1, 1), ("subtracted", 1, 0), ("undecided", 1, 0)]);
}

#[test]
fn the_page_tells_it_all_and_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let found = survey(&store(folder.path()), &Silent).unwrap();
    let tiles = r#"{"type":"FeatureCollection","features":[
      {"type":"Feature","properties":{"tile":"19HBA"},"geometry":{"type":"Polygon",
        "coordinates":[[[-71.2,-33.4],[-70,-33.4],[-70,-34.4],[-71.2,-34.4],[-71.2,-33.4]]]}},
      {"type":"Feature","properties":{"tile":"12JXQ"},"geometry":{"type":"Polygon",
        "coordinates":[[[-110,-27],[-109,-27],[-109,-28],[-110,-28],[-110,-27]]]}}]}"#;
    let tiles = parse_geojson(tiles.as_bytes(), std::path::Path::new("tiles")).unwrap();
    let with = |store: &str| {
        page(&Page { survey: &found, store, tiles: Some(&tiles), outline: Some(&tiles) }).unwrap()
    };
    let text = with("chile");
    for wanted in [
        "5 of 6 planned dates of cells are done (83.3 %)",
        "1 hole, 1,200 pixels",
        "1 of 2 tiles have cells in the store",
        "19HBA/r04c00",
        "cut &lt;short&gt;",
        "judged differently in different cells",
        "2023-11-14 22:13:25",
        "19HBA 2023-06: 0 of 1 done",
        "12JXQ: not in the store",
    ] {
        assert!(text.contains(wanted), "{wanted}");
    }
    let maps = text.matches("<svg class=\"map\"").count();
    assert_eq!(maps, 3, "the land, the small store from near, and an island");
    for outside in ["http://", "https://", "@import", "<link", "<script", "url(", "NaN"] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert!(with("<script>x</script>").contains("&lt;script&gt;x"), "a store may have any name");
}

#[test]
fn an_empty_store_is_still_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let found = survey(&Store::create_or_open(folder.path()).unwrap(), &Silent).unwrap();
    let text = page(&Page { survey: &found, store: "new", tiles: None, outline: None }).unwrap();
    assert!(text.contains("Nothing is planned") && !text.contains("NaN"));
}
