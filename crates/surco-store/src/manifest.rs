//! The done-list: one small object a shard, written after the shard's pixels.

use serde::{Deserialize, Serialize};
use surco_core::{OffsetVerdict, PixelEvidence};

/// Version of the manifest's own form.
pub(crate) const MANIFEST_SCHEMA: u32 = 1;

/// What of one shard is done, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardManifest {
    /// Version of this form.
    pub schema: u32,
    /// The objects that hold the pixels; an array whose shard is all zero has none.
    pub objects: Vec<ObjectRecord>,
    /// The dates that are done, by their place in the shard.
    pub dates: Vec<DateRecord>,
}

/// One written object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Key below the cell, for example `scl/c/0/0/0`.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// One date of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DateRecord {
    /// Place in the shard, from 0.
    pub slot: usize,
    /// The scene it shows.
    pub scene: SceneRecord,
}

/// One scene in one cell: where it came from, what was decided about it, what is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneRecord {
    /// Item id in its catalog.
    pub id: String,
    /// Hash of everything that decides its pixels: a date is done if this equals the plan's.
    pub inputs: String,
    /// Sensing time as the catalog writes it (RFC 3339).
    pub datetime: String,
    /// Satellite, for example `sentinel-2b`.
    pub platform: Option<String>,
    /// Processing baseline, for example `05.10`.
    pub baseline: Option<String>,
    /// Host of the catalog, or `local`.
    pub catalog: String,
    /// Collection in the catalog.
    pub collection: Option<String>,
    /// What was decided about the +1000 offset; absent if no pixel of the scene could be read.
    pub offset: Option<OffsetRecord>,
    /// What could not be read.
    pub holes: Vec<Hole>,
    /// Files that were read from another catalog, because this one could not give all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<String>,
}

/// How the +1000 offset of a scene was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffsetRecord {
    /// The rule that gave the expectation, for example `sentinel-2-c1-l2a`.
    pub rule: String,
    /// What the catalog's fields lead to expect.
    pub expected: OffsetVerdict,
    /// Whether the catalog's fields contradict each other.
    pub fields_disagree: bool,
    /// What the pixels of this cell say.
    pub evidence: PixelEvidence,
    /// Dark clear pixels that were asked.
    pub witnesses: u64,
    /// What was done; absent if expectation and evidence contradict and the scene became a hole.
    pub verdict: Option<OffsetVerdict>,
}

/// Pixels that should be there and are not; they hold 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hole {
    /// Asset that could not be read; absent if the scene as a whole is left out.
    pub asset: Option<String>,
    /// Bands that are missing.
    pub bands: Vec<String>,
    /// Row and column of the block in the asset; absent if all of the asset is missing.
    pub block: Option<(usize, usize)>,
    /// Why, for example `truncated` or `offset_contradiction`.
    pub reason: String,
    /// 10 m pixels of the cell that are missing, over all the bands.
    pub pixels: u64,
}
