//! Coordinates of another system over a window, without projecting every pixel.

/// Places in -1 to 1 at which the chart is exact: where a cubic through four points errs least.
const NODES: [f64; 4] = [
    -0.923_879_532_511_286_7,
    -0.382_683_432_365_089_8,
    0.382_683_432_365_089_8,
    0.923_879_532_511_286_7,
];
/// Places at which its error is measured, far from the nodes.
const PROBES: [f64; 3] = [-1.0, 0.0, 1.0];
/// The error at other places is at most this many times the largest one measured.
const CAUTION: f64 = 8.0;
/// What is closer to a border than this, in m, is projected for certainty.
const TOLERANCE_M: f64 = 1e-3;

/// A rectangle of easting and northing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
}

impl Frame {
    /// Where a point lies, as -1 to 1; a frame of one point has it in its middle.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let along = |v: f64, (low, high): (f64, f64)| {
            if high > low { (2.0 * v - low - high) / (high - low) } else { 0.0 }
        };
        (along(x, self.x), along(y, self.y))
    }

    fn at(&self, u: f64, v: f64) -> (f64, f64) {
        let along = |t: f64, (low, high): (f64, f64)| (low + high + t * (high - low)) / 2.0;
        (along(u, self.x), along(v, self.y))
    }
}

/// Two smooth functions of easting and northing over a frame, as cubics in each direction.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    frame: Frame,
    /// Values at the nodes.
    values: [[[f64; 2]; 4]; 4],
    /// How far it may be off, in m.
    pub(super) error_m: f64,
}

impl Chart {
    /// Reads the functions, in m, at 25 points of the frame.
    pub(super) fn of<E>(
        frame: Frame,
        exact: impl Fn(f64, f64) -> Result<[f64; 2], E>,
    ) -> Result<Self, E> {
        let mut values = [[[0.0; 2]; 4]; 4];
        for (line, v) in values.iter_mut().zip(NODES) {
            for (value, u) in line.iter_mut().zip(NODES) {
                let (x, y) = frame.at(u, v);
                *value = exact(x, y)?;
            }
        }
        let mut chart = Self { frame, values, error_m: 0.0 };
        for v in PROBES {
            for u in PROBES {
                let (x, y) = frame.at(u, v);
                let (want, got) = (exact(x, y)?, chart.read(x, y));
                let off = (want[0] - got[0]).abs().max((want[1] - got[1]).abs());
                chart.error_m = chart.error_m.max(off * CAUTION);
            }
        }
        chart.error_m += TOLERANCE_M;
        Ok(chart)
    }

    pub(super) fn read(&self, x: f64, y: f64) -> [f64; 2] {
        let (u, v) = self.frame.place(x, y);
        let (across, down) = (weights(u), weights(v));
        let mut sum = [0.0; 2];
        for (line, w) in self.values.iter().zip(down) {
            for (value, t) in line.iter().zip(across) {
                sum[0] += w * t * value[0];
                sum[1] += w * t * value[1];
            }
        }
        sum
    }
}

/// Lagrange's weights of the nodes for a place.
fn weights(t: f64) -> [f64; 4] {
    let [a, b, c, d] = NODES.map(|node| t - node);
    // The products of a node's distances to the others.
    const INNER: f64 = 0.541_196_100_146_197;
    const OUTER: f64 = 1.306_562_964_876_376_5;
    [b * c * d / -OUTER, a * c * d / INNER, a * b * d / -INNER, a * b * c / OUTER]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_exact_at_its_nodes_and_for_cubics() {
        for (i, node) in NODES.into_iter().enumerate() {
            for (j, weight) in weights(node).into_iter().enumerate() {
                assert!((weight - if i == j { 1.0 } else { 0.0 }).abs() < 1e-12, "{i} {j}");
            }
        }
        let frame = Frame { x: (100.0, 300.0), y: (-5.0, 5.0) };
        let cubic = |x: f64, y: f64| [x * x * x * 1e-3 - y, x * y * y + 7.0];
        let chart = Chart::of(frame, |x, y| Ok::<_, ()>(cubic(x, y))).unwrap();
        for (x, y) in [(123.4, 4.5), (299.0, -5.0), (201.0, 0.1)] {
            let (want, got) = (cubic(x, y), chart.read(x, y));
            assert!((want[0] - got[0]).abs() < 1e-8 && (want[1] - got[1]).abs() < 1e-8, "{x}");
        }
        assert!(chart.error_m < 2.0 * TOLERANCE_M, "{}", chart.error_m);
        let wild = Chart::of(frame, |x, _| Ok::<_, ()>([(x * 0.05).sin() * 1e3, 0.0])).unwrap();
        assert!(wild.error_m > 1.0, "an error is noticed: {}", wild.error_m);
    }
}
