//! The metadata objects of a store, as zarr-python 3 writes and xarray reads them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use surco_core::Georef;

use crate::shard::{INNER_PX, SHARD_DATES};
use crate::store::STORE_VERSION;

/// Values in one chunk of the time axis: never changed, so that appending dates keeps what is there.
const TIME_CHUNK: usize = 1024;
/// The attribute that only Surco reads.
pub(crate) const OWN: &str = "surco";

/// Everything a cell needs before its first pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct CellSpec {
    /// Where the cell lies.
    pub georef: Georef,
    /// Its coordinate system as WKT, for GDAL and rioxarray.
    pub crs_wkt: String,
    /// Number of rows, at most 1024.
    pub rows: usize,
    /// Number of columns, at most 1024.
    pub cols: usize,
    /// Names of the bands, in the order of the band axis.
    pub bands: Vec<String>,
    /// The scenes to collect, in any order.
    pub scenes: Vec<SceneSlot>,
}

/// One place on a cell's time axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneSlot {
    /// Names the acquisition, not its processing: a newer item of the same acquisition takes its place.
    pub key: String,
    /// Item id.
    pub id: String,
    /// Sensing time in seconds since 1970.
    pub time_s: i64,
}

/// What a cell's group says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellMeta {
    pub(crate) georef: Georef,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) bands: Vec<String>,
    pub(crate) scenes: Vec<SceneSlot>,
}

impl CellMeta {
    pub(crate) fn shards(&self) -> usize {
        self.scenes.len().div_ceil(SHARD_DATES)
    }
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

/// The objects of a planned cell in the order they must be written: the group, which alone counts, last.
pub(crate) fn cell_objects(meta: &CellMeta, crs_wkt: &str) -> Vec<(String, Vec<u8>)> {
    let arrays = arrays(meta, crs_wkt);
    let mut objects = values(meta);
    for (name, array) in &arrays {
        objects.push((format!("{name}/zarr.json"), pretty(array)));
    }
    let metadata: serde_json::Map<String, Value> =
        arrays.into_iter().map(|(name, array)| (name.to_string(), array)).collect();
    let group = json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": { "Conventions": "CF-1.11", OWN: meta },
        "consolidated_metadata": {
            "kind": "inline",
            "must_understand": false,
            "metadata": metadata,
        },
    });
    objects.push(("zarr.json".into(), pretty(&group)));
    objects
}

fn arrays(meta: &CellMeta, crs_wkt: &str) -> Vec<(&'static str, Value)> {
    let (dates, bands) = (meta.scenes.len(), meta.bands.len());
    let shard = |px: usize| px.next_multiple_of(INNER_PX);
    let (rows, cols) = (shard(meta.rows), shard(meta.cols));
    let mapped = |long_name: &str, units: &str| {
        json!({
            "long_name": long_name,
            "units": units,
            "grid_mapping": "spatial_ref",
            "coordinates": "spatial_ref",
        })
    };
    let axis = |name: &str, long: &str| {
        json!({
            "standard_name": format!("projection_{name}_coordinate"),
            "long_name": format!("{long} of the pixel's centre"),
            "units": "m",
            "axis": name.to_uppercase(),
        })
    };
    let Georef { epsg, x0_m, y0_m, px_m } = meta.georef;
    vec![
        (
            "band",
            Array {
                shape: json!([bands]),
                chunk: json!([bands]),
                dtype: "string",
                fill: json!(""),
                codecs: json!([{ "name": "vlen-utf8", "configuration": {} }]),
                axes: json!(["band"]),
                attributes: json!({ "long_name": "band of Sentinel-2 MSI" }),
            }
            .build(),
        ),
        (
            "reflectance",
            Array {
                shape: json!([dates, bands, meta.rows, meta.cols]),
                chunk: json!([SHARD_DATES, bands, rows, cols]),
                dtype: "uint16",
                fill: json!(0),
                codecs: sharding(json!([SHARD_DATES, bands, INNER_PX, INNER_PX]), little()),
                axes: json!(["time", "band", "y", "x"]),
                attributes: mapped("surface reflectance, harmonised; 0 is no data", "1e-4"),
            }
            .build(),
        ),
        (
            "scl",
            Array {
                shape: json!([dates, meta.rows, meta.cols]),
                chunk: json!([SHARD_DATES, rows, cols]),
                dtype: "uint8",
                fill: json!(0),
                codecs: sharding(
                    json!([SHARD_DATES, INNER_PX, INNER_PX]),
                    json!({ "name": "bytes" }),
                ),
                axes: json!(["time", "y", "x"]),
                attributes: mapped("scene classification (SCL); 0 is no data", "1"),
            }
            .build(),
        ),
        (
            "spatial_ref",
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
            .build(),
        ),
        (
            "time",
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
            .build(),
        ),
        ("x", coordinate(meta.cols, "x", axis("x", "easting"))),
        ("y", coordinate(meta.rows, "y", axis("y", "northing"))),
    ]
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

fn sharding(chunk_shape: Value, bytes: Value) -> Value {
    json!([{
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": chunk_shape,
            "codecs": [
                bytes,
                { "name": "zstd", "configuration": { "level": 3, "checksum": false } },
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

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
