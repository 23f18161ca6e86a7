//! Rasters that we write, as GDAL sees them: a simulated archive, its truth, and a map.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use surco_verify::{oracle, result_of, surco};

/// Expected values: rio-cogeo for validity; the STAC items for grids and cloud-free shares; `areas.json`
/// and `legend.json` for the truth, counted by rasterio; the store's own pixels through xarray.
#[test]
fn gdal_reads_the_simulated_archive_as_it_was_meant() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let valley = simulate(folder.path());
    let items = json_at(&valley.join("items.json"));
    for item in items["features"].as_array().expect("a list of items") {
        let assets = item["assets"].as_object().expect("assets by key");
        let paths = assets.values().map(|a| valley.join(a["href"].as_str().expect("a path")));
        for (seen, (key, asset)) in look(paths).iter().zip(assets) {
            let what = format!("{key} of {}", item["id"]);
            assert_eq!(seen["epsg"], item["properties"]["proj:epsg"], "{what}");
            assert_eq!(seen["shape"][1], asset["proj:shape"][0], "{what}");
            let numbers = |v: &Value| -> Vec<f64> {
                v.as_array().expect("a transform").iter().filter_map(Value::as_f64).collect()
            };
            assert_eq!(numbers(&seen["transform"]), numbers(&asset["proj:transform"]), "{what}");
            assert_eq!(seen["dtype"], asset["raster:bands"][0]["data_type"], "{what}");
            assert_eq!(seen["layout"]["LAYOUT"], "COG", "{what}");
            assert_eq!(seen["layout"]["PREDICTOR"], "2", "{what}");
            assert_eq!(seen["block"], json!([1024, 1024]), "{what}");
        }
    }

    let store = folder.path().join("store");
    collect(&valley, &store);
    println!("{}", oracle("store.py", [store.as_os_str(), valley.join("items.json").as_os_str()]));

    let truth = &look([valley.join("truth/classes.tif")])[0];
    for area in json_at(&valley.join("truth/areas.json")).as_array().expect("a list of areas") {
        let pixels = truth["counts"][area["code"].to_string()].as_f64().unwrap_or(0.0);
        let want = area["area_ha"].as_f64().expect("hectares") * 100.0;
        assert!((pixels - want).abs() < 0.5, "{area}: GDAL counts {pixels} pixels");
    }
    for class in json_at(&valley.join("truth/legend.json")).as_array().expect("a legend") {
        let code = usize::try_from(class["code"].as_u64().expect("a code")).expect("a byte");
        assert_eq!(truth["categories"][code], class["name"]);
        let rgb = class["colour"].as_array().expect("a colour");
        assert_eq!(truth["palette"][code].as_array().expect("a colour")[..3], rgb[..]);
    }
}

/// Expected values: the areas that `surco map` states, counted again by rasterio, under the names GDAL finds.
#[test]
fn gdal_reads_a_map_with_its_colours_and_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let valley = simulate(folder.path());
    let store = folder.path().join("store");
    collect(&valley, &store);
    let labels = folder.path().join("labels.geojson");
    let fields = json_at(&valley.join("truth/fields.geojson"));
    let small =
        fields["features"].as_array().expect("fields").iter().filter(|f| {
            f["properties"]["area_ha"].as_f64().is_some_and(|ha| (0.2..0.5).contains(&ha))
        });
    let small: Vec<&Value> = small.take(16).collect();
    let text = json!({"type": "FeatureCollection", "features": small}).to_string();
    fs::write(&labels, text).expect("the folder is writable");

    let (task, map) = (folder.path().join("task"), folder.path().join("map.tif"));
    let _ = result_of(surco::<OsString>([
        "adapt".into(),
        "--labels".into(),
        labels.into(),
        "--store".into(),
        store.clone().into(),
        "--out".into(),
        task.clone().into(),
        "--seeds=1".into(),
        "--json".into(),
    ]));
    let result = result_of(surco::<OsString>([
        "map".into(),
        "--task".into(),
        task.into(),
        "--store".into(),
        store.into(),
        "--out".into(),
        map.clone().into(),
        "--json".into(),
    ]));
    let seen = &look([map])[0];
    assert_eq!(seen["epsg"], 32719);
    let areas = result["map_pixels_biased"].as_array().expect("areas of the map");
    for area in areas {
        let names = seen["categories"].as_array().expect("category names");
        let code = names
            .iter()
            .position(|name| *name == area["class"])
            .unwrap_or_else(|| panic!("GDAL finds no category {}: {names:?}", area["class"]));
        assert_eq!(seen["palette"][code][3], 255, "{area} has no colour");
        let pixels = seen["counts"][code.to_string()].as_f64().unwrap_or(0.0);
        let want = area["mapped_ha"].as_f64().expect("hectares") * 100.0;
        assert!((pixels - want).abs() < 0.5, "{area}: GDAL counts {pixels} pixels");
    }
}

fn simulate(folder: &Path) -> PathBuf {
    let valley = folder.join("valley");
    let _ = result_of(surco::<OsString>([
        "simulate".into(),
        "--out".into(),
        valley.clone().into(),
        "--side-px=128".into(),
        "--scenes=6".into(),
        "--json".into(),
    ]));
    valley
}

fn collect(valley: &Path, store: &Path) {
    let _ = result_of(surco::<OsString>([
        "collect".into(),
        "--catalog".into(),
        valley.join("items.json").into(),
        "--store".into(),
        store.into(),
        "--json".into(),
    ]));
}

fn look(paths: impl IntoIterator<Item = PathBuf>) -> Vec<Value> {
    let said = oracle("cog.py", paths);
    said.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

fn json_at(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
