//! The report: one HTML file that holds its pictures and charts and loads nothing from elsewhere.
//!
//! Input: a [`Report`], every part optional. Output: text of a page, or a file written whole or not at all.
//! Captions state what the figures show and are computed from them. Sample config:
//! `write_report(&report, Path::new("report.html"))`.

pub(crate) mod chart;
mod figure;
mod finding;
mod input;
mod section;
mod words;

use std::path::{Path, PathBuf};

use surco_core::Fault;

pub use input::{
    AreaRow, Chip, ClassGrid, ConfusionTable, Curve, CurvePoint, Drawing, DrawnFigure, Facts,
    FewShotTable, FractionChart, FractionLine, Hole, MapAndTruth, NdviCurve, NdviPoint, Picture,
    PlainTable, RankAxis, Report, SampledAccuracy, Scene, Stage,
};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A picture's bytes do not fit its size.
    #[error(
        "a picture of {width} × {height} pixels has {bytes} bytes: three a pixel were expected"
    )]
    Picture {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes given.
        bytes: usize,
    },
    /// A picture could not be encoded.
    #[error("cannot encode a picture as PNG")]
    Png(#[from] png::EncodingError),
    /// The template and the data do not fit: a fault of this program.
    #[error("cannot fill the template of the report")]
    Template(#[from] minijinja::Error),
    /// The file could not be written.
    #[error("cannot write the report to {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ReportError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Picture { .. } => Fault::Input,
            Self::Png(_) | Self::Template(_) | Self::Write { .. } => Fault::Failed,
        }
    }
}

/// What the template is filled with.
#[derive(serde::Serialize)]
struct Page<'a> {
    w: &'a words::Words,
    title: &'a str,
    summary: &'a str,
    hero: Option<section::Shown>,
    facts: Vec<section::Fact>,
    in_short: Vec<String>,
    sections: Vec<section::Section>,
    foot: String,
}

/// The report as the text of a page.
///
/// # Errors
/// [`ReportError`] if a picture's bytes do not fit its size.
pub fn render_report(report: &Report) -> Result<String, ReportError> {
    let words = &words::ENGLISH;
    let version = report.facts.as_ref().map_or(env!("CARGO_PKG_VERSION"), |f| &f.version);
    let mut templates = minijinja::Environment::new();
    templates.add_template("report.html", include_str!("../templates/report.html"))?;
    let page = Page {
        w: words,
        title: &report.title,
        summary: &report.summary,
        hero: section::hero(report, words)?,
        facts: section::facts(report, words),
        in_short: section::in_short(report, words),
        sections: section::sections(report, words)?,
        foot: words.fill(words.made_by, &[("version", version)]),
    };
    let template = templates.get_template("report.html")?;
    Ok(template.render(minijinja::value::Serde(&page))?)
}

/// A learning curve as an SVG file of its own, with its colours inside.
#[must_use]
pub fn curve_svg(curve: &Curve) -> String {
    let words = &words::ENGLISH;
    let alt = words.fill(words.curve_alt, &[("name", &curve.measure), ("measure", &curve.measure)]);
    let text = chart::CurveText {
        alt: &alt,
        step: words.curve_step,
        train: words.curve_train,
        validation: words.curve_validation,
    };
    standalone(&chart::learning_chart(curve, &text))
}

/// A drawing of a report as an SVG file of its own, with its colours inside.
#[must_use]
pub fn drawing_svg(drawing: &Drawing) -> String {
    standalone(&chart::drawing(drawing))
}

/// A table in Markdown.
pub(crate) fn markdown_table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    rows.iter().for_each(|row| text += &format!("| {} |\n", row.join(" | ")));
    text
}

/// Tables in Markdown, each under its title, with what it says.
pub(crate) fn markdown_tables(tables: &[PlainTable]) -> String {
    let mut text = String::new();
    for plain in tables {
        text += &format!("\n## {}\n\n{}\n\n", plain.title, plain.caption);
        text += &markdown_table(&plain.head, &plain.rows);
        text.push('\n');
        plain.said.iter().for_each(|said| text += &format!("- {said}\n"));
    }
    text
}

/// How something was measured, in Markdown.
#[must_use]
pub fn markdown_protocol(protocol: &[String]) -> String {
    let mut text = String::from("\n## How it was measured\n\n");
    protocol.iter().for_each(|line| text += &format!("- {line}\n"));
    text
}

/// A field of a CSV, in quotes where it needs them.
pub(crate) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}

/// A drawing as an SVG file of its own, with its colours inside.
pub(crate) fn standalone(svg: &str) -> String {
    let style = "<style>:root{--soft:#8a94a0;--accent:#b4501e}text{font:12px system-ui,sans-serif;fill:#333}\
        .grid{stroke:#ddd}.axis{stroke:#555}</style>";
    svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1).replacen(
        '>',
        &format!(">{style}"),
        1,
    )
}

/// Writes the report, whole or not at all: under another name in the same folder first, then renamed.
///
/// # Errors
/// [`ReportError`] as [`render_report`], or if the file cannot be written.
pub fn write_report(report: &Report, path: &Path) -> Result<(), ReportError> {
    let page = render_report(report)?;
    surco_core::write_whole(path, page.as_bytes())
        .map_err(|source| ReportError::Write { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_report_is_still_a_page() {
        let page =
            render_report(&Report { title: "Nothing yet".into(), ..Report::default() }).unwrap();
        assert!(page.contains("<title>Nothing yet</title>") && !page.contains("<section"));
    }

    #[test]
    fn words_from_outside_cannot_become_markup() {
        let report = Report {
            title: "<script>alert(1)</script>".into(),
            assumed: vec!["a < b & c".into()],
            stages: vec![Stage { name: "<em>x".into(), seconds: 1.0 }],
            ..Report::default()
        };
        let page = render_report(&report).unwrap();
        assert!(!page.contains("<script>alert") && page.contains("a &lt; b &amp; c"));
        assert!(!page.contains("<em>"));
    }

    #[test]
    fn a_name_with_a_comma_stays_one_field() {
        assert_eq!(quoted("a, b"), "\"a, b\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = include_str!("../templates/report.html");
        for outside in ["http://", "https://", "@import", "<link", "<script", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_file_is_written_whole_and_nothing_is_left_beside_it() {
        let folder = std::env::temp_dir().join(format!("surco-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("report.html");
        write_report(&Report { title: "One".into(), ..Report::default() }, &path).unwrap();
        write_report(&Report { title: "Two".into(), ..Report::default() }, &path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("Two"));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(write_report(&Report::default(), &path), Err(ReportError::Write { .. })));
    }
}
