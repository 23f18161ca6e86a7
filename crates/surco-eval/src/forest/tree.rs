//! One classification tree: best Gini split among √p features drawn at each node, grown until pure.

use ndarray::{ArrayView1, ArrayView2};
use rand::{Rng, RngExt};

/// Values closer than this are one value.
///
/// # Source
/// scikit-learn, `sklearn/tree/_partitioner.pyx`, `FEATURE_THRESHOLD`.
const SAME_VALUE: f32 = 1e-7;

/// The samples all trees of a forest share.
pub(super) struct TreeInput<'a> {
    /// Values by feature, so that a split reads along memory.
    columns: Vec<f32>,
    samples: usize,
    features: usize,
    y: &'a [usize],
    classes: usize,
}

impl<'a> TreeInput<'a> {
    pub(super) fn new(x: ArrayView2<'_, f32>, y: &'a [usize], classes: usize) -> Self {
        // One copy, turned: every tree reads it √p features a node.
        let columns = x.t().iter().copied().collect();
        Self { columns, samples: x.nrows(), features: x.ncols(), y, classes }
    }

    fn value(&self, feature: usize, row: u32) -> f32 {
        self.columns[feature * self.samples + row as usize]
    }
}

#[derive(Clone, Debug)]
enum Node {
    Split { feature: u32, threshold: f32, low: u32, high: u32 },
    Leaf(Box<[(u32, f32)]>),
}

/// A grown tree.
#[derive(Clone, Debug)]
pub(super) struct Tree(Vec<Node>);

struct Split {
    feature: usize,
    threshold: f32,
    /// Σ w²/W over both sides: larger is purer.
    purity: f64,
}

/// What growing one tree needs again at every node.
struct Grower<'a, R> {
    input: &'a TreeInput<'a>,
    weights: &'a [u32],
    rng: &'a mut R,
    order: Vec<usize>,
    sorted: Vec<(f32, u32)>,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Tree {
    /// Grows a tree on the samples of non-zero weight.
    pub(super) fn grow<R: Rng>(input: &TreeInput<'_>, weights: &[u32], rng: &mut R) -> Self {
        let mut rows: Vec<u32> =
            (0..input.samples as u32).filter(|&r| weights[r as usize] > 0).collect();
        let mut grower = Grower {
            input,
            weights,
            rng,
            order: (0..input.features).collect(),
            sorted: Vec::with_capacity(rows.len()),
            low: vec![0.0; input.classes],
            high: vec![0.0; input.classes],
        };
        let mut nodes = vec![Node::Leaf(Box::new([]))];
        let mut open = vec![(0_usize, 0_usize, rows.len())];
        while let Some((place, from, to)) = open.pop() {
            let here = &mut rows[from..to];
            let counts = grower.counts(here);
            let pure = counts.iter().filter(|&&c| c > 0.0).count() == 1;
            let split = if pure { None } else { grower.best_split(here, &counts) };
            let Some(split) = split else {
                nodes[place] = leaf(&counts);
                continue;
            };
            here.sort_by_key(|&r| input.value(split.feature, r) > split.threshold);
            let parted =
                here.partition_point(|&r| input.value(split.feature, r) <= split.threshold);
            let low = nodes.len();
            nodes[place] = Node::Split {
                feature: split.feature as u32,
                threshold: split.threshold,
                low: low as u32,
                high: low as u32 + 1,
            };
            nodes.extend([Node::Leaf(Box::new([])), Node::Leaf(Box::new([]))]);
            open.push((low + 1, from + parted, to));
            open.push((low, from, from + parted));
        }
        Self(nodes)
    }

    /// The class shares of the leaf that a sample falls into, classes of share 0 left out.
    pub(super) fn leaf(&self, sample: ArrayView1<'_, f32>) -> &[(u32, f32)] {
        let mut place = 0;
        loop {
            match &self.0[place] {
                Node::Leaf(shares) => return shares,
                Node::Split { feature, threshold, low, high } => {
                    let goes_low = sample[*feature as usize] <= *threshold;
                    place = if goes_low { *low } else { *high } as usize;
                }
            }
        }
    }
}

fn leaf(counts: &[f64]) -> Node {
    let total: f64 = counts.iter().sum();
    let shares = counts.iter().enumerate().filter(|&(_, &c)| c > 0.0);
    Node::Leaf(shares.map(|(class, &c)| (class as u32, (c / total) as f32)).collect())
}

impl<R: Rng> Grower<'_, R> {
    fn counts(&self, rows: &[u32]) -> Vec<f64> {
        let mut counts = vec![0.0; self.input.classes];
        for &r in rows {
            counts[self.input.y[r as usize]] += f64::from(self.weights[r as usize]);
        }
        counts
    }

    /// Draws features without replacement until √p were seen and one of them was not constant.
    fn best_split(&mut self, rows: &[u32], counts: &[f64]) -> Option<Split> {
        let features = self.input.features;
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
        self.sorted.extend(rows.iter().map(|&r| (self.input.value(feature, r), r)));
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
            let purity = low_squares / low_total + high_squares / high_total;
            if best.as_ref().is_none_or(|b| purity > b.purity) {
                let middle = value / 2.0 + next / 2.0;
                let threshold = if middle >= next { value } else { middle };
                *best = Some(Split { feature, threshold, purity });
            }
        }
        true
    }
}
