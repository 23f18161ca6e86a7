//! Half the resolution of rows of an image.

use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;

use super::options::Overviews;
use super::sample::{Sample, nodata_as};

/// Rows at half the resolution: `[band, ceil(y / 2), ceil(x / 2)]`. At a lower or right edge of odd
/// length the pixels there are count alone.
pub(crate) fn halve<T: Sample>(
    rows: ArrayView3<'_, T>,
    how: Overviews,
    nodata: Option<f64>,
) -> Array3<T> {
    let (bands, height, width) = rows.dim();
    let mut out = Array3::from_elem((bands, height.div_ceil(2), width.div_ceil(2)), T::default());
    let nodata = nodata_as::<T>(nodata);
    for (band, mut half) in rows.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
        let half_rows: Vec<_> = half.rows_mut().into_iter().collect();
        half_rows.into_par_iter().enumerate().for_each(|(y, mut row)| {
            let upper = band.row(2 * y);
            // At an odd edge there is no lower row, or no right column.
            let lower = (2 * y + 1 < height).then(|| band.row(2 * y + 1));
            for (x, sample) in row.iter_mut().enumerate() {
                let mut four = [upper[2 * x]; 4];
                let mut count = 1;
                let rest = [(Some(upper), 2 * x + 1), (lower, 2 * x), (lower, 2 * x + 1)];
                for (line, column) in rest {
                    if let Some(&value) = line.as_ref().and_then(|line| line.get(column)) {
                        four[count] = value;
                        count += 1;
                    }
                }
                let four = &four[..count];
                *sample = match how {
                    Overviews::Average => average(four, nodata),
                    Overviews::Mode => mode(four, nodata),
                    Overviews::Nearest | Overviews::None => four[0],
                };
            }
        });
    }
    out
}

/// Whether a sample is a measurement; a NaN never is.
fn is_data<T: Sample>(sample: T, nodata: Option<T>) -> bool {
    !sample.to_f64().is_nan() && Some(sample) != nodata
}

fn average<T: Sample>(four: &[T], nodata: Option<T>) -> T {
    let (mut sum, mut count, mut last) = (0.0, 0, four[0]);
    for &sample in four.iter().filter(|&&sample| is_data(sample, nodata)) {
        sum += sample.to_f64();
        count += 1;
        last = sample;
    }
    if count == 0 {
        return nodata.unwrap_or(last);
    }
    let mean = T::from_f64(sum / f64::from(count));
    // A mean that happens to be the nodata value (of -1 and 1, say) would make a hole.
    if is_data(mean, nodata) { mean } else { last }
}

fn mode<T: Sample>(four: &[T], nodata: Option<T>) -> T {
    let count = |value: T| four.iter().filter(|&&other| other == value).count();
    let data = four.iter().copied().filter(|&sample| is_data(sample, nodata));
    // The first of those that are equally frequent.
    let best = data.reduce(|best, next| if count(next) > count(best) { next } else { best });
    best.or(nodata).unwrap_or(four[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Worked by hand.
    #[test]
    fn half_the_resolution_ignores_nodata_and_keeps_odd_edges() {
        let rows = array![[[1_u8, 2, 0], [3, 3, 9], [0, 0, 4]]];
        let half = |how| halve(rows.view(), how, Some(0.0));
        assert_eq!(half(Overviews::Average), array![[[2, 9], [0, 4]]]);
        assert_eq!(half(Overviews::Mode), array![[[3, 9], [0, 4]]]);
        assert_eq!(half(Overviews::Nearest), array![[[1, 0], [0, 4]]]);
        let tie = array![[[7_u8, 5], [5, 7]]];
        assert_eq!(halve(tie.view(), Overviews::Mode, None), array![[[7]]]);
    }

    #[test]
    fn a_mean_is_never_nodata_by_chance() {
        let rows = array![[[-1_i16, 1]]];
        assert_eq!(halve(rows.view(), Overviews::Average, Some(0.0)), array![[[1]]]);
        let rows = array![[[f32::NAN, 3.0]]];
        assert_eq!(halve(rows.view(), Overviews::Average, None), array![[[3.0]]]);
    }
}
