//! A tree of thresholds, grown node by node, whatever its leaves hold.

use ndarray::{ArrayView1, ArrayView2};

/// Values closer than this are one value.
///
/// # Source
/// scikit-learn, `sklearn/tree/_partitioner.pyx`, `FEATURE_THRESHOLD`.
pub(crate) const SAME_VALUE: f32 = 1e-7;

/// Values by feature, so that a split reads along memory.
pub(crate) struct Columns {
    values: Vec<f32>,
    samples: usize,
    /// Number of features.
    pub(crate) features: usize,
}

impl Columns {
    /// One copy of the samples, turned: every tree reads it feature by feature.
    pub(crate) fn new(x: ArrayView2<'_, f32>) -> Self {
        Self { values: x.t().iter().copied().collect(), samples: x.nrows(), features: x.ncols() }
    }

    /// The value of a feature of a sample.
    pub(crate) fn value(&self, feature: usize, row: u32) -> f32 {
        self.values[feature * self.samples + row as usize]
    }
}

/// A threshold that parts samples.
pub(crate) struct Split {
    pub(crate) feature: usize,
    pub(crate) threshold: f32,
    /// How good it is: larger is better, by the grower's own measure.
    pub(crate) gain: f64,
}

impl Split {
    /// Takes the place of a split that is no better.
    pub(crate) fn challenge(self, best: &mut Option<Self>) {
        if best.as_ref().is_none_or(|b| self.gain > b.gain) {
            *best = Some(self);
        }
    }
}

/// The threshold half-way between two values, of which the lower goes low.
pub(crate) fn between(low: f32, high: f32) -> f32 {
    let middle = low / 2.0 + high / 2.0;
    if middle >= high { low } else { middle }
}

/// What decides how a tree grows.
pub(crate) trait Grow {
    /// What a leaf holds.
    type Leaf;

    /// The samples.
    fn columns(&self) -> &Columns;

    /// The best split of these samples, or none if they stay together.
    fn split(&mut self, rows: &[u32]) -> Option<Split>;

    /// The leaf of these samples.
    fn leaf(&self, rows: &[u32]) -> Self::Leaf;
}

#[derive(Clone, Debug)]
enum Node<L> {
    /// The low side is the next node.
    Split {
        feature: u32,
        threshold: f32,
        high: u32,
    },
    Leaf(L),
}

/// A grown tree; the first node is its root.
#[derive(Clone, Debug)]
pub(crate) struct Tree<L>(Vec<Node<L>>);

impl<L> Tree<L> {
    /// Grows a tree on samples, low sides first.
    pub(crate) fn grow(grower: &mut impl Grow<Leaf = L>, mut rows: Vec<u32>) -> Self {
        let mut nodes: Vec<Node<L>> = Vec::new();
        // Samples of a node, and the node whose high side it is; a low side follows its node.
        let mut open = vec![(0, rows.len(), None)];
        while let Some((from, to, above)) = open.pop() {
            let place = nodes.len() as u32;
            if let Some(Node::Split { high, .. }) = above.and_then(|at: usize| nodes.get_mut(at)) {
                *high = place;
            }
            let here = &mut rows[from..to];
            let Some(Split { feature, threshold, .. }) = grower.split(here) else {
                nodes.push(Node::Leaf(grower.leaf(here)));
                continue;
            };
            let columns = grower.columns();
            here.sort_by_key(|&r| columns.value(feature, r) > threshold);
            let parted = here.partition_point(|&r| columns.value(feature, r) <= threshold);
            nodes.push(Node::Split { feature: feature as u32, threshold, high: place });
            open.push((from + parted, to, Some(place as usize)));
            open.push((from, from + parted, None));
        }
        Self(nodes)
    }

    /// The leaf that a sample falls into.
    pub(crate) fn leaf(&self, sample: ArrayView1<'_, f32>) -> &L {
        let mut place = 0;
        loop {
            match &self.0[place] {
                Node::Leaf(leaf) => return leaf,
                Node::Split { feature, threshold, high } => {
                    let goes_low = sample[*feature as usize] <= *threshold;
                    place = if goes_low { place + 1 } else { *high as usize };
                }
            }
        }
    }
}
