//! Classes of pixels, judged by intersection over union.
//!
//! Input: a confusion matrix a method and seed. Output: mean IoU with its spread, IoU by class, and how methods compare;
//! as JSON, CSV, Markdown and HTML. Sample config: `SegmentationTable::new(about, &[("forest", confusions)])`.

use serde::{Deserialize, Serialize};

use crate::metrics::Confusion;
use crate::report::{
    PlainTable, Report, ReportError, markdown_protocol, markdown_tables, quoted, render_report,
};
use crate::spread::{Paired, Spread};
use crate::suite::Suite;

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentationTask {
    /// Name of the set.
    pub set: String,
    /// Classes in the order of the matrices; the first is the background.
    pub classes: Vec<String>,
    /// Pixels learned from, a seed.
    pub learned: usize,
    /// Pixels that settings were chosen by.
    pub chosen_by: usize,
    /// Pixels judged on.
    pub judged: usize,
}

/// One method over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationRow {
    /// The method.
    pub method: String,
    /// Mean IoU of each seed, background and all.
    pub per_seed: Vec<f64>,
    /// Mean and standard deviation of them.
    pub miou: Spread,
    /// The same without the background.
    pub without_background: Spread,
    /// Share of pixels named right.
    pub overall_accuracy: Spread,
    /// IoU of each class, mean over the seeds that have one.
    pub ious: Vec<Option<f64>>,
}

/// The whole result of a suite of pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationTable {
    /// What was judged.
    pub task: SegmentationTask,
    /// Methods as given.
    pub rows: Vec<SegmentationRow>,
    /// What they say, one sentence each.
    pub findings: Vec<String>,
    /// How it was measured, one sentence each.
    pub protocol: Vec<String>,
}

impl SegmentationTable {
    /// The table of these matrices, seeds in order; `ours` is compared with each other.
    #[must_use]
    pub fn new(
        task: SegmentationTask,
        suite: &Suite,
        confusions: &[(String, Vec<Confusion>)],
        ours: &str,
    ) -> Self {
        let rows: Vec<SegmentationRow> = confusions.iter().map(|(m, c)| row(m, c)).collect();
        let findings = findings(&rows, ours);
        Self { task, rows, findings, protocol: suite.protocol.clone() }
    }
}

fn row(method: &str, confusions: &[Confusion]) -> SegmentationRow {
    let by_seed: Vec<Vec<Option<f64>>> = confusions.iter().map(Confusion::ious).collect();
    let mean = |ious: &[Option<f64>]| {
        let there: Vec<f64> = ious.iter().flatten().copied().collect();
        Spread::of(&there).mean
    };
    let per_seed: Vec<f64> = by_seed.iter().map(|ious| mean(ious)).collect();
    let crops: Vec<f64> = by_seed.iter().map(|ious| mean(ious.get(1..).unwrap_or(&[]))).collect();
    let overall: Vec<f64> = confusions.iter().map(Confusion::overall_accuracy).collect();
    let classes = by_seed.first().map_or(0, Vec::len);
    let of_class = |class: usize| {
        let there: Vec<f64> = by_seed.iter().filter_map(|ious| ious[class]).collect();
        (!there.is_empty()).then(|| Spread::of(&there).mean)
    };
    SegmentationRow {
        method: method.into(),
        miou: Spread::of(&per_seed),
        without_background: Spread::of(&crops),
        overall_accuracy: Spread::of(&overall),
        ious: (0..classes).map(of_class).collect(),
        per_seed,
    }
}

/// Ours against each other, seed by seed. Seeds share the pixels judged on, so p is told as what it is: a rough guide.
fn findings(rows: &[SegmentationRow], ours: &str) -> Vec<String> {
    let Some(own) = rows.iter().find(|row| row.method == ours) else { return Vec::new() };
    let others = rows.iter().filter(|row| row.method != ours);
    let told = others.filter_map(|other| {
        let pair = Paired::of(&own.per_seed, &other.per_seed)?;
        let ahead = own.per_seed.iter().zip(&other.per_seed).filter(|(a, b)| a > b).count();
        let p = pair.p.map_or(String::new(), |p| format!(", paired t p = {p:.1e}"));
        Some(format!(
            "{ours}: {:+.1} points of mean IoU on {}; ahead on {ahead} of {} seeds{p}.",
            100.0 * pair.mean,
            other.method,
            pair.n
        ))
    });
    told.collect()
}

/// One line a method and seed.
#[must_use]
pub fn csv(table: &SegmentationTable) -> String {
    let mut text = String::from("set,method,seed_place,mean_iou\n");
    let set = quoted(&table.task.set);
    for row in &table.rows {
        for (seed, miou) in row.per_seed.iter().enumerate() {
            text += &format!("{set},{},{seed},{miou:.6}\n", quoted(&row.method));
        }
    }
    text
}

/// The tables in Markdown.
#[must_use]
pub fn markdown(table: &SegmentationTable) -> String {
    format!("# {}\n", table.task.set)
        + &markdown_tables(&tables(table))
        + &markdown_protocol(&table.protocol)
}

/// The same as a page that loads nothing from elsewhere.
///
/// # Errors
/// [`ReportError::Template`] if template and data do not fit.
pub fn html(table: &SegmentationTable) -> Result<String, ReportError> {
    let SegmentationTask { learned, chosen_by, judged, .. } = table.task;
    render_report(&Report {
        title: table.task.set.clone(),
        summary: format!(
            "{learned} pixels learned from, {chosen_by} to choose by, {judged} judged on."
        ),
        tables: tables(table),
        assumed: table.protocol.clone(),
        ..Report::default()
    })
}

fn tables(table: &SegmentationTable) -> Vec<PlainTable> {
    let spread = |s: Spread| format!("{:.1} ± {:.1}", 100.0 * s.mean, 100.0 * s.sd);
    let row = |row: &SegmentationRow| {
        let name = row.method.clone();
        vec![name, spread(row.miou), spread(row.without_background), spread(row.overall_accuracy)]
    };
    let head = ["method", "mean IoU", "without background", "overall accuracy"];
    let score = |iou: Option<f64>| iou.map_or("–".into(), |iou| format!("{:.1}", 100.0 * iou));
    let classes = table.task.classes.iter().enumerate().map(|(class, name)| {
        let cells = table.rows.iter().map(|row| score(row.ious.get(class).copied().flatten()));
        std::iter::once(name.clone()).chain(cells).collect()
    });
    let methods = table.rows.iter().map(|row| row.method.clone());
    vec![
        PlainTable {
            title: "Methods".into(),
            caption: format!(
                "In %, mean ± standard deviation over {} seeds.",
                table.rows.first().map_or(0, |row| row.per_seed.len())
            ),
            head: head.map(Into::into).to_vec(),
            rows: table.rows.iter().map(row).collect(),
            said: table.findings.clone(),
        },
        PlainTable {
            title: "Classes".into(),
            caption: "Intersection over union in %, mean over seeds.".into(),
            head: std::iter::once("class".into()).chain(methods).collect(),
            rows: classes.collect(),
            said: Vec::new(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::SuiteName;

    /// By hand, three classes of which the last is nowhere: truth 0 0 1 1, said 0 1 1 1 gives 1/2 and 2/3, mean 7/12; all
    /// right gives 1.
    #[test]
    fn a_class_that_is_nowhere_does_not_count() {
        let of = |said: &[usize]| Confusion::count(&[0, 0, 1, 1], said, 3).unwrap();
        let half = of(&[0, 1, 1, 1]);
        let found = [
            ("surco".to_string(), vec![of(&[0, 0, 1, 1]), half.clone()]),
            ("forest".into(), vec![half.clone(), half]),
        ];
        let task = SegmentationTask {
            set: "toy".into(),
            classes: vec!["background".into(), "wheat".into(), "rye".into()],
            learned: 8,
            chosen_by: 4,
            judged: 4,
        };
        let table = SegmentationTable::new(task, &SuiteName::Pastis.describe(), &found, "surco");
        assert_eq!(table.rows[0].per_seed[0], 1.0);
        assert!((table.rows[1].miou.mean - 7.0 / 12.0).abs() < 1e-12);
        assert!((table.rows[1].without_background.mean - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(table.rows[1].ious[2], None);
        let text = markdown(&table);
        insta::assert_snapshot!(text.lines().skip(6).take(16).collect::<Vec<_>>().join("\n"), @r"
        | method | mean IoU | without background | overall accuracy |
        |---|---|---|---|
        | surco | 79.2 ± 29.5 | 83.3 ± 23.6 | 87.5 ± 17.7 |
        | forest | 58.3 ± 0.0 | 66.7 ± 0.0 | 75.0 ± 0.0 |

        - surco: +20.8 points of mean IoU on forest; ahead on 1 of 2 seeds, paired t p = 5.0e-1.

        ## Classes

        Intersection over union in %, mean over seeds.

        | class | surco | forest |
        |---|---|---|
        | background | 75.0 | 50.0 |
        | wheat | 83.3 | 66.7 |
        | rye | – | – |
        ");
        assert_eq!(csv(&table).lines().count(), 5);
        assert!(html(&table).unwrap().contains("8 pixels learned from"));
    }
}
