//! One place: what a pixel, a field or a small window showed on the dates it was seen.

use std::sync::Arc;

use surco_core::Band;

/// What a channel measures.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BandKind {
    /// Reflected light.
    #[default]
    Optical,
    /// Radar that sends and receives one polarisation, VV or HH, in dB.
    RadarCo,
    /// Radar that receives the other polarisation, VH or HV, in dB.
    RadarCross,
    /// Emitted heat, in K.
    Thermal,
    /// Anything else.
    Other,
}

/// A channel as a model sees it: by what it measures, not by name.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectralBand {
    /// Centre wavelength in nm.
    pub centre_nm: f32,
    /// Full width at half maximum in nm.
    pub width_nm: f32,
    /// Ground sampling distance in m.
    pub gsd_m: f32,
    /// What it measures.
    pub kind: BandKind,
}

impl SpectralBand {
    /// A channel of reflected light that samples the ground every 10 m.
    #[must_use]
    pub const fn optical(centre_nm: f32, width_nm: f32) -> Self {
        Self { centre_nm, width_nm, gsd_m: 10.0, kind: BandKind::Optical }
    }
}

impl From<Band> for SpectralBand {
    fn from(band: Band) -> Self {
        Self { gsd_m: band.gsd_m as f32, ..Self::optical(band.centre_nm, band.width_nm) }
    }
}

/// What does not change from date to date at a place, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// Longitude and latitude in degrees.
    pub lonlat: Option<[f64; 2]>,
    /// Form of the ground.
    pub relief: Option<Relief>,
    /// Mean temperature in °C and rain in mm of the window's last twelve months, the oldest first.
    pub weather: Option<Box<[[f32; 2]; 12]>>,
}

/// Form of the ground.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relief {
    /// Height above the sea in m.
    pub elevation_m: f32,
    /// Steepness in degrees.
    pub slope_deg: f32,
    /// Direction downhill in degrees, clockwise from north.
    pub aspect_deg: f32,
}

/// What one place showed on irregular dates: a series of one pixel or field, or a window of pixels.
///
/// | | shape | unit |
/// |---|---|---|
/// | `days` | `[time]`, ascending | days since 1970-01-01 |
/// | `values` | `[time, band, y, x]` | reflectance, dB or K by the kind of band; NaN = not observed |
/// | `weights` | as `values`, or empty = 1 throughout | trust in a value, 0 to 1: one minus the probability of cloud |
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Dates.
    pub days: Vec<i32>,
    /// Values.
    pub values: Vec<f32>,
    /// Trust in each value.
    pub weights: Vec<f32>,
    /// Rows and columns; `[1, 1]` is a series.
    pub size_px: [usize; 2],
    /// Whether the place lies south of the equator, where the seasons are half a year apart.
    pub south: bool,
    /// What else is known of the place.
    pub site: Site,
    /// The mean series of the small block that a pixel lies in and looks like, shared by its pixels: what an encoder may read
    /// in the stead of the pixel's own.
    pub ground: Option<Arc<Sample>>,
}

impl Default for Sample {
    fn default() -> Self {
        Self::series(Vec::new(), Vec::new(), false)
    }
}

impl Sample {
    /// The series of one pixel or field, `values` date by date.
    #[must_use]
    pub fn series(days: Vec<i32>, values: Vec<f32>, south: bool) -> Self {
        let weights = Vec::new();
        let site = Site::default();
        Self { days, values, weights, size_px: [1, 1], south, site, ground: None }
    }

    /// Number of dates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.days.len()
    }

    /// Whether nothing was ever seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// Number of pixels.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.size_px[0] * self.size_px[1]
    }

    /// The values of one date, `[band, y, x]`.
    #[must_use]
    pub fn date(&self, index: usize, bands: usize) -> &[f32] {
        let length = bands * self.pixels();
        &self.values[index * length..(index + 1) * length]
    }

    /// Trust in the value at one place of [`Sample::values`]: 0 where nothing was observed.
    #[must_use]
    pub fn weight(&self, place: usize) -> f32 {
        if !self.values[place].is_finite() {
            return 0.0;
        }
        match self.weights.get(place) {
            Some(weight) if weight.is_finite() => weight.clamp(0.0, 1.0),
            Some(_) => 0.0,
            None => 1.0,
        }
    }

    /// The same place on some of its dates, in the order given, which should ascend.
    #[must_use]
    pub fn at_dates(&self, dates: &[usize], bands: usize) -> Self {
        let length = bands * self.pixels();
        let pick = |whole: &[f32]| -> Vec<f32> {
            let of = |&date: &usize| &whole[date * length..(date + 1) * length];
            if whole.is_empty() { Vec::new() } else { dates.iter().flat_map(of).copied().collect() }
        };
        Self {
            days: dates.iter().map(|&date| self.days[date]).collect(),
            values: pick(&self.values),
            weights: pick(&self.weights),
            size_px: self.size_px,
            south: self.south,
            site: self.site.clone(),
            ground: None,
        }
    }

    /// A part of the window from a row and a column on, cut off where the window ends.
    #[must_use]
    pub fn crop(&self, from: [usize; 2], size_px: [usize; 2], bands: usize) -> Self {
        let [rows, cols] = [0, 1].map(|i| size_px[i].min(self.size_px[i].saturating_sub(from[i])));
        let cut = |whole: &[f32]| -> Vec<f32> {
            let planes = whole.chunks_exact(self.pixels().max(1)).take(self.len() * bands);
            let lines = planes.flat_map(|plane| {
                (from[0]..from[0] + rows)
                    .map(|row| &plane[row * self.size_px[1] + from[1]..][..cols])
            });
            lines.flatten().copied().collect()
        };
        Self {
            days: self.days.clone(),
            values: cut(&self.values),
            weights: cut(&self.weights),
            size_px: [rows, cols],
            south: self.south,
            site: self.site.clone(),
            ground: None,
        }
    }

    /// This sensor's dates and another's of the same place, in the order of days.
    ///
    /// Bands follow each other, this sensor's `bands` first; on its dates the other's are not observed.
    #[must_use]
    pub fn beside(&self, bands: usize, other: &Self, other_bands: usize) -> Self {
        let mut order: Vec<(i32, bool, usize)> = Vec::with_capacity(self.len() + other.len());
        order.extend(self.days.iter().enumerate().map(|(i, &day)| (day, false, i)));
        order.extend(other.days.iter().enumerate().map(|(i, &day)| (day, true, i)));
        order.sort_unstable();
        let mut both = Self { days: Vec::new(), values: Vec::new(), ground: None, ..self.clone() };
        both.weights.clear();
        for (day, second, date) in order {
            let (from, own) = if second { (other, other_bands) } else { (self, bands) };
            let length = own * self.pixels();
            let before = if second { bands * self.pixels() } else { 0 };
            let after = if second { 0 } else { other_bands * self.pixels() };
            let places = date * length..(date + 1) * length;
            both.days.push(day);
            both.values.extend(std::iter::repeat_n(f32::NAN, before));
            both.values.extend_from_slice(&from.values[places.clone()]);
            both.values.extend(std::iter::repeat_n(f32::NAN, after));
            both.weights.extend(std::iter::repeat_n(0.0, before));
            both.weights.extend(places.map(|place| from.weight(place)));
            both.weights.extend(std::iter::repeat_n(0.0, after));
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_cut_by_rows_and_columns_on_every_date_and_band() {
        let values: Vec<f32> = (0..2 * 2 * 12).map(|v| v as f32).collect();
        let window = Sample { size_px: [3, 4], ..Sample::series(vec![5, 9], values, true) };
        let part = window.crop([1, 2], [2, 9], 2);
        assert_eq!((part.size_px, part.days.as_slice()), ([2, 2], [5, 9].as_slice()));
        // rows 1 and 2, columns 2 and 3 of a 3 × 4 plane are its places 6, 7, 10 and 11
        let plane = |from: f32| [6.0, 7.0, 10.0, 11.0].map(|v| v + from);
        assert_eq!(part.values, [plane(0.0), plane(12.0), plane(24.0), plane(36.0)].concat());
    }

    #[test]
    fn some_dates_of_a_place_keep_their_values_and_trust() {
        let values = vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        let weights = vec![1.0, 0.5, 1.0, 0.25, 1.0, 0.75];
        let sample = Sample { weights, ..Sample::series(vec![3, 7, 9], values, true) };
        let part = sample.at_dates(&[0, 2], 2);
        assert_eq!((part.days, part.values), (vec![3, 9], vec![0.1, 0.2, 0.5, 0.6]));
        assert_eq!(part.weights, [1.0, 0.5, 1.0, 0.75]);
        assert!(Sample::series(vec![3], vec![0.1], true).at_dates(&[], 1).is_empty());
    }

    #[test]
    fn two_sensors_share_a_series_in_the_order_of_days() {
        let light = Sample::series(vec![1, 9], vec![0.1, 0.2], true);
        let radar = Sample::series(vec![4], vec![-12.0, -18.0], true);
        let both = light.beside(1, &radar, 2);
        assert_eq!(both.days, [1, 4, 9]);
        let seen: Vec<f32> = (0..9).map(|place| both.weight(place)).collect();
        assert_eq!(seen, [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!((both.values[0], both.values[4], both.values[5]), (0.1, -12.0, -18.0));
    }

    #[test]
    fn trust_lies_between_nought_and_one_and_nothing_observed_has_none() {
        let weights = vec![1.5, -1.0, 0.25, f32::NAN, 1.0];
        let values = vec![0.1, 0.1, 0.1, 0.1, f32::NAN];
        let sample = Sample { weights, ..Sample::series(vec![0; 5], values, true) };
        let trust: Vec<f32> = (0..5).map(|place| sample.weight(place)).collect();
        assert_eq!(trust, [1.0, 0.0, 0.25, 0.0, 0.0]);
    }
}
