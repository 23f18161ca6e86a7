//! Text and numbers as a page shows them.

use std::fmt::Write;

use surco_core::escape;

/// A whole number with thousands apart.
pub(super) fn whole(value: u64) -> String {
    let plain = value.to_string();
    let mut out = String::new();
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of things, `1 cell` or `2,000 cells`.
pub(super) fn count(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(value), if value == 1 { one } else { many })
}

/// Bytes as people say them.
pub(super) fn bytes(value: u64) -> String {
    match value as f64 {
        v if v < 999_500.0 => format!("{:.0} kB", v / 1e3),
        v if v < 999.5e6 => format!("{:.1} MB", v / 1e6),
        v if v < 999.5e9 => format!("{:.1} GB", v / 1e9),
        v => format!("{:.1} TB", v / 1e12),
    }
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 99.5 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A share of 1 as percent; only what is whole says 100, and only what is nothing 0.
pub(super) fn percent(share: f64) -> String {
    match share {
        s if s >= 1.0 => "100 %".into(),
        s if s <= 0.0 => "0 %".into(),
        s => format!("{:.1} %", (100.0 * s).clamp(0.1, 99.9)),
    }
}

/// A class of the colours of coverage, `c0` for nothing to `c5` for all.
pub(super) fn coverage(share: f64) -> &'static str {
    match share {
        s if s >= 1.0 => "c5",
        s if s >= 0.75 => "c4",
        s if s >= 0.5 => "c3",
        s if s >= 0.25 => "c2",
        s if s > 0.0 => "c1",
        _ => "c0",
    }
}

/// A table: names of columns, those after the first `words` right-aligned, and rows of text.
pub(super) fn table(head: &[&str], words: usize, rows: &[Vec<String>]) -> String {
    let class = |i: usize| if i < words { "" } else { " class=\"num\"" };
    let mut out = String::from("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for (i, name) in head.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(i), escape(name));
    }
    out += "</tr></thead><tbody>";
    for row in rows {
        out += "<tr>";
        for (i, text) in row.iter().enumerate() {
            let _ = write!(out, "<td{}>{}</td>", class(i), escape(text));
        }
        out += "</tr>";
    }
    out + "</tbody></table></div>"
}

/// Something long, shown when asked for.
pub(super) fn folded(summary: &str, inside: &str, fold: bool) -> String {
    if fold {
        format!("<details><summary>{}</summary>{inside}</details>", escape(summary))
    } else {
        inside.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(count(1, "cell", "cells"), "1 cell");
        assert_eq!(bytes(999_500), "1.0 MB");
        assert_eq!(bytes(573_900_000), "573.9 MB");
        assert_eq!(duration(125.0), "2 min");
        assert_eq!([percent(0.99999), percent(1.0), percent(1e-9)], ["99.9 %", "100 %", "0.1 %"]);
        assert_eq!([coverage(0.999), coverage(0.0), coverage(1.0)], ["c4", "c0", "c5"]);
    }

    #[test]
    fn words_from_outside_cannot_become_markup() {
        let drawn = table(&["<i>"], 1, &[vec!["<script>\"&'".into()]]);
        assert!(drawn.contains("&lt;script&gt;&quot;&amp;&#39;") && !drawn.contains("<i>"));
    }
}
