//! Pre-training without labels, meta-training over many small tasks, adaptation to a new one.
//!
//! Nothing here writes outside its run folder, and nothing here knows of a store: it learns from
//! series that it is handed.

mod adapt;
mod average;
mod axes;
mod checkpoint;
mod crops;
mod error;
mod events;
mod finetune;
mod headed;
mod meta;
mod number;
mod packed;
mod precision;
mod prefetch;
mod pretext;
mod pretrain;
mod propagate;
mod ridge;
mod rows;
mod run;
mod shuffle;
mod speed;
mod step;
mod systems;
mod trainer;
pub mod workload;

pub use adapt::{Adapter, AdapterFeatures, Features, MOST_UNLABELLED, Unlabelled, adapt};
pub use error::LearnError;
pub use finetune::{FineTuneTask, FineTuned, fine_tune};
pub use meta::{
    AnyLearner, EmbeddedTask, FewLabels, Heads, ImagePlaces, Learning, Lens, LensTrained, Lora,
    MetaConfig, MetaLearner, MetaMethod, MetaTask, MetaTrained, MeteorLearner, MeteorLearning,
    MeteorMeta, MeteorTrained, TaskEncoder, meta_train, meta_train_lens, meta_train_meteor,
    untaught,
};
pub(crate) use meta::{ImageTask, InnerSteps, LabelledImages};
pub use number::{Foretold, NumberHead};
pub use precision::Precision;
pub use pretext::{LatentTargets, MaskWeights, Masked, Masks, PretextWeights, hide, masked_loss};
pub use pretrain::{PretrainConfig, SeriesPool, System, pretrain};
pub use ridge::Ridge;
pub use run::{Curve, CurvePoint, PretextLoss, RunSummary, open_run};
pub use speed::{SpeedPoint, Throughput, peak_flops_per_s};
pub use systems::{
    LabelledWindows, Protocol, ShallowConfig, UBarnClassifier, classify_windows, pretrain_system,
};
