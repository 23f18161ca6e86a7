//! What a report is made of: plain data, every part of it optional.

use jiff::civil::Date;
use ndarray::{ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};
use surco_core::{Class, Legend, OffsetVerdict};

use crate::fewshot::SuiteResult;
use crate::metrics::Confusion;

/// Everything a report can show. A part left out is left out of the page.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// Title of the page.
    pub title: String,
    /// One or two sentences under the title: what was done, where, when.
    pub summary: String,
    /// How the run went.
    pub facts: Option<Facts>,
    /// The scenes used, in order of date.
    pub scenes: Vec<Scene>,
    /// True-colour chips through the season.
    pub chips: Vec<Chip>,
    /// NDVI through the season, one curve per class.
    pub ndvi: Vec<NdviCurve>,
    /// Loss of pre-training.
    pub pretraining: Option<Curve>,
    /// Progress of meta-training.
    pub meta_training: Option<Curve>,
    /// Few-shot table.
    pub few_shot: Option<FewShotTable>,
    /// Map beside truth.
    pub map: Option<MapAndTruth>,
    /// Confusion of the map with the truth.
    pub confusion: Option<ConfusionTable>,
    /// Areas per class.
    pub areas: Vec<AreaRow>,
    /// Accuracy of the map as the sample of the areas tells it.
    pub sampled: Option<SampledAccuracy>,
    /// Drawings, above the tables.
    pub drawings: Vec<DrawnFigure>,
    /// Tables with what they say, one below the other.
    pub tables: Vec<PlainTable>,
    /// Seconds each stage took, in order.
    pub stages: Vec<Stage>,
    /// Pixels that should be there and are not; `None` if nobody looked.
    pub holes: Option<Vec<Hole>>,
    /// What was assumed, one sentence each.
    pub assumed: Vec<String>,
    /// What this does not show, one sentence each.
    pub not_shown: Vec<String>,
}

/// A table of texts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlainTable {
    /// What it is about.
    pub title: String,
    /// What its cells are.
    pub caption: String,
    /// Names of the columns; the first column names the rows.
    pub head: Vec<String>,
    /// Rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
    /// What it says, one sentence each.
    pub said: Vec<String>,
}

/// A drawing with what it shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrawnFigure {
    /// What is drawn.
    pub drawing: Drawing,
    /// What it shows.
    pub caption: String,
}

/// What a drawing is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Drawing {
    /// A critical-difference diagram.
    Ranks(RankAxis),
    /// Scores against the share of the training data.
    Fractions(FractionChart),
}

/// Average ranks of methods on a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RankAxis {
    /// Methods with their average ranks, best first.
    pub marks: Vec<(String, f64)>,
    /// Difference from which on two methods differ.
    pub critical_difference: f64,
    /// First and last rank of runs of methods that do not differ.
    pub bars: Vec<[f64; 2]>,
}

/// Scores of models against the share of the training data, with intervals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FractionChart {
    /// What is drawn, above the axis.
    pub measure: String,
    /// A line a model.
    pub lines: Vec<FractionLine>,
}

/// One line of a [`FractionChart`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FractionLine {
    /// The model.
    pub name: String,
    /// Share of the training data in percent, score, low and high end of its interval; shares ascending.
    pub points: Vec<[f64; 4]>,
}

/// How the run went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Seed of every draw.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Threads used.
    pub threads: usize,
    /// Wall-clock seconds in all.
    pub seconds: f64,
    /// Most memory held, in MB, if known.
    pub peak_memory_mb: Option<f64>,
    /// Device that ran the model.
    pub device: String,
}

/// One scene.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scene {
    /// Day of acquisition.
    pub date: Date,
    /// Platform, for example `sentinel-2a`.
    pub platform: String,
    /// Processing baseline, for example `05.09`.
    pub baseline: String,
    /// Cloud over the area, in %.
    pub cloud_percent: f64,
    /// What was decided about the offset.
    pub offset: OffsetVerdict,
}

/// A picture, three bytes a pixel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[y, x, 3]`, red, green and blue.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Copies a picture `[y, x, 3]`; bands past the third are left out, missing ones are 0.
    #[must_use]
    pub fn new(rgb_yxc: ArrayView3<'_, u8>) -> Self {
        let (height, width, bands) = rgb_yxc.dim();
        let pixels = rgb_yxc.lanes(ndarray::Axis(2)).into_iter();
        let rgb =
            pixels.flat_map(|p| [0, 1, 2].map(|c| if c < bands { p[c] } else { 0 })).collect();
        Self { width: width as u32, height: height as u32, rgb }
    }
}

/// One date's true-colour picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chip {
    /// Day of acquisition.
    pub date: Date,
    /// Cloud, cirrus and shadow in the picture, in %, if known.
    #[serde(default)]
    pub cloud_percent: Option<f64>,
    /// The picture.
    pub picture: Picture,
}

/// NDVI of one class through the season.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NdviCurve {
    /// The class.
    pub class: Class,
    /// Dates ascending.
    pub points: Vec<NdviPoint>,
}

/// NDVI of one class on one date.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NdviPoint {
    /// Day.
    pub date: Date,
    /// First quartile over the class's points.
    pub low: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub high: f64,
}

/// A measure that changes while a model learns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// What is measured, for example `loss` or `accuracy`.
    pub measure: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Steps ascending.
    pub points: Vec<CurvePoint>,
}

/// One step of a [`Curve`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Step of training.
    pub step: u64,
    /// On what is learnt from.
    pub train: f64,
    /// On places held out, if measured at this step.
    pub validation: Option<f64>,
}

/// A few-shot table and which of its rows is the system's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FewShotTable {
    /// The rows; keys with a name of their own on the page are `surco`, `surco_embedding`,
    /// `random_forest` (`rf_raw`), `logistic_regression` (`lr_raw`), `lr_raw_ndvi`, `surco_values`,
    /// `random_encoder`, `nn_place` and `chance`.
    pub result: SuiteResult,
    /// Key of the system's own method.
    pub ours: String,
}

/// A class map beside the truth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapAndTruth {
    /// What the codes mean.
    pub legend: Legend,
    /// The map.
    pub map: ClassGrid,
    /// The truth; 0 where it is not known.
    pub truth: ClassGrid,
    /// Probability the map gives its own class, in %, instead of codes; 0 = no class.
    #[serde(default)]
    pub confidence: Option<ClassGrid>,
    /// Side of a pixel in m.
    pub pixel_m: f64,
}

/// Codes of a legend on a grid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassGrid {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `[y, x]`, 0 = no class.
    pub codes: Vec<u8>,
}

impl ClassGrid {
    /// Copies codes `[y, x]`.
    #[must_use]
    pub fn new(codes_yx: ArrayView2<'_, u8>) -> Self {
        let (height, width) = codes_yx.dim();
        let codes = codes_yx.iter().copied().collect();
        Self { width: width as u32, height: height as u32, codes }
    }
}

/// A confusion matrix with the names of its classes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfusionTable {
    /// Names in the order of the matrix.
    pub classes: Vec<String>,
    /// Counts, truth by row.
    pub confusion: Confusion,
    /// What was counted, for example `pixels of the simulated truth` or `sampled places`.
    pub counted: String,
}

/// One class's area.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AreaRow {
    /// The class.
    pub class: Class,
    /// Pixels counted on the map, in ha (biased).
    pub mapped_ha: f64,
    /// Estimate from the sample, in ha.
    pub estimate_ha: f64,
    /// Half width of its 95 % interval, in ha.
    pub half_width_ha: f64,
    /// The truth in ha, if known.
    pub truth_ha: Option<f64>,
}

/// Overall accuracy of a map, estimated from a probability sample.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SampledAccuracy {
    /// Sampled places.
    pub points: u64,
    /// Estimate, a share of 1.
    pub value: f64,
    /// Half width of its 95 % interval.
    pub half_width: f64,
}

/// One stage of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Name as people read it.
    pub name: String,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Pixels that should be there and are not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hole {
    /// Where and when.
    pub what: String,
    /// How many pixels.
    pub pixels: u64,
    /// Why.
    pub why: String,
}
