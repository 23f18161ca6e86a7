//! Sentences that state what the figures show. Every one is made by comparing numbers with their spread;
//! none is written in advance.

use super::figure::{number, percent, short, three};
use super::input::{AreaRow, ConfusionTable, Curve, FewShotTable, NdviCurve, Scene};
use super::words::Words;
use crate::fewshot::Row;
use crate::spread::{Paired, Spread};

/// Below this p a difference is called one.
const SURE: f64 = 0.05;

/// What a comparison of two methods came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ahead,
    Behind,
    Even,
}

/// Judges our row against another on the same draws.
pub(super) fn judge(ours: &Row, other: &Row) -> (Verdict, Option<Paired>) {
    let paired = Paired::of(&ours.per_seed, &other.per_seed).filter(|p| p.n > 1);
    let sure = paired.and_then(|p| p.p).is_some_and(|p| p < SURE);
    let verdict = match ours.mean - other.mean {
        _ if !sure => Verdict::Even,
        gap if gap > 0.0 => Verdict::Ahead,
        _ => Verdict::Behind,
    };
    (verdict, paired)
}

fn test_words(paired: Option<Paired>, words: &Words) -> String {
    let Some(Paired { mean, sd, n, p: Some(p), .. }) = paired else {
        return words.shots_single.into();
    };
    let error = number(100.0 * Spread { mean, sd, n }.standard_error(), 1);
    let p = if p < 0.001 { "< 0.001".into() } else { format!("= {}", number(p, 3)) };
    words.fill(words.shots_test, &[("error", &error), ("n", &n.to_string()), ("p", &p)])
}

/// Our method against the best baseline for each k, then against random weights at the smallest and
/// largest k.
pub(super) fn shots(table: &FewShotTable, words: &Words) -> Vec<String> {
    let rows = &table.result.rows;
    let others = |k: usize| {
        rows.iter().filter(move |r| {
            r.k == k
                && r.method != table.ours
                && !matches!(r.method.as_str(), "chance" | "random_encoder")
        })
    };
    let mut out = Vec::new();
    let mut against_random = Vec::new();
    for ours in rows.iter().filter(|r| r.method == table.ours) {
        let k = ours.k.to_string();
        if let Some(other) = others(ours.k).max_by(|a, b| a.mean.total_cmp(&b.mean)) {
            let (verdict, paired) = judge(ours, other);
            let pattern = match verdict {
                Verdict::Ahead => words.shots_ahead,
                Verdict::Behind => words.shots_behind,
                Verdict::Even => words.shots_even,
            };
            let gap = number(100.0 * (ours.mean - other.mean).abs(), 1);
            out.push(words.fill(
                pattern,
                &[
                    ("k", &k),
                    ("ours", words.method_name(&table.ours)),
                    ("other", words.method_name(&other.method)),
                    ("gap", &gap),
                    ("mine", &percent(ours.mean, 1)),
                    ("theirs", &percent(other.mean, 1)),
                    ("test", &test_words(paired, words)),
                ],
            ));
        }
        let random = rows.iter().find(|r| r.k == ours.k && r.method == "random_encoder");
        against_random.extend(random.map(|random| encoder(ours, random, words)));
    }
    let last = against_random.len().saturating_sub(1);
    let ends = against_random.into_iter().enumerate().filter(|(i, _)| *i == 0 || *i == last);
    out.extend(ends.map(|(_, sentence)| sentence));
    out
}

fn encoder(ours: &Row, random: &Row, words: &Words) -> String {
    let (verdict, paired) = judge(ours, random);
    let pattern = match verdict {
        Verdict::Ahead => words.encoder_adds,
        Verdict::Behind => words.encoder_harms,
        Verdict::Even => words.encoder_even,
    };
    let gap = 100.0 * (ours.mean - random.mean);
    let gap = if verdict == Verdict::Even { number(gap, 1) } else { number(gap.abs(), 1) };
    let test = test_words(paired, words);
    words.fill(pattern, &[("k", &ours.k.to_string()), ("gap", &gap), ("test", &test)])
}

/// Dates and cloud.
pub(super) fn scenes(scenes: &[Scene], words: &Words) -> Option<String> {
    let mut cloud: Vec<f64> = scenes.iter().map(|s| s.cloud_percent).collect();
    cloud.sort_by(f64::total_cmp);
    let (first, last) = (scenes.first()?, scenes.last()?);
    let median = (cloud[(cloud.len() - 1) / 2] + cloud[cloud.len() / 2]) / 2.0;
    Some(words.fill(
        words.scenes_found,
        &[
            ("n", &scenes.len().to_string()),
            ("from", &first.date.to_string()),
            ("to", &last.date.to_string()),
            ("cloud", &number(median, 0)),
            ("least", &number(cloud[0], 0)),
            ("most", &number(cloud[cloud.len() - 1], 0)),
        ],
    ))
}

/// The two classes farthest apart on any one date, and the two that never part.
pub(super) fn ndvi(curves: &[NdviCurve], words: &Words) -> Vec<String> {
    let mut widest: Option<(f64, [String; 5])> = None;
    let mut nearest: Option<(f64, [&str; 2])> = None;
    for (i, a) in curves.iter().enumerate() {
        for b in &curves[i + 1..] {
            let mut most = None;
            for p in a.points.iter().filter(|p| p.median.is_finite()) {
                let same = |q: &&super::input::NdviPoint| q.date == p.date && q.median.is_finite();
                let Some(q) = b.points.iter().find(same) else { continue };
                let gap = (p.median - q.median).abs();
                most = Some(most.unwrap_or(0.0_f64).max(gap));
                if widest.as_ref().is_none_or(|w| gap > w.0) {
                    let (first, second) = if p.median >= q.median { (a, b) } else { (b, a) };
                    let date = p.date.to_string();
                    let names = [&first.class.name, &second.class.name].map(|n| short(n, 60));
                    let [one, two] = names;
                    let (high, low) = (p.median.max(q.median), p.median.min(q.median));
                    widest = Some((gap, [one, two, date, number(high, 2), number(low, 2)]));
                }
            }
            if let Some(gap) = most.filter(|gap| nearest.as_ref().is_none_or(|n| *gap < n.0)) {
                nearest = Some((gap, [&a.class.name, &b.class.name]));
            }
        }
    }
    let apart = widest.map(|(_, [a, b, date, va, vb])| {
        let values = [("a", &*a), ("b", &*b), ("date", &*date), ("va", &*va), ("vb", &*vb)];
        words.fill(words.ndvi_apart, &values)
    });
    let near = nearest.filter(|_| curves.len() > 2).map(|(gap, [a, b])| {
        let (a, b, gap) = (short(a, 60), short(b, 60), number(gap, 2));
        words.fill(words.ndvi_near, &[("a", &a), ("b", &b), ("gap", &gap)])
    });
    apart.into_iter().chain(near).collect()
}

/// Whether a measure got better on places held out, and whether it turned.
pub(super) fn curve(curve: &Curve, name: &str, words: &Words) -> Vec<String> {
    let held: Vec<(u64, f64)> =
        curve.points.iter().filter_map(|p| Some((p.step, p.validation?))).collect();
    let steps = number(curve.points.last().map_or(0.0, |p| p.step as f64), 0);
    let say = |pattern, first: f64, last: f64| {
        let (first, last) = (three(first), three(last));
        let measure = curve.measure.as_str();
        let values = [
            ("name", name),
            ("measure", measure),
            ("first", &first),
            ("last", &last),
            ("steps", &steps),
        ];
        words.fill(pattern, &values)
    };
    let better = |a: f64, b: f64| if curve.higher_is_better { a > b } else { a < b };
    let (Some(&(_, first)), Some(&(_, last))) = (held.first(), held.last()) else {
        let (first, last) = (curve.points.first(), curve.points.last());
        let both = first.zip(last).map(|(f, l)| say(words.curve_no_validation, f.train, l.train));
        return both.into_iter().collect();
    };
    let pattern = if better(last, first) { words.curve_better } else { words.curve_worse };
    let mut out = vec![say(pattern, first, last)];
    let best = held.iter().copied().reduce(|a, b| if better(b.1, a.1) { b } else { a });
    if let Some((step, best)) = best {
        // A twentieth of the way travelled is noise of one measurement, not a turn.
        if (last - best).abs() > 0.05 * (first - best).abs()
            && better(best, last)
            && better(best, first)
        {
            let (step, best) = (number(step as f64, 0), three(best));
            out.push(words.fill(words.curve_turned, &[("step", &step), ("best", &best)]));
        }
    }
    out
}

/// Accuracy overall, and the class most often missed.
pub(super) fn confusion(table: &ConfusionTable, words: &Words) -> Vec<String> {
    let n = number(table.confusion.counts().sum() as f64, 0);
    let (overall, balanced) =
        (table.confusion.overall_accuracy(), table.confusion.balanced_accuracy());
    let mut out = vec![words.fill(
        words.confusion_found,
        &[
            ("n", &n),
            ("counted", &table.counted),
            ("overall", &percent(overall, 1)),
            ("balanced", &percent(balanced, 1)),
        ],
    )];
    let found = table.confusion.producers();
    let named = table.classes.iter().zip(found).filter_map(|(name, share)| Some((name, share?)));
    if let Some((name, share)) = named.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|w| w.1 < 1.0) {
        let (class, share) = (short(name, 60), percent(share, 0));
        out.push(words.fill(words.confusion_weak, &[("class", &class), ("share", &share)]));
    }
    out
}

/// How many intervals hold the truth, what counting pixels would have cost, what is least certain.
pub(super) fn areas(rows: &[AreaRow], words: &Words) -> Vec<String> {
    let mut out = Vec::new();
    let known: Vec<(&AreaRow, f64)> = rows.iter().filter_map(|r| Some((r, r.truth_ha?))).collect();
    if !known.is_empty() {
        let held = known.iter().filter(|(r, truth)| holds(r, *truth)).count().to_string();
        let expected = number(0.95 * known.len() as f64, 1);
        let values = [("held", &*held), ("n", &*known.len().to_string()), ("expected", &*expected)];
        out.push(words.fill(words.areas_held, &values));
    }
    let off = |(r, truth): &(&AreaRow, f64)| (r.mapped_ha / truth - 1.0).abs();
    let off_most = known.iter().filter(|(_, t)| *t > 0.0).max_by(|a, b| off(a).total_cmp(&off(b)));
    if let Some(worst @ (row, truth)) = off_most {
        out.push(words.fill(
            words.areas_biased,
            &[
                ("percent", &percent(off(worst), 0)),
                ("class", &short(&row.class.name, 60)),
                ("mapped", &three(row.mapped_ha)),
                ("truth", &three(*truth)),
            ],
        ));
    }
    let share = |r: &&AreaRow| r.half_width_ha / r.estimate_ha;
    let some = rows.iter().filter(|r| r.estimate_ha > 0.0);
    if let Some(loose) = some.max_by(|a, b| share(a).total_cmp(&share(b))) {
        let (class, percent) = (short(&loose.class.name, 60), percent(share(&loose), 0));
        out.push(words.fill(words.areas_loose, &[("class", &class), ("percent", &percent)]));
    }
    out
}

/// Whether an interval holds the truth.
pub(super) fn holds(row: &AreaRow, truth: f64) -> bool {
    (truth - row.estimate_ha).abs() <= row.half_width_ha
}

#[cfg(test)]
mod tests {
    use super::super::words::ENGLISH;
    use super::*;
    use crate::fewshot::SuiteResult;

    fn row(method: &str, per_seed: [f64; 4]) -> Row {
        let Spread { mean, sd, n } = Spread::of(&per_seed);
        Row { method: method.into(), k: 5, mean, sd, n, per_seed: per_seed.to_vec() }
    }

    fn told(ours: [f64; 4], forest: [f64; 4], random: [f64; 4]) -> Vec<String> {
        let rows = vec![row("surco", ours), row("rf_raw", forest), row("random_encoder", random)];
        let result = SuiteResult { set: "s".into(), metric: "m".into(), rows };
        shots(&FewShotTable { result, ours: "surco".into() }, &ENGLISH)
    }

    const LOW: [f64; 4] = [0.50, 0.52, 0.51, 0.53];
    const HIGH: [f64; 4] = [0.61, 0.62, 0.60, 0.64];

    #[test]
    fn a_loss_is_told_as_plainly_as_a_win() {
        let win = told(HIGH, LOW, LOW);
        assert!(
            win[0].contains("Surco is ahead of the best baseline, Random forest, by 10.2 points")
        );
        assert!(win[1].contains("Pre-training is worth 10.2 points"), "{win:?}");
        let loss = told(LOW, HIGH, HIGH);
        assert!(loss[0].contains("Random forest is ahead of Surco by 10.2 points"), "{loss:?}");
        assert!(loss[0].contains("use the simpler method"));
        assert!(loss[1].contains("Pre-training did harm"), "{loss:?}");
    }

    #[test]
    fn a_gap_within_the_spread_is_no_gap() {
        let even = told([0.50, 0.60, 0.55, 0.52], [0.55, 0.53, 0.58, 0.50], LOW);
        assert!(even[0].contains("cannot be told apart"), "{even:?}");
        assert!(even[1].contains("no difference that can be told"), "{even:?}");
    }
}
