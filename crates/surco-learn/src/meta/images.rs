//! What METEOR is asked: images of a class against those of others.
//!
//! The network learns each task's support by steps of gradients of all its weights and is judged on the task's queries
//! there. Where its norms are by task, moments are those of the support alone, under the weights that are judged: a query
//! says nothing of another, in training as at use.
//!
//! # Source
//! Rußwurm, Wang, Kellenberger, Roscher and Tuia 2024, *Meta-learning to address diverse Earth observation problems across
//! resolutions* (Commun. Earth Environ. 5:37), section *Model-agnostic meta-learning*. Its code weighs the class by the number
//! of classes in training and not at use (`train/maml.py`); here all images count the same throughout. Moments of the
//! support in norms: Bronskill et al. 2020, *`TaskNorm`*, section 4; gradients pass through them.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use surco_net::{Meteor, TaskMoments};

use super::fomaml::{InnerSteps, adapted};
use super::learner::Turns;

/// Images and which of them are of the class that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct LabelledImages {
    /// `[m, b, y, x]`, 32-bit.
    pub(crate) images: TensorData,
    /// 1 where an image is of the class, else 0, `[m, 1]`.
    pub(crate) is_class: TensorData,
}

/// A class and others: what is learned from, and what is asked.
#[derive(Clone, Debug)]
pub(crate) struct ImageTask {
    /// Learned by the inner loop.
    pub(crate) support: LabelledImages,
    /// Judged at its end.
    pub(crate) query: LabelledImages,
}

impl LabelledImages {
    pub(super) fn len(&self) -> usize {
        self.is_class.shape()[0]
    }

    fn on(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(self.images.clone(), device)
    }

    /// The mean loss of these scores.
    fn loss(&self, scores: Tensor<2>, device: &Device) -> Tensor<1> {
        loss(scores, Tensor::from_data(self.is_class.clone(), device))
    }
}

/// The mean cross-entropy of a class against the others: log (1 + eˢ) − t s, of which no part overflows.
fn loss(scores: Tensor<2>, is_class: Tensor<2>) -> Tensor<1> {
    let above = scores.clone().clamp_min(0.0) + scores.clone().abs().neg().exp().log1p();
    (above - scores * is_class).mean()
}

impl ImageTask {
    /// The mean loss of the queries once the support is learned by steps; gradients arrive at the weights of `net`.
    pub(crate) fn loss(&self, net: &Meteor, steps: InnerSteps, device: &Device) -> Tensor<1> {
        let support = self.support.on(device);
        let end =
            adapted(net, steps, |here| self.support.loss(here.forward(support.clone()), device));
        let learned = LearnedImages::new(end, support);
        self.query.loss(learned.scores(self.query.on(device)), device)
    }
}

/// Images of several classes.
#[derive(Clone, Debug)]
pub(super) struct ClassedImages {
    /// `[m, b, y, x]`, 32-bit.
    pub(super) images: TensorData,
    /// Class of each.
    pub(super) classes: Vec<usize>,
}

impl ClassedImages {
    /// The same, asked of one class.
    pub(super) fn of_class(self, class: usize) -> LabelledImages {
        let is_class = self.classes.iter().map(|&c| f32::from(u8::from(c == class)));
        let shape = [self.classes.len(), 1];
        let is_class = TensorData::new(is_class.collect::<Vec<f32>>(), shape);
        LabelledImages { images: self.images, is_class }
    }
}

/// METEOR after it learned a task.
#[derive(Clone, Debug)]
pub(super) struct LearnedImages {
    net: Meteor,
    moments: TaskMoments,
}

impl LearnedImages {
    fn new(net: Meteor, support: Tensor<4>) -> Self {
        let moments = net.moments(support);
        Self { net, moments }
    }

    /// A score an image `[m, b, y, x]`, above 0 for the class of the task, `[m, 1]`; images do not see each other.
    pub(super) fn scores(&self, images_mbyx: Tensor<4>) -> Tensor<2> {
        self.net.forward_in(images_mbyx, &self.moments)
    }
}

/// METEOR after steps on a support, at most `batch` images a step, asked of one class; the network given stays as it is.
pub(super) fn learn_images(
    net: &Meteor,
    support: ClassedImages,
    (class, batch): (usize, usize),
    steps: InnerSteps,
    device: &Device,
) -> LearnedImages {
    let tracked = device.clone().autodiff();
    let start = net.clone().train().fork(&tracked);
    let mut turns = Turns::new(&support.classes, batch);
    let support = support.of_class(class);
    let images = support.on(&tracked);
    let is_class = Tensor::<2>::from_data(support.is_class.clone(), &tracked);
    let end = adapted(&start, steps, |here| {
        let chosen: Vec<i64> = turns.next().into_iter().map(|image| image as i64).collect();
        let count = chosen.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(chosen, [count]), &tracked);
        let scores = here.forward(images.clone().select(0, rows.clone()));
        loss(scores, is_class.clone().select(0, rows))
    });
    LearnedImages::new(end.valid(), support.on(device))
}

#[cfg(test)]
mod tests;
