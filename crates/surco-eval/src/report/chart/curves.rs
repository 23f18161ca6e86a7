//! Lines through time: NDVI of one class, and a measure while a model learns.

use jiff::civil::Date;

use super::{Anchor, Scale, Svg, css, tick_label, ticks};
use crate::report::figure::days;
use crate::report::input::{Curve, NdviCurve};
use crate::report::words::Words;

/// The first days of months within a range of days, with the month's name.
fn months(from: Date, to: Date, words: &Words) -> Vec<(f64, &'static str)> {
    let mut month = from.first_of_month();
    let mut out = Vec::new();
    while month <= to {
        if month >= from {
            out.push((days(month), words.months[month.month() as usize - 1]));
        }
        let Ok(next) = month.checked_add(jiff::Span::new().months(1)) else { break };
        month = next;
    }
    let every = out.len().div_ceil(6).max(1);
    out.into_iter().step_by(every).collect()
}

/// A small panel: median line and quartile band of one class, all panels with the same axes.
pub(in crate::report) fn ndvi_panel(
    curve: &NdviCurve,
    (span, low): ((Date, Date), f64),
    words: &Words,
) -> String {
    let (width, height) = (300.0, 180.0);
    let x = Scale { from: days(span.0), to: days(span.1), start: 30.0, end: width - 8.0 };
    let y = Scale { from: low, to: 1.0, start: height - 22.0, end: 8.0 };
    let mut svg =
        Svg::new(width, height, &words.fill(words.ndvi_alt, &[("class", &curve.class.name)]));
    for tick in [0.0, 0.5, 1.0] {
        svg.line((x.start, y.at(tick)), (x.end, y.at(tick)), "grid");
        svg.text((x.start - 6.0, y.at(tick) + 4.0), Anchor::End, "tick", &tick_label(tick, 0.5));
    }
    for (day, name) in months(span.0, span.1, words) {
        svg.line((x.at(day), y.start), (x.at(day), y.start + 4.0), "axis");
        svg.text((x.at(day), height - 5.0), Anchor::Middle, "tick", name);
    }
    let at = |day: Date, value: f64| (x.at(days(day)), y.at(value.clamp(y.from, y.to)));
    let seen: Vec<_> = curve.points.iter().filter(|p| p.median.is_finite()).collect();
    let top = seen.iter().map(|p| at(p.date, p.high));
    let bottom = seen.iter().rev().map(|p| at(p.date, p.low));
    let colour = css(curve.class.colour);
    svg.path(top.chain(bottom), &format!("fill:{colour};fill-opacity:.28"));
    svg.path(
        seen.iter().map(|p| at(p.date, p.median)),
        "fill:none;stroke:var(--card);stroke-width:5",
    );
    let line = format!(
        "fill:none;stroke:color-mix(in srgb, {colour} 78%, var(--ink));stroke-width:2.6;stroke-linejoin:round"
    );
    svg.path(seen.iter().map(|p| at(p.date, p.median)), &line);
    svg.finish()
}

/// The words of one learning chart.
pub(in crate::report) struct CurveText<'a> {
    pub(in crate::report) alt: &'a str,
    pub(in crate::report) step: &'a str,
    pub(in crate::report) train: &'a str,
    pub(in crate::report) validation: &'a str,
}

/// A series smoothed over a tenth of its length, less towards its ends.
fn running_mean(series: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let half = series.len() / 20;
    let mean = |i: usize| {
        let half = half.min(i).min(series.len() - 1 - i);
        let part = &series[i - half..=i + half];
        part.iter().map(|p| p.1).sum::<f64>() / part.len() as f64
    };
    (0..series.len()).map(|i| (series[i].0, mean(i))).collect()
}

/// A measure while a model learns, on what it learns from and on places held out.
pub(in crate::report) fn learning_chart(curve: &Curve, text: &CurveText<'_>) -> String {
    let (width, height) = (440.0, 270.0);
    let values = curve.points.iter().flat_map(|p| [Some(p.train), p.validation]).flatten();
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let marks = ticks(low.min(high), high.max(low), 4);
    let step = marks.get(1).map_or(1.0, |second| second - marks[0]);
    let y = Scale { from: marks[0], to: marks[marks.len() - 1], start: height - 42.0, end: 26.0 };
    let last = curve.points.last().map_or(1.0, |p| p.step as f64);
    let first = curve.points.first().map_or(0.0, |p| p.step as f64);
    let x = Scale { from: first, to: last, start: 46.0, end: width - 80.0 };
    let mut svg = Svg::new(width, height, text.alt);
    svg.text((x.start - 42.0, 13.0), Anchor::Start, "label", &curve.measure);
    for &tick in &marks {
        svg.line((x.start, y.at(tick)), (x.end, y.at(tick)), "grid");
        svg.text((x.start - 8.0, y.at(tick) + 4.0), Anchor::End, "tick", &tick_label(tick, step));
    }
    let steps = ticks(first, last, 4);
    for &tick in steps.iter().filter(|t| (first..=last).contains(*t)) {
        svg.line((x.at(tick), y.start), (x.at(tick), y.start + 5.0), "axis");
        svg.text((x.at(tick), y.start + 19.0), Anchor::Middle, "tick", &tick_label(tick, 1.0));
    }
    svg.text(((x.start + x.end) / 2.0, height - 5.0), Anchor::Middle, "label", text.step);
    let at = |&(step, value): &(u64, f64)| (x.at(step as f64), y.at(value));
    let finite = |series: Vec<(u64, f64)>| series.into_iter().filter(|p| p.1.is_finite());
    let train: Vec<_> = finite(curve.points.iter().map(|p| (p.step, p.train)).collect()).collect();
    let held = curve.points.iter().filter_map(|p| p.validation.map(|v| (p.step, v))).collect();
    let held: Vec<_> = finite(held).collect();
    let mut ends: Vec<(f64, &str, &str)> = Vec::new();
    let thin = "fill:none;stroke:var(--soft);stroke-width:1.1;stroke-opacity:.75";
    svg.path(train.iter().map(at), thin);
    // Beside places held out, a second thick line would only hide them.
    let thick = if held.is_empty() { running_mean(&train) } else { held };
    let held_out = curve.points.iter().any(|p| p.validation.is_some());
    let tone = if held_out { "var(--accent)" } else { "var(--soft)" };
    svg.path(thick.iter().map(at), &format!("fill:none;stroke:{tone};stroke-width:2.4"));
    if let Some(end) = train.last().filter(|_| held_out) {
        ends.push((at(end).1, text.train, "var(--soft)"));
    }
    if let Some(end) = thick.last() {
        ends.push((at(end).1, if held_out { text.validation } else { text.train }, tone));
    }
    if let [(a, ..), (b, ..)] = &mut ends[..] {
        let close = 15.0 - (*a - *b).abs();
        if close > 0.0 {
            let sign = if *a > *b { 1.0 } else { -1.0 };
            *a += sign * close / 2.0;
            *b -= sign * close / 2.0;
        }
    }
    for (end, name, colour) in ends {
        svg.push(format_args!(
            r#"<text x="{:.1}" y="{:.1}" class="name" style="fill:{colour}">{}</text>"#,
            x.end + 8.0,
            end + 4.0,
            surco_core::escape(name)
        ));
    }
    svg.finish()
}
