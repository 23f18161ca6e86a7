//! Models of others: their weights into a folder that every framework opens, and out of it again.

use std::fmt;
use std::path::Path;

use burn::tensor::Device;
use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::card::peer_card;
use crate::folder::{CONFIG, NewWeights, Recorded, SCHEMA, WEIGHTS, hex, read_file, write_folder};
use crate::galileo::{GALILEO_BANDS, Galileo};
use crate::presto::{PRESTO_BANDS, Presto};
use crate::source::{Taken, TensorSource};
use crate::torch_file::TorchFile;
use crate::weights::WeightsError;

/// A model of others that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Presto's encoder (Tseng et al. 2023).
    Presto,
    /// The encoder of Galileo nano (Tseng et al. 2025).
    Galileo,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Presto, Self::Galileo];

    /// Its name in a config and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Presto => "presto",
            Self::Galileo => "galileo",
        }
    }

    /// The peer of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    fn bands(self) -> &'static [BandScale] {
        match self {
            Self::Presto => &PRESTO_BANDS,
            Self::Galileo => &GALILEO_BANDS,
        }
    }

    /// Builds the encoder from tensors under PyTorch's names on the CPU; gives the tensors it took.
    pub(crate) fn build(self, source: &dyn TensorSource) -> Result<Taken, String> {
        match self {
            Self::Presto => Presto::read(source, &Device::flex()).map(|(_, taken)| taken),
            Self::Galileo => Galileo::read(source, &Device::flex()).map(|(_, taken)| taken),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How one input is brought to about one: `(value + add) / divide`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BandScale {
    /// Name of the band.
    #[serde(rename = "band")]
    pub name: &'static str,
    /// Added first.
    pub add: f64,
    /// Divided by then.
    pub divide: f64,
}

/// What `config.json` says of a model of others, beside its kind and hash.
#[derive(Debug, Serialize)]
struct PeerConfig {
    schema: u32,
    normalisation: &'static [BandScale],
    source: Source,
}

/// The file that weights came from.
#[derive(Debug, Serialize)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) sha256: String,
}

/// What an import wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Tensors of the encoder.
    pub tensors: usize,
    /// Values in them.
    pub parameters: usize,
    /// SHA-256 of the new `model.safetensors`.
    pub weights_sha256: String,
}

/// Writes the encoder in a PyTorch file of a peer as a model folder, its tensors under their own names.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn import_peer(peer: Peer, file: &Path, folder: &Path) -> Result<Imported, WeightsError> {
    let bytes = read_file(file)?;
    let sha256 = hex(&Sha256::digest(&bytes));
    let torch = TorchFile::parse(bytes)
        .map_err(|source| WeightsError::Torch { path: file.into(), source })?;
    let refuse = |reason| WeightsError::Peer { path: file.into(), peer, reason };
    let taken = peer.build(&torch).map_err(refuse)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let config = PeerConfig {
        schema: SCHEMA,
        normalisation: peer.bands(),
        source: Source { file: name, sha256 },
    };
    let parameters = taken.values().map(|(_, values)| values.len()).sum();
    let bytes = serialise(&taken, folder)?;
    let weights = NewWeights { name: WEIGHTS, bytes: &bytes };
    let weights_sha256 = write_folder(folder, peer.name(), &config, weights, |sha256| {
        peer_card(peer, parameters, &config.source, sha256)
    })?;
    Ok(Imported { tensors: taken.len(), parameters, weights_sha256 })
}

fn serialise(taken: &Taken, folder: &Path) -> Result<Vec<u8>, WeightsError> {
    let bytes: Vec<Vec<u8>> = taken
        .values()
        .map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = taken.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("values were taken with the shape they have"))
    });
    safetensors::serialize(views, None)
        .map_err(|e| WeightsError::Weights { path: folder.join(WEIGHTS), reason: e.to_string() })
}

/// Reads Presto's encoder from a folder that [`import_peer`] wrote.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn load_presto(folder: &Path, device: &Device) -> Result<Presto, WeightsError> {
    load(Peer::Presto, folder, |source| Ok(Presto::read(source, device)?.0))
}

/// Reads Galileo's encoder from a folder that [`import_peer`] wrote.
///
/// # Errors
/// [`WeightsError`] naming the file and what is wrong with it.
pub fn load_galileo(folder: &Path, device: &Device) -> Result<Galileo, WeightsError> {
    load(Peer::Galileo, folder, |source| Ok(Galileo::read(source, device)?.0))
}

fn load<T>(
    peer: Peer,
    folder: &Path,
    read: impl FnOnce(&dyn TensorSource) -> Result<T, String>,
) -> Result<T, WeightsError> {
    let recorded = Recorded::read(&read_file(&folder.join(CONFIG))?, folder)?;
    recorded.expect_kind(peer.name(), folder)?;
    let weights = read_file(&folder.join(WEIGHTS))?;
    from_weights(&recorded, &weights, folder, read)
}

/// Fails unless these weights make the encoder of a peer.
pub(crate) fn check_peer(
    peer: Peer,
    recorded: &Recorded,
    weights: &[u8],
    folder: &Path,
) -> Result<(), WeightsError> {
    from_weights(recorded, weights, folder, |source| peer.build(source).map(drop))
}

fn from_weights<T>(
    recorded: &Recorded,
    weights: &[u8],
    folder: &Path,
    read: impl FnOnce(&dyn TensorSource) -> Result<T, String>,
) -> Result<T, WeightsError> {
    let path = folder.join(WEIGHTS);
    recorded.vouch(weights, &path)?;
    let file = SafeTensors::deserialize(weights).map_err(|e| e.to_string());
    file.and_then(|file| read(&file)).map_err(|reason| WeightsError::Weights { path, reason })
}

/// Why values are no input of a model of others.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// An array has another shape than it should.
    #[error("{what} have the shape {found:?}, expected {expected:?}")]
    Shape {
        /// The array.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A value is none that can be.
    #[error("{what} of series {series} is {value}, expected {range}")]
    Value {
        /// Number of the series.
        series: usize,
        /// What the value is of.
        what: &'static str,
        /// The value.
        value: f64,
        /// What it should be.
        range: &'static str,
    },
    /// Everything of a series is hidden.
    #[error("series {series} shows nothing: leave it out, or show one value")]
    Nothing {
        /// Number of the series.
        series: usize,
    },
    /// A window cannot be cut into patches of this size.
    #[error(
        "windows of {rows} × {columns} pixels cannot be cut into patches of {patch_px}: expected 1 to \
         8 pixels that divide both"
    )]
    Patch {
        /// Side of a patch, pixels.
        patch_px: usize,
        /// Rows of a window.
        rows: usize,
        /// Columns of a window.
        columns: usize,
    },
}

/// Fails unless an array has this shape.
pub(crate) fn check_shape(
    what: &'static str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), InputError> {
    if found == expected {
        return Ok(());
    }
    Err(InputError::Shape { what, found: found.to_vec(), expected: expected.to_vec() })
}

/// Fails unless these are months of the year, 0 to 11, `[n, t]`.
pub(crate) fn check_months(month_nt: &Array2<u8>, n: usize, t: usize) -> Result<(), InputError> {
    check_shape("months", month_nt.shape(), &[n, t])?;
    match month_nt.indexed_iter().find(|(_, month)| **month > 11) {
        Some(((series, _), &month)) => {
            let value = month.into();
            Err(InputError::Value { series, what: "month", value, range: "0 to 11" })
        }
        None => Ok(()),
    }
}

/// Fails unless these are latitudes and longitudes in degrees, `[n, 2]`.
pub(crate) fn check_place(place_n2: &Array2<f32>, n: usize) -> Result<(), InputError> {
    check_shape("places", place_n2.shape(), &[n, 2])?;
    for ((series, axis), &value) in place_n2.indexed_iter() {
        let (what, most, range) =
            [("latitude", 90.0, "-90 to 90 degrees"), ("longitude", 180.0, "-180 to 180 degrees")]
                [axis];
        if value.is_nan() || value.abs() > most {
            return Err(InputError::Value { series, what, value: value.into(), range });
        }
    }
    Ok(())
}
