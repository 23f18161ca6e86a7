//! Meta-training of METEOR: outer steps over tasks of images, one class against the others.
//!
//! The network learns each task's support by steps of gradients of all its weights and is judged on the task's queries
//! there; Adam moves the weights that the steps began from.
//!
//! # Source
//! Rußwurm, Wang, Kellenberger, Roscher and Tuia 2024, *Meta-learning to address diverse Earth observation problems across
//! resolutions* (Commun. Earth Environ. 5:37), section *Model-agnostic meta-learning*; Kingma and Ba 2015 for Adam.

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor, TensorData};
use surco_kernels::AdamW;
use surco_net::Meteor;

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
    /// The mean cross-entropy of the class against the others.
    fn loss(&self, net: &Meteor, device: &Device) -> Tensor<1> {
        let score = net.forward(Tensor::from_data(self.images.clone(), device));
        let is_class = Tensor::<2>::from_data(self.is_class.clone(), device);
        // log (1 + eˢ) − t s, of which no part overflows.
        let above = score.clone().clamp_min(0.0) + score.clone().abs().neg().exp().log1p();
        (above - score * is_class).mean()
    }
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
        self.net = Some(self.optimizer.step(learning_rate, net, summed.gradients));
        summed.loss
    }

    /// The mean loss of the queries, and the gradients that the step goes by.
    fn slope(&self, net: &Meteor, tasks: &[ImageTask]) -> Summed {
        let share = 1.0 / tasks.len() as f64;
        gradients(net, &self.lanes, tasks, |net, task, device| {
            let end = adapted(net, self.steps, |here| task.support.loss(here, device));
            (task.query.loss(&end, device), share)
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
