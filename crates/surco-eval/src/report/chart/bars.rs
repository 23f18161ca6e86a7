//! Horizontal bars: where the time went.

use super::{Anchor, Svg};
use crate::report::figure::{duration, title};
use crate::report::input::Stage;

/// One bar per stage, longest at full width, each with its own figure.
pub(in crate::report) fn bar_chart(stages: &[Stage], alt: &str) -> String {
    let line = 30.0;
    let (width, height) = (780.0, 8.0 + line * stages.len() as f64);
    let longest = stages.iter().map(|s| s.seconds).fold(1e-9, f64::max);
    let mut svg = Svg::new(width, height, alt);
    for (i, stage) in stages.iter().enumerate() {
        let y = 4.0 + line * (i as f64 + 0.5);
        let long = (width - 310.0) * stage.seconds / longest;
        svg.text((200.0, y + 4.0), Anchor::End, "name", &title(&stage.name, 28));
        svg.push(format_args!(
            r#"<rect x="210" y="{:.1}" width="{:.1}" height="18" rx="3" style="fill:var(--accent);fill-opacity:.75"/>"#,
            y - 9.0,
            long.max(1.5)
        ));
        svg.text(
            (210.0 + long.max(1.5) + 8.0, y + 4.0),
            Anchor::Start,
            "tick",
            &duration(stage.seconds),
        );
    }
    svg.finish()
}
