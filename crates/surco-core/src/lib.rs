//! The words every other room speaks: sensors and bands, grids and cells, seasons, blocks, scales,
//! scene classes and legends.
//!
//! Nothing here reads a file, asks a clock or holds a tensor; it writes files whole. The glossary is `docs/words.md`.

mod block;
mod grid;
mod largest;
mod legend;
mod markup;
mod progress;
mod scale;
mod scl;
mod season;
mod sensor;
mod whole;

pub use block::{Block, Fold, fold_of};
pub use grid::{CELL_PX, CellId, CellIdError, Georef, Window, cells_of};
pub use largest::largest;
pub use legend::{Class, Legend, LegendError};
pub use markup::escape;
pub use progress::{Fault, Progress, Silent};
pub use scale::{
    BASELINE_OFFSET_DN, OffsetVerdict, PixelEvidence, QUANTIFICATION, harmonise, pixel_evidence,
};
pub use scl::Scl;
pub use season::{Season, SeasonError};
pub use sensor::{
    Band, DateRule, GridRule, OffsetRule, Quality, Raster, Resampling, S2_BANDS, Sensor,
    SensorBand, SensorError, SensorKind, Stored, Table, Transfer, Variable, band_by_name,
};
pub use whole::write_whole;
