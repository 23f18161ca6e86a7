//! One table: ours beside the baselines a reader would try first, on the same episodes.

use ndarray::Array3;
use surco_core::Progress;
use surco_data::{BatchSpec, Sample, SpectralBand};
use surco_eval::fewshot::{
    Episode, METRIC, Row, SeriesBand, SeriesSet, Shot, SuiteResult, run_baselines, run_method,
};
use surco_learn::{AdapterFeatures, Features, adapt};
use surco_net::{Model, fresh};

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
}

/// Runs every row: baselines, the encoder with random weights, the embedding alone, and `surco`, whose
/// features and strength are chosen on the support set alone.
pub(crate) fn compare(
    set: &Comparison<'_>,
    model: &Model,
    episodes: &[Episode],
    seed: u64,
    progress: &dyn Progress,
) -> anyhow::Result<SuiteResult> {
    let view = SeriesSet {
        name: set.name,
        values: set.values.view(),
        bands: set.columns,
        days: set.days,
        labels: set.labels,
        places: set.places,
    };
    let mut rows = run_baselines(&view, episodes, seed, progress)?;
    let device = model.device();
    let refs: Vec<&Sample> = set.samples.iter().collect();
    let random = Model {
        encoder: fresh(model.config.size, seed ^ 0x5EED, &device),
        config: model.config.clone(),
    };
    progress.report("embed", 0, 2, "");
    let ours = Features::new(AdapterFeatures::Both, model, &refs, &set.spec, &device);
    progress.report("embed", 1, 2, "");
    let random = Features::new(AdapterFeatures::Both, &random, &refs, &set.spec, &device);
    progress.report("embed", 2, 2, "");
    let methods: [(&str, &Features, &[AdapterFeatures]); 4] = [
        ("ridge_values", &ours, &[AdapterFeatures::Values]),
        ("random_encoder", &random, &[AdapterFeatures::Embedding]),
        ("surco_embedding", &ours, &[AdapterFeatures::Embedding]),
        ("surco", &ours, &AdapterFeatures::ALL),
    ];
    for (name, features, kinds) in methods {
        rows.extend(method(&view, episodes, name, features, kinds, progress)?);
    }
    Ok(SuiteResult { set: set.name.into(), metric: METRIC.into(), rows })
}

fn method(
    view: &SeriesSet<'_>,
    episodes: &[Episode],
    name: &str,
    features: &Features,
    kinds: &[AdapterFeatures],
    progress: &dyn Progress,
) -> anyhow::Result<Vec<Row>> {
    let predict = |shot: &Shot<'_>| {
        let Episode { support, query, classes, .. } = shot.episode;
        let (given, asked) = (features.select(support), features.select(query));
        // Unlabelled series of the episode set the scale, as they do for the logistic regression.
        let both: Vec<usize> = support.iter().chain(query).copied().collect();
        let adapter =
            adapt(&given, &shot.support_labels, classes.len(), &features.select(&both), kinds);
        let chances = adapter.predict(&asked);
        Ok::<_, std::convert::Infallible>(chances.rows().into_iter().map(largest).collect())
    };
    Ok(run_method(view, episodes, name, progress, predict)?)
}

/// Place of the largest value, the first of equals.
pub(crate) fn largest(row: ndarray::ArrayView1<'_, f32>) -> usize {
    let mut best = 0;
    for (i, &value) in row.iter().enumerate() {
        if value > row[best] {
            best = i;
        }
    }
    best
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
    text
}
