//! The encoder, its pretext head and its weights.
//!
//! Nothing here opens a file but weights, and nothing knows where pixels come from.
//!
//! Axes in names: `n` tokens, `c` values of a patch (band by band), `f` what is known of a token, `d` width.

pub use burn::tensor::Device;
pub use surco_kernels::{Policy, Precision, Sight};

mod card;
mod device;
mod embed;
mod embed_cube;
mod encoder;
mod export;
mod features;
mod folder;
mod forecast;
mod galileo;
mod input;
mod int8;
mod layers;
mod model;
mod peer;
mod presto;
pub mod reference;
mod size;
mod source;
mod spectral;
mod systems;
mod torch_file;
mod transformer;
mod turns;
mod weights;

pub use device::{DeviceError, DeviceName, Engine};
pub use embed::{EMBED_CHUNK, embed, nested};
pub use embed_cube::{CubeGrid, embed_cube};
pub use encoder::{Encoder, NESTED_WIDTHS};
pub use export::{Exported, export_int8, export_model};
pub use features::{AnyModel, kind_of};
pub use folder::{INT8_WEIGHTS, WEIGHTS};
pub use forecast::{
    Asked, FORECAST_FILES, ForecastConfig, ForecastHead, Forecaster, Horizon, Later, NDVI, Outlook,
    Predicted, Shown, Spread, forecast, load_forecaster, outlook, red_and_nir, save_forecaster,
    shown,
};
pub use galileo::{GALILEO_BANDS, GALILEO_MONTHS, Galileo, GalileoBatch, GalileoInput};
pub use input::{EncoderInput, table};
pub use int8::Int8Rows;
pub use model::{Card, Model, ModelConfig, drawn, fresh};
pub use peer::{BandScale, Imported, InputError, Peer, import_peer, load_galileo, load_presto};
pub use presto::{NO_CLASS, PRESTO_BANDS, PRESTO_MONTHS, Presto, PrestoBatch, presto_scaled};
pub use size::{Size, SizeError};
pub use spectral::{VALUE_FEATURES, value_features};
pub use systems::{
    EARTHPT_DATES, EarthPt, EarthPtBatch, EarthPtConfig, METEOR_APP_BANDS, METEOR_BANDS, Meteor,
    MeteorApp, MeteorConfig, MeteorNorm, Ofa, OfaBatch, OfaConfig, OfaSensor, ShallowDecoder,
    SystemConfig, SystemError, SystemModel, TaskMoments, UBARN_SIDE_PX, UBARN_WIDTH, UBarn,
    UBarnBatch, UBarnConfig,
};
pub use torch_file::TorchError;
pub use weights::{
    WeightsError, load_model, load_part, read_model, save_int8, save_model, save_part,
};
