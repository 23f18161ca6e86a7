//! Runs of several sizes, and the law that their losses follow.

use std::path::{Path, PathBuf};

use anyhow::Context;
use surco_eval::scaling::{ScalingFit, ScalingRun, fit, scaling_svg};
use surco_learn::{Curve, PretrainConfig, System};

use super::speed_of;
use crate::exit::Usage;
use crate::learning::read_config;
use crate::screen::Screen;

/// Times below and above the operations of the largest run that the law is printed for.
const BEYOND: f64 = 10.0;

pub(super) fn run(
    folders: &[PathBuf],
    plot: Option<&Path>,
    screen: &Screen,
) -> anyhow::Result<u64> {
    let mut runs = Vec::new();
    let mut first: Option<(PretrainConfig, &Path)> = None;
    for folder in folders {
        let config: PretrainConfig = read_config(&folder.join("config.toml"))?;
        if config.system != System::Surco {
            let text = format!("{}: only runs of our encoder are fitted", folder.display());
            return Err(Usage(text).into());
        }
        match &first {
            Some((other, named)) if asked(&config) != asked(other) => {
                let text = format!(
                    "{} and {} were not asked the same of the same places: data, pretext, masks, windows, micro_batch and seed must be one",
                    named.display(),
                    folder.display()
                );
                return Err(Usage(text).into());
            }
            Some(_) => {}
            None => first = Some((config.clone(), folder)),
        }
        runs.push(end_of(folder, &config)?);
    }
    let fitted = fit(&runs).map_err(|e| Usage(e.to_string()))?;
    if let Some(path) = plot {
        surco_core::write_whole(path, scaling_svg(&fitted).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    screen.result(&fitted, &text(&fitted))?;
    Ok(0)
}

/// What decides the loss of a validation besides the weights: all but size, steps, batch, rates and what only costs time.
fn asked(config: &PretrainConfig) -> PretrainConfig {
    PretrainConfig {
        out: PathBuf::new(),
        size: surco_net::Size::Nano,
        steps: 1,
        batch: 1,
        learning_rate: 0.5,
        warm_up_steps: 0,
        ema_decay: 0.0,
        recompute: false,
        checkpoint_every_steps: 1,
        validate_every_steps: 1,
        ..config.clone()
    }
}

fn end_of(folder: &Path, config: &PretrainConfig) -> anyhow::Result<ScalingRun> {
    let curve = Curve::read(folder)?;
    let done = curve.0.last().map_or(0, |point| point.step);
    let loss = curve.0.last().and_then(|point| point.validation);
    let (Some(loss), true) = (loss, done == config.steps) else {
        let text = format!(
            "{} is at step {done} of {}: only the ends of runs compare, because the learning rate falls until then",
            folder.display(),
            config.steps
        );
        return Err(Usage(text).into());
    };
    let flops = speed_of(folder)?.iter().map(|step| step.flops_per_s * step.seconds).sum();
    Ok(ScalingRun {
        size: config.size.name().into(),
        params: config.size.params() as f64,
        tokens: curve.0.iter().map(|point| point.tokens as f64).sum(),
        flops,
        loss,
    })
}

fn text(fitted: &ScalingFit) -> String {
    let ScalingFit { law, without_one: [alpha, beta, floor], runs } = fitted;
    let mut text = format!(
        "{:<6} {:>10} {:>10} {:>10} {:>8} {:>8}",
        "size", "parameters", "tokens", "FLOP", "loss", "law"
    );
    for run in runs {
        text += &format!(
            "\n{:<6} {:>10.2e} {:>10.2e} {:>10.2e} {:>8.4} {:>8.4}",
            run.size,
            run.params,
            run.tokens,
            run.flops,
            run.loss,
            law.loss(run.params, run.tokens)
        );
    }
    text += &format!(
        "\n\nloss = {:.4} + {:.4} (N / {:.2e})^-{:.2} + {:.4} (D / {:.2e})^-{:.2}, off by {:.1} % (root mean square)\n\
         without any one run: alpha {:.2} to {:.2}, beta {:.2} to {:.2}, floor {:.4} to {:.4}\n\nbest for its operations:",
        law.floor,
        law.size_term,
        law.params,
        law.alpha,
        law.data_term,
        law.tokens,
        law.beta,
        100.0 * law.residual,
        alpha[0],
        alpha[1],
        beta[0],
        beta[1],
        floor[0],
        floor[1],
    );
    let most = runs.iter().map(|run| run.flops).fold(0.0, f64::max);
    for flops in [most / BEYOND, most, most * BEYOND] {
        let (params, tokens, loss) = law.best(flops);
        text += &format!(
            "\n{flops:.2e} FLOP: {params:.2e} parameters, {tokens:.2e} tokens, loss {loss:.4}"
        );
    }
    text + "\nThe last is ten times beyond what was measured; nothing is said of more."
}
