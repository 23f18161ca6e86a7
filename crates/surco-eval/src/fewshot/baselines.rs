//! The rows that stand under every few-shot table: chance, place, logistic regression, forest.

use ndarray::{Array2, Axis};
use surco_core::Progress;

use super::{Episode, FewShotError, Row, SeriesSet, Shot, run_method};
use crate::forest::{FitError, RandomForest, TREES};
use crate::logistic::{C, LogisticRegression};
use crate::prepare::{ZScore, columns, fill_gaps, red_and_nir};

/// Scores the baselines on every episode.
///
/// | row | what |
/// |---|---|
/// | `chance` | a constant answer |
/// | `nn_place` | class of the nearest support point on the globe; only with places |
/// | `lr_raw` | logistic regression, C = 0.1, z-scored columns |
/// | `lr_raw_ndvi` | the same with NDVI; only if red and near infrared are among the bands |
/// | `rf_raw` | forest of 100 trees on the columns of `lr_raw_ndvi`, or of `lr_raw` without NDVI |
///
/// `seed` moves the forest alone. The same input and seed give the same rows on any number of threads.
///
/// # Errors
/// [`FewShotError`] if set and episodes do not fit, a fit fails, or the user stops.
pub fn run_baselines(
    set: &SeriesSet<'_>,
    episodes: &[Episode],
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Row>, FewShotError> {
    set.check(episodes)?;
    let filled = fill_gaps(set.values, set.days);
    let red_nir = red_and_nir(set.bands);
    let raw = columns(&filled, None);
    let full = red_nir.map(|pair| columns(&filled, Some(pair)));
    let full = full.as_ref();
    let forest_columns = full.unwrap_or(&raw).mapv(|v| v as f32); // scikit-learn's trees read f32

    let chance = |shot: &Shot<'_>| Ok::<_, FitError>(vec![0; shot.episode.query.len()]);
    let mut rows = run_method(set, episodes, "chance", progress, chance)?;
    if let Some(places) = set.places {
        let place = |shot: &Shot<'_>| Ok::<_, FitError>(nearest(shot, places));
        rows.extend(run_method(set, episodes, "nn_place", progress, place)?);
    }
    let lr = |x| move |shot: &Shot<'_>| logistic(shot, x);
    rows.extend(run_method(set, episodes, "lr_raw", progress, lr(&raw))?);
    if let Some(x) = full {
        rows.extend(run_method(set, episodes, "lr_raw_ndvi", progress, lr(x))?);
    }
    let rf = |shot: &Shot<'_>| forest(shot, &forest_columns, seed);
    rows.extend(run_method(set, episodes, "rf_raw", progress, rf)?);
    Ok(rows)
}

/// Rows of the logistic regression of `lr_raw` on other columns, `[point, column]`: an embedding.
///
/// # Errors
/// As [`run_baselines`].
pub fn run_linear(
    set: &SeriesSet<'_>,
    episodes: &[Episode],
    name: &str,
    x: &Array2<f64>,
    progress: &dyn Progress,
) -> Result<Vec<Row>, FewShotError> {
    set.check(episodes)?;
    run_method(set, episodes, name, progress, |shot: &Shot<'_>| logistic(shot, x))
}

fn logistic(shot: &Shot<'_>, x: &Array2<f64>) -> Result<Vec<usize>, FitError> {
    let Episode { support, query, classes, .. } = shot.episode;
    let both: Vec<usize> = support.iter().chain(query).copied().collect();
    let scale = ZScore::measure(x.select(Axis(0), &both).view());
    let given = scale.apply(x.select(Axis(0), support).view());
    let asked = scale.apply(x.select(Axis(0), query).view());
    LogisticRegression::fit(given.view(), &shot.support_labels, classes.len(), C)?
        .predict(asked.view())
}

fn forest(shot: &Shot<'_>, x: &Array2<f32>, seed: u64) -> Result<Vec<usize>, FitError> {
    let Episode { support, query, classes, .. } = shot.episode;
    let given = x.select(Axis(0), support);
    let seed = own_seed(seed, shot.episode);
    RandomForest::fit(given.view(), &shot.support_labels, classes.len(), TREES, seed)?
        .predict(x.select(Axis(0), query).view())
}

/// A forest seed of the episode's own, so that no two episodes, nested ones among them, share a bootstrap
/// and the forest's luck averages out over seeds.
///
/// # Source
/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014 (SplitMix64).
fn own_seed(seed: u64, episode: &Episode) -> u64 {
    [seed, episode.seed, episode.k as u64].iter().fold(0, |state: u64, &part| {
        let z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// The class of the support point nearest on the sphere.
fn nearest(shot: &Shot<'_>, places: &[[f64; 2]]) -> Vec<usize> {
    let on_sphere = |&point: &usize| {
        let [lon, lat] = places[point].map(f64::to_radians);
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let given: Vec<[f64; 3]> = shot.episode.support.iter().map(on_sphere).collect();
    let closest = |point: &usize| {
        let here = on_sphere(point);
        let apart = |there: &[f64; 3]| -> f64 {
            here.iter().zip(there).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let order = given.iter().zip(&shot.support_labels);
        order.min_by(|a, b| apart(a.0).total_cmp(&apart(b.0))).map_or(0, |(_, &label)| label)
    };
    shot.episode.query.iter().map(closest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fewshot::SeriesBand;
    use ndarray::Array3;
    use surco_core::Silent;

    struct Toy {
        values: Array3<f32>,
        bands: Vec<SeriesBand>,
        labels: Vec<String>,
        places: Vec<[f64; 2]>,
    }

    /// Two classes that differ in the near infrared only, in two far-away groups each.
    fn toy() -> Toy {
        let band = |name: &str, nm| SeriesBand { name: name.into(), centre_nm: Some(nm) };
        let class = |point: usize| point % 2;
        Toy {
            values: Array3::from_shape_fn((40, 3, 2), |(p, t, b)| {
                let noise = ((p * 5 + t * 3) % 7) as f32 / 100.0;
                if b == 1 && class(p) == 1 { 0.5 + noise } else { 0.1 + noise }
            }),
            bands: vec![band("red", 665.0), band("nir", 833.0)],
            labels: (0..40).map(|p| ["wheat", "maize"][class(p)].to_string()).collect(),
            places: (0..40).map(|p| [-72.0 + (p / 4) as f64 * 0.1, -36.0]).collect(),
        }
    }

    impl Toy {
        fn set(&self) -> SeriesSet<'_> {
            SeriesSet {
                name: "toy",
                values: self.values.view(),
                bands: &self.bands,
                days: &[0, 16, 32],
                labels: &self.labels,
                places: Some(&self.places),
            }
        }
    }

    fn episode(seed: u64, k: usize) -> Episode {
        let classes = vec!["wheat".to_string(), "maize".to_string()];
        Episode { seed, k, classes, support: (0..2 * k).collect(), query: (20..40).collect() }
    }

    #[test]
    fn the_baselines_part_what_is_easy_and_chance_does_not() {
        let toy = toy();
        let episodes = [episode(0, 1), episode(1, 1), episode(0, 5), episode(1, 5)];
        let rows = run_baselines(&toy.set(), &episodes, 0, &Silent).unwrap();
        let names: Vec<_> = rows.iter().map(|r| (r.method.as_str(), r.k)).collect();
        let methods = ["chance", "nn_place", "lr_raw", "lr_raw_ndvi", "rf_raw"];
        assert_eq!(names, methods.iter().flat_map(|m| [(*m, 1), (*m, 5)]).collect::<Vec<_>>());
        for row in rows {
            assert_eq!(row.n, 2);
            let want = match row.method.as_str() {
                "chance" => Some(0.5),
                "nn_place" => None,
                "rf_raw" if row.k == 1 => None, // a fifth of the trees see one class only
                _ => Some(1.0),
            };
            assert!(want.is_none_or(|w| (row.mean - w).abs() < 1e-12), "{row:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_any_fit() {
        let toy = toy();
        let run = |e: Episode| run_baselines(&toy.set(), &[e], 0, &Silent).unwrap_err();
        let base = episode(3, 1);
        let leak = Episode { query: vec![0, 21], ..base.clone() };
        assert!(matches!(run(leak), FewShotError::Leak { seed: 3, point: 0, .. }));
        let outside = Episode { query: vec![99], ..base.clone() };
        assert!(matches!(run(outside), FewShotError::Point { point: 99, points: 40, .. }));
        let foreign = Episode { classes: vec!["wheat".into()], ..base };
        assert!(matches!(run(foreign), FewShotError::Label { .. }));
    }
}
