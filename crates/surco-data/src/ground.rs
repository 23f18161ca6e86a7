//! The ground that pixels share.
//!
//! Most pixels of a field show the same. In each tile of 16 × 16 pixels the first pixel is taken and those that look like it;
//! whatever looks like the mean of these is one ground, and so on with what is left of the tile. A pixel that stands alone in
//! the end joins the ground that it looks like most, if it looks like one; else it is a ground itself. So an encoder works once
//! for a field, or a part of it, and no edge is blurred.
//!
//! To look alike is to differ little over all dates, and not much more over any few of them: crops of one colour for most of a
//! year are told apart by the weeks in which they are not.
//!
//! # Source
//! Hartigan 1975, *Clustering algorithms*, chapter 3, for leaders; Achanta et al. 2012, *SLIC superpixels compared to state-of-the-art
//! superpixel methods* (IEEE TPAMI 34:2274), for what working on them is worth.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;
use surco_core::Scl;

use crate::{Cube, Sample};

/// Side of a tile in pixels; it divides the side of the store's chunks.
const TILE: usize = 16;

/// Reflectance by which a pixel of a ground may differ from its mean, as a root mean square over dates and bands: about
/// twice the noise of one observation.
const ALIKE: f32 = 0.02;

/// The same for two pixels, both with their noise, and for a pixel that stood alone.
const NEAR: f32 = 0.03;

/// The same over the dates of any one stretch.
const ALIKE_AT_TIMES: f32 = 0.03;

/// Dates of a stretch.
const STRETCH: usize = 6;

/// Share of its pixels that must be seen for a ground to have a date: the rim of a cloud is no good witness.
const SEEN_SHARE: f32 = 0.5;

/// Pixels of at most this side are read with their neighbours, in m: coarser ones hold whole fields.
const MOST_PIXEL_M: f64 = 10.0;

/// Values compared at a time.
const LANES: usize = 8;

/// Row and column.
type Pixel = (usize, usize);

/// What a cube shows, each ground once.
#[derive(Clone, Debug)]
pub struct Grounds {
    /// The mean series of the pixels of each ground.
    pub samples: Vec<Sample>,
    /// The ground of each pixel, `[y, x]`; `None` where it was never seen.
    pub of: Array2<Option<usize>>,
}

impl Cube {
    /// The grounds of all pixels.
    #[must_use]
    pub fn grounds(&self) -> Grounds {
        let (rows, cols) = self.size();
        let of_row = |row| (0..cols).step_by(TILE).map(move |col| (row, col));
        let corners: Vec<Pixel> = (0..rows).step_by(TILE).flat_map(of_row).collect();
        let found: Vec<(Vec<Pixel>, Sample)> =
            corners.into_par_iter().flat_map_iter(|corner| self.tile(corner)).collect();
        let mut of = Array2::from_elem((rows, cols), None);
        let mut samples = Vec::with_capacity(found.len());
        for (pixels, sample) in found {
            pixels.into_iter().for_each(|at| of[at] = Some(samples.len()));
            samples.push(sample);
        }
        Grounds { samples, of }
    }

    /// The series of some pixels, each with its ground.
    #[must_use]
    pub fn samples_of(&self, pixels: &[Pixel]) -> Vec<Sample> {
        let mut corners: Vec<Pixel> = pixels.iter().map(|&at| corner_of(at)).collect();
        corners.sort_unstable();
        corners.dedup();
        let with_ground = |corner| {
            self.tile(corner).into_iter().flat_map(|(pixels, sample)| {
                let ground = Arc::new(sample);
                pixels.into_iter().map(move |at| (at, ground.clone()))
            })
        };
        let grounds: HashMap<Pixel, Arc<Sample>> =
            corners.into_par_iter().flat_map_iter(with_ground).collect();
        let sample = |&(row, col): &Pixel| Sample {
            ground: grounds.get(&(row, col)).cloned(),
            ..self.sample(row, col)
        };
        pixels.par_iter().map(sample).collect()
    }

    /// The grounds of a tile: their pixels and mean series.
    fn tile(&self, (top, left): Pixel) -> Vec<(Vec<Pixel>, Sample)> {
        let (rows, cols) = self.size();
        let of_row = |row| (left..(left + TILE).min(cols)).map(move |col| (row, col));
        let pixels = (top..(top + TILE).min(rows)).flat_map(of_row);
        let seen: Vec<(Pixel, Series)> =
            pixels.map(|at| (at, Series::of(self, at))).filter(|(_, s)| s.count > 0.0).collect();
        let groups = if self.georef.px_m > MOST_PIXEL_M {
            (0..seen.len()).map(Group::alone).collect()
        } else {
            let series: Vec<&Series> = seen.iter().map(|(_, series)| series).collect();
            gathered(&series)
        };
        let places = |of: &[usize]| of.iter().map(|&i| seen[i].0).collect::<Vec<Pixel>>();
        let ground = |Group { alike, joined }: Group| {
            let mut pixels = places(&alike);
            let sample = match *pixels {
                [(row, col)] => self.sample(row, col),
                _ => well_seen(self.mean_of(&pixels), self.bands.len()),
            };
            pixels.extend(places(&joined));
            (pixels, sample)
        };
        groups.into_iter().map(ground).collect()
    }
}

fn corner_of((row, col): Pixel) -> Pixel {
    (row / TILE * TILE, col / TILE * TILE)
}

/// A mean on the dates on which enough of its pixels were seen; on all of them if there is none.
fn well_seen(mean: Sample, bands: usize) -> Sample {
    let enough = |date: &usize| {
        let of_bands = &mean.weights[date * bands..(date + 1) * bands];
        of_bands.iter().any(|&share| share >= SEEN_SHARE)
    };
    let dates: Vec<usize> = (0..mean.len()).filter(enough).collect();
    if dates.is_empty() { mean } else { mean.at_dates(&dates, bands) }
}

/// Series of one ground, by their places.
struct Group {
    /// Those that its mean is over.
    alike: Vec<usize>,
    /// Those that stood alone and look like it.
    joined: Vec<usize>,
}

impl Group {
    fn alone(series: usize) -> Self {
        Self { alike: vec![series], joined: Vec::new() }
    }
}

/// Series gathered by what they look like.
fn gathered(series: &[&Series]) -> Vec<Group> {
    let mut left: Vec<usize> = (0..series.len()).collect();
    let (mut groups, mut centres, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(&leader) = left.first() {
        let near = left[1..].iter().filter(|&&i| series[i].is_within(NEAR, series[leader]));
        let centre = Series::mean(series[leader], near.map(|&i| series[i]));
        let (alike, rest): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|&&i| series[i].is_within(ALIKE, &centre));
        left = rest;
        match alike.len() {
            // A leader that does not look like the mean of those near it leads nobody.
            0 => alone.push(left.remove(0)),
            1 => alone.extend(alike),
            _ => {
                groups.push(Group { alike, joined: Vec::new() });
                centres.push(centre);
            }
        }
    }
    for i in alone {
        let off = centres.iter().enumerate().filter_map(|(group, centre)| {
            Some((series[i].distance(centre, f32::INFINITY)?, group))
        });
        match off.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((off, group)) if off <= NEAR => groups[group].joined.push(i),
            _ => groups.push(Group::alone(i)),
        }
    }
    groups
}

/// Reflectance of a pixel or a mean on all dates of a cube.
struct Series {
    /// `[stretch, date, band]`, 0 where nothing was seen; each stretch filled up to a multiple of [`LANES`].
    values: Vec<f32>,
    /// As `values`: 1 where something was seen, else 0.
    seen: Vec<f32>,
    /// How much was seen.
    count: f32,
    /// Values of a stretch.
    stretch: usize,
}

impl Series {
    fn of(cube: &Cube, (row, col): Pixel) -> Self {
        let bands = cube.bands.len();
        let stretch = (STRETCH * bands).next_multiple_of(LANES);
        let length = cube.days.len().div_ceil(STRETCH) * stretch;
        let (mut values, mut seen) = (vec![0.0; length], vec![0.0; length]);
        for t in (0..cube.days.len()).filter(|&t| Scl::is_clear(cube.scl[[t, row, col]])) {
            let begin = t / STRETCH * stretch + t % STRETCH * bands;
            for band in 0..bands {
                let dn = cube.reflectance[[t, band, row, col]];
                if dn > 0 {
                    values[begin + band] = f32::from(dn) / surco_core::QUANTIFICATION;
                    seen[begin + band] = 1.0;
                }
            }
        }
        let count = seen.iter().sum();
        Self { values, seen, count, stretch }
    }

    /// The mean of what was seen of a series and others.
    fn mean<'a>(first: &Self, others: impl Iterator<Item = &'a Self>) -> Self {
        let (mut values, mut seen) = (first.values.clone(), first.seen.clone());
        for other in others {
            values.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum += value);
            seen.iter_mut().zip(&other.seen).for_each(|(sum, seen)| *sum += seen);
        }
        for (value, seen) in values.iter_mut().zip(&mut seen) {
            *value /= seen.max(1.0);
            *seen = seen.min(1.0);
        }
        let count = seen.iter().sum();
        Self { values, seen, count, stretch: first.stretch }
    }

    /// Whether it differs from another by at most so much, and over no stretch by much more.
    fn is_within(&self, most: f32, other: &Self) -> bool {
        let squares = most * most * self.count.min(other.count);
        self.distance(other, squares).is_some_and(|off| off <= most)
    }

    /// Root mean square of what it differs from another by, over what was seen of both. `None` if nothing was, if a stretch
    /// is too far off, or as soon as the sum of squares is above `most`.
    fn distance(&self, other: &Self, most: f32) -> Option<f32> {
        let (mut sum, mut count) = (0.0_f32, 0.0_f32);
        for begin in (0..self.values.len()).step_by(self.stretch) {
            let at = begin..begin + self.stretch;
            let (squares, both) = off_over(
                (&self.values[at.clone()], &self.seen[at.clone()]),
                (&other.values[at.clone()], &other.seen[at]),
            );
            sum += squares;
            count += both;
            if sum > most || squares > ALIKE_AT_TIMES * ALIKE_AT_TIMES * both {
                return None;
            }
        }
        (count > 0.0).then(|| (sum / count).sqrt())
    }
}

/// The sum of squares that two stretches of values differ by where both were seen, and how much was.
fn off_over((a, a_seen): (&[f32], &[f32]), (b, b_seen): (&[f32], &[f32])) -> (f32, f32) {
    let (mut squares, mut both) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let values = a.chunks_exact(LANES).zip(b.chunks_exact(LANES));
    let seen = a_seen.chunks_exact(LANES).zip(b_seen.chunks_exact(LANES));
    for ((a, b), (a_seen, b_seen)) in values.zip(seen) {
        for lane in 0..LANES {
            let (seen, off) = (a_seen[lane] * b_seen[lane], a[lane] - b[lane]);
            squares[lane] += seen * off * off;
            both[lane] += seen;
        }
    }
    (squares.iter().sum(), both.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, Array4};
    use surco_core::{Georef, S2_BANDS};

    /// 18 × 6 pixels on two dates, which reach into a second tile: dark west of column 3, bright east of it.
    fn cube(px_m: f64) -> Cube {
        let dn = |(t, _, _, x)| if x < 3 { 500 + 10 * t as u16 } else { 3000 };
        Cube {
            cell: "19HCB/r00c00".parse().unwrap(),
            georef: Georef { epsg: 32_719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m },
            days: vec![19_500, 19_540],
            bands: vec![S2_BANDS[2].into()],
            band_names: vec!["B04".into()],
            reflectance: Array4::from_shape_fn((2, 1, 18, 6), dn),
            scl: Array3::from_elem((2, 18, 6), 4),
            south: true,
        }
    }

    #[test]
    fn grounds_are_parted_where_the_image_changes_and_where_tiles_meet() {
        let Grounds { samples, of } = cube(10.0).grounds();
        let values: Vec<&[f32]> = samples.iter().map(|s| s.values.as_slice()).collect();
        assert_eq!(values, [[0.05, 0.051], [0.3, 0.3], [0.05, 0.051], [0.3, 0.3]]);
        let want = |(row, col)| Some(2 * usize::from(row >= 16) + usize::from(col >= 3));
        assert!(of.indexed_iter().all(|(at, &ground)| ground == want(at)));
    }

    /// Too far from the mean of the others and itself to be of them, near enough to join.
    #[test]
    fn a_pixel_that_stands_alone_joins_what_it_looks_like_and_does_not_change_it() {
        let mut cube = cube(10.0);
        cube.reflectance[[0, 0, 4, 4]] = 3389; // 0.0389 on one of two dates, 0.0275 over both
        let grounds = cube.grounds();
        assert_eq!((grounds.of[[4, 4]], grounds.samples.len()), (Some(1), 4));
        assert_eq!(grounds.samples[1].values, [0.3, 0.3]);
        cube.reflectance[[0, 0, 4, 4]] = 3600;
        let grounds = cube.grounds();
        let alone = grounds.of[[4, 4]].unwrap();
        assert_eq!(grounds.samples[alone].values, [0.36, 0.3]);
        assert_eq!(grounds.of.iter().filter(|&&of| of == Some(alone)).count(), 1);
    }

    /// One cloud over one pixel: it looks like the others on the other date, and the mean trusts the date by the share seen.
    #[test]
    fn a_cloud_parts_nothing_and_what_was_never_seen_has_no_ground() {
        let mut cube = cube(10.0);
        cube.scl[[0, 0, 0]] = 9;
        let grounds = cube.grounds();
        assert_eq!((grounds.of[[0, 0]], grounds.samples.len()), (Some(0), 4));
        let seen = &grounds.samples[0];
        assert_eq!((seen.values[0], seen.weights[0], seen.weights[1]), (0.05, 47.0 / 48.0, 1.0));
        cube.scl[[1, 0, 0]] = 9;
        assert_eq!(cube.grounds().of[[0, 0]], None);
        assert!(cube.samples_of(&[(0, 0)])[0].ground.is_none());
    }

    #[test]
    fn some_pixels_have_the_grounds_that_all_have() {
        let cube = cube(10.0);
        let (all, pixels) = (cube.grounds(), [(17, 0), (0, 5), (16, 1)]);
        for (sample, at) in cube.samples_of(&pixels).iter().zip(pixels) {
            assert_eq!(sample.values, cube.sample(at.0, at.1).values, "its own values");
            assert_eq!(sample.ground.as_deref(), Some(&all.samples[all.of[at].unwrap()]));
        }
    }

    #[test]
    fn coarse_pixels_stand_alone() {
        let cube = cube(30.0);
        let Grounds { samples, of } = cube.grounds();
        assert_eq!(samples.len(), 18 * 6);
        assert!(
            of.indexed_iter()
                .all(|((row, col), ground)| { samples[ground.unwrap()] == cube.sample(row, col) })
        );
    }
}
