//! Which labels are not used, and why.

use std::collections::BTreeMap;

use serde::Serialize;
use surco_raster::vector::Shape;

/// Features named in a sentence.
const NAMED: usize = 5;

/// Why a label is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its row has no shape.
    NoPlace,
    /// It lies at 0, 0.
    AtZero,
    /// Its row has no class.
    NoClass,
    /// It is of another season than the images.
    OtherSeason,
    /// Place and class are those of an earlier one.
    Repeated,
    /// Another at the same place has another class; none of them is used.
    Contradicted,
    /// It lies outside the store.
    Outside,
    /// It holds no centre of a pixel that an earlier one does not hold.
    NoPixel,
}

impl Reason {
    /// The reason in words, after "they".
    fn words(self) -> &'static str {
        match self {
            Self::NoPlace => "have no place",
            Self::AtZero => "lie at 0, 0, where receivers without a fix say they are",
            Self::NoClass => "have no class",
            Self::OtherSeason => "are of another season than the images",
            Self::Repeated => "repeat place and class of another",
            Self::Contradicted => "lie exactly where another of another class does",
            Self::Outside => "lie outside the store",
            Self::NoPixel => "hold no pixel's centre of their own",
        }
    }
}

/// Features that are not used, counted from 1, by the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LeftOut(pub BTreeMap<Reason, Vec<usize>>);

impl LeftOut {
    /// Notes that a feature, counted from 0, is not used.
    pub(super) fn add(&mut self, reason: Reason, feature: usize) {
        self.0.entry(reason).or_default().push(feature + 1);
    }

    /// Number of features that are not used.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// A sentence for each reason.
    #[must_use]
    pub fn told(&self, total: usize) -> Vec<String> {
        let sentence = |(reason, features): (&Reason, &Vec<usize>)| {
            let named: Vec<String> = features.iter().take(NAMED).map(usize::to_string).collect();
            let more = if features.len() > NAMED { " …" } else { "" };
            let noun = if features.len() == 1 { "feature" } else { "features" };
            let (count, named) = (features.len(), named.join(", "));
            format!(
                "{count} of {total} labels left out: they {} ({noun} {named}{more})",
                reason.words()
            )
        };
        self.0.iter().map(sentence).collect()
    }
}

/// Labelled pixels that are not used, though their labels may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOutPixels {
    /// Labels of different classes hold them.
    pub contradicted: usize,
    /// Pixels of a label raster that lie outside the store.
    pub outside: usize,
}

impl LeftOutPixels {
    /// A sentence for each reason.
    pub(super) fn told(&self) -> Vec<String> {
        let reasons = [
            (self.contradicted, "labels of different classes overlap there"),
            (self.outside, "they lie outside the store"),
        ];
        let told =
            |(count, why): &(usize, &str)| format!("{count} labelled pixels left out: {why}");
        reasons.iter().filter(|(count, _)| *count > 0).map(told).collect()
    }
}

/// What is the same for two labels at exactly the same place.
pub(super) fn place_of(shape: &Shape) -> Vec<u64> {
    // Rings that begin elsewhere count as other places; programs copy features as they are.
    shape.points().flat_map(|point| point.map(f64::to_bits)).collect()
}

/// Whether every point lies exactly at 0, 0.
pub(super) fn is_at_zero(shape: &Shape) -> bool {
    shape.points().all(|point| *point == [0.0, 0.0])
}
