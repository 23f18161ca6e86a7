//! From a catalog to the store: plan, fetch, verify, harmonise, write.
//!
//! [`plan()`] asks STAC APIs, files of items and `GeoParquet` indexes, takes them together, and lists cells, scenes and shards; [`run()`] fetches every
//! needed block once, checks it, and writes shard after shard. A run that is stopped, killed or cut off
//! is resumed by the same call; what could not be read is a hole, listed in the manifest and the
//! summary.
//!
//! | module | does |
//! |---|---|
//! | `catalog`, `stac`, `href`, `signing`, `scene`, `pool` | from the items of catalogs to scenes |
//! | `dedup`, `listed` | from scenes to acquisitions, whoever lists them |
//! | `plan`, `geometry`, `owner` | from scenes to cells, each pixel in one tile |
//! | `onto`, `mgrs`, `warped` | sensors on grids of their own: onto which cells, and their pixels |
//! | `fetch` | byte ranges, retries, busy hosts, tokens |
//! | `opened`, `fetching` | headers that shards share |
//! | `prepare`, `mask`, `witness`, `offset` | which pixels are wanted, and whether they carry an offset |
//! | `blocks`, `piece`, `parked` | from blocks to the planes of a shard |
//! | `shard`, `run` | one shard, all shards |
//! | [`report`] | what a store holds and what each run did |
//!
//! Absent on purpose: choosing splits, resampling Sentinel-2 other than doubling its 20 m pixels.

mod blocks;
mod catalog;
mod dedup;
mod error;
mod fetch;
mod fetching;
mod geometry;
mod href;
mod listed;
mod mask;
mod mgrs;
mod offset;
mod onto;
mod opened;
mod owner;
mod parked;
mod piece;
mod plan;
mod pool;
mod prepare;
pub mod report;
mod request;
mod run;
mod scene;
mod shard;
mod signing;
mod stac;
mod warped;
mod witness;

pub use error::{CollectError, GridClash};
pub use listed::{ListedScene, OtherSource};
pub use onto::{Onto, OntoCell};
pub use plan::{Plan, PlanFigures, plan, plan_items, plan_with};
pub use request::{Area, CollectRequest, Places};
pub use run::{CollectSummary, ListedHole, Patience, RunOptions, Verdicts, run};
