use super::*;
use crate::peer::InputError;
use ndarray::{Array3, Array4, Array5};

/// Weights that are all but nothing: only counts and refusals are looked at here.
/// `verify/tests/peers.rs` compares the real ones with the answers of its makers.
struct Flat;

impl TensorSource for Flat {
    fn names(&self) -> Vec<&str> {
        Vec::new()
    }

    fn tensor(&self, _: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        Ok((0..shape.iter().product()).map(|i: usize| (i % 7) as f32 * 0.01).collect())
    }
}

/// `n` windows of 4 × 8 pixels and 3 months with everything shown.
fn input(n: usize) -> GalileoInput {
    let (h, w, t) = (4, 8, 3);
    GalileoInput {
        space_time: Array5::from_shape_fn((n, h, w, t, 13), |i| (i.0 + i.4) as f32 * 0.1),
        space: Array4::zeros((n, h, w, 16)),
        time: Array3::zeros((n, t, 6)),
        fixed: Array2::zeros((n, 18)),
        space_time_hidden: Array5::from_elem((n, h, w, t, 7), false),
        space_hidden: Array4::from_elem((n, h, w, 3), false),
        time_hidden: Array3::from_elem((n, t, 3), false),
        fixed_hidden: Array2::from_elem((n, 4), false),
        months: Array2::zeros((n, t)),
    }
}

fn galileo() -> Galileo {
    Galileo::read(&Flat, &Device::flex()).unwrap().0
}

#[test]
fn tokens_are_those_of_patches_dates_and_groups() {
    for (patch_px, patches) in [(1, 32), (2, 8), (4, 2)] {
        let batch = GalileoBatch::new(input(2), patch_px).unwrap();
        let tokens = galileo().tokens(&batch, 0..2);
        let each = patches * 3 * 7 + patches * 3 + 3 * 3 + 4;
        assert_eq!(tokens.lengths, [each, each]);
        let embedding = galileo().embed(&batch, Policy::default());
        assert_eq!(embedding.dim(), (2, WIDTH));
        assert!(embedding.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn what_is_hidden_may_be_anything() {
    let hide = |fill: f32| {
        let mut input = input(1);
        input.space_time_hidden.slice_mut(ndarray::s![0, .., .., 1, 0]).fill(true);
        input.space_time.slice_mut(ndarray::s![0, .., .., 1, 0..2]).fill(fill);
        galileo().embed(&GalileoBatch::new(input, 4).unwrap(), Policy::default())
    };
    assert_eq!(hide(f32::NAN), hide(0.0));
}

#[test]
fn input_that_cannot_be_is_refused() {
    let refuse = |change: &dyn Fn(&mut GalileoInput), patch_px| -> InputError {
        let mut input = input(2);
        change(&mut input);
        GalileoBatch::new(input, patch_px).unwrap_err()
    };
    insta::assert_snapshot!(
        refuse(&|_| (), 3),
        @"windows of 4 × 8 pixels cannot be cut into patches of 3: expected 1 to 8 pixels that divide both"
    );
    insta::assert_snapshot!(
        refuse(&|i| i.time[[1, 2, 0]] = f32::NAN, 4),
        @"a visible band of series 1 is NaN, expected a number"
    );
    insta::assert_snapshot!(
        refuse(&|i| i.time = Array3::zeros((2, 3, 5)), 4),
        @"time values have the shape [2, 3, 5], expected [2, 3, 6]"
    );
    let hide_all = |i: &mut GalileoInput| {
        i.space_time_hidden.fill(true);
        i.space_hidden.fill(true);
        i.time_hidden.fill(true);
        i.fixed_hidden.fill(true);
    };
    insta::assert_snapshot!(
        refuse(&hide_all, 4),
        @"series 0 shows nothing: leave it out, or show one value"
    );
}
