//! From a row of an index to an item.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use parquet::record::{Field, Row};
use serde_json::Value;

use super::super::boxes::Box4;
use super::wkb;
use crate::stac::{Asset, BandField, Item, Link, Projected, Properties, RasterField};

/// The item of a row.
pub(super) fn item(row: Row) -> Result<Item, String> {
    let mut item = Item {
        id: String::new(),
        collection: None,
        bbox: None,
        geometry: None,
        properties: Properties::default(),
        assets: BTreeMap::new(),
        links: Vec::new(),
    };
    for (name, field) in row.into_columns() {
        match name.as_str() {
            "id" => item.id = text(field).unwrap_or_default(),
            "collection" => item.collection = text(field),
            "bbox" => item.bbox = Some(bbox(field)).filter(|bbox| !bbox.is_empty()),
            "geometry" => {
                if let Field::Bytes(bytes) = field {
                    item.geometry = wkb::geometry(bytes.data());
                }
            }
            "assets" => item.assets = assets(field).map_err(|e| format!("{}: {e}", item.id))?,
            _ => property(&mut item.properties, &name, field),
        }
    }
    Ok(item)
}

fn property(p: &mut Properties, name: &str, field: Field) {
    match name {
        "datetime" => p.datetime = moment(field),
        "start_datetime" => p.start_datetime = moment(field),
        "created" => p.created = moment(field),
        "updated" => p.updated = moment(field),
        "s2:generation_time" => p.generation_time = moment(field),
        "platform" => p.platform = text(field),
        "eo:cloud_cover" => p.cloud_cover = number(&field),
        "grid:code" => p.grid_code = text(field),
        "s2:mgrs_tile" => p.mgrs_tile = text(field),
        "mgrs:utm_zone" => p.mgrs_zone = whole(&field),
        "mgrs:latitude_band" => p.mgrs_band = text(field),
        "mgrs:grid_square" => p.mgrs_square = text(field),
        "s2:processing_baseline" => p.s2_baseline = text(field).map(Value::String),
        "processing:version" => p.processing_version = text(field).map(Value::String),
        "s2:datatake_id" => p.datatake_id = text(field),
        "s2:datastrip_id" => p.datastrip_id = text(field),
        "earthsearch:boa_offset_applied" => {
            p.boa_offset_applied = if let Field::Bool(yes) = field { Some(yes) } else { None };
        }
        _ => projected(&mut p.projection, name, field),
    }
}

fn projected(p: &mut Projected, name: &str, field: Field) {
    match name {
        "proj:epsg" => p.epsg = whole(&field),
        "proj:code" => p.code = text(field),
        "proj:shape" => p.shape = list(&field, whole),
        "proj:transform" => p.transform = list(&field, number),
        _ => {}
    }
}

/// Assets as a column each, or all as JSON.
fn assets(field: Field) -> Result<BTreeMap<String, Asset>, String> {
    match field {
        Field::Group(row) => {
            let there = row.into_columns().into_iter();
            Ok(there.filter_map(|(key, field)| Some((key, asset(field)?))).collect())
        }
        Field::Str(json) => serde_json::from_str(&json).map_err(|e| e.to_string()),
        Field::Bytes(json) => serde_json::from_slice(json.data()).map_err(|e| e.to_string()),
        _ => Ok(BTreeMap::new()),
    }
}

/// An asset, unless the item does not have it.
fn asset(field: Field) -> Option<Asset> {
    let Field::Group(row) = field else { return None };
    let mut asset = Asset::default();
    for (name, field) in row.into_columns() {
        match name.as_str() {
            "href" => asset.href = text(field)?,
            "type" => asset.media_type = text(field),
            "roles" => asset.roles = list(&field, |f| text(f.clone())).unwrap_or_default(),
            "eo:bands" => asset.eo_bands = list(&field, band).unwrap_or_default(),
            "bands" => asset.bands = list(&field, band).unwrap_or_default(),
            "raster:bands" => asset.raster_bands = list(&field, raster).unwrap_or_default(),
            "raster:offset" => asset.raster_offset = number(&field),
            "file:size" => asset.file_size = whole(&field),
            "file:checksum" => asset.file_checksum = text(field),
            _ => projected(&mut asset.projection, &name, field),
        }
    }
    (!asset.href.is_empty()).then_some(asset)
}

fn band(field: &Field) -> Option<BandField> {
    let Field::Group(row) = field else { return None };
    let mut band = BandField::default();
    for (name, field) in row.get_column_iter() {
        match name.as_str() {
            "name" => band.name = text(field.clone()),
            "raster:offset" => band.offset = number(field),
            _ => {}
        }
    }
    Some(band)
}

fn raster(field: &Field) -> Option<RasterField> {
    let Field::Group(row) = field else { return None };
    let offset = row.get_column_iter().find(|(name, _)| *name == "offset");
    Some(RasterField { offset: offset.and_then(|(_, field)| number(field)) })
}

/// The links of a row.
pub(super) fn links(row: Row) -> Vec<Link> {
    let of = |field: &Field| {
        let Field::Group(row) = field else { return None };
        let text_of = |wanted: &str| {
            row.get_column_iter()
                .find(|(name, _)| *name == wanted)
                .and_then(|(_, field)| text(field.clone()))
        };
        let (rel, href) = (text_of("rel")?, text_of("href")?);
        Some(Link { rel, href, method: None, body: None, merge: false })
    };
    let columns = row.into_columns();
    columns.iter().find_map(|(_, field)| list(field, of)).unwrap_or_default()
}

/// West, south, east, north: of a structure or of a list.
fn bbox(field: Field) -> Vec<f64> {
    match field {
        Field::Group(row) => {
            let at = |wanted: &str| {
                row.get_column_iter()
                    .find(|(name, _)| *name == wanted)
                    .and_then(|(_, field)| number(field))
            };
            let corners: Option<Vec<f64>> =
                ["xmin", "ymin", "xmax", "ymax"].map(at).into_iter().collect();
            corners.unwrap_or_default()
        }
        other => list(&other, number).unwrap_or_default(),
    }
}

/// The box of an item that does not cross the antimeridian.
pub(super) fn bounds(bbox: &[f64]) -> Option<Box4> {
    match *bbox {
        [west, south, east, north] | [west, south, _, east, north, _] if west <= east => {
            Some([west, south, east, north])
        }
        _ => None,
    }
}

fn list<T>(field: &Field, of: impl Fn(&Field) -> Option<T>) -> Option<Vec<T>> {
    match field {
        Field::ListInternal(list) => Some(list.elements().iter().filter_map(of).collect()),
        _ => None,
    }
}

fn text(field: Field) -> Option<String> {
    match field {
        Field::Str(text) => Some(text),
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).ok(),
        Field::Double(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(field: &Field) -> Option<f64> {
    match field {
        Field::Double(n) => Some(*n),
        Field::Float(n) => Some(f64::from(*n)),
        Field::Float16(n) => Some(n.to_f64()),
        other => integer(other).map(|n| n as f64),
    }
}

fn integer(field: &Field) -> Option<i64> {
    match *field {
        Field::Byte(n) => Some(n.into()),
        Field::Short(n) => Some(n.into()),
        Field::Int(n) => Some(n.into()),
        Field::Long(n) => Some(n),
        Field::UByte(n) => Some(n.into()),
        Field::UShort(n) => Some(n.into()),
        Field::UInt(n) => Some(n.into()),
        Field::ULong(n) => n.try_into().ok(),
        _ => None,
    }
}

fn whole<T: TryFrom<i64>>(field: &Field) -> Option<T> {
    let number = match field {
        Field::Double(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(*n as i64),
        other => integer(other),
    };
    number?.try_into().ok()
}

/// A moment as text; numbers without a unit are nanoseconds, as no older writer has them.
fn moment(field: Field) -> Option<String> {
    let at = |value, per_second| timestamp(value, per_second).map(|t| t.to_string());
    match field {
        Field::TimestampMillis(value) => at(value, 1_000),
        Field::TimestampMicros(value) => at(value, 1_000_000),
        Field::Long(value) => at(value, 1_000_000_000),
        other => text(other),
    }
}

/// A moment counted from 1970.
pub(super) fn timestamp(value: i64, per_second: i64) -> Option<Timestamp> {
    let nanos = (value.rem_euclid(per_second)).checked_mul(1_000_000_000 / per_second)?;
    let since = SignedDuration::new(value.div_euclid(per_second), i32::try_from(nanos).ok()?);
    Timestamp::from_duration(since).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_every_unit_are_the_same() {
        let millis = 1_733_247_989_024;
        let fields = [
            Field::TimestampMillis(millis),
            Field::TimestampMicros(millis * 1_000),
            Field::Long(millis * 1_000_000),
            Field::Str("2024-12-03T17:46:29.024Z".into()),
        ];
        for field in fields {
            assert_eq!(moment(field).as_deref(), Some("2024-12-03T17:46:29.024Z"));
        }
        assert_eq!(timestamp(-1, 1_000).unwrap().to_string(), "1969-12-31T23:59:59.999Z");
    }
}
