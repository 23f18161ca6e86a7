//! Whole draws from files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use surco_core::Georef;
use surco_raster::cog::{CogOptions, write_cog};
use surco_raster::vector::{Shape, read_csv, read_geojson};

use super::*;

/// A box of Chile between two parallels and two meridians, and its true area: 1° by 1.5° at 34° S.
const BOX: [f64; 4] = [-71.5, -34.5, -70.5, -33.0];

fn ring([w, s, e, n]: [f64; 4]) -> String {
    format!("[[[{w},{s}],[{e},{s}],[{e},{n}],[{w},{n}],[{w},{s}]]]")
}

fn polygons(parts: &[([f64; 4], &str)], crs: Option<u32>) -> String {
    let features: Vec<String> = parts
        .iter()
        .map(|(place, properties)| {
            format!(
                r#"{{"type":"Feature","properties":{properties},"geometry":{{"type":"Polygon","coordinates":{}}}}}"#,
                ring(*place)
            )
        })
        .collect();
    let crs = crs.map_or_else(String::new, |code| {
        format!(
            r#""crs":{{"type":"name","properties":{{"name":"urn:ogc:def:crs:EPSG::{code}"}}}},"#
        )
    });
    format!(r#"{{"type":"FeatureCollection",{crs}"features":[{}]}}"#, features.join(","))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The box, and a layer that gives its westernmost hundredth to `coast` and the rest to `inland`.
    fn coast_and_inland(&self) -> PlacesRequest {
        let aoi = self.file("aoi.geojson", &polygons(&[(BOX, "null")], None));
        let [w, s, e, n] = BOX;
        let layer = polygons(
            &[
                ([w - 0.1, s - 0.1, w + 0.01, n + 0.1], r#"{"id":1,"zona":"coast"}"#),
                ([w + 0.01, s - 0.1, e + 0.1, n + 0.1], r#"{"id":2,"zona":"inland"}"#),
            ],
            None,
        );
        let layer = self.file("climate.geojson", &layer);
        PlacesRequest::new(aoi, vec![layer.display().to_string()], 200)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Zone between two parallels on WGS 84, from the closed form in [`frame`], which a test there compares
/// with the standard.
fn box_km2([w, s, e, n]: [f64; 4]) -> f64 {
    let (a, e2) = (6378.137_f64, 0.006_694_379_990_14_f64);
    let q = |lat: f64| {
        let s = lat.to_radians().sin();
        let ecc = e2.sqrt();
        (1.0 - e2) * (s / (1.0 - e2 * s * s) + (ecc * s).atanh() / ecc)
    };
    a * a / 2.0 * (q(n) - q(s)) * (e - w).to_radians()
}

#[test]
fn weights_give_the_area_back_over_seeds() {
    let folder = Folder::new();
    let request = folder.coast_and_inland();
    let (mut whole, mut north, seeds) = (Vec::new(), Vec::new(), 40);
    for seed in 0..seeds {
        let request = PlacesRequest { seed, draw: Draw::Simple, ..request.clone() };
        let drawn = draw_places(&request).unwrap();
        let area = |place: &&Place| drawn.weight(place) * drawn.square_km2;
        whole.push(drawn.places.iter().map(|p| area(&p)).sum::<f64>());
        north.push(drawn.places.iter().filter(|p| p.lat > -33.5).map(|p| area(&p)).sum::<f64>());
    }
    let check = |found: &[f64], truth: f64, within: f64| {
        let n = found.len() as f64;
        let mean = found.iter().sum::<f64>() / n;
        let variance = found.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        assert!((mean - truth).abs() < 3.0 * error.max(1e-9), "{mean} ± {error}, truth {truth}");
        assert!((mean / truth - 1.0).abs() < within, "{mean}, truth {truth}");
    };
    check(&whole, box_km2(BOX), 0.001);
    // A part that is no stratum: what the weights are for.
    check(&north, box_km2([BOX[0], -33.5, BOX[2], -33.0]), 0.05);
}

#[test]
fn a_stratum_of_one_percent_gets_half_of_an_equal_allocation() {
    let folder = Folder::new();
    let request =
        PlacesRequest { allocation: Allocation::Equal, places: 60, ..folder.coast_and_inland() };
    let drawn = draw_places(&request).unwrap();
    let coast = &drawn.strata[0];
    assert!(coast.name == "coast" && (0.008..0.012).contains(&coast.area_share), "{coast:?}");
    assert_eq!((coast.places, drawn.strata[1].places), (30, 30));
    assert_eq!(coast.inclusion_probability, 30.0 / coast.squares as f64);
    let few =
        draw_places(&PlacesRequest { allocation: Allocation::Proportional, ..request }).unwrap();
    assert_eq!(few.strata[0].places, 1, "one percent of 60, and at least one");
}

#[test]
fn chips_do_not_overlap_and_all_lie_inside() {
    let folder = Folder::new();
    let drawn = draw_places(&PlacesRequest { places: 900, ..folder.coast_and_inland() }).unwrap();
    let corners: Vec<[f64; 2]> = drawn
        .places
        .iter()
        .map(|p| {
            let utm = Projection::from_epsg(32719).unwrap();
            let (x, y) = utm.from_lonlat(p.lon, p.lat).unwrap();
            [x, y]
        })
        .collect();
    for (i, a) in corners.iter().enumerate() {
        for b in &corners[i + 1..] {
            // Two squares along the axes of UTM 19, 1280 m wide, one of them shifted by a pixel.
            let apart = (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
            assert!(apart >= 1290.0, "{a:?} {b:?}");
        }
    }
    for place in &drawn.places {
        assert!((BOX[0]..BOX[2]).contains(&place.lon) && (BOX[1]..BOX[3]).contains(&place.lat));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_other_places() {
    let folder = Folder::new();
    let request = folder.coast_and_inland();
    let write = |seed, name: &str| {
        let drawn = draw_places(&PlacesRequest { seed, ..request.clone() }).unwrap();
        let path = folder.0.path().join(name);
        write_places(&drawn, &path).unwrap();
        (fs::read(&path).unwrap(), fs::read(summary_path(&path)).unwrap())
    };
    let first = write(5, "a.geojson");
    assert_eq!(first, write(5, "b.geojson"));
    assert_ne!(first.0, write(6, "c.geojson").0);
}

#[test]
fn what_is_written_is_read_as_points_with_their_chances() {
    let folder = Folder::new();
    let drawn = draw_places(&folder.coast_and_inland()).unwrap();
    let path = folder.0.path().join("places.geojson");
    write_places(&drawn, &path).unwrap();
    let read = read_geojson(&path).unwrap();
    assert_eq!(read.features.len(), 200);
    let feature = &read.features[0];
    assert_eq!(feature.text("place").as_deref(), Some("p00001"));
    assert_eq!(feature.text("zona").as_deref(), Some("coast"));
    let Shape::Point([lon, lat]) = feature.shape else { panic!() };
    let number = |name: &str| feature.properties[name].as_f64().unwrap();
    assert!((number("weight") * number("inclusion_probability") - 1.0).abs() < 1e-12);
    let (x, y) = Projection::from_epsg(32719).unwrap().from_lonlat(lon, lat).unwrap();
    assert_eq!(number("epsg"), 32719.0);
    assert_eq!(number("block_east"), (x / 10_000.0).floor());
    assert_eq!(number("block_north"), (y / 10_000.0).floor());

    let table = folder.0.path().join("places.csv");
    write_places(&drawn, &table).unwrap();
    let table = read_csv(&table, None).unwrap();
    assert_eq!(table.features.len(), 200);
    assert_eq!(table.features[0].shape, feature.shape);
    let summary = fs::read_to_string(summary_path(&path)).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["drawn"]["strata"][0]["places"], drawn.strata[0].places);
    assert_eq!(summary["drawn"]["inputs"].as_object().unwrap().len(), 2);
}

/// One area in UTM 18, one layer in degrees, one raster in UTM 19: the classes must still fall on the same
/// ground. The box of 40 km lies 40 km west of 72° W and reaches neither zone's edge.
#[test]
fn layers_of_three_systems_fall_on_the_same_ground() {
    let folder = Folder::new();
    let utm18 = [680_000.0, 6_200_000.0, 720_000.0, 6_240_000.0];
    let aoi = folder.file("aoi.geojson", &polygons(&[(utm18, "null")], Some(32718)));
    let middle = Projection::from_epsg(32718).unwrap().to_lonlat(700_000.0, 6_220_000.0).unwrap();
    let world = [middle.0 - 1.0, middle.1 - 1.0, middle.0 + 1.0, middle.1 + 1.0];
    let layer = polygons(
        &[
            ([world[0], world[1], middle.0, world[3]], r#"{"class":"west","id":3}"#),
            ([middle.0, world[1], world[2], world[3]], r#"{"class":"east","id":4}"#),
        ],
        None,
    );
    let layer = folder.file("side.geojson", &layer);
    let utm19 = Projection::from_epsg(32719).unwrap();
    let (x, y) = utm19.from_lonlat(middle.0, middle.1).unwrap();
    let georef = Georef { epsg: 32719, x0_m: x - 50_000.0, y0_m: y + 50_000.0, px_m: 100.0 };
    let codes =
        ndarray::Array3::from_shape_fn((1, 1000, 1000), |(_, row, _)| 1 + u8::from(row >= 500));
    let raster = folder.0.path().join("soil.tif");
    write_cog(&raster, codes.view(), georef, &CogOptions::default()).unwrap();
    let legend = r#"[{"code":1,"name":"north","colour":[1,2,3]},{"code":2,"name":"south","colour":[3,2,1]}]"#;
    folder.file("soil.legend.json", legend);

    let strata = vec![format!("{}:class", text(&layer)), text(&raster)];
    let drawn = draw_places(&PlacesRequest::new(&aoi, strata, 80)).unwrap();
    let names: Vec<&str> = drawn.strata.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["east × north", "east × south", "west × north", "west × south"]);
    assert!(
        drawn.strata.iter().all(|s| (0.23..0.27).contains(&s.area_share)),
        "{:?}",
        drawn.strata
    );
    let km2: f64 = drawn.strata.iter().map(|s| s.area_km2).sum();
    // UTM draws ground 180 to 220 km from its meridian 0.01 to 0.02 % too large.
    assert!((km2 / 1600.0 - 1.0).abs() < 0.02, "{km2}");
    for place in &drawn.places {
        assert_eq!(place.classes[0] == "east", place.lon > middle.0);
        let y = utm19.from_lonlat(place.lon, place.lat).unwrap().1;
        assert_eq!(place.classes[1] == "north", y > georef.y0_m - 50_000.0);
    }
}

#[test]
fn polygons_that_overlap_in_the_area_count_once() {
    let folder = Folder::new();
    let request = folder.coast_and_inland();
    let twice = polygons(&[(BOX, "null"), (BOX, "null")], None);
    let aoi = folder.file("twice.geojson", &twice);
    let (once, twice) =
        (draw_places(&request).unwrap(), draw_places(&PlacesRequest { aoi, ..request }).unwrap());
    assert_eq!(once.squares, twice.squares);
    assert_eq!(once.places, twice.places);
}

fn refusal(folder: &Folder, request: &PlacesRequest) -> String {
    let error = draw_places(request).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.0.path().display()), "")
}

#[test]
fn refusals_name_what_was_found_and_what_to_do() {
    let folder = Folder::new();
    let good = folder.coast_and_inland();
    let with = |change: &dyn Fn(&mut PlacesRequest)| {
        let mut request = good.clone();
        change(&mut request);
        refusal(&folder, &request)
    };
    insta::assert_snapshot!(with(&|r| r.places = 0), @"number of places: found 0, expected at least 1");
    insta::assert_snapshot!(with(&|r| r.places = 1_000_000), @"1000000 places were asked for, but the area has 7766 squares of 1408 m with a stratum; ask for fewer, or take a smaller chip or spacing");
    insta::assert_snapshot!(with(&|r| r.spacing_m = Some(1280.0)), @"spacing in m: found 1280, expected 1408 to 1000000: a chip of 128 pixels takes that much, turned as UTM turns");
    insta::assert_snapshot!(with(&|r| r.strata.clear()), @"strata: found none, expected at least one layer of classes");
    let tiny = [-71.0, -34.0, -70.999, -33.999];
    let tiny = folder.file("tiny.geojson", &polygons(&[(tiny, "null")], None));
    insta::assert_snapshot!(with(&|r| { r.aoi.clone_from(&tiny); r.seed = 2 }), @"area tiny.geojson holds the centre of no square of 1408 m; draw the area larger, or take a smaller chip or spacing");
    let none = folder.file("none.geojson", r#"{"type":"FeatureCollection","features":[]}"#);
    insta::assert_snapshot!(with(&|r| r.aoi.clone_from(&none)), @"none.geojson: found no feature, expected polygons of the area");
    let half = [BOX[0], BOX[1], -71.0, BOX[3]];
    let half = polygons(&[(half, r#"{"soil":"clay"}"#)], None);
    let half = text(&folder.file("half.geojson", &half));
    insta::assert_snapshot!(with(&|r| r.strata.push(half.clone())), @"50.0 % of the area has no stratum; layer soil leaves the most without a class; cut the area to the layers, or leave that part out with --drop-uncovered");
    let far = polygons(&[([10.0, 10.0, 11.0, 11.0], r#"{"soil":"clay"}"#)], None);
    let far = text(&folder.file("far.geojson", &far));
    insta::assert_snapshot!(with(&|r| r.strata = vec![far.clone()]), @"100.0 % of the area has no stratum; layer soil leaves the most without a class: do layers and area belong to the same place?");
    insta::assert_snapshot!(with(&|r| r.strata = vec![format!("{}:soil", r.strata[0])]), @"climate.geojson: found feature 1 without `soil`, with id, zona, expected the class in one of them, as FILE:PROPERTY");
    let vague = polygons(&[(BOX, r#"{"a":1,"b":2}"#)], None);
    let vague = text(&folder.file("vague.geojson", &vague));
    insta::assert_snapshot!(with(&|r| r.strata = vec![vague.clone()]), @"vague.geojson: found the properties a, b, expected one that is surely the class; name it as FILE:PROPERTY");
    insta::assert_snapshot!(with(&|r| r.strata = vec!["soil.shp".into()]), @"soil.shp: found a file that ends in `shp`, expected strata as .tif, .tiff, .geojson or .json, the last two with :PROPERTY if need be");
    let float = folder.0.path().join("float.tif");
    let georef = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_300_000.0, px_m: 100.0 };
    let zeros = ndarray::Array3::<f32>::zeros((1, 9, 9));
    write_cog(&float, zeros.view(), georef, &CogOptions::default()).unwrap();
    insta::assert_snapshot!(with(&|r| r.strata = vec![text(&float)]), @"float.tif: found 1 bands of float32, expected one band of whole numbers, a code a class");
}

#[test]
fn what_lies_outside_the_strata_is_left_out_only_when_asked_and_counted() {
    let folder = Folder::new();
    let mut request = folder.coast_and_inland();
    let half = [BOX[0], BOX[1], -71.0, BOX[3]];
    let half = polygons(&[(half, r#"{"soil":"clay"}"#)], None);
    request.strata.push(text(&folder.file("half.geojson", &half)));
    request.drop_uncovered = true;
    let drawn = draw_places(&request).unwrap();
    let share = drawn.uncovered as f64 / drawn.squares as f64;
    assert!((0.48..0.52).contains(&share), "{share}");
    assert!(drawn.places.iter().all(|p| p.lon < -71.0));
    let sum: f64 = drawn.strata.iter().map(|s| s.area_share).sum();
    assert!((sum - 1.0).abs() < 1e-12, "shares are of what was sampled: {sum}");
}

#[test]
fn layers_with_the_same_property_keep_their_own_columns() {
    let folder = Folder::new();
    let mut request = folder.coast_and_inland();
    request.strata.push(request.strata[0].clone());
    let drawn = draw_places(&request).unwrap();
    assert_eq!(drawn.layers, ["zona", "zona_2"]);
    let counts: BTreeMap<&str, usize> =
        drawn.strata.iter().map(|s| (s.name.as_str(), s.places)).collect();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["coast × coast", "inland × inland"]);
}
