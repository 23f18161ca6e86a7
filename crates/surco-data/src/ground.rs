//! The ground that pixels share.
//!
//! Most neighbours in a field show the same. A block of 4 × 4 pixels that all look like their mean is one ground. A pixel
//! of another block has the ground of the block beside it that it looks like most, if it looks like one; of what is left,
//! quarters of 2 × 2 pixels that look alike are one, and the rest is read pixel by pixel. So an encoder works where the image
//! changes, and no edge is blurred.
//!
//! # Source
//! Finkel and Bentley 1974, *Quad trees*; Horowitz and Pavlidis 1976, *Picture segmentation by a tree traversal algorithm*.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;
use surco_core::Scl;

use crate::{Cube, Sample};

/// Sides of blocks and of their quarters in pixels.
const BLOCK: usize = 4;
const QUARTER: usize = 2;

/// Reflectance by which a pixel may differ from the mean of its block, as a root mean square over dates and bands: about
/// twice the noise of one observation.
const ALIKE: f32 = 0.02;

/// The same for a pixel beside a block, whose own block is cut by an edge: noise and a part of what lies across the edge.
const ALIKE_BESIDE: f32 = 0.03;

/// Pixels of at most this side are read with their neighbours, in m: coarser ones hold whole fields.
const MOST_PIXEL_M: f64 = 10.0;

/// The ground of a pixel: nothing where it stands alone.
type Ground = Option<Arc<Sample>>;

/// Row and column.
type Pixel = (usize, usize);

impl Cube {
    /// The mean series of the pixels that a pixel looks like, if it looks like any.
    pub(crate) fn ground(&self, row: usize, col: usize) -> Ground {
        if self.georef.px_m > MOST_PIXEL_M {
            return None;
        }
        let quarter = (row / QUARTER * QUARTER, col / QUARTER * QUARTER);
        let found = self.quarter(quarter, |at| self.alike(&self.block(at, BLOCK)));
        found.into_iter().find_map(|(at, ground)| ground.filter(|_| at == (row, col)))
    }

    /// The ground of every pixel, `[y, x]`.
    pub(crate) fn grounds(&self) -> Array2<Ground> {
        let mut grounds = Array2::from_elem(self.size(), None);
        if self.georef.px_m > MOST_PIXEL_M {
            return grounds;
        }
        let alike = |corner| (corner, self.alike(&self.block(corner, BLOCK)));
        let blocks: HashMap<Pixel, Ground> =
            self.corners(BLOCK).into_par_iter().map(alike).collect();
        let block = |(row, col)| blocks[&(row / BLOCK * BLOCK, col / BLOCK * BLOCK)].clone();
        let quarters = self.corners(QUARTER).into_par_iter();
        let found: Vec<(Pixel, Ground)> =
            quarters.flat_map_iter(|at| self.quarter(at, block)).collect();
        found.into_iter().for_each(|(at, ground)| grounds[at] = ground);
        grounds
    }

    /// The upper left pixels of all blocks of this side.
    fn corners(&self, side: usize) -> Vec<Pixel> {
        let (rows, cols) = self.size();
        let of_row = |row| (0..cols).step_by(side).map(move |col| (row, col));
        (0..rows).step_by(side).flat_map(of_row).collect()
    }

    /// The pixels of a quarter with the ground of each; `block` gives that of the block that a pixel lies in.
    fn quarter(&self, corner: Pixel, block: impl Fn(Pixel) -> Ground) -> Vec<(Pixel, Ground)> {
        let pixels = self.block(corner, QUARTER);
        if let Some(own) = block(corner) {
            return pixels.into_iter().map(|at| (at, Some(own.clone()))).collect();
        }
        let (rows, cols) = self.size();
        let (down, right) = (beyond(corner.0, rows), beyond(corner.1, cols));
        let beside: Vec<Arc<Sample>> =
            [down.map(|row| (row, corner.1)), right.map(|col| (corner.0, col)), down.zip(right)]
                .into_iter()
                .flatten()
                .filter_map(block)
                .collect();
        let most_alike = |at| {
            let off = beside.iter().map(|ground| (self.distance(at, ground), ground));
            let most = off.min_by(|a, b| a.0.total_cmp(&b.0))?;
            (most.0 <= ALIKE_BESIDE).then(|| most.1.clone())
        };
        let found: Vec<Ground> = pixels.iter().map(|&at| most_alike(at)).collect();
        let left = found.iter().all(Option::is_none).then(|| self.alike(&pixels)).flatten();
        pixels
            .into_iter()
            .zip(found)
            .map(|(at, ground)| (at, ground.or_else(|| left.clone())))
            .collect()
    }

    /// Pixels of the block of this side that a pixel lies in.
    fn block(&self, (row, col): Pixel, side: usize) -> Vec<Pixel> {
        let (rows, cols) = self.size();
        let (top, left) = (row / side * side, col / side * side);
        (top..(top + side).min(rows))
            .flat_map(|y| (left..(left + side).min(cols)).map(move |x| (y, x)))
            .collect()
    }

    /// The mean of pixels that all look like it.
    fn alike(&self, pixels: &[Pixel]) -> Ground {
        if pixels.len() < 2 {
            return None;
        }
        let mean = self.mean_of(pixels);
        pixels.iter().all(|&at| self.distance(at, &mean) <= ALIKE).then(|| Arc::new(mean))
    }

    /// Root mean square of what a pixel differs from a series by, over the dates and bands seen of it; 0 if nothing was.
    fn distance(&self, (row, col): Pixel, mean: &Sample) -> f32 {
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

/// The row or column just outside the block that a quarter lies in, on the quarter's side, if there is one.
fn beyond(corner: usize, end: usize) -> Option<usize> {
    let before = corner % BLOCK < QUARTER;
    if before { corner.checked_sub(1) } else { Some(corner + QUARTER).filter(|&at| at < end) }
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
        // The first block of four is parted; its western quarters are a ground each, and what is bright of the eastern ones
        // looks like the block beside.
        assert_eq!(of(0, 0).unwrap().values, [0.05, 0.051]);
        assert!(Arc::ptr_eq(of(0, 0).unwrap(), of(1, 1).unwrap()));
        assert!(!Arc::ptr_eq(of(0, 0).unwrap(), of(2, 0).unwrap()), "each quarter is its own");
        assert!((0..4).all(|row| Arc::ptr_eq(of(row, 3).unwrap(), of(row, 4).unwrap())));
        assert!((0..6).all(|row| of(row, 2).is_none()), "a dark pixel of a bright quarter");
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
