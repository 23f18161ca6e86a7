//! Which columns of an index are read.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::schema::types::{Type, TypePtr};
use surco_core::Sensor;

/// Columns that are read whole, if they are there.
const ITEM: [&str; 25] = [
    "id",
    "collection",
    "bbox",
    "geometry",
    "datetime",
    "start_datetime",
    "created",
    "updated",
    "platform",
    "eo:cloud_cover",
    "grid:code",
    "s2:mgrs_tile",
    "mgrs:utm_zone",
    "mgrs:latitude_band",
    "mgrs:grid_square",
    "s2:processing_baseline",
    "processing:version",
    "s2:generation_time",
    "s2:datatake_id",
    "s2:datastrip_id",
    "earthsearch:boa_offset_applied",
    "proj:epsg",
    "proj:code",
    "proj:shape",
    "proj:transform",
];

/// Fields of an asset that are read whole.
const ASSET: [&str; 10] = [
    "href",
    "type",
    "roles",
    "file:size",
    "file:checksum",
    "raster:offset",
    "proj:epsg",
    "proj:code",
    "proj:shape",
    "proj:transform",
];

/// The columns of items, and those of their links if there are any.
pub(super) fn needed(
    schema: &Type,
    sensor: &Sensor,
    bands: &[usize],
) -> Result<(Type, Option<Type>), String> {
    let has = |name: &str| schema.get_fields().iter().find(|field| field.name() == name);
    for name in ["id", "assets"] {
        if has(name).is_none() {
            return Err(format!("no column `{name}`: this is no index of STAC items"));
        }
    }
    let assets = has("assets").map(|assets| wanted_assets(assets, sensor, bands));
    let assets = assets.unwrap_or_default();
    let keep_item = |path: &[&str]| match path {
        ["assets"] => true, // As JSON in one column.
        ["assets", key, field @ ..] => {
            // An asset with its usual name need not be recognised by its bands.
            let usual = assets.iter().any(|asset| asset == key);
            let recognised = !matches!(field.first(), Some(&("roles" | "eo:bands")));
            (assets.is_empty() || usual && recognised) && is_needed(field)
        }
        [first, ..] => ITEM.contains(first),
        [] => false,
    };
    let keep_link = |path: &[&str]| {
        path.first() == Some(&"links") && matches!(path.last(), Some(&"rel" | &"href"))
    };
    let items = narrow(schema, &mut Vec::new(), &keep_item);
    let items = items.ok_or("no column of STAC items can be read")?;
    Ok((items, narrow(schema, &mut Vec::new(), &keep_link)))
}

/// Keys of the assets that hold the bands; empty if one of them is not named as usual, so that all are
/// needed to find it.
fn wanted_assets(assets: &Type, sensor: &Sensor, bands: &[usize]) -> Vec<String> {
    let Some(raster) = sensor.raster().filter(|_| !assets.is_primitive()) else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    let bands = bands.iter().map(|&band| (&raster.bands[band].assets, &raster.bands[band].name));
    let quality = raster.quality.iter().map(|quality| (&quality.assets, &quality.name));
    for (usual, name) in bands.chain(quality) {
        let before = keys.len();
        let there = assets.get_fields().iter().map(|field| field.name());
        let is_usual = |key: &&str| *key == name || usual.iter().any(|usual| usual == key);
        keys.extend(there.filter(is_usual).map(str::to_string));
        if keys.len() == before {
            return Vec::new();
        }
    }
    keys
}

/// Whether a field of an asset is read, by its path in the asset.
fn is_needed(path: &[&str]) -> bool {
    match (path.first(), path.last()) {
        (Some(&("eo:bands" | "bands")), Some(last)) => ["name", "raster:offset"].contains(last),
        (Some(&"raster:bands"), Some(last)) => *last == "offset",
        (Some(first), _) => ASSET.contains(first),
        (None, _) => false,
    }
}

/// A schema with those leaves only that are kept.
fn narrow<'t>(
    schema: &'t Type,
    path: &mut Vec<&'t str>,
    keep: &dyn Fn(&[&str]) -> bool,
) -> Option<Type> {
    if schema.is_primitive() {
        return (keep(path) && is_readable(schema)).then(|| schema.clone());
    }
    let mut fields: Vec<TypePtr> = Vec::new();
    for field in schema.get_fields() {
        path.push(field.name());
        fields.extend(narrow(field, path, keep).map(Arc::new));
        path.pop();
    }
    if fields.is_empty() {
        return None;
    }
    let info = schema.get_basic_info();
    let mut group = Type::group_type_builder(info.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    group.build().ok()
}

/// Whether the reader of rows knows a column's type: on some others it panics.
fn is_readable(leaf: &Type) -> bool {
    let info = leaf.get_basic_info();
    let (physical, converted) = (leaf.get_physical_type(), info.converted_type());
    match physical {
        Physical::BYTE_ARRAY => matches!(
            converted,
            ConvertedType::UTF8
                | ConvertedType::ENUM
                | ConvertedType::JSON
                | ConvertedType::BSON
                | ConvertedType::NONE
        ),
        Physical::INT64 => matches!(
            converted,
            ConvertedType::INT_64
                | ConvertedType::UINT_64
                | ConvertedType::TIMESTAMP_MILLIS
                | ConvertedType::TIMESTAMP_MICROS
                | ConvertedType::NONE
        ),
        Physical::INT32 => matches!(
            converted,
            ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::NONE
        ),
        Physical::FIXED_LEN_BYTE_ARRAY => info.logical_type_ref() == Some(&LogicalType::Float16),
        Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE => true,
    }
}

/// Whether a narrowed schema still holds a column.
pub(super) fn holds(schema: &Type, path: &[String]) -> bool {
    let Some((first, below)) = path.split_first() else { return schema.is_primitive() };
    !schema.is_primitive()
        && schema.get_fields().iter().any(|field| field.name() == first && holds(field, below))
}
