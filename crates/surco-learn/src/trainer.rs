//! The trainer: one loop for everything that learns by gradients.
//!
//! A step: its micro-batches, made ahead by a thread of their own; their gradients, side by side on every
//! core or device and summed; one norm over all of them clipped; AdamW; the moving average of the weights. Then the
//! records, a validation where one is due, and a checkpoint.
//!
//! A step's batch depends on the step alone, so a run that was stopped or killed continues from its last
//! checkpoint as if it had not been.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};
use surco_core::Progress;
use surco_kernels::Policy;

use crate::LearnError;
use crate::average::Average;
use crate::checkpoint::Checkpoints;
use crate::precision::Precision;
use crate::prefetch::{Ahead, ahead};
use crate::run::{Curve, CurvePoint, PretextLoss, Records};
use crate::speed::{Lap, Meter, Throughput, peak_flops_per_s};
use crate::step::{
    CLIP_NORM, Lanes, Summed, Weighed, clipped, gradients, learning_rate, optimizer,
};

/// What is learned: the micro-batches of a step and their loss.
pub(crate) trait Objective: Sync {
    /// What learns: an encoder, an encoder with a head, or any other network.
    type Module: Module;

    /// A micro-batch: what one device computes at once.
    type Part: Send + Sync;

    /// What progress calls it.
    const STAGE: &'static str;

    /// The micro-batches of a step, which depend on the step alone.
    fn parts(&self, step: u64) -> Vec<Self::Part>;

    /// What it takes to learn from a micro-batch.
    fn work(&self, part: &Self::Part) -> Work;

    /// The same module, computed another way.
    fn with_policy(&self, module: Self::Module, policy: Policy) -> Self::Module;

    /// The mean loss of a micro-batch, one number, and what it is a mean over.
    fn loss(&self, module: &Self::Module, part: &Self::Part, device: &Device) -> (Tensor<1>, f64);

    /// Micro-batches with what the average of the weights says of them, where that is part of their loss.
    fn aimed(
        &self,
        parts: Vec<Self::Part>,
        _average: &Self::Module,
        _device: &Device,
    ) -> Vec<Self::Part> {
        parts
    }

    /// Which of several pretexts a micro-batch teaches; nothing where all teach the same.
    fn pretext(&self, _part: &Self::Part) -> Option<&'static str> {
        None
    }

    /// The loss on what is held out, if anything is.
    fn validate(&self, module: &Self::Module, device: &Device) -> Option<Losses>;
}

/// A loss, and those of the pretexts it is mixed from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Losses {
    pub(crate) mixed: f64,
    /// By name; none where there is one pretext alone.
    pub(crate) of_pretexts: BTreeMap<&'static str, f64>,
}

impl From<f64> for Losses {
    fn from(loss: f64) -> Self {
        Self { mixed: loss, of_pretexts: BTreeMap::new() }
    }
}

/// Losses of each pretext in a step and, where measured, on what is held out.
fn by_pretext(taught: &Losses, held_out: Option<&Losses>) -> BTreeMap<String, PretextLoss> {
    let mut both: BTreeMap<String, PretextLoss> = BTreeMap::new();
    for (&name, &loss) in &taught.of_pretexts {
        both.entry(name.into()).or_default().loss = Some(loss);
    }
    for (&name, &loss) in held_out.iter().flat_map(|losses| &losses.of_pretexts) {
        both.entry(name.into()).or_default().validation = Some(loss);
    }
    both
}

/// What it takes to learn from a micro-batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    pub(crate) tokens: u64,
    /// Operations forward and backward; what is computed again to save memory does not count.
    pub(crate) flops: f64,
}

/// How it is learned.
pub(crate) struct Recipe {
    pub(crate) steps: u64,
    pub(crate) learning_rate: f64,
    pub(crate) warm_up_steps: u64,
    /// 0 for none.
    pub(crate) ema_decay: f64,
    pub(crate) precision: Precision,
    pub(crate) recompute: bool,
    pub(crate) validate_every_steps: u64,
    pub(crate) checkpoint_every_steps: u64,
}

/// What a step changes.
pub(crate) struct State<M> {
    pub(crate) module: M,
    pub(crate) optimizer: ModuleOptimizer,
    pub(crate) average: Option<Average<M>>,
}

impl<M: Module> State<M> {
    /// The weights that are validated and handed on, without gradients.
    fn best(&self, objective: &impl Objective<Module = M>) -> M {
        let best = match &self.average {
            Some(average) => average.module.clone(),
            None => self.module.valid(),
        };
        objective.with_policy(best, Policy::default())
    }
}

/// What came out.
pub(crate) struct Trained<M> {
    /// The trained weights, or their average where one was kept.
    pub(crate) module: M,
    pub(crate) curve: Curve,
    pub(crate) throughput: Throughput,
    pub(crate) resumed_from: u64,
}

/// A run about to begin.
pub(crate) struct Trainer<'a, O> {
    pub(crate) objective: &'a O,
    pub(crate) recipe: &'a Recipe,
    pub(crate) devices: &'a [Device],
    /// Where records and checkpoints go; a run without one leaves none.
    pub(crate) folder: Option<&'a Path>,
    pub(crate) progress: &'a dyn Progress,
}

impl<O: Objective> Trainer<'_, O> {
    /// Trains a module, from its last checkpoint if the folder holds one.
    pub(crate) fn run(&self, module: O::Module) -> Result<Trained<O::Module>, LearnError> {
        self.recipe.precision.check(self.devices)?;
        let recipe = self.recipe;
        let lanes = Lanes::new(self.devices, recipe.precision, recipe.recompute);
        let policy = Policy { recompute: recipe.recompute, ..Policy::default() };
        let module = self.objective.with_policy(module, policy).train().fork(&lanes.main());
        let average = (recipe.ema_decay > 0.0).then(|| Average::new(&module, recipe.ema_decay));
        let mut state = State { module, optimizer: optimizer(), average };
        let checkpoints = self.folder.map(Checkpoints::new);
        let from = checkpoints.as_ref().and_then(|c| c.steps().last().copied()).unwrap_or(0);
        if let Some(checkpoints) = checkpoints.as_ref().filter(|_| from > 0) {
            state = checkpoints.load(from, state)?;
        }
        let (mut records, mut curve) = (None, Curve::default());
        if let Some(folder) = self.folder {
            let (opened, before) = Records::open(folder, from)?;
            (records, curve) = (Some(opened), before);
        }
        let mut session = Session {
            trainer: self,
            lanes,
            meter: Meter::of_peak(peak_flops_per_s(self.devices, recipe.precision)),
        };
        let state = ahead(
            from..recipe.steps,
            |step| self.objective.parts(step),
            |batches| {
                for step in from..recipe.steps {
                    if self.progress.stopped() {
                        return Err(LearnError::Stopped { step });
                    }
                    let point;
                    (state, point) = session.step(state, step, batches, records.as_mut())?;
                    curve.0.push(point);
                    let done = step + 1;
                    let is_due = done.is_multiple_of(recipe.checkpoint_every_steps);
                    if let Some(checkpoints) = &checkpoints
                        && (is_due || done == recipe.steps)
                    {
                        records.as_ref().map_or(Ok(()), Records::sync)?;
                        checkpoints.save(done, &state)?;
                    }
                }
                Ok(state)
            },
        )?;
        Ok(Trained {
            module: state.best(self.objective),
            curve,
            throughput: session.meter.whole,
            resumed_from: from,
        })
    }
}

/// A run under way.
struct Session<'a, O> {
    trainer: &'a Trainer<'a, O>,
    lanes: Lanes,
    meter: Meter,
}

impl<O: Objective> Session<'_, O> {
    fn step(
        &mut self,
        state: State<O::Module>,
        step: u64,
        batches: &Ahead<Vec<O::Part>>,
        records: Option<&mut Records>,
    ) -> Result<(State<O::Module>, CurvePoint), LearnError> {
        let Trainer { objective, recipe, devices, progress, .. } = self.trainer;
        let rate = learning_rate(recipe.learning_rate, step, recipe.warm_up_steps, recipe.steps);
        let began = Instant::now();
        let (parts, waited) = batches
            .next()
            .expect("a batch is made for every step, or its maker's panic ends the run");
        let parts = match &state.average {
            Some(average) => objective.aimed(parts, &average.module, &devices[0]),
            None => parts,
        };
        let (state, taught, gradient_norm) = self.learn(state, &parts, rate, step)?;
        let work: Vec<Work> = parts.iter().map(|part| objective.work(part)).collect();
        let tokens = work.iter().map(|w| w.tokens).sum();
        let lap = Lap {
            seconds: began.elapsed().as_secs_f64(),
            waited_s: waited.as_secs_f64(),
            tokens,
            flops: work.iter().map(|w| w.flops).sum(),
        };
        let done = step + 1;
        let is_due =
            step == 0 || done == recipe.steps || done.is_multiple_of(recipe.validate_every_steps);
        let best = is_due.then(|| state.best(*objective));
        let held_out = best.and_then(|best| objective.validate(&best, &devices[0]));
        let point = CurvePoint {
            step: done,
            loss: taught.mixed,
            validation: held_out.as_ref().map(|losses| losses.mixed),
            pretexts: by_pretext(&taught, held_out.as_ref()),
            learning_rate: rate,
            gradient_norm,
            tokens,
        };
        let speed = self.meter.lap(done, lap);
        records.map_or(Ok(()), |records| records.add(&point, &speed))?;
        let said =
            format!("{}, {} tokens/s", said(&taught), short(self.meter.recent_tokens_per_s()));
        progress.report(O::STAGE, done, recipe.steps, &said);
        Ok((state, point))
    }

    /// Moves the weights; gives the losses and the norm of the gradients.
    fn learn(
        &self,
        mut state: State<O::Module>,
        parts: &[O::Part],
        rate: f64,
        step: u64,
    ) -> Result<(State<O::Module>, Losses, f64), LearnError> {
        let objective = self.trainer.objective;
        let summed = gradients(&state.module, &self.lanes, parts, |module, part, device| {
            objective.loss(module, part, device)
        });
        let losses = Losses { mixed: summed.mean(), of_pretexts: self.told_apart(parts, &summed) };
        let (grads, norm) = clipped(&state.module, summed, CLIP_NORM);
        if !losses.mixed.is_finite() || !norm.is_finite() {
            return Err(LearnError::Diverged { step, learning_rate: rate });
        }
        state.module = state.optimizer.step(rate, state.module, grads);
        if let Some(average) = &mut state.average {
            average.take_in(&state.module, step + 1);
        }
        Ok((state, losses, norm))
    }

    /// The mean loss of each pretext in a step.
    fn told_apart(&self, parts: &[O::Part], summed: &Summed) -> BTreeMap<&'static str, f64> {
        let mut by_name: BTreeMap<&'static str, Vec<Weighed>> = BTreeMap::new();
        for (part, weighed) in parts.iter().zip(&summed.parts) {
            if let Some(name) = self.trainer.objective.pretext(part) {
                by_name.entry(name).or_default().push(*weighed);
            }
        }
        by_name.into_iter().map(|(name, parts)| (name, Weighed::whole(parts).mean())).collect()
    }
}

/// A loss as progress tells it, of several pretexts one by one.
fn said(losses: &Losses) -> String {
    let each: Vec<String> =
        losses.of_pretexts.iter().map(|(name, loss)| format!("{name} {loss:.4}")).collect();
    match each.as_slice() {
        [] => format!("loss {:.4}", losses.mixed),
        _ => format!("loss {:.4} ({})", losses.mixed, each.join(", ")),
    }
}

/// Three digits of a rate.
fn short(rate: f64) -> String {
    match rate {
        r if r >= 9.995e5 => format!("{:.2} M", r / 1e6),
        r if r >= 999.5 => format!("{:.1} k", r / 1e3),
        r => format!("{r:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_said_in_few_digits() {
        assert_eq!(
            ["7", "1.0 k", "12.3 k", "1.00 M"],
            [7.2, 999.6, 12_345.0, 999_600.0].map(short)
        );
    }

    #[test]
    fn losses_of_several_pretexts_are_said_one_by_one() {
        let of_pretexts = BTreeMap::from([("masked", 0.25), ("causal", -1.5)]);
        assert_eq!(said(&Losses::from(0.5)), "loss 0.5000");
        let mixed = Losses { mixed: -0.625, of_pretexts };
        assert_eq!(said(&mixed), "loss -0.6250 (causal -1.5000, masked 0.2500)");
    }

    /// A step may lack a pretext that is held out for every validation.
    #[test]
    fn what_a_step_taught_and_what_is_held_out_stand_together() {
        let losses = |of: &[(&'static str, f64)]| Losses {
            mixed: 0.0,
            of_pretexts: of.iter().copied().collect(),
        };
        let held_out = losses(&[("latent", 3.0), ("masked", 0.5)]);
        let both = by_pretext(&losses(&[("masked", 0.25)]), Some(&held_out));
        let loss = |loss, validation| PretextLoss { loss, validation };
        assert_eq!(both["masked"], loss(Some(0.25), Some(0.5)));
        assert_eq!(both["latent"], loss(None, Some(3.0)));
        assert!(by_pretext(&0.1.into(), Some(&0.2.into())).is_empty(), "one pretext alone");
    }
}
