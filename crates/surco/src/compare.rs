//! One table: ours beside the baselines a reader would try first, on the same episodes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{Array2, Array3};
use rayon::prelude::*;
use surco_core::{Progress, largest};
use surco_data::{BatchSpec, Sample, SpectralBand};
use surco_eval::fewshot::{
    Asked, Episode, Facts, FewShotError, METRIC, Row, SeriesBand, SeriesSet, Shot, SuiteResult,
    leads, run_baselines, run_promise, score_answers, zones_of,
};
use surco_eval::prepare::{columns, fill_gaps};
use surco_eval::reconstruction::BandSeries;
use surco_learn::{AdapterFeatures, Features, MOST_UNLABELLED, Unlabelled, adapt};
use surco_net::{Model, fresh};

use crate::memory::busy_ms;

/// Labelled series and how a model reads them.
pub(crate) struct Comparison<'a> {
    /// Name of the set.
    pub(crate) name: &'a str,
    /// Series, point by point.
    pub(crate) samples: &'a [Sample],
    /// `[point, time, column]` as the baselines read them, NaN = not seen.
    pub(crate) values: &'a Array3<f32>,
    /// Columns.
    pub(crate) columns: &'a [SeriesBand],
    /// Time axis of `values`.
    pub(crate) days: &'a [i32],
    /// Class of each point.
    pub(crate) labels: &'a [String],
    /// Longitude and latitude, if known.
    pub(crate) places: Option<&'a [[f64; 2]]>,
    /// How series become batches.
    pub(crate) spec: BatchSpec,
    /// Block of each point, if sets of classes and probabilities are to be judged on the episodes.
    pub(crate) blocks: Option<&'a [u64]>,
    /// Series of the same ground without labels, if there are any but those of the set.
    pub(crate) beside: Option<Beside<'a>>,
    /// Whether parts of ours, and an encoder with random weights, have rows of their own.
    pub(crate) parts: bool,
}

/// Series without labels beside a set, and what the model reads in both.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// Series without labels.
    pub(crate) samples: &'a [Sample],
    /// Features of the set.
    pub(crate) ours: &'a Features,
    /// Features of the series without labels.
    pub(crate) others: &'a Unlabelled,
}

/// What a comparison gives.
pub(crate) struct Compared {
    /// A row for each method and k.
    pub(crate) table: SuiteResult,
    /// What `surco` says of the query of each episode, `[query, class]`.
    pub(crate) said: Vec<Array2<f32>>,
}

impl Comparison<'_> {
    /// The set as tables take it.
    pub(crate) fn view(&self) -> SeriesSet<'_> {
        SeriesSet {
            name: self.name,
            values: self.values.view(),
            bands: self.columns,
            days: self.days,
            labels: self.labels,
            places: self.places,
        }
    }
}

/// Runs every row: baselines, the encoder with random weights, values alone, the embedding alone, and `surco`, once with
/// the series asked about at hand unlabelled, once with others.
pub(crate) fn compare(
    set: &Comparison<'_>,
    model: &Model,
    episodes: &[Episode],
    seed: u64,
    progress: &dyn Progress,
) -> anyhow::Result<Compared> {
    let view = set.view();
    let began = busy_ms();
    let mut rows = run_baselines(&view, episodes, seed, progress)?;
    let (mut promises, mut said) = (Vec::new(), Vec::new());
    let (values, both) = (AdapterFeatures::Values, AdapterFeatures::Both);
    if set.spec.bands.is_empty() {
        let filled = fill_gaps(view.values, view.days);
        let columns = columns(&filled, None).mapv(|v| v as f32);
        let ours = Features { embedding: Array2::zeros((columns.nrows(), 0)), values: columns };
        for (name, unlabelled) in [("surco_others", Source::Others), ("surco", Source::Asked)] {
            let method = Method { features: &ours, kind: values, unlabelled };
            said = method.run(&view, episodes, progress)?;
            rows.extend(scored(&view, episodes, name, &said)?);
        }
    } else {
        let device = model.device();
        let embedding = AdapterFeatures::Embedding;
        let read = |kind, model: &Model, samples: &[Sample]| {
            let refs: Vec<&Sample> = samples.iter().collect();
            Features::new(kind, model, &refs, &set.spec, &device)
        };
        progress.report("embed", 0, 2, "");
        let ours = match set.beside {
            Some(Beside { ours, .. }) => Cow::Borrowed(ours),
            None => Cow::Owned(read(both, model, set.samples)),
        };
        let ours = &*ours;
        progress.report("embed", 1, 2, "");
        let untrained = set.parts.then(|| {
            let encoder = fresh(model.config.size, seed ^ 0x5EED, &device);
            let random = Model { encoder, config: model.config.clone() };
            let others = |beside: Beside<'_>| read(embedding, &random, beside.samples);
            let others = set.beside.map(|beside| Unlabelled::new(others(beside)));
            (read(embedding, &random, set.samples), others)
        });
        progress.report("embed", 2, 2, "");
        let asked = set.beside.map_or(Source::Asked, |beside| Source::These(beside.others));
        let mut methods = Vec::new();
        if let Some((features, others)) = &untrained {
            let asked_too = others.as_ref().map_or(Source::Asked, Source::These);
            methods.push(("random_encoder", features, embedding, asked_too));
            methods.push(("surco_values", ours, values, asked));
            methods.push(("surco_embedding", ours, embedding, asked));
        }
        if set.beside.is_none() {
            methods.push(("surco_others", ours, both, Source::Others));
        }
        methods.push(("surco", ours, both, asked));
        for (name, features, kind, unlabelled) in methods {
            let method = Method { features, kind, unlabelled };
            said = method.run(&view, episodes, progress)?;
            rows.extend(scored(&view, episodes, name, &said)?);
            if let ("surco", Some(blocks)) = (name, set.blocks) {
                let chances = |asked: Asked<'_>| method.chances(view.labels.len(), asked);
                promises = run_promise(&view, episodes, blocks, progress, chances)?;
            }
        }
    }
    let leads = leads(&rows, "surco");
    let cpu_s = busy_ms().zip(began).map(|(end, began)| (end - began) / 1000.0);
    let zones = match set.places {
        Some(places) => zones_of(places.iter().copied()),
        None => zones_of(set.samples.iter().filter_map(|sample| sample.site.lonlat)),
    };
    let facts = Some(Facts::of(set.labels.len(), episodes, zones, cpu_s));
    let table =
        SuiteResult { set: set.name.into(), metric: METRIC.into(), rows, leads, promises, facts };
    Ok(Compared { table, said })
}

/// Rows of our adapter on an embedding of any encoder and values, the series asked about at hand unlabelled.
pub(crate) fn adapted(
    set: &Comparison<'_>,
    features: &Features,
    name: &str,
    episodes: &[Episode],
    progress: &dyn Progress,
) -> Result<Vec<Row>, FewShotError> {
    let method = Method { features, kind: AdapterFeatures::Both, unlabelled: Source::Asked };
    let view = set.view();
    scored(&view, episodes, name, &method.run(&view, episodes, progress)?)
}

/// Rows of a method that said this of the query of each episode.
fn scored(
    view: &SeriesSet<'_>,
    episodes: &[Episode],
    name: &str,
    said: &[Array2<f32>],
) -> Result<Vec<Row>, FewShotError> {
    let answers: Vec<Vec<usize>> =
        said.iter().map(|said| said.rows().into_iter().map(largest).collect()).collect();
    score_answers(view, episodes, name, &answers)
}

/// Where the unlabelled series that an adaptation may look at come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// Those asked about, as they are at hand when a map is made; baselines are scaled by them too.
    Asked,
    /// Others of the set.
    Others,
    /// These.
    These(&'a Unlabelled),
}

struct Method<'a> {
    features: &'a Features,
    kind: AdapterFeatures,
    unlabelled: Source<'a>,
}

impl Method<'_> {
    /// Probabilities `[query, class]` of each episode.
    fn run(
        &self,
        view: &SeriesSet<'_>,
        episodes: &[Episode],
        progress: &dyn Progress,
    ) -> Result<Vec<Array2<f32>>, FewShotError> {
        let done = AtomicU64::new(0);
        let say = |shot: &Shot<'_>| {
            if progress.stopped() {
                return Err(FewShotError::Stopped);
            }
            let Episode { support, query, classes, .. } = shot.episode;
            let labels = &shot.support_labels;
            let classes = classes.len();
            let asked = Asked { support, labels, query, classes, unlabelled: query };
            let said = self.chances(view.labels.len(), asked);
            let done = 1 + done.fetch_add(1, Ordering::Relaxed);
            progress.report("evaluate", done, episodes.len() as u64, "");
            Ok(said)
        };
        view.shots(episodes)?.par_iter().map(say).collect()
    }

    /// Probabilities `[query, class]` of what is asked in a set of so many points.
    fn chances(&self, points: usize, asked: Asked<'_>) -> Array2<f32> {
        let Asked { support, labels, query, classes, unlabelled } = asked;
        let some_of = |points: &[usize]| {
            Unlabelled::new(self.features.select(&spread_over(points, MOST_UNLABELLED)))
        };
        let own;
        let context = match self.unlabelled {
            Source::These(these) => these,
            Source::Asked => {
                own = some_of(unlabelled);
                &own
            }
            Source::Others => {
                let used: HashSet<usize> = support.iter().chain(query).copied().collect();
                own = some_of(&(0..points).filter(|p| !used.contains(p)).collect::<Vec<_>>());
                &own
            }
        };
        let given = self.features.select(support);
        let adapter = adapt(&given, labels, classes, context, self.kind);
        adapter.predict(&self.features.select(query))
    }
}

/// At most so many of these, evenly.
pub(crate) fn spread_over<T: Clone>(all: &[T], most: usize) -> Vec<T> {
    let kept = most.min(all.len());
    (0..kept).map(|i| all[i * all.len() / kept].clone()).collect()
}

/// Series on one time axis as the baselines read them: every day any series was seen.
pub(crate) fn on_one_axis(samples: &[Sample], bands: usize) -> (Vec<i32>, Array3<f32>) {
    let mut days: Vec<i32> = samples.iter().flat_map(|s| s.days.iter().copied()).collect();
    days.sort_unstable();
    days.dedup();
    let mut values = Array3::from_elem((samples.len(), days.len(), bands), f32::NAN);
    for (point, sample) in samples.iter().enumerate() {
        for (i, day) in sample.days.iter().enumerate() {
            let t = days.partition_point(|d| d < day);
            for (b, &v) in sample.date(i, bands).iter().enumerate() {
                values[[point, t, b]] = v;
            }
        }
    }
    (days, values)
}

/// A series date by date, with its block.
pub(crate) fn band_series(sample: &Sample, bands: usize, block: u64) -> BandSeries {
    let values = Array2::from_shape_fn((sample.len(), bands), |(t, b)| sample.date(t, bands)[b]);
    BandSeries { days: sample.days.clone(), values, block }
}

/// Columns of a cube for the baselines.
pub(crate) fn columns_of(bands: &[SpectralBand], names: &[String]) -> Vec<SeriesBand> {
    let column = |(band, name): (&SpectralBand, &String)| SeriesBand {
        name: name.clone(),
        centre_nm: Some(band.centre_nm),
    };
    bands.iter().zip(names).map(column).collect()
}

/// The table as text.
pub(crate) fn table(result: &SuiteResult) -> String {
    let mut ks: Vec<usize> = result.rows.iter().map(|r| r.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let mut methods: Vec<&str> = Vec::new();
    for row in &result.rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let mut text = format!("{}, {} in %, mean ± sd\n{:<16}", result.set, result.metric, "");
    for k in &ks {
        text += &format!("{:>14}", format!("k = {k}"));
    }
    for method in methods {
        text += &format!("\n{method:<16}");
        for k in &ks {
            let row = result.rows.iter().find(|r| r.method == method && r.k == *k);
            let cell = row
                .map_or(String::new(), |r| format!("{:.1} ± {:.1}", r.mean * 100.0, r.sd * 100.0));
            text += &format!("{cell:>14}");
        }
    }
    result.leads.iter().for_each(|lead| text += &format!("\n{lead}"));
    result.promises.iter().for_each(|promise| text += &format!("\n{promise}"));
    if let Some(facts) = &result.facts {
        text += &format!("\n{facts}");
    }
    text
}
