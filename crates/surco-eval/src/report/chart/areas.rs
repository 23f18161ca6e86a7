//! Areas: estimate with its interval, the truth, and what counting pixels would have said.

use super::{Anchor, Mark, Room, Scale, Svg, css, tick_label, ticks};
use crate::report::figure::title;
use crate::report::finding;
use crate::report::input::AreaRow;
use crate::report::words::Words;

/// One line per class.
pub(in crate::report) fn area_chart(rows: &[AreaRow], room: Room, words: &Words) -> String {
    let (width, line, start, drop) = match room {
        Room::Desk => (780.0, 34.0, 178.0, 0.0),
        Room::Phone => (400.0, 54.0, 8.0, 12.0),
    };
    let height = 20.0 + line * rows.len() as f64 + 44.0;
    let ends = rows
        .iter()
        .flat_map(|r| [r.mapped_ha, r.estimate_ha + r.half_width_ha, r.truth_ha.unwrap_or(0.0)]);
    let marks = ticks(0.0, ends.filter(|v| v.is_finite()).fold(1.0, f64::max), 5);
    let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
    let x = Scale { from: 0.0, to: marks[marks.len() - 1], start, end: width - 20.0 };
    let bottom = 14.0 + line * rows.len() as f64;
    let mut svg = Svg::new(width, height, words.area_alt);
    for &tick in &marks {
        svg.line((x.at(tick), 8.0), (x.at(tick), bottom), "grid");
        svg.text((x.at(tick), bottom + 17.0), Anchor::Middle, "tick", &tick_label(tick, step));
    }
    svg.text(((x.start + x.end) / 2.0, height - 6.0), Anchor::Middle, "label", words.hectares);
    for (i, row) in rows.iter().enumerate() {
        let top = 14.0 + line * i as f64;
        let y = top + line / 2.0 + drop;
        let name_y = top + 17.0; // as a line of a desk's chart, whose middle it is
        if i > 0 {
            svg.line((4.0, top), (x.end, top), "grid");
        }
        svg.push(format_args!(
            r#"<rect x="4" y="{:.1}" width="11" height="11" rx="2" style="fill:{}"/>"#,
            name_y - 6.0,
            css(row.class.colour)
        ));
        svg.text((22.0, name_y + 4.0), Anchor::Start, "name", &title(&row.class.name, 22));
        let low = (row.estimate_ha - row.half_width_ha).max(0.0);
        let high = row.estimate_ha + row.half_width_ha;
        let missed = row.truth_ha.is_some_and(|truth| !finding::holds(row, truth));
        let tone = if missed { "var(--heat-wrong)" } else { "var(--accent)" };
        let opacity = if missed { 0.6 } else { 0.35 };
        svg.push(format_args!(
            r#"<line x1="{:.1}" y1="{1:.1}" x2="{2:.1}" y2="{1:.1}" style="stroke:{tone};stroke-width:5;stroke-opacity:{opacity};stroke-linecap:round"/>"#,
            x.at(low),
            y - 4.0,
            x.at(high)
        ));
        svg.mark(Mark::Disc, (x.at(row.estimate_ha), y - 4.0), 4.8, "fill:var(--accent)");
        let hollow = "fill:none;stroke:#d55e00;stroke-width:1.8";
        svg.mark(Mark::Diamond, (x.at(row.mapped_ha), y + 7.0), 3.8, hollow);
        if let Some(truth) = row.truth_ha {
            svg.push(format_args!(
                r#"<line x1="{0:.1}" y1="{1:.1}" x2="{0:.1}" y2="{2:.1}" style="stroke:var(--ink);stroke-width:2.4"/>"#,
                x.at(truth),
                y - 14.0,
                y + 5.0
            ));
        }
    }
    svg.finish()
}
