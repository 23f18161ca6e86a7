//! Our row beside the best of the others, seed by seed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ClassRecall, Row, SuiteResult, by_zone};
use crate::report::{PlainTable, markdown_table};
use crate::spread::{Paired, Spread};

/// How far our row lies ahead of the best other row at one k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// Labels per class.
    pub k: usize,
    /// The best of the others by its mean.
    pub over: String,
    /// Mean of ours less theirs over seeds, as a share.
    pub mean: f64,
    /// Low and high end of the 95 % interval: halves of one set share points, and the interval is widened for it.
    pub interval: Option<[f64; 2]>,
    /// Two-sided p of the paired t test, not widened; `None` under two seeds.
    pub p: Option<f64>,
    /// Seeds on which ours is ahead.
    pub ahead: usize,
    /// Seeds compared.
    pub seeds: usize,
}

/// Compares row `ours` with the best row that is not of our system (`surco…`), for each k.
///
/// Halves are drawn from one set, one point asked for one that labels may come from; intervals are widened for that
/// (Nadeau and Bengio 2003).
#[must_use]
pub fn leads(rows: &[Row], ours: &str) -> Vec<Lead> {
    let lead = |own: &Row| {
        let others = rows.iter().filter(|r| r.k == own.k && !r.method.starts_with("surco"));
        let paired = others.filter(|r| r.per_seed.len() == own.per_seed.len());
        let best = paired.max_by(|a, b| a.mean.total_cmp(&b.mean))?;
        let pair = Paired::of(&own.per_seed, &best.per_seed)?;
        let seeds = own.per_seed.iter().zip(&best.per_seed);
        Some(Lead {
            k: own.k,
            over: best.method.clone(),
            mean: pair.mean,
            interval: pair.interval(1.0),
            p: pair.p,
            ahead: seeds.filter(|(a, b)| a > b).count(),
            seeds: pair.n,
        })
    };
    rows.iter().filter(|r| r.method == ours).filter_map(lead).collect()
}

/// Why recorded scores could not be read.
#[derive(Debug, thiserror::Error)]
#[error("recorded scores {path}: {reason}; expected results → method → k1, k2 … → per_seed")]
pub struct RecordedError {
    /// The file.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Rows that others recorded on the same episodes: a JSON object whose `results` hold, by method and `k1`, `k2` …,
/// the scores `per_seed`, seeds ascending.
///
/// # Errors
/// [`RecordedError`] naming the file and what is wrong.
pub fn read_recorded(path: &Path) -> Result<Vec<Row>, RecordedError> {
    let refuse = |reason: String| RecordedError { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let results = json["results"].as_object().ok_or_else(|| refuse("no `results`".into()))?;
    let mut rows = Vec::new();
    for (method, by_k) in results {
        let by_k = by_k.as_object().ok_or_else(|| refuse(format!("{method} is no object")))?;
        for (key, scores) in by_k {
            let Some(Ok(k)) = key.strip_prefix('k').map(str::parse::<usize>) else { continue };
            let scores = scores["per_seed"].as_array();
            let scores: Option<Vec<f64>> =
                scores.and_then(|s| s.iter().map(serde_json::Value::as_f64).collect());
            let per_seed =
                scores.ok_or_else(|| refuse(format!("{method}, {key}: no numbers `per_seed`")))?;
            let Spread { mean, sd, n } = Spread::of(&per_seed);
            rows.push(Row {
                method: method.clone(),
                k,
                mean,
                sd,
                n,
                per_seed,
                per_class: Vec::new(),
                per_zone: Vec::new(),
            });
        }
    }
    if rows.is_empty() {
        return Err(refuse("no scores in it".into()));
    }
    Ok(rows)
}

/// One line a method, k and seed.
#[must_use]
pub fn csv(result: &SuiteResult) -> String {
    let mut text = String::from("set,method,k,seed_place,score\n");
    for row in &result.rows {
        for (i, score) in row.per_seed.iter().enumerate() {
            text += &format!("{},{},{},{i},{score:.6}\n", result.set, row.method, row.k);
        }
    }
    text
}

/// The table and our leads as Markdown.
#[must_use]
pub fn markdown(result: &SuiteResult) -> String {
    let mut ks: Vec<usize> = result.rows.iter().map(|r| r.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let mut text = format!("# {}\n\n{} in %, mean ± sd\n\n| method |", result.set, result.metric);
    ks.iter().for_each(|k| text += &format!(" k={k} |"));
    text += "\n|---|";
    ks.iter().for_each(|_| text += "---|");
    let mut methods: Vec<&str> = result.rows.iter().map(|r| r.method.as_str()).collect();
    methods.dedup();
    for method in methods {
        text += &format!("\n| {method} |");
        for &k in &ks {
            let row = result.rows.iter().find(|r| r.method == method && r.k == k);
            let cell = row
                .map_or("–".into(), |r| format!("{:.1} ± {:.1}", 100.0 * r.mean, 100.0 * r.sd));
            text += &format!(" {cell} |");
        }
    }
    text += "\n\n";
    result.leads.iter().for_each(|lead| text += &format!("- {lead}\n"));
    result.promises.iter().for_each(|promise| text += &format!("- {promise}\n"));
    for plain in by_class(result).into_iter().chain(by_zone(result)) {
        text += &format!("\n## {}\n\n{}\n\n", plain.title, plain.caption);
        text += &markdown_table(&plain.head, &plain.rows);
    }
    if let Some(facts) = &result.facts {
        text += &format!("\n{facts}\n");
    }
    text
}

/// Recall of each class with the most labels per class, a column a method; nothing where no method has classes.
#[must_use]
pub fn by_class(result: &SuiteResult) -> Option<PlainTable> {
    let k = result.rows.iter().map(|row| row.k).max()?;
    let rows = result.rows.iter().filter(|row| row.k == k && !row.per_class.is_empty());
    let rows: Vec<&Row> = rows.collect();
    let classes = &rows.first()?.per_class;
    let cell = |row: &Row, class: &str| {
        let found = row.per_class.iter().find(|own| own.class == class);
        found.map_or("–".into(), |own| format!("{:.1}", 100.0 * own.recall))
    };
    let line = |class: &ClassRecall| {
        let name = [class.class.clone(), class.asked.to_string()];
        name.into_iter().chain(rows.iter().map(|row| cell(row, &class.class))).collect()
    };
    let head = ["class".to_string(), "asked".into()].into_iter();
    Some(PlainTable {
        title: format!("Classes, k = {k}"),
        caption: "Share of each class named right in %, over all seeds.".into(),
        head: head.chain(rows.iter().map(|row| row.method.clone())).collect(),
        rows: classes.iter().map(line).collect(),
        said: Vec::new(),
    })
}

impl std::fmt::Display for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { k, over, mean, interval, p, ahead, seeds } = self;
        write!(f, "k = {k}: {:+.1} points on {over}, the best other row", 100.0 * mean)?;
        if let Some([low, high]) = interval {
            write!(f, " ({:+.1} to {:+.1})", 100.0 * low, 100.0 * high)?;
        }
        write!(f, "; ahead on {ahead} of {seeds} seeds")?;
        p.map_or(Ok(()), |p| write!(f, ", paired t p = {p:.1e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fewshot::{Facts, Given, ZoneScore, zones_csv};

    fn row(method: &str, per_seed: &[f64]) -> Row {
        let Spread { mean, sd, n } = Spread::of(per_seed);
        Row {
            method: method.into(),
            k: 5,
            mean,
            sd,
            n,
            per_seed: per_seed.to_vec(),
            per_class: Vec::new(),
            per_zone: Vec::new(),
        }
    }

    #[test]
    fn ours_is_paired_with_the_best_of_the_others_and_never_with_itself() {
        let rows = [
            row("forest", &[0.5, 0.6, 0.7]),
            row("weak", &[0.1, 0.1, 0.1]),
            row("surco_values", &[0.9, 0.9, 0.9]),
            row("surco", &[0.6, 0.7, 0.71]),
        ];
        let [lead] = &leads(&rows, "surco")[..] else { panic!("one k") };
        assert_eq!((lead.over.as_str(), lead.ahead, lead.seeds), ("forest", 3, 3));
        assert!((lead.mean - 0.07).abs() < 1e-12);
        let [low, high] = lead.interval.unwrap();
        assert!(low < lead.mean && lead.mean < high);
        assert!(lead.to_string().starts_with("k = 5: +7.0 points on forest"));
    }

    #[test]
    fn classes_are_told_with_the_most_labels() {
        let mut ours = row("surco", &[0.5, 0.75]);
        let class = |name: &str, recall| ClassRecall { class: name.into(), asked: 8, recall };
        ours.per_class = vec![class("maize", 0.5), class("wheat", 0.75)];
        let rows = vec![row("recorded", &[0.1, 0.2]), ours];
        let (set, metric) = ("toy".into(), "balanced accuracy".into());
        let (leads, promises) = (Vec::new(), Vec::new());
        let result = SuiteResult { set, metric, rows, leads, promises, facts: None };
        let table = by_class(&result).unwrap();
        assert_eq!(table.head, ["class", "asked", "surco"]);
        assert_eq!(table.rows[1], ["wheat", "8", "75.0"]);
        assert!(markdown(&result).ends_with("| maize | 8 | 50.0 |\n| wheat | 8 | 75.0 |\n"));
        let zone = |name: &str| ZoneScore { zone: name.into(), asked: 8, score: 0.25 };
        let mut zoned = result.clone();
        zoned.rows[1].per_zone = vec![zone("19H"), zone("19J")];
        let given = vec![Given { k: 5, episodes: 2, labels: 10.0, asked: 16.0 }];
        let zones = vec!["19H".into(), "19J".into()];
        zoned.facts = Some(Facts { points: 26, given, zones, cpu_s: Some(1.25) });
        insta::assert_snapshot!(markdown(&zoned), @r"
        # toy

        balanced accuracy in %, mean ± sd

        | method | k=5 |
        |---|---|
        | recorded | 15.0 ± 7.1 |
        | surco | 62.5 ± 17.7 |


        ## Classes, k = 5

        Share of each class named right in %, over all seeds.

        | class | asked | surco |
        |---|---|---|
        | maize | 8 | 50.0 |
        | wheat | 8 | 75.0 |

        ## Zones, k = 5

        balanced accuracy in % over the classes that a zone has, all seeds together. A zone is one of UTM and a band of 8° of latitude.

        | zone | asked | surco |
        |---|---|---|
        | 19H | 8 | 25.0 |
        | 19J | 8 | 25.0 |

        26 labelled points; k = 5: 10 labels and 16 asked in each of 2 episodes; 2 zones, 19H, 19J; 1.2 s of processor time
        ");
        assert_eq!(zones_csv(&zoned).unwrap().lines().last(), Some("toy,surco,5,19J,8,0.250000"));
        assert_eq!(zones_csv(&result), None);
        let none = SuiteResult { rows: Vec::new(), ..result };
        assert_eq!(by_class(&none).map(|t| t.title), None);
    }

    #[test]
    fn recorded_scores_are_read_and_wrong_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("baselines.json");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write(r#"{"results": {"presto": {"what": "x", "k1": {"per_seed": [0.25, 0.75]}}}}"#);
        let rows = read_recorded(&path).unwrap();
        assert_eq!((rows.len(), rows[0].k, rows[0].mean), (1, 1, 0.5));
        for wrong in
            ["{}", "no", r#"{"results": {"a": {"k1": {"per_seed": ["x"]}}}}"#, r#"{"results": {}}"#]
        {
            write(wrong);
            let error = read_recorded(&path).unwrap_err().to_string();
            assert!(error.contains("baselines.json") && error.contains("per_seed"), "{error}");
        }
    }
}
