//! LoRA: steps move the product of two thin matrices that is added to a matrix, and leave the matrix as it is.
//!
//! Every matrix has one for which that is fewer numbers than the matrix itself. There the product is scaled by α / r; here α = r.
//! The first of the two is drawn so that a column's length is about one: a step then moves a matrix as far along those few directions
//! as it would move it if all weights moved. What is drawn depends on the seed alone, not on the device, so that a learner begins
//! everywhere at the same numbers. The matrix itself may take gradients through the sum, and learns so in the outer loop.
//!
//! # Source
//! Hu et al. 2022, *LoRA: low-rank adaptation of large language models*, section 4.1.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::MetaMethod;

/// Which low-rank change steps move in the stead of an encoder's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank of the change of each matrix.
    pub rank: usize,
    /// Seed of the numbers that it begins with.
    pub seed: u64,
}

impl Lora {
    /// Why a method cannot have steps move it, if so.
    pub(super) fn problem(self, method: MetaMethod, module: &impl Module) -> Option<String> {
        match method {
            MetaMethod::Prototypes | MetaMethod::Ridge | MetaMethod::Propagation => {
                Some("methods in closed form take no steps".into())
            }
            MetaMethod::Anil => Some("the steps of anil move the head alone".into()),
            MetaMethod::Reptile => {
                Some("reptile goes where steps of all weights lead, and these leave them".into())
            }
            MetaMethod::Maml | MetaMethod::Fomaml | MetaMethod::MetaSgd => {
                let is_none = self.rank == 0 || self.matrices(module).is_empty();
                is_none.then(|| {
                    format!("no matrix of the encoder has a smaller change of rank {}", self.rank)
                })
            }
        }
    }

    /// Rows and columns of the matrices of a module that have such a change.
    pub(super) fn matrices(self, module: &impl Module) -> Vec<[usize; 2]> {
        struct Matrices {
            rank: usize,
            found: Vec<[usize; 2]>,
        }
        impl ModuleVisitor for Matrices {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.found.extend(changed(self.rank, &param.val().dims()));
            }
        }
        let mut matrices = Matrices { rank: self.rank, found: Vec::new() };
        module.visit(&mut matrices);
        matrices.found
    }

    /// Numbers of the change of a module.
    pub(super) fn numbers(self, module: &impl Module) -> usize {
        self.matrices(module).iter().map(|[rows, columns]| self.rank * (rows + columns)).sum()
    }
}

/// Rows and columns of a tensor if it is a matrix and its change of this rank has fewer numbers.
fn changed(rank: usize, shape: &[usize]) -> Option<[usize; 2]> {
    let &[rows, columns] = shape else { return None };
    (rank.saturating_mul(rows + columns) < rows * columns).then_some([rows, columns])
}

/// A change of low rank of the matrices of a module, in the module's order.
#[derive(Module, Debug)]
pub(super) struct LowRank {
    /// `[row, rank]` each.
    down: Vec<Param<Tensor<2>>>,
    /// `[rank, column]` each.
    up: Vec<Param<Tensor<2>>>,
}

impl LowRank {
    /// The change that steps begin at: none.
    pub(super) fn new(module: &impl Module, lora: Lora, device: &Device) -> Self {
        let matrices = lora.matrices(module);
        let mut rng = ChaCha8Rng::seed_from_u64(lora.seed);
        let param = |values: Vec<f32>, shape: [usize; 2]| {
            Param::from_data(TensorData::new(values, shape), device)
        };
        let mut drawn = |&[rows, _]: &[usize; 2]| {
            let scale = 1.0 / (rows as f32).sqrt();
            let values = (0..rows * lora.rank).map(|_| scale * normal(&mut rng)).collect();
            param(values, [rows, lora.rank])
        };
        let zeros = |&[_, columns]: &[usize; 2]| {
            param(vec![0.0; lora.rank * columns], [lora.rank, columns])
        };
        Self {
            down: matrices.iter().map(&mut drawn).collect(),
            up: matrices.iter().map(zeros).collect(),
        }
    }

    /// The module with its change; gradients reach both.
    pub(super) fn on<M: Module>(&self, module: &M) -> M {
        let rank = self.up.first().map_or(usize::MAX, |up| up.dims()[0]);
        let changes = self.down.iter().zip(&self.up);
        module.clone().map(&mut Changing { rank, left: changes })
    }
}

/// Adds changes to the matrices that have one.
struct Changing<'a, I: Iterator<Item = (&'a Param<Tensor<2>>, &'a Param<Tensor<2>>)>> {
    rank: usize,
    left: I,
}

impl<'a, I> ModuleMapper for Changing<'a, I>
where
    I: Iterator<Item = (&'a Param<Tensor<2>>, &'a Param<Tensor<2>>)>,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        let change = changed(self.rank, &shape).and_then(|_| self.left.next());
        let Some((down, up)) = change else { return param };
        let change = down.val().matmul(up.val()).reshape(shape);
        param.map(|weight| weight + change)
    }
}

/// A standard normal number, by the transform of Box and Muller (1958).
fn normal(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::network::flat;
    use surco_net::{Size, fresh};

    #[derive(Module, Debug)]
    struct Matrix {
        w: Param<Tensor<2>>,
        bias: Param<Tensor<1>>,
    }

    #[test]
    fn before_the_first_step_the_module_is_as_it_was() {
        let device = Device::flex();
        let encoder = fresh(Size::Nano, 3, &device);
        let change = LowRank::new(&encoder, Lora { rank: 4, seed: 1 }, &device);
        assert_eq!(flat(&change.on(&encoder)), flat(&encoder));
        assert_eq!(
            flat(&change),
            flat(&LowRank::new(&encoder, Lora { rank: 4, seed: 1 }, &device))
        );
        assert_ne!(
            flat(&change),
            flat(&LowRank::new(&encoder, Lora { rank: 4, seed: 2 }, &device))
        );
    }

    /// Columns of about length one: 40 of 128 numbers each have a mean square of 1/128 within a tenth.
    #[test]
    fn the_first_of_the_two_has_columns_of_about_length_one() {
        let device = Device::flex();
        let encoder = fresh(Size::Nano, 3, &device);
        let change = LowRank::new(&encoder, Lora { rank: 40, seed: 1 }, &device);
        let wide = change.down.iter().find(|down| down.dims() == [128, 40]).unwrap();
        let values: Vec<f32> = wide.val().into_data().iter::<f32>().collect();
        let square: f32 = values.iter().map(|v| v * v).sum();
        assert!((square / 40.0 - 1.0).abs() < 0.1, "{square}");
    }

    /// A change has fewer numbers than its matrix: of 3 × 3 there is one of rank 1, of 6 numbers, none of rank 2, of 12.
    #[test]
    fn matrices_that_a_change_would_not_be_smaller_than_have_none() {
        let device = Device::flex();
        let module = Matrix {
            w: Param::from_tensor(Tensor::zeros([3, 3], &device)),
            bias: Param::from_tensor(Tensor::zeros([3], &device)),
        };
        let numbers = |rank| Lora { rank, seed: 0 }.numbers(&module);
        assert_eq!([1, 2, usize::MAX].map(numbers), [6, 0, 0]);
    }

    /// By hand, of ½ ‖x (W + d u) − y‖² with e = x (W + d u) − y: the slope by W is xᵀ e, by u (x d) e, by d xᵀ (e uᵀ). At the start u is
    /// zero, so d has none; one step of rate 0.1 makes u −0.1 (x d) e, and there d has one.
    #[test]
    fn a_step_of_a_small_matrix_agrees_with_a_hand() {
        let device = Device::flex().autodiff();
        let (x, y) = ([1.0_f32, -2.0, 0.5], [0.5_f32, 0.0, 1.0]);
        let row = |values: [f32; 3]| Tensor::<2>::from_data([values], &device);
        let w = [[1.0_f32, 0.0, 2.0], [0.5, -1.0, 0.0], [0.0, 3.0, -1.0]];
        let module = Matrix {
            w: Param::from_data(w, &device),
            bias: Param::from_data([0.0_f32; 3], &device),
        };
        let mut change = LowRank::new(&module, Lora { rank: 1, seed: 5 }, &device);
        let d: Vec<f32> = change.down[0].val().into_data().iter::<f32>().collect();
        let xd: f32 = x.iter().zip(&d).map(|(x, d)| x * d).sum();
        let slopes = |change: &LowRank| {
            let there = change.on(&module);
            let off = row(x).matmul(there.w.val()) + there.bias.val().unsqueeze() - row(y);
            let loss = off.square().sum() * 0.5;
            let grads = loss.backward();
            let of = |param: &Param<Tensor<2>>| -> Vec<f32> {
                param.val().grad(&grads).unwrap().into_data().iter::<f32>().collect()
            };
            [of(&module.w), of(&change.down[0]), of(&change.up[0])]
        };
        let agree = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len());
            let close = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5);
            assert!(close, "{got:?} {want:?}");
        };
        let off = |u: [f32; 3]| {
            [0, 1, 2].map(|j| (0..3).map(|i| x[i] * w[i][j]).sum::<f32>() + xd * u[j] - y[j])
        };
        let outer = |a: [f32; 3], b: [f32; 3]| a.map(|a| b.map(|b| a * b)).concat();
        // x W = (0, 3.5, 1.5)
        let e = off([0.0; 3]);
        agree(&e, &[-0.5, 3.5, 0.5]);
        let [by_w, by_d, by_u] = slopes(&change);
        agree(&by_w, &outer(x, e));
        agree(&by_d, &[0.0; 3]);
        agree(&by_u, &e.map(|e| xd * e));
        let u = e.map(|e| -0.1 * xd * e);
        change.up[0] = Param::from_data([u], &device);
        let e = off(u);
        let eu: f32 = e.iter().zip(&u).map(|(e, u)| e * u).sum();
        let [by_w, by_d, by_u] = slopes(&change);
        agree(&by_w, &outer(x, e));
        agree(&by_d, &x.map(|x| x * eu));
        agree(&by_u, &e.map(|e| xd * e));
    }
}
