//! Items in a JSON file, on disk or behind HTTP.

use std::fs;

use serde_json::Value;

use super::sink::Sink;
use super::{api, unreadable};
use crate::CollectError;
use crate::fetch::Hub;
use crate::href::{Base, Place};

pub(super) async fn read(
    place: &Place,
    hub: &Hub,
    sink: &mut Sink<'_>,
) -> Result<(), CollectError> {
    let base = Base::of(place);
    let mut page = match place {
        Place::File(path) => {
            let bytes = fs::read(path).map_err(|e| unreadable(path, e.to_string()))?;
            let page: Value =
                serde_json::from_slice(&bytes).map_err(|e| unreadable(path, e.to_string()))?;
            if !is_items(&page) {
                return Err(unreadable(path, "neither a FeatureCollection nor an item"));
            }
            page
        }
        Place::Http(url) => api::get_items(hub, url).await?,
    };
    for item in items_of(&mut page) {
        sink.take_json(item, &base)?;
    }
    Ok(())
}

pub(super) fn is_items(page: &Value) -> bool {
    page["features"].is_array() || page["type"] == "Feature" || page.is_array()
}

/// Takes the items out of a page, a list or a single item.
pub(super) fn items_of(page: &mut Value) -> Vec<Value> {
    if let Some(features) = page.get_mut("features") {
        return features.as_array_mut().map(std::mem::take).unwrap_or_default();
    }
    match page.take() {
        Value::Array(items) => items,
        item => vec![item],
    }
}
