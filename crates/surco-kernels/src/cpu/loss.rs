//! Losses in one pass over prediction, target and weight.

use crate::operators::LossKind;

/// Residual's cost and slope.
fn cost(kind: LossKind, r: f32) -> (f32, f32) {
    match kind {
        LossKind::Squared => (r * r, 2.0 * r),
        LossKind::Huber { delta } if r.abs() <= delta => (0.5 * r * r, r),
        LossKind::Huber { delta } => (delta * (r.abs() - 0.5 * delta), delta * r.signum()),
        LossKind::PseudoHuber => {
            let root = (1.0 + r * r).sqrt();
            (root - 1.0, r / root)
        }
        LossKind::CrossEntropy => unreachable!("a cost of rows, not of residuals"),
    }
}

/// `Σ weight`, in f64; a batch without weight counts as one.
fn total(weight: &[f32]) -> f64 {
    let sum: f64 = weight.iter().map(|&w| f64::from(w)).sum();
    if sum > 0.0 { sum } else { 1.0 }
}

/// Log of the sum of exponentials of a row.
fn log_sum(row: &[f32]) -> f32 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    most + row.iter().map(|v| (v - most).exp()).sum::<f32>().ln()
}

/// The weighted mean; weights stand by element, or by row for the cross-entropy. What weighs nothing is
/// not looked at, so that it may be anything.
pub(crate) fn value(
    kind: LossKind,
    said: &[f32],
    target: &[f32],
    weight: &[f32],
    columns: usize,
) -> f32 {
    let sum: f64 = if kind == LossKind::CrossEntropy {
        let rows = said.chunks_exact(columns).zip(target.chunks_exact(columns)).zip(weight);
        rows.filter(|(_, w)| **w != 0.0)
            .map(|((said, target), &w)| {
                let all = log_sum(said);
                let row: f32 = said.iter().zip(target).map(|(s, t)| t * (all - s)).sum();
                f64::from(w * row)
            })
            .sum()
    } else {
        let all = said.iter().zip(target).zip(weight).filter(|(_, w)| **w != 0.0);
        all.map(|((s, t), w)| f64::from(w * cost(kind, s - t).0)).sum()
    };
    (sum / total(weight)) as f32
}

/// The gradient of the prediction, given that of the loss.
pub(crate) fn slope(
    kind: LossKind,
    [said, target, weight]: [&[f32]; 3],
    columns: usize,
    d_loss: f32,
) -> Vec<f32> {
    let scale = (f64::from(d_loss) / total(weight)) as f32;
    let mut out = vec![0.0; said.len()];
    if kind == LossKind::CrossEntropy {
        let rows = said.chunks_exact(columns).zip(target.chunks_exact(columns)).zip(weight);
        for (((said, target), &w), out) in rows.zip(out.chunks_exact_mut(columns)) {
            if w != 0.0 {
                let (all, mass) = (log_sum(said), target.iter().sum::<f32>());
                for ((o, s), t) in out.iter_mut().zip(said).zip(target) {
                    *o = scale * w * (mass * (s - all).exp() - t);
                }
            }
        }
        return out;
    }
    for (((o, s), t), &w) in out.iter_mut().zip(said).zip(target).zip(weight) {
        if w != 0.0 {
            *o = scale * w * cost(kind, s - t).1;
        }
    }
    out
}
