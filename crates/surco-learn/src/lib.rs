//! Pre-training without labels, meta-training over many small tasks, adaptation to a new one.
//!
//! Nothing here writes outside its run folder, and nothing here knows of a store: it learns from
//! series that it is handed.

mod adapt;
mod checkpoint;
mod crops;
mod error;
mod masked;
mod meta;
mod pretrain;
mod ridge;
mod run;
mod step;

pub use adapt::{Adapter, AdapterFeatures, Features, adapt};
pub use error::LearnError;
pub use masked::{Masked, hide, masked_loss};
pub use meta::{MetaConfig, MetaTask, meta_train};
pub use pretrain::{PretrainConfig, SeriesPool, pretrain};
pub use ridge::Ridge;
pub use run::{Curve, CurvePoint, RunSummary};
