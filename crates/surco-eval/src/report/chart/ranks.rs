//! Scores of methods with one number of labels: a line a method, best first, every draw a dot.

use super::{Anchor, Mark, Room, Scale, Svg, method_look, tick_label, ticks};
use crate::fewshot::Row;
use crate::report::figure::percent;
use crate::report::words::Words;

/// The chart; `chance` is a dashed line across.
pub(in crate::report) fn rank_chart(rows: &[Row], ours: &str, room: Room, words: &Words) -> String {
    let mut drawn: Vec<&Row> = rows.iter().filter(|r| r.method != "chance").collect();
    drawn.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    let (width, line, start, drop) = match room {
        Room::Desk => (780.0, 34.0, 290.0, 0.0),
        Room::Phone => (400.0, 48.0, 6.0, 9.0),
    };
    let height = 16.0 + line * drawn.len() as f64 + 42.0;
    let scores = rows.iter().flat_map(|r| r.per_seed.iter().copied().chain([r.mean]));
    let most = scores.filter(|v| v.is_finite()).fold(0.1, f64::max);
    let marks = ticks(0.0, 100.0 * most, 6);
    let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
    let to = marks[marks.len() - 1] / 100.0;
    let x = Scale { from: 0.0, to, start, end: width - 62.0 };
    let bottom = 16.0 + line * drawn.len() as f64;
    let mut svg = Svg::new(width, height, words.shots_alt);
    for &tick in &marks {
        let at = x.at(tick / 100.0);
        svg.line((at, 10.0), (at, bottom), "grid");
        svg.text((at, bottom + 17.0), Anchor::Middle, "tick", &tick_label(tick, step));
    }
    svg.text(((x.start + x.end) / 2.0, height - 5.0), Anchor::Middle, "label", words.shots_axis);
    if let Some(chance) = rows.iter().find(|r| r.method == "chance") {
        let at = x.at(chance.mean);
        svg.push(format_args!(
            r#"<line x1="{at:.1}" x2="{at:.1}" y1="10" y2="{bottom:.1}" style="stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4"/>"#
        ));
        svg.text((at + 6.0, bottom - 2.0), Anchor::Start, "tick", words.chance);
    }
    for (i, row) in drawn.into_iter().enumerate() {
        let middle = 16.0 + line * (i as f64 + 0.5);
        let y = middle + drop;
        let (colour, mark) = method_look(&row.method, ours);
        let class = if row.method == ours { "name" } else { "" };
        let name = words.method_name(&row.method);
        match room {
            Room::Desk => svg.text((x.start - 14.0, y + 4.0), Anchor::End, class, name),
            Room::Phone => svg.text((x.start, middle - 7.0), Anchor::Start, class, name),
        }
        for &score in &row.per_seed {
            svg.mark(Mark::Disc, (x.at(score), y), 2.6, &format!("fill:{colour};fill-opacity:.35"));
        }
        let style = format!("fill:{colour};stroke:{colour};stroke-width:1.6");
        svg.mark(mark, (x.at(row.mean), y), 5.0, &style);
        let score = percent(row.mean, 1);
        svg.text((x.end + 56.0, y + 4.0), Anchor::End, class, &score);
    }
    svg.finish()
}
