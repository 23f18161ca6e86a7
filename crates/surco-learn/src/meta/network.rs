//! An encoder with a linear head as a slope over one flat list of weights.
//!
//! The head begins at zero in every episode: no class has a place of its own, so classes may come in any order, and the encoder
//! learns from the first step on that what it says be of use (Kao, Chiu and Chen 2022, *MAML is a noisy contrastive learner*).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use surco_data::Batch;
use surco_net::EncoderInput;

use super::body::Body;
use super::inner::Slope;
use super::timl::Known;
use crate::headed::{Headed, cross_entropy};

/// The weights of a module, one after another.
pub(super) fn flat(module: &impl Module) -> Vec<f64> {
    struct Values(Vec<f64>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut values = Values(Vec::new());
    module.visit(&mut values);
    values.0
}

/// Number of weights of each tensor of a module, in the order of [`flat`].
pub(super) fn tensor_sizes(module: &impl Module) -> Vec<usize> {
    struct Sizes(Vec<usize>);
    impl ModuleVisitor for Sizes {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().dims().iter().product());
        }
    }
    let mut sizes = Sizes(Vec::new());
    module.visit(&mut sizes);
    sizes.0
}

/// Tensors of a network, in the order of [`flat`]: how many weights each has, and whether steps move it.
pub(super) struct Tensors(pub(super) Vec<(usize, bool)>);

impl Tensors {
    /// The rate of each weight from one for each tensor that moves; what does not move has none.
    pub(super) fn rates(&self, by_tensor: impl IntoIterator<Item = f64>) -> Vec<f64> {
        let mut left = by_tensor.into_iter();
        let mut rate = |moves: bool| if moves { left.next().unwrap_or(0.0) } else { 0.0 };
        let each = self.0.iter().map(|&(size, moves)| std::iter::repeat_n(rate(moves), size));
        each.flatten().collect()
    }

    /// The sum over each tensor that moves of a value for each weight.
    pub(super) fn sums(&self, by_weight: &[f64]) -> Vec<f64> {
        let mut left = by_weight.iter();
        let sums = self.0.iter().map(|&(size, moves)| (left.by_ref().take(size).sum(), moves));
        sums.filter_map(|(sum, moves)| moves.then_some(sum)).collect()
    }
}

/// The next values of a list, as a tensor of a shape.
fn next<const D: usize>(
    left: &mut std::slice::Iter<'_, f64>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    let count = shape.iter().product();
    let values: Vec<f32> = left.by_ref().take(count).map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A module with these weights, as leaves of the gradient tape of a device.
struct Filling<'a> {
    left: std::slice::Iter<'a, f64>,
    device: &'a Device,
}

impl ModuleMapper for Filling<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (left, device) = (&mut self.left, self.device);
        param.map(|old| next(left, old.dims(), device).require_grad())
    }
}

/// A network with these weights, in the order of [`flat`], as leaves of the gradient tape of a device.
pub(super) fn filled<M: Module>(network: &M, weights: &[f64], device: &Device) -> M {
    network.clone().map(&mut Filling { left: weights.iter(), device })
}

/// Samples of an episode with their classes, as a slope.
pub(super) struct Labelled<'a> {
    pub(super) network: &'a Headed<Body>,
    pub(super) batch: &'a Batch,
    /// Class of each sample.
    pub(super) classes: &'a [i32],
    /// What is known of their task.
    pub(super) known: Known,
    /// A device that tracks gradients.
    pub(super) device: &'a Device,
}

impl Labelled<'_> {
    /// Mean cross-entropy of what a network says.
    pub(super) fn loss(&self, here: &Headed<Body>) -> Tensor<1> {
        let input = EncoderInput::new(self.batch, self.device);
        let embedded = here.backbone.embed(&input, self.known);
        cross_entropy(here.judge(embedded), self.classes)
    }
}

impl Slope for Labelled<'_> {
    const ROUNDING: f64 = f32::EPSILON as f64;

    fn at(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let here = filled(self.network, weights, self.device);
        let loss = self.loss(&here);
        let number = f64::from(loss.clone().into_scalar::<f32>());
        let mut found = Gradients {
            of: GradientsParams::from_grads(loss.backward(), &here),
            values: Vec::with_capacity(weights.len()),
        };
        here.visit(&mut found);
        (number, found.values)
    }
}

struct Gradients {
    of: GradientsParams,
    values: Vec<f64>,
}

impl ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match self.of.remove::<D>(param.id) {
            Some(gradient) => self.values.extend(gradient.into_data().iter::<f64>()),
            // What the loss does not depend on.
            None => {
                self.values.extend(std::iter::repeat_n(0.0, param.val().dims().iter().product()))
            }
        }
    }
}

/// A loss of this value whose gradient by the module's weights is the given one.
pub(super) fn stand_in(
    module: &impl Module,
    gradient: &[f64],
    loss: f64,
    device: &Device,
) -> Tensor<1> {
    struct Product<'a> {
        left: std::slice::Iter<'a, f64>,
        device: &'a Device,
        sum: Tensor<1>,
    }
    impl ModuleVisitor for Product<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weight = param.val();
            let along = next(&mut self.left, weight.dims(), self.device);
            self.sum = self.sum.clone() + (weight * along).sum();
        }
    }
    let mut product = Product { left: gradient.iter(), device, sum: Tensor::zeros([1], device) };
    module.visit(&mut product);
    let sum = product.sum;
    sum.clone() - sum.detach() + loss as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::body::tensors;
    use crate::meta::fomaml::{InnerSteps, adapted};
    use crate::meta::inner::Inner;
    use crate::meta::inner::tests::furthest;
    use crate::meta::lora::Lora;
    use crate::meta::maml;
    use crate::meta::tests::task;
    use crate::meta::timl::{self, TaskEncoder};
    use std::ops::Range;
    use surco_data::{BatchSpec, Normalisation, QueryGrid, Sample};
    use surco_net::{Size, fresh};

    /// A batch of some samples with their classes.
    fn examples(chosen: std::ops::Range<usize>) -> (Batch, Vec<i32>) {
        let task = task();
        let norm = Normalisation::measure(&task.bands, &task.samples);
        let queries = Some(QueryGrid { count: 2, parts: 1 });
        let spec = BatchSpec { queries, ..BatchSpec::new(&task.bands, &norm, task.window) };
        let samples: Vec<_> = chosen.clone().map(|i| &task.samples[i]).collect();
        (Batch::new(&samples, &spec), chosen.map(|i| task.classes[i] as i32).collect())
    }

    /// Central differences of fourth order, which bear steps that are large beside rounding.
    fn difference(loss: impl Fn(f64) -> f64) -> f64 {
        let by = |step: f64| (loss(step) - loss(-step)) / (2.0 * step);
        (4.0 * by(0.01) - by(0.02)) / 3.0
    }

    /// The largest entries of a gradient among some weights agree with differences of the loss to a share of the largest.
    fn agree(
        name: &str,
        (gradient, start): (&[f64], &[f64]),
        among: Range<usize>,
        share: f64,
        loss: impl Fn(&[f64]) -> f64,
    ) {
        let mut order: Vec<usize> = among.collect();
        order.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
        let largest = gradient[order[0]].abs();
        assert!(largest > 1e-3, "{name}: {largest}");
        for &at in &order[..12] {
            let want = difference(|step| {
                let mut moved = start.to_vec();
                moved[at] += step;
                loss(&moved)
            });
            assert!(
                (gradient[at] - want).abs() < share * largest,
                "{name}, weight {at}: {} {want}",
                gradient[at]
            );
        }
    }

    /// Checks a network that begins at these weights, its support and query.
    fn with_network(
        (task, lora): (Option<TaskEncoder>, Option<Lora>),
        check: impl Fn(&[f64], [&Labelled<'_>; 2]),
    ) {
        let device = Device::flex().autodiff();
        let encoder = fresh(Size::Femto, 5, &Device::flex()).train().fork(&device);
        let task = task.map(|task| task.train().fork(&device));
        let network = Headed::new(Body::new((encoder, task), lora, &device), (32, 3), &device);
        let mut start = flat(&network);
        // A head of zeros would hide the encoder's gradients.
        let head = start.len() - 32 * 3 - 3;
        for (i, weight) in start[head..].iter_mut().enumerate() {
            *weight = 0.3 * (i as f64).sin();
        }
        let network = filled(&network, &start, &device);
        let mut place = Sample::default();
        place.site.lonlat = Some([-71.0, -34.0]);
        let known = Known::of(&[place], 100);
        let (support, query) = (examples(0..9), examples(9..18));
        let of = |(batch, classes): &(Batch, Vec<i32>), check: &dyn Fn(&Labelled<'_>)| {
            check(&Labelled { network: &network, batch, classes, known, device: &device });
        };
        of(&support, &|support| of(&query, &|query| check(&start, [support, query])));
    }

    #[test]
    fn gradients_of_an_encoder_with_a_head_and_of_maml_through_it_agree_with_differences() {
        with_network((None, None), |start, [support, query]| {
            let (_, gradient) = support.at(start);
            let all = 0..start.len();
            let encoder = 0..support.network.backbone.taught();
            agree("support", (&gradient, start), all.clone(), 1e-3, |weights| {
                support.at(weights).0
            });
            agree("encoder", (&gradient, start), encoder, 2e-3, |weights| support.at(weights).0);
            let inner = Inner { rates: vec![0.01; start.len()], steps: 3 };
            let outer = maml::outer(support, query, start, &inner);
            agree("maml", (&outer.gradient, start), all, 5e-3, |weights| {
                query.at(inner.path(support, weights).end()).0
            });
        });
    }

    #[test]
    fn steps_leave_what_is_taught_alone_and_the_outer_loop_agrees_with_differences() {
        let (low, task) = (Some(Lora { rank: 2, seed: 1 }), Some(timl::tests::taught(32)));
        let encoder = flat(&fresh(Size::Femto, 5, &Device::flex())).len();
        for (task, lora) in [(None, low), (task.clone(), None), (task, low)] {
            let (is_low, is_told) = (lora.is_some(), task.is_some());
            with_network((task, lora), |start, [support, query]| {
                let rates = tensors(support.network).rates(std::iter::repeat(0.03));
                let inner = Inner { rates, steps: 3 };
                let taught = support.network.backbone.taught();
                let end = inner.path(support, start).end().to_vec();
                assert_eq!(end[..encoder] == start[..encoder], is_low);
                assert_eq!(end[encoder..taught], start[encoder..taught]);
                assert_ne!(end[taught..], start[taught..]);
                let outer = maml::outer(support, query, start, &inner);
                let loss = |weights: &[f64]| query.at(inner.path(support, weights).end()).0;
                agree("encoder", (&outer.gradient, start), 0..encoder, 5e-3, loss);
                if is_told {
                    agree("task", (&outer.gradient, start), encoder..taught, 5e-3, loss);
                }
            });
        }
    }

    /// On tensors and on the flat list.
    #[test]
    fn first_order_gradients_of_both_ways_agree() {
        let both = (Some(timl::tests::taught(32)), Some(Lora { rank: 2, seed: 1 }));
        with_network(both, |start, [support, query]| {
            let network = support.network;
            let steps = InnerSteps { count: 3, rate: 0.03 };
            let learns = |here: &Headed<Body>| support.loss(&here.with_backbone(Body::held));
            let loss = query.loss(&adapted(network, steps, learns));
            let number = f64::from(loss.clone().into_scalar::<f32>());
            let grads = GradientsParams::from_grads(loss.backward(), network);
            let mut got = Gradients { of: grads, values: Vec::new() };
            network.visit(&mut got);
            let rates = tensors(network).rates(std::iter::repeat(steps.rate));
            let inner = Inner { rates, steps: steps.count };
            let (want, there) = query.at(inner.path(support, start).end());
            let largest = there.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
            assert!((number - want).abs() < 1e-4, "{number} {want}");
            assert!(furthest(&got.values, &there) < 1e-3 * largest);
        });
    }
}
