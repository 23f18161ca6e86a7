//! Areas with their intervals, from a map and a probability sample of places seen on the ground.
//!
//! Input: sample counts by mapped class (rows) and reference class (columns), mapped area per class.
//! Output: unbiased area per class with standard error and 95 % interval, and accuracies with theirs.
//! Counting the pixels of a map gives an area too, but a biased one: it is passed through as
//! `mapped_ha` and nothing here is computed from it alone. Sample config:
//! `estimate_areas(&counts, &mapped_ha)`.

mod sample;

use serde::{Deserialize, Serialize};
use surco_core::Fault;

pub use sample::{SampleDesign, SamplePoint, StratifiedSample, Stratum, stratified_sample};

/// Standard errors in a 95 % half width.
pub const Z95: f64 = 1.96;

/// Why areas could not be estimated or a sample not drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// The matrix must have one row and one column per class, and a mapped area for each.
    #[error(
        "{classes} mapped areas were given with a matrix of {rows} rows, one of {columns} columns"
    )]
    Shape {
        /// Mapped areas given.
        classes: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of its first odd row, or of its first.
        columns: usize,
    },
    /// An area that cannot be.
    #[error("mapped area of class {class} is {area_ha} ha: it must be finite and not negative")]
    MappedArea {
        /// Place of the class.
        class: usize,
        /// The area.
        area_ha: f64,
    },
    /// Nothing is mapped.
    #[error("no class has any mapped area")]
    NoArea,
    /// A mapped class that nobody looked at: its content is unknown and no formula can fill it in.
    #[error(
        "class {class} is mapped on {area_ha} ha but has no sample: sample it, or merge it with a class that has"
    )]
    Unsampled {
        /// Place of the class.
        class: usize,
        /// Its mapped area.
        area_ha: f64,
    },
    /// The map is not `width` columns wide.
    #[error("a map of {pixels} pixels is not made of rows of {width}")]
    Width {
        /// Pixels given.
        pixels: usize,
        /// Width given.
        width: usize,
    },
    /// Fewer samples than the floor of every stratum asks for.
    #[error("{total} samples cannot give each of {strata} classes its floor of {floor}")]
    TooFew {
        /// Samples wanted.
        total: u64,
        /// Classes on the map.
        strata: usize,
        /// Least samples of a class.
        floor: u64,
    },
    /// More samples than pixels.
    #[error("{total} samples were wanted from {pixels} pixels with a class")]
    TooMany {
        /// Samples wanted.
        total: u64,
        /// Pixels that carry a class.
        pixels: u64,
    },
}

impl AreaError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Shape { .. }
            | Self::MappedArea { .. }
            | Self::NoArea
            | Self::Unsampled { .. }
            | Self::Width { .. } => Fault::Input,
            Self::TooFew { .. } | Self::TooMany { .. } => Fault::Usage,
        }
    }
}

/// A value with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Standard error.
    pub se: f64,
    /// Half width of the 95 % interval.
    pub half_width: f64,
}

impl Estimate {
    fn new(value: f64, variance: f64) -> Self {
        let se = variance.max(0.0).sqrt();
        Self { value, se, half_width: Z95 * se }
    }
}

/// How far an area may be relied on.
///
/// The bounds of the coefficient of variation are a convention of this program, not of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reliability {
    /// Coefficient of variation up to 15 %.
    Reliable,
    /// Up to 30 %.
    UseWithCare,
    /// Above 30 %, or no sample of the class was found on the ground, or the mapped class has a single
    /// sample.
    Unreliable,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassArea {
    /// Area counted on the map (biased), in ha.
    pub mapped_ha: f64,
    /// Estimated area in ha.
    pub area_ha: Estimate,
    /// Standard error over area; `None` if the area is 0.
    pub coefficient_of_variation: Option<f64>,
    /// Share of what is mapped as the class that is the class; `None` without samples in it.
    pub users: Option<Estimate>,
    /// Share of the class's area that is mapped as it; `None` if the class was never seen.
    pub producers: Option<Estimate>,
    /// Samples that fell on the mapped class.
    pub samples_mapped: u64,
    /// Samples that turned out to be the class.
    pub samples_reference: u64,
    /// How far the area may be relied on.
    pub reliability: Reliability,
}

/// What a sample says about a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaEstimate {
    /// In the order of the matrix.
    pub classes: Vec<ClassArea>,
    /// Share of the area that is mapped right.
    pub overall: Estimate,
    /// Total area in ha.
    pub total_ha: f64,
    /// Mapped classes with a single sample. Their variance cannot be estimated; the largest one possible
    /// was taken, W²/4, so the intervals are too wide rather than too narrow.
    pub single_sample: Vec<usize>,
}

/// A mapped class as a stratum of the sample.
struct Row {
    mapped_ha: f64,
    samples: f64,
    /// `[reference class]`, share of the samples.
    shares: Vec<f64>,
}

impl Row {
    /// Variance of the mean of one share, `p (1 − p) / (n − 1)`; 1/4 for a single sample.
    fn variance(&self, class: usize) -> f64 {
        let share = self.shares[class];
        match self.samples {
            0.0 => 0.0, // refused above unless nothing is mapped
            1.0 => 0.25,
            n => share * (1.0 - share) / (n - 1.0),
        }
    }
}

/// Estimates areas and accuracies from a stratified random sample whose strata are the mapped classes.
///
/// | | shape | unit |
/// |---|---|---|
/// | `counts` | `[mapped class, reference class]` | samples |
/// | `mapped_ha` | `[mapped class]` | ha |
///
/// A mapped class without samples is an error unless its area is 0. A mapped class with a single sample
/// is flagged, see [`AreaEstimate::single_sample`].
///
/// # Errors
/// [`AreaError`] if the matrix is not square, an area is not finite, nothing is mapped, or a mapped class
/// has no sample.
///
/// # Source
/// Olofsson et al., *Good practices for estimating area and assessing accuracy of land change*, Remote
/// Sensing of Environment 148 (2014), eqs. 1–11.
pub fn estimate_areas(counts: &[Vec<u64>], mapped_ha: &[f64]) -> Result<AreaEstimate, AreaError> {
    let rows = strata(counts, mapped_ha)?;
    let total_ha: f64 = mapped_ha.iter().sum();
    let single_sample: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].samples == 1.0).collect();
    let weight = |row: &Row| row.mapped_ha / total_ha;
    let class = |j: usize| class_area(&rows, counts, j);
    let right = rows.iter().enumerate().map(|(i, row)| weight(row) * row.shares[i]).sum();
    let variance =
        rows.iter().enumerate().map(|(i, row)| weight(row).powi(2) * row.variance(i)).sum();
    Ok(AreaEstimate {
        classes: (0..rows.len()).map(class).collect(),
        overall: Estimate::new(right, variance), // eqs. 1 and 5
        total_ha,
        single_sample,
    })
}

fn strata(counts: &[Vec<u64>], mapped_ha: &[f64]) -> Result<Vec<Row>, AreaError> {
    let classes = mapped_ha.len();
    let odd = counts.iter().find(|row| row.len() != classes).or(counts.first());
    let columns = odd.map_or(0, Vec::len);
    if counts.len() != classes || columns != classes {
        return Err(AreaError::Shape { classes, rows: counts.len(), columns });
    }
    let row = |(class, (row, &area_ha)): (usize, (&Vec<u64>, &f64))| {
        if !(area_ha.is_finite() && area_ha >= 0.0) {
            return Err(AreaError::MappedArea { class, area_ha });
        }
        let samples = row.iter().sum::<u64>() as f64;
        if samples == 0.0 && area_ha > 0.0 {
            return Err(AreaError::Unsampled { class, area_ha });
        }
        let shares = row.iter().map(|&n| n as f64 / samples.max(1.0)).collect();
        Ok(Row { mapped_ha: area_ha, samples, shares })
    };
    let rows: Vec<Row> =
        counts.iter().zip(mapped_ha).enumerate().map(row).collect::<Result<_, _>>()?;
    if rows.iter().all(|row| row.mapped_ha == 0.0) {
        return Err(AreaError::NoArea);
    }
    Ok(rows)
}

fn class_area(rows: &[Row], counts: &[Vec<u64>], j: usize) -> ClassArea {
    let own = &rows[j];
    let area: f64 = rows.iter().map(|row| row.mapped_ha * row.shares[j]).sum(); // eqs. 9 and 11
    let variances = rows.iter().map(|row| row.mapped_ha.powi(2) * row.variance(j));
    let area_ha = Estimate::new(area, variances.sum()); // eq. 10
    let users = (own.samples > 0.0).then(|| Estimate::new(own.shares[j], own.variance(j))); // eqs. 2, 6
    let producers = (area > 0.0).then(|| {
        let right = own.mapped_ha * own.shares[j] / area; // eq. 3
        let others = rows.iter().enumerate().filter(|&(i, _)| i != j);
        let missed: f64 = others.map(|(_, row)| row.mapped_ha.powi(2) * row.variance(j)).sum();
        let inside = own.mapped_ha.powi(2) * (1.0 - right).powi(2) * own.variance(j);
        Estimate::new(right, (inside + right.powi(2) * missed) / area.powi(2)) // eq. 7
    });
    let coefficient_of_variation = (area > 0.0).then(|| area_ha.se / area);
    let reliability = match coefficient_of_variation {
        Some(_) | None if own.samples == 1.0 => Reliability::Unreliable,
        Some(cv) if cv <= 0.15 => Reliability::Reliable,
        Some(cv) if cv <= 0.30 => Reliability::UseWithCare,
        Some(_) | None => Reliability::Unreliable,
    };
    ClassArea {
        mapped_ha: own.mapped_ha,
        area_ha,
        coefficient_of_variation,
        users,
        producers,
        samples_mapped: counts[j].iter().sum(),
        samples_reference: counts.iter().map(|row| row[j]).sum(),
        reliability,
    }
}

#[cfg(test)]
mod tests;
