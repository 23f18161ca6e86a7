//! Trees of classes: the best Gini split among √p features drawn at each node, grown until pure.

use rand::{Rng, RngExt};

use super::tree::{Columns, Grow, SAME_VALUE, Split, between};

/// Class shares of a leaf, classes of share 0 left out.
pub(super) type Shares = Box<[(u32, f32)]>;

/// The samples all trees of a forest share.
pub(super) struct Classed<'a> {
    pub(super) columns: Columns,
    pub(super) y: &'a [usize],
    pub(super) classes: usize,
}

/// What growing one tree needs again at every node.
pub(super) struct Gini<'a, R> {
    input: &'a Classed<'a>,
    /// How often each sample was drawn.
    weights: &'a [u32],
    rng: R,
    order: Vec<usize>,
    sorted: Vec<(f32, u32)>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl<'a, R: Rng> Gini<'a, R> {
    pub(super) fn new(input: &'a Classed<'a>, weights: &'a [u32], rng: R) -> Self {
        Self {
            input,
            weights,
            rng,
            order: (0..input.columns.features).collect(),
            sorted: Vec::new(),
            low: vec![0.0; input.classes],
            high: vec![0.0; input.classes],
        }
    }

    fn counts(&self, rows: &[u32]) -> Vec<f64> {
        let mut counts = vec![0.0; self.input.classes];
        for &r in rows {
            counts[self.input.y[r as usize]] += f64::from(self.weights[r as usize]);
        }
        counts
    }

    /// Draws features without replacement until √p were seen and one of them was not constant.
    fn best_split(&mut self, rows: &[u32], counts: &[f64]) -> Option<Split> {
        let features = self.input.columns.features;
        let wanted = (features as f64).sqrt() as usize;
        let (mut best, mut any_varies) = (None, false);
        for seen in 0..features {
            if seen >= wanted.max(1) && any_varies {
                break;
            }
            let other = self.rng.random_range(seen..features);
            self.order.swap(seen, other);
            any_varies |= self.try_feature(self.order[seen], rows, counts, &mut best);
        }
        best
    }

    /// Looks for a better split on one feature; says whether the feature varies at all.
    fn try_feature(
        &mut self,
        feature: usize,
        rows: &[u32],
        counts: &[f64],
        best: &mut Option<Split>,
    ) -> bool {
        self.sorted.clear();
        self.sorted.extend(rows.iter().map(|&r| (self.input.columns.value(feature, r), r)));
        self.sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (first, last) = (self.sorted[0].0, self.sorted[self.sorted.len() - 1].0);
        if last <= first + SAME_VALUE {
            return false;
        }
        self.low.fill(0.0);
        self.high.copy_from_slice(counts);
        let squares = |side: &[f64]| side.iter().map(|c| c * c).sum::<f64>();
        let (mut low_total, mut high_total) = (0.0, counts.iter().sum::<f64>());
        let (mut low_squares, mut high_squares) = (0.0, squares(counts));
        for pair in self.sorted.windows(2) {
            let ((value, row), (next, _)) = (pair[0], pair[1]);
            let class = self.input.y[row as usize];
            let weight = f64::from(self.weights[row as usize]);
            low_squares += weight * (2.0 * self.low[class] + weight);
            high_squares -= weight * (2.0 * self.high[class] - weight);
            self.low[class] += weight;
            self.high[class] -= weight;
            low_total += weight;
            high_total -= weight;
            if next <= value + SAME_VALUE {
                continue;
            }
            // Σ w²/W over both sides: larger is purer.
            let gain = low_squares / low_total + high_squares / high_total;
            Split { feature, threshold: between(value, next), gain }.challenge(best);
        }
        true
    }
}

impl<R: Rng> Grow for Gini<'_, R> {
    type Leaf = Shares;

    fn columns(&self) -> &Columns {
        &self.input.columns
    }

    fn split(&mut self, rows: &[u32]) -> Option<Split> {
        let counts = self.counts(rows);
        let pure = counts.iter().filter(|&&c| c > 0.0).count() == 1;
        if pure { None } else { self.best_split(rows, &counts) }
    }

    fn leaf(&self, rows: &[u32]) -> Shares {
        let counts = self.counts(rows);
        let total: f64 = counts.iter().sum();
        let shares = counts.iter().enumerate().filter(|&(_, &c)| c > 0.0);
        shares.map(|(class, &c)| (class as u32, (c / total) as f32)).collect()
    }
}
