//! Scores against the number of labels: every seed a dot, every method a mark and a line of means.

use super::{Anchor, Mark, Scale, Svg, tick_label, ticks};
use crate::fewshot::Row;
use crate::report::words::Words;

/// Colour and mark of a method. The colours are those of Okabe and Ito, safe for colour-blind readers.
pub(in crate::report) fn method_look(method: &str, ours: &str) -> (&'static str, Mark) {
    match method {
        m if m == ours => ("var(--accent)", Mark::Disc),
        "random_forest" | "rf_raw" => ("#d55e00", Mark::Square),
        "logistic_regression" | "lr_raw_ndvi" => ("#009e73", Mark::Triangle),
        "lr_raw" => ("#8aa63b", Mark::Triangle),
        "surco_embedding" => ("#3f8fbf", Mark::Disc),
        "surco_values" => ("#e69f00", Mark::Square),
        "random_encoder" => ("#cc79a7", Mark::Diamond),
        "nn_place" => ("#b8860b", Mark::Cross),
        _ => ("var(--soft)", Mark::Cross),
    }
}

/// The chart; `methods` in the order of the legend, `chance` drawn as a dashed line.
pub(in crate::report) fn shot_chart(
    rows: &[Row],
    methods: &[&str],
    ours: &str,
    words: &Words,
) -> String {
    let (width, height) = (780.0, 400.0);
    let mut ks: Vec<usize> = rows.iter().map(|r| r.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let values = rows.iter().flat_map(|r| r.per_seed.iter().copied().chain([r.mean]));
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((1.0_f64, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
    let marks = ticks(100.0 * low, 100.0 * high, 6);
    let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
    let y = Scale {
        from: marks[0].max(0.0) / 100.0,
        to: marks[marks.len() - 1] / 100.0,
        start: height - 46.0,
        end: 30.0,
    };
    let slot = (width - 60.0) / ks.len().max(1) as f64;
    let place = |k: usize| ks.iter().position(|&other| other == k).unwrap_or(0) as f64;
    let drawn: Vec<&str> = methods.iter().copied().filter(|m| *m != "chance").collect();
    let dodge = (slot * 0.78) / drawn.len().max(1) as f64;
    let x = |k: usize, i: usize| {
        52.0 + slot * (place(k) + 0.5) + dodge * (i as f64 - (drawn.len() as f64 - 1.0) / 2.0)
    };

    let mut svg = Svg::new(width, height, words.shots_alt);
    svg.text((8.0, 14.0), Anchor::Start, "label", words.shots_axis);
    for &tick in &marks {
        let at = y.at(tick / 100.0);
        svg.line((52.0, at), (width - 8.0, at), "grid");
        svg.text((44.0, at + 4.0), Anchor::End, "tick", &tick_label(tick, step));
    }
    for &k in &ks {
        let middle = 52.0 + slot * (place(k) + 0.5);
        svg.text((middle, height - 26.0), Anchor::Middle, "name", &k.to_string());
    }
    svg.text((52.0 + (width - 60.0) / 2.0, height - 7.0), Anchor::Middle, "label", words.shots_k);
    if let Some(row) = rows.iter().find(|r| r.method == "chance") {
        let at = y.at(row.mean);
        svg.push(format_args!(
            r#"<line x1="52" y1="{at:.1}" x2="{}" y2="{at:.1}" style="stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4"/>"#,
            width - 8.0
        ));
        svg.text((width - 10.0, at - 6.0), Anchor::End, "tick", words.chance);
    }
    for (i, method) in drawn.iter().enumerate() {
        let (colour, mark) = method_look(method, ours);
        let mine: Vec<&Row> = ks
            .iter()
            .filter_map(|&k| rows.iter().find(|r| r.method == *method && r.k == k))
            .collect();
        let thick = if *method == ours { 2.2 } else { 1.2 };
        svg.path(
            mine.iter().map(|r| (x(r.k, i) + dodge * 0.2, y.at(r.mean))),
            &format!("fill:none;stroke:{colour};stroke-width:{thick};stroke-opacity:.55"),
        );
        for row in mine {
            for (seed, &score) in row.per_seed.iter().enumerate() {
                let aside = ((seed * 7 + 3) % 11) as f64 / 11.0 - 0.45;
                let at = (x(row.k, i) + dodge * (0.4 * aside - 0.22), y.at(score));
                svg.mark(Mark::Disc, at, 1.8, &format!("fill:{colour};fill-opacity:.38"));
            }
            let at = (x(row.k, i) + dodge * 0.2, y.at(row.mean));
            let style =
                format!("fill:{colour};stroke:{colour};stroke-width:1.6;paint-order:stroke");
            svg.mark(mark, at, 4.6, "fill:var(--card);stroke:var(--card);stroke-width:4");
            svg.mark(mark, at, 4.2, &style);
        }
    }
    svg.finish()
}
