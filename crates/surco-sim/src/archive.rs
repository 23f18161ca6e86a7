//! The valley as an archive on disk: scenes, items and the truth.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use surco_core::{Georef, Legend, Progress, S2_BANDS};
use surco_raster::cog::{CogOptions, Overviews, Sample, write_cog};

use crate::config::{SimError, ValleyConfig};
use crate::landuse::legend;
use crate::orbit::Pass;
use crate::scene::Scene;
use crate::stac::{AssetFile, item, sorted};
use crate::truth::write_truth;
use crate::valley::{ClassArea, Valley};

/// What [`write_archive`] wrote.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The STAC item collection; hrefs in it are relative to its folder.
    pub items: PathBuf,
    /// Folder of the scenes, one folder an item.
    pub scenes_dir: PathBuf,
    /// Folder of the truth: `classes.tif`, `parcels.tif`, `legend.json`, `fields.geojson`, `yield.csv`,
    /// `areas.json`.
    pub truth_dir: PathBuf,
    /// Number of items, second processings among them.
    pub scenes: usize,
    /// Bytes of all assets.
    pub bytes: u64,
    /// The classes of the truth.
    pub legend: Legend,
    /// The true area of every class.
    pub areas: Vec<ClassArea>,
}

/// Simulates a valley and writes it as an archive.
///
/// | path | holds |
/// |---|---|
/// | `scenes/ITEM/B02.tif` … `B12.tif`, `SCL.tif` | one COG a band, at 10 or 20 m, as delivered |
/// | `items.json` | STAC item collection as Earth Search v1 writes `sentinel-2-c1-l2a`; written last |
/// | `valley.json` | the config |
/// | `truth/` | what only a simulation knows |
///
/// The same config gives the same bytes, whatever the number of threads.
///
/// # Errors
/// [`SimError::Config`] for impossible values, [`SimError::Write`] and [`SimError::Raster`] if a file
/// cannot be written, [`SimError::Stopped`] if the user asked to stop.
pub fn write_archive(
    config: &ValleyConfig,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<Archive, SimError> {
    config.check()?;
    progress.report("land", 0, 1, "laying out the valley");
    let valley = Valley::new(config)?;
    progress.report("land", 1, 1, "");
    let (scenes_dir, truth_dir) = (out_dir.join("scenes"), out_dir.join("truth"));
    for folder in [&scenes_dir, &truth_dir] {
        create_dir(folder)?;
    }
    let text = format!("{:#}\n", sorted(json!(config)));
    write_file(&out_dir.join("valley.json"), text.as_bytes())?;
    write_truth(&valley, &truth_dir)?;
    let total = valley.passes().len();
    let done = AtomicUsize::new(0);
    let written: Vec<(Value, u64)> = valley
        .passes()
        .par_iter()
        .map(|pass| {
            if progress.stopped() {
                return Err(SimError::Stopped { done: done.load(Ordering::Relaxed), total });
            }
            let scene = valley.shoot(pass);
            let files = write_scene(config, pass, &scene, &scenes_dir)?;
            let item = item(config, pass, &scene, &files)?;
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.report("scenes", count as u64, total as u64, &pass.item_id);
            Ok((item, files.iter().map(|f| f.bytes).sum()))
        })
        .collect::<Result<_, SimError>>()?;
    let bytes = written.iter().map(|w| w.1).sum();
    let features: Vec<String> = written.into_iter().map(|w| sorted(w.0).to_string()).collect();
    let items = out_dir.join("items.json");
    let text = format!(
        "{{\"type\": \"FeatureCollection\", \"features\": [\n{}\n]}}\n",
        features.join(",\n")
    );
    write_file(&items, text.as_bytes())?;
    Ok(Archive {
        items,
        scenes_dir,
        truth_dir,
        scenes: total,
        bytes,
        legend: legend(),
        areas: valley.areas(),
    })
}

fn write_scene(
    config: &ValleyConfig,
    pass: &Pass,
    scene: &Scene,
    scenes_dir: &Path,
) -> Result<Vec<AssetFile>, SimError> {
    let folder = scenes_dir.join(&pass.item_id);
    create_dir(&folder)?;
    let options = CogOptions { nodata: Some(0.0), ..CogOptions::default() };
    let grid = |gsd_m: u32| Georef { px_m: f64::from(gsd_m), ..config.georef() };
    let mut files = Vec::with_capacity(S2_BANDS.len() + 1);
    for (band, counts) in S2_BANDS.iter().zip(&scene.bands) {
        let path = folder.join(format!("{}.tif", band.name));
        files.push(write_asset(&path, counts, grid(band.gsd_m), &options)?);
    }
    let options = CogOptions { overviews: Overviews::Mode, ..options };
    files.push(write_asset(&folder.join("SCL.tif"), &scene.scl, grid(20), &options)?);
    Ok(files)
}

fn write_asset<T: Sample>(
    path: &Path,
    pixels: &Array2<T>,
    georef: Georef,
    options: &CogOptions,
) -> Result<AssetFile, SimError> {
    write_cog(path, pixels.view().insert_axis(Axis(0)), georef, options)?;
    let bytes = std::fs::read(path).map_err(|source| write_error(path, source))?;
    let digest = Sha256::digest(&bytes);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = digest.iter().map(|b| format!("{b:02x}")).collect();
    Ok(AssetFile { name, bytes: bytes.len() as u64, sha256 })
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SimError> {
    std::fs::write(path, bytes).map_err(|source| write_error(path, source))
}

fn create_dir(path: &Path) -> Result<(), SimError> {
    std::fs::create_dir_all(path).map_err(|source| write_error(path, source))
}

fn write_error(path: &Path, source: std::io::Error) -> SimError {
    SimError::Write { path: path.into(), source }
}
