//! Meta-training of METEOR: outer steps over tasks of images, one class against the others.
//!
//! The network learns each task's support by steps of gradients of all its weights and is judged on the task's queries
//! there; Adam moves the weights that the steps began from. Where its norms are by task, moments are those of the support alone,
//! under the weights that are judged: a query says nothing of another, in training as at use.
//!
//! # Source
//! Rußwurm, Wang, Kellenberger, Roscher and Tuia 2024, *Meta-learning to address diverse Earth observation problems across
//! resolutions* (Commun. Earth Environ. 5:37), section *Model-agnostic meta-learning*; Kingma and Ba 2015 for Adam. Moments of the
//! support in norms: Bronskill et al. 2020, *`TaskNorm`*, section 4; gradients pass through them.

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor, TensorData};
use surco_kernels::AdamW;
use surco_net::{Meteor, TaskMoments};

use super::fomaml::{InnerSteps, adapted};
use crate::precision::Precision;
use crate::step::{Lanes, Summed, gradients};

/// Images and which of them are of the class that is asked for.
#[derive(Clone, Debug)]
pub struct LabelledImages {
    /// `[m, b, y, x]`, 32-bit.
    pub images: TensorData,
    /// 1 where an image is of the class, else 0, `[m, 1]`.
    pub is_class: TensorData,
}

/// A class and others: what is learned from, and what is asked.
#[derive(Clone, Debug)]
pub struct ImageTask {
    /// Learned by the inner loop.
    pub support: LabelledImages,
    /// Judged at its end.
    pub query: LabelledImages,
}

impl LabelledImages {
    fn on(&self, device: &Device) -> Tensor<4> {
        Tensor::from_data(self.images.clone(), device)
    }

    /// What a network would learn from: these are the examples of a task.
    fn learning_loss(&self, net: &Meteor, device: &Device) -> Tensor<1> {
        self.loss(net.forward(self.on(device)), device)
    }

    /// The mean cross-entropy of the class against the others, by the scores of these images.
    fn loss(&self, score: Tensor<2>, device: &Device) -> Tensor<1> {
        let is_class = Tensor::<2>::from_data(self.is_class.clone(), device);
        // log (1 + eˢ) − t s, of which no part overflows.
        let above = score.clone().clamp_min(0.0) + score.clone().abs().neg().exp().log1p();
        (above - score * is_class).mean()
    }
}

/// METEOR after it learned a task.
#[derive(Clone, Debug)]
pub struct LearnedImages {
    net: Meteor,
    moments: TaskMoments,
}

impl LearnedImages {
    fn new(net: Meteor, support: Tensor<4>) -> Self {
        let moments = net.moments(support);
        Self { net, moments }
    }

    /// A score an image `[m, b, y, x]`, above 0 for the class of the task, `[m, 1]`; images do not see each other.
    #[must_use]
    pub fn scores(&self, images_mbyx: Tensor<4>) -> Tensor<2> {
        self.net.forward_in(images_mbyx, &self.moments)
    }
}

/// METEOR after steps on the support of a task, as in meta-training; the network given stays as it is.
#[must_use]
pub fn learn_images(
    net: &Meteor,
    support: &LabelledImages,
    steps: InnerSteps,
    device: &Device,
) -> LearnedImages {
    let tracked = device.clone().autodiff();
    let start = net.clone().train().fork(&tracked);
    let end = adapted(&start, steps, |here| support.learning_loss(here, &tracked)).valid();
    LearnedImages::new(end, support.on(device))
}

/// METEOR under meta-training.
pub struct MeteorTraining {
    net: Option<Meteor>,
    optimizer: ModuleOptimizer,
    lanes: Lanes,
    steps: InnerSteps,
}

impl MeteorTraining {
    /// Training of a network on a device, a task on each core where that is the CPU.
    #[must_use]
    pub fn new(net: Meteor, steps: InnerSteps, device: &Device) -> Self {
        let lanes = Lanes::new(std::slice::from_ref(device), Precision::F32, false);
        let adam = AdamW { weight_decay: 0.0, ..AdamW::default() };
        let net = Some(net.train().fork(&lanes.main()));
        Self { net, optimizer: adam.into(), lanes, steps }
    }

    /// One outer step at a learning rate; gives the mean loss of the queries before it.
    ///
    /// # Panics
    /// If a step before this one panicked.
    pub fn step(&mut self, tasks: &[ImageTask], learning_rate: f64) -> f64 {
        let net = self.net.take().expect("every step puts the network back");
        let summed = self.slope(&net, tasks);
        let loss = summed.whole().loss;
        self.net = Some(self.optimizer.step(learning_rate, net, summed.gradients));
        loss
    }

    /// The mean loss of the queries, and the gradients that the step goes by.
    fn slope(&self, net: &Meteor, tasks: &[ImageTask]) -> Summed {
        let share = 1.0 / tasks.len() as f64;
        gradients(net, &self.lanes, tasks, |net, task, device| {
            let end = adapted(net, self.steps, |here| task.support.learning_loss(here, device));
            let learned = LearnedImages::new(end, task.support.on(device));
            (task.query.loss(learned.scores(task.query.on(device)), device), share)
        })
    }

    /// The network as it is now.
    ///
    /// # Panics
    /// If a step panicked.
    #[must_use]
    pub fn net(&self) -> &Meteor {
        self.net.as_ref().expect("every step puts the network back")
    }
}

#[cfg(test)]
mod tests;
