//! The inner loop: a few steps of gradients on the support, which methods by gradients look through.
//!
//! Weights are one flat list, so that a method is the same for any network and can be checked on one whose second derivatives
//! are known. Sums are 64-bit; a network may compute its gradients in less.
//!
//! # Source
//! Finn, Abbeel and Levine 2017, *Model-agnostic meta-learning*, algorithm 1, and its section 5.2 for more than one step.

/// A loss over weights in one flat list.
pub(super) trait Slope {
    /// Relative rounding of its gradients.
    const ROUNDING: f64;

    /// Loss and gradient at these weights.
    fn at(&self, weights: &[f64]) -> (f64, Vec<f64>);
}

/// How the support is learned.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    /// Rate of each weight; 0 where it does not move.
    pub(super) rates: Vec<f64>,
    /// Steps.
    pub(super) steps: usize,
}

/// What a method makes of an episode: the loss it reports, and the direction that weights are moved against.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outer {
    pub(super) loss: f64,
    pub(super) gradient: Vec<f64>,
}

/// Where the steps of an inner loop went.
pub(super) struct Path {
    /// Weights before each step and after the last.
    points: Vec<Vec<f64>>,
    /// Gradient that each step went against.
    slopes: Vec<Vec<f64>>,
}

impl Path {
    /// Weights after the last step.
    pub(super) fn end(&self) -> &[f64] {
        &self.points[self.slopes.len()]
    }
}

impl Inner {
    /// Moves weights by one step; gives the gradient that it went against.
    pub(super) fn step(&self, support: &impl Slope, weights: &mut [f64]) -> Vec<f64> {
        let (_, slope) = support.at(weights);
        let moving = weights.iter_mut().zip(&slope).zip(&self.rates);
        moving.for_each(|((weight, slope), rate)| *weight -= rate * slope);
        slope
    }

    /// All steps from a start.
    pub(super) fn path(&self, support: &impl Slope, start: &[f64]) -> Path {
        let mut path = Path { points: vec![start.to_vec()], slopes: Vec::new() };
        for step in 0..self.steps {
            let mut next = path.points[step].clone();
            path.slopes.push(self.step(support, &mut next));
            path.points.push(next);
        }
        path
    }

    /// The gradients of a loss after all steps, by the weights before the first and by the rate of each weight: each step is
    /// looked through by the product of the support's second derivatives with a vector, which central differences of its gradient
    /// give.
    pub(super) fn back_through(
        &self,
        support: &impl Slope,
        path: &Path,
        gradient_there: Vec<f64>,
    ) -> (Vec<f64>, Vec<f64>) {
        let (mut gradient, mut by_rates) = (gradient_there, vec![0.0; self.rates.len()]);
        for (here, slope) in path.points[..self.steps].iter().zip(&path.slopes).rev() {
            let slopes = by_rates.iter_mut().zip(slope).zip(&gradient);
            slopes.for_each(|((sum, slope), g)| *sum -= slope * g);
            let along: Vec<f64> = gradient.iter().zip(&self.rates).map(|(g, r)| g * r).collect();
            let product = second_derivatives_times(support, here, &along);
            gradient.iter_mut().zip(product).for_each(|(g, p)| *g -= p);
        }
        (gradient, by_rates)
    }
}

/// Hessian times a vector.
fn second_derivatives_times<S: Slope>(slope: &S, here: &[f64], along: &[f64]) -> Vec<f64> {
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let far = length(along);
    if far == 0.0 {
        return vec![0.0; along.len()];
    }
    // Where the error of the difference, by its square, and that of rounding are alike. The way is short beside single weights: what a
    // gradient points along is a few of many.
    let step = S::ROUNDING.cbrt() / far;
    let beside = |sign: f64| -> Vec<f64> {
        let there: Vec<f64> = here.iter().zip(along).map(|(w, a)| w + sign * step * a).collect();
        slope.at(&there).1
    };
    let (ahead, behind) = (beside(1.0), beside(-1.0));
    ahead.iter().zip(behind).map(|(a, b)| (a - b) / (2.0 * step)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// ½ Σ c (w − at)²: its second derivatives are the curvatures c.
    pub(in crate::meta) struct Bowl {
        pub(in crate::meta) curvature: Vec<f64>,
        pub(in crate::meta) bottom: Vec<f64>,
    }

    impl Slope for Bowl {
        const ROUNDING: f64 = f64::EPSILON;

        fn at(&self, weights: &[f64]) -> (f64, Vec<f64>) {
            let off = || weights.iter().zip(&self.bottom).map(|(w, b)| w - b);
            let gradient: Vec<f64> = off().zip(&self.curvature).map(|(o, c)| o * c).collect();
            (off().zip(&gradient).map(|(o, g)| o * g / 2.0).sum(), gradient)
        }
    }

    /// Support and query of a network of two inputs, three tanh units and one output, with squares as loss; 13 weights.
    pub(in crate::meta) struct SmallNet {
        pub(in crate::meta) x: Vec<[f64; 2]>,
        pub(in crate::meta) y: Vec<f64>,
    }

    impl Slope for SmallNet {
        const ROUNDING: f64 = f64::EPSILON;

        fn at(&self, w: &[f64]) -> (f64, Vec<f64>) {
            let (mut loss, mut gradient) = (0.0, vec![0.0; 13]);
            let n = self.x.len() as f64;
            for (x, y) in self.x.iter().zip(&self.y) {
                let unit = |u: usize| (w[2 * u] * x[0] + w[2 * u + 1] * x[1] + w[6 + u]).tanh();
                let hidden = [unit(0), unit(1), unit(2)];
                let off = (0..3).map(|u| w[9 + u] * hidden[u]).sum::<f64>() + w[12] - y;
                loss += off * off / n;
                let pull = 2.0 * off / n;
                gradient[12] += pull;
                for u in 0..3 {
                    gradient[9 + u] += pull * hidden[u];
                    let inner = pull * w[9 + u] * (1.0 - hidden[u] * hidden[u]);
                    gradient[6 + u] += inner;
                    gradient[2 * u] += inner * x[0];
                    gradient[2 * u + 1] += inner * x[1];
                }
            }
            (loss, gradient)
        }
    }

    /// What PyTorch says of [`SmallNet`], see `fixtures/maml.py`.
    #[derive(serde::Deserialize)]
    pub(in crate::meta) struct Recorded {
        pub(in crate::meta) start: Vec<f64>,
        support_x: Vec<[f64; 2]>,
        support_y: Vec<f64>,
        query_x: Vec<[f64; 2]>,
        query_y: Vec<f64>,
        pub(in crate::meta) rate: f64,
        pub(in crate::meta) steps: usize,
        pub(in crate::meta) query_loss: f64,
        pub(in crate::meta) maml: Vec<f64>,
        pub(in crate::meta) fomaml: Vec<f64>,
        pub(in crate::meta) anil: Vec<f64>,
        pub(in crate::meta) meta_sgd: RecordedRates,
    }

    /// What it says where each weight has its own rate.
    #[derive(serde::Deserialize)]
    pub(in crate::meta) struct RecordedRates {
        pub(in crate::meta) rates: Vec<f64>,
        pub(in crate::meta) query_loss: f64,
        pub(in crate::meta) gradient: Vec<f64>,
        pub(in crate::meta) by_rates: Vec<f64>,
    }

    impl Recorded {
        pub(in crate::meta) fn read() -> Self {
            serde_json::from_str(include_str!("../../fixtures/maml.json")).unwrap()
        }

        pub(in crate::meta) fn halves(&self) -> (SmallNet, SmallNet) {
            let of = |x: &[[f64; 2]], y: &[f64]| SmallNet { x: x.to_vec(), y: y.to_vec() };
            (of(&self.support_x, &self.support_y), of(&self.query_x, &self.query_y))
        }
    }

    pub(in crate::meta) fn furthest(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// By hand: rate 0.1 on curvature 2 leaves 0.8 of the way to the bottom with each step; three leave 0.512. A weight at
    /// rate 0 stays.
    #[test]
    fn steps_go_down_the_slope() {
        let bowl = Bowl { curvature: vec![2.0, 2.0], bottom: vec![1.0, 1.0] };
        let inner = Inner { rates: vec![0.1, 0.0], steps: 3 };
        let path = inner.path(&bowl, &[0.0, 0.0]);
        let end = path.end();
        assert_eq!(path.points.len(), 4);
        assert!(furthest(end, &[1.0 - 0.512, 0.0]) < 1e-12, "{end:?}");
    }
}
