//! Items from a STAC API, page by page, or from a file.

use std::collections::BTreeSet;
use std::fs;

use reqwest::{Client, StatusCode, Url};
use serde_json::{Map, Value, json};
use surco_core::Progress;

use crate::fetch::{FetchError, Hub};
use crate::href::{Base, Href};
use crate::scene::{Reading, Scene, fault};
use crate::stac::{Item, Link};
use crate::{Area, CollectError, CollectRequest};

/// Items a page is asked to hold.
const PAGE_ITEMS: u32 = 200;

/// Every scene that the catalog has for a request; the filters are applied by the caller.
pub(crate) async fn scenes(
    request: &CollectRequest,
    bands: &[usize],
    hub: &Hub,
    progress: &dyn Progress,
) -> Result<Vec<Scene>, CollectError> {
    let mut scenes = Vec::new();
    for catalog in &request.catalogs {
        scenes.extend(scenes_of(catalog, request, bands, hub, progress).await?);
    }
    Ok(scenes)
}

async fn scenes_of(
    catalog: &str,
    request: &CollectRequest,
    bands: &[usize],
    hub: &Hub,
    progress: &dyn Progress,
) -> Result<Vec<Scene>, CollectError> {
    let place = Href::of(catalog)
        .map_err(|reason| CollectError::CatalogFile { path: catalog.into(), reason })?;
    let base = Base::of(&place);
    let catalog = name_of(&place);
    let reading = Reading { sensor: &request.sensor, bands, base: &base, catalog: &catalog };
    let mut scenes = Vec::new();
    let mut take = |page: &mut Value| {
        for value in items_of(page) {
            let item = parse_item(value)?;
            // Years outside the season may be recorded otherwise: they need not be readable.
            if may_lie_in(&item, request) {
                scenes.push(reading.scene(item)?);
            }
        }
        progress.report("catalog", scenes.len() as u64, 0, "");
        if progress.stopped() { Err(CollectError::Stopped) } else { Ok(()) }
    };
    match &place {
        Href::File(path) => {
            let bad = |reason: String| CollectError::CatalogFile { path: path.clone(), reason };
            let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
            let mut page: Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
            if !is_items(&page) {
                return Err(bad("neither a FeatureCollection nor an item".into()));
            }
            take(&mut page)?;
        }
        Href::Http(url) if url.path().ends_with(".json") || url.path().ends_with(".geojson") => {
            take(&mut get(hub, url, None).await?)?;
        }
        Href::Http(root) => search(root, request, hub, &mut take).await?,
    }
    Ok(scenes)
}

/// Pages through `/search`.
async fn search(
    root: &Url,
    request: &CollectRequest,
    hub: &Hub,
    take: &mut impl FnMut(&mut Value) -> Result<(), CollectError>,
) -> Result<(), CollectError> {
    let mut query = Map::new();
    query.insert("limit".into(), json!(PAGE_ITEMS));
    let collections = collections(root, request, hub).await?;
    if !collections.is_empty() {
        query.insert("collections".into(), json!(collections));
    }
    if let Some(Area::Bbox(bbox)) = request.area {
        query.insert("bbox".into(), json!(bbox));
    }
    if let [season] = request.seasons[..]
        && !request.sensor.is_static()
    {
        let span = format!("{}T00:00:00Z/{}T00:00:00Z", season.from, season.to);
        query.insert("datetime".into(), json!(span));
    }
    let url = below(root, "search");
    let mut step = Step { url: url.clone(), body: Some(Value::Object(query.clone())) };
    let mut page = match ask(hub, &step).await? {
        (status, _) if matches!(status.as_u16(), 404 | 405 | 501) => {
            step = Step { url: as_query(&url, &query), body: None };
            page_of(&step.url, ask(hub, &step).await?)?
        }
        answer => page_of(&step.url, answer)?,
    };
    let mut seen = BTreeSet::new();
    loop {
        take(&mut page)?;
        let next = page["links"].as_array().into_iter().flatten().find(|l| l["rel"] == "next");
        let next: Option<Link> = next.and_then(|link| serde_json::from_value(link.clone()).ok());
        let Some(link) = next else { return Ok(()) };
        let last = step.url.clone();
        step = step.follow(&link).ok_or_else(|| CollectError::CatalogAnswer {
            url: last.to_string(),
            reason: format!("its `next` link leads to `{}`", link.href),
        })?;
        if !seen.insert(format!("{} {:?}", step.url, step.body)) {
            let reason = "its `next` links lead in a circle".into();
            return Err(CollectError::CatalogAnswer { url: last.to_string(), reason });
        }
        page = page_of(&step.url, ask(hub, &step).await?)?;
    }
}

/// One request of a search.
struct Step {
    url: Url,
    body: Option<Value>,
}

impl Step {
    /// The next page: a URL, or the body to post, on its own or merged into the last one.
    fn follow(&self, link: &Link) -> Option<Self> {
        let url = self.url.join(&link.href).ok()?;
        let post = link.method.as_deref().is_some_and(|m| m.eq_ignore_ascii_case("post"));
        if !post {
            return Some(Self { url, body: None });
        }
        let body = match (link.merge, &self.body, &link.body) {
            (true, Some(Value::Object(old)), Some(Value::Object(new))) => {
                let mut merged = old.clone();
                merged.extend(new.clone());
                Some(Value::Object(merged))
            }
            (_, old, None) => old.clone(),
            (_, _, Some(new)) => Some(new.clone()),
        };
        Some(Self { url, body })
    }
}

/// The collections to search: those asked for, or the best of those there are.
async fn collections(
    root: &Url,
    request: &CollectRequest,
    hub: &Hub,
) -> Result<Vec<String>, CollectError> {
    if !request.collections.is_empty() {
        return Ok(request.collections.clone());
    }
    let step = Step { url: below(root, "collections"), body: None };
    let (status, body) = ask(hub, &step).await?;
    if !status.is_success() {
        return Ok(Vec::new()); // A search without collections is what such a service understands.
    }
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let ids: Vec<&str> = value["collections"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["id"].as_str())
        .collect();
    let preferred = &request.sensor.collections;
    if let Some(best) = preferred.iter().find(|p| ids.contains(&p.as_str())) {
        return Ok(vec![best.clone()]);
    }
    match ids[..] {
        [] => Ok(Vec::new()),
        [one] => Ok(vec![one.to_string()]),
        _ => Err(CollectError::Request {
            what: "collection not named",
            found: ids.join(", "),
            expected: "one of these, or a catalog with a collection of the sensor",
        }),
    }
}

async fn ask(hub: &Hub, step: &Step) -> Result<(StatusCode, Vec<u8>), CollectError> {
    let request = |client: &Client| match &step.body {
        Some(body) => client.post(step.url.clone()).json(body),
        None => client.get(step.url.clone()),
    };
    hub.text(request).await.map_err(|error| network(&Href::Http(step.url.clone()), &error))
}

async fn get(hub: &Hub, url: &Url, body: Option<Value>) -> Result<Value, CollectError> {
    let step = Step { url: url.clone(), body };
    page_of(url, ask(hub, &step).await?)
}

fn page_of(url: &Url, (status, body): (StatusCode, Vec<u8>)) -> Result<Value, CollectError> {
    let bad = |reason: String| CollectError::CatalogAnswer { url: url.to_string(), reason };
    if !status.is_success() {
        let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        return Err(bad(format!("HTTP {status} {text}")));
    }
    let page: Value = serde_json::from_slice(&body).map_err(|e| bad(e.to_string()))?;
    if is_items(&page) { Ok(page) } else { Err(bad("no FeatureCollection".into())) }
}

/// A fetch error as the whole collection's.
pub(crate) fn network(place: &Href, error: &FetchError) -> CollectError {
    let url = place.to_string();
    match error {
        FetchError::Changed => CollectError::Changed { url },
        FetchError::Gone(reason) => {
            CollectError::Network { url, attempts: 1, reason: reason.clone() }
        }
        FetchError::Down { attempts, reason } => {
            CollectError::Network { url, attempts: *attempts, reason: reason.clone() }
        }
    }
}

fn is_items(page: &Value) -> bool {
    page["features"].is_array() || page["type"] == "Feature" || page.is_array()
}

/// Takes the items out of a page, a list or a single item.
fn items_of(page: &mut Value) -> Vec<Value> {
    if let Some(features) = page.get_mut("features") {
        return features.as_array_mut().map(std::mem::take).unwrap_or_default();
    }
    match page.take() {
        Value::Array(items) => items,
        item => vec![item],
    }
}

fn parse_item(value: Value) -> Result<Item, CollectError> {
    let id = value["id"].as_str().unwrap_or("without id").to_string();
    serde_json::from_value(value).map_err(|e| {
        fault(&id, "its JSON", e.to_string(), "correct the item or leave it out of the catalog")
    })
}

fn may_lie_in(item: &Item, request: &CollectRequest) -> bool {
    if !request.sensor.reads_platform(item.properties.platform.as_deref()) {
        return false;
    }
    let time = item.properties.datetime.as_ref().or(item.properties.start_datetime.as_ref());
    let day = time.and_then(|t| t.get(..10)).and_then(|d| d.parse().ok());
    day.is_none_or(|day| request.wants(day))
}

/// `/search` below a root with or without a slash at its end.
fn below(root: &Url, name: &str) -> Url {
    let mut url = root.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(name);
    }
    url
}

fn as_query(url: &Url, query: &Map<String, Value>) -> Url {
    let mut url = url.clone();
    for (key, value) in query {
        let text = match value {
            Value::Array(list) => {
                let words =
                    list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into));
                words.collect::<Vec<String>>().join(",")
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        url.query_pairs_mut().append_pair(key, &text);
    }
    url
}

/// The host of a catalog, or `local`: the store must not depend on a loopback port or a path.
fn name_of(place: &Href) -> String {
    let host = match place {
        Href::File(_) => None,
        Href::Http(url) => url.host_str(),
    };
    match host {
        Some(host) if host != "localhost" && !host.starts_with("127.") && host != "[::1]" => {
            host.into()
        }
        _ => "local".into(),
    }
}
