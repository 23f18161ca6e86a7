//! `surco pretrain`: an encoder learns from pixels without labels.

use std::path::{Path, PathBuf};

use surco_learn::{Curve, LearnError, PretrainConfig, Throughput, pretrain_system};
use surco_net::Device;

use crate::learning::{Sources, WindowCuts, pool, read_config};
use crate::screen::Screen;

/// Pre-trains an encoder without labels
///
/// The run folder holds the config, `metrics.jsonl` (what was computed), `speed.jsonl` (how fast), `tensorboard/`,
/// `loss.svg`, checkpoints and at the end `model/`. A run that was stopped or killed goes on with --resume as if
/// it had not been.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cat > pretrain.toml <<END\n  schema = 1\n  stores = [\"valley\"]\n  out    = \"run\"\n  size   = \"nano\"\n  steps  = 400\n  END\n  surco pretrain pretrain.toml\n  surco pretrain pretrain.toml --resume"
)]
pub(crate) struct Args {
    /// Run description (TOML), see docs/config/pretrain.toml
    config: PathBuf,
    /// Go on from the last checkpoint
    #[arg(long)]
    resume: bool,
}

pub(crate) fn run(args: &Args, devices: &[Device], screen: &Screen) -> anyhow::Result<u64> {
    let config: PretrainConfig = read_config(&args.config)?;
    config.check()?;
    let cuts = WindowCuts { windows: config.windows, window_px: config.window_px };
    let exclusion = &config.exclusion()?;
    let sources = Sources { stores: &config.stores, tables: &config.tables, exclusion };
    let pool = pool(sources, cuts, config.seed, screen)?;
    let started = std::time::Instant::now();
    let trained = pretrain_system(&config, &pool, args.resume, devices, screen);
    let (_, done) = drawn(trained, &config.out)?;
    let seconds = started.elapsed().as_secs_f64();
    let tokens: u64 = done.curve.0.iter().map(|p| p.tokens).sum();
    let json = serde_json::json!({
        "model": config.out.join("model"),
        "steps": config.steps,
        "resumed_from": done.resumed_from,
        "loss_first": done.curve.mean_loss(false),
        "loss_last": done.curve.mean_loss(true),
        "validation_first": done.curve.first_validation(),
        "validation_last": done.curve.last_validation(),
        "series": { "train": pool.train.len(), "validation": pool.validation.len() },
        "tokens": tokens,
        "seconds": seconds,
        "pretexts": pretexts_json(&done.curve),
        "throughput": throughput_json(done.throughput),
        "weights_sha256": done.weights_sha256,
    });
    let text = format!(
        "{} steps in {seconds:.1} s, loss {:.4} → {:.4}, validation {:.4} → {:.4}\n{}{}\nmodel: {}",
        config.steps,
        done.curve.mean_loss(false).unwrap_or(f64::NAN),
        done.curve.mean_loss(true).unwrap_or(f64::NAN),
        done.curve.first_validation().unwrap_or(f64::NAN),
        done.curve.last_validation().unwrap_or(f64::NAN),
        pretexts_text(&done.curve),
        throughput_text(done.throughput),
        config.out.join("model").display()
    );
    screen.result(&json, &text)?;
    Ok(0)
}

/// The validation of each pretext of a mixture, first and last.
fn validations(curve: &Curve) -> Vec<(&str, Option<f64>, Option<f64>)> {
    let of = |name| {
        let measured = || {
            let losses = curve.0.iter().filter_map(move |p| p.pretexts.get(name));
            losses.filter_map(|loss| loss.validation)
        };
        (name, measured().next(), measured().next_back())
    };
    curve.pretexts().into_iter().map(of).collect()
}

fn pretexts_json(curve: &Curve) -> serde_json::Value {
    let of = |(name, first, last): (&str, Option<f64>, Option<f64>)| {
        let losses = serde_json::json!({ "validation_first": first, "validation_last": last });
        (name.to_string(), losses)
    };
    validations(curve).into_iter().map(of).collect::<serde_json::Map<_, _>>().into()
}

fn pretexts_text(curve: &Curve) -> String {
    let of = |(name, first, last): (&str, Option<f64>, Option<f64>)| {
        let [first, last] = [first, last].map(|loss| loss.unwrap_or(f64::NAN));
        format!("{name}: validation {first:.4} → {last:.4}\n")
    };
    validations(curve).into_iter().map(of).collect()
}

/// Throughput in JSON.
pub(crate) fn throughput_json(speed: Throughput) -> serde_json::Value {
    serde_json::json!({
        "tokens_per_s": speed.tokens_per_s(),
        "model_flops_per_s": speed.flops_per_s(),
        "peak_flops_per_s": speed.peak_flops_per_s,
        "peak_share": speed.peak_share(),
        "wait_share": speed.wait_share(),
    })
}

/// Throughput as people read it.
pub(crate) fn throughput_text(speed: Throughput) -> String {
    format!(
        "{:.0} tokens/s, {:.1} GFLOP/s of the model: {:.0} % of the {:.0} GFLOP/s that a large matrix product \
         reaches here; {:.1} % of the time waiting for batches",
        speed.tokens_per_s(),
        speed.flops_per_s() / 1e9,
        100.0 * speed.peak_share(),
        speed.peak_flops_per_s / 1e9,
        100.0 * speed.wait_share(),
    )
}

/// Draws the loss curve of a run that ended or was stopped beside its metrics, and that of each pretext of a mixture.
pub(crate) fn drawn<T>(trained: Result<T, LearnError>, out: &Path) -> anyhow::Result<T> {
    if matches!(trained, Ok(_) | Err(LearnError::Stopped { .. })) {
        let curve = Curve::read(out)?;
        let svg = surco_eval::report::curve_svg(&report_curve(&curve, "loss"));
        surco_core::write_whole(&out.join("loss.svg"), svg.as_bytes())?;
        for name in curve.pretexts() {
            let svg = surco_eval::report::curve_svg(&pretext_curve(&curve, name));
            surco_core::write_whole(&out.join(format!("loss_{name}.svg")), svg.as_bytes())?;
        }
    }
    Ok(trained?)
}

/// A curve as the report draws it.
pub(crate) fn report_curve(curve: &Curve, measure: &str) -> surco_eval::report::Curve {
    let point = |p: &surco_learn::CurvePoint| surco_eval::report::CurvePoint {
        step: p.step,
        train: p.loss,
        validation: p.validation,
    };
    surco_eval::report::Curve {
        measure: measure.into(),
        higher_is_better: false,
        points: curve.0.iter().map(point).collect(),
    }
}

/// The curve of one pretext of a mixture. What a step lacks is no number, which charts leave out.
fn pretext_curve(curve: &Curve, name: &str) -> surco_eval::report::Curve {
    let point = |p: &surco_learn::CurvePoint| {
        let losses = p.pretexts.get(name)?;
        Some(surco_eval::report::CurvePoint {
            step: p.step,
            train: losses.loss.unwrap_or(f64::NAN),
            validation: losses.validation,
        })
    };
    surco_eval::report::Curve {
        measure: format!("{name} loss"),
        higher_is_better: false,
        points: curve.0.iter().filter_map(point).collect(),
    }
}
