//! The summary as files that other programs and people read.

use super::{GeoTable, REPEATS};
use crate::report::{
    Drawing, DrawnFigure, FractionChart, FractionLine, PlainTable, Report, ReportError,
    drawing_svg, markdown_protocol, markdown_table, quoted, render_report,
};

/// One line a cell; the sets together are called `aggregated`.
#[must_use]
pub fn csv(table: &GeoTable) -> String {
    let mut text = String::from(
        "model,dataset,percent,seeds,iqm_raw,iqm_normalised,low,high,lowest_seed,highest_seed\n",
    );
    for cell in &table.cells {
        let ends =
            cell.per_seed.iter().fold((f64::MAX, f64::MIN), |e, v| (e.0.min(*v), e.1.max(*v)));
        let [low, high] = cell.interval;
        let (model, dataset) = (quoted(&cell.model), quoted(&cell.dataset));
        text += &format!(
            "{model},{dataset},{},{},{:.6},{:.6},{low:.6},{high:.6},{:.6},{:.6}\n",
            cell.percent, cell.seeds, cell.iqm_raw, cell.iqm, ends.0, ends.1
        );
    }
    for all in &table.all {
        let ([low, high], model) = (all.interval, quoted(&all.model));
        text += &format!(
            "{model},aggregated,{},{},,{:.6},{low:.6},{high:.6},,\n",
            all.percent, all.runs, all.iqm
        );
    }
    text
}

/// The tables in Markdown.
#[must_use]
pub fn markdown(table: &GeoTable) -> String {
    let mut text = String::from("# GEO-Bench\n");
    for plain in tables(table) {
        text += &format!("\n## {}\n\n{}\n\n", plain.title, plain.caption);
        text += &markdown_table(&plain.head, &plain.rows);
    }
    if !table.warnings.is_empty() {
        text += "\n## Not to be read from a mean alone\n\n";
        table.warnings.iter().for_each(|w| text += &format!("- {w}\n"));
    }
    text + &markdown_protocol(&protocol(table))
}

/// The same as a page that loads nothing from elsewhere.
///
/// # Errors
/// [`ReportError::Template`] if template and data do not fit.
pub fn html(table: &GeoTable) -> Result<String, ReportError> {
    let drawings = drawings(table).into_iter().map(|(dataset, drawing)| DrawnFigure {
        drawing,
        caption: format!(
            "{dataset}: interquartile mean over seeds, normalised, against the share of the training data; bars and band: 95 % of {REPEATS} draws of the seeds."
        ),
    });
    let cells = table.cells.len();
    render_report(&Report {
        title: "GEO-Bench".into(),
        summary: format!("{cells} cells of {} sets.", table.normalizer.len()),
        drawings: drawings.collect(),
        tables: tables(table),
        assumed: protocol(table),
        not_shown: table.warnings.clone(),
        ..Report::default()
    })
}

/// The curve of all sets together, or of the first set if no model has all, as an SVG file of its own.
#[must_use]
pub fn curves_svg(table: &GeoTable) -> Option<String> {
    drawings(table).first().map(|(_, drawing)| drawing_svg(drawing))
}

fn protocol(table: &GeoTable) -> Vec<String> {
    let mut protocol = table.protocol.clone();
    if table.own_ranges {
        protocol.push("No normalizer was given: ranges are the lowest and highest score of these runs, so normalised scores compare with no other table.".into());
    }
    protocol
}

/// Sets in order, the sets together first where a model has all.
fn datasets(table: &GeoTable) -> Vec<Option<&str>> {
    let mut sets: Vec<&str> = table.cells.iter().map(|c| c.dataset.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    let together = (!table.all.is_empty() && sets.len() > 1).then_some(None);
    together.into_iter().chain(sets.into_iter().map(Some)).collect()
}

/// Model, share, score and interval of one set, or of all together.
fn points<'a>(table: &'a GeoTable, dataset: Option<&str>) -> Vec<(&'a str, [f64; 4])> {
    match dataset {
        None => {
            let point = |a: &'a super::GeoAll| {
                (a.model.as_str(), [a.percent, a.iqm, a.interval[0], a.interval[1]])
            };
            table.all.iter().map(point).collect()
        }
        Some(name) => {
            let own = table.cells.iter().filter(|c| c.dataset == name);
            own.map(|c| (c.model.as_str(), [c.percent, c.iqm, c.interval[0], c.interval[1]]))
                .collect()
        }
    }
}

fn drawings(table: &GeoTable) -> Vec<(String, Drawing)> {
    let draw = |dataset: &Option<&str>| {
        let mut lines: Vec<FractionLine> = Vec::new();
        for (model, point) in points(table, *dataset) {
            match lines.iter_mut().find(|line| line.name == model) {
                Some(line) => line.points.push(point),
                None => lines.push(FractionLine { name: model.into(), points: vec![point] }),
            }
        }
        let name = dataset.unwrap_or("All sets").to_string();
        let measure = "normalised score, interquartile mean".into();
        (name, Drawing::Fractions(FractionChart { measure, lines }))
    };
    datasets(table).iter().map(draw).collect()
}

fn tables(table: &GeoTable) -> Vec<PlainTable> {
    datasets(table).into_iter().map(|dataset| one_table(table, dataset)).collect()
}

fn one_table(table: &GeoTable, dataset: Option<&str>) -> PlainTable {
    let points = points(table, dataset);
    let mut shares: Vec<f64> = points.iter().map(|(_, p)| p[0]).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    let mut models: Vec<&str> = points.iter().map(|(model, _)| *model).collect();
    models.dedup();
    let cell = |model: &str, share: f64| {
        let found = points.iter().find(|(name, p)| *name == model && p[0] == share);
        let Some((_, [_, iqm, low, high])) = found else { return "–".to_string() };
        let normal = format!("{:.1} ({:.1} to {:.1})", 100.0 * iqm, 100.0 * low, 100.0 * high);
        let raw = table.cells.iter().find(|c| {
            Some(c.dataset.as_str()) == dataset && c.model == model && c.percent == share
        });
        match raw {
            Some(c) => {
                let mark = if c.is_wide { " !" } else { "" };
                format!("{:.1}; {normal}, n = {}{mark}", 100.0 * c.iqm_raw, c.seeds)
            }
            None => normal,
        }
    };
    let row = |model: &&str| {
        let cells = shares.iter().map(|share| cell(model, *share));
        std::iter::once((*model).to_string()).chain(cells).collect()
    };
    let caption = match dataset {
        None => {
            "Interquartile mean of the normalised scores of all sets, × 100, with its 95 % interval."
        }
        Some(_) => {
            "Interquartile mean of the test metric, × 100; then normalised, with its 95 % interval and the number of seeds. ! marks seeds that lie further apart than a fifth of the set's range."
        }
    };
    let share = |share: &f64| format!("{share} %");
    PlainTable {
        title: dataset.unwrap_or("All sets").into(),
        caption: caption.into(),
        head: std::iter::once("model".into()).chain(shares.iter().map(share)).collect(),
        rows: models.iter().map(row).collect(),
        said: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read_runs, summarise};
    use super::*;

    #[test]
    fn the_files_say_the_same() {
        let raw = include_str!("../../fixtures/geobench_runs.csv");
        let table = summarise(&read_runs(raw.as_bytes(), "runs.csv").unwrap(), None, 0).unwrap();
        let text = markdown(&table);
        insta::assert_snapshot!(text.lines().take(12).collect::<Vec<_>>().join("\n"), @r"
        # GEO-Bench

        ## m-chesapeake

        Interquartile mean of the test metric, × 100; then normalised, with its 95 % interval and the number of seeds. ! marks seeds that lie further apart than a fifth of the set's range.

        | model | 2 % |
        |---|---|
        | ResNet50-U-Net-timm | 56.6; 69.0 (48.5 to 83.1), n = 12 |

        ## m-pv4ger-seg
        ");
        assert!(
            text.contains("has no row of all sets") && text.contains("No normalizer was given")
        );
        assert_eq!(csv(&table).lines().count(), 3);
        let page = html(&table).unwrap();
        assert!(page.contains("<svg viewBox") && page.contains("94.0;"));
        assert!(curves_svg(&table).unwrap().starts_with("<svg xmlns="));
    }
}
