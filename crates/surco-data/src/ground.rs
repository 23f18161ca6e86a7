//! The ground that pixels share.
//!
//! Most neighbours in a field show the same. A block of 4 × 4 pixels that all look like their mean is one ground; if they do
//! not, each quarter of 2 × 2 pixels is asked again; what is left is read pixel by pixel. So an encoder works where the image
//! changes, and no edge is blurred.
//!
//! # Source
//! Finkel and Bentley 1974, *Quad trees*; Horowitz and Pavlidis 1976, *Picture segmentation by a tree traversal algorithm*.

use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;
use surco_core::Scl;

use crate::{Cube, Sample};

/// Sides of blocks in pixels, the larger first.
const SIDES: [usize; 2] = [4, 2];

/// Reflectance by which a pixel may differ from the mean of its block, as a root mean square over dates and bands: about
/// twice the noise of one observation.
const ALIKE: f32 = 0.02;

/// Pixels of at most this side are read with their neighbours, in m: coarser ones hold whole fields.
const MOST_PIXEL_M: f64 = 10.0;

/// The ground of a pixel: nothing where it stands alone.
type Ground = Option<Arc<Sample>>;

/// A pixel and the ground it shares.
type Shared = ((usize, usize), Arc<Sample>);

impl Cube {
    /// The mean series of the block of pixels that a pixel looks like, if it looks like one.
    pub(crate) fn ground(&self, row: usize, col: usize) -> Ground {
        if self.georef.px_m > MOST_PIXEL_M {
            return None;
        }
        SIDES.iter().find_map(|side| self.alike(&self.block(row, col, *side)))
    }

    /// The ground of every pixel, `[y, x]`.
    pub(crate) fn grounds(&self) -> Array2<Ground> {
        let (rows, cols) = self.size();
        let mut grounds = Array2::from_elem((rows, cols), None);
        if self.georef.px_m > MOST_PIXEL_M {
            return grounds;
        }
        let corners: Vec<(usize, usize)> = (0..rows)
            .step_by(SIDES[0])
            .flat_map(|row| (0..cols).step_by(SIDES[0]).map(move |col| (row, col)))
            .collect();
        let found: Vec<Vec<Shared>> =
            corners.par_iter().map(|&corner| self.parted(corner, &SIDES)).collect();
        for (at, ground) in found.into_iter().flatten() {
            grounds[at] = Some(ground);
        }
        grounds
    }

    /// Pixels of a block that share their ground, with it.
    fn parted(&self, (row, col): (usize, usize), sides: &[usize]) -> Vec<Shared> {
        let Some((&side, smaller)) = sides.split_first() else { return Vec::new() };
        let pixels = self.block(row, col, side);
        if let Some(ground) = self.alike(&pixels) {
            return pixels.into_iter().map(|at| (at, ground.clone())).collect();
        }
        let half = side / 2;
        let quarters = [(0, 0), (0, half), (half, 0), (half, half)];
        quarters
            .into_iter()
            .flat_map(|(down, right)| self.parted((row + down, col + right), smaller))
            .collect()
    }

    /// Pixels of the block of this side that a pixel lies in.
    fn block(&self, row: usize, col: usize, side: usize) -> Vec<(usize, usize)> {
        let (rows, cols) = self.size();
        let (top, left) = (row / side * side, col / side * side);
        (top..(top + side).min(rows))
            .flat_map(|y| (left..(left + side).min(cols)).map(move |x| (y, x)))
            .collect()
    }

    /// The mean of pixels that all look like it.
    fn alike(&self, pixels: &[(usize, usize)]) -> Ground {
        if pixels.len() < 2 {
            return None;
        }
        let mean = self.mean_of(pixels);
        pixels.iter().all(|&at| self.distance(at, &mean) <= ALIKE).then(|| Arc::new(mean))
    }

    /// Root mean square of what a pixel differs from a series by, over the dates and bands seen of it; 0 if nothing was.
    fn distance(&self, (row, col): (usize, usize), mean: &Sample) -> f32 {
        let bands = self.bands.len();
        let (mut sum, mut count) = (0.0, 0.0_f32);
        let dates = self.days.iter().enumerate();
        let seen = dates.filter_map(|(t, day)| Some((t, mean.days.binary_search(day).ok()?)));
        for (t, date) in seen.filter(|(t, _)| Scl::is_clear(self.scl[[*t, row, col]])) {
            for (band, mean) in mean.date(date, bands).iter().enumerate() {
                let dn = self.reflectance[[t, band, row, col]];
                if dn > 0 {
                    let off = f32::from(dn) / surco_core::QUANTIFICATION - mean;
                    sum += off * off;
                    count += 1.0;
                }
            }
        }
        (sum / count.max(1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, Array4};
    use surco_core::{Georef, S2_BANDS};

    /// 6 × 6 pixels on two dates: dark west of column 3, bright east of it. Column 3 cuts the first block of four in two.
    fn cube(px_m: f64) -> Cube {
        let reflectance =
            Array4::from_shape_fn(
                (2, 1, 6, 6),
                |(t, _, _, x)| {
                    if x < 3 { 500 + 10 * t as u16 } else { 3000 }
                },
            );
        Cube {
            cell: "19HCB/r00c00".parse().unwrap(),
            georef: Georef { epsg: 32_719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m },
            days: vec![19_500, 19_540],
            bands: vec![S2_BANDS[2].into()],
            band_names: vec!["B04".into()],
            reflectance,
            scl: Array3::from_elem((2, 6, 6), 4),
            south: true,
        }
    }

    #[test]
    fn blocks_are_parted_where_the_image_changes() {
        let cube = cube(10.0);
        let grounds = cube.grounds();
        let of = |row: usize, col: usize| grounds[[row, col]].as_ref();
        // The first block of four is parted; its western quarter is one ground, the eastern one is cut by the edge.
        assert_eq!(of(0, 0).unwrap().values, [0.05, 0.051]);
        assert!(Arc::ptr_eq(of(0, 0).unwrap(), of(1, 1).unwrap()));
        assert!(!Arc::ptr_eq(of(0, 0).unwrap(), of(2, 0).unwrap()), "each quarter is its own");
        assert!((0..6).all(|row| of(row, 2).is_none() && of(row, 3).is_none()));
        // The blocks at the border are smaller, and all alike.
        assert!(Arc::ptr_eq(of(0, 4).unwrap(), of(3, 5).unwrap()));
        assert_eq!(of(0, 4).unwrap().values, [0.3, 0.3]);
        assert!(cube.samples().iter().enumerate().all(|(i, s)| {
            let (row, col) = (i / 6, i % 6);
            s.ground == cube.sample(row, col).ground && s.ground.as_ref() == of(row, col)
        }));
    }

    /// One cloud over one pixel: it looks like its block on the other date, and the mean trusts the date by three quarters.
    #[test]
    fn a_cloud_parts_nothing() {
        let mut cube = cube(10.0);
        cube.scl[[0, 0, 0]] = 9;
        let ground = cube.ground(0, 0).unwrap();
        assert_eq!((ground.values[0], ground.weights[0], ground.weights[1]), (0.05, 0.75, 1.0));
    }

    #[test]
    fn coarse_pixels_stand_alone() {
        let cube = cube(30.0);
        assert!(cube.ground(0, 0).is_none() && cube.grounds().iter().all(Option::is_none));
    }
}
