//! What cannot be read is said, and what the catalog hides is found out.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod world;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use surco_collect::{CollectError, plan_with};
use surco_core::{CellId, Fault as Kind, OffsetVerdict, PixelEvidence, Season, Silent, Window};
use surco_raster::cog::{CogFile, CogOptions, Overviews, write_cog};
use surco_store::Store;

use world::scenes::{folder, item, name, truth};
use world::service::{Fault, Service};
use world::{PATIENCE, collect, request};

/// A catalog of these items over the shared scenes, with absolute hrefs.
fn catalog_of(dir: &Path, mut items: Vec<Value>) -> String {
    for item in &mut items {
        for asset in item["assets"].as_object_mut().unwrap().values_mut() {
            let href = asset["href"].as_str().unwrap().trim_start_matches("./").to_string();
            asset["href"] = folder().join(href).to_str().unwrap().into();
        }
    }
    let path = dir.join("items.json");
    let catalog = json!({ "type": "FeatureCollection", "features": items });
    fs::write(&path, catalog.to_string()).unwrap();
    path.to_str().unwrap().into()
}

/// A copy of one scene's folder that may be damaged.
fn scene_copy(dir: &Path, date: usize) -> PathBuf {
    let copy = dir.join(name(date));
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(folder().join(name(date))).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn first_cell(store: &Path) -> surco_store::CellReader {
    let id = CellId { tile: "19HBA".into(), row: 0, col: 0 };
    Store::open(store).unwrap().cell(&id).unwrap()
}

#[test]
fn a_truncated_file_gives_listed_holes_and_its_other_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let scene = scene_copy(dir.path(), 0);
    let red = scene.join("red.tif");
    let bytes = fs::read(&red).unwrap();
    fs::write(&red, &bytes[..bytes.len() * 3 / 4]).unwrap();
    fs::write(scene.join("nir.tif"), b"II*\0broken").unwrap();
    let catalog = json!({ "type": "FeatureCollection", "features": [item(0), item(1)] });
    fs::write(dir.path().join("items.json"), catalog.to_string()).unwrap();
    scene_copy(dir.path(), 1);
    let path = dir.path().join("items.json");
    let summary = collect(path.to_str().unwrap(), &dir.path().join("s.zarr")).unwrap();
    let cut = summary.holes.iter().filter(|h| h.hole.asset.as_deref() == Some("red"));
    let cut: Vec<_> = cut.collect();
    assert!(!cut.is_empty() && cut.len() < 25, "{cut:?}");
    assert!(cut.iter().all(|h| h.hole.reason.starts_with("truncated: the file has ")));
    assert!(cut.iter().all(|h| h.scene == name(0) && h.hole.block.is_some()));
    let whole: Vec<_> =
        summary.holes.iter().filter(|h| h.hole.asset.as_deref() == Some("nir")).collect();
    assert_eq!(whole.len(), 4, "one for each cell");
    assert_eq!(whole[0].hole.block, None);
    assert_eq!(whole[0].hole.pixels, 1024 * 1024);
    assert_eq!(whole[0].hole.bands, ["B08"]);

    let cell = first_cell(&dir.path().join("s.zarr"));
    let window = Window { row: 300, col: 300, rows: 4, cols: 4 };
    let read = cell.read(&[0, 1], window).unwrap();
    assert_eq!(read.reflectance[[0, 0, 0, 0]], truth(0, 0, 300, 300), "blue is whole");
    assert_eq!(read.reflectance[[0, 2, 0, 0]], 0, "nir is a hole");
    assert_eq!(read.reflectance[[1, 2, 0, 0]], truth(1, 2, 300, 300));
    assert_eq!(cell.scenes[0].holes.len() + 3, summary.holes.len() - cut_elsewhere(&cut));

    // Once the files are whole, the holes can be filled.
    scene_copy(dir.path(), 0);
    let plan = plan_with(&request(path.to_str().unwrap()), PATIENCE, &Silent).unwrap();
    let mut options = world::options(&dir.path().join("s.zarr"));
    let same = surco_collect::run(&plan, &options, &Silent).unwrap();
    assert_eq!((same.shards_done, same.holes), (0, summary.holes), "what is done stays done");
    options.retry_holes = true;
    let filled = surco_collect::run(&plan, &options, &Silent).unwrap();
    assert_eq!(filled.holes, []);
}

fn cut_elsewhere(cut: &[&surco_collect::ListedHole]) -> usize {
    cut.iter().filter(|h| h.cell != "19HBA/r00c00").count()
}

#[test]
fn a_missing_file_is_a_hole_over_http_too() {
    let dir = tempfile::tempdir().unwrap();
    let scene = scene_copy(dir.path(), 0);
    fs::remove_file(scene.join("blue.tif")).unwrap();
    let catalog = json!({ "type": "FeatureCollection", "features": [item(0)] });
    fs::write(dir.path().join("items.json"), catalog.to_string()).unwrap();
    let service = Service::new(dir.path(), Fault::None, 0);
    let url = format!("{}/items.json", service.url);
    let summary = collect(&url, &dir.path().join("s.zarr")).unwrap();
    assert_eq!(summary.holes.len(), 4);
    assert_eq!(summary.holes[0].hole.reason, "HTTP 404 Not Found");
}

/// An item that says, in all its fields, that the pixels carry the offset.
fn claiming_the_offset(date: usize) -> Value {
    let mut item = item(date);
    item["properties"]["s2:processing_baseline"] = "05.09".into();
    for asset in item["assets"].as_object_mut().unwrap().values_mut() {
        asset["raster:bands"][0]["offset"] = json!(-0.1);
    }
    item
}

/// A consistent catalog that lies in both directions, and pixels that leave no doubt.
#[test]
fn pixels_beyond_doubt_win_over_a_clear_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let mut denying = item(1);
    denying["properties"]["s2:processing_baseline"] = "02.14".into();
    for asset in denying["assets"].as_object_mut().unwrap().values_mut() {
        asset["raster:bands"][0]["offset"] = json!(0.0);
    }
    let catalog = catalog_of(dir.path(), vec![claiming_the_offset(0), denying]);
    let store = dir.path().join("s.zarr");
    let summary = collect(&catalog, &store).unwrap();
    assert_eq!((summary.verdicts.absent, summary.verdicts.subtracted), (1, 1));
    assert_eq!(summary.holes, []);
    let cell = first_cell(&store);
    let window = Window { row: 300, col: 300, rows: 1, cols: 1 };
    let read = cell.read(&[0, 1], window).unwrap();
    for date in 0..2 {
        let offset = cell.scenes[date].offset.as_ref().unwrap();
        assert!(!offset.fields_disagree && offset.verdict != Some(offset.expected), "{offset:?}");
        assert_eq!(read.reflectance[[date, 0, 0, 0]], truth(date, 0, 300, 300));
    }
}

/// The pixels are those of a hazy scene without the offset, or of an overcorrected one with it.
#[test]
fn pixels_that_contradict_a_clear_catalog_leave_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let scene = scene_copy(dir.path(), 0);
    for key in ["blue", "red", "swir16"] {
        let path = scene.join(format!("{key}.tif"));
        let file = CogFile::open(&path).unwrap();
        let pixels = file.read_u16(file.header().window()).unwrap();
        let hazy = pixels.mapv(|dn| if dn == 0 { 0 } else { 650 + dn / 3 });
        let options = CogOptions {
            block_px: 256,
            overviews: Overviews::Nearest,
            nodata: Some(0.0),
            ..CogOptions::default()
        };
        write_cog(&path, hazy.view(), file.header().georef.unwrap(), &options).unwrap();
    }
    scene_copy(dir.path(), 1);
    let items = json!({
        "type": "FeatureCollection",
        "features": [claiming_the_offset(0), item(1)],
    });
    let catalog = dir.path().join("items.json");
    fs::write(&catalog, items.to_string()).unwrap();
    let store = dir.path().join("s.zarr");
    let summary = collect(catalog.to_str().unwrap(), &store).unwrap();
    assert_eq!((summary.verdicts.undecided, summary.verdicts.subtracted), (1, 1));
    assert!(summary.holes.iter().all(|h| h.hole.reason == "offset_contradiction"));
    let cell = first_cell(&store);
    let offset = cell.scenes[0].offset.as_ref().unwrap();
    assert_eq!((offset.evidence, offset.verdict), (PixelEvidence::Absent, None));
    let window = Window { row: 300, col: 300, rows: 1, cols: 1 };
    assert_eq!(cell.read(&[0], window).unwrap().reflectance[[0, 0, 0, 0]], 0);
}

#[test]
fn pixels_win_over_a_catalog_that_contradicts_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut lying = item(1); // Its pixels carry the offset, which is declared, but "applied".
    lying["properties"]["earthsearch:boa_offset_applied"] = true.into();
    let catalog = catalog_of(dir.path(), vec![lying]);
    let store = dir.path().join("s.zarr");
    let summary = collect(&catalog, &store).unwrap();
    assert_eq!((summary.verdicts.subtracted, summary.holes.len()), (1, 0));
    let cell = first_cell(&store);
    let offset = cell.scenes[0].offset.as_ref().unwrap();
    assert_eq!(offset.expected, OffsetVerdict::Absent);
    assert!(offset.fields_disagree && offset.evidence == PixelEvidence::Present);
    let window = Window { row: 300, col: 300, rows: 1, cols: 1 };
    let read = cell.read(&[0], window).unwrap();
    assert_eq!(read.reflectance[[0, 0, 0, 0]], truth(1, 0, 300, 300));
}

#[test]
fn older_processings_of_a_datatake_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let with = |date: usize, id: &str, baseline: &str, made: &str, piece: &str| {
        let mut item = item(date);
        item["id"] = id.into();
        let properties = &mut item["properties"];
        properties["s2:processing_baseline"] = baseline.into();
        properties["s2:generation_time"] = made.into();
        properties["s2:datatake_id"] = format!("GS2B_20230502T143851_032_N{baseline}").into();
        let strip = format!("S2B_OPER_MSI_L2A_DS_X_20230502T1_S{piece}_N{baseline}");
        properties["s2:datastrip_id"] = strip.into();
        item
    };
    let items = vec![
        with(1, "old", "04.00", "2023-05-02T20:00:00Z", "20230502T143851"),
        with(1, "first", "05.09", "2023-06-01T00:00:00Z", "20230502T143851"),
        with(1, "newest", "05.09", "2023-07-01T00:00:00Z", "20230502T143851"),
        with(1, "other-piece", "05.09", "2023-06-01T00:00:00Z", "20230502T143901"),
    ];
    let catalog = catalog_of(dir.path(), items);
    let plan = plan_with(&request(&catalog), PATIENCE, &Silent).unwrap();
    assert_eq!((plan.figures.items, plan.figures.duplicates, plan.figures.scenes), (4, 2, 2));
    let store = dir.path().join("s.zarr");
    collect(&catalog, &store).unwrap();
    let mut ids: Vec<String> = first_cell(&store).scenes.into_iter().map(|s| s.id).collect();
    ids.sort();
    assert_eq!(ids, ["newest", "other-piece"]);
}

/// The words a user reads when items cannot be used.
#[test]
fn unusable_items_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error_of = |items: Vec<Value>| {
        let catalog = catalog_of(dir.path(), items);
        let error = plan_with(&request(&catalog), PATIENCE, &Silent).unwrap_err();
        assert_eq!(error.fault(), Kind::Input);
        error.to_string()
    };
    let mut bare = item(0);
    bare["assets"].as_object_mut().unwrap().remove("red");
    insta::assert_snapshot!(error_of(vec![bare]), @"item S2B_19HBA_20230501_0_L2A, asset for B04: absent; leave the item or the band out, or use another catalog");
    let mut odd = item(0);
    odd["assets"]["swir16"]["proj:shape"] = json!([500, 544]);
    insta::assert_snapshot!(error_of(vec![odd]), @"item S2B_19HBA_20230501_0_L2A, asset swir16: its grid is EPSG:32719 300000,6100000 20 m, 500 × 544, that of the 10 m assets EPSG:32719 300000,6100000 10 m, 1072 × 1088; only 10 m pixels and exactly twice that are read");
    let mut moved = item(1);
    for asset in moved["assets"].as_object_mut().unwrap().values_mut() {
        asset["proj:transform"][2] = json!(300_040);
    }
    insta::assert_snapshot!(error_of(vec![item(0), moved]), @"tile 19HBA: item S2B_19HBA_20230501_0_L2A lies on EPSG:32719 300000,6100000 10 m, 1072 × 1088, item S2B_19HBA_20230502_0_L2A on EPSG:32719 300040,6100000 10 m, 1072 × 1088; collect them into two stores");
    let mut timeless = item(0);
    timeless["properties"].as_object_mut().unwrap().remove("datetime");
    insta::assert_snapshot!(error_of(vec![timeless]), @"item S2B_19HBA_20230501_0_L2A, datetime: absent; correct the item or leave it out");
}

#[test]
fn filters_choose_scenes_and_cells() {
    let catalog = folder().join("items.json").to_str().unwrap().to_string();
    let season =
        Season::between("2023-05-03".parse().unwrap(), "2023-05-09".parse().unwrap()).unwrap();
    let mut asked = request(&catalog);
    (asked.seasons, asked.max_cloud) = (vec![season], Some(4.0));
    let plan = plan_with(&asked, PATIENCE, &Silent).unwrap();
    assert_eq!((plan.figures.items, plan.figures.cloudy, plan.figures.scenes), (6, 3, 3));
    let ring = item(0)["geometry"]["coordinates"][0].clone();
    let at = |i: usize, k: usize| ring[i][k].as_f64().unwrap();
    let corner = [at(0, 0) + 0.001, at(0, 1) - 0.002, at(0, 0) + 0.002, at(0, 1) - 0.001];
    asked.area = Some(surco_collect::Area::Bbox(corner));
    let plan = plan_with(&asked, PATIENCE, &Silent).unwrap();
    let cells: Vec<String> = plan.cells().map(ToString::to_string).collect();
    assert_eq!(cells, ["19HBA/r00c00"]);
    asked.area = Some(surco_collect::Area::Bbox([0.0, 0.0, 1.0, 1.0]));
    let error = plan_with(&asked, PATIENCE, &Silent).unwrap_err();
    assert!(matches!(error, CollectError::Nothing { .. }));
    let error = error.to_string().replace(&asked.catalogs[0], "CATALOG");
    insta::assert_snapshot!(error, @"no scene to collect: 6 items in catalog CATALOG, 6 in the season, 0 of them in the area, 0 of them clear enough; widen what is asked for");
    asked.area = Some(surco_collect::Area::Bbox([2.0, 0.0, 1.0, 1.0]));
    assert_eq!(plan_with(&asked, PATIENCE, &Silent).unwrap_err().fault(), Kind::Usage);
}

/// Pages in the shape that Earth Search recorded: `next` is a POST whose body stands alone, or one to merge.
#[test]
fn pages_are_followed_as_recorded() {
    for merge in [false, true] {
        let service = Service::new(folder(), Fault::None, 0);
        let absolute = |mut item: Value| {
            for asset in item["assets"].as_object_mut().unwrap().values_mut() {
                let href = asset["href"].as_str().unwrap().trim_start_matches("./");
                asset["href"] = format!("{}/{href}", service.url).into();
            }
            item
        };
        let page = |dates: std::ops::Range<usize>, next: Option<&str>| {
            let features: Vec<Value> = dates.map(|d| absolute(item(d))).collect();
            let links = next.map(|token| {
                json!({
                    "rel": "next",
                    "title": "Next page of Items",
                    "method": "POST",
                    "type": "application/geo+json",
                    "href": format!("{}/v1/search", service.url),
                    "merge": merge,
                    "body": { "next": token },
                })
            });
            let links: Vec<Value> = links.into_iter().collect();
            let page = json!({ "type": "FeatureCollection", "features": features, "links": links });
            page.to_string().into_bytes()
        };
        let pages = vec![page(0..5, Some("a")), page(5..10, Some("b")), page(10..14, None)];
        service.answer("/v1/search", pages);
        let mut asked = request(&format!("{}/v1", service.url));
        asked.collections = vec!["sentinel-2-l2a".into()];
        let plan = plan_with(&asked, PATIENCE, &Silent).unwrap();
        assert_eq!(plan.figures.scenes, 14);
        let bodies = service.bodies();
        assert_eq!(bodies.len(), 3);
        assert!(bodies[0].contains("\"limit\":200") && bodies[2].contains("\"next\":\"b\""));
        assert_eq!(bodies[1].contains("limit"), merge, "{}", bodies[1]);
    }
}

#[test]
fn pages_in_a_circle_are_an_error() {
    let service = Service::new(folder(), Fault::None, 0);
    let page = json!({
        "type": "FeatureCollection",
        "features": [],
        "links": [{ "rel": "next", "method": "POST", "href": "/search", "body": { "next": "a" } }],
    });
    service.answer("/search", vec![page.to_string().into_bytes(); 5]);
    let mut asked = request(&service.url);
    asked.collections = vec!["x".into()];
    let error = plan_with(&asked, PATIENCE, &Silent).unwrap_err();
    assert!(error.to_string().contains("lead in a circle"), "{error}");
}
