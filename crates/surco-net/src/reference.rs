//! The reference encoder: a plain temporal transformer that PyTorch computes too, to compare with.
//!
//! Not a model to map with. It is what `surco bench` times and what the recorded outputs, gradients and
//! losses of PyTorch are for: series of one length, learned positions, masked reconstruction.
//!
//! Token matrices are `[n, …]`: `b` series of `t` tokens, one series after another. `c` values a token,
//! `d` width.
//!
//! # Source
//! `benches/encoder/torch_side.py`, class `Model`: the same network in PyTorch; weights keep its names
//! and its layout, `[d_out, d_in]`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use surco_kernels::{
    Activation, AttentionLayer, LossKind, MlpLayer, Policy, Projection, Segments, attention,
    linear, masked_loss, mlp, norm,
};

pub use crate::layers::Linear;

use crate::layers::LayerNorm;
use crate::source::TensorSource;
use crate::weights::{filled, weights_of};
use crate::{Meteor, MeteorConfig, MeteorNorm, Presto, SystemModel};

/// Heads of each block.
const HEADS: usize = 8;

const EPSILON: f64 = 1e-5;

/// Why bytes are no weights, or no batch, of the reference encoder.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no {what} of the reference encoder: {reason}; draw it again")]
pub struct ReferenceError {
    what: &'static str,
    reason: String,
}

impl ReferenceError {
    /// What is wrong with the file that `what` names.
    #[must_use]
    pub fn of(what: &'static str, reason: &dyn fmt::Display) -> Self {
        Self { what, reason: reason.to_string() }
    }
}

/// One pre-norm block.
#[derive(Module, Debug)]
pub struct ReferenceBlock {
    ln1: LayerNorm,
    /// To queries, keys and values, `[d, 3 d]`.
    pub qkv: Linear,
    proj: Linear,
    ln2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl ReferenceBlock {
    fn forward(&self, x_nd: Tensor<2>, segments: &Segments, policy: Policy) -> Tensor<2> {
        let mixing = AttentionLayer {
            norm: self.ln1.norm(EPSILON),
            qkv: self.qkv.projection(),
            qk_scale: None,
            out: self.proj.projection(),
            heads: HEADS,
        };
        let widening = MlpLayer {
            norm: self.ln2.norm(EPSILON),
            up: self.fc1.projection(),
            down: self.fc2.projection(),
            activation: Activation::Gelu,
        };
        mlp(attention(x_nd, mixing, segments, None, policy), widening, policy)
    }
}

/// The reference encoder.
#[derive(Module, Debug)]
pub struct ReferenceEncoder {
    /// From values to the width, `[c, d]`.
    pub embed: Linear,
    pos: Param<Tensor<2>>,
    mask_token: Param<Tensor<1>>,
    /// In order.
    pub blocks: Vec<ReferenceBlock>,
    norm: LayerNorm,
    head: Linear,
}

impl ReferenceEncoder {
    /// The encoder whose weights a safetensors file holds, in PyTorch's names and layout.
    ///
    /// # Errors
    /// [`ReferenceError`] naming the tensor that is missing or misshapen.
    pub fn read(bytes: &[u8], device: &Device) -> Result<Self, ReferenceError> {
        let file = Tensors::read("weights", bytes)?;
        let [_, t, d] = file.shape("pos")?;
        let [_, c] = file.shape("embed.weight")?;
        let depth = (0..)
            .take_while(|i| file.shape::<2>(&format!("blocks.{i}.qkv.weight")).is_ok())
            .count();
        let vector = |name: &str, length: usize| {
            let values = file.values(name, &[length])?;
            let data = TensorData::new(values, [length]);
            Ok(Param::from_tensor(Tensor::from_data(data, device)))
        };
        let affine = |name: &str, d_in: usize, d_out: usize| {
            let values = file.values(&format!("{name}.weight"), &[d_out, d_in])?;
            let data = TensorData::new(transposed(&values, d_out, d_in), [d_in, d_out]);
            Ok(Linear {
                weight: Param::from_tensor(Tensor::from_data(data, device)),
                bias: vector(&format!("{name}.bias"), d_out)?,
            })
        };
        let norm = |name: &str| {
            Ok(LayerNorm {
                weight: vector(&format!("{name}.weight"), d)?,
                bias: vector(&format!("{name}.bias"), d)?,
            })
        };
        let block = |i: usize| {
            Ok(ReferenceBlock {
                ln1: norm(&format!("blocks.{i}.ln1"))?,
                qkv: affine(&format!("blocks.{i}.qkv"), d, 3 * d)?,
                proj: affine(&format!("blocks.{i}.proj"), d, d)?,
                ln2: norm(&format!("blocks.{i}.ln2"))?,
                fc1: affine(&format!("blocks.{i}.fc1"), d, 4 * d)?,
                fc2: affine(&format!("blocks.{i}.fc2"), 4 * d, d)?,
            })
        };
        let pos = TensorData::new(file.values("pos", &[1, t, d])?, [t, d]);
        let mask_token = TensorData::new(file.values("mask_token", &[1, 1, d])?, [d]);
        Ok(Self {
            embed: affine("embed", c, d)?,
            pos: Param::from_tensor(Tensor::from_data(pos, device)),
            mask_token: Param::from_tensor(Tensor::from_data(mask_token, device)),
            blocks: (0..depth).map(block).collect::<Result<_, _>>()?,
            norm: norm("norm")?,
            head: affine("head", d, c)?,
        })
    }

    /// The values of every token as the network tells them, `[n, c]`.
    #[must_use]
    pub fn forward(&self, batch: &ReferenceBatch, policy: Policy) -> Tensor<2> {
        let [t, _] = self.pos.dims();
        let segments = Segments::uniform(batch.values_nc.dims()[0] / t, t);
        let through = |x, block: &ReferenceBlock| block.forward(x, &segments, policy);
        let last = self.blocks.iter().fold(self.tokens(batch), through);
        linear(norm(last, self.norm.norm(EPSILON)), self.head.projection())
    }

    /// The embedded values where they are shown, the mask token where they are hidden, and the position:
    /// one product of what a token is made of with what each is worth.
    fn tokens(&self, batch: &ReferenceBatch) -> Tensor<2> {
        let hidden = batch.hidden_n1.clone();
        let shown = hidden.clone().neg() + 1.0;
        let values = batch.values_nc.clone() * shown.clone();
        let made_of = Tensor::cat(vec![values, shown, hidden, batch.place_nt.clone()], 1);
        let row = |vector: &Param<Tensor<1>>| vector.val().unsqueeze::<2>();
        let (bias, mask_token) = (row(&self.embed.bias), row(&self.mask_token));
        let worth = vec![self.embed.weight.val(), bias, mask_token, self.pos.val()];
        linear(made_of, Projection { weight: Tensor::cat(worth, 0), bias: None })
    }

    /// The mean squared error of what was hidden.
    #[must_use]
    pub fn loss(&self, batch: &ReferenceBatch, policy: Policy) -> Tensor<1> {
        let [_, c] = batch.values_nc.dims();
        let weight = batch.hidden_n1.clone().repeat_dim(1, c);
        masked_loss(self.forward(batch, policy), batch.values_nc.clone(), weight, LossKind::Squared)
    }
}

/// Series for the reference encoder, on a device.
#[derive(Clone, Debug)]
pub struct ReferenceBatch {
    /// Values, `[n, c]`.
    values_nc: Tensor<2>,
    /// 1 where the token is hidden from the network, else 0, `[n, 1]`.
    hidden_n1: Tensor<2>,
    /// 1 at the place of the token in its series, else 0, `[n, t]`.
    place_nt: Tensor<2>,
}

impl ReferenceBatch {
    /// The tensors `x` `[b, t, c]` and `m` `[b, t, 1]` of a safetensors file.
    ///
    /// # Errors
    /// [`ReferenceError`] naming the tensor that is missing or misshapen.
    pub fn read(bytes: &[u8], device: &Device) -> Result<Self, ReferenceError> {
        let file = Tensors::read("batch", bytes)?;
        let [b, t, c] = file.shape("x")?;
        let rows = |name, width| {
            let values = file.values(name, &[b, t, width])?;
            Ok(Tensor::from_data(TensorData::new(values, [b * t, width]), device))
        };
        let places = Tensor::<2>::eye(t, device).repeat_dim(0, b);
        Ok(Self { values_nc: rows("x", c)?, hidden_n1: rows("m", 1)?, place_nt: places })
    }
}

/// Fresh weights as a safetensors file, in PyTorch's names and layout: 6 blocks, 24 positions, 10
/// values a token; linear maps uniform within `1 / sqrt(d_in)`, as PyTorch draws them.
#[must_use]
pub fn drawn_weights(width: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = BTreeMap::new();
    let d = width;
    let mut maps = vec![("embed".to_string(), 10, d), ("head".into(), d, 10)];
    let mut norms = vec!["norm".to_string()];
    for i in 0..6 {
        let named = |part: &str| format!("blocks.{i}.{part}");
        norms.extend([named("ln1"), named("ln2")]);
        maps.extend([(named("qkv"), d, 3 * d), (named("proj"), d, d)]);
        maps.extend([(named("fc1"), d, 4 * d), (named("fc2"), 4 * d, d)]);
    }
    for (name, d_in, d_out) in maps {
        let most = 1.0 / (d_in as f32).sqrt();
        let mut drawn = |n| (0..n).map(|_| rng.random_range(-most..most)).collect::<Vec<f32>>();
        all.insert(format!("{name}.weight"), (vec![d_out, d_in], drawn(d_out * d_in)));
        all.insert(format!("{name}.bias"), (vec![d_out], drawn(d_out)));
    }
    for name in norms {
        all.insert(format!("{name}.weight"), (vec![d], vec![1.0; d]));
        all.insert(format!("{name}.bias"), (vec![d], vec![0.0; d]));
    }
    let mut near_zero = |n| (0..n).map(|_| 0.02 * normal(&mut rng)).collect::<Vec<f32>>();
    all.insert("pos".into(), (vec![1, 24, d], near_zero(24 * d)));
    all.insert("mask_token".into(), (vec![1, 1, d], near_zero(d)));
    written(&all)
}

/// A batch as a safetensors file: `series` of 24 tokens of 10 standard normal values, half of them
/// hidden.
#[must_use]
pub fn drawn_batch(series: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (b, t, c) = (series, 24, 10);
    let values = (0..b * t * c).map(|_| normal(&mut rng)).collect();
    let hidden = (0..b * t).map(|_| f32::from(u8::from(rng.random_bool(0.5)))).collect();
    let tensors =
        [("x".to_string(), (vec![b, t, c], values)), ("m".to_string(), (vec![b, t, 1], hidden))];
    written(&BTreeMap::from(tensors))
}

/// Standard normal tensors of these names and shapes as a safetensors file.
#[must_use]
pub fn drawn(shapes: &[(&str, &[usize])], seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensor = |&(name, shape): &(&str, &[usize])| {
        let values = (0..shape.iter().product()).map(|_| normal(&mut rng)).collect();
        (name.to_string(), (shape.to_vec(), values))
    };
    written(&shapes.iter().map(&mut tensor).collect())
}

/// A standard normal number, by the transform of Box and Muller (1958).
fn normal(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

/// Weights of Presto's encoder as a safetensors file under PyTorch's names: small normal numbers.
#[must_use]
pub fn drawn_presto(seed: u64) -> Vec<u8> {
    let drawing = Drawing(RefCell::new(ChaCha8Rng::seed_from_u64(seed)));
    let (_, taken) =
        Presto::read(&drawing, &Device::flex()).expect("numbers are drawn in every shape");
    written(&taken)
}

/// Presto's encoder from a safetensors file of its tensors under PyTorch's names.
///
/// # Errors
/// [`ReferenceError`] if the file does not hold them.
pub fn read_presto(bytes: &[u8], device: &Device) -> Result<Presto, ReferenceError> {
    let of = |reason| ReferenceError { what: "weights", reason };
    let file = SafeTensors::deserialize(bytes).map_err(|e| of(e.to_string()))?;
    Ok(Presto::read(&file, device).map_err(of)?.0)
}

/// Fresh weights of METEOR's network of fifteen bands as a safetensors file; names and layout are PyTorch's too.
#[must_use]
pub fn drawn_meteor(seed: u64) -> Vec<u8> {
    weights_of(&fresh_meteor(seed, &Device::flex()))
        .expect("a live module's tensors can be written")
}

/// METEOR's network from a safetensors file of its weights.
///
/// # Errors
/// [`ReferenceError`] if the file does not hold them.
pub fn read_meteor(bytes: &[u8], device: &Device) -> Result<Meteor, ReferenceError> {
    let of = |reason| ReferenceError { what: "weights", reason };
    let file = SafeTensors::deserialize(bytes).map_err(|e| of(e.to_string()))?;
    filled(fresh_meteor(0, device), &file).map_err(of)
}

fn fresh_meteor(seed: u64, device: &Device) -> Meteor {
    SystemModel::fresh(MeteorConfig::new(MeteorNorm::Instance), seed, device).net
}

/// A source that draws what it is asked for.
struct Drawing(RefCell<ChaCha8Rng>);

impl TensorSource for Drawing {
    fn names(&self) -> Vec<&str> {
        Vec::new()
    }

    fn tensor(&self, _: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let mut rng = self.0.borrow_mut();
        Ok((0..shape.iter().product()).map(|_| 0.1 * normal(&mut *rng)).collect())
    }
}

/// A safetensors file of f32: shape and values of each tensor, by name.
///
/// # Panics
/// If a tensor has not as many values as its shape holds.
#[must_use]
pub fn written(tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Vec<u8> {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), &bytes[name]);
        (name, view.expect("a tensor has as many values as its shape holds"))
    });
    safetensors::serialize(views, None).expect("short names and sound shapes can be written")
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// A safetensors file of f32.
pub struct Tensors<'a> {
    what: &'static str,
    file: SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    /// The tensors of a file; `what` names it in errors.
    ///
    /// # Errors
    /// [`ReferenceError`] if the bytes are no such file.
    pub fn read(what: &'static str, bytes: &'a [u8]) -> Result<Self, ReferenceError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| ReferenceError { what, reason: e.to_string() })?;
        Ok(Self { what, file })
    }

    fn refused(&self, reason: String) -> ReferenceError {
        ReferenceError { what: self.what, reason }
    }

    fn view(&self, name: &str) -> Result<TensorView<'a>, ReferenceError> {
        self.file.tensor(name).map_err(|_| self.refused(format!("tensor `{name}` is missing")))
    }

    /// The shape of a tensor with `D` axes.
    ///
    /// # Errors
    /// [`ReferenceError`] if there is none of this name and this number of axes.
    pub fn shape<const D: usize>(&self, name: &str) -> Result<[usize; D], ReferenceError> {
        let shape = self.view(name)?.shape().to_vec();
        let length = shape.len();
        shape
            .try_into()
            .map_err(|_| self.refused(format!("tensor `{name}` has {length} axes, expected {D}")))
    }

    /// The numbers of a tensor, row by row.
    ///
    /// # Errors
    /// [`ReferenceError`] if there is none of this name, type and shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ReferenceError> {
        let view = self.view(name)?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            let (dtype, found) = (view.dtype(), view.shape());
            let reason = format!("tensor `{name}` is {dtype:?} {found:?}, expected F32 {shape:?}");
            return Err(self.refused(reason));
        }
        Ok(view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(seed: u64) -> ReferenceEncoder {
        ReferenceEncoder::read(&drawn_weights(64, seed), &Device::flex()).unwrap()
    }

    #[test]
    fn a_series_is_read_without_regard_to_its_neighbours() {
        let policy = Policy::default();
        let both = ReferenceBatch::read(&drawn_batch(2, 1), &Device::flex()).unwrap();
        let first = ReferenceBatch {
            values_nc: both.values_nc.clone().narrow(0, 0, 24),
            hidden_n1: both.hidden_n1.clone().narrow(0, 0, 24),
            place_nt: both.place_nt.clone().narrow(0, 0, 24),
        };
        let of_both = encoder(0).forward(&both, policy).narrow(0, 0, 24);
        let alone = encoder(0).forward(&first, policy);
        assert_eq!(alone.dims(), [24, 10]);
        let off = (of_both - alone).abs().max().into_scalar::<f32>();
        assert!(off < 1e-5, "{off}");
    }

    #[test]
    fn what_is_hidden_is_not_read() {
        let policy = Policy::default();
        let batch = ReferenceBatch::read(&drawn_batch(4, 2), &Device::flex()).unwrap();
        let other = ReferenceBatch {
            values_nc: batch.values_nc.clone() + batch.hidden_n1.clone() * 9.0,
            ..batch.clone()
        };
        let off = encoder(0).forward(&batch, policy) - encoder(0).forward(&other, policy);
        assert!(off.abs().max().into_scalar::<f32>() == 0.0);
    }

    #[test]
    fn the_same_seed_draws_the_same_weights_and_another_does_not() {
        assert_eq!(drawn_weights(32, 5), drawn_weights(32, 5));
        assert_ne!(drawn_weights(32, 5), drawn_weights(32, 6));
        assert_eq!(drawn_batch(3, 5), drawn_batch(3, 5));
    }

    #[test]
    fn a_file_of_another_network_is_refused_by_the_name_of_a_tensor() {
        let error = ReferenceEncoder::read(&drawn_batch(1, 0), &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("`pos` is missing"), "{error}");
        assert!(ReferenceBatch::read(b"no file at all", &Device::flex()).is_err());
    }
}
