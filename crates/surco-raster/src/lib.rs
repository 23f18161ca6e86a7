//! Cloud Optimized GeoTIFF, projections, vectors and rasterising.
//!
//! | module | gives |
//! |---|---|
//! | [`cog`] | reads and writes Cloud Optimized GeoTIFF, from files or from byte ranges fetched elsewhere |
//! | [`projection`] | turns coordinates of Chile into longitude and latitude and back, and refuses old datums |
//! | [`vector`] | reads points and polygons from GeoJSON, GeoPackage, Shapefile, GeoParquet and CSV, writes GeoJSON |
//! | [`warp`] | brings pixels of one grid onto another |
//! | [`rasterise`] | pixels of polygons, their area, and which points lie in them |
//!
//! Absent on purpose: HTTP, async, models, datum shifts.

mod atomic;
pub mod cog;
pub mod projection;
pub mod rasterise;
pub mod vector;
pub mod warp;
