//! Single images of known sensors, cut into patches.

use ndarray::{Array2, Axis};
use surco_data::{Sample, SpectralBand};
use surco_kernels::Segments;

use super::{KIND, OfaConfig};
use crate::systems::{SystemError, named, same_band};

/// Images as `OFA-Net` reads them: the patches seen whole, image by image, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct OfaBatch {
    /// Of each sensor, its patches, `[patches, v]`, normalised.
    pub values: Vec<Array2<f32>>,
    /// The sensor of each patch.
    pub sensors: Vec<usize>,
    /// Row and column of each patch in its image, in patches.
    pub places: Vec<[usize; 2]>,
    /// Patches of each image.
    pub lengths: Vec<usize>,
    /// The sample of each image.
    pub samples: Vec<usize>,
}

impl OfaBatch {
    /// Every date of every sample within a window of days, an image of each known sensor that saw it.
    ///
    /// # Errors
    /// [`SystemError`]: no sensor that it knows has its bands among these, a window cannot be cut into patches, or a
    /// sample has no patch that was seen whole.
    pub fn new(
        samples: &[&Sample],
        bands: &[SpectralBand],
        window: (i32, i32),
        config: &OfaConfig,
    ) -> Result<Self, SystemError> {
        let known = known(bands, config)?;
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); config.sensors.len()];
        let (sensors, places, lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Self { values: Vec::new(), sensors, places, lengths, samples: Vec::new() };
        for (series, sample) in samples.iter().enumerate() {
            check_size(series, sample.size_px, config.patch_px)?;
            let before = batch.places.len();
            for (date, day) in sample.days.iter().enumerate() {
                if !(window.0..window.1).contains(day) {
                    continue;
                }
                for sensor in &known {
                    let first = batch.places.len();
                    let image = Image { sample, date, bands: bands.len(), sensor };
                    batch.add(&image, config.patch_px, &mut rows[sensor.number]);
                    if batch.places.len() > first {
                        batch.lengths.push(batch.places.len() - first);
                        batch.samples.push(series);
                    }
                }
            }
            if batch.places.len() == before {
                let needed = "a whole patch in all bands of a sensor";
                return Err(SystemError::NoDate { system: KIND, series, needed });
            }
        }
        batch.values = rows
            .into_iter()
            .enumerate()
            .map(|(sensor, values)| {
                let columns = config.values(sensor);
                let shape = (values.len() / columns, columns);
                Array2::from_shape_vec(shape, values).expect("patches are added whole")
            })
            .collect();
        Ok(batch)
    }

    fn add(&mut self, image: &Image<'_>, patch_px: usize, to: &mut Vec<f32>) {
        let [rows, columns] = image.sample.size_px.map(|px| px / patch_px);
        for place in (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column])) {
            let before = to.len();
            if image.read(place, patch_px, to) {
                self.sensors.push(image.sensor.number);
                self.places.push(place);
            } else {
                to.truncate(before);
            }
        }
    }

    /// Number of patches.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.places.len()
    }

    /// The patches of each image.
    #[must_use]
    pub fn segments(&self) -> Segments {
        Segments::of_lengths(self.lengths.iter().copied())
    }

    /// Patches of a sensor among all.
    #[must_use]
    pub fn tokens_of(&self, sensor: usize) -> Vec<usize> {
        (0..self.tokens()).filter(|&token| self.sensors[token] == sensor).collect()
    }

    /// The row of each patch if the patches of all sensors stood sensor by sensor.
    pub(super) fn rows_by_sensor(&self) -> Vec<usize> {
        let mut next = Vec::with_capacity(self.values.len());
        let mut first = 0;
        for values in &self.values {
            next.push(first);
            first += values.nrows();
        }
        let place = |&sensor: &usize| {
            next[sensor] += 1;
            next[sensor] - 1
        };
        self.sensors.iter().map(place).collect()
    }

    /// The kept patches alone; an image of which none is kept has none.
    pub(super) fn only(&self, kept: &[bool]) -> Self {
        assert_eq!(kept.len(), self.tokens(), "one is said of each patch");
        let values = self.values.iter().enumerate().map(|(sensor, values)| {
            let rows: Vec<usize> = self
                .tokens_of(sensor)
                .into_iter()
                .enumerate()
                .filter(|&(_, token)| kept[token])
                .map(|(row, _)| row)
                .collect();
            values.select(Axis(0), &rows)
        });
        fn pick<T: Copy>(all: &[T], kept: &[bool]) -> Vec<T> {
            all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| *value).collect()
        }
        let mut token = 0;
        let lengths = self.lengths.iter().map(|&length| {
            token += length;
            kept[token - length..token].iter().filter(|kept| **kept).count()
        });
        Self {
            values: values.collect(),
            sensors: pick(&self.sensors, kept),
            places: pick(&self.places, kept),
            lengths: lengths.collect(),
            samples: self.samples.clone(),
        }
    }
}

/// A sensor whose bands are among those of a series.
struct Known {
    number: usize,
    /// Places of its bands.
    places: Vec<usize>,
    /// Their mean and deviation.
    scale: Vec<(f32, f32)>,
}

/// The sensors whose bands are all among these.
fn known(bands: &[SpectralBand], config: &OfaConfig) -> Result<Vec<Known>, SystemError> {
    let of = |(number, sensor): (usize, &super::OfaSensor)| {
        let own = sensor.normalisation.bands();
        let places: Option<Vec<usize>> = own.iter().map(|band| same_band(band, bands)).collect();
        Some(Known { number, places: places?, scale: sensor.normalisation.at(own) })
    };
    let known: Vec<Known> = config.sensors.iter().enumerate().filter_map(of).collect();
    if known.is_empty() {
        let names: Vec<String> = config
            .sensors
            .iter()
            .map(|s| format!("{} ({})", s.name, named(s.normalisation.bands())))
            .collect();
        let missing = format!("all bands of one of its sensors, {}", names.join("; "));
        return Err(SystemError::Bands { system: KIND, missing, found: named(bands) });
    }
    Ok(known)
}

fn check_size(series: usize, [rows, columns]: [usize; 2], px: usize) -> Result<(), SystemError> {
    if rows > 0 && columns > 0 && rows.is_multiple_of(px) && columns.is_multiple_of(px) {
        return Ok(());
    }
    let needed = format!("patches of {px} × {px} and windows that can be cut into them");
    Err(SystemError::Neighbours { system: KIND, series, rows, columns, needed })
}

/// One sensor's image of one date.
struct Image<'a> {
    sample: &'a Sample,
    date: usize,
    bands: usize,
    sensor: &'a Known,
}

impl Image<'_> {
    /// Appends the values of a patch; says whether it was seen whole.
    fn read(&self, [row, column]: [usize; 2], px: usize, to: &mut Vec<f32>) -> bool {
        let (pixels, across) = (self.sample.pixels(), self.sample.size_px[1]);
        for (place, (mean, deviation)) in self.sensor.places.iter().zip(&self.sensor.scale) {
            let plane = (self.date * self.bands + place) * pixels;
            for y in row * px..(row + 1) * px {
                for x in column * px..(column + 1) * px {
                    let at = plane + y * across + x;
                    if self.sample.weight(at) == 0.0 {
                        return false;
                    }
                    to.push((self.sample.values[at] - mean) / deviation);
                }
            }
        }
        true
    }
}
