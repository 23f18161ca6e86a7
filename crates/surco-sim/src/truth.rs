//! The truth beside the pictures: classes, fields, yields and areas.

use std::fmt::Write as _;
use std::path::Path;

use ndarray::Axis;
use serde_json::{Value, json};
use surco_raster::cog::{CogOptions, Overviews, write_cog};
use surco_raster::projection::Projection;

use crate::archive::write_file;
use crate::config::SimError;
use crate::landuse::legend;
use crate::outline::{Corner, outlines};
use crate::stac::{round, sorted};
use crate::valley::Valley;

/// Parcels with fewer pixels than this are not outlined.
const SMALLEST_PX: usize = 12;

/// Writes `classes.tif`, `parcels.tif`, `legend.json`, `fields.geojson`, `yield.csv` and `areas.json`.
pub(crate) fn write_truth(valley: &Valley, folder: &Path) -> Result<(), SimError> {
    let georef = valley.config().georef();
    let land = valley.land();
    let legend = legend();
    let options = CogOptions::classes(legend.clone());
    write_cog(
        folder.join("classes.tif"),
        land.class.view().insert_axis(Axis(0)),
        georef,
        &options,
    )?;
    let numbers = land.patch.mapv(|p| p + 1);
    let options =
        CogOptions { overviews: Overviews::Nearest, nodata: Some(0.0), ..CogOptions::default() };
    write_cog(folder.join("parcels.tif"), numbers.view().insert_axis(Axis(0)), georef, &options)?;
    write_json(&folder.join("legend.json"), &json!(legend))?;
    write_json(&folder.join("areas.json"), &json!(valley.areas()))?;
    let fields = fields(valley)?;
    let mut table = String::from("id,class,crop,area_ha,yield_t_ha,sowing_shift_days,failed\n");
    for p in fields.iter().map(|f| &f["properties"]).filter(|p| !p["yield_t_ha"].is_null()) {
        let text = |key: &str| p[key].as_str().map_or_else(|| p[key].to_string(), quoted);
        let columns =
            ["id", "class", "crop", "area_ha", "yield_t_ha", "sowing_shift_days", "failed"]
                .map(text);
        writeln!(table, "{}", columns.join(",")).expect("writing to a string does not fail");
    }
    write_file(&folder.join("yield.csv"), table.as_bytes())?;
    let mut lines: Vec<String> = Vec::with_capacity(fields.len());
    for field in fields {
        lines.push(sorted(field).to_string());
    }
    let text = format!(
        "{{\"type\": \"FeatureCollection\", \"name\": \"fields\", \"features\": [\n{}\n]}}\n",
        lines.join(",\n")
    );
    write_file(&folder.join("fields.geojson"), text.as_bytes())
}

fn quoted(text: &str) -> String {
    if text.contains(',') { format!("\"{text}\"") } else { text.into() }
}

/// One feature for each parcel: fields, stands, ponds, the town; no roads and margins.
fn fields(valley: &Valley) -> Result<Vec<Value>, SimError> {
    let land = valley.land();
    let georef = valley.config().georef();
    let projection = Projection::from_epsg(georef.epsg)?;
    let mut pixels = vec![0_usize; land.patches.len()];
    land.patch.iter().for_each(|&p| pixels[p as usize] += 1);
    let mut out = Vec::new();
    for (number, pieces) in outlines(&land.patch) {
        let patch = &land.patches[number as usize];
        let count = pixels[number as usize];
        if count < SMALLEST_PX || !patch.cover.is_parcel() {
            continue;
        }
        let place = |c: &Corner| -> Result<[f64; 2], SimError> {
            let (x, y) = (f64::from(c.0) * 10.0, f64::from(c.1) * 10.0);
            let (lon, lat) = projection.to_lonlat(georef.x0_m + x, georef.y0_m - y)?;
            Ok([round(lon, 7), round(lat, 7)])
        };
        let mut parts = Vec::new();
        for piece in &pieces {
            let ring = |r: &Vec<Corner>| r.iter().map(place).collect::<Result<Vec<_>, _>>();
            parts.push(piece.iter().map(ring).collect::<Result<Vec<_>, _>>()?);
        }
        let geometry = if parts.len() == 1 {
            json!({ "type": "Polygon", "coordinates": parts[0] })
        } else {
            json!({ "type": "MultiPolygon", "coordinates": parts })
        };
        let class = patch.cover.land_use();
        let yield_t_ha = patch.yield_t_ha();
        let shift = yield_t_ha.map(|_| round(f64::from(patch.traits.shift_days), 1));
        out.push(json!({
            "type": "Feature",
            "geometry": geometry,
            "properties": {
                "id": u32::from(number) + 1,
                "class": class.name(),
                "code": class.code(),
                "crop": patch.cover.name(),
                "area_ha": count as f64 / 100.0,
                "yield_t_ha": yield_t_ha,
                "sowing_shift_days": shift,
                "failed": patch.traits.failed,
            },
        }));
    }
    Ok(out)
}

fn write_json(path: &Path, value: &Value) -> Result<(), SimError> {
    let text = format!("{:#}\n", sorted(value.clone()));
    write_file(path, text.as_bytes())
}
