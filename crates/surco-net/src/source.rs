//! Where the tensors of an imported model come from, and how its layers are put together from them.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use surco_kernels::{Norm, NormKind, Projection};

/// Added under the root of the norms of models made with PyTorch's defaults.
const TORCH_NORM_EPSILON: f64 = 1e-5;

/// A file of named tensors.
pub(crate) trait TensorSource {
    /// Names of all its tensors.
    fn names(&self) -> Vec<&str>;

    /// The values of a tensor that must have this shape, in row-major order and finite.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String>;
}

/// Little-endian bytes as values, refused if one is no number.
pub(crate) fn finite(name: &str, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let values: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    match values.iter().position(|v| !v.is_finite()) {
        Some(place) => Err(format!("tensor `{name}` holds {} at place {place}", values[place])),
        None => Ok(values),
    }
}

/// Tensors by name: shape and values.
pub(crate) type Taken = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Takes tensors from a source by name and keeps them, so that the same can be written again.
pub(crate) struct Reader<'a> {
    source: &'a dyn TensorSource,
    device: &'a Device,
    pub(crate) taken: Taken,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn TensorSource, device: &'a Device) -> Self {
        Self { source, device, taken: Taken::new() }
    }

    /// Values in row-major order.
    pub(crate) fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let values = self.source.tensor(name, shape)?;
        self.taken.insert(name.into(), (shape.to_vec(), values.clone()));
        Ok(values)
    }

    /// Values as a tensor.
    pub(crate) fn place<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Tensor<1>, String> {
        let values = self.values(name, &[length])?;
        Ok(self.place(values, [length]))
    }

    /// PyTorch's `nn.LayerNorm`.
    pub(crate) fn norm(&mut self, name: &str, width: usize) -> Result<Norm, String> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), width)?,
            bias: Some(self.vector(&format!("{name}.bias"), width)?),
            kind: NormKind::Layer,
            epsilon: TORCH_NORM_EPSILON,
        })
    }

    /// PyTorch's `nn.Linear`, whose weight is `[out, in]`; several side by side give one.
    pub(crate) fn linear(
        &mut self,
        names: &[String],
        from: usize,
        to: usize,
    ) -> Result<Projection, String> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for name in names {
            weights.extend(self.values(&format!("{name}.weight"), &[to, from])?);
            biases.extend(self.values(&format!("{name}.bias"), &[to])?);
        }
        let to = to * names.len();
        let weight = self.place(weights, [to, from]).transpose();
        // Transposing changes the strides alone: one copy here saves one in every product.
        let weight = Tensor::from_data(weight.into_data(), self.device);
        Ok(Projection { weight, bias: Some(self.place(biases, [to])) })
    }

    /// Fails if the source holds tensors that were not taken, but for those of parts left out.
    pub(crate) fn finish(self, left_out: &str) -> Result<Taken, String> {
        let names = self.source.names();
        let strange: Vec<&&str> = names
            .iter()
            .filter(|n| !self.taken.contains_key(**n))
            .filter(|n| left_out.is_empty() || !n.starts_with(left_out))
            .collect();
        match strange.first() {
            Some(first) => Err(format!(
                "{} of {} tensors are unknown, the first `{first}`",
                strange.len(),
                names.len()
            )),
            None => Ok(self.taken),
        }
    }
}
