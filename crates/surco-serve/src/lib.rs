//! A loopback archive: STAC API and range-readable COGs from a folder.
//!
//! For the demo, tests and benches: what [`serve_archive`] gives looks to `surco-collect` like a public
//! catalog, without a network.

mod archive;

pub use archive::{ArchiveServer, ServeError, serve_archive};
