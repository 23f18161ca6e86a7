use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Rows of three seasons: sines of three phases, drifting in strength, with noise. Class of row `i` is `i % 3`.
fn rows(n: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((n, width), |(i, j)| {
        let strength = 0.6 + 0.8 * (i as f32 / n as f32);
        let phase = (i % 3) as f32 * 1.2;
        strength * (j as f32 * 0.4 + phase).sin() + rng.random_range(-0.3..0.3)
    })
}

fn features(n: usize, seed: u64) -> Features {
    Features { embedding: rows(n, 40, seed), values: rows(n, 24, seed + 100) }
}

fn one_example_a_class() -> Adapter {
    adapt(&features(3, 1), &[0, 1, 2], 3, &Unlabelled::new(features(200, 2)), AdapterFeatures::Both)
}

fn right(adapter: &Adapter, asked: &Features) -> f64 {
    let chances = adapter.predict(asked);
    let best = |row: ndarray::ArrayView1<'_, f32>| {
        (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
    };
    let hits = chances.rows().into_iter().enumerate().filter(|(i, row)| best(*row) == i % 3);
    hits.count() as f64 / chances.nrows() as f64
}

#[test]
fn one_label_a_class_and_series_without_labels_tell_classes_apart() {
    let asked = features(90, 3);
    let adapter = one_example_a_class();
    assert!(right(&adapter, &asked) > 0.95);
    assert!(adapter.predict(&asked).rows().into_iter().all(|r| (r.sum() - 1.0).abs() < 1e-4));
    let support = features(3, 1);
    let nothing = support.select(&[]);
    let alone = adapt(&support, &[0, 1, 2], 3, &Unlabelled::new(nothing), AdapterFeatures::Both);
    assert!(right(&alone, &asked) > 0.6, "without any series beside the labels it still answers");
}

#[test]
fn an_adapter_that_is_written_and_read_answers_the_same() {
    let adapter = one_example_a_class();
    let text = serde_json::to_string(&adapter).unwrap();
    let back: Adapter = serde_json::from_str(&text).unwrap();
    assert_eq!(back.flaw(), None);
    let asked = features(60, 4);
    let (before, after) = (adapter.predict(&asked), back.predict(&asked));
    let off = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 0.05, "bytes in place of floats move a probability by {off}");
}

#[test]
fn an_adapter_whose_parts_do_not_fit_is_found() {
    let adapter = one_example_a_class();
    let without = Adapter { values: None, ..adapter.clone() };
    assert!(without.flaw().is_some());
    let narrow = Adapter {
        values: adapter.embedding.clone(),
        head: Ridge::fit(rows(3, 5, 1).view(), &[0, 1, 2], 3).0,
        ..adapter.clone()
    };
    assert!(narrow.flaw().is_some());
    let unscaled = Adapter { scales: vec![1.0], ..adapter };
    assert!(unscaled.flaw().is_some());
}

#[test]
fn a_temperature_changes_how_sure_it_is_and_not_what_it_says() {
    let (adapter, asked) = (one_example_a_class(), features(30, 5));
    let plain = adapter.predict(&asked);
    let soft = adapter.tempered(3.0).predict(&asked);
    for (a, b) in plain.rows().into_iter().zip(soft.rows()) {
        let top = |r: ndarray::ArrayView1<'_, f32>| r.iter().copied().fold(0.0, f32::max);
        assert!(top(a) >= top(b));
        assert!(
            (0..3)
                .all(|i| (0..3)
                    .all(|j| (a[i] < a[j]) == (b[i] < b[j]) || (a[i] - a[j]).abs() < 1e-5))
        );
    }
}

/// Under 2 % of the backbone for forty labels of eight classes, with as many series without labels as are looked at.
#[test]
fn an_adapter_is_small_beside_its_backbone() {
    let classes: Vec<usize> = (0..40).map(|i| i % 8).collect();
    let wide = |n, seed| Features { embedding: rows(n, 512, seed), values: rows(n, 264, seed) };
    let adapter =
        adapt(&wide(40, 1), &classes, 8, &Unlabelled::new(wide(600, 2)), AdapterFeatures::Both);
    let bytes = serde_json::to_vec(&adapter).unwrap().len();
    assert!(bytes < 66_000, "{bytes} bytes: nano has 3.3 MB");
}

/// Nine in ten of the series without labels are of a kind nobody asked about, between two classes.
#[test]
fn ground_of_other_classes_does_not_lead_labels_astray() {
    let angle = |n: usize, from: f32, to: f32, seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let at: Vec<f32> = (0..n).map(|_| rng.random_range(from..to)).collect();
        Array2::from_shape_fn((n, 8), |(i, j)| (at[i] * (j + 1) as f32).sin())
    };
    let of = |parts: &[Array2<f32>]| {
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        let values = concatenate(Axis(0), &views).unwrap();
        Features { embedding: Array2::zeros((values.nrows(), 0)), values }
    };
    let two = |n, seed| of(&[angle(n, 0.0, 0.3, seed), angle(n, 1.2, 1.5, seed + 1)]);
    let alien = angle(900, 0.2, 1.3, 9);
    let unlabelled = of(&[two(50, 5).values, alien]);
    let adapter =
        adapt(&two(1, 1), &[0, 1], 2, &Unlabelled::new(unlabelled), AdapterFeatures::Values);
    let chances = adapter.predict(&two(40, 7));
    let right = |(i, row): (usize, ndarray::ArrayView1<'_, f32>)| (row[0] > row[1]) == (i < 40);
    let right = chances.rows().into_iter().enumerate().filter(|r| right((r.0, r.1))).count();
    assert!(right >= 76, "{right} of 80");
}
