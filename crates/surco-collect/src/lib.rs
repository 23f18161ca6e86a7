//! From a catalog to the store: plan, fetch, verify, harmonise, write.
//!
//! [`plan()`] asks a STAC API or a file of items and lists cells, scenes and shards; [`run()`] fetches every
//! needed block once, checks it, and writes shard after shard. A run that is stopped, killed or cut off
//! is resumed by the same call; what could not be read is a hole, listed in the manifest and the
//! summary.
//!
//! | module | does |
//! |---|---|
//! | `stac`, `catalog`, `href`, `scene`, `dedup` | from a catalog's items to scenes |
//! | `plan`, `geometry` | from scenes to cells |
//! | `onto`, `mgrs`, `warped` | sensors on grids of their own: onto which cells, and their pixels |
//! | `fetch`, `opened`, `fetching` | byte ranges, retries, headers that shards share |
//! | `blocks`, `planes`, `parked`, `witness`, `offset` | from blocks to the planes of a shard |
//! | `shard`, `run` | one shard, all shards |
//!
//! Absent on purpose: choosing splits, masking clouds (the store keeps the SCL), resampling
//! Sentinel-2 other than doubling its 20 m pixels.

mod blocks;
mod catalog;
mod dedup;
mod error;
mod fetch;
mod fetching;
mod geometry;
mod href;
mod mgrs;
mod offset;
mod onto;
mod opened;
mod parked;
mod plan;
mod planes;
mod request;
mod run;
mod scene;
mod shard;
mod stac;
mod warped;
mod witness;

pub use error::{CollectError, GridClash};
pub use onto::{Onto, OntoCell};
pub use plan::{Plan, PlanFigures, plan, plan_with};
pub use request::{Area, CollectRequest};
pub use run::{CollectSummary, ListedHole, Patience, RunOptions, Verdicts, run};
