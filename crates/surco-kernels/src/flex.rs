//! The fused operators on the CPU device.

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape};

use crate::cpu::Buffer;
use crate::cpu::attend::Heads;
use crate::cpu::convolve::{Images, Kernel};
use crate::cpu::image::{Halving, ImageNorm, Normed};
use crate::cpu::mixer::{self, Mixer};
use crate::cpu::mlp::{self};
use crate::cpu::norm::RowNorm;
use crate::cpu::{elementwise, loss, series};
use crate::operator::Operator;
use crate::operators::{
    Attend, Attention, Convolve, Gelu, Halve, Linear, Loss, Mlp, Normalise, NormaliseImage, SwiGlu,
};
use crate::shared::bytes;

/// A tensor of these values.
fn tensor(values: impl Into<Buffer>, shape: Shape) -> FlexTensor {
    FlexTensor::new(bytes(values.into()), Layout::contiguous(shape), DType::F32)
}

/// Gradients in the shape of what they belong to, for tensors that are there.
fn like(values: impl Into<Buffer>, of: &FlexTensor) -> Option<FlexTensor> {
    let shape = of.layout().shape();
    (shape.num_elements() > 0).then(|| tensor(values, shape.clone()))
}

/// Tensors laid out without gaps, so that they can be read as slices.
struct Flat<const N: usize>([FlexTensor; N]);

impl<const N: usize> Flat<N> {
    fn new(tensors: [&FlexTensor; N]) -> Self {
        Self(tensors.map(FlexTensor::to_contiguous))
    }

    fn slice(&self, i: usize) -> &[f32] {
        self.0[i].as_slice().expect("a contiguous f32 tensor is a slice")
    }

    fn optional(&self, i: usize) -> Option<&[f32]> {
        Some(self.slice(i)).filter(|s| !s.is_empty())
    }

    fn pair(&self, i: usize) -> Option<(&[f32], &[f32])> {
        self.optional(i).zip(self.optional(i + 1))
    }
}

fn flat(tensor: &FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous f32 tensor is a slice")
}

fn width(tensor: &FlexTensor) -> usize {
    tensor.layout().shape().last().copied().unwrap_or(1)
}

impl Normalise {
    fn on<'a, const N: usize>(&self, inputs: &'a Flat<N>) -> RowNorm<'a> {
        RowNorm {
            weight: inputs.slice(1),
            bias: inputs.optional(2),
            kind: self.kind,
            epsilon: self.epsilon as f32,
        }
    }
}

impl Operator<Flex, 3> for Normalise {
    fn forward(&self, inputs: [&FlexTensor; 3], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = inputs[0].layout().shape().clone();
        let inputs = Flat::new(inputs);
        (tensor(self.on(&inputs).all(inputs.slice(0)), shape), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 3],
        _: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 3] {
        let flat_inputs = Flat::new(inputs);
        let dy = flat(&dy);
        let (dx, weight, bias) =
            self.on(&flat_inputs).all_backward(flat_inputs.slice(0), values(&dy));
        [like(dx, inputs[0]), like(weight, inputs[1]), like(bias, inputs[2])]
    }
}

impl Operator<Flex, 3> for Linear {
    fn forward(&self, inputs: [&FlexTensor; 3], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let (d, out) = (width(inputs[0]), width(inputs[1]));
        let inputs = Flat::new(inputs);
        let y = elementwise::linear(inputs.slice(0), inputs.slice(1), inputs.optional(2), (d, out));
        let rows = inputs.slice(0).len() / d.max(1);
        (tensor(y, Shape::from([rows, out])), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 3],
        _: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 3] {
        let (d, out) = (width(inputs[0]), width(inputs[1]));
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        let (dx, dw, db) =
            elementwise::linear_backward(x.slice(0), x.slice(1), values(&dy), (d, out));
        [like(dx, inputs[0]), like(dw, inputs[1]), like(db, inputs[2])]
    }
}

impl Operator<Flex, 1> for Gelu {
    fn forward(&self, inputs: [&FlexTensor; 1], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = inputs[0].layout().shape().clone();
        (tensor(elementwise::gelu(Flat::new(inputs).slice(0)), shape), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 1],
        _: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 1] {
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        [like(elementwise::gelu_backward(x.slice(0), values(&dy)), inputs[0])]
    }
}

impl Operator<Flex, 1> for SwiGlu {
    fn forward(&self, inputs: [&FlexTensor; 1], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let h = width(inputs[0]) / 2;
        let x = Flat::new(inputs);
        let rows = x.slice(0).len() / (2 * h).max(1);
        (tensor(elementwise::swiglu(x.slice(0), h), Shape::from([rows, h])), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 1],
        _: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 1] {
        let h = width(inputs[0]) / 2;
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        [like(elementwise::swiglu_backward(x.slice(0), values(&dy), h), inputs[0])]
    }
}

impl Attend {
    fn on<'a>(&self, inputs: &'a Flat<5>) -> Heads<'a> {
        Heads {
            width: width(&inputs.0[0]) / 3,
            count: self.heads,
            scales: inputs.pair(1),
            turns: inputs.pair(3),
            sight: self.segments.sight(),
        }
    }
}

impl Operator<Flex, 5> for Attend {
    fn forward(&self, inputs: [&FlexTensor; 5], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let inputs = Flat::new(inputs);
        let heads = self.on(&inputs);
        let mixed = series::attend(&heads, inputs.slice(0), &self.segments);
        let shape = Shape::from([self.segments.tokens(), heads.width]);
        (tensor(mixed, shape), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 5],
        _: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 5] {
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        let (dx, q_scale, k_scale) =
            series::attend_backward(&self.on(&x), x.slice(0), values(&dy), &self.segments);
        [like(dx, inputs[0]), like(q_scale, inputs[1]), like(k_scale, inputs[2]), None, None]
    }
}

impl Attention {
    fn on<'a>(&self, inputs: &'a Flat<11>) -> Mixer<'a> {
        Mixer {
            norm: self.norm.on(inputs),
            qkv: inputs.slice(3),
            qkv_bias: inputs.optional(4),
            out: inputs.slice(5),
            out_bias: inputs.optional(6),
            heads: self.attend.heads,
            scales: inputs.pair(7),
            turns: inputs.pair(9),
            sight: self.attend.segments.sight(),
        }
    }
}

impl Operator<Flex, 11> for Attention {
    fn forward(&self, inputs: [&FlexTensor; 11], tracked: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let inputs = Flat::new(inputs);
        let keep = tracked && !self.policy.recompute;
        let x = inputs.slice(0);
        let precision = self.policy.at(tracked);
        let (out, qkv, mixed) = self.on(&inputs).forward(x, &self.attend.segments, keep, precision);
        let (n, d) = (self.attend.segments.tokens(), width(&inputs.0[0]));
        let kept = if keep {
            vec![tensor(qkv, Shape::from([n, 3 * d])), tensor(mixed, Shape::from([n, d]))]
        } else {
            Vec::new()
        };
        (tensor(out, Shape::from([n, d])), kept)
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 11],
        kept: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 11] {
        let (flat_inputs, dy) = (Flat::new(inputs), flat(&dy));
        let kept = match kept {
            [qkv, mixed] => Some(mixer::Kept { qkv: values(qkv), mixed: values(mixed) }),
            _ => None,
        };
        let layer = self.on(&flat_inputs);
        let x = flat_inputs.slice(0);
        let g = layer.backward(x, values(&dy), &self.attend.segments, kept);
        [
            like(g.dx, inputs[0]),
            like(g.norm, inputs[1]),
            like(g.norm_bias, inputs[2]),
            like(g.qkv, inputs[3]),
            like(g.qkv_bias, inputs[4]),
            like(g.out, inputs[5]),
            like(g.out_bias, inputs[6]),
            like(g.q_scale, inputs[7]),
            like(g.k_scale, inputs[8]),
            None,
            None,
        ]
    }
}

impl Mlp {
    fn on<'a>(&self, inputs: &'a Flat<7>) -> mlp::Mlp<'a> {
        mlp::Mlp {
            norm: self.norm.on(inputs),
            up: inputs.slice(3),
            up_bias: inputs.optional(4),
            down: inputs.slice(5),
            down_bias: inputs.optional(6),
            activation: self.activation,
        }
    }
}

impl Operator<Flex, 7> for Mlp {
    fn forward(&self, inputs: [&FlexTensor; 7], tracked: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = inputs[0].layout().shape().clone();
        let hidden = width(inputs[3]);
        let inputs = Flat::new(inputs);
        let keep = tracked && !self.policy.recompute;
        let precision = self.policy.at(tracked);
        let (out, kept) = self.on(&inputs).forward(inputs.slice(0), keep, precision);
        let rows = shape[0];
        let kept = keep.then(|| tensor(kept, Shape::from([rows, hidden])));
        (tensor(out, shape), kept.into_iter().collect())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 7],
        kept: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 7] {
        let (flat_inputs, dy) = (Flat::new(inputs), flat(&dy));
        let layer = self.on(&flat_inputs);
        let g = layer.backward(flat_inputs.slice(0), values(&dy), kept.first().map(values));
        [
            like(g.dx, inputs[0]),
            like(g.norm, inputs[1]),
            like(g.norm_bias, inputs[2]),
            like(g.up, inputs[3]),
            like(g.up_bias, inputs[4]),
            like(g.down, inputs[5]),
            like(g.down_bias, inputs[6]),
        ]
    }
}

impl Operator<Flex, 3> for Loss {
    fn forward(&self, inputs: [&FlexTensor; 3], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let columns = width(inputs[0]);
        let x = Flat::new(inputs);
        let value = loss::value(self.kind, x.slice(0), x.slice(1), x.slice(2), columns);
        (tensor(vec![value], Shape::from([1])), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 3],
        _: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 3] {
        let columns = width(inputs[0]);
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        let parts = [x.slice(0), x.slice(1), x.slice(2)];
        let slope = loss::slope(self.kind, parts, columns, values(&dy)[0]);
        [like(slope, inputs[0]), None, None]
    }
}

/// Sizes of a tensor of four axes.
fn sizes(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    std::array::from_fn(|axis| shape[axis])
}

impl Convolve {
    fn on<'a>(inputs: &'a Flat<2>) -> (Images<'a>, Kernel<'a>) {
        let [_, rows, columns, channels] = sizes(&inputs.0[0]);
        let [to, from, side, _] = sizes(&inputs.0[1]);
        (
            Images { values: inputs.slice(0), rows, columns, channels },
            Kernel { values: inputs.slice(1), from, to, side },
        )
    }
}

impl Operator<Flex, 2> for Convolve {
    fn forward(&self, inputs: [&FlexTensor; 2], _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let inputs = Flat::new(inputs);
        let (images, kernel) = Self::on(&inputs);
        let [m, rows, columns, _] = sizes(&inputs.0[0]);
        (tensor(kernel.forward(images), Shape::from([m, rows, columns, kernel.to])), Vec::new())
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 2],
        kept: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 2] {
        self.backward_of(inputs, kept, dy, [true; 2])
    }

    fn backward_of(
        &self,
        inputs: [&FlexTensor; 2],
        _: &[FlexTensor],
        dy: FlexTensor,
        wanted: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        let (images, kernel) = Self::on(&x);
        let dx = wanted[0].then(|| kernel.images_gradient(images, values(&dy)));
        let dw = wanted[1].then(|| kernel.gradient(images, values(&dy)));
        [dx.and_then(|dx| like(dx, inputs[0])), dw.and_then(|dw| like(dw, inputs[1]))]
    }
}

impl NormaliseImage {
    fn on<'a>(&self, inputs: &'a Flat<4>) -> ImageNorm<'a> {
        let [_, rows, columns, _] = sizes(&inputs.0[0]);
        ImageNorm {
            weight: inputs.slice(1),
            bias: inputs.slice(2),
            epsilon: self.epsilon as f32,
            leak: self.leak as f32,
            pixels: rows * columns,
        }
    }
}

impl Operator<Flex, 4> for NormaliseImage {
    fn forward(&self, inputs: [&FlexTensor; 4], keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let shape = inputs[0].layout().shape().clone();
        let inputs = Flat::new(inputs);
        let (y, moments) = self.on(&inputs).forward(inputs.slice(0), inputs.optional(3));
        let y = tensor(y, shape);
        let count = Shape::from([moments.len()]);
        let kept = if keep { vec![tensor(moments, count), y.clone()] } else { Vec::new() };
        (y, kept)
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 4],
        kept: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 4] {
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        let normed = Normed { moments: values(&kept[0]), y: values(&kept[1]), dy: values(&dy) };
        let has_beside = x.optional(3).is_some();
        let g = self.on(&x).backward(x.slice(0), normed, has_beside);
        [
            like(g.dx, inputs[0]),
            like(g.weight, inputs[1]),
            like(g.bias, inputs[2]),
            like(g.beside, inputs[3]),
        ]
    }
}

impl Halve {
    fn on(&self, x: &FlexTensor) -> Halving {
        let [_, rows, columns, channels] = sizes(x);
        Halving { rows, columns, channels, rim: self.rim }
    }
}

impl Operator<Flex, 1> for Halve {
    fn forward(&self, inputs: [&FlexTensor; 1], keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let [m, .., channels] = sizes(inputs[0]);
        let halving = self.on(inputs[0]);
        let [rows, columns] = halving.halved();
        let y = halving.forward(Flat::new(inputs).slice(0));
        let y = tensor(y, Shape::from([m, rows, columns, channels]));
        let kept = if keep { vec![y.clone()] } else { Vec::new() };
        (y, kept)
    }

    fn backward(
        &self,
        inputs: [&FlexTensor; 1],
        kept: &[FlexTensor],
        dy: FlexTensor,
    ) -> [Option<FlexTensor>; 1] {
        let (x, dy) = (Flat::new(inputs), flat(&dy));
        let dx = self.on(inputs[0]).backward(x.slice(0), values(&kept[0]), values(&dy));
        [like(dx, inputs[0])]
    }
}
