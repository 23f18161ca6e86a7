//! Cloud Optimized GeoTIFF, projections, vectors and rasterising.
//!
//! | module | gives |
//! |---|---|
//! | [`cog`] | reads and writes Cloud Optimized GeoTIFF, from files or from byte ranges fetched elsewhere |
//!
//! Absent on purpose: HTTP, async, models, datum shifts.

pub mod cog;
