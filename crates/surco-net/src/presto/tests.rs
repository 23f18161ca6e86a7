use super::*;

/// Weights drawn from a plain generator, in the shapes that Presto's have.
/// `verify/tests/peers.rs` compares the real ones with the answers of its makers.
struct Drawn;

impl TensorSource for Drawn {
    fn names(&self) -> Vec<&str> {
        Vec::new()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let mut state = name.bytes().fold(7_u64, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
        let draw = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 24) as f32 * 0.2 - 0.1
        };
        Ok((0..shape.iter().product()).map(draw).collect())
    }
}

fn presto() -> Presto {
    Presto::read(&Drawn, &Device::flex()).unwrap().0
}

struct Parts {
    values: Array3<f32>,
    hidden: Array3<bool>,
    class: Array2<u8>,
    month: Array2<u8>,
    place: Array2<f32>,
}

/// `n` series of 12 months, all different.
fn parts(n: usize) -> Parts {
    Parts {
        values: Array3::from_shape_fn((n, 12, 17), |(i, t, b)| {
            ((i * 7 + t * 3 + b) % 11) as f32 / 11.0
        }),
        hidden: Array3::from_elem((n, 12, 17), false),
        class: Array2::from_shape_fn((n, 12), |(i, t)| ((i + t) % 10) as u8),
        month: Array2::from_shape_fn((n, 12), |(i, t)| ((i + t) % 12) as u8),
        place: Array2::from_shape_fn((n, 2), |(i, axis)| ((i * 3 + axis) % 100) as f32 - 50.0),
    }
}

fn batch(parts: Parts) -> Result<PrestoBatch, InputError> {
    let Parts { values, hidden, class, month, place } = parts;
    PrestoBatch::new(values, hidden, class, month, place)
}

fn embed(parts: Parts) -> Array2<f32> {
    presto().embed(&batch(parts).unwrap(), Policy::default())
}

#[test]
fn a_series_has_a_vector_and_no_series_has_none() {
    assert_eq!(embed(parts(3)).dim(), (3, WIDTH));
    assert_eq!(embed(parts(0)).dim(), (0, WIDTH));
    assert!(embed(parts(3)).iter().all(|v| v.is_finite()));
}

/// 8 groups a month, relief once, classes where there are any, and the place.
#[test]
fn tokens_are_counted_as_the_paper_counts_them() {
    let tokens = |parts| batch(parts).unwrap().tokens(0..1).1.tokens();
    let mut all = parts(1);
    all.class.fill(0);
    assert_eq!(tokens(all), 8 * 12 + 1 + 12 + 1);
    let mut optical = parts(1);
    optical.class.fill(NO_CLASS);
    for b in [0, 1, 12, 13, 14, 15] {
        optical.hidden.slice_mut(s![.., .., b]).fill(true);
    }
    assert_eq!(tokens(optical), 6 * 12 + 1);
}

#[test]
fn what_is_hidden_changes_no_bit_even_when_it_is_no_number() {
    let hide = |fill: f32| {
        let mut parts = parts(2);
        parts.hidden.slice_mut(s![1, 3..7, 2..5]).fill(true);
        parts.values.slice_mut(s![1, 3..7, 2..5]).fill(fill);
        // Relief is read from the first month alone.
        parts.values.slice_mut(s![.., 1.., 14..16]).fill(fill.max(0.0));
        parts
    };
    let one_hidden = {
        let mut parts = hide(9.0);
        // One hidden band hides the values of its group.
        parts.values.slice_mut(s![1, 3..7, 3..5]).fill(-4.0);
        parts.hidden.slice_mut(s![1, 3..7, 3..5]).fill(false);
        parts
    };
    let want = embed(hide(0.0));
    assert_eq!(embed(hide(f32::NAN)), want);
    assert_eq!(embed(hide(5.0)), want);
    assert_eq!(embed(one_hidden), want);
    assert_ne!(embed(parts(2)).row(1), want.row(1), "what is hidden is missed");
}

/// Segments of a chunk may be as long as they like: a series does not depend on its neighbours.
#[test]
fn a_series_alone_and_among_others_of_other_lengths_is_the_same() {
    let ragged = || {
        let mut all = parts(2 * CHUNK + 3);
        all.hidden.slice_mut(s![5.., 2.., ..12]).fill(true);
        all.hidden.slice_mut(s![7, .., ..]).fill(true);
        all.class.row_mut(7).fill(NO_CLASS);
        all
    };
    let together = embed(ragged());
    for i in [0, 5, 7, 2 * CHUNK + 2] {
        let Parts { values, hidden, class, month, place } = ragged();
        let only = |i: usize| i..i + 1;
        let alone = embed(Parts {
            values: values.slice(s![only(i), .., ..]).to_owned(),
            hidden: hidden.slice(s![only(i), .., ..]).to_owned(),
            class: class.slice(s![only(i), ..]).to_owned(),
            month: month.slice(s![only(i), ..]).to_owned(),
            place: place.slice(s![only(i), ..]).to_owned(),
        });
        let error = (&alone.row(0) - &together.row(i)).abs().into_iter().fold(0.0, f32::max);
        assert!(error < 1e-5, "{i}: {error}");
    }
}

#[test]
fn input_that_cannot_be_is_refused_by_series_and_value() {
    let refuse = |change: &dyn Fn(&mut Parts)| {
        let mut parts = parts(3);
        change(&mut parts);
        batch(parts).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        refuse(&|p| p.values[[2, 4, 8]] = f32::INFINITY),
        @"B8 of series 2 is inf, expected a number"
    );
    insta::assert_snapshot!(
        refuse(&|p| p.month[[1, 0]] = 12),
        @"month of series 1 is 12, expected 0 to 11"
    );
    insta::assert_snapshot!(
        refuse(&|p| p.class[[0, 3]] = 10),
        @"class of series 0 is 10, expected 0 to 9"
    );
    insta::assert_snapshot!(
        refuse(&|p| p.place[[1, 0]] = -91.0),
        @"latitude of series 1 is -91, expected -90 to 90 degrees"
    );
    insta::assert_snapshot!(
        refuse(&|p| p.place[[1, 1]] = f32::NAN),
        @"longitude of series 1 is NaN, expected -180 to 180 degrees"
    );
    insta::assert_snapshot!(
        refuse(&|p| p.class = Array2::zeros((3, 11))),
        @"classes have the shape [3, 11], expected [3, 12]"
    );
    insta::assert_snapshot!(
        refuse(&|p| p.values = Array3::zeros((3, 25, 17))),
        @"values have the shape [3, 25, 17], expected [3, 24, 17]"
    );
}

/// Expected values: worked by hand from the source's constants.
#[test]
fn raw_values_are_scaled_as_presto_was_trained() {
    let mut raw = Array3::<f64>::zeros((1, 2, 17));
    raw.slice_mut(s![0, 0, ..]).assign(&ndarray::arr1(&[
        -12.5, -25.0, 500.0, 700.0, 1000.0, 0.0, 0.0, 0.0, 3000.0, 0.0, 0.0, 2000.0, 289.65, 0.06,
        500.0, 25.0, 9.0,
    ]));
    let scaled = presto_scaled(raw.view());
    let want =
        [0.5, 0.0, 0.05, 0.07, 0.1, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.2, 0.5, 2.0, 0.25, 0.5, 0.5];
    for (b, want) in want.into_iter().enumerate() {
        assert!((scaled[[0, 0, b]] - want).abs() < 1e-6, "{}", PRESTO_BANDS[b].name);
    }
    assert_eq!(scaled[[0, 1, NDVI]], 0.0, "no light, no NDVI");
}
