//! Labels that spread to what looks alike.
//!
//! A graph joins each series, labelled or not, with its nearest by features. Labels flow along its edges until they
//! settle, so that a class reaches as far as unlabelled series lead it, not only as far as its few examples lie. The
//! masses of the classes are then made equal: nothing is assumed of how common each is. What was not in the graph takes
//! the shares of its nearest.
//!
//! # Source
//! Zhou et al. 2004, *Learning with local and global consistency*; class mass normalisation: Zhu, Ghahramani and
//! Lafferty 2003; local scaling of edges: Zelnik-Manor and Perona 2004; what was not in the graph: Delalleau, Bengio
//! and Le Roux 2005.
//!
//! Input: unit rows `[n, d]`, the labels of the first. Output: shares of classes, `[n, class]`.

use ndarray::{Array2, ArrayView2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::packed;

/// Edges of a series.
const NEAREST: usize = 10;

/// Neighbour whose distance is a series' own scale.
const SCALE_NEIGHBOUR: usize = 7;

/// Share of a series' label that comes from its neighbours.
const FLOW: f32 = 0.9;

/// Turns until labels have settled: what is left flows on with `FLOW` to this power, below 3e-4.
const TURNS: usize = 80;

/// Series with the shares of classes they ended with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spread {
    /// `[n, d]`, rows of length 1.
    #[serde(with = "packed::bytes")]
    anchors: Array2<f32>,
    /// `[n, class]`, rows sum to 1.
    #[serde(with = "packed::bytes")]
    shares: Array2<f32>,
}

impl Spread {
    /// Spreads the labels of the first rows over all; gives also what each labelled row would have got without its
    /// own label, `[labelled, class]`.
    pub(crate) fn over(z: Array2<f32>, classes: &[usize], count: usize) -> (Self, Array2<f32>) {
        let labelled = classes.len();
        let reach = settled(&edges(z.view()), z.nrows(), labelled);
        let mut shares = Array2::<f32>::zeros((z.nrows(), count));
        for (from, &class) in classes.iter().enumerate() {
            let mut column = shares.column_mut(class);
            column += &reach.column(from);
        }
        let mut left_out = shares.slice(s![..labelled, ..]).to_owned();
        for (i, &class) in classes.iter().enumerate() {
            left_out[[i, class]] -= reach[[i, i]];
        }
        let mass = shares.sum_axis(Axis(0)).mapv(|m| m.max(f32::MIN_POSITIVE));
        for shares in [&mut shares, &mut left_out] {
            *shares /= &mass;
            shares.rows_mut().into_iter().for_each(to_shares);
        }
        (Self { anchors: z, shares }, left_out)
    }

    /// Shares of classes of its own series, `[n, class]`.
    pub(crate) fn shares(&self) -> &Array2<f32> {
        &self.shares
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.shares.ncols()
    }

    /// Width of its rows.
    pub(crate) fn width(&self) -> usize {
        self.anchors.ncols()
    }

    /// Whether its parts fit together.
    pub(crate) fn is_whole(&self) -> bool {
        self.anchors.nrows() == self.shares.nrows() && !self.anchors.is_empty()
    }

    /// Shares of classes of other rows of length 1, `[n, class]`.
    pub(crate) fn predict(&self, z: ArrayView2<'_, f32>) -> Array2<f32> {
        let alike = z.dot(&self.anchors.t());
        stacked(z.nrows(), self.classes(), |i, mut out| {
            let near = nearest(alike.row(i).iter().copied(), NEAREST);
            let far = near.last().map_or(0.0, |n| n.0).max(1e-9);
            for (distance2, anchor) in near {
                out.scaled_add((-distance2 / far).exp(), &self.shares.row(anchor));
            }
            to_shares(out);
        })
    }
}

/// Rows filled side by side on all threads.
pub(crate) fn stacked(
    n: usize,
    width: usize,
    fill: impl Fn(usize, ArrayViewMut1<'_, f32>) + Sync,
) -> Array2<f32> {
    let mut values = vec![0.0; n * width];
    let rows = values.par_chunks_mut(width.max(1)).enumerate();
    rows.for_each(|(i, row)| fill(i, ArrayViewMut1::from(row)));
    Array2::from_shape_vec((n, width), values).expect("n rows of this width")
}

/// Makes a row sum to 1; of nothing all classes are alike.
fn to_shares(mut row: ArrayViewMut1<'_, f32>) {
    let sum = row.sum();
    if sum > f32::MIN_POSITIVE {
        row /= sum;
    } else {
        let even = 1.0 / row.len().max(1) as f32;
        row.fill(even);
    }
}

/// Squared distances and places of the nearest, by cosines of unit rows, ascending.
fn nearest(cosines: impl Iterator<Item = f32>, count: usize) -> Vec<(f32, usize)> {
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(count + 1);
    for (place, cosine) in cosines.enumerate() {
        let distance2 = (2.0 - 2.0 * cosine).max(0.0);
        if best.len() == count && best.last().is_some_and(|l| l.0 <= distance2) {
            continue;
        }
        let at = best.partition_point(|b| b.0 <= distance2);
        best.insert(at, (distance2, place));
        best.truncate(count);
    }
    best
}

/// Edges of each row, normalised by the roots of both ends' degrees.
fn edges(z: ArrayView2<'_, f32>) -> Vec<Vec<(usize, f32)>> {
    let alike = z.dot(&z.t());
    let others = |i: usize| {
        let near = nearest(alike.row(i).iter().copied(), NEAREST + 1);
        near.into_iter().filter(|n| n.1 != i).take(NEAREST).collect()
    };
    let near: Vec<Vec<(f32, usize)>> = (0..z.nrows()).into_par_iter().map(others).collect();
    let own = |near: &Vec<(f32, usize)>| {
        let at = SCALE_NEIGHBOUR.min(near.len()).checked_sub(1);
        at.map_or(0.0, |at| near[at].0).sqrt()
    };
    let scale: Vec<f32> = near.iter().map(own).collect();
    let mut out = vec![std::collections::BTreeMap::new(); near.len()];
    for (i, near) in near.iter().enumerate() {
        for &(distance2, j) in near {
            let weight = (-distance2 / (scale[i] * scale[j]).max(1e-9)).exp();
            out[i].insert(j, weight);
            out[j].insert(i, weight);
        }
    }
    let degree: Vec<f32> = out.iter().map(|e| e.values().sum::<f32>().max(1e-12)).collect();
    let normalised = |(i, edges): (usize, std::collections::BTreeMap<usize, f32>)| {
        edges.into_iter().map(|(j, w)| (j, w / (degree[i] * degree[j]).sqrt())).collect()
    };
    out.into_iter().enumerate().map(normalised).collect()
}

/// How much of each labelled row's label reaches each row, `[n, labelled]`.
fn settled(edges: &[Vec<(usize, f32)>], n: usize, labelled: usize) -> Array2<f32> {
    let mut reach = Array2::<f32>::eye(n).slice_move(s![.., ..labelled]);
    for _ in 0..TURNS {
        reach = stacked(n, labelled, |i, mut row| {
            for &(j, weight) in &edges[i] {
                row.scaled_add(FLOW * weight, &reach.row(j));
            }
            if i < labelled {
                row[i] += 1.0;
            }
        });
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(degrees: f32) -> [f32; 2] {
        let angle = degrees.to_radians();
        [angle.cos(), angle.sin()]
    }

    fn rows(degrees: impl IntoIterator<Item = f32>) -> Array2<f32> {
        Array2::from(degrees.into_iter().map(unit).collect::<Vec<_>>())
    }

    /// Two arcs with a gap. The end of the first arc is nearer to the one label of the second.
    #[test]
    fn a_class_reaches_as_far_as_unlabelled_rows_lead_it() {
        let arc = |from: f32| (0..40).map(move |i| from + i as f32);
        let given = [0.0, 72.0];
        let z = rows(given.into_iter().chain(arc(1.0)).chain(arc(71.0)));
        let (spread, _) = Spread::over(z, &[0, 1], 2);
        let asked = spread.predict(rows([40.0, 38.5, 71.0, 108.0]).view());
        let won: Vec<bool> = asked.rows().into_iter().map(|r| r[0] > r[1]).collect();
        assert_eq!(won, [true, true, false, false], "{asked}");
        assert!(asked.rows().into_iter().all(|r| (r.sum() - 1.0).abs() < 1e-5));
    }

    /// The settled flow solves `(I - flow S) F = Y` (Zhou et al. 2004, equation 4).
    #[test]
    fn what_settles_solves_the_equation() {
        let z = rows((0..30).map(|i| (i * i) as f32 * 0.37));
        let edges = edges(z.view());
        let reach = settled(&edges, 30, 4);
        for i in 0..30 {
            for from in 0..4 {
                let flow: f32 = edges[i].iter().map(|&(j, w)| w * reach[[j, from]]).sum();
                let own = f32::from(u8::from(i == from));
                assert!((reach[[i, from]] - FLOW * flow - own).abs() < 2e-3);
            }
        }
        for (i, row) in edges.iter().enumerate() {
            for &(j, w) in row {
                assert!(edges[j].iter().any(|&(k, v)| k == i && (v - w).abs() < 1e-7), "symmetric");
            }
        }
    }

    #[test]
    fn leaving_a_label_out_equals_spreading_without_it() {
        let z = rows((0..60).map(|i| (i % 30) as f32 * 3.0 + (i / 30) as f32));
        let classes = [0, 1, 0, 1, 0];
        let (_, left_out) = Spread::over(z.clone(), &classes, 2);
        let reach = settled(&edges(z.view()), 60, 5);
        // Without the third label: its flow is not there, masses as they were.
        let sum = |class: usize, row: usize, skip: usize| -> f32 {
            (0..5).filter(|&f| classes[f] == class && f != skip).map(|f| reach[[row, f]]).sum()
        };
        let mass = |class: usize| -> f32 { (0..60).map(|r| sum(class, r, 9)).sum() };
        let (a, b) = (sum(0, 2, 2) / mass(0), sum(1, 2, 2) / mass(1));
        assert!((left_out[[2, 0]] - a / (a + b)).abs() < 1e-5);
    }

    #[test]
    fn one_row_and_equal_rows_do_no_harm() {
        for n in [1, 3, 20] {
            let (spread, left_out) = Spread::over(rows(vec![30.0; n]), &[0], 2);
            let asked = spread.predict(rows([30.0]).view());
            assert!(asked.iter().chain(&left_out).all(|v| v.is_finite()));
            assert!(asked[[0, 0]] > asked[[0, 1]]);
        }
    }
}
