//! The cube on disk or in a bucket: sharded Zarr v3, one group a cell, and the done-list that makes a
//! stopped run resumable on any machine.
//!
//! ```text
//! STORE/zarr.json                            root group, `surco_store_version`
//! STORE/31UDS/zarr.json                      a group, nothing in it but cells
//! STORE/31UDS/r03c09/zarr.json               the cell: grid, bands, scenes; consolidated metadata
//! STORE/31UDS/r03c09/reflectance/c/N/0/0/0   uint16 [time, band, y, x], 12 dates an object
//! STORE/31UDS/r03c09/scl/c/N/0/0             uint8 [time, y, x], if the sensor has such a layer
//! STORE/31UDS/r03c09/{time,band,y,x,spatial_ref}
//! STORE/31UDS/r03c09/manifest/tNNN.json      what of shard N is done, from which scenes, with which holes
//! STORE/31UDS/r03c09/manifest/item.json      the finished cell as a STAC item
//! STORE/collection.json                      all items as a STAC collection
//! ```
//!
//! A store holds one sensor; what its two arrays are called and mean, the cell's plan says
//! ([`CellSpec::values`], [`CellSpec::quality`]).
//!
//! A date is done if its manifest says so; pixels that no manifest names are never read. Every object
//! is written beside its place, synced and renamed, or uploaded and shown once complete, so no reader
//! meets half an object. The same scenes give the same bytes, whatever the order, the threads, the kills
//! between or the place.
//!
//! The shard codec is our own (`shard.rs`, `blosc.rs`): it streams a shard in a fixed order and never
//! holds the encoded shard. The tests read the result with `zarrs`, which shares no line with it.

mod blosc;
mod buffer;
mod destination;
mod error;
mod manifest;
mod metadata;
mod pixel;
mod place;
mod planned;
mod reader;
mod shard;
mod spec;
mod stac;
mod store;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use buffer::{Plane, ShardBuffer, ShardPlanes};
pub use destination::Destination;
pub use error::StoreError;
pub use manifest::{DateRecord, Hole, ObjectRecord, OffsetRecord, SceneRecord, ShardManifest};
pub use reader::{CellPixels, CellReader};
pub use shard::{INNER_PX, SHARD_DATES};
pub use spec::{ArrayText, CellSpec, SceneSlot};
pub use stac::CollectionText;
pub use store::{STORE_VERSION, Store};
pub use verify::{Damage, VerifyReport};
pub use write::{ShardPixels, StagedShard, Written};

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
