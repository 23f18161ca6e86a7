//! Pictures and curves of a cube for the report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use ndarray::Array3;
use surco_core::{Class, Legend, Scl};
use surco_data::{Cube, Sample};
use surco_eval::report::{Chip, NdviCurve, NdviPoint, Picture};

use crate::learning::Labelled;

/// Reflectance shown as white.
const WHITE: f64 = 0.28;

/// Pixels averaged to one, so that the page stays small.
const SHRINK: usize = 2;

/// Stretches of the season, each with its clearest date.
const CLEAR_CHIPS: usize = 8;

/// Stretches of the season, each with its date nearest to half clouded.
const CLOUDY_CHIPS: usize = 4;

/// A day number as a date.
pub(crate) fn date_of(day: i32) -> Date {
    jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day))
}

/// Cloud, cirrus and shadow among the pixels a date saw, in %.
pub(crate) fn cloud_percent(cube: &Cube, t: usize) -> f64 {
    let codes = cube.scl.index_axis(ndarray::Axis(0), t);
    let seen = codes.iter().filter(|&&c| c > 0).count().max(1);
    let cloudy = codes.iter().filter(|&&c| matches!(c, 3 | 8 | 9 | 10)).count();
    100.0 * cloudy as f64 / seen as f64
}

/// True colour on the clearest date of each stretch of the season, and on some partly clouded ones.
pub(crate) fn chips(cube: &Cube) -> Vec<Chip> {
    let Some(bands) =
        ["B04", "B03", "B02"].map(|b| cube.band(b)).into_iter().collect::<Option<Vec<_>>>()
    else {
        return Vec::new();
    };
    let cloud: Vec<f64> = (0..cube.days.len()).map(|t| cloud_percent(cube, t)).collect();
    let ground: Vec<f64> = (0..cube.days.len())
        .map(|t| {
            let codes = cube.scl.index_axis(ndarray::Axis(0), t);
            codes.iter().filter(|&&c| Scl::is_clear(c)).count() as f64
        })
        .collect();
    let clearest = best_of_each(CLEAR_CHIPS, cube.days.len(), |t| Some(ground[t]));
    // Under a fifth a reader sees a clear picture, over two thirds none.
    let partly = |t: usize| (20.0..=66.0).contains(&cloud[t]).then(|| -(cloud[t] - 40.0).abs());
    let mut shown = best_of_each(CLOUDY_CHIPS, cube.days.len(), partly);
    shown.extend(clearest);
    shown
        .into_iter()
        .map(|t| Chip {
            date: date_of(cube.days[t]),
            cloud_percent: Some(cloud[t]),
            picture: Picture::new(true_colour(cube, t, &bands).view()),
        })
        .collect()
}

/// The date of highest worth in each of some equal stretches; a date without worth is passed over.
fn best_of_each(
    stretches: usize,
    dates: usize,
    worth: impl Fn(usize) -> Option<f64>,
) -> BTreeSet<usize> {
    let mut best: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
    for t in 0..dates {
        let Some(value) = worth(t) else { continue };
        let slot = best.entry(t * stretches / dates).or_insert((t, value));
        if value > slot.1 {
            *slot = (t, value);
        }
    }
    best.into_values().map(|(t, _)| t).collect()
}

fn true_colour(cube: &Cube, t: usize, bands: &[usize]) -> Array3<u8> {
    let (rows, cols) = cube.size();
    Array3::from_shape_fn((rows / SHRINK, cols / SHRINK, 3), |(y, x, c)| {
        let image = cube.image(t, bands[c]);
        let mut sum = 0.0;
        for dy in 0..SHRINK {
            for dx in 0..SHRINK {
                sum += f64::from(image[[y * SHRINK + dy, x * SHRINK + dx]]);
            }
        }
        let reflectance = sum / (SHRINK * SHRINK) as f64 / f64::from(surco_core::QUANTIFICATION);
        ((reflectance / WHITE).clamp(0.0, 1.0).powf(1.0 / 1.7) * 255.0) as u8
    })
}

/// NDVI through the season: median and quartiles of each class in steps of 16 days.
pub(crate) fn ndvi(cube: &Cube, labelled: &Labelled, legend: &Legend) -> Vec<NdviCurve> {
    let (Some(red), Some(nir)) = (cube.band("B04"), cube.band("B08")) else { return Vec::new() };
    let bands = cube.bands.len();
    let curve = |class: &Class| {
        let members =
            labelled.samples.iter().zip(&labelled.classes).filter(|(_, c)| **c == class.name);
        let mut bins: BTreeMap<i32, Vec<f64>> = BTreeMap::new();
        for (sample, _) in members {
            for (day, value) in values(sample, bands, red, nir) {
                bins.entry((day - cube.days[0]).div_euclid(16)).or_default().push(value);
            }
        }
        let points = bins.into_iter().filter(|(_, v)| v.len() >= 5).map(|(bin, mut v)| {
            v.sort_by(f64::total_cmp);
            let at = |share: f64| v[((v.len() - 1) as f64 * share).round() as usize];
            NdviPoint {
                date: date_of(cube.days[0] + bin * 16 + 8),
                low: at(0.25),
                median: at(0.5),
                high: at(0.75),
            }
        });
        NdviCurve { class: class.clone(), points: points.collect() }
    };
    legend.classes().iter().map(curve).collect()
}

fn values(sample: &Sample, bands: usize, red: usize, nir: usize) -> Vec<(i32, f64)> {
    (0..sample.len())
        .filter_map(|i| {
            let date = sample.date(i, bands);
            let (red, nir) = (f64::from(date[red]), f64::from(date[nir]));
            let value = (nir - red) / (nir + red);
            value.is_finite().then_some((sample.days[i], value))
        })
        .collect()
}
