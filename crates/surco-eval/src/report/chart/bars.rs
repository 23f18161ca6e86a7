//! Horizontal bars: where the time went.

use super::{Anchor, Room, Svg};
use crate::report::figure::{duration, title};
use crate::report::input::Stage;

/// One bar per stage, longest at full width, each with its own figure.
pub(in crate::report) fn bar_chart(stages: &[Stage], room: Room, alt: &str) -> String {
    let (width, line, start, drop) = match room {
        Room::Desk => (780.0, 30.0, 210.0, 0.0),
        Room::Phone => (400.0, 46.0, 4.0, 9.0),
    };
    let height = 8.0 + line * stages.len() as f64;
    let longest = stages.iter().map(|s| s.seconds).fold(1e-9, f64::max);
    let mut svg = Svg::new(width, height, alt);
    for (i, stage) in stages.iter().enumerate() {
        let middle = 4.0 + line * (i as f64 + 0.5);
        let y = middle + drop;
        let long = (width - start - 100.0) * stage.seconds / longest;
        let name = title(&stage.name, 28);
        match room {
            Room::Desk => svg.text((start - 10.0, y + 4.0), Anchor::End, "name", &name),
            Room::Phone => svg.text((start, middle - 6.0), Anchor::Start, "name", &name),
        }
        svg.push(format_args!(
            r#"<rect x="{start}" y="{:.1}" width="{:.1}" height="18" rx="3" style="fill:var(--accent);fill-opacity:.75"/>"#,
            y - 9.0,
            long.max(1.5)
        ));
        svg.text(
            (start + long.max(1.5) + 8.0, y + 4.0),
            Anchor::Start,
            "tick",
            &duration(stage.seconds),
        );
    }
    svg.finish()
}
