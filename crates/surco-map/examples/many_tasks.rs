//! Hundreds of tasks beside one backbone: what they weigh, how fast they change places, and what they lose against tuning
//! the whole backbone: `cargo run --release -p surco-map --example many_tasks -- MODEL OUT STORE TRUTH [STORE TRUTH …]`.
//!
//! STORE holds what `surco collect` made of a simulated valley, TRUTH is the folder `truth` of its archive. A task asks for
//! three to seven land uses of one valley from five labels each. Labels come from every other block of 320 m, what is asked
//! from the blocks between. Every tenth task is also learned by fine-tuning the backbone and a head on the same labels, a
//! fifth of which chooses rate and end.

#![expect(clippy::unwrap_used, reason = "a tool for measuring")]
#![expect(clippy::print_stdout, reason = "what an example measures is said on stdout")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::{Legend, Window};
use surco_data::{Batch, BatchSpec, Sample, SeriesWindow, read_cube};
use surco_eval::metrics::Confusion;
use surco_eval::spread::{Paired, Spread};
use surco_learn::{AdapterFeatures, Features, FineTuneTask, Unlabelled, adapt, fine_tune};
use surco_map::{Task, load_task, save_task};
use surco_net::{Device, Encoder, EncoderInput, Model, load_model};
use surco_raster::cog::CogFile;
use surco_store::Store;

const TASKS: usize = 200;

/// One task in so many is learned by fine-tuning too.
const TUNED: usize = 10;

const SHOTS: usize = 5;

/// Most pixels asked of a class.
const ASKED: usize = 60;

const BLOCK_PX: usize = 32;

struct Valley {
    names: Vec<String>,
    /// Pixels to learn from and pixels to ask, by class.
    given: Vec<Vec<usize>>,
    asked: Vec<Vec<usize>>,
    samples: Vec<Sample>,
    features: Features,
    unlabelled: Unlabelled,
    spec: BatchSpec,
    window: (i32, i32),
}

fn main() {
    let all: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, out, valleys @ ..] = all.as_slice() else { panic!("MODEL OUT STORE TRUTH …") };
    let device = Device::flex();
    let (model, sha) = load_model(model, &device).unwrap();
    let valleys: Vec<Valley> =
        valleys.chunks_exact(2).map(|v| Valley::read(&v[0], &v[1], &model, &device)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut scores, mut pairs) = (Vec::new(), Vec::new());
    for number in 0..TASKS {
        let drawn = Drawn::new(&valleys[number % valleys.len()], &mut rng);
        let task = drawn.task(&sha);
        save_task(&task, &out.join(format!("{number:03}"))).unwrap();
        scores.push(drawn.score_of_adapter(&task));
        if number % TUNED == 0 {
            pairs.push((scores[number], drawn.score_of_tuning(&model, &device)));
        }
    }
    let mut swaps = Vec::new();
    let mut bytes = 0;
    for number in 0..TASKS {
        let folder = out.join(format!("{number:03}"));
        bytes += std::fs::metadata(folder.join("task.json")).unwrap().len();
        let started = Instant::now();
        load_task(&folder, &sha).unwrap();
        swaps.push(started.elapsed().as_secs_f64() * 1e3);
    }
    swaps.sort_by(f64::total_cmp);
    let score = Spread::of(&scores);
    let each_kb = bytes as f64 / TASKS as f64 / 1e3;
    println!(
        "{TASKS} tasks: {each_kb:.1} kB each, balanced accuracy {:.1} ± {:.1} %",
        score.mean, score.sd
    );
    println!(
        "changing tasks: {:.2} ms in the middle, {:.2} ms at most",
        swaps[TASKS / 2],
        swaps[TASKS - 1]
    );
    let (adapters, tuned): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let lead = Paired::of(&adapters, &tuned).unwrap();
    let worse = adapters.iter().zip(&tuned).filter(|(a, t)| **a < **t - 1.0).count();
    println!(
        "{} of them by fine-tuning: {:.1} %, by adapter {:.1} %; lead {:+.1} ± {:.1}, {worse} adapters worse by more than a point",
        tuned.len(),
        Spread::of(&tuned).mean,
        Spread::of(&adapters).mean,
        lead.mean,
        lead.sd
    );
}

impl Valley {
    fn read(store: &Path, truth: &Path, model: &Model, device: &Device) -> Self {
        let store = Store::open(store).unwrap();
        let cell = store.cells().unwrap().remove(0);
        let reader = store.cell(&cell).unwrap();
        let whole = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        let cube = read_cube(&store, &SeriesWindow { cell, window: whole }, None).unwrap();
        let file = CogFile::open(truth.join("classes.tif")).unwrap();
        let codes = file.read_u8(whole).unwrap().index_axis_move(ndarray::Axis(0), 0);
        let legend = std::fs::read(truth.join("legend.json")).unwrap();
        let legend: Legend = serde_json::from_slice(&legend).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (mut samples, mut given, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for class in legend.classes() {
            let of = |learn: bool| -> Vec<(usize, usize)> {
                let here = codes.indexed_iter().filter(|(_, code)| **code == class.code);
                let half =
                    |at: &(usize, usize)| (at.0 / BLOCK_PX + at.1 / BLOCK_PX).is_multiple_of(2);
                here.map(|(at, _)| at).filter(|at| half(at) == learn).collect()
            };
            let mut draw = |places: Vec<(usize, usize)>| -> Vec<usize> {
                let drawn = (0..ASKED.min(places.len()))
                    .map(|_| {
                        let (row, col) = places[rng.random_range(0..places.len())];
                        cube.sample(row, col)
                    })
                    .filter(|sample| !sample.is_empty());
                let first = samples.len();
                samples.extend(drawn);
                (first..samples.len()).collect()
            };
            given.push(draw(of(true)));
            asked.push(draw(of(false)));
        }
        let (first, last) = (cube.days[0], cube.days[cube.days.len() - 1]);
        let window = (first.min(last - 364), last + 1);
        let spec = model.config.spec(&cube.bands, window);
        let features = |samples: &[Sample]| {
            let refs: Vec<&Sample> = samples.iter().collect();
            Features::new(AdapterFeatures::Both, model, &refs, &spec, device)
        };
        let (rows, cols) = cube.size();
        let others: Vec<Sample> = (0..1600)
            .map(|i| cube.sample(i / 40 * rows / 40, i % 40 * cols / 40))
            .filter(|sample| !sample.is_empty())
            .collect();
        Self {
            names: legend.classes().iter().map(|class| class.name.clone()).collect(),
            features: features(&samples),
            unlabelled: Unlabelled::new(features(&others)),
            given,
            asked,
            samples,
            spec,
            window,
        }
    }
}

/// One task: some classes of a valley, and their pixels.
struct Drawn<'a> {
    valley: &'a Valley,
    names: Vec<String>,
    support: Vec<usize>,
    /// Class of each pixel of the support, among the names.
    labels: Vec<usize>,
    query: Vec<usize>,
    truth: Vec<usize>,
}

impl<'a> Drawn<'a> {
    fn new(valley: &'a Valley, rng: &mut ChaCha8Rng) -> Self {
        let has = |&class: &usize| {
            valley.given[class].len() >= SHOTS && valley.asked[class].len() >= SHOTS
        };
        let mut classes: Vec<usize> = (0..valley.names.len()).filter(has).collect();
        for at in (1..classes.len()).rev() {
            classes.swap(at, rng.random_range(0..=at));
        }
        classes.truncate(rng.random_range(3..=7));
        let mut drawn = Self {
            valley,
            names: classes.iter().map(|&class| valley.names[class].clone()).collect(),
            support: Vec::new(),
            labels: Vec::new(),
            query: Vec::new(),
            truth: Vec::new(),
        };
        for (label, &class) in classes.iter().enumerate() {
            let mut given = valley.given[class].clone();
            for shot in 0..SHOTS {
                given.swap(shot, rng.random_range(shot..valley.given[class].len()));
            }
            drawn.support.extend(&given[..SHOTS]);
            drawn.labels.extend([label; SHOTS]);
            drawn.query.extend(&valley.asked[class]);
            drawn.truth.extend(valley.asked[class].iter().map(|_| label));
        }
        drawn
    }

    fn task(&self, weights_sha256: &str) -> Task {
        let Valley { features, unlabelled, window, .. } = self.valley;
        let (support, both) = (features.select(&self.support), AdapterFeatures::Both);
        Task {
            schema: 2,
            legend: Legend::from_names(&self.names).unwrap(),
            adapter: adapt(&support, &self.labels, self.names.len(), unlabelled, both),
            weights_sha256: weights_sha256.into(),
            window: *window,
            labels: vec![SHOTS; self.names.len()],
            sets: None,
        }
    }

    fn score_of_adapter(&self, task: &Task) -> f64 {
        let chances = task.adapter.predict(&self.valley.features.select(&self.query));
        let largest = |row: ndarray::ArrayView1<'_, f32>| {
            (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
        };
        self.score(&chances.rows().into_iter().map(largest).collect::<Vec<_>>())
    }

    fn score_of_tuning(&self, model: &Model, device: &Device) -> f64 {
        let points: Vec<usize> = self.support.iter().chain(&self.query).copied().collect();
        let samples: Vec<Sample> = points.iter().map(|&p| self.valley.samples[p].clone()).collect();
        let labels: Vec<usize> = self.labels.iter().chain(&self.truth).copied().collect();
        let (validation, train): (Vec<usize>, Vec<usize>) =
            (0..self.support.len()).partition(|i| i % SHOTS == 0);
        let test: Vec<usize> = (self.support.len()..points.len()).collect();
        let task = FineTuneTask {
            samples: &samples,
            labels: &labels,
            classes: self.names.len(),
            train: &train,
            validation: &validation,
            test: &test,
            seed: 1,
        };
        let spec = &self.valley.spec;
        let embed = |encoder: &Encoder, samples: &[&Sample], device: &Device| {
            encoder.embed(&EncoderInput::new(&Batch::new(samples, spec), device))
        };
        let width = spec.queries.map_or(1, |queries| queries.parts) * model.encoder.width();
        let tuned = fine_tune(&model.encoder, &task, width, embed, device).unwrap();
        self.score(&tuned.predicted)
    }

    /// Balanced accuracy in percent.
    fn score(&self, said: &[usize]) -> f64 {
        100.0 * Confusion::count(&self.truth, said, self.names.len()).unwrap().balanced_accuracy()
    }
}
