//! `surco evaluate pastis`: crops of pixels on PASTIS' folds, under a frozen encoder.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use surco_core::Progress;
use surco_data::Sample;
use surco_data::eurocropsml::parcel_bands;
use surco_data::pastis::{Patch, PatchPixels, VOID, read_patches, read_pixels};
use surco_eval::folds::shuffle;
use surco_eval::forest::{RandomForest, TREES};
use surco_eval::metrics::Confusion;
use surco_eval::pretraining::{ProbeTask, RANDOM, RAW_FOREST, RAW_LOGISTIC, linear_probe};
use surco_eval::reconstruction::interpolated;
use surco_eval::segmentation::{SegmentationTable, SegmentationTask, csv, html, markdown};
use surco_eval::suite::SuiteName;
use surco_net::{Device, Model, embed, fresh};

use super::write_files;
use crate::compare::band_series;
use crate::exit::BadInput;
use crate::released;
use crate::screen::Screen;

/// Name of our row.
const OURS: &str = "surco, frozen";

/// Days between the dates that raw values are read on.
const EVERY_D: usize = 15;

/// Crops of the classes 1 to 18, as PASTIS names them; class 0 is the background.
const CLASSES: [&str; VOID as usize] = [
    "background",
    "meadow",
    "soft winter wheat",
    "corn",
    "winter barley",
    "winter rapeseed",
    "spring barley",
    "sunflower",
    "grapevine",
    "beet",
    "winter triticale",
    "winter durum wheat",
    "fruits, vegetables, flowers",
    "potatoes",
    "leguminous fodder",
    "soybeans",
    "orchard",
    "mixed cereal",
    "sorghum",
];

/// PASTIS: crops of pixels, a frozen encoder under a logistic regression, beside raw values and random weights
///
/// Folds 1 to 3 are learned from, 4 chooses the penalty, 5 is judged on, by mean intersection over union without the void class.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco evaluate pastis PASTIS --out table")]
pub(super) struct Args {
    /// Folder with metadata.geojson, DATA_S2/ and ANNOTATIONS/
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Pixels drawn from each patch
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pixels: u32,
    /// Number of seeds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(5..))]
    seeds: u64,
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Folder for table.json, table.csv, table.md and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Pixels drawn, and which are for what.
struct Drawn {
    labels: Vec<usize>,
    samples: Vec<Sample>,
    train: Vec<usize>,
    validation: Vec<usize>,
    test: Vec<usize>,
}

pub(super) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let suite = SuiteName::Pastis.describe();
    suite.check(&args.folder)?;
    let patches = read_patches(&args.folder)?;
    let drawn = draw(&args.folder, &patches, args.pixels as usize, screen)?;
    let days = patches.iter().flat_map(|patch| patch.days.iter().copied());
    let (first, last) = days.fold((i32::MAX, i32::MIN), |(a, b), day| (a.min(day), b.max(day)));
    let raw = raw_values(&drawn.samples, first, last);
    let (model, _) = released::model(args.model.as_deref(), device)?;
    let window = (first.min(last - 364), last + 1);
    let embedded = |model: &Model| {
        let refs: Vec<&Sample> = drawn.samples.iter().collect();
        let spec = model.config.spec(&parcel_bands(), window);
        embed(model, &refs, &spec, device).mapv(f64::from)
    };
    let ours = embedded(&model);
    let names = [OURS, RANDOM, RAW_LOGISTIC, RAW_FOREST];
    let mut found: Vec<(String, Vec<Confusion>)> =
        names.map(|name| (name.to_string(), Vec::new())).into();
    let mut learned = 0;
    for seed in 0..args.seeds {
        screen.report("seed", seed, args.seeds, "");
        anyhow::ensure!(!screen.stopped(), "stopped by the user");
        let encoder = fresh(model.config.size, seed ^ 0x5EED_0000, device);
        let random = embedded(&Model { encoder, config: model.config.clone() });
        let train = half(&drawn.train, seed);
        learned = train.len();
        let said = ask(&drawn, &train, [&ours, &random, &raw], seed)?;
        for ((_, confusions), confusion) in found.iter_mut().zip(said) {
            confusions.push(confusion);
        }
    }
    let task = SegmentationTask {
        set: suite.title.clone(),
        classes: CLASSES.map(Into::into).to_vec(),
        learned,
        chosen_by: drawn.validation.len(),
        judged: drawn.test.len(),
    };
    let table = SegmentationTable::new(task, &suite, &found, OURS);
    if let Some(out) = &args.out {
        let files = [
            ("table.json", serde_json::to_string_pretty(&table)?),
            ("table.csv", csv(&table)),
            ("table.md", markdown(&table)),
            ("report.html", html(&table)?),
        ];
        write_files(out, &files)?;
    }
    screen.result(&table, &markdown(&table))?;
    Ok(0)
}

/// Draws as many pixels from every patch, none of them void.
fn draw(folder: &Path, patches: &[Patch], pixels: usize, screen: &Screen) -> anyhow::Result<Drawn> {
    let done = std::sync::atomic::AtomicU64::new(0);
    let read = |patch: &Patch| {
        let mut rng = ChaCha8Rng::seed_from_u64(patch.id);
        let drawn = read_pixels(folder, patch, |classes| {
            let known = (0..classes.len()).filter(|&pixel| classes[pixel] != VOID);
            let mut known: Vec<usize> = known.collect();
            let kept = pixels.min(known.len());
            for i in 0..kept {
                let other = rng.random_range(i..known.len());
                known.swap(i, other);
            }
            known.truncate(kept);
            known
        });
        let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        screen.report("read", done, patches.len() as u64, "");
        drawn
    };
    let read: Vec<PatchPixels> = patches.par_iter().map(read).collect::<Result<_, _>>()?;
    let mut drawn = Drawn {
        labels: Vec::new(),
        samples: Vec::new(),
        train: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
    };
    for (patch, pixels) in patches.iter().zip(read) {
        let places = drawn.samples.len()..drawn.samples.len() + pixels.samples.len();
        let part = match patch.fold {
            5 => &mut drawn.test,
            4 => &mut drawn.validation,
            _ => &mut drawn.train,
        };
        part.extend(places);
        drawn.labels.extend(pixels.classes.into_iter().map(usize::from));
        drawn.samples.extend(pixels.samples);
    }
    if [&drawn.train, &drawn.validation, &drawn.test].iter().any(|part| part.len() < 2) {
        let text = format!(
            "{}: folds 1 to 3, 4 and 5 have {}, {} and {} pixels of a known class, each needs two",
            folder.display(),
            drawn.train.len(),
            drawn.validation.len(),
            drawn.test.len()
        );
        return Err(BadInput(text).into());
    }
    Ok(drawn)
}

/// Half of these, another half a seed.
fn half(points: &[usize], seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut points = points.to_vec();
    shuffle(&mut points, &mut rng);
    points.truncate(points.len().div_ceil(2));
    points
}

/// Confusion on fold 5 of the three probes and the forest, in the order of the rows.
fn ask(
    drawn: &Drawn,
    train: &[usize],
    [ours, random, raw]: [&Array2<f64>; 3],
    seed: u64,
) -> anyhow::Result<[Confusion; 4]> {
    let Drawn { labels, validation, test, .. } = drawn;
    let task = ProbeTask { labels, classes: CLASSES.len(), train, validation, test };
    let narrow = |points: &[usize]| raw.select(Axis(0), points).mapv(|v| v as f32);
    let given = task.classes_of(train);
    let forest = RandomForest::fit(narrow(train).view(), &given, task.classes, TREES, seed)?;
    let said = [
        linear_probe(&task, ours.view())?,
        linear_probe(&task, random.view())?,
        linear_probe(&task, raw.view())?,
        forest.predict(narrow(test).view())?,
    ];
    let truth = task.classes_of(test);
    let [a, b, c, d] = said.map(|said| Confusion::count(&truth, &said, task.classes));
    Ok([a?, b?, c?, d?])
}

/// Reflectances every 15 days, linear between dates and held at the ends, `[pixel, time × band]`.
fn raw_values(samples: &[Sample], first: i32, last: i32) -> Array2<f64> {
    let bands = parcel_bands().len();
    let days: Vec<i32> = (first..=last).step_by(EVERY_D).collect();
    let mut values = Array2::zeros((samples.len(), days.len() * bands));
    for (sample, mut row) in samples.iter().zip(values.rows_mut()) {
        let all = interpolated(&band_series(sample, bands, 0), &days);
        row.iter_mut().zip(&all).for_each(|(to, &value)| *to = f64::from(value));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 0.2 on day 10 and 0.5 on day 40 give 0.2 on day 0, 0.25 on day 15, 0.4 on day 30 and 0.5 on day 45.
    #[test]
    fn raw_values_are_linear_between_dates_and_held_at_the_ends() {
        let both: Vec<f32> = [[0.2; 10], [0.5; 10]].concat();
        let sample = Sample::series(vec![10, 40], both, false);
        let values = raw_values(&[sample], 0, 45);
        for (t, want) in [0.2, 0.25, 0.4, 0.5].into_iter().enumerate() {
            assert!(
                (values[[0, t * 10 + 3]] - want).abs() < 1e-6,
                "{t}: {}",
                values[[0, t * 10 + 3]]
            );
        }
    }

    #[test]
    fn halves_differ_by_seed_and_hold_no_pixel_twice() {
        let all: Vec<usize> = (0..99).collect();
        let mut one = half(&all, 1);
        assert_ne!(one, half(&all, 2));
        one.sort_unstable();
        one.dedup();
        assert_eq!(one.len(), 50);
    }
}
