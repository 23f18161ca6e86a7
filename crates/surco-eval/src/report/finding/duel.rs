//! Who is ahead: our method against the best baseline and against the same encoder with random weights.

use super::super::figure::{number, percent};
use super::super::input::FewShotTable;
use super::super::words::Words;
use crate::fewshot::Row;
use crate::spread::{Paired, Spread};

/// Below this p a difference is called one.
const SURE: f64 = 0.05;

/// What a comparison of two methods came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ahead,
    Behind,
    Even,
    /// One draw: nothing to test.
    Untested,
}

const VERDICTS: [Verdict; 4] = [Verdict::Ahead, Verdict::Behind, Verdict::Even, Verdict::Untested];

/// Our row against another on the same draws.
struct Duel<'a> {
    ours: &'a Row,
    other: &'a Row,
    verdict: Verdict,
    paired: Option<Paired>,
}

impl<'a> Duel<'a> {
    fn new(ours: &'a Row, other: &'a Row) -> Self {
        let paired = Paired::of(&ours.per_seed, &other.per_seed).filter(|p| p.n > 1);
        let verdict = match paired {
            None => Verdict::Untested,
            Some(paired) if paired.p.is_none_or(|p| p >= SURE) => Verdict::Even,
            Some(paired) if paired.mean > 0.0 => Verdict::Ahead,
            Some(_) => Verdict::Behind,
        };
        Self { ours, other, verdict, paired }
    }

    /// The gap in points with its standard error, signed only where its direction is not said.
    fn gap(&self) -> String {
        let gap = 100.0 * (self.ours.mean - self.other.mean);
        let signed = matches!(self.verdict, Verdict::Even | Verdict::Untested);
        let plus = if signed && gap > 0.0 { "+" } else { "" };
        let gap = format!("{plus}{}", number(if signed { gap } else { gap.abs() }, 1));
        match self.paired {
            Some(Paired { mean, sd, n, .. }) => {
                let error = Spread { mean, sd, n }.standard_error();
                format!("{gap}\u{a0}±\u{a0}{}", number(100.0 * error, 1))
            }
            None => gap,
        }
    }

    fn say(&self, pattern: &str, words: &Words) -> String {
        let values = [
            ("k", &*self.ours.k.to_string()),
            ("gap", &*self.gap()),
            ("other", &*words.method_inside(&self.other.method)),
            ("ours", &*words.method_inside(&self.ours.method)),
            ("mine", &*percent(self.ours.mean, 1)),
            ("theirs", &*percent(self.other.mean, 1)),
            ("n", &*self.ours.n.to_string()),
            ("labels", if self.ours.k == 1 { words.label } else { words.labels }),
        ];
        words.fill(pattern, &values)
    }
}

/// Our method against the best baseline, and our encoder against itself with random weights, for each k.
///
/// Where the embedding was also scored alone, it and not the whole method meets the random weights: what raw
/// values add is no merit of the training.
fn duels(table: &FewShotTable) -> [Vec<Duel<'_>>; 2] {
    let rows = &table.result.rows;
    let ours = || rows.iter().filter(|r| r.method == table.ours);
    let baseline = |r: &&Row| {
        !r.method.starts_with(&table.ours)
            && !matches!(r.method.as_str(), "chance" | "random_encoder")
    };
    let best = |k: usize| {
        let here = rows.iter().filter(|r| r.k == k).filter(baseline);
        here.max_by(|a, b| a.mean.total_cmp(&b.mean))
    };
    let at = |k: usize, method: &str| rows.iter().find(|r| r.k == k && r.method == method);
    let encoder = |row: &'_ Row| {
        let trained = at(row.k, "surco_embedding").or_else(|| at(row.k, &table.ours))?;
        Some(Duel::new(trained, at(row.k, "random_encoder")?))
    };
    [
        ours().filter_map(|row| Some(Duel::new(row, best(row.k)?))).collect(),
        ours().filter_map(encoder).collect(),
    ]
}

/// One number of labels needs no list of them: a sentence with both scores each.
fn only(duels: &[Vec<Duel<'_>>; 2], words: &Words) -> Option<Vec<String>> {
    let [baselines, encoders] = duels;
    if baselines.len() > 1 || encoders.len() > 1 {
        return None;
    }
    let against = |d: &Duel<'_>| d.say(shots_only(d.verdict, words), words);
    let weights = |d: &Duel<'_>| d.say(encoder_only(d.verdict, words), words);
    Some(baselines.iter().map(against).chain(encoders.iter().map(weights)).collect())
}

/// Every gap with its standard error, k of one verdict in one sentence.
pub(in crate::report) fn shots(table: &FewShotTable, words: &Words) -> Vec<String> {
    let duels = duels(table);
    if let Some(said) = only(&duels, words) {
        return said;
    }
    let name = &*words.method_inside(&table.ours);
    let [baselines, encoders] = duels;
    let mut out = Vec::new();
    for (duels, one, pattern) in [
        (&baselines, words.shots_gap, shots_pattern as fn(Verdict, &Words) -> &'static str),
        (&encoders, words.encoder_gap, encoder_pattern),
    ] {
        for verdict in VERDICTS {
            let mine: Vec<_> = duels.iter().filter(|d| d.verdict == verdict).collect();
            let gaps: Vec<String> = mine.iter().map(|d| d.say(one, words)).collect();
            if let Some(last) = mine.last() {
                let labels = labels(last, words);
                let values = [("ours", name), ("labels", labels), ("gaps", &*words.list(&gaps))];
                out.push(words.fill(pattern(verdict, words), &values));
            }
        }
    }
    out
}

fn labels(last: &Duel<'_>, words: &Words) -> &'static str {
    if last.ours.k == 1 { words.label } else { words.labels }
}

/// Who is ahead with how many labels, without figures if the numbers of labels are many.
pub(in crate::report) fn shots_short(table: &FewShotTable, words: &Words) -> Vec<String> {
    let duels = duels(table);
    if let Some(said) = only(&duels, words) {
        return said;
    }
    let [baselines, encoders] = duels;
    let mut out = Vec::new();
    for (duels, whom) in [(baselines, words.short_baseline), (encoders, words.short_random)] {
        let mut parts = Vec::new();
        let mut end = words.labels;
        for (verdict, part) in VERDICTS.into_iter().zip(words.short_parts) {
            let mine: Vec<_> = duels.iter().filter(|d| d.verdict == verdict).collect();
            let Some(last) = mine.last() else { continue };
            let ks: Vec<String> = mine.iter().map(|d| d.ours.k.to_string()).collect();
            parts.push(words.fill(part, &[("ks", &words.list(&ks))]));
            end = labels(last, words);
        }
        if !parts.is_empty() {
            let (ours, parts) = (words.method_inside(&table.ours), parts.join(", "));
            let values = [("whom", whom), ("ours", &*ours), ("parts", &*parts), ("labels", end)];
            out.push(words.fill(words.short_against, &values));
        }
    }
    out
}

fn shots_pattern(verdict: Verdict, words: &Words) -> &'static str {
    match verdict {
        Verdict::Ahead => words.shots_ahead,
        Verdict::Behind => words.shots_behind,
        Verdict::Even => words.shots_even,
        Verdict::Untested => words.shots_one,
    }
}

fn encoder_pattern(verdict: Verdict, words: &Words) -> &'static str {
    match verdict {
        Verdict::Ahead => words.encoder_adds,
        Verdict::Behind => words.encoder_harms,
        Verdict::Even => words.encoder_even,
        Verdict::Untested => words.encoder_one,
    }
}

fn shots_only(verdict: Verdict, words: &Words) -> &'static str {
    match verdict {
        Verdict::Ahead => words.shots_only_ahead,
        Verdict::Behind => words.shots_only_behind,
        Verdict::Even => words.shots_only_even,
        Verdict::Untested => words.shots_only_one,
    }
}

fn encoder_only(verdict: Verdict, words: &Words) -> &'static str {
    match verdict {
        Verdict::Ahead => words.encoder_only_adds,
        Verdict::Behind => words.encoder_only_harms,
        Verdict::Even => words.encoder_only_even,
        Verdict::Untested => words.encoder_only_one,
    }
}

/// How the comparison was made; empty with a single draw.
pub(in crate::report) fn shots_test(table: &FewShotTable, words: &Words) -> String {
    let ours = table.result.rows.iter().filter(|r| r.method == table.ours);
    let n = ours.map(|r| r.n).max().unwrap_or(0);
    if n < 2 { String::new() } else { words.fill(words.shots_test, &[("n", &n.to_string())]) }
}

#[cfg(test)]
mod tests {
    use super::super::super::words::ENGLISH;
    use super::*;
    use crate::fewshot::SuiteResult;

    fn row(method: &str, k: usize, per_seed: [f64; 4]) -> Row {
        let Spread { mean, sd, n } = Spread::of(&per_seed);
        Row {
            method: method.into(),
            k,
            mean,
            sd,
            n,
            per_seed: per_seed.to_vec(),
            per_class: Vec::new(),
            per_zone: Vec::new(),
        }
    }

    fn table(ks: &[usize], methods: &[(&str, [f64; 4])]) -> FewShotTable {
        let rows = ks.iter().flat_map(|&k| methods.iter().map(move |(m, v)| row(m, k, *v)));
        let result = SuiteResult {
            set: "s".into(),
            metric: "m".into(),
            rows: rows.collect(),
            leads: Vec::new(),
            promises: Vec::new(),
            facts: None,
        };
        FewShotTable { result, ours: "surco".into() }
    }

    fn three(ours: [f64; 4], forest: [f64; 4], random: [f64; 4]) -> [(&'static str, [f64; 4]); 3] {
        [("surco", ours), ("rf_raw", forest), ("random_encoder", random)]
    }

    fn told(ours: [f64; 4], forest: [f64; 4], random: [f64; 4]) -> Vec<String> {
        shots(&table(&[5, 10], &three(ours, forest, random)), &ENGLISH)
    }

    const LOW: [f64; 4] = [0.50, 0.52, 0.51, 0.53];
    const HIGH: [f64; 4] = [0.61, 0.62, 0.60, 0.65];

    #[test]
    fn a_loss_is_told_as_plainly_as_a_win() {
        let win = told(HIGH, LOW, LOW);
        assert!(
            win[0].contains("5 (by 10.5") && win[0].contains("random forest) labels per class")
        );
        assert!(win[0].ends_with("Surco is ahead of the best baseline."), "{win:?}");
        assert!(win[1].starts_with("Training beforehand helps"), "{win:?}");
        let loss = told(LOW, HIGH, HIGH);
        assert!(loss[0].contains("Surco is behind the best baseline"), "{loss:?}");
        assert!(loss[0].contains("use the simpler method"));
        assert!(loss[1].starts_with("Training beforehand does harm"), "{loss:?}");
    }

    #[test]
    fn a_gap_within_the_spread_is_no_gap() {
        let even = told([0.50, 0.60, 0.55, 0.52], [0.55, 0.53, 0.58, 0.50], LOW);
        assert!(even[0].contains("cannot be told apart"), "{even:?}");
        assert!(even[1].contains("no difference that can be told"), "{even:?}");
    }

    #[test]
    fn the_short_form_names_every_verdict() {
        let even = [[0.50, 0.60, 0.55, 0.52], [0.55, 0.53, 0.58, 0.50], HIGH.map(|v| v + 0.1)];
        let table = table(&[5, 10], &three(even[0], even[1], even[2]));
        let got = shots_short(&table, &ENGLISH);
        assert_eq!(
            got,
            [
                "Against the best baseline, Surco is not to be told apart with 5 and 10 labels per class.",
                "Against the same encoder with random weights, Surco is behind with 5 and 10 labels per class.",
            ]
        );
    }

    #[test]
    fn one_number_of_labels_is_told_with_both_scores() {
        let methods = three(HIGH, LOW, LOW);
        assert_eq!(
            shots(&table(&[5], &methods), &ENGLISH),
            [
                "With 5 labels per class, Surco reaches 62.0\u{a0}% balanced accuracy, the best baseline (random forest) 51.5\u{a0}%: ahead by 10.5\u{a0}±\u{a0}0.6 points over 4 draws.",
                "Surco reaches 62.0\u{a0}%, the same encoder with random weights 51.5\u{a0}%: training it beforehand is worth 10.5\u{a0}±\u{a0}0.6 points.",
            ]
        );
    }

    #[test]
    fn raw_values_earn_the_encoder_no_merit() {
        let mut methods = three(HIGH, LOW, LOW).to_vec();
        methods.push(("surco_embedding", LOW));
        let said = shots(&table(&[5], &methods), &ENGLISH);
        assert!(said[0].contains("best baseline (random forest)"), "{said:?}");
        assert!(said[1].starts_with("Surco’s embedding alone reaches 51.5\u{a0}%"), "{said:?}");
        assert!(said[1].contains("no difference that can be told"), "{said:?}");
    }
}
