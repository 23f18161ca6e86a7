//! Fields as objects: what Fields of The World is judged by.
//!
//! Input: masks of truth and prediction, one pair a chip. Output: IoU of pixels, and precision, recall and F1 of fields
//! at IoU 0.5, with intervals over chips. Sample config: `FieldScores::of(&[count_fields(truth, said)?], 0)`.
//!
//! # Source
//! Kerner et al. 2025, *Fields of The World*, AAAI, arXiv 2409.16252, §5; definitions as its code (MIT) has them.

use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Fault;

/// A field's inside.
pub const FIELD: u8 = 1;

/// Ground of which nobody said what it is; neither side is judged there.
pub const UNKNOWN: u8 = 3;

/// Times that chips are drawn again for an interval.
const REPEATS: usize = 1000;

/// What one chip, or all of them, count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldCounts {
    /// Pixels that both call field.
    pub intersection: u64,
    /// Pixels that one of them calls field.
    pub union: u64,
    /// True fields that a predicted one overlaps by more than half of both together.
    pub found: u64,
    /// Predicted fields that are none.
    pub invented: u64,
    /// True fields that were not found.
    pub missed: u64,
}

/// What each chip counts, one line a chip under a head; names are quoted where they hold commas or quotes.
#[must_use]
pub fn chips_csv<'c>(chips: impl Iterator<Item = (&'c str, FieldCounts)>) -> String {
    #[derive(Serialize)]
    struct Line<'c> {
        chip: &'c str,
        intersection: u64,
        union: u64,
        found: u64,
        invented: u64,
        missed: u64,
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (chip, counts) in chips {
        let FieldCounts { intersection, union, found, invented, missed } = counts;
        let line = Line { chip, intersection, union, found, invented, missed };
        writer.serialize(line).expect("a Vec takes all that is written to it");
    }
    let bytes = writer.into_inner().expect("a Vec takes all that is written to it");
    String::from_utf8(bytes).expect("text and digits are UTF-8")
}

/// A score with its 95 % interval over chips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldScore {
    /// Over all chips together; NaN where nothing is counted.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Scores over chips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldScores {
    /// Number of chips.
    pub chips: usize,
    /// All of them together.
    pub counts: FieldCounts,
    /// IoU of field pixels.
    pub pixel_iou: FieldScore,
    /// Share of predicted fields that are there.
    pub precision: FieldScore,
    /// Share of true fields that were found.
    pub recall: FieldScore,
    /// Harmonic mean of both.
    pub f1: FieldScore,
}

/// Masks that do not lie on one another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the truth has {truth:?} rows and columns, the prediction {said:?}")]
pub struct FieldSizeError {
    /// Rows and columns of the truth.
    pub truth: (usize, usize),
    /// Rows and columns of the prediction.
    pub said: (usize, usize),
}

impl FieldSizeError {
    /// The kind of fault: always the input's.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl FieldCounts {
    fn plus(self, other: &Self) -> Self {
        Self {
            intersection: self.intersection + other.intersection,
            union: self.union + other.union,
            found: self.found + other.found,
            invented: self.invented + other.invented,
            missed: self.missed + other.missed,
        }
    }

    /// Pixel IoU, precision, recall and F1; NaN where nothing is counted.
    fn scores(&self) -> [f64; 4] {
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let found = self.found;
        [
            share(self.intersection, self.union),
            share(found, found + self.invented),
            share(found, found + self.missed),
            share(2 * found, 2 * found + self.invented + self.missed),
        ]
    }
}

impl FieldScores {
    /// Scores of these chips; intervals hold the middle 95 % when chips are drawn again with replacement.
    #[must_use]
    pub fn of(chips: &[FieldCounts], seed: u64) -> Self {
        let sum = |chips: &mut dyn Iterator<Item = &FieldCounts>| {
            chips.fold(FieldCounts::default(), |sum, chip| sum.plus(chip))
        };
        let counts = sum(&mut chips.iter());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut drawn: [Vec<f64>; 4] = Default::default();
        for _ in 0..if chips.is_empty() { 0 } else { REPEATS } {
            let again = sum(&mut chips.iter().map(|_| &chips[rng.random_range(0..chips.len())]));
            for (all, score) in drawn.iter_mut().zip(again.scores()) {
                all.push(score);
            }
        }
        let values = counts.scores();
        let score = |i: usize| {
            let mut all: Vec<f64> = drawn[i].iter().copied().filter(|v| v.is_finite()).collect();
            all.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let place = share * all.len().saturating_sub(1) as f64;
                all.get(place.round() as usize).copied().unwrap_or(f64::NAN)
            };
            FieldScore { value: values[i], low: at(0.025), high: at(0.975) }
        };
        let chips = chips.len();
        let [pixel_iou, precision, recall, f1] = [0, 1, 2, 3].map(score);
        Self { chips, counts, pixel_iou, precision, recall, f1 }
    }
}

/// Counts of one chip, `[y, x]`. A field is an area of class 1 whose pixels meet at their sides; of boundaries and
/// background nothing is asked.
///
/// # Errors
/// [`FieldSizeError`] if the masks differ in size.
pub fn count_fields(
    truth: ArrayView2<'_, u8>,
    said: ArrayView2<'_, u8>,
) -> Result<FieldCounts, FieldSizeError> {
    if truth.dim() != said.dim() {
        return Err(FieldSizeError { truth: truth.dim(), said: said.dim() });
    }
    let is_true = truth.mapv(|class| class == FIELD);
    let mut is_said = said.mapv(|class| class == FIELD);
    is_said.zip_mut_with(&truth, |field, class| *field &= *class != UNKNOWN);
    let ((truth, true_sizes), (said, said_sizes)) = (objects(&is_true), objects(&is_said));
    let mut counts = FieldCounts::default();
    let mut shared = std::collections::BTreeMap::new();
    for (&t, &s) in truth.iter().zip(&said) {
        counts.union += u64::from(t > 0 || s > 0);
        if t > 0 && s > 0 {
            counts.intersection += 1;
            *shared.entry((t, s)).or_insert(0_u64) += 1;
        }
    }
    // Above one half no field can be matched twice.
    let matched = shared.iter().filter(|((t, s), both)| {
        let union = true_sizes[t - 1] + said_sizes[s - 1] - **both;
        2 * **both > union
    });
    counts.found = matched.count() as u64;
    counts.invented = said_sizes.len() as u64 - counts.found;
    counts.missed = true_sizes.len() as u64 - counts.found;
    Ok(counts)
}

/// Areas whose pixels meet at their sides, numbered from 1, and their sizes.
fn objects(inside: &Array2<bool>) -> (Array2<usize>, Vec<u64>) {
    let (rows, columns) = inside.dim();
    let mut numbers = Array2::zeros((rows, columns));
    let mut sizes = Vec::new();
    let mut waiting = Vec::new();
    for start in (0..rows).flat_map(|y| (0..columns).map(move |x| [y, x])) {
        if !inside[start] || numbers[start] > 0 {
            continue;
        }
        sizes.push(0);
        numbers[start] = sizes.len();
        waiting.push(start);
        while let Some([y, x]) = waiting.pop() {
            sizes[numbers[[y, x]] - 1] += 1;
            let around = [[y.wrapping_sub(1), x], [y + 1, x], [y, x.wrapping_sub(1)], [y, x + 1]];
            for next in around {
                if inside.get(next) == Some(&true) && numbers[next] == 0 {
                    numbers[next] = sizes.len();
                    waiting.push(next);
                }
            }
        }
    }
    (numbers, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        truth: Vec<Vec<u8>>,
        said: Vec<Vec<u8>>,
        intersection: u64,
        union: u64,
        found: u64,
        invented: u64,
        missed: u64,
    }

    fn mask(rows: &[Vec<u8>]) -> Array2<u8> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(y, x)| rows[y][x])
    }

    #[test]
    fn names_of_chips_are_quoted() {
        let counts = FieldCounts { intersection: 3, union: 4, found: 1, invented: 0, missed: 2 };
        let text = chips_csv([("a.tif", counts), ("Lot 4, \"north\".tif", counts)].into_iter());
        assert_eq!(
            text,
            "chip,intersection,union,found,invented,missed\na.tif,3,4,1,0,2\n\"Lot 4, \"\"north\"\".tif\",3,4,1,0,2\n"
        );
    }

    /// Recorded from scipy.ndimage by `fixtures/fields.py`.
    #[test]
    fn objects_and_pixels_are_counted_as_scipy_labels_them() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../fixtures/fields.json")).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let got = count_fields(mask(&case.truth).view(), mask(&case.said).view()).unwrap();
            let Case { intersection, union, found, invented, missed, .. } = case;
            assert_eq!(got, FieldCounts { intersection, union, found, invented, missed });
        }
    }

    /// By hand: of two fields one is found whole, the other by two pixels of four, which is not more than half; one is
    /// invented. A predicted pixel on unknown ground is not held against it.
    #[test]
    fn half_of_a_field_is_not_found() {
        let truth = ndarray::arr2(&[[1, 1, 2, 1, 1], [1, 1, 2, 1, 1], [0, 0, 0, 0, 3]]);
        let said = ndarray::arr2(&[[1, 1, 0, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 0, 1]]);
        let got = count_fields(truth.view(), said.view()).unwrap();
        let want = FieldCounts { intersection: 6, union: 9, found: 1, invented: 2, missed: 1 };
        assert_eq!(got, want);
        let scores = FieldScores::of(&[got, got, got], 0);
        assert_eq!((scores.f1.value, scores.f1.low, scores.f1.high), (0.4, 0.4, 0.4));
        assert!((scores.pixel_iou.value - 6.0 / 9.0).abs() < 1e-12);
        let none = FieldScores::of(&[], 0);
        assert!(none.f1.value.is_nan() && none.chips == 0);
        assert!(count_fields(truth.view(), said.slice(ndarray::s![..2, ..])).is_err());
    }
}
