//! Weights and embeddings in a quarter of their bytes: symmetric 8-bit numbers with a scale a channel.
//!
//! A value is `scale × number`, the number from −127 to 127, the scale the largest magnitude of its channel
//! over 127; so no value is off by more than half of its scale.
//!
//! In a weights file a matrix `name` of several rows becomes `name`, I8, and `name.scale`, F32, one for
//! each column, which is an output; everything else stays F32.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Largest magnitude of a number.
const LARGEST: f32 = 127.0;

const SCALE: &str = ".scale";

/// Rows of 8-bit numbers, one scale a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Rows {
    /// Numbers, `[n, d]`.
    pub numbers: Array2<i8>,
    /// Value of one step in each column, `[d]`.
    pub scale: Vec<f32>,
}

impl Int8Rows {
    /// The nearest 8-bit numbers to rows of values, for example embeddings `[n, d]`.
    #[must_use]
    pub fn nearest(values: ArrayView2<'_, f32>) -> Self {
        let largest = |column: ndarray::ArrayView1<'_, f32>| {
            column.iter().fold(0.0_f32, |most, v| most.max(v.abs()))
        };
        let scale: Vec<f32> =
            values.axis_iter(Axis(1)).map(|column| largest(column) / LARGEST).collect();
        let mut numbers = Array2::zeros(values.dim());
        for (from, mut to) in values.rows().into_iter().zip(numbers.rows_mut()) {
            for ((number, value), scale) in to.iter_mut().zip(from).zip(&scale) {
                let steps = if *scale > 0.0 { value / scale } else { 0.0 };
                *number = steps.round().clamp(-LARGEST, LARGEST) as i8;
            }
        }
        Self { numbers, scale }
    }

    /// The values they stand for, `[n, d]`.
    #[must_use]
    pub fn values(&self) -> Array2<f32> {
        let mut values = self.numbers.mapv(f32::from);
        for (mut column, scale) in values.axis_iter_mut(Axis(1)).zip(&self.scale) {
            column.mapv_inplace(|v| v * scale);
        }
        values
    }
}

/// A tensor on its way to a file.
struct Held {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A weights file of F32 tensors with its matrices in 8 bits.
pub(crate) fn shrink(weights: &[u8]) -> Result<Vec<u8>, String> {
    let file = SafeTensors::deserialize(weights).map_err(|e| e.to_string())?;
    let mut held = BTreeMap::new();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let ([rows, columns], Dtype::F32) = (shape.as_slice(), view.dtype()) else {
            held.insert(name.to_owned(), as_it_is(&view));
            continue;
        };
        if *rows < 2 {
            held.insert(name.to_owned(), as_it_is(&view));
            continue;
        }
        let values = ArrayView2::from_shape((*rows, *columns), &floats(view.data()))
            .map(Int8Rows::nearest)
            .map_err(|e| format!("tensor `{name}`: {e}"))?;
        let bytes = values.numbers.iter().map(|v| v.to_le_bytes()[0]).collect();
        let scale = values.scale.iter().flat_map(|v| v.to_le_bytes()).collect();
        let width = vec![*columns];
        held.insert(
            format!("{name}{SCALE}"),
            Held { dtype: Dtype::F32, shape: width, bytes: scale },
        );
        held.insert(name.to_owned(), Held { dtype: Dtype::I8, shape, bytes });
    }
    write(&held)
}

/// A weights file that [`shrink`] made, with all its tensors in F32 again.
pub(crate) fn expand(weights: &[u8]) -> Result<Vec<u8>, String> {
    let file = SafeTensors::deserialize(weights).map_err(|e| e.to_string())?;
    let scale_of = |name: &str| file.tensor(&format!("{name}{SCALE}")).ok();
    let mut held = BTreeMap::new();
    for (name, view) in file.iter() {
        let owner = name.strip_suffix(SCALE).and_then(|owner| file.tensor(owner).ok());
        if owner.is_some_and(|owner| owner.dtype() == Dtype::I8) {
            continue;
        }
        if view.dtype() != Dtype::I8 {
            held.insert(name.to_owned(), as_it_is(&view));
            continue;
        }
        let shape = view.shape().to_vec();
        let scale = scale_of(name).filter(|scale| scale.dtype() == Dtype::F32);
        let (&[_, columns], Some(scale)) = (shape.as_slice(), scale) else {
            return Err(format!("tensor `{name}` of 8-bit numbers is no matrix with a scale"));
        };
        let scale = floats(scale.data());
        if scale.len() != columns {
            return Err(format!(
                "tensor `{name}` has {columns} columns, but {} scales",
                scale.len()
            ));
        }
        let numbers = view.data().iter().map(|&byte| f32::from(i8::from_le_bytes([byte])));
        let values = numbers.zip(scale.iter().cycle()).map(|(number, scale)| number * scale);
        let bytes = values.flat_map(f32::to_le_bytes).collect();
        held.insert(name.to_owned(), Held { dtype: Dtype::F32, shape, bytes });
    }
    write(&held)
}

fn as_it_is(view: &TensorView<'_>) -> Held {
    Held { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn write(held: &BTreeMap<String, Held>) -> Result<Vec<u8>, String> {
    let mut views = Vec::with_capacity(held.len());
    for (name, held) in held {
        let view = TensorView::new(held.dtype, held.shape.clone(), &held.bytes)
            .map_err(|e| format!("tensor `{name}`: {e}"))?;
        views.push((name, view));
    }
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_off_by_more_than_half_a_step_of_its_column() {
        let values = Array2::from_shape_fn((50, 7), |(i, j)| {
            ((i * 7 + j) as f32 * 0.37).sin() * 10_f32.powi(j as i32 - 3)
        });
        let rows = Int8Rows::nearest(values.view());
        let back = rows.values();
        for ((at, value), back) in values.indexed_iter().zip(&back) {
            let bound = rows.scale[at.1] * 0.500_01;
            assert!((value - back).abs() <= bound, "{at:?}: {value} became {back}");
        }
        let nothing = Int8Rows::nearest(Array2::zeros((2, 2)).view());
        assert_eq!(nothing.values(), Array2::<f32>::zeros((2, 2)));
    }

    #[test]
    fn eight_bits_without_a_scale_are_refused() {
        let held = |shape| Held { dtype: Dtype::I8, shape, bytes: vec![1; 4] };
        let alone = write(&BTreeMap::from([("up".into(), held(vec![2, 2]))])).unwrap();
        assert!(expand(&alone).unwrap_err().contains("`up`"));
        let scale = Held { dtype: Dtype::F32, shape: vec![1], bytes: vec![0; 4] };
        let short = BTreeMap::from([("up".into(), held(vec![2, 2])), ("up.scale".into(), scale)]);
        assert!(expand(&write(&short).unwrap()).unwrap_err().contains("2 columns, but 1 scales"));
    }
}
