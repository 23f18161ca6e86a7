//! The encoder, its pretext head and its weights.
//!
//! Nothing here opens a file but weights, and nothing knows where pixels come from.
//!
//! Axes in names: `n` series, `t` tokens, `b` bands, `d` width, `h` heads, `s` season features, `g`
//! parts of the window.

pub use burn::tensor::Device;

mod embed;
mod encoder;
mod model;
mod size;
mod spectral;
mod weights;

pub use embed::{EMBED_CHUNK, embed};
pub use encoder::{Encoder, EncoderInput};
pub use model::{Card, Model, ModelConfig, fresh};
pub use size::{Size, SizeError};
pub use spectral::{WAVELENGTH_FEATURES, wavelength_features};
pub use weights::{WeightsError, load_model, read_model, save_model};
