//! STAC items as Earth Search v1 writes them for `sentinel-2-c1-l2a`.

use jiff::ToSpan;
use jiff::civil::DateTime;
use serde_json::{Map, Value, json};
use surco_core::{S2_BANDS, Scl};
use surco_raster::projection::Projection;

use crate::config::{SimError, ValleyConfig};
use crate::orbit::{Pass, compact, edge_m};
use crate::scene::Scene;

/// The file of one asset.
#[derive(Clone, Debug)]
pub(crate) struct AssetFile {
    /// `B04.tif`.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Lower-case hexadecimal SHA-256.
    pub(crate) sha256: String,
}

/// Title, common name, centre and width in µm as Earth Search gives them, in the order of [`S2_BANDS`].
const BAND_WORDS: [(&str, &str, f64, f64); 10] = [
    ("Blue - 10m", "blue", 0.49, 0.098),
    ("Green - 10m", "green", 0.56, 0.045),
    ("Red - 10m", "red", 0.665, 0.038),
    ("Red Edge 1 - 20m", "rededge", 0.704, 0.019),
    ("Red Edge 2 - 20m", "rededge", 0.74, 0.018),
    ("Red Edge 3 - 20m", "rededge", 0.783, 0.028),
    ("NIR 1 - 10m", "nir", 0.842, 0.145),
    ("NIR 2 - 20m", "nir08", 0.865, 0.033),
    ("SWIR 1.6μm - 20m", "swir16", 1.61, 0.143),
    ("SWIR 2.2μm - 20m", "swir22", 2.19, 0.242),
];

const EXTENSIONS: [&str; 9] = [
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    "https://stac-extensions.github.io/mgrs/v1.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/sentinel-2/v1.0.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
];

/// The item of one scene; `files` are its ten bands in the order of [`S2_BANDS`], then the SCL.
pub(crate) fn item(
    config: &ValleyConfig,
    pass: &Pass,
    scene: &Scene,
    files: &[AssetFile],
) -> Result<Value, SimError> {
    let footprint = footprint(config, pass)?;
    let lons = footprint.iter().map(|p| p.0);
    let lats = footprint.iter().map(|p| p.1);
    let bbox = [
        lons.clone().fold(f64::MAX, f64::min),
        lats.clone().fold(f64::MAX, f64::min),
        lons.fold(f64::MIN, f64::max),
        lats.fold(f64::MIN, f64::max),
    ];
    let mut assets = Map::new();
    for (place, band) in S2_BANDS.iter().enumerate() {
        let (title, common, centre, width) = BAND_WORDS[place];
        let mut asset = asset(config, pass, &files[place], band.gsd_m);
        asset["title"] = json!(title);
        asset["roles"] = json!(["data", "reflectance"]);
        asset["eo:bands"] = json!([{
            "name": band.name, "common_name": common,
            "center_wavelength": centre, "full_width_half_max": width,
        }]);
        asset["raster:bands"] = json!([{
            "nodata": 0, "data_type": "uint16", "spatial_resolution": band.gsd_m, "scale": 0.0001,
            "offset": if pass.offset_dn == 0 { json!(0) } else { json!(-0.1) },
        }]);
        assets.insert(band.asset_key.into(), asset);
    }
    let mut scl = asset(config, pass, &files[S2_BANDS.len()], 20);
    scl["title"] = json!("Scene classification map (SCL)");
    scl["roles"] = json!(["data"]);
    scl["raster:bands"] = json!([{ "nodata": 0, "data_type": "uint8", "spatial_resolution": 20 }]);
    assets.insert("scl".into(), scl);
    Ok(json!({
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": EXTENSIONS,
        "id": pass.item_id,
        "collection": "sentinel-2-c1-l2a",
        "geometry": {
            "type": "Polygon",
            "coordinates": [footprint.iter().map(|p| [p.0, p.1]).collect::<Vec<_>>()],
        },
        "bbox": bbox,
        "properties": properties(config, pass, scene, bbox),
        "links": [],
        "assets": assets,
    }))
}

fn asset(config: &ValleyConfig, pass: &Pass, file: &AssetFile, gsd_m: u32) -> Value {
    let side = config.side_px * 10 / gsd_m as usize;
    json!({
        "href": format!("./scenes/{}/{}", pass.item_id, file.name),
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "gsd": gsd_m,
        "proj:shape": [side, side],
        "proj:transform": [gsd_m, 0, config.x0_m, 0, -i64::from(gsd_m), config.y0_m],
        "file:size": file.bytes,
        "file:checksum": format!("1220{}", file.sha256),
    })
}

fn properties(config: &ValleyConfig, pass: &Pass, scene: &Scene, bbox: [f64; 4]) -> Value {
    let tile = &config.tile;
    let sat = pass.satellite;
    let base = &pass.baseline;
    let (start, made) = (compact(pass.start), compact(pass.generated));
    let strip = compact(pass.start.saturating_add(20.seconds()));
    let digits: String = base.chars().filter(char::is_ascii_digit).collect();
    let (orbit, relative) = (pass.absolute_orbit, pass.relative_orbit);
    let published = stamp(pass.generated.saturating_add(2.hours().minutes(34)), 3);
    let (azimuth, incidence) = if pass.is_partial() { (104.62, 10.41) } else { (287.85, 5.93) };
    let share = |classes: &[Scl]| scene.percent(classes);
    let day = f64::from(pass.seen.date().day_of_year());
    let distance = 1.0 + 0.033 * libm::cos(std::f64::consts::TAU * day / 365.0);
    json!({
        "datetime": stamp(pass.seen, 6),
        "created": published,
        "updated": published,
        "platform": format!("sentinel-2{}", sat.to_ascii_lowercase()),
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": scene.cloud_percent(),
        "proj:epsg": config.epsg,
        "proj:centroid": {
            "lat": round((bbox[1] + bbox[3]) / 2.0, 5), "lon": round((bbox[0] + bbox[2]) / 2.0, 5),
        },
        "mgrs:utm_zone": tile[..2].parse::<u8>().unwrap_or(0),
        "mgrs:latitude_band": tile[2..3],
        "mgrs:grid_square": tile[3..5],
        "grid:code": format!("MGRS-{tile}"),
        "view:azimuth": azimuth,
        "view:incidence_angle": incidence,
        "view:sun_azimuth": round(pass.sun.azimuth_deg, 6),
        "view:sun_elevation": round(pass.sun.elevation_deg, 6),
        "s2:tile_id": format!("S2{sat}_OPER_MSI_L2A_TL_2APS_{made}_A{orbit:06}_T{tile}_N{base}"),
        "s2:datastrip_id": format!("S2{sat}_OPER_MSI_L2A_DS_2APS_{made}_S{strip}_N{base}"),
        "s2:datatake_id": format!("GS2{sat}_{start}_{orbit:06}_N{base}"),
        "s2:datatake_type": "INS-NOBS",
        "s2:product_type": "S2MSI2A",
        "s2:product_uri": format!(
            "S2{sat}_MSIL2A_{start}_N{digits}_R{relative:03}_T{tile}_{made}.SAFE"
        ),
        "s2:processing_baseline": base,
        "s2:generation_time": stamp(pass.generated, 6),
        "s2:reflectance_conversion_factor": round(distance, 9),
        "s2:degraded_msi_data_percentage": 0,
        "s2:saturated_defective_pixel_percentage": share(&[Scl::Saturated]),
        "s2:nodata_pixel_percentage": share(&[Scl::NoData]),
        "s2:dark_features_percentage": share(&[Scl::DarkArea]),
        "s2:cloud_shadow_percentage": share(&[Scl::CloudShadow]),
        "s2:vegetation_percentage": share(&[Scl::Vegetation]),
        "s2:not_vegetated_percentage": share(&[Scl::NotVegetated]),
        "s2:water_percentage": share(&[Scl::Water]),
        "s2:unclassified_percentage": share(&[Scl::Unclassified]),
        "s2:medium_proba_clouds_percentage": share(&[Scl::CloudMedium]),
        "s2:high_proba_clouds_percentage": share(&[Scl::CloudHigh]),
        "s2:thin_cirrus_percentage": share(&[Scl::ThinCirrus]),
        "s2:snow_ice_percentage": share(&[Scl::Snow]),
        "processing:software": { "surco-sim": env!("CARGO_PKG_VERSION") },
    })
}

/// The ground the scene sees, a closed ring of longitude and latitude, counter-clockwise.
fn footprint(config: &ValleyConfig, pass: &Pass) -> Result<Vec<(f64, f64)>, SimError> {
    let side = config.side_px as f64 * 10.0;
    let edge = |y: f64| f64::from(edge_m(config, pass, y as f32)).clamp(0.0, side);
    let corners =
        [(edge(0.0), 0.0), (edge(side), side), (side, side), (side, 0.0), (edge(0.0), 0.0)];
    let projection = Projection::from_epsg(config.epsg)?;
    let lonlat = |&(x, y): &(f64, f64)| {
        let (lon, lat) = projection.to_lonlat(config.x0_m + x, config.y0_m - y)?;
        Ok((round(lon, 7), round(lat, 7)))
    };
    corners.iter().map(lonlat).collect()
}

/// `2024-04-22T17:53:02.036000Z` with this many decimals, which are invented from the time itself.
fn stamp(t: DateTime, decimals: usize) -> String {
    let (d, c) = (t.date(), t.time());
    let millis = 24 + (i32::from(c.second()) * 37 + i32::from(c.minute()) * 11) % 970;
    let part = format!("{millis:03}000");
    let (y, m, day) = (d.year(), d.month(), d.day());
    let (hour, minute, second) = (c.hour(), c.minute(), c.second());
    format!(
        "{y:04}-{m:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{}Z",
        &part[..decimals.min(6)]
    )
}

/// A number with this many decimals, so that last bits of trigonometry do not reach the files.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// The same JSON with keys in order, whatever order the JSON library keeps.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().map(|(k, v)| (k, sorted(v))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        plain => plain,
    }
}
