//! The fused operators on the LibTorch device: PyTorch's own kernels, forward and backward.
//!
//! Each operator is written forward only. Where gradients will be asked for, PyTorch's tape runs over the
//! inside of the operator, so its backward is PyTorch's own as well (`native_layer_norm_backward`,
//! `gelu_backward`, the backward of fused attention); Burn's tape sees one step.

#![expect(deprecated, reason = "Burn 0.23 drops this backend; see docs/devices.md")]

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::libtorch::TchTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, LibTorch};
use tch::{Kind, Tensor, no_grad, with_grad};

use crate::adamw::{Moving, OptimizerBackend, Step};
use crate::operator::{Fused, FusedBackend, Operator, Slots, each_operator, plain, tracked};
use crate::operators::{
    Attend, Attention, Convolve, Gelu, Halve, Linear, Loss, LossKind, Mlp, Normalise,
    NormaliseImage, SwiGlu,
};
use crate::{Activation, NormKind, QK_EPSILON, Segments, Sight};

impl FusedBackend for LibTorch {
    fn fused(slots: Slots<Self>, operator: Fused) -> FloatTensor<Self> {
        each_operator!(operator, o => plain::<Self, _, _>(&o, &slots.first()))
    }
}

impl<C: CheckpointStrategy> FusedBackend for Autodiff<LibTorch, C> {
    fn fused(slots: Slots<Self>, operator: Fused) -> FloatTensor<Self> {
        each_operator!(operator, o => tracked::<LibTorch, C, _, _>(o, slots.first()))
    }
}

/// An operator of PyTorch's functions: `N` tensors in, of which the first `LEAVES` have gradients.
trait InTorch<const N: usize>: Clone + Debug + Send + 'static {
    const LEAVES: usize = N;

    /// Whether backward computes the inside again instead of keeping it.
    fn recomputes(&self) -> bool {
        false
    }

    /// Tensors that are not there have no elements.
    fn compute(&self, inputs: [&Tensor; N]) -> Tensor;

    /// The inputs as leaves of a tape of their own, and the output upon it.
    fn taped(&self, inputs: [&TchTensor; N]) -> ([Tensor; N], Tensor) {
        let leaf = |i: usize| {
            let tensor = inputs[i].tensor.detach();
            let wanted = i < Self::LEAVES && tensor.numel() > 0;
            tensor.set_requires_grad(wanted)
        };
        let leaves: [Tensor; N] = std::array::from_fn(leaf);
        let output = with_grad(|| self.compute(leaves.each_ref()));
        (leaves, output)
    }
}

impl<O: InTorch<N>, const N: usize> Operator<LibTorch, N> for O {
    /// Keeps the leaves, then the output with the tape behind it.
    fn forward(&self, inputs: [&TchTensor; N], keep: bool) -> (TchTensor, Vec<TchTensor>) {
        if !keep || self.recomputes() {
            let output = no_grad(|| self.compute(inputs.map(|t| &t.tensor)));
            return (TchTensor::new(output), Vec::new());
        }
        let (leaves, output) = self.taped(inputs);
        let plain = output.detach();
        let output = TchTensor::new(output);
        // Shares its storage with what is kept, so that nobody writes into it.
        let plain = TchTensor::from_existing(plain, output.storage.clone());
        let leaves = leaves.into_iter().zip(inputs);
        let kept = leaves.map(|(leaf, of)| TchTensor::from_existing(leaf, of.storage.clone()));
        (plain, kept.chain([output]).collect())
    }

    fn backward(
        &self,
        inputs: [&TchTensor; N],
        kept: &[TchTensor],
        dy: TchTensor,
    ) -> [Option<TchTensor>; N] {
        let again;
        let (leaves, output): (Vec<&Tensor>, &Tensor) = match kept.split_last() {
            Some((output, leaves)) => (leaves.iter().map(|t| &t.tensor).collect(), &output.tensor),
            None => {
                again = self.taped(inputs);
                (again.0.iter().collect(), &again.1)
            }
        };
        // The tape starts from a number whose slope by the output is `dy`.
        let number = with_grad(|| output.flatten(0, -1).dot(&dy.tensor.flatten(0, -1)));
        let wanted: Vec<&Tensor> = leaves.iter().copied().filter(|t| t.requires_grad()).collect();
        let mut found = Tensor::run_backward(&[number], &wanted, false, false).into_iter();
        std::array::from_fn(|i| {
            leaves[i].requires_grad().then(|| found.next().map(TchTensor::new)).flatten()
        })
    }
}

/// A tensor that is there.
fn present(tensor: &Tensor) -> Option<&Tensor> {
    Some(tensor).filter(|t| t.numel() > 0)
}

/// `x · weight + bias`.
fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    match present(bias) {
        Some(bias) => bias.addmm(x, weight),
        None => x.mm(weight),
    }
}

/// `x + inner · weight + bias`, in as few passes as PyTorch has for it.
fn affine_onto(x: &Tensor, inner: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    match present(bias) {
        Some(bias) => (x + bias).addmm_(inner, weight),
        None => x.addmm(inner, weight),
    }
}

impl Normalise {
    fn apply(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let width = [x.size().last().copied().unwrap_or(1)];
        match self.kind {
            NormKind::Layer => x.layer_norm(width, Some(weight), present(bias), self.epsilon, true),
            NormKind::Rms => {
                let scaled = x.rms_norm(width, Some(weight), self.epsilon);
                match present(bias) {
                    Some(bias) => scaled + bias,
                    None => scaled,
                }
            }
        }
    }
}

impl InTorch<3> for Normalise {
    fn compute(&self, [x, weight, bias]: [&Tensor; 3]) -> Tensor {
        self.apply(x, weight, bias)
    }
}

impl InTorch<3> for Linear {
    fn compute(&self, [x, weight, bias]: [&Tensor; 3]) -> Tensor {
        affine(x, weight, bias)
    }
}

impl InTorch<1> for Gelu {
    fn compute(&self, [x]: [&Tensor; 1]) -> Tensor {
        x.gelu("none")
    }
}

impl InTorch<1> for SwiGlu {
    fn compute(&self, [x]: [&Tensor; 1]) -> Tensor {
        let halves = x.chunk(2, 1);
        halves[0].silu() * &halves[1]
    }
}

impl InTorch<5> for Attend {
    /// The angles have none.
    const LEAVES: usize = 3;

    fn compute(&self, [qkv, q_scale, k_scale, cos, sin]: [&Tensor; 5]) -> Tensor {
        self.apply(qkv, [q_scale, k_scale], [cos, sin])
    }
}

impl Attend {
    fn apply(&self, qkv: &Tensor, scales: [&Tensor; 2], turns: [&Tensor; 2]) -> Tensor {
        let (n, d) = (qkv.size()[0], qkv.size()[1] / 3);
        if n == 0 {
            return qkv.narrow(1, 0, d).shallow_clone();
        }
        let (heads, e) = (self.heads as i64, d / self.heads as i64);
        let grid = Grid::new(&self.segments, qkv.device());
        let (count, longest) = (grid.count, grid.longest);
        let parts = grid.spread(qkv).view([count, longest, 3, heads, e]).permute([2, 0, 3, 1, 4]);
        let [mut q, mut k, v] = [0, 1, 2].map(|i| parts.select(0, i));
        for (part, scale) in [&mut q, &mut k].into_iter().zip(scales) {
            if present(scale).is_some() {
                *part = part.rms_norm([e], Some(scale), QK_EPSILON);
            }
        }
        if present(turns[0]).is_some() {
            let turns = turns.map(|t| grid.spread(t).view([count, 1, longest, e / 2]));
            (q, k) = (turned(&q, &turns), turned(&k, &turns));
        }
        // Padding stands at the end of a segment: who looks back alone never sees it.
        let is_causal = self.segments.sight() == Sight::Past;
        let seen = grid.seen.filter(|_| !is_causal);
        let mixed =
            Tensor::scaled_dot_product_attention(&q, &k, &v, seen, 0.0, is_causal, None, false);
        let rows = mixed.transpose(1, 2).reshape([count * longest, d]);
        match &grid.places {
            Some(places) => rows.index_select(0, &places.back),
            None => rows,
        }
    }
}

/// The two halves of each head turned against each other by the angles of its token.
fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Tensor {
    let halves = x.chunk(2, -1);
    let (a, b) = (&halves[0], &halves[1]);
    Tensor::cat(&[a * cos - b * sin, b * cos + a * sin], -1)
}

/// Segments side by side: `count` rows of `longest` tokens.
struct Grid {
    count: i64,
    longest: i64,
    /// Which keys are tokens and not padding, `[count, 1, 1, longest]`; nothing if all are.
    seen: Option<Tensor>,
    places: Option<Places>,
}

/// Where tokens go where segments differ in length.
struct Places {
    /// The token at each place, `[count · longest]`; any where there is none.
    token: Tensor,
    /// The place of each token, `[n]`.
    back: Tensor,
}

impl Grid {
    /// Empty segments have no row: nothing of them is seen or asked for.
    fn new(segments: &Segments, device: tch::Device) -> Self {
        let longest = segments.longest();
        let filled: Vec<_> = segments.ranges().filter(|rows| !rows.is_empty()).collect();
        let (count, whole) = (filled.len(), filled.iter().all(|rows| rows.len() == longest));
        let (mut seen, mut places) = (None, None);
        if !whole {
            let at = |s: usize, t: usize| (s * longest + t) as i64;
            let (mut token, mut back) = (vec![0_i64; count * longest], Vec::new());
            let mut keys = vec![false; count * longest];
            for (s, rows) in filled.into_iter().enumerate() {
                for (t, row) in rows.enumerate() {
                    token[at(s, t) as usize] = row as i64;
                    keys[at(s, t) as usize] = true;
                    back.push(at(s, t));
                }
            }
            let keys = Tensor::from_slice(&keys).view([count as i64, 1, 1, longest as i64]);
            seen = Some(keys.to_device(device));
            let there = |of: &[i64]| Tensor::from_slice(of).to_device(device);
            places = Some(Places { token: there(&token), back: there(&back) });
        }
        Self { count: count as i64, longest: longest as i64, seen, places }
    }

    /// Rows of tokens at their places.
    fn spread(&self, rows: &Tensor) -> Tensor {
        match &self.places {
            Some(places) => rows.index_select(0, &places.token),
            None => rows.shallow_clone(),
        }
    }
}

impl InTorch<11> for Attention {
    /// The angles have none.
    const LEAVES: usize = 9;

    fn recomputes(&self) -> bool {
        self.policy.recompute
    }

    fn compute(&self, inputs: [&Tensor; 11]) -> Tensor {
        let [x, norm, norm_bias, qkv, qkv_bias, out, out_bias, q_scale, k_scale, cos, sin] = inputs;
        let qkv = affine(&self.norm.apply(x, norm, norm_bias), qkv, qkv_bias);
        let mixed = self.attend.apply(&qkv, [q_scale, k_scale], [cos, sin]);
        affine_onto(x, &mixed, out, out_bias)
    }
}

impl InTorch<7> for Mlp {
    fn recomputes(&self) -> bool {
        self.policy.recompute
    }

    fn compute(&self, inputs: [&Tensor; 7]) -> Tensor {
        let [x, norm, norm_bias, up, up_bias, down, down_bias] = inputs;
        let mut hidden = affine(&self.norm.apply(x, norm, norm_bias), up, up_bias);
        let active = match self.activation {
            Activation::Gelu if hidden.requires_grad() => hidden.gelu("none"),
            Activation::Gelu => hidden.gelu_("none"),
            Activation::SwiGlu => SwiGlu.compute([&hidden]),
        };
        affine_onto(x, &active, down, down_bias)
    }
}

impl InTorch<3> for Loss {
    /// The prediction alone.
    const LEAVES: usize = 1;

    fn compute(&self, [said, target, weight]: [&Tensor; 3]) -> Tensor {
        let unseen = weight.eq(0.0);
        let total = weight.sum(Kind::Float);
        let total = total.masked_fill(&total.le(0.0), 1.0);
        let residual = || (said - target).masked_fill(&unseen, 0.0);
        let cost = match self.kind {
            LossKind::Squared => residual().square(),
            LossKind::Huber { delta } => {
                let (r, delta) = (residual(), f64::from(delta));
                let inside = r.clamp(-delta, delta);
                &inside * (&r - &inside * 0.5)
            }
            LossKind::PseudoHuber => (residual().square() + 1.0).sqrt() - 1.0,
            LossKind::CrossEntropy => {
                let logits = said.masked_fill(&unseen.unsqueeze(1), 0.0);
                let shares = logits.log_softmax(1, Kind::Float) * target;
                -shares.sum_dim_intlist(1, false, Kind::Float).masked_fill(&unseen, 0.0)
            }
        };
        ((cost * weight).sum(Kind::Float) / total).view([1])
    }
}

/// Images with their channels before rows and columns, as PyTorch has them.
fn channels_first(x: &Tensor) -> Tensor {
    x.permute([0, 3, 1, 2])
}

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous()
}

impl InTorch<2> for Convolve {
    fn compute(&self, [x, kernel]: [&Tensor; 2]) -> Tensor {
        let (rim, none) = (kernel.size()[2] / 2, None::<&Tensor>);
        channels_last(&channels_first(x).conv2d(kernel, none, [1, 1], [rim, rim], [1, 1], 1))
    }
}

impl InTorch<4> for NormaliseImage {
    fn compute(&self, [x, weight, bias, beside]: [&Tensor; 4]) -> Tensor {
        let (groups, x) = (weight.size()[0], channels_first(x));
        let y = channels_last(&x.group_norm(groups, Some(weight), Some(bias), self.epsilon, true));
        let y = match present(beside) {
            Some(beside) => y + beside,
            None => y,
        };
        y.maximum(&(&y * self.leak))
    }
}

impl InTorch<1> for Halve {
    fn compute(&self, [x]: [&Tensor; 1]) -> Tensor {
        let rim = self.rim as i64;
        let halved = channels_first(x).max_pool2d([2, 2], [2, 2], [rim, rim], [1, 1], false);
        channels_last(&halved)
    }
}

impl OptimizerBackend for LibTorch {
    fn adamw(tensors: Moving<Self>, step: Step) -> Vec<FloatTensor<Self>> {
        let n = step.0;
        let Moving { weight, grad, first, second } = tensors;
        let [mut weight, mut grad, mut first, mut second] =
            [weight, grad, first, second].map(writable);
        no_grad(|| {
            let _ = first.lerp_(&grad, f64::from(1.0 - n.beta_1));
            let _ = second.lerp_(&grad.square_(), f64::from(1.0 - n.beta_2));
            let scale = f64::from(-1.0 / n.rate);
            let root = second.sqrt() * (f64::from(n.unbias) * scale) + f64::from(n.epsilon) * scale;
            let _ = weight.g_mul_scalar_(f64::from(n.keep)).addcdiv_(&first, &root);
        });
        [weight, first, second].map(TchTensor::new).into()
    }
}

/// A tensor nobody else reads; a copy where somebody does.
fn writable(tensor: TchTensor) -> Tensor {
    if tensor.can_mut() { tensor.tensor } else { tensor.tensor.copy() }
}
