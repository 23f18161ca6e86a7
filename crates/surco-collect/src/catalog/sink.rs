//! Where the items of all catalogs come together.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use surco_core::Progress;

use super::boxes::{Box4, boxes, meet};
use crate::href::Base;
use crate::pool::Pool;
use crate::scene::{Reading, Scene, fault};
use crate::stac::{Item, Properties};
use crate::{CollectError, CollectRequest};

/// Items whose fault is told in words; of more, only the number is.
const TOLD: usize = 100;
/// Items between two reports.
const REPORT_EVERY: usize = 500;

/// What a request asks of an item, before it is looked at closely.
pub(crate) struct Wanted<'a> {
    pub(crate) request: &'a CollectRequest,
    /// Collections, the preferred one first.
    pub(crate) collections: Vec<&'a str>,
    /// Boxes that together hold the area; none = everywhere.
    pub(crate) boxes: Vec<Box4>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(request: &'a CollectRequest) -> Self {
        // Those of a sensor fill each other's gaps: of 2022, Sentinel-2's Collection 1 has a fifteenth of
        // what its neighbour has.
        let collections = match &request.collections[..] {
            [] => &request.sensor.collections,
            named => named,
        };
        let collections = collections.iter().map(String::as_str).collect();
        let boxes = request.search_area().map(|area| boxes(&area)).unwrap_or_default();
        Self { request, collections, boxes }
    }

    /// Whether an item may be wanted, from its fields alone; what a field does not say is no reason
    /// against it.
    fn takes(&self, item: &Item) -> bool {
        let p = &item.properties;
        let time = p.datetime.as_ref().or(p.start_datetime.as_ref());
        let day: Option<Date> = time.and_then(|t| t.get(..10)).and_then(|d| d.parse().ok());
        self.request.sensor.reads_platform(p.platform.as_deref())
            && day.is_none_or(|day| self.request.wants(day))
            && self.request.created_since.is_none_or(|since| is_newer(p, since))
    }

    /// Whether a box may hold something of the area.
    pub(crate) fn reaches(&self, bounds: Box4) -> bool {
        self.boxes.is_empty() || self.boxes.iter().any(|b| meet(*b, bounds))
    }
}

/// Whether an item was listed or changed since then; one that does not say may have been.
fn is_newer(p: &Properties, since: Timestamp) -> bool {
    let times = [&p.created, &p.updated].into_iter().flatten();
    let latest = times.filter_map(|t| t.parse::<Timestamp>().ok()).max();
    latest.is_none_or(|latest| latest >= since)
}

/// What the catalogs gave.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) scenes: Vec<Scene>,
    /// Faults of items that were left out.
    pub(crate) unreadable: Vec<String>,
    /// How many those were.
    pub(crate) left_out: u64,
}

/// Takes the items of one catalog.
pub(crate) struct Sink<'a> {
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) bands: &'a [usize],
    pub(crate) progress: &'a dyn Progress,
    name: &'a str,
    rank: usize,
    strict: bool,
    pool: Pool,
    /// Collections that are taken; empty = all. Services forget what they were asked for from the second
    /// page on, so their items are asked again.
    pub(crate) collections: Vec<String>,
    /// Items that are there: pages shift while they are read, and searches overlap.
    known: HashSet<String>,
    first_fault: Option<CollectError>,
    found: &'a mut Found,
    before: usize,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        wanted: &'a Wanted<'a>,
        bands: &'a [usize],
        (name, rank, strict): (&'a str, usize, bool),
        progress: &'a dyn Progress,
        found: &'a mut Found,
    ) -> Self {
        let before = found.scenes.len();
        Self {
            wanted,
            bands,
            progress,
            name,
            rank,
            strict,
            pool: Pool::default(),
            collections: wanted.request.collections.clone(),
            known: HashSet::new(),
            first_fault: None,
            found,
            before,
        }
    }

    /// Takes an item as JSON.
    pub(crate) fn take_json(&mut self, value: Value, base: &Base) -> Result<(), CollectError> {
        let id = value["id"].as_str().unwrap_or("without id").to_string();
        match serde_json::from_value(value) {
            Ok(item) => self.take(item, base),
            Err(e) => {
                let remedy = "correct the item or leave it out of the catalog";
                self.refuse(fault(&id, "its JSON", e.to_string(), remedy))
            }
        }
    }

    /// Takes an item; one that is not wanted need not be readable.
    pub(crate) fn take(&mut self, item: Item, base: &Base) -> Result<(), CollectError> {
        let asked = |c: &String| self.collections.is_empty() || self.collections.contains(c);
        if !item.collection.as_ref().is_none_or(asked) || !self.wanted.takes(&item) {
            return Ok(());
        }
        let name = format!("{}/{}", item.collection.as_deref().unwrap_or_default(), item.id);
        if !self.known.insert(name) {
            return Ok(());
        }
        let reading = Reading {
            sensor: &self.wanted.request.sensor,
            bands: self.bands,
            base,
            catalog: self.name,
            rank: self.rank,
            collections: &self.wanted.collections,
            pool: &self.pool,
        };
        match reading.scene(item) {
            Ok(scene) => self.found.scenes.push(scene),
            Err(error) => self.refuse(error)?,
        }
        if self.found.scenes.len().is_multiple_of(REPORT_EVERY) { self.report() } else { Ok(()) }
    }

    /// Says how far it is, and hears whether it should stop.
    pub(crate) fn report(&self) -> Result<(), CollectError> {
        self.progress.report("catalog", self.found.scenes.len() as u64, 0, self.name);
        if self.progress.stopped() { Err(CollectError::Stopped) } else { Ok(()) }
    }

    fn refuse(&mut self, error: CollectError) -> Result<(), CollectError> {
        if self.strict {
            return Err(error);
        }
        self.found.left_out += 1;
        if self.found.unreadable.len() < TOLD {
            self.found.unreadable.push(error.to_string());
        }
        self.first_fault.get_or_insert(error);
        Ok(())
    }

    /// A catalog of which no item can be read is no catalog.
    pub(super) fn finish(mut self) -> Result<(), CollectError> {
        self.report()?;
        match self.first_fault.take() {
            Some(error) if self.found.scenes.len() == self.before => Err(error),
            _ => Ok(()),
        }
    }
}
