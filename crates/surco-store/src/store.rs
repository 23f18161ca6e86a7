//! A store as a whole: opening it, planning cells in it, asking what is done.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use surco_core::CellId;

use crate::atomic::{create_dirs, remove_object, write_object};
use crate::manifest::MANIFEST_SCHEMA;
use crate::metadata::{CellMeta, OWN, cell_objects, plain_group, root_group};
use crate::{CellSpec, SceneSlot, ShardManifest, StoreError};

/// The version of the layout that this program reads and writes.
pub const STORE_VERSION: u64 = 1;

/// A store on disk.
///
/// Cheap to clone and safe to share between threads; processes on any machine may write different
/// shards of one store at the same time.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a store, or begins one in a new or empty folder.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] if the folder holds something else, [`StoreError::Version`] if the store
    /// has another version, [`StoreError::Io`] if the disk refuses.
    pub fn create_or_open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        if !root.join("zarr.json").exists() {
            create_dirs(&root)?;
            for entry in list(&root)? {
                if !entry.file_name().to_string_lossy().starts_with('.') {
                    return Err(StoreError::Occupied { path: root });
                }
            }
            write_object(&root.join("zarr.json"), &root_group())?;
        }
        Self::open(root)
    }

    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`StoreError::NoStore`] if there is none, [`StoreError::Version`] if it has another version.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let place = root.join("zarr.json");
        if !place.is_file() {
            return Err(StoreError::NoStore { path: root });
        }
        let group = read_json(&place)?;
        let version = &group["attributes"]["surco_store_version"];
        if version.as_u64() != Some(STORE_VERSION) {
            let found = if version.is_null() { "none".into() } else { version.to_string() };
            return Err(StoreError::Version { path: root, found, expected: STORE_VERSION });
        }
        Ok(Self { root })
    }

    /// Where the store lies.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The planned cells, sorted.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a folder cannot be listed.
    pub fn cells(&self) -> Result<Vec<CellId>, StoreError> {
        let mut cells = Vec::new();
        for tile in list(&self.root)?.iter().filter(|e| e.path().join("zarr.json").is_file()) {
            for cell in list(&tile.path())?.iter().filter(|e| e.path().join("zarr.json").is_file())
            {
                let names = (tile.file_name(), cell.file_name());
                let id = format!("{}/{}", names.0.to_string_lossy(), names.1.to_string_lossy());
                cells.extend(id.parse::<CellId>().ok().filter(|parsed| parsed.to_string() == id));
            }
        }
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
        let mut axis = match self.meta_if_any(cell)? {
            Some(meta) => {
                check_same(cell, &meta, spec)?;
                meta.scenes
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
        Ok(axis)
    }

    /// Puts a cell with these scenes into the store and gives its time axis; the same plan twice changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the cell is in the store with another grid or other bands,
    /// [`StoreError::Shape`] if the cell is empty, too large or its tile is no plain name.
    pub fn plan_cell(&self, cell: &CellId, spec: &CellSpec) -> Result<Vec<SceneSlot>, StoreError> {
        check_spec(cell, spec)?;
        let root = self.root.join("zarr.json");
        let file = File::open(&root).map_err(|e| StoreError::io("read", &root, e))?;
        // File systems without locks: two runs that plan the same give the same bytes anyway.
        let _guard = file.lock().is_ok();
        let scenes = self.axis(cell, spec)?;
        let meta = CellMeta {
            georef: spec.georef,
            rows: spec.rows,
            cols: spec.cols,
            bands: spec.bands.clone(),
            scenes,
        };
        let dir = self.cell_dir(cell);
        write_object(&self.root.join(&cell.tile).join("zarr.json"), &plain_group())?;
        // A group, so that Zarr readers do not wonder what the folder is.
        write_object(&dir.join("manifest/zarr.json"), &plain_group())?;
        for (key, bytes) in cell_objects(&meta, &spec.crs_wkt) {
            write_object(&dir.join(key), &bytes)?;
        }
        Ok(meta.scenes)
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
        // Only whether they are there: a run killed while it added dates leaves longer objects, in which
        // the dates of the old manifest are as they were.
        let dir = self.cell_dir(cell);
        let whole = |manifest: &ShardManifest| {
            manifest.objects.iter().all(|object| dir.join(&object.key).is_file())
        };
        Ok(self.manifest_as_written(cell, shard)?.filter(whole))
    }

    /// Forgets that a shard is done, so that the next run collects it again.
    ///
    /// # Errors
    /// [`StoreError::Io`] if its manifest cannot be removed.
    pub fn discard_shard(&self, cell: &CellId, shard: usize) -> Result<(), StoreError> {
        remove_object(&self.manifest_path(cell, shard))
    }

    pub(crate) fn manifest_as_written(
        &self,
        cell: &CellId,
        shard: usize,
    ) -> Result<Option<ShardManifest>, StoreError> {
        let path = self.manifest_path(cell, shard);
        if !path.is_file() {
            return Ok(None);
        }
        let value = read_json(&path)?;
        let manifest = ShardManifest::deserialize(&value)
            .map_err(|e| StoreError::Metadata { path: path.clone(), reason: e.to_string() })?;
        if manifest.schema != MANIFEST_SCHEMA {
            let reason = format!("schema {}, expected {MANIFEST_SCHEMA}", manifest.schema);
            return Err(StoreError::Metadata { path, reason });
        }
        Ok(Some(manifest))
    }

    pub(crate) fn cell_dir(&self, cell: &CellId) -> PathBuf {
        self.root.join(cell.to_string())
    }

    pub(crate) fn manifest_path(&self, cell: &CellId, shard: usize) -> PathBuf {
        self.cell_dir(cell).join(format!("manifest/t{shard:03}.json"))
    }

    pub(crate) fn meta(&self, cell: &CellId) -> Result<CellMeta, StoreError> {
        self.meta_if_any(cell)?
            .ok_or_else(|| StoreError::NoCell { path: self.root.clone(), cell: cell.clone() })
    }

    fn meta_if_any(&self, cell: &CellId) -> Result<Option<CellMeta>, StoreError> {
        let place = self.cell_dir(cell).join("zarr.json");
        if !place.is_file() {
            return Ok(None);
        }
        let group = read_json(&place)?;
        CellMeta::deserialize(&group["attributes"][OWN])
            .map(Some)
            .map_err(|e| StoreError::Metadata { path: place, reason: e.to_string() })
    }
}

fn check_spec(cell: &CellId, spec: &CellSpec) -> Result<(), StoreError> {
    let shape = |what, expected: &str, found: String| StoreError::Shape {
        cell: cell.clone(),
        shard: 0,
        what,
        expected: expected.into(),
        found,
    };
    let side = 1..=surco_core::CELL_PX;
    if !side.contains(&spec.rows) || !side.contains(&spec.cols) {
        let found = format!("{} × {}", spec.rows, spec.cols);
        return Err(shape("extent", "1 to 1024 pixels a side", found));
    }
    if spec.bands.is_empty() {
        return Err(shape("bands", "at least one", "none".into()));
    }
    let plain = !cell.tile.is_empty() && cell.tile.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain {
        return Err(shape("name of the tile", "letters and digits", cell.tile.clone()));
    }
    Ok(())
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
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<fs::DirEntry>, StoreError> {
    fs::read_dir(dir).and_then(Iterator::collect).map_err(|e| StoreError::io("list", dir, e))
}

fn read_json(place: &Path) -> Result<Value, StoreError> {
    let bytes = fs::read(place).map_err(|e| StoreError::io("read", place, e))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| StoreError::Metadata { path: place.into(), reason: e.to_string() })
}
