//! Labels, series, blocks, episodes and batches as plain arrays.
//!
//! Everything a model sees passes through [`Batch`], whether it comes from the store or from a table
//! of series, in training as in mapping, so that the two cannot drift apart. No network and no engine
//! here.

mod batch;
mod calendar;
mod chips;
mod context;
mod cube;
pub mod eurocropsml;
mod exclude;
mod forecast_table;
mod ground;
mod labels;
mod legends;
mod normalise;
mod npy;
pub mod pastis;
pub mod places;
mod sample;
mod season_token;
mod table;
pub mod weather;

pub use batch::{Batch, BatchSpec, PatchGrid, QueryGrid, SampleTokens};
pub use calendar::{day_of_year, month_of};
pub use chips::Chips;
pub use context::{Context, STATIC_FEATURES, static_token};
pub use cube::{Cube, CubeError, SeriesWindow, read_cube, read_windows};
pub use exclude::{Degrees, Exclusion, ExclusionError, Unseen};
pub use forecast_table::{ForecastRow, ForecastTableError, write_forecasts};
pub use ground::Grounds;
pub use labels::{
    LabelError, LabelledGround, Labels, LabelsAsked, LeftOut, LeftOutPixels, PointLabel, Reason,
    read_labels, read_named_places,
};
pub use legends::{LegendsError, Named, Naming, Renamed, SharedLegend};
pub use normalise::Normalisation;
pub use npy::NpyError;
pub use sample::{BandKind, Relief, Sample, Site, SpectralBand};
pub use season_token::{SEASON_FEATURES, season_token};
pub use table::{SeriesTable, TableBand, TableError, numbered, read_table};
