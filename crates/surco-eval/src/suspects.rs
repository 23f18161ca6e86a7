//! Labels that are probably wrong: confident learning.
//!
//! Input: probabilities of labels that were held out with their whole blocks, and the class each label gives. A label is
//! suspected if another class is likelier than its own and as likely as that class usually is for its own labels.
//!
//! # Source
//! Northcutt, Jiang and Chuang 2021, *Confident learning: estimating uncertainty in dataset labels*, JAIR 70, section
//! 3.1: the off-diagonal of the confident joint. `cleanlab` calls it `filter_by="confident_learning"`.

use ndarray::{Array2, ArrayView1};

/// A label that is probably wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// Its row among those held out.
    pub row: usize,
    /// The class that looks right.
    pub likely: usize,
    /// Probability of the label's own class.
    pub own_chance: f32,
    /// Probability of the class that looks right.
    pub likely_chance: f32,
}

/// Labels that are probably wrong, the likeliest errors first.
///
/// | | shape | |
/// |---|---|---|
/// | `chances` | `[n, class]` | held-out probabilities, rows sum to 1 |
/// | `given` | `[n]` | the class of each label |
#[must_use]
pub fn suspects(chances: &Array2<f32>, given: &[usize]) -> Vec<Suspect> {
    let thresholds = thresholds(chances, given);
    let mut found: Vec<Suspect> = chances
        .rows()
        .into_iter()
        .zip(given)
        .enumerate()
        .filter_map(|(row, (chances, &given))| {
            let likely = confident(chances, &thresholds)?;
            let (own_chance, likely_chance) = (chances[given], chances[likely]);
            (likely_chance > own_chance).then_some(Suspect {
                row,
                likely,
                own_chance,
                likely_chance,
            })
        })
        .collect();
    let margin = |s: &Suspect| s.own_chance - s.likely_chance;
    found.sort_by(|a, b| margin(a).total_cmp(&margin(b)));
    found
}

/// The mean probability of each class among its own labels; out of reach for a class without labels.
fn thresholds(chances: &Array2<f32>, given: &[usize]) -> Vec<f64> {
    let mut sums = vec![(0.0, 0_usize); chances.ncols()];
    for (row, &class) in chances.rows().into_iter().zip(given) {
        sums[class].0 += f64::from(row[class]);
        sums[class].1 += 1;
    }
    sums.into_iter().map(|(sum, n)| if n == 0 { f64::INFINITY } else { sum / n as f64 }).collect()
}

/// The likeliest of the classes that reach their thresholds.
fn confident(chances: ArrayView1<'_, f32>, thresholds: &[f64]) -> Option<usize> {
    // A mean of equal numbers may miss them by the last digit.
    let reaches = |&class: &usize| f64::from(chances[class]) >= thresholds[class] - 1e-6;
    (0..chances.len()).filter(reaches).max_by(|&a, &b| chances[a].total_cmp(&chances[b]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// By hand: the threshold of class 0 is (0.9 + 0.8 + 0.1) / 3 = 0.6, of class 1 (0.7 + 0.9 + 0.35) / 3 = 0.65. Row 2
    /// says class 1 with 0.9 ≥ 0.65 and is suspected. Row 5 says class 0 with 0.65 ≥ 0.6 and is suspected, less.
    #[test]
    fn labels_that_another_class_explains_are_found_by_hand() {
        let chances =
            array![[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9], [0.65, 0.35]];
        let found = suspects(&chances, &[0, 0, 0, 1, 1, 1]);
        let rows: Vec<(usize, usize)> = found.iter().map(|s| (s.row, s.likely)).collect();
        assert_eq!(rows, [(2, 1), (5, 0)]);
        assert_eq!((found[0].own_chance, found[0].likely_chance), (0.1, 0.9));
    }

    /// A class that is always hard to tell has a low threshold, so its labels are not all suspected.
    #[test]
    fn a_class_that_is_hard_to_tell_is_not_suspected_as_a_whole() {
        let chances = array![[0.95, 0.05], [0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.62, 0.38]];
        assert_eq!(suspects(&chances, &[0, 0, 1, 1, 1]), []);
        assert_eq!(suspects(&Array2::zeros((0, 2)), &[]), []);
    }

    /// Recorded with cleanlab 2 by `fixtures/suspects.py`.
    #[test]
    fn what_is_suspected_agrees_with_cleanlab() {
        let text = include_str!("../fixtures/suspects.json");
        let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
        let numbers = |v: &serde_json::Value| {
            v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect::<Vec<_>>()
        };
        let rows = recorded["chances"].as_array().unwrap();
        let flat = rows.iter().flat_map(|row| row.as_array().unwrap());
        let flat: Vec<f32> = flat.map(|n| n.as_f64().unwrap() as f32).collect();
        let chances = Array2::from_shape_vec((rows.len(), 4), flat).unwrap();
        let mut found: Vec<usize> =
            suspects(&chances, &numbers(&recorded["given"])).iter().map(|s| s.row).collect();
        found.sort_unstable();
        assert_eq!(found, numbers(&recorded["suspects"]));
        assert!(found.len() > 10);
    }
}
