//! Charts as inline SVG.
//!
//! Drawn by hand and not with plotters: text stays text (searchable, read aloud, in the reader's own font),
//! colours are CSS variables that follow light, dark and paper, a chart is a few kB, and no font or image
//! codec enters the build.

mod areas;
mod bars;
mod curves;
mod fractions;
mod rank_axis;
mod ranks;
mod shots;

use std::fmt::Write;

pub(super) use areas::area_chart;
pub(super) use bars::bar_chart;
pub(super) use curves::{CurveText, learning_chart, ndvi_panel};
pub(super) use ranks::rank_chart;
pub(super) use shots::{method_look, shot_chart};
use surco_core::escape;

use super::input::Drawing;

/// A drawing of a report.
pub(super) fn drawing(drawing: &Drawing) -> String {
    match drawing {
        Drawing::Ranks(axis) => rank_axis::rank_axis(axis),
        Drawing::Fractions(chart) => fractions::fraction_chart(chart),
    }
}

/// Colours of Okabe and Ito, safe for colour-blind readers, with the marks that go with them.
pub(crate) const LOOKS: [(&str, Mark); 6] = [
    ("#cc79a7", Mark::Diamond),
    ("#e69f00", Mark::Square),
    ("#009e73", Mark::Triangle),
    ("#56b4e9", Mark::Disc),
    ("#0072b2", Mark::Square),
    ("#d55e00", Mark::Cross),
];

/// Where a value lies on the page.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Scale {
    pub(crate) fn at(&self, value: f64) -> f64 {
        let span = self.to - self.from;
        let share = if span == 0.0 { 0.5 } else { (value - self.from) / span };
        self.start + share * (self.end - self.start)
    }
}

/// Round numbers that cover a range, about `count` of them, the ends within or beyond it.
pub(crate) fn ticks(from: f64, to: f64, count: usize) -> Vec<f64> {
    let span = to - from;
    if !span.is_finite() || span <= 0.0 {
        return vec![from];
    }
    let rough = span / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((from / step).floor() as i64, (to / step).ceil() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A colour as CSS.
pub(super) fn css([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Where text stands against its point.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// The screen a chart is drawn for: a desk's has room for names beside their lines, a phone's above them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Desk,
    Phone,
}

/// A shape that tells methods apart without colour.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Disc,
    Square,
    Triangle,
    Diamond,
    Cross,
}

/// An SVG drawing under way.
pub(crate) struct Svg(String);

impl Svg {
    /// A drawing in its own units, with words for those who cannot see it.
    pub(crate) fn new(width: f64, height: f64, alt: &str) -> Self {
        let alt = escape(alt);
        Self(format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{alt}">"#))
    }

    /// A drawing that says nothing its neighbours do not say.
    pub(super) fn mute(width: f64, height: f64) -> Self {
        Self(format!(r#"<svg viewBox="0 0 {width} {height}" aria-hidden="true">"#))
    }

    pub(super) fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(markup);
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    pub(crate) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.push(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    /// A line through points, `style` as CSS.
    pub(crate) fn path(&mut self, points: impl IntoIterator<Item = (f64, f64)>, style: &str) {
        let mut d = String::new();
        for (i, (x, y)) in points.into_iter().enumerate() {
            let _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        self.push(format_args!(r#"<path d="{d}" style="{style}"/>"#));
    }

    pub(crate) fn mark(&mut self, mark: Mark, (x, y): (f64, f64), r: f64, style: &str) {
        let d = match mark {
            Mark::Disc => {
                self.push(format_args!(
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="{r}" style="{style}"/>"#
                ));
                return;
            }
            Mark::Square => {
                let (r, side) = (r * 0.9, r * 1.8);
                format!("M{:.1} {:.1}h{side}v{side}h-{side}z", x - r, y - r)
            }
            Mark::Triangle => {
                let r = r * 1.2;
                format!("M{x:.1} {:.1}l{r} {:.1}h-{:.1}z", y - r, 1.8 * r, 2.0 * r)
            }
            Mark::Diamond => {
                let r = r * 1.25;
                format!("M{x:.1} {:.1}l{r} {r}l-{r} {r}l-{r} -{r}z", y - r)
            }
            Mark::Cross => {
                format!("M{:.1} {y:.1}h{}M{x:.1} {:.1}v{}", x - r, 2.0 * r, y - r, 2.0 * r)
            }
        };
        self.push(format_args!(r#"<path d="{d}" style="{style}"/>"#));
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// A number with as few decimals as its step needs.
pub(crate) fn tick_label(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    let decimals = if (step * 10_f64.powi(decimals as i32)).fract().abs() > 1e-6 {
        decimals + 1
    } else {
        decimals
    };
    super::figure::number(value, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(3.0, 97.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(ticks(2.0, 2.0, 4), [2.0]);
        assert_eq!(ticks(f64::NAN, 1.0, 4).len(), 1);
    }

    #[test]
    fn labels_have_the_decimals_of_their_step() {
        assert_eq!(tick_label(0.25, 0.25), "0.25");
        assert_eq!(tick_label(0.2, 0.2), "0.2");
        assert_eq!(tick_label(2500.0, 500.0), "2,500");
        assert_eq!(tick_label(2.5, 2.5), "2.5");
    }

    #[test]
    fn markup_in_words_stays_words() {
        let mut svg = Svg::new(10.0, 10.0, r#"a "b""#);
        svg.text((0.0, 0.0), Anchor::Start, "t", "<script>&'");
        let drawn = svg.finish();
        assert!(drawn.contains("&lt;script&gt;&amp;&#39;") && drawn.contains("a &quot;b&quot;"));
    }
}
