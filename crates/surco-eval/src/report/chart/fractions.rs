//! Scores against the share of the training data: a line a model, its intervals as bars and a band.

use super::{Anchor, LOOKS, Scale, Svg, tick_label, ticks};
use crate::report::input::FractionChart;

const WIDTH: f64 = 780.0;
const HEIGHT: f64 = 380.0;

/// The chart; shares by their logarithm.
pub(super) fn fraction_chart(chart: &FractionChart) -> String {
    let points = || chart.lines.iter().flat_map(|line| line.points.iter());
    let mut shares: Vec<f64> = points().map(|p| p[0]).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    let ends = |of: fn(&[f64; 4]) -> f64, start: f64, pick: fn(f64, f64) -> f64| {
        points().map(of).fold(start, pick)
    };
    let (low, high) = (ends(|p| p[2], f64::MAX, f64::min), ends(|p| p[3], f64::MIN, f64::max));
    let marks = ticks(low, high, 6);
    let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
    let first = shares.first().copied().unwrap_or(1.0).log10();
    let last = shares.last().copied().unwrap_or(100.0).log10();
    let x = Scale { from: first, to: last, start: 62.0, end: WIDTH - 190.0 };
    let y = Scale { from: marks[0], to: marks[marks.len() - 1], start: HEIGHT - 46.0, end: 28.0 };
    let mut svg =
        Svg::new(WIDTH, HEIGHT, "Score of each model against its share of the training data");
    svg.text((8.0, 15.0), Anchor::Start, "label", &chart.measure);
    for tick in marks {
        let at = y.at(tick);
        svg.line((x.start, at), (x.end, at), "grid");
        svg.text((x.start - 8.0, at + 4.0), Anchor::End, "tick", &tick_label(tick, step));
    }
    for share in shares {
        let at = x.at(share.log10());
        svg.line((at, y.start), (at, y.start + 5.0), "axis");
        svg.text((at, y.start + 19.0), Anchor::Middle, "tick", &share.to_string());
    }
    let middle = (x.start + x.end) / 2.0;
    svg.text((middle, HEIGHT - 6.0), Anchor::Middle, "label", "share of the training data, %");
    for (place, line) in chart.lines.iter().enumerate() {
        let (colour, mark) = LOOKS[place % LOOKS.len()];
        let at = |p: &[f64; 4], value: usize| (x.at(p[0].log10()), y.at(p[value]));
        let above = line.points.iter().map(|p| at(p, 3));
        let below = line.points.iter().rev().map(|p| at(p, 2));
        svg.path(above.chain(below), &format!("fill:{colour};fill-opacity:.14;stroke:none"));
        let along = line.points.iter().map(|p| at(p, 1));
        svg.path(along.clone(), &format!("fill:none;stroke:{colour};stroke-width:1.8"));
        for p in &line.points {
            svg.path([at(p, 2), at(p, 3)], &format!("fill:none;stroke:{colour};stroke-width:1"));
        }
        for point in along {
            svg.mark(mark, point, 4.0, &format!("fill:{colour};stroke:{colour};stroke-width:1.4"));
        }
        let height = 34.0 + 20.0 * place as f64;
        let style = format!("fill:{colour};stroke:{colour};stroke-width:1.4");
        svg.mark(mark, (x.end + 22.0, height - 4.0), 4.0, &style);
        svg.text((x.end + 32.0, height), Anchor::Start, "", &line.name);
    }
    svg.finish()
}
