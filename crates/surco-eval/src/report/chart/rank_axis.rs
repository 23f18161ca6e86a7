//! A critical-difference diagram: methods on a line of average ranks, bars over those that cannot be told apart.

use super::{Anchor, Mark, Scale, Svg};
use crate::report::input::RankAxis;

const WIDTH: f64 = 780.0;
const LINE: f64 = 22.0;
/// Room beside the axis for names.
const MARGIN: f64 = 190.0;

/// The diagram, best method at the left.
///
/// # Source
/// Demšar 2006, *Statistical comparisons of classifiers over multiple data sets*, figure 1.
pub(super) fn rank_axis(axis: &RankAxis) -> String {
    let methods = axis.marks.len();
    let x = Scale { from: 1.0, to: methods.max(2) as f64, start: MARGIN, end: WIDTH - MARGIN };
    let (top, bars) = (62.0, 12.0 + 9.0 * axis.bars.len() as f64);
    let left = methods.div_ceil(2);
    let height = top + bars + LINE * left as f64 + 14.0;
    let mut svg =
        Svg::new(WIDTH, height, "Average rank of each method; the table holds the same figures");
    svg.line((x.start, top), (x.end, top), "axis");
    for rank in 1..=methods {
        let at = x.at(rank as f64);
        svg.line((at, top - 5.0), (at, top), "axis");
        svg.text((at, top - 10.0), Anchor::Middle, "tick", &rank.to_string());
    }
    let span = (x.at(1.0 + axis.critical_difference) - x.start).min(x.end - x.start);
    for (from, to) in [(0.0, span), (0.0, 0.0), (span, span)] {
        let ends = if from == to { (18.0, 26.0) } else { (22.0, 22.0) };
        svg.line((x.start + from, ends.0), (x.start + to, ends.1), "axis");
    }
    let told = format!("critical difference {:.2}", axis.critical_difference);
    svg.text((x.start + span + 8.0, 26.0), Anchor::Start, "label", &told);
    for (i, [first, last]) in axis.bars.iter().enumerate() {
        let y = top + 9.0 + 9.0 * i as f64;
        let ends = [(x.at(*first) - 4.0, y), (x.at(*last) + 4.0, y)];
        svg.path(ends, "fill:none;stroke:var(--accent);stroke-width:4;stroke-linecap:round");
    }
    for (place, (name, rank)) in axis.marks.iter().enumerate() {
        // The better half stands at the left from the top down, the others at the right from the bottom up.
        let is_left = place < left;
        let line = if is_left { place } else { methods - 1 - place };
        let y = top + bars + LINE * (line as f64 + 0.5);
        let at = x.at(*rank);
        let (edge, end, anchor) = if is_left {
            (x.start - 12.0, x.start - 18.0, Anchor::End)
        } else {
            (x.end + 12.0, x.end + 18.0, Anchor::Start)
        };
        svg.path([(at, top), (at, y), (edge, y)], "fill:none;stroke:var(--soft);stroke-width:1");
        svg.mark(Mark::Disc, (at, top), 3.0, "fill:var(--accent)");
        svg.text((end, y + 4.0), anchor, "", &format!("{name}  {rank:.2}"));
    }
    svg.finish()
}
