//! Places as a file, and what they were drawn from beside it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use surco_core::write_whole;
use surco_raster::vector::{Collection, Feature, Shape, to_geojson};

use super::{Drawn, Place, PlacesError};

/// Writes the places, GeoJSON or by its ending CSV, and the summary beside them; each file whole or not at
/// all.
///
/// # Errors
/// [`PlacesError::Request`] on another ending, [`PlacesError::Io`] if the disk refuses.
pub fn write_places(drawn: &Drawn, path: &Path) -> Result<(), PlacesError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let text = match extension.as_str() {
        "geojson" | "json" => geojson(drawn),
        "csv" => csv(drawn),
        _ => {
            return Err(PlacesError::Request {
                what: "ending of the output",
                found: format!("`{extension}`"),
                expected: ".geojson, .json or .csv".into(),
            });
        }
    };
    let summary = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "drawn": drawn,
    });
    let write = |path: &Path, text: &str| {
        let io = |source| PlacesError::Io { what: "write", path: path.into(), source };
        write_whole(path, text.as_bytes()).map_err(io)
    };
    write(&summary_path(path), &format!("{summary:#}\n"))?;
    write(path, &text)
}

/// Where the summary of a file of places lies.
#[must_use]
pub fn summary_path(places: &Path) -> PathBuf {
    places.with_extension("summary.json")
}

/// What a row says of a place, in order; the layers' classes come last, under their own names.
fn columns(drawn: &Drawn, place: &Place) -> Vec<(String, Value)> {
    let stratum = &drawn.strata[place.stratum];
    let own = [
        ("place", json!(place.place)),
        ("stratum", json!(stratum.name)),
        ("stratum_area_km2", json!(round(stratum.area_km2, 4))),
        ("inclusion_probability", json!(place.inclusion_probability)),
        ("weight", json!(drawn.weight(place))),
        ("square_km2", json!(round(drawn.square_km2, 6))),
        ("chip_px", json!(drawn.request.chip_px)),
        ("epsg", json!(place.epsg)),
        ("block_east", json!(place.block.east)),
        ("block_north", json!(place.block.north)),
    ];
    let taken: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
    let layers = drawn.layers.iter().zip(&place.classes).map(|(layer, class)| {
        let name = if taken.contains(&layer.as_str()) || ["lon", "lat"].contains(&layer.as_str()) {
            format!("layer_{layer}")
        } else {
            layer.clone()
        };
        (name, json!(class))
    });
    let layers: Vec<_> = layers.collect();
    own.into_iter().map(|(name, value)| (name.to_string(), value)).chain(layers).collect()
}

fn round(value: f64, decimals: i32) -> f64 {
    let ten = 10_f64.powi(decimals);
    (value * ten).round() / ten
}

/// Seven decimals of a degree are a centimetre.
fn degrees(value: f64) -> f64 {
    round(value, 7)
}

fn geojson(drawn: &Drawn) -> String {
    let feature = |place: &Place| Feature {
        shape: Shape::Point([degrees(place.lon), degrees(place.lat)]),
        properties: columns(drawn, place).into_iter().collect::<Map<_, _>>(),
    };
    let features = drawn.places.iter().map(feature).collect();
    to_geojson(&Collection { epsg: 4326, features })
}

fn csv(drawn: &Drawn) -> String {
    let mut text = String::new();
    for (i, place) in drawn.places.iter().enumerate() {
        let columns = columns(drawn, place);
        if i == 0 {
            text += "lon,lat";
            columns.iter().for_each(|(name, _)| text += &format!(",{}", field(name)));
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{},{}", degrees(place.lon), degrees(place.lat));
        for (_, value) in &columns {
            let plain = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            text += &format!(",{}", field(&plain));
        }
        text.push('\n');
    }
    text
}

/// A field of a table, quoted if it must be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}
