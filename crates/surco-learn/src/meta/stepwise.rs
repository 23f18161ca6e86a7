//! The loss of an episode under a method by inner steps: what each head learns and is asked, averaged over heads.

use burn::tensor::{Device, Tensor};

use super::body::{Body, tensors};
use super::draw::{Asked, Examples, Parted};
use super::fomaml::{InnerSteps, adapted};
use super::inner::{Inner, Outer};
use super::network::{Labelled, flat, stand_in};
use super::taught::Taught;
use super::timl::Known;
use super::{MetaConfig, MetaMethod, anil, maml, meta_sgd, reptile};
use crate::headed::Headed;

/// A loss whose gradient is the direction of a method with an inner loop.
pub(super) fn loss(
    config: &MetaConfig,
    parts: usize,
    (taught, Parted { heads, known }): (&Taught, &Parted),
    device: &Device,
) -> Tensor<1> {
    let headed = |head: &Asked| {
        let parts_of = (taught.encoder.clone(), taught.task.clone());
        let body = Body::new(parts_of, config.lora(), device);
        let shape = (parts * body.width(), head.answers);
        Learned { config, network: Headed::new(body, shape, device), known: *known, device }
    };
    if config.method == MetaMethod::Fomaml {
        let losses = heads.iter().map(|head| headed(head).to_first_order(head)).collect();
        return Tensor::cat(losses, 0).mean();
    }
    let rates = taught.rates();
    let outers: Vec<Outer> =
        heads.iter().map(|head| headed(head).outer(head, rates.as_deref())).collect();
    let share = 1.0 / heads.len() as f64;
    let loss = outers.iter().map(|outer| outer.loss * share).sum();
    let mut gradient = vec![0.0; outers.first().map_or(0, |outer| outer.gradient.len())];
    for outer in &outers {
        gradient.iter_mut().zip(&outer.gradient).for_each(|(sum, g)| *sum += g * share);
    }
    stand_in(taught, &gradient, loss, device)
}

/// A network about to learn what one head is asked.
struct Learned<'a> {
    config: &'a MetaConfig,
    network: Headed<Body>,
    known: Known,
    device: &'a Device,
}

impl Learned<'_> {
    fn slope<'a>(&'a self, examples: &'a Examples) -> Labelled<'a> {
        let Examples { batch, right } = examples;
        let Self { network, known, device, .. } = self;
        Labelled { network, batch, classes: right, known: *known, device }
    }

    fn to_first_order(&self, head: &Asked) -> Tensor<1> {
        let (support, query) = (self.slope(&head.support), self.slope(&head.query));
        let steps = InnerSteps { count: self.config.inner_steps, rate: self.config.inner_rate };
        let learns = |here: &Headed<Body>| support.loss(&here.with_backbone(Body::held));
        query.loss(&adapted(&self.network, steps, learns))
    }

    /// The direction by the weights of what is taught: those of the encoder and of what tells of tasks, then the rates,
    /// if they are learned.
    fn outer(&self, head: &Asked, rates: Option<&[f64]>) -> Outer {
        let (support, query) = (self.slope(&head.support), self.slope(&head.query));
        let (start, tensors) = (flat(&self.network), tensors(&self.network));
        let taught = self.network.backbone.taught();
        let steps = self.config.inner_steps;
        let rates = match rates {
            Some(rates) => tensors.rates(rates.iter().copied()),
            None => tensors.rates(std::iter::repeat(self.config.inner_rate)),
        };
        let inner = Inner { rates, steps };
        let (mut outer, by_rates) = match self.config.method {
            MetaMethod::MetaSgd => meta_sgd::outer(&support, &query, &start, &inner),
            MetaMethod::Maml => (maml::outer(&support, &query, &start, &inner), Vec::new()),
            MetaMethod::Anil => {
                (anil::outer(&support, &query, &start, (&inner, taught)), Vec::new())
            }
            _ => (reptile::outer(&support, &start, &inner), Vec::new()),
        };
        outer.gradient.truncate(taught);
        if !by_rates.is_empty() {
            outer.gradient.extend(tensors.sums(&by_rates));
        }
        outer
    }
}
