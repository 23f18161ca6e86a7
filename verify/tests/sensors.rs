//! Sentinel-1, Landsat, heights and weather over the cells of the Flanders stack.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use surco_verify::{data, oracle, result_of, surco};

const ITEMS: &str = "s2_stack_flanders_2018_31UDS/items.json";

fn collect(catalog: &Path, store: &Path, more: &[OsString]) -> Command {
    let mut args: Vec<OsString> =
        vec!["collect".into(), "--catalog".into(), catalog.into(), "--store".into(), store.into()];
    args.push("--json".into());
    args.extend_from_slice(more);
    surco(args)
}

/// The files that the oracle makes of the originals, and the store of the stack.
fn world(folder: &Path) {
    let root = data(ITEMS).parent().and_then(Path::parent).expect("two folders up").to_path_buf();
    let _ = oracle("sensors.py", ["make".as_ref(), root.as_os_str(), folder.as_os_str()]);
    let result = result_of(collect(&data(ITEMS), &folder.join("s2"), &[]));
    assert_eq!(result["holes"], 0, "{result}");
}

/// Expected values: every pixel worked by numpy in float64 from the source files, places by pyproj; each
/// must be met to one step of the store. GDAL's own warp is printed beside it.
#[test]
fn every_pixel_of_every_sensor_is_where_it_belongs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    world(folder.path());
    let like = folder.path().join("s2");
    let bands = "--bands=blue,green,red,nir08,swir16,swir22";
    for (sensor, scenes, more) in [
        ("sentinel-1-rtc", 159, None),
        ("landsat-c2-l2", 26, Some(bands)),
        ("cop-dem-glo-30", 1, None),
    ] {
        let store = folder.path().join(sensor);
        let mut args: Vec<OsString> =
            vec!["--sensor".into(), sensor.into(), "--like".into(), like.clone().into()];
        args.extend(more.map(OsString::from));
        let catalog = folder.path().join(format!("{sensor}.json"));
        let result = result_of(collect(&catalog, &store, &args));
        assert_eq!((&result["scenes"], &result["holes"]), (&scenes.into(), &0.into()), "{result}");
        let said = oracle(
            "sensors.py",
            [
                "check".as_ref(),
                folder.path().as_os_str(),
                sensor.as_ref(),
                store.as_os_str(),
                like.as_os_str(),
            ],
        );
        println!("{said}");
        let again = result_of(collect(&catalog, &store, &args));
        assert_eq!((&again["shards_done"], &again["blocks"]), (&0.into(), &0.into()), "{again}");
    }
}

/// Expected values: the rows that the oracle wrote from the original, read again by pyarrow.
#[test]
fn every_value_of_the_weather_is_in_the_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    world(folder.path());
    let table = folder.path().join("weather");
    let rows = folder.path().join("agera5.csv");
    let result = result_of(collect(&rows, &table, &["--sensor".into(), "agera5".into()]));
    assert_eq!((&result["rows"], &result["points"]), (&487.into(), &1.into()), "{result}");
    let said =
        oracle("sensors.py", ["weather".as_ref(), folder.path().as_os_str(), table.as_os_str()]);
    println!("{said}");
}
