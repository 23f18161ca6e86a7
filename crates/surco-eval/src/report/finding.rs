//! Sentences that state what the figures show. Every one is made by comparing numbers with their spread;
//! none is written in advance.

mod duel;

use super::figure::{number, percent, short, three};
use super::input::{AreaRow, ConfusionTable, Curve, CurvePoint, NdviCurve, SampledAccuracy, Scene};
use super::words::Words;

pub(super) use duel::{shots, shots_short, shots_test};

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
            ("from", &words.day(first.date)),
            ("to", &words.day(last.date)),
            ("cloud", &number(median, 0)),
            ("least", &number(cloud[0], 0)),
            ("most", &number(cloud[cloud.len() - 1], 0)),
        ],
    ))
}

/// NDVI a class must reach once to be called green.
const GREEN: f64 = 0.5;

/// The two green classes farthest apart on any one date, and the two that never part.
pub(super) fn ndvi(curves: &[NdviCurve], words: &Words) -> Vec<String> {
    let mut widest: Option<(f64, [String; 5])> = None;
    let mut nearest: Option<(f64, [&str; 2])> = None;
    let green = |c: &NdviCurve| c.points.iter().any(|p| p.median >= GREEN);
    for (i, a) in curves.iter().enumerate() {
        for b in &curves[i + 1..] {
            let mut most = None;
            for p in a.points.iter().filter(|p| p.median.is_finite()) {
                let same = |q: &&super::input::NdviPoint| q.date == p.date && q.median.is_finite();
                let Some(q) = b.points.iter().find(same) else { continue };
                let gap = (p.median - q.median).abs();
                most = Some(most.unwrap_or(0.0_f64).max(gap));
                if green(a) && green(b) && widest.as_ref().is_none_or(|w| gap > w.0) {
                    let (first, second) = if p.median >= q.median { (a, b) } else { (b, a) };
                    let date = words.day(p.date);
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
    // A single step of training is one batch: its noise would be told as news.
    let few = (curve.points.len() / 20).clamp(1, 10);
    let few_steps = few.to_string();
    let say = |pattern, first: f64, last: f64| {
        let (first, last) = (three(first), three(last));
        let measure = curve.measure.as_str();
        let values = [
            ("name", name),
            ("measure", measure),
            ("first", &first),
            ("last", &last),
            ("steps", &steps),
            ("few", &few_steps),
        ];
        words.fill(pattern, &values)
    };
    let better = |a: f64, b: f64| if curve.higher_is_better { a > b } else { a < b };
    let (Some(&(_, first)), Some(&(_, last))) = (held.first(), held.last()) else {
        if curve.points.is_empty() {
            return Vec::new();
        }
        let mean = |part: &[CurvePoint]| part.iter().map(|p| p.train).sum::<f64>() / few as f64;
        let (first, last) =
            (mean(&curve.points[..few]), mean(&curve.points[curve.points.len() - few..]));
        return vec![say(words.curve_no_validation, first, last)];
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
        let expected = number(0.95 * known.len() as f64, 0);
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

/// Accuracy as the sample tells it, beside the truth where every pixel was checked.
pub(super) fn sampled(sample: &SampledAccuracy, truth: Option<f64>, words: &Words) -> String {
    let pattern = if truth.is_some() { words.areas_sampled_truth } else { words.areas_sampled };
    words.fill(
        pattern,
        &[
            ("n", &number(sample.points as f64, 0)),
            ("value", &percent(sample.value, 1)),
            ("half", &percent(sample.half_width, 1)),
            ("truth", &percent(truth.unwrap_or(f64::NAN), 1)),
        ],
    )
}

/// Whether an interval holds the truth.
pub(super) fn holds(row: &AreaRow, truth: f64) -> bool {
    (truth - row.estimate_ha).abs() <= row.half_width_ha
}
