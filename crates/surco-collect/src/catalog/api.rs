//! A STAC API: its collections, and a search page by page.

use std::collections::BTreeSet;

use jiff::civil::Date;
use reqwest::{StatusCode, Url};
use serde_json::{Map, Value, json};

use super::items::{is_items, items_of};
use super::network;
use super::sink::Sink;
use crate::fetch::Hub;
use crate::href::{Base, Place};
use crate::stac::Link;
use crate::{CollectError, CollectRequest};

/// Items a page is asked to hold: 4 MB, where a service may send 6.
const PAGE_ITEMS: u32 = 200;
/// Pages of collections that are read; no service has so many.
const COLLECTION_PAGES: usize = 20;

/// Pages through `/search`: once for each span of dates and each box of the area.
pub(super) async fn search(
    place: &Place,
    hub: &Hub,
    sink: &mut Sink<'_>,
) -> Result<(), CollectError> {
    let Place::Http(root) = place else { return Ok(()) };
    let request = sink.wanted.request;
    let base = Base::of(place);
    let mut query = Map::new();
    query.insert("limit".into(), json!(PAGE_ITEMS));
    let collections = collections(root, sink, hub).await?;
    if !collections.is_empty() {
        query.insert("collections".into(), json!(collections));
        sink.collections = collections;
    }
    if let Some(since) = request.created_since
        && let Some((key, value)) = only_newer(root, &query, since, hub).await?
    {
        query.insert(key.into(), value);
    }
    let spans: Vec<Option<String>> = match spans(request) {
        none if none.is_empty() => vec![None],
        some => some.into_iter().map(Some).collect(),
    };
    let boxes = match &sink.wanted.boxes[..] {
        [] => vec![None],
        boxes => boxes.iter().copied().map(Some).collect(),
    };
    for span in &spans {
        for bbox in &boxes {
            let mut query = query.clone();
            if let Some(span) = span {
                query.insert("datetime".into(), json!(span));
            }
            if let Some(bbox) = bbox {
                query.insert("bbox".into(), json!(bbox));
            }
            pages(root, &query, &base, hub, sink).await?;
        }
    }
    Ok(())
}

async fn pages(
    root: &Url,
    query: &Map<String, Value>,
    base: &Base,
    hub: &Hub,
    sink: &mut Sink<'_>,
) -> Result<(), CollectError> {
    let (mut step, mut page) = first_page(root, query, hub).await?;
    let mut seen = BTreeSet::new();
    loop {
        for item in items_of(&mut page) {
            sink.take_json(item, base)?;
        }
        sink.report()?;
        let Some(link) = next_link(&page) else { return Ok(()) };
        let last = step.url.clone();
        step = step
            .follow(&link)
            .ok_or_else(|| answer(&last, format!("its `next` link leads to `{}`", link.href)))?;
        if !seen.insert(format!("{} {:?}", step.url, step.body)) {
            return Err(answer(&last, "its `next` links lead in a circle"));
        }
        page = page_of(&step.url, ask(hub, &step).await?)?;
    }
}

/// The first page, by POST, or by GET from a service that knows no POST.
async fn first_page(
    root: &Url,
    query: &Map<String, Value>,
    hub: &Hub,
) -> Result<(Step, Value), CollectError> {
    let url = below(root, "search");
    let step = Step { url: url.clone(), body: Some(Value::Object(query.clone())) };
    match ask(hub, &step).await? {
        (status, _) if matches!(status.as_u16(), 404 | 405 | 501) => {
            let step = Step { url: as_query(&url, query), body: None };
            let page = page_of(&step.url, ask(hub, &step).await?)?;
            Ok((step, page))
        }
        answer => {
            let page = page_of(&step.url, answer)?;
            Ok((step, page))
        }
    }
}

fn next_link(page: &Value) -> Option<Link> {
    let mut links = page["links"].as_array().into_iter().flatten();
    let next = links.find(|link| link["rel"] == "next")?;
    serde_json::from_value(next.clone()).ok()
}

/// Spans of dates that together hold the seasons; none if dates mean nothing.
fn spans(request: &CollectRequest) -> Vec<String> {
    if request.sensor.is_static() {
        return Vec::new();
    }
    let mut seasons: Vec<(Date, Date)> = request.seasons.iter().map(|s| (s.from, s.to)).collect();
    seasons.sort_unstable();
    let mut spans: Vec<(Date, Date)> = Vec::new();
    for (from, to) in seasons {
        match spans.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => spans.push((from, to)),
        }
    }
    spans.iter().map(|(from, to)| format!("{from}T00:00:00Z/{to}T00:00:00Z")).collect()
}

/// What keeps older items out of a search, if the service can and its items say when they were listed.
async fn only_newer(
    root: &Url,
    query: &Map<String, Value>,
    since: jiff::Timestamp,
    hub: &Hub,
) -> Result<Option<(&'static str, Value)>, CollectError> {
    let step = Step { url: root.clone(), body: None };
    let (status, landing) = ask(hub, &step).await?;
    if !status.is_success() {
        return Ok(None);
    }
    let conforms = |to: &str| {
        let classes = landing["conformsTo"].as_array();
        let mut classes = classes.into_iter().flatten().filter_map(Value::as_str);
        classes.any(|class| class.ends_with(to))
    };
    let (by_query, by_filter) =
        (conforms("item-search#query"), conforms("item-search#filter") && conforms("#basic-cql2"));
    if !by_query && !by_filter {
        return Ok(None);
    }
    // Items that do not say would be lost in silence: one of them tells.
    let mut probe = query.clone();
    probe.insert("limit".into(), json!(1));
    let (_, page) = first_page(root, &probe, hub).await?;
    let says = |key: &&str| page["features"][0]["properties"][*key].is_string();
    let Some(property) = ["updated", "created"].into_iter().find(says) else { return Ok(None) };
    let since = since.to_string();
    Ok(Some(if by_query {
        ("query", json!({ property: { "gte": since } }))
    } else {
        ("filter", json!({ "op": ">=", "args": [{ "property": property }, since] }))
    }))
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

/// The collections to search: those asked for, or all of the preferred ones that there are.
async fn collections(root: &Url, sink: &Sink<'_>, hub: &Hub) -> Result<Vec<String>, CollectError> {
    let request = sink.wanted.request;
    if !request.collections.is_empty() {
        return Ok(request.collections.clone());
    }
    let mut step = Step { url: below(root, "collections"), body: None };
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..COLLECTION_PAGES {
        let (status, page) = ask(hub, &step).await?;
        if !status.is_success() {
            break; // A search without collections is what such a service understands.
        }
        let listed = page["collections"].as_array().into_iter().flatten();
        ids.extend(listed.filter_map(|c| c["id"].as_str()).map(str::to_string));
        match next_link(&page).and_then(|link| step.follow(&link)) {
            Some(next) if next.url != step.url => step = next,
            _ => break,
        }
    }
    let preferred = sink.wanted.collections.iter().filter(|p| ids.iter().any(|id| id == *p));
    let preferred: Vec<String> = preferred.map(ToString::to_string).collect();
    if !preferred.is_empty() {
        return Ok(preferred);
    }
    match ids.len() {
        0 | 1 => Ok(ids),
        _ => Err(CollectError::Request {
            what: "collection not named",
            found: ids.join(", "),
            expected: "one of these, or a catalog with a collection of the sensor",
        }),
    }
}

async fn ask(hub: &Hub, step: &Step) -> Result<(StatusCode, Value), CollectError> {
    let place = Place::Http(step.url.clone());
    hub.json(&step.url, step.body.as_ref()).await.map_err(|e| network(&place.href(), &e))
}

/// The items that a URL gives.
pub(super) async fn get_items(hub: &Hub, url: &Url) -> Result<Value, CollectError> {
    let step = Step { url: url.clone(), body: None };
    page_of(url, ask(hub, &step).await?)
}

fn page_of(url: &Url, (status, page): (StatusCode, Value)) -> Result<Value, CollectError> {
    if !status.is_success() {
        // The words of the service itself; an answer that is not JSON may repeat a signature.
        let said = ["description", "detail", "message"].iter().find_map(|key| page[*key].as_str());
        let said: String = said.unwrap_or_default().chars().take(200).collect();
        return Err(answer(url, format!("HTTP {status} {said}").trim()));
    }
    if is_items(&page) { Ok(page) } else { Err(answer(url, "no FeatureCollection")) }
}

/// An answer that is no page of items; without the query, which may hold a token.
fn answer(url: &Url, reason: impl Into<String>) -> CollectError {
    let url = Place::Http(url.clone()).to_string();
    CollectError::CatalogAnswer { url, reason: reason.into() }
}

/// A part below a root with or without a slash at its end.
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

#[cfg(test)]
mod tests {
    use surco_core::{Season, Sensor};

    use super::*;

    #[test]
    fn what_has_no_dates_is_searched_whatever_the_season() {
        let seasons = vec![Season::agricultural(2023).unwrap()];
        let mut request = CollectRequest { seasons, ..CollectRequest::all_of("") };
        assert_eq!(spans(&request), ["2023-05-01T00:00:00Z/2024-05-01T00:00:00Z"]);
        request.sensor = Sensor::builtin("cop-dem-glo-30").unwrap();
        assert_eq!(spans(&request), [""; 0]);
    }
}
