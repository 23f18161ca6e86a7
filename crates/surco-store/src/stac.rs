//! A STAC item for each finished cell, and a collection over all of them.
//!
//! The item lies beside the manifests, `31UDS/r03c09/manifest/item.json`, because Zarr readers warn of
//! any other file in a group they list. Both are written from what the store holds and from nothing else,
//! so the same store gives the same bytes.
//!
//! # Source
//! *STAC specification* 1.1.0; *Datacube extension* 2.2.0; *Projection extension* 2.0.0.

use rayon::prelude::*;
use serde_json::{Value, json};
use surco_core::{CellId, Georef};

use crate::metadata::{CellMeta, pretty};
use crate::store::read_json;
use crate::{ArrayText, SHARD_DATES, Store, StoreError};

const STAC_VERSION: &str = "1.1.0";
const DATACUBE: &str = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json";
const PROJECTION: &str = "https://stac-extensions.github.io/projection/v2.0.0/schema.json";
const ZARR: &str = "application/vnd.zarr; version=3";
const JSON: &str = "application/json";
const COLLECTION: &str = "collection.json";

/// What a collection says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionText {
    /// Its id, for example `maipo-2023`.
    pub id: String,
    /// What it holds, for people.
    pub description: String,
    /// Licence of the pixels, an SPDX identifier or `other`.
    pub license: String,
}

impl Store {
    /// Writes the STAC item of a cell whose dates are all done, and says whether they are.
    ///
    /// `outline` is the cell's corner points in degrees (longitude, latitude), in order around it. An
    /// item of a cell that has grown since and is unfinished again is removed.
    ///
    /// # Errors
    /// [`StoreError::NoCell`] if the cell is not planned, [`StoreError::Shape`] if the outline has fewer
    /// than three points or one that is no place on Earth.
    pub fn write_item(&self, cell: &CellId, outline: &[[f64; 2]]) -> Result<bool, StoreError> {
        let meta = self.meta(cell)?;
        let on_earth = |p: &[f64; 2]| p[0].abs() <= 180.0 && p[1].abs() <= 90.0;
        if outline.len() < 3 || !outline.iter().all(on_earth) {
            return Err(StoreError::Shape {
                cell: cell.clone(),
                shard: 0,
                what: "outline",
                expected: "three points or more in degrees".into(),
                found: format!("{outline:?}"),
            });
        }
        let key = item_key(cell);
        if meta.scenes.is_empty() || !self.is_finished(cell, &meta)? {
            self.place.remove(&key)?;
            return Ok(false);
        }
        self.place.put_all(&[(key, pretty(&item(cell, &meta, outline)))])?;
        Ok(true)
    }

    /// Writes the collection over all items there are and gives their number.
    ///
    /// # Errors
    /// [`StoreError::Metadata`] if an item is damaged.
    pub fn write_collection(&self, text: &CollectionText) -> Result<usize, StoreError> {
        // On a disk, whoever comes last has seen the items of all who were here before.
        let _guard = self.place.guard(crate::store::ROOT)?;
        let read = |cell: CellId| {
            let found = read_json(&self.place, &item_key(&cell));
            found.map(|found| found.map(|(item, _)| (cell, item)))
        };
        let items: Vec<(CellId, Value)> = self
            .cells()?
            .into_par_iter()
            .filter_map(|cell| read(cell).transpose())
            .collect::<Result<_, _>>()?;
        if items.is_empty() {
            self.place.remove(COLLECTION)?;
            return Ok(0);
        }
        let collection = pretty(&collection(text, &items));
        self.place.put_all(&[(COLLECTION.into(), collection)])?;
        Ok(items.len())
    }

    fn is_finished(&self, cell: &CellId, meta: &CellMeta) -> Result<bool, StoreError> {
        for shard in 0..meta.shards() {
            let Some(manifest) = self.manifest(cell, shard)? else { return Ok(false) };
            let planned = meta.scenes.iter().skip(shard * SHARD_DATES).take(SHARD_DATES);
            let done = |(slot, id): (usize, &String)| {
                manifest.dates.iter().any(|date| date.slot == slot && date.scene.id == *id)
            };
            if !planned.map(|scene| &scene.id).enumerate().all(done) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn item_key(cell: &CellId) -> String {
    format!("{cell}/manifest/item.json")
}

fn item(cell: &CellId, meta: &CellMeta, outline: &[[f64; 2]]) -> Value {
    let ring = ring_of(outline);
    let times = || meta.scenes.iter().map(|scene| scene.time_s);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let Georef { epsg, x0_m, y0_m, px_m } = meta.georef;
    let (right, low) = (x0_m + meta.cols as f64 * px_m, y0_m - meta.rows as f64 * px_m);
    json!({
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [DATACUBE, PROJECTION],
        "id": cell.to_string().replace('/', "-"),
        "geometry": { "type": "Polygon", "coordinates": [ring] },
        "bbox": bbox_of(&ring),
        "properties": {
            "datetime": null,
            "start_datetime": instant(first),
            "end_datetime": instant(last),
            "proj:code": format!("EPSG:{epsg}"),
            "proj:shape": [meta.rows, meta.cols],
            "proj:bbox": [x0_m, low, right, y0_m],
            "proj:transform": [px_m, 0.0, x0_m, 0.0, -px_m, y0_m],
            "cube:dimensions": dimensions(meta),
            "cube:variables": variables(meta),
        },
        "assets": assets(meta),
        "links": [
            link("root", "../../../collection.json", JSON),
            link("parent", "../../../collection.json", JSON),
        ],
    })
}

fn dimensions(meta: &CellMeta) -> Value {
    let (px_m, epsg) = (meta.georef.px_m, meta.georef.epsg);
    let side = |axis: &str, first: f64, last: f64| {
        json!({
            "type": "spatial",
            "axis": axis,
            "extent": [first.min(last), first.max(last)],
            "step": if axis == "y" { -px_m } else { px_m },
            "reference_system": epsg,
        })
    };
    let (left, top) = meta.georef.centre(0, 0);
    let (right, low) = meta.georef.centre(meta.rows - 1, meta.cols - 1);
    // In the order of the stored axis, which appending seasons does not sort.
    let times: Vec<String> = meta.scenes.iter().map(|scene| instant(scene.time_s)).collect();
    let extent = [times.iter().min(), times.iter().max()];
    json!({
        "time": { "type": "temporal", "extent": extent, "values": times },
        "band": { "type": "bands", "values": meta.bands },
        "y": side("y", top, low),
        "x": side("x", left, right),
    })
}

fn variables(meta: &CellMeta) -> Value {
    let variable = |text: &ArrayText, dimensions: Value| {
        json!({
            "type": "data",
            "dimensions": dimensions,
            "description": text.long_name,
            "unit": text.units,
        })
    };
    let values = variable(&meta.values, json!(["time", "band", "y", "x"]));
    let mut variables = json!({ &meta.values.name: values });
    if let Some(quality) = &meta.quality {
        variables[&quality.name] = variable(quality, json!(["time", "y", "x"]));
    }
    variables
}

fn assets(meta: &CellMeta) -> Value {
    let mut assets = json!({
        "cube": {
            "href": "..",
            "type": ZARR,
            "roles": ["data"],
            "title": "The cell as a Zarr group",
        },
        "metadata": {
            "href": "../zarr.json",
            "type": JSON,
            "roles": ["metadata"],
            "title": "Consolidated metadata of the group",
        },
    });
    let arrays = [(Some(&meta.values), "data"), (meta.quality.as_ref(), "data-mask")];
    for (text, role) in arrays {
        if let Some(text) = text {
            assets[&text.name] = json!({
                "href": format!("../{}", text.name),
                "type": ZARR,
                "roles": [role],
                "title": text.long_name,
            });
        }
    }
    for shard in 0..meta.shards() {
        assets[format!("manifest-{shard:03}")] = json!({
            "href": format!("t{shard:03}.json"),
            "type": JSON,
            "roles": ["metadata"],
            "title": format!("Provenance, holes and checksums of shard {shard}"),
        });
    }
    assets
}

fn collection(text: &CollectionText, items: &[(CellId, Value)]) -> Value {
    let mut bbox = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for (_, item) in items {
        let side = |i: usize| item["bbox"][i].as_f64().unwrap_or(f64::NAN);
        bbox[0] = bbox[0].min(side(0));
        bbox[1] = bbox[1].min(side(1));
        bbox[2] = bbox[2].max(side(2));
        bbox[3] = bbox[3].max(side(3));
    }
    let times =
        |key: &str| items.iter().filter_map(move |(_, i)| i["properties"][key].as_str()).collect();
    let (starts, ends): (Vec<&str>, Vec<&str>) = (times("start_datetime"), times("end_datetime"));
    let mut links = vec![link("root", "./collection.json", JSON)];
    links.extend(
        items.iter().map(|(cell, _)| {
            link("item", &format!("./{}", item_key(cell)), "application/geo+json")
        }),
    );
    json!({
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": text.id,
        "description": text.description,
        "license": text.license,
        "extent": {
            "spatial": { "bbox": [bbox] },
            "temporal": { "interval": [[starts.iter().min(), ends.iter().max()]] },
        },
        "assets": {
            "cube": {
                "href": "./zarr.json",
                "type": JSON,
                "roles": ["metadata"],
                "title": "Root group of the Zarr store",
            },
        },
        "links": links,
    })
}

fn link(rel: &str, href: &str, media: &str) -> Value {
    json!({ "rel": rel, "href": href, "type": media })
}

/// A closed ring, counter-clockwise, rounded to a centimetre so that every machine writes the same.
fn ring_of(outline: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let round = |degrees: f64| (degrees * 1e7).round() / 1e7;
    let mut ring: Vec<[f64; 2]> = outline.iter().map(|p| p.map(round)).collect();
    if ring.len() > 3 && ring.first() == ring.last() {
        ring.pop();
    }
    let next = |i: usize| ring[(i + 1) % ring.len()];
    let twice_area: f64 =
        (0..ring.len()).map(|i| (ring[i], next(i))).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
    if twice_area < 0.0 {
        ring.reverse();
    }
    ring.push(ring[0]);
    ring
}

fn bbox_of(ring: &[[f64; 2]]) -> [f64; 4] {
    let side = |axis: usize, pick: fn(f64, f64) -> f64, start: f64| {
        ring.iter().map(|p| p[axis]).fold(start, pick)
    };
    let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
    [
        side(0, f64::min, low),
        side(1, f64::min, low),
        side(0, f64::max, high),
        side(1, f64::max, high),
    ]
}

/// RFC 3339 in UTC, to the second.
fn instant(time_s: i64) -> String {
    jiff::Timestamp::from_second(time_s).map_or_else(|_| String::new(), |time| time.to_string())
}
