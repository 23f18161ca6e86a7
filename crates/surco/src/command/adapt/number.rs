//! A task that foretells a number, and how far off it is on blocks held out.

use ndarray::Axis;
use serde::Serialize;
use surco_core::Progress;
use surco_eval::folds::block_folds;
use surco_eval::regression::{Errors, Growth, RegressionForest, half_width};
use surco_eval::spread::Spread;
use surco_learn::NumberHead;
use surco_map::{NumberTask, save_number_task};
use surco_net::{Device, Model};

use super::{Args, LEVEL, LabelFile, Prepared, read_labelled};
use crate::exit::BadInput;
use crate::screen::Screen;

/// Folds of blocks, for judging and, among the labels learned from, for choosing.
const FOLDS: usize = 5;

/// Trees of the forest beside it.
const TREES: usize = 200;

const METHODS: [&str; 3] = ["mean", "forest, values", "surco"];

/// One method on blocks held out, over the seeds.
#[derive(Debug, Serialize)]
struct Row {
    method: &'static str,
    rmse: Spread,
    r2: Spread,
    bias: Spread,
}

/// How far off numbers are on blocks held out.
#[derive(Debug, Serialize)]
struct Judged {
    rows: Vec<Row>,
    /// Share of the truth that intervals held, each fold's by the errors of the others.
    coverage: Spread,
    /// Their mean width.
    width: Spread,
    /// Whether the head is closer than the mean of the labels by more than two standard deviations over seeds.
    better_than_mean: bool,
    /// Half the width of an interval amid the labels, by all folds of the first seed.
    #[serde(skip)]
    half_width: f64,
}

/// What is learned from.
struct Labelled<'a> {
    features: &'a Prepared,
    numbers: Vec<f64>,
    blocks: &'a [u64],
}

/// What one seed said of every label, held out with its block.
struct Said {
    /// Of each of [`METHODS`].
    methods: [Vec<f64>; 3],
    stretch: Vec<f64>,
    folds: Vec<usize>,
}

pub(super) fn run(
    args: &Args,
    column: &str,
    (model, weights): &(Model, String),
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<u64> {
    let (class_column, epsg) = (Some(column), args.epsg);
    let file = LabelFile { path: &args.labels, class_column, epsg, naming: None, numbers: true };
    let read = read_labelled(&args.store, &file, args.block_m, args.per_class, screen)?;
    let features = Prepared::new(&read, model, device);
    let numbers =
        read.labelled.classes.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let labelled = Labelled { features: &features, numbers, blocks: &read.labelled.blocks };
    let mut blocks = labelled.blocks.to_vec();
    blocks.sort_unstable();
    blocks.dedup();
    if blocks.len() < FOLDS {
        let text = format!(
            "labels {} lie in {} blocks of {} m: numbers are judged on {FOLDS} at least; label places farther apart, or give a smaller --block-m",
            args.labels.display(),
            blocks.len(),
            args.block_m
        );
        return Err(BadInput(text).into());
    }
    let judged = labelled.judge(args.seeds, screen)?;
    let folds = block_folds(labelled.blocks, FOLDS, 0);
    let mut head = labelled.fit(&features.support, &labelled.numbers, &folds)?;
    head.half_width = judged.half_width;
    let (number, labels) = (column.to_owned(), labelled.numbers.len());
    let (weights_sha256, window) = (weights.clone(), read.window);
    let task = NumberTask { schema: 1, number, head, level: LEVEL, weights_sha256, window, labels };
    save_number_task(&task, &args.out)?;
    let json = serde_json::json!({
        "task": args.out, "number": column, "labels": labels, "blocks": blocks.len(),
        "features": task.head.features, "unseen": read.unseen, "assumed": read.told.assumed,
        "left_out": read.told.left_out,
        "left_out_pixels": read.told.left_out_pixels, "cross_validation": judged,
    });
    let text = format!("{}\ntask: {}", judged.told(column, &labelled), args.out.display());
    screen.result(&json, &text)?;
    Ok(0)
}

impl Labelled<'_> {
    fn fit(
        &self,
        support: &surco_learn::Features,
        numbers: &[f64],
        folds: &[usize],
    ) -> anyhow::Result<NumberHead> {
        let head = NumberHead::fit(support, numbers, folds, &self.features.unlabelled);
        head.ok_or_else(|| BadInput("no label has a series that tells anything".into()).into())
    }

    fn judge(&self, seeds: u64, screen: &Screen) -> anyhow::Result<Judged> {
        let mut errors: [Vec<Errors>; 3] = Default::default();
        let (mut coverage, mut width, mut half) = (Vec::new(), Vec::new(), None);
        for seed in 0..seeds {
            screen.report("numbers", seed, seeds, "");
            anyhow::ensure!(!screen.stopped(), "stopped by the user");
            let said = self.held_out(seed)?;
            for (errors, values) in errors.iter_mut().zip(&said.methods) {
                errors.push(Errors::of(&self.numbers, values));
            }
            let (held, wide) = self.intervals(&said);
            coverage.push(held);
            width.push(wide);
            half.get_or_insert_with(|| half_width(self.scaled(&said, |_| true), LEVEL));
        }
        let of = |errors: &[Errors], pick: fn(&Errors) -> f64| {
            Spread::of(&errors.iter().map(pick).collect::<Vec<f64>>())
        };
        let row = |(method, errors): (&&'static str, &Vec<Errors>)| Row {
            method,
            rmse: of(errors, |e| e.rmse),
            r2: of(errors, |e| e.r2),
            bias: of(errors, |e| e.bias),
        };
        let rows: Vec<Row> = METHODS.iter().zip(&errors).map(row).collect();
        let (mean, ours) = (rows[0].rmse, rows[2].rmse);
        Ok(Judged {
            better_than_mean: ours.mean + 2.0 * ours.sd < mean.mean,
            rows,
            coverage: Spread::of(&coverage),
            width: Spread::of(&width),
            half_width: half.unwrap_or(f64::INFINITY),
        })
    }

    /// What is said of each label by those of other folds.
    fn held_out(&self, seed: u64) -> anyhow::Result<Said> {
        let n = self.numbers.len();
        let folds = block_folds(self.blocks, FOLDS, seed);
        let mut said = Said {
            methods: [vec![f64::NAN; n], vec![f64::NAN; n], vec![f64::NAN; n]],
            stretch: vec![f64::NAN; n],
            folds,
        };
        for fold in 0..FOLDS {
            let (held, kept): (Vec<usize>, Vec<usize>) =
                (0..n).partition(|&row| said.folds[row] == fold);
            let given: Vec<f64> = kept.iter().map(|&row| self.numbers[row]).collect();
            let blocks: Vec<u64> = kept.iter().map(|&row| self.blocks[row]).collect();
            let inner = block_folds(&blocks, FOLDS, seed);
            let (support, asked) =
                (self.features.support.select(&kept), self.features.support.select(&held));
            let found = self.fit(&support, &given, &inner)?.predict(&asked);
            let values = &self.features.support.values;
            let x = |rows: &[usize]| values.select(Axis(0), rows);
            let forest =
                RegressionForest::fit(x(&kept).view(), &given, Growth::EXTRA, TREES, seed)?;
            let trees = forest.predict(x(&held).view())?;
            let mean = given.iter().sum::<f64>() / given.len() as f64;
            for (i, &row) in held.iter().enumerate() {
                let all = [mean, trees[i], f64::from(found.numbers[i])];
                said.methods.iter_mut().zip(all).for_each(|(values, value)| values[row] = value);
                said.stretch[row] = f64::from(found.stretch[i]);
            }
        }
        Ok(said)
    }

    /// Errors of the head over their stretch, of the rows of some folds.
    fn scaled(&self, said: &Said, of: impl Fn(usize) -> bool) -> Vec<f64> {
        let rows = (0..self.numbers.len()).filter(|&row| of(said.folds[row]));
        rows.map(|row| (said.methods[2][row] - self.numbers[row]).abs() / said.stretch[row])
            .collect()
    }

    /// Share of the truth in intervals by the errors of other folds, and their mean width.
    fn intervals(&self, said: &Said) -> (f64, f64) {
        let (mut held, mut width) = (0.0, 0.0);
        for fold in 0..FOLDS {
            let half = half_width(self.scaled(said, |other| other != fold), LEVEL);
            for row in (0..self.numbers.len()).filter(|&row| said.folds[row] == fold) {
                let reach = half * said.stretch[row];
                held += f64::from((said.methods[2][row] - self.numbers[row]).abs() <= reach);
                width += 2.0 * reach;
            }
        }
        let n = self.numbers.len() as f64;
        (held / n, width / n)
    }
}

impl Judged {
    fn told(&self, column: &str, labelled: &Labelled<'_>) -> String {
        let (least, most) = labelled
            .numbers
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let mut text = format!(
            "{column}: {} labelled pixels, {least} to {most}, judged on blocks held out\n{:<16} {:>18} {:>16} {:>16}",
            labelled.numbers.len(),
            "",
            "rmse",
            "r2",
            "bias"
        );
        let of = |s: &Spread, digits: usize| format!("{:.digits$} ± {:.digits$}", s.mean, s.sd);
        for row in &self.rows {
            let (rmse, r2, bias) = (of(&row.rmse, 3), of(&row.r2, 3), of(&row.bias, 3));
            text += &format!("\n{:<16} {rmse:>18} {r2:>16} {bias:>16}", row.method);
        }
        text += &format!(
            "\nintervals for {:.0} % are {:.3} wide and held {:.1} %",
            100.0 * LEVEL,
            self.width.mean,
            100.0 * self.coverage.mean
        );
        if !self.better_than_mean {
            text += "\nno better than the mean of the labels on blocks held out: too few labels, or nothing in the images tells it";
        }
        text
    }
}
