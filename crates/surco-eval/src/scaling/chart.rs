//! Loss against compute: a line a size, and what the law says is best.

use crate::report::chart::{Anchor, LOOKS, Scale, Svg, tick_label, ticks};
use crate::report::standalone;

use super::{ScalingFit, ScalingRun};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 380.0;

/// Runs and law as an SVG file of its own: operations and loss, both by their logarithms.
#[must_use]
pub fn scaling_svg(fit: &ScalingFit) -> String {
    let ends = |of: fn(&ScalingRun) -> f64| {
        let values = fit.runs.iter().map(of);
        values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (flops, losses) = (ends(|r| r.flops), ends(|r| r.loss));
    let frontier: Vec<(f64, f64)> = (0..=40)
        .map(|i| flops.0 * (flops.1 / flops.0).powf(f64::from(i) / 40.0))
        .map(|f| (f, fit.law.best(f).2))
        .collect();
    let lowest = frontier.iter().map(|p| p.1).fold(losses.0, f64::min);
    let x = Scale {
        from: flops.0.log10() - 0.1,
        to: flops.1.log10() + 0.1,
        start: 62.0,
        end: WIDTH - 74.0,
    };
    let y = Scale {
        from: lowest.log10() - 0.02,
        to: losses.1.log10() + 0.02,
        start: HEIGHT - 46.0,
        end: 28.0,
    };
    let mut svg = Svg::new(WIDTH, HEIGHT, "Loss against operations of training, a line a size");
    svg.text((8.0, 15.0), Anchor::Start, "label", "loss on places held out");
    let marks = ticks(lowest, losses.1, 6);
    let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
    for tick in marks.into_iter().filter(|t| *t > 0.0 && (y.from..=y.to).contains(&t.log10())) {
        let at = y.at(tick.log10());
        svg.line((x.start, at), (x.end, at), "grid");
        svg.text((x.start - 8.0, at + 4.0), Anchor::End, "tick", &tick_label(tick, step));
    }
    for power in (x.from.ceil() as i32)..=(x.to.floor() as i32) {
        let at = x.at(f64::from(power));
        svg.line((at, y.start), (at, y.start + 5.0), "axis");
        svg.text((at, y.start + 19.0), Anchor::Middle, "tick", &format!("1e{power}"));
    }
    let middle = (x.start + x.end) / 2.0;
    svg.text((middle, HEIGHT - 6.0), Anchor::Middle, "label", "operations of training");
    let at = |flops: f64, loss: f64| (x.at(flops.log10()), y.at(loss.log10()));
    svg.path(
        frontier.iter().map(|&(f, loss)| at(f, loss)),
        "fill:none;stroke:var(--soft);stroke-width:2;stroke-dasharray:6 4",
    );
    if let Some(&(f, loss)) = frontier.last() {
        let (right, height) = at(f, loss);
        svg.text((right + 8.0, height + 4.0), Anchor::Start, "tick", "best size");
    }
    let mut sizes: Vec<(&str, f64)> = Vec::new();
    for run in &fit.runs {
        if !sizes.iter().any(|(name, _)| *name == run.size) {
            sizes.push((&run.size, run.params));
        }
    }
    sizes.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (place, (size, _)) in sizes.iter().enumerate() {
        let (colour, mark) = LOOKS[place % LOOKS.len()];
        let mut own: Vec<&ScalingRun> = fit.runs.iter().filter(|r| r.size == *size).collect();
        own.sort_by(|a, b| a.flops.total_cmp(&b.flops));
        let points = || own.iter().map(|run| at(run.flops, run.loss));
        svg.path(points(), &format!("fill:none;stroke:{colour};stroke-width:1.6"));
        for point in points() {
            svg.mark(mark, point, 4.0, &format!("fill:{colour};stroke:{colour};stroke-width:1.4"));
        }
        if let Some((left, height)) = points().next() {
            svg.text((left, height - 9.0), Anchor::Middle, "name", size);
        }
    }
    standalone(&svg.finish())
}
