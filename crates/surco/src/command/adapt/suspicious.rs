//! Labels that the others do not bear out.

use std::collections::BTreeMap;

use ndarray::Array2;
use serde::Serialize;
use surco_eval::suspects::suspects;
use surco_eval::trust::HeldOut;

use crate::learning::Labelled;

/// Labels named for people; all of them are in the JSON.
const NAMED: usize = 10;

/// A label that looks like another class.
#[derive(Debug, Serialize)]
pub(super) struct Suspicious {
    /// Its number in the file, counted from 1.
    feature: usize,
    label: String,
    looks_like: String,
    /// Probability of the label, held out with its block.
    label_chance: f32,
    looks_like_chance: f32,
    /// Longitude and latitude of one of its pixels.
    lonlat: Option<[f64; 2]>,
}

/// Labels whose series, held out with their blocks, look like another class, the likeliest errors first.
///
/// A feature is judged by the mean over its pixels and over the seeds. `places` tells where among `labelled` each row of
/// `held` is.
pub(super) fn suspicious(held: &HeldOut, places: &[usize], labelled: &Labelled) -> Vec<Suspicious> {
    let mut of_feature: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, &place) in places.iter().enumerate() {
        of_feature.entry(labelled.features[place]).or_default().push(row);
    }
    let features: Vec<(&usize, &Vec<usize>)> = of_feature.iter().collect();
    let mut chances = Array2::zeros((features.len(), held.chances.ncols()));
    for (mut mean, (_, own)) in chances.rows_mut().into_iter().zip(&features) {
        own.iter().for_each(|&row| mean += &held.chances.row(row));
        mean /= own.len() as f32;
    }
    let given: Vec<usize> = features.iter().map(|(_, own)| held.truth[own[0]]).collect();
    let names = labelled.names();
    let tell = |suspect: surco_eval::suspects::Suspect| {
        let (feature, own) = features[suspect.row];
        Suspicious {
            feature: feature + 1,
            label: names[given[suspect.row]].clone(),
            looks_like: names[suspect.likely].clone(),
            label_chance: suspect.own_chance,
            looks_like_chance: suspect.likely_chance,
            lonlat: labelled.samples[places[own[0]]].site.lonlat,
        }
    };
    suspects(&chances, &given).into_iter().map(tell).collect()
}

/// The list for people, empty without suspicion.
pub(super) fn told_of(found: &[Suspicious]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let line = |one: &Suspicious| {
        let place = one.lonlat.map(|[lon, lat]| format!(" at {lon:.5}, {lat:.5}"));
        format!(
            "\n  feature {}: {} ({:.2}) looks like {} ({:.2}){}",
            one.feature,
            one.label,
            one.label_chance,
            one.looks_like,
            one.looks_like_chance,
            place.unwrap_or_default()
        )
    };
    let lines: String = found.iter().take(NAMED).map(line).collect();
    let more = if found.len() > NAMED { "\n  … all of them with --json" } else { "" };
    format!(
        "suspicious labels: {}; used all the same, look at them first{lines}{more}\n",
        found.len()
    )
}
