//! Chips: squares of pixels around places on one date, which networks of images read.

use std::sync::Arc;

use surco_core::Scl;

use crate::Cube;

/// A pixel of one of several cubes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    cube: usize,
    row: usize,
    col: usize,
}

/// Cubes, and the places in them that chips of one side are cut around.
#[derive(Clone, Debug)]
pub struct Chips {
    side_px: usize,
    /// Each with the places of the bands that are cut, in their order.
    cubes: Vec<(Arc<Cube>, Vec<usize>)>,
    places: Vec<Place>,
}

impl Chips {
    /// None yet, of this side.
    #[must_use]
    pub fn new(side_px: usize) -> Self {
        Self { side_px, cubes: Vec::new(), places: Vec::new() }
    }

    /// Adds a cube with the places of the bands that are wanted of it, and pixels of it, row and column.
    pub fn add(
        &mut self,
        cube: Arc<Cube>,
        bands: Vec<usize>,
        pixels: impl IntoIterator<Item = (usize, usize)>,
    ) {
        let number = self.cubes.len();
        self.cubes.push((cube, bands));
        self.places.extend(pixels.into_iter().map(|(row, col)| Place { cube: number, row, col }));
    }

    /// Number of places.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Rows and columns of a chip.
    #[must_use]
    pub fn side_px(&self) -> usize {
        self.side_px
    }

    /// How many of the places have chips that stick out of their cube.
    #[must_use]
    pub fn mirrored(&self) -> usize {
        let sticks_out = |place: &&Place| {
            let (rows, cols) = self.cubes[place.cube].0.size();
            let out = |at: usize, length: usize| {
                let first = self.first(at);
                first < 0 || first + self.side_px as isize > length as isize
            };
            out(place.row, rows) || out(place.col, cols)
        };
        self.places.iter().filter(sticks_out).count()
    }

    /// Row or column that the chip around a pixel begins at, maybe before the first.
    fn first(&self, at: usize) -> isize {
        at as isize - (self.side_px / 2) as isize
    }

    /// Dates of a place on which its whole chip was seen in all bands: numbers among those of its cube.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    pub fn whole_dates(&self, place: usize) -> Vec<usize> {
        let Place { cube, row, col } = self.places[place];
        let (cube, bands) = &self.cubes[cube];
        let (rows, cols) = cube.size();
        // What is mirrored lies inside too.
        let inside = |at: usize, length: usize| {
            let first = self.first(at);
            first.max(0) as usize..((first + self.side_px as isize) as usize).min(length)
        };
        let (rows, cols) = (inside(row, rows), inside(col, cols));
        let is_whole = |&date: &usize| {
            rows.clone().all(|y| {
                cols.clone().all(|x| {
                    Scl::is_clear(cube.scl[[date, y, x]])
                        && bands.iter().all(|&band| cube.reflectance[[date, band, y, x]] > 0)
                })
            })
        };
        (0..cube.days.len()).filter(is_whole).collect()
    }

    /// Reflectances of the chip around a place on a date, `[band, y, x]`, the place at row and column `side_px / 2`. What lies
    /// outside the cube is mirrored at its edge: one pixel before the first is the first again.
    ///
    /// # Panics
    /// If there is no such place or date.
    #[must_use]
    pub fn cut(&self, place: usize, date: usize) -> Vec<f32> {
        let Place { cube, row, col } = self.places[place];
        let (cube, bands) = &self.cubes[cube];
        let (rows, cols) = cube.size();
        let along = |at: usize, length: usize| -> Vec<usize> {
            let first = self.first(at);
            (first..first + self.side_px as isize).map(|i| mirrored(i, length)).collect()
        };
        let (rows, cols) = (along(row, rows), along(col, cols));
        let mut values = Vec::with_capacity(bands.len() * self.side_px * self.side_px);
        for &band in bands {
            let image = cube.image(date, band);
            for &y in &rows {
                let pixel = |&x: &usize| f32::from(image[[y, x]]) / surco_core::QUANTIFICATION;
                values.extend(cols.iter().map(pixel));
            }
        }
        values
    }
}

/// A row or column inside, for one that may lie outside.
fn mirrored(at: isize, length: usize) -> usize {
    let length = length as isize;
    let at = at.rem_euclid(2 * length);
    if at < length { at as usize } else { (2 * length - 1 - at) as usize }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};
    use surco_core::{Georef, S2_BANDS};

    use super::*;

    /// Six by six pixels of two bands on three dates: 1000 · band + 100 · row + column + 1, in 10⁻⁴.
    fn cube() -> Cube {
        let dn = |(_, b, y, x): (usize, usize, usize, usize)| (1000 * b + 100 * y + x + 1) as u16;
        Cube {
            cell: "19HCB/r00c00".parse().unwrap(),
            georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m: 10.0 },
            days: vec![10, 15, 20],
            bands: S2_BANDS[..2].iter().map(|&band| band.into()).collect(),
            band_names: vec!["B02".into(), "B03".into()],
            reflectance: Array4::from_shape_fn((3, 2, 6, 6), dn),
            scl: Array3::from_elem((3, 6, 6), 4),
            south: true,
        }
    }

    /// By hand: around row 1 and column 5, four pixels a side are rows −1, 0, 1, 2 and columns 3, 4, 5, 6, which are
    /// rows 0, 0, 1, 2 and columns 3, 4, 5, 5.
    #[test]
    fn a_chip_at_an_edge_is_mirrored_there() {
        let mut chips = Chips::new(4);
        chips.add(Arc::new(cube()), vec![1, 0], [(3, 3), (1, 5)]);
        assert_eq!((chips.len(), chips.mirrored()), (2, 1));
        let cut: Vec<u16> =
            chips.cut(1, 0).iter().map(|value| (value * 10_000.0).round() as u16).collect();
        let first = [4, 5, 6, 6, 4, 5, 6, 6, 104, 105, 106, 106, 204, 205, 206, 206];
        let want: Vec<u16> = first.iter().map(|v| v + 1000).chain(first).collect();
        assert_eq!(cut, want);
    }

    #[test]
    fn a_date_with_a_pixel_of_no_data_is_not_taken() {
        let mut holed = cube();
        holed.reflectance[[1, 0, 1, 4]] = 0;
        holed.scl[[2, 2, 3]] = 9; // cloud
        let mut chips = Chips::new(4);
        // Columns 1 to 4 and rows 1 to 4 hold both, columns 0 to 3 the cloud alone, rows 3 to 5 none.
        chips.add(Arc::new(holed), vec![0, 1], [(3, 3), (3, 2), (5, 3)]);
        let dates: Vec<Vec<usize>> = (0..3).map(|place| chips.whole_dates(place)).collect();
        assert_eq!(dates, [vec![0], vec![0, 1], vec![0, 1, 2]]);
        let mut other = Chips::new(4);
        let mut holed = cube();
        holed.reflectance[[1, 0, 1, 4]] = 0;
        other.add(Arc::new(holed), vec![1], [(3, 3)]);
        assert_eq!(other.whole_dates(0), [0, 1, 2], "a hole in a band that is not cut");
    }

    #[test]
    fn a_cube_smaller_than_a_chip_is_mirrored_again_and_again() {
        let of = |i| mirrored(i, 2);
        assert_eq!((-5..7).map(of).collect::<Vec<_>>(), [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
    }
}
