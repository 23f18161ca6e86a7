//! Places for all of Chile, by bands of latitude that stand for climates, and by regions.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use surco_verify::{data, oracle, result_of, surco};

const PLACES: usize = 600;

/// Expected areas: polygons that shapely united and pyproj measured, which share no line with the frame of squares.
///
/// The desert, a quarter of the country, must not drown the rest unless it is asked to: its places follow
/// its area in a proportional draw, its square root in the default, and nothing but its number of strata in an
/// equal one.
#[test]
fn places_cover_chile_and_their_weights_give_its_area_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (comunas, bands) =
        (folder.path().join("comunas.geojson"), folder.path().join("bands.geojson"));
    let printed = oracle(
        "comunas.py",
        [&data("chile/dpa_comunas_2023_simplified.parquet"), &comunas, &bands],
    );
    let printed: Value = serde_json::from_str(printed.trim()).expect("the oracle prints areas");
    let total = printed["country"].as_f64().expect("an area");
    let regions: BTreeMap<String, f64> =
        serde_json::from_value(printed["regions"].clone()).expect("areas");

    let mut of_desert = Vec::new();
    for allocation in ["equal", "square-root", "proportional"] {
        let out = folder.path().join(format!("{allocation}.geojson"));
        let drawn = draw(allocation, &comunas, &bands, &out);
        let strata = drawn["strata"].as_array().expect("strata");
        let places = |stratum: &Value| stratum["places"].as_u64().expect("a count");
        assert_eq!(strata.iter().map(places).sum::<u64>(), PLACES as u64);
        assert!(strata.iter().all(|s| places(s) >= 1), "every climate of every region is visited");

        // Each region, over its climates: 1.4 km squares find its area to a few of their widths of border.
        let mut found: BTreeMap<&str, f64> = BTreeMap::new();
        let mut desert = 0;
        for stratum in strata {
            let (climate, region) =
                stratum["name"].as_str().and_then(|n| n.split_once(" × ")).expect("two layers");
            *found.entry(region).or_default() += stratum["area_km2"].as_f64().expect("an area");
            desert += if climate == "desert" { places(stratum) } else { 0 };
        }
        assert_eq!(found.len(), regions.len());
        for (region, km2) in &regions {
            let ratio = found[region.as_str()] / km2;
            assert!((ratio - 1.0).abs() < 0.005, "{region}: {ratio} of {km2} km²");
        }
        of_desert.push(desert);

        // Horvitz–Thompson, from the file alone.
        let weighted = weighted_km2(&out);
        println!(
            "{allocation}: {} strata, {desert} places in the desert, {weighted:.0} km² of {total:.0}",
            strata.len()
        );
        assert!((weighted / total - 1.0).abs() < 0.0005, "{weighted} of {total} km²");
    }
    assert!(of_desert.windows(2).all(|w| w[0] < w[1]), "{of_desert:?}");
}

fn draw(allocation: &str, comunas: &Path, bands: &Path, out: &Path) -> Value {
    let mut command = surco(["sample", "--json", "--seed=3", "--allocation", allocation]);
    command.arg(format!("--n={PLACES}"));
    command.arg("--aoi").arg(comunas);
    command.arg("--strata").arg(bands);
    command.arg("--strata").arg(format!("{}:region", comunas.display()));
    command.arg("--out").arg(out);
    result_of(command)
}

fn weighted_km2(places: &Path) -> f64 {
    let text = std::fs::read_to_string(places).expect("the places were written");
    let read: Value = serde_json::from_str(&text).expect("they are GeoJSON");
    let features = read["features"].as_array().expect("features");
    assert_eq!(features.len(), PLACES);
    let of = |feature: &Value, key: &str| feature["properties"][key].as_f64().expect("a number");
    features.iter().map(|place| of(place, "weight") * of(place, "square_km2")).sum()
}
