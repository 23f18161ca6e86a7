//! The scenes of a plan, for people and tests.

use serde::Serialize;
use surco_core::OffsetVerdict;

use crate::offset::expect;
use crate::plan::Plan;

/// A scene that is planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedScene<'a> {
    /// Item id.
    pub id: &'a str,
    /// Tile, for example `19HBA`.
    pub tile: &'a str,
    /// As the item says.
    pub datetime: &'a str,
    /// Processing baseline, for example `05.10`.
    pub baseline: Option<&'a str>,
    /// Host of its catalog, or `local`.
    pub catalog: &'a str,
    /// Its collection.
    pub collection: Option<&'a str>,
    /// What its fields lead to expect of the +1000 of baseline 04.00.
    pub expected_offset: OffsetVerdict,
    /// Whether its fields contradict each other about that.
    pub fields_disagree: bool,
    /// The same acquisition elsewhere, the preferred first.
    pub others: Vec<OtherSource<'a>>,
}

/// Another source of the same acquisition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherSource<'a> {
    /// Item id.
    pub id: &'a str,
    /// Host of its catalog, or `local`.
    pub catalog: &'a str,
    /// Its collection.
    pub collection: Option<&'a str>,
}

impl Plan {
    /// The planned scenes, by tile and time.
    pub fn scenes(&self) -> impl Iterator<Item = ListedScene<'_>> {
        self.scenes.iter().map(|scene| {
            let expectation = expect(scene);
            let others = scene.others.iter().map(|other| OtherSource {
                id: &other.id,
                catalog: &other.catalog,
                collection: other.collection.as_deref(),
            });
            ListedScene {
                id: &scene.id,
                tile: &scene.tile,
                datetime: &scene.datetime,
                baseline: scene.baseline.as_deref(),
                catalog: &scene.catalog,
                collection: scene.collection.as_deref(),
                expected_offset: expectation.expected,
                fields_disagree: expectation.fields_disagree,
                others: others.collect(),
            }
        })
    }
}
