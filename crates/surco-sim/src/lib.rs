//! A simulated valley: real products whose truth is known

mod config;
mod landscape;
mod landuse;
mod noise;
mod parcels;
mod patch;
mod phenology;
mod relief;
mod sowing;
mod spectra;
mod terrain;
mod weather;

pub use config::{SimError, ValleyConfig};
pub use landuse::{LandUse, legend};
pub use relief::Sun;
