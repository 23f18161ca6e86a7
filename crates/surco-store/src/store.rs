//! A store as a whole: opening it, planning cells in it, asking what is done.

use std::path::PathBuf;

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use surco_core::CellId;

use crate::manifest::MANIFEST_SCHEMA;
use crate::metadata::{CellMeta, CellObjects, OWN, cell_objects, plain_group, root_group};
use crate::place::{Expected, Place, Stamp};
use crate::{ArrayText, CellSpec, Destination, SceneSlot, ShardManifest, StoreError};

/// The version of the layout that this program reads and writes.
pub const STORE_VERSION: u64 = 2;

/// How often a plan is made anew because somebody else's came between.
const PLANS: usize = 20;

/// A store in a folder or a bucket.
///
/// Cheap to clone and safe to share between threads; processes on any machine may write different
/// shards of one store at the same time.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) place: Place,
    destination: Destination,
}

impl Store {
    /// Opens a store, or begins one in a new or empty folder or prefix.
    ///
    /// A URL such as `s3://bucket/prefix` takes endpoint, region and credentials from the usual `AWS_*`
    /// variables (`AWS_ENDPOINT_URL` and `AWS_ALLOW_HTTP=true` for a service of one's own).
    ///
    /// # Errors
    /// [`StoreError::Occupied`] if the folder holds something else, [`StoreError::Version`] if the store
    /// has another version, [`StoreError::Io`] if the disk refuses, [`StoreError::Remote`] if the service
    /// does, [`StoreError::Url`] if the URL names no place for a store.
    pub fn create_or_open(destination: impl Into<Destination>) -> Result<Self, StoreError> {
        let destination = destination.into();
        let place = Place::new(&destination)?;
        if place.stamp(ROOT)?.is_none() {
            if !place.children("")?.is_empty() && place.stamp(ROOT)?.is_none() {
                return Err(StoreError::Occupied { path: place.name("") });
            }
            place.put_if(ROOT, &root_group(), &Expected::Nothing)?;
        }
        Self::open_at(place, destination)
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`StoreError::NoStore`] if there is none, [`StoreError::Version`] if it has another version,
    /// [`StoreError::Remote`] and [`StoreError::Url`] as for [`Store::create_or_open`].
    pub fn open(destination: impl Into<Destination>) -> Result<Self, StoreError> {
        let destination = destination.into();
        Self::open_at(Place::new(&destination)?, destination)
    }

    fn open_at(place: Place, destination: Destination) -> Result<Self, StoreError> {
        let path = place.name("");
        let Some((group, _)) = read_json(&place, ROOT)? else {
            return Err(StoreError::NoStore { path });
        };
        let version = &group["attributes"]["surco_store_version"];
        if version.as_u64() != Some(STORE_VERSION) {
            let found = if version.is_null() { "none".into() } else { version.to_string() };
            return Err(StoreError::Version { path, found, expected: STORE_VERSION });
        }
        Ok(Self { place, destination })
    }

    /// Where the store lies.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The planned cells, sorted.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Remote`] if a folder cannot be listed.
    pub fn cells(&self) -> Result<Vec<CellId>, StoreError> {
        let mut named = Vec::new();
        for tile in self.place.children("")? {
            for cell in self.place.children(&tile)? {
                let id = format!("{tile}/{cell}");
                named.extend(id.parse::<CellId>().ok().filter(|parsed| parsed.to_string() == id));
            }
        }
        let planned = |cell: CellId| match self.place.stamp(&group_key(&cell)) {
            Ok(stamp) => stamp.map(|_| Ok(cell)),
            Err(error) => Some(Err(error)),
        };
        let mut cells = named.into_par_iter().filter_map(planned).collect::<Result<Vec<_>, _>>()?;
        cells.sort();
        Ok(cells)
    }

    /// The time axis that planning these scenes would give, without writing anything.
    ///
    /// Scenes already in the store keep their places, a newer item of an acquisition takes the older
    /// one's place, and what is left is appended by time.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the cell is in the store with another grid or other bands.
    pub fn axis(&self, cell: &CellId, spec: &CellSpec) -> Result<Vec<SceneSlot>, StoreError> {
        self.axis_of(cell, spec).map(|(axis, _)| axis)
    }

    fn axis_of(
        &self,
        cell: &CellId,
        spec: &CellSpec,
    ) -> Result<(Vec<SceneSlot>, Option<Group>), StoreError> {
        let group = self.group(cell)?;
        let mut axis = match &group {
            Some(group) => {
                check_same(cell, &group.meta, spec)?;
                group.meta.scenes.clone()
            }
            None => Vec::new(),
        };
        let mut planned = spec.scenes.clone();
        planned.sort_by(|a, b| (a.time_s, &a.key, &a.id).cmp(&(b.time_s, &b.key, &b.id)));
        for slot in planned {
            match axis.iter_mut().find(|old| old.key == slot.key) {
                Some(old) => *old = slot,
                None => axis.push(slot),
            }
        }
        Ok((axis, group))
    }

    /// Puts a cell with these scenes into the store and gives its time axis; the same plan twice changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the cell is in the store with another grid or other bands,
    /// [`StoreError::Shape`] if the cell is empty, too large, its tile no plain name or an array's name
    /// taken, [`StoreError::Contended`] if others kept planning the same cell in the same bucket.
    pub fn plan_cell(&self, cell: &CellId, spec: &CellSpec) -> Result<Vec<SceneSlot>, StoreError> {
        spec.check(cell)?;
        let _guard = self.place.guard(ROOT)?;
        for _ in 0..PLANS {
            if let Some(axis) = self.try_plan(cell, spec)? {
                return Ok(axis);
            }
        }
        Err(StoreError::Contended { path: self.place.name(&group_key(cell)) })
    }

    /// Plans a cell, unless somebody else did at the same time.
    fn try_plan(
        &self,
        cell: &CellId,
        spec: &CellSpec,
    ) -> Result<Option<Vec<SceneSlot>>, StoreError> {
        let (scenes, old) = self.axis_of(cell, spec)?;
        let meta = CellMeta {
            georef: spec.georef,
            rows: spec.rows,
            cols: spec.cols,
            bands: spec.bands.clone(),
            scenes,
            values: spec.values.clone(),
            quality: spec.quality.clone(),
        };
        let CellObjects { below: objects, group } = cell_objects(&meta, spec);
        if old.as_ref().is_some_and(|old| old.bytes == group) && self.place.is_remote() {
            return Ok(Some(meta.scenes)); // The group is the last object: all the others are there.
        }
        let mut below = vec![
            (format!("{}/zarr.json", cell.tile), plain_group()),
            // A group, so that Zarr readers do not wonder what the folder is.
            (format!("{cell}/manifest/zarr.json"), plain_group()),
        ];
        below.extend(objects.into_iter().map(|(key, bytes)| (format!("{cell}/{key}"), bytes)));
        self.place.put_all(&below)?;
        let expected = old.map_or(Expected::Nothing, |old| Expected::Version(old.stamp));
        let written = self.place.put_if(&group_key(cell), &group, &expected)?;
        Ok(written.then_some(meta.scenes))
    }

    /// What of a shard is done, or nothing if its manifest or one of its objects is not there.
    ///
    /// # Errors
    /// [`StoreError::Metadata`] if the manifest cannot be read.
    pub fn manifest(
        &self,
        cell: &CellId,
        shard: usize,
    ) -> Result<Option<ShardManifest>, StoreError> {
        Ok(self.manifest_with_stamp(cell, shard)?.map(|(manifest, _)| manifest))
    }

    pub(crate) fn manifest_with_stamp(
        &self,
        cell: &CellId,
        shard: usize,
    ) -> Result<Option<(ShardManifest, Stamp)>, StoreError> {
        let Some(found) = self.manifest_as_written(cell, shard)? else { return Ok(None) };
        // Only whether they are there: a run killed while it added dates leaves longer objects, in which
        // the dates of the old manifest are as they were.
        for object in &found.0.objects {
            if self.place.stamp(&format!("{cell}/{}", object.key))?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// Forgets that a shard is done, so that the next run collects it again.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Remote`] if its manifest cannot be removed.
    pub fn discard_shard(&self, cell: &CellId, shard: usize) -> Result<(), StoreError> {
        self.place.remove(&manifest_key(cell, shard))
    }

    pub(crate) fn manifest_as_written(
        &self,
        cell: &CellId,
        shard: usize,
    ) -> Result<Option<(ShardManifest, Stamp)>, StoreError> {
        let key = manifest_key(cell, shard);
        let Some((value, stamp)) = read_json(&self.place, &key)? else { return Ok(None) };
        let damaged = |reason| StoreError::Metadata { path: self.place.name(&key), reason };
        let manifest = ShardManifest::deserialize(&value).map_err(|e| damaged(e.to_string()))?;
        if manifest.schema != MANIFEST_SCHEMA {
            let reason = format!("schema {}, expected {MANIFEST_SCHEMA}", manifest.schema);
            return Err(damaged(reason));
        }
        Ok(Some((manifest, stamp)))
    }

    pub(crate) fn manifest_path(&self, cell: &CellId, shard: usize) -> PathBuf {
        self.place.name(&manifest_key(cell, shard))
    }

    pub(crate) fn meta(&self, cell: &CellId) -> Result<CellMeta, StoreError> {
        self.group_of(cell).map(|group| group.meta)
    }

    pub(crate) fn group_of(&self, cell: &CellId) -> Result<Group, StoreError> {
        self.group(cell)?
            .ok_or_else(|| StoreError::NoCell { path: self.place.name(""), cell: cell.clone() })
    }

    fn group(&self, cell: &CellId) -> Result<Option<Group>, StoreError> {
        let key = group_key(cell);
        let Some((bytes, stamp)) = self.place.get(&key)? else { return Ok(None) };
        let damaged = |e: serde_json::Error| StoreError::Metadata {
            path: self.place.name(&key),
            reason: e.to_string(),
        };
        let mut group: Value = serde_json::from_slice(&bytes).map_err(damaged)?;
        let meta = CellMeta::deserialize(&group["attributes"][OWN]).map_err(damaged)?;
        let mut attributes = match group["attributes"].take() {
            Value::Object(attributes) => attributes,
            _ => Map::new(),
        };
        attributes.remove(OWN);
        attributes.remove("Conventions");
        Ok(Some(Group { meta, attributes, bytes, stamp }))
    }
}

/// A cell's group as it is stored.
pub(crate) struct Group {
    pub(crate) meta: CellMeta,
    pub(crate) attributes: Map<String, Value>,
    bytes: Vec<u8>,
    stamp: Stamp,
}

pub(crate) const ROOT: &str = "zarr.json";

fn group_key(cell: &CellId) -> String {
    format!("{cell}/zarr.json")
}

pub(crate) fn manifest_key(cell: &CellId, shard: usize) -> String {
    format!("{cell}/manifest/t{shard:03}.json")
}

fn check_same(cell: &CellId, meta: &CellMeta, spec: &CellSpec) -> Result<(), StoreError> {
    let differ = |what, stored: String, planned: String| {
        Err(StoreError::Mismatch { cell: cell.clone(), what, stored, planned })
    };
    if meta.bands != spec.bands {
        return differ("bands", meta.bands.join(","), spec.bands.join(","));
    }
    let grid = |g: &surco_core::Georef, rows, cols| {
        format!("EPSG:{} {} {} {} m, {rows} × {cols}", g.epsg, g.x0_m, g.y0_m, g.px_m)
    };
    let stored = grid(&meta.georef, meta.rows, meta.cols);
    let planned = grid(&spec.georef, spec.rows, spec.cols);
    if stored != planned {
        return differ("grid", stored, planned);
    }
    let arrays =
        |values: &ArrayText, quality: Option<&ArrayText>| format!("{values:?}, {quality:?}");
    let kin = meta.values.same_numbers(&spec.values)
        && match (&meta.quality, &spec.quality) {
            (Some(old), Some(new)) => old.same_numbers(new),
            (old, new) => old.is_none() && new.is_none(),
        };
    if !kin {
        let stored = arrays(&meta.values, meta.quality.as_ref());
        return differ("arrays", stored, arrays(&spec.values, spec.quality.as_ref()));
    }
    Ok(())
}

pub(crate) fn read_json(place: &Place, key: &str) -> Result<Option<(Value, Stamp)>, StoreError> {
    let Some((bytes, stamp)) = place.get(key)? else { return Ok(None) };
    let value = serde_json::from_slice(&bytes)
        .map_err(|e| StoreError::Metadata { path: place.name(key), reason: e.to_string() })?;
    Ok(Some((value, stamp)))
}
