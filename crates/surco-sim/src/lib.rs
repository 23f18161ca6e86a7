//! A simulated valley of Chile, from desert to Patagonia: real products whose truth is known.
//!
//! A demo must run offline, and only a simulation knows the true map, areas and yields. [`write_archive`]
//! writes Sentinel-2 scenes as Cloud Optimized GeoTIFF with the STAC items that Earth Search would give
//! for them, and the truth beside them; [`Valley`] is the same in memory.
//!
//! | module | gives |
//! |---|---|
//! | `relief`, `parcels`, `terrain` | hills, river, quarters, fields: what a point falls on |
//! | `landuse`, `sowing`, `patch` | classes, covers, who sows what, what sets one field apart |
//! | `landscape` | pixels: which patches share them, soil and growth within patches |
//! | `climate` | rain, clouds, calendar and crops from desert to Patagonia |
//! | `weather`, `phenology` | rain and the calendar of the southern hemisphere |
//! | `spectra`, `look` | what leaves, soils, water and roofs reflect; one patch on one date |
//! | `orbit`, `sky`, `scl`, `scene` | passes, clouds, the classification and its errors, pictures |
//! | `stac`, `outline`, `truth`, `archive` | files |
//!
//! Invariants: the same [`ValleyConfig`] gives the same bytes on every machine and number of threads
//! (hashes and `libm` in place of shared generators and system mathematics); the truth is never read by
//! the code that takes the pictures' classification.
//!
//! Absent on purpose: use outside demo, tests and benches; snow; sensors other than Sentinel-2.

mod archive;
mod climate;
mod config;
mod landscape;
mod landuse;
mod look;
mod noise;
mod orbit;
mod outline;
mod parcels;
mod patch;
mod phenology;
mod relief;
mod scene;
mod scl;
mod sky;
mod sowing;
mod spectra;
mod stac;
mod terrain;
mod truth;
mod valley;
mod weather;

pub use archive::{Archive, write_archive};
pub use climate::Climate;
pub use config::{SimError, ValleyConfig};
pub use landuse::{LandUse, legend};
pub use orbit::Pass;
pub use relief::Sun;
pub use scene::Scene;
pub use valley::{ClassArea, Valley};
