//! The tables as files that other programs and people read.

use super::{Alike, Cell, PretrainingTable, SetTable, Unseen};
use crate::forecast::HorizonScore;
use crate::reconstruction::{Gap, GapScore};
use crate::report::{
    PlainTable, Report, ReportError, markdown_protocol, markdown_table, markdown_tables, quoted,
    render_report,
};

/// One line a cell.
#[must_use]
pub fn csv(table: &PretrainingTable) -> String {
    let mut text = String::from(
        "set,model,way,labels_percent,balanced_accuracy,sd,seeds,over_random,over_random_low,over_random_high,over_raw,over_raw_low,over_raw_high\n",
    );
    for (set, cell) in table.sets.iter().flat_map(|s| s.cells.iter().map(move |c| (s, c))) {
        text += &format!(
            "{},{},{},{},{:.4},{:.4},{}",
            quoted(&set.set),
            quoted(&cell.model),
            cell.way.name(),
            cell.percent,
            cell.mean,
            cell.sd,
            cell.per_seed.len()
        );
        for gain in [cell.over_random, cell.over_raw] {
            match gain {
                Some(g) => text += &format!(",{:.4},{:.4},{:.4}", g.mean, g.low, g.high),
                None => text += ",,,",
            }
        }
        text.push('\n');
    }
    text
}

/// A table a set, with what it says and how it was measured.
#[must_use]
pub fn markdown(table: &PretrainingTable) -> String {
    let mut text = String::from("# What pre-training is worth\n");
    for set in &table.sets {
        text += &format!("\n## {}\n\n{}\n\n", set.set, about(set));
        let (head, rows) = grid(set);
        text += &markdown_table(&head, &rows);
        text.push('\n');
        set.findings.iter().for_each(|f| text += &format!("- {f}\n"));
    }
    text += &markdown_tables(&table.unseen.iter().flat_map(unseen).collect::<Vec<_>>());
    text + &markdown_protocol(&table.protocol)
}

/// What was said of dates not shown, as tables.
fn unseen(unseen: &Unseen) -> Vec<PlainTable> {
    let names = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<String>>();
    let gap = |s: &GapScore| {
        let scaled = [s.mse, s.mse_low, s.mse_high].map(|v| v * 1e4);
        let how = match s.gap {
            Gap::Scattered => "a quarter of the dates",
            Gap::Stretch => "60 days on end",
        };
        let [mse, low, high] = scaled.map(|v| format!("{v:.2}"));
        vec![s.method.clone(), how.into(), mse, format!("{low} to {high}"), s.n.to_string()]
    };
    let ahead = |s: &HorizonScore| {
        let interval = format!("{:.3} to {:.3}", s.error_low, s.error_high);
        let (error, cover) =
            (format!("{:.3}", s.median_error), format!("{:.1}", s.coverage * 100.0));
        let width = format!("{:.2}", s.width);
        let watched = format!("{:.1}", s.coverage_watched * 100.0);
        let width_watched = format!("{:.2}", s.width_watched);
        vec![
            s.method.clone(),
            s.horizon_d.to_string(),
            error,
            interval,
            cover,
            width,
            watched,
            width_watched,
            s.n.to_string(),
        ]
    };
    let same = |a: &Alike| {
        let [mean, at_99] =
            [a.alike.closer_than, a.alike.at_99].map(|v| format!("{:.1}", v * 100.0));
        vec![a.model.clone(), mean, at_99, a.alike.places.to_string()]
    };
    let table = |title: &str, caption: &str, head: &[&str], rows: Vec<Vec<String>>| PlainTable {
        title: title.into(),
        caption: caption.into(),
        head: names(head),
        rows,
        said: Vec::new(),
    };
    let mut tables = vec![
        table(
            "Hidden dates",
            "Mean squared error over bands, reflectance² × 10⁴, with its 95 % interval over blocks.",
            &["said by", "hidden", "error", "95 %", "values"],
            unseen.reconstruction.iter().map(gap).collect(),
        ),
        table(
            "Dates to come",
            "Median |NDVI error| with its 95 % interval over blocks; share of observations in the 90 % interval, and its median width; both again as the misses of the last 90 days at these places stretch it.",
            &[
                "said by",
                "days ahead",
                "error",
                "95 %",
                "covered, %",
                "width",
                "watched, %",
                "its width",
                "observations",
            ],
            unseen.forecast.iter().map(ahead).collect(),
        ),
        table(
            "One place from two sets of dates",
            "Share of pairs of places in other blocks that are further apart than a place from itself, and share of places closer than 99 % of them, in %; by cosine, each number of an embedding in units of its spread over places outside the area.",
            &["model", "pairs further apart", "places above 99 %", "places"],
            unseen.alike.iter().map(same).collect(),
        ),
    ];
    tables.retain(|t| !t.rows.is_empty());
    if let Some(last) = tables.last_mut() {
        last.said.clone_from(&unseen.notes);
    }
    tables
}

/// The same as a page that loads nothing from elsewhere.
///
/// # Errors
/// [`ReportError::Template`] if template and data do not fit.
pub fn html(table: &PretrainingTable) -> Result<String, ReportError> {
    let summary = format!("{} sets, {} seeds.", table.sets.len(), table.seeds);
    let tables = table.sets.iter().map(|set| {
        let (head, rows) = grid(set);
        let caption = about(set);
        crate::report::PlainTable {
            title: set.set.clone(),
            caption,
            head,
            rows,
            said: set.findings.clone(),
        }
    });
    render_report(&Report {
        title: "What pre-training is worth".into(),
        summary,
        tables: tables.chain(table.unseen.iter().flat_map(unseen)).collect(),
        assumed: table.protocol.clone(),
        ..Report::default()
    })
}

fn about(set: &SetTable) -> String {
    let [train, validation, test] = set.points;
    format!(
        "{} in %, mean ± standard deviation over seeds; in brackets the difference from random weights with its 95 % interval. {} classes; {train:.0} points to learn from, {validation:.0} to choose by, {test:.0} judged on.",
        capital(&set.metric),
        set.classes.len()
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |c| c.to_uppercase().chain(letters).collect())
}

fn grid(set: &SetTable) -> (Vec<String>, Vec<Vec<String>>) {
    let columns = set.columns();
    let name = |&(way, percent): &super::Column| format!("{} {percent} %", way.name());
    let head = std::iter::once("model".into()).chain(columns.iter().map(name)).collect();
    let row = |model: &&str| {
        let cells = columns.iter().map(|&column| set.cell(model, column).map_or("–".into(), shown));
        std::iter::once((*model).to_string()).chain(cells).collect()
    };
    (head, set.models().iter().map(row).collect())
}

fn shown(cell: &Cell) -> String {
    let score = format!("{:.1} ± {:.1}", cell.mean * 100.0, cell.sd * 100.0);
    match cell.over_random {
        Some(g) => {
            let [mean, low, high] = [g.mean, g.low, g.high].map(|v| v * 100.0);
            format!("{score} ({mean:+.1}: {low:+.1} to {high:+.1})")
        }
        None => score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PretrainingTable {
        let sets = vec![super::super::tests::table()];
        let protocol = vec!["Split by block.".into()];
        PretrainingTable { seeds: 3, protocol, sets, ..PretrainingTable::default() }
    }

    #[test]
    fn the_files_say_the_same() {
        let table = table();
        insta::assert_snapshot!(markdown(&table).lines().nth(6).unwrap_or_default(), @"| model | probe 100 % |");
        insta::assert_snapshot!(markdown(&table).lines().nth(8).unwrap_or_default(), @"| masked | 65.1 ± 5.1 (+10.1: +9.7 to +10.5) |");
        insta::assert_snapshot!(csv(&table).lines().nth(1).unwrap_or_default(), @"toy,masked,probe,100,0.6510,0.0510,3,0.1010,0.0975,0.1045,-0.0990,-0.1025,-0.0955");
        let page = html(&table).unwrap();
        assert!(
            page.contains("65.1 ± 5.1 (+10.1: +9.7 to +10.5)") && page.contains("Split by block.")
        );
        assert!(page.contains("pays over random weights in probe 100 %"));
    }
}
