//! The commands, one file each.

mod adapt;
mod area;
mod bench;
mod collect;
mod demo;
mod doctor;
mod evaluate;
mod forecast;
mod map;
mod meta;
mod model;
mod pretrain;
mod sample;
mod scale;
mod simulate;
mod tasks;
mod weights;

use clap::Subcommand;
use surco_net::Device;

use crate::exit::Usage;
use crate::screen::Screen;

/// Land of Chile.
pub(crate) const CHILE_KM2: f64 = 756_000.0;

/// Pixels of 10 m in a km².
pub(crate) const PIXELS_PER_KM2: f64 = 1e4;

pub(crate) const S_PER_DAY: f64 = 86_400.0;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Doctor(doctor::Args),
    Simulate(simulate::Args),
    Sample(sample::Args),
    Collect(Box<collect::Args>),
    Pretrain(pretrain::Args),
    Meta(meta::Args),
    Model(model::Args),
    Adapt(adapt::Args),
    Tasks(tasks::Args),
    Map(map::Args),
    Area(area::Args),
    Forecast(forecast::Args),
    Evaluate(evaluate::Args),
    Bench(bench::Args),
    Scale(scale::Args),
    Weights(weights::Args),
}

impl Command {
    /// Runs the command; gives the number of holes it finished with.
    pub(crate) fn run(self, devices: &[Device], screen: &Screen) -> anyhow::Result<u64> {
        match self {
            Self::Demo(args) => demo::run(&args, one(devices)?, screen),
            Self::Doctor(args) => doctor::run(&args, screen),
            Self::Simulate(args) => simulate::run(&args, screen),
            Self::Sample(args) => sample::run(&args, screen),
            Self::Collect(args) => collect::run(&args, screen),
            Self::Pretrain(args) => pretrain::run(&args, devices, screen),
            Self::Meta(args) => meta::run(&args, devices, screen),
            Self::Model(args) => model::run(&args, screen),
            Self::Adapt(args) => adapt::run(&args, one(devices)?, screen),
            Self::Tasks(args) => tasks::run(&args, screen),
            Self::Map(args) => map::run(&args, one(devices)?, screen),
            Self::Area(args) => area::run(&args, screen),
            Self::Forecast(args) => forecast::run(&args, one(devices)?, screen),
            Self::Evaluate(args) => evaluate::run(&args, one(devices)?, screen),
            Self::Bench(args) => bench::run(&args, one(devices)?, screen),
            Self::Scale(args) => scale::run(&args, one(devices)?, screen),
            Self::Weights(args) => weights::run(&args, screen),
        }
    }
}

/// The device of a command that takes only one.
fn one(devices: &[Device]) -> anyhow::Result<&Device> {
    match devices {
        [device] => Ok(device),
        many => {
            let text = format!(
                "--device names {} devices, but only pretrain and meta share their work: name one",
                many.len()
            );
            Err(Usage(text).into())
        }
    }
}
