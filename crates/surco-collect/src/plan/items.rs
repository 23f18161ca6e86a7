//! A plan of items that are at hand.

use serde_json::Value;
use surco_core::Progress;

use super::{Plan, build};
use crate::href::{Base, Place};
use crate::pool::Pool;
use crate::scene::{Reading, fault};
use crate::{CollectError, CollectRequest};

/// The plan of STAC items that the caller has already, whatever catalogs the request names.
///
/// Items are taken one after the other, so that only what a plan keeps of them is held. Relative hrefs
/// are taken from the working folder.
///
/// # Errors
/// As [`super::plan`], but for what only a service can do wrong.
pub fn plan_items(
    request: &CollectRequest,
    items: impl IntoIterator<Item = Value>,
    progress: &dyn Progress,
) -> Result<Plan, CollectError> {
    request.check()?;
    let bands = request.band_indices()?;
    let base = Base::of(&Place::File("items.json".into()));
    let pool = Pool::default();
    let reading = Reading {
        sensor: &request.sensor,
        bands: &bands,
        base: &base,
        catalog: "local",
        rank: 0,
        collections: &[],
        pool: &pool,
    };
    let mut scenes = Vec::new();
    for value in items {
        let id = value["id"].as_str().unwrap_or("?").to_string();
        let item = serde_json::from_value(value)
            .map_err(|e| fault(&id, "fields", e.to_string(), "give a STAC item"))?;
        scenes.push(reading.scene(item)?);
    }
    build(request, bands, scenes, progress)
}
