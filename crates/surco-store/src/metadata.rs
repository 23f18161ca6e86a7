//! The metadata objects of a store, as zarr-python 3 writes and xarray reads them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use surco_core::Georef;

use crate::blosc::type_bytes;
use crate::pixel::Pixel;
use crate::shard::{INNER_PX, Inner, SHARD_DATES};
use crate::spec::{ArrayText, CellSpec, SceneSlot};
use crate::store::STORE_VERSION;

/// Values in one chunk of the time axis: never changed, so that appending dates keeps what is there.
const TIME_CHUNK: usize = 1024;
/// The attribute that only Surco reads.
pub(crate) const OWN: &str = "surco";

/// What a cell's group says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellMeta {
    pub(crate) georef: Georef,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) bands: Vec<String>,
    pub(crate) scenes: Vec<SceneSlot>,
    pub(crate) values: ArrayText,
    pub(crate) quality: Option<ArrayText>,
}

impl CellMeta {
    pub(crate) fn shards(&self) -> usize {
        self.scenes.len().div_ceil(SHARD_DATES)
    }

    /// The inner chunks of the values.
    pub(crate) fn inner(&self) -> Inner {
        Inner::of(self.rows, self.cols, self.bands.len())
    }

    /// The inner chunks of the quality layer.
    pub(crate) fn quality_inner(&self) -> Inner {
        Inner::of(self.rows, self.cols, 1)
    }
}

/// Key below the cell of a shard of the values.
pub(crate) fn values_key(name: &str, shard: usize) -> String {
    format!("{name}/c/{shard}/0/0/0")
}

/// Key below the cell of a shard of the quality layer.
pub(crate) fn quality_key(name: &str, shard: usize) -> String {
    format!("{name}/c/{shard}/0/0")
}

/// The root group.
pub(crate) fn root_group() -> Vec<u8> {
    pretty(&json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": { "surco_store_version": STORE_VERSION },
    }))
}

/// A group that holds only groups.
pub(crate) fn plain_group() -> Vec<u8> {
    pretty(&json!({ "zarr_format": 3, "node_type": "group", "attributes": {} }))
}

/// The objects of a planned cell.
pub(crate) struct CellObjects {
    /// Keys below the cell, and bytes.
    pub(crate) below: Vec<(String, Vec<u8>)>,
    /// The group: it alone counts and is written last.
    pub(crate) group: Vec<u8>,
}

/// What a cell consists of before its first pixel.
pub(crate) fn cell_objects(meta: &CellMeta, spec: &CellSpec) -> CellObjects {
    let arrays = arrays(meta, spec);
    let mut below = values(meta);
    for (name, array) in &arrays {
        below.push((format!("{name}/zarr.json"), pretty(array)));
    }
    let metadata: Map<String, Value> = arrays.into_iter().collect();
    let mut attributes = spec.attributes.clone();
    attributes.insert("Conventions".into(), json!("CF-1.11"));
    attributes.insert(OWN.into(), json!(meta));
    let group = json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": false,
            "metadata": metadata,
        },
    });
    CellObjects { below, group: pretty(&group) }
}

fn arrays(meta: &CellMeta, spec: &CellSpec) -> Vec<(String, Value)> {
    let mut arrays = vec![
        ("band".into(), band_array(meta, &spec.band_text)),
        (meta.values.name.clone(), values_array(meta)),
        ("spatial_ref".into(), spatial_ref(&meta.georef, &spec.crs_wkt)),
        ("time".into(), time_array(meta.scenes.len())),
        ("x".into(), coordinate(meta.cols, "x", axis("x", "easting"))),
        ("y".into(), coordinate(meta.rows, "y", axis("y", "northing"))),
    ];
    if let Some(quality) = &meta.quality {
        arrays.push((quality.name.clone(), quality_array(meta, quality)));
    }
    arrays
}

fn band_array(meta: &CellMeta, text: &str) -> Value {
    let bands = meta.bands.len();
    Array {
        shape: json!([bands]),
        chunk: json!([bands]),
        dtype: "string",
        fill: json!(""),
        codecs: json!([{ "name": "vlen-utf8", "configuration": {} }]),
        axes: json!(["band"]),
        attributes: json!({ "long_name": text }),
    }
    .build()
}

fn values_array(meta: &CellMeta) -> Value {
    let (dates, bands) = (meta.scenes.len(), meta.bands.len());
    let shard = |px: usize| px.next_multiple_of(INNER_PX);
    Array {
        shape: json!([dates, bands, meta.rows, meta.cols]),
        chunk: json!([SHARD_DATES, bands, shard(meta.rows), shard(meta.cols)]),
        dtype: u16::DTYPE,
        fill: json!(0),
        codecs: sharding::<u16>(
            json!([SHARD_DATES, bands, INNER_PX, INNER_PX]),
            json!([2, 1, 0, 3]),
            meta.inner(),
        ),
        axes: json!(["time", "band", "y", "x"]),
        attributes: mapped(&meta.values),
    }
    .build()
}

fn quality_array(meta: &CellMeta, text: &ArrayText) -> Value {
    let shard = |px: usize| px.next_multiple_of(INNER_PX);
    Array {
        shape: json!([meta.scenes.len(), meta.rows, meta.cols]),
        chunk: json!([SHARD_DATES, shard(meta.rows), shard(meta.cols)]),
        dtype: u8::DTYPE,
        fill: json!(0),
        codecs: sharding::<u8>(
            json!([SHARD_DATES, INNER_PX, INNER_PX]),
            json!([1, 0, 2]),
            meta.quality_inner(),
        ),
        axes: json!(["time", "y", "x"]),
        attributes: mapped(text),
    }
    .build()
}

fn spatial_ref(georef: &Georef, crs_wkt: &str) -> Value {
    let Georef { epsg, x0_m, y0_m, px_m } = *georef;
    Array {
        shape: json!([]),
        chunk: json!([]),
        dtype: "int64",
        fill: json!(0),
        codecs: json!([little()]),
        axes: json!([]),
        attributes: json!({
            "crs_wkt": crs_wkt,
            "spatial_ref": crs_wkt,
            "epsg": epsg,
            "GeoTransform": format!("{x0_m} {px_m} 0 {y0_m} 0 {}", -px_m),
        }),
    }
    .build()
}

fn time_array(dates: usize) -> Value {
    Array {
        shape: json!([dates]),
        chunk: json!([TIME_CHUNK]),
        dtype: "int64",
        fill: json!(0),
        codecs: json!([little()]),
        axes: json!(["time"]),
        attributes: json!({
            "standard_name": "time",
            "units": "seconds since 1970-01-01T00:00:00",
            "calendar": "proleptic_gregorian",
        }),
    }
    .build()
}

fn mapped(text: &ArrayText) -> Value {
    let mut attributes = json!({
        "long_name": text.long_name,
        "units": text.units,
        "grid_mapping": "spatial_ref",
        "coordinates": "spatial_ref",
    });
    for (key, value) in [("scale_factor", text.scale_factor), ("add_offset", text.add_offset)] {
        if let Some(value) = value {
            attributes[key] = json!(value);
        }
    }
    attributes
}

fn axis(name: &str, long: &str) -> Value {
    json!({
        "standard_name": format!("projection_{name}_coordinate"),
        "long_name": format!("{long} of the pixel's centre"),
        "units": "m",
        "axis": name.to_uppercase(),
    })
}

fn coordinate(length: usize, name: &str, attributes: Value) -> Value {
    Array {
        shape: json!([length]),
        chunk: json!([length]),
        dtype: "float64",
        fill: json!(0.0),
        codecs: json!([little()]),
        axes: json!([name]),
        attributes,
    }
    .build()
}

/// What differs between the arrays of a cell.
struct Array {
    shape: Value,
    chunk: Value,
    dtype: &'static str,
    fill: Value,
    codecs: Value,
    axes: Value,
    attributes: Value,
}

impl Array {
    fn build(self) -> Value {
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.shape,
            "data_type": self.dtype,
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": self.chunk } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
            "fill_value": self.fill,
            "codecs": self.codecs,
            "dimension_names": self.axes,
            "attributes": self.attributes,
            "storage_transformers": [],
        })
    }
}

fn little() -> Value {
    json!({ "name": "bytes", "configuration": { "endian": "little" } })
}

/// Inner chunks with `[time, …, y, x]` brought into the order `[y, …, time, x]`, then Blosc.
fn sharding<T: Pixel>(chunk_shape: Value, order: Value, inner: Inner) -> Value {
    let bytes = match T::BYTES {
        1 => json!({ "name": "bytes" }),
        _ => little(),
    };
    json!([{
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": chunk_shape,
            "codecs": [
                { "name": "transpose", "configuration": { "order": order } },
                bytes,
                {
                    "name": "blosc",
                    "configuration": {
                        "cname": "zstd",
                        "clevel": 1,
                        "shuffle": "shuffle",
                        "typesize": type_bytes::<T>(),
                        "blocksize": inner.block_bytes::<T>(),
                    },
                },
                { "name": "crc32c" },
            ],
            "index_codecs": [little(), { "name": "crc32c" }],
            "index_location": "end",
        },
    }])
}

/// The values of the coordinates.
fn values(meta: &CellMeta) -> Vec<(String, Vec<u8>)> {
    let mut band = (meta.bands.len() as u32).to_le_bytes().to_vec();
    for name in &meta.bands {
        band.extend((name.len() as u32).to_le_bytes());
        band.extend(name.as_bytes());
    }
    let x = (0..meta.cols).flat_map(|col| meta.georef.centre(0, col).0.to_le_bytes());
    let y = (0..meta.rows).flat_map(|row| meta.georef.centre(row, 0).1.to_le_bytes());
    let mut objects = vec![
        ("band/c/0".into(), band),
        ("x/c/0".into(), x.collect()),
        ("y/c/0".into(), y.collect()),
        ("spatial_ref/c".into(), 0_i64.to_le_bytes().to_vec()),
    ];
    for (i, chunk) in meta.scenes.chunks(TIME_CHUNK).enumerate() {
        let mut bytes: Vec<u8> = chunk.iter().flat_map(|s| s.time_s.to_le_bytes()).collect();
        bytes.resize(TIME_CHUNK * 8, 0);
        objects.push((format!("time/c/{i}"), bytes));
    }
    objects
}

/// Keys in order, whatever the features of serde_json that other crates turn on.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    format!("{sorted:#}\n").into_bytes()
}
