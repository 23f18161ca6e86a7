//! Presto's encoder: a pixel's months of radar, optical, weather and relief, to one vector.
//!
//! | | |
//! |---|---|
//! | source | Tseng et al. 2023, *Lightweight, Pre-trained Transformers for Remote Sensing Timeseries* (arXiv 2304.14065); weights of nasaharvest/presto, MIT |
//! | input | [`PrestoBatch`]: 17 bands a month, Dynamic World's class, the month, the place |
//! | output | `[n, 128]` |
//! | size | 128 wide, 2 blocks, 8 heads, 404,160 parameters |
//!
//! Token = one group of bands in one month. A token of which any band is hidden is left out, never
//! padded. Relief is one token a series, taken from the first month, and the place is one more.
//!
//! Axes in names: `n` series, `t` months, `b` bands, `d` width.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3, ArrayView3, s};
use rayon::prelude::*;
use surco_kernels::{Norm, Policy, Projection, Segments, linear};

use crate::peer::{BandScale, InputError, check_months, check_place, check_shape};
use crate::source::{Reader, Taken, TensorSource};
use crate::transformer::{Block, BlockShape, mean_of_segments, normed};

const WIDTH: usize = 128;
const LAYERS: usize = 2;
const SHAPE: BlockShape = BlockShape { width: WIDTH, hidden: 4 * WIDTH, heads: 8 };

/// Most months of one series.
pub const PRESTO_MONTHS: usize = 24;

/// Dynamic World's class where it has none.
pub const NO_CLASS: u8 = 9;

/// Series embedded at once by one core. The layers keep a core's cache by themselves; fewer series would
/// bring their weights into order too often, and more leave cores idle at the end.
const CHUNK: usize = 32;

/// Inputs in order, and how each is brought to about one: `(value + add) / divide`. The NDVI is made
/// from the bands so scaled.
pub const PRESTO_BANDS: [BandScale; 17] = {
    const fn band(name: &'static str, add: f64, divide: f64) -> BandScale {
        BandScale { name, add, divide }
    }
    [
        band("VV", 25.0, 25.0),
        band("VH", 25.0, 25.0),
        band("B2", 0.0, 1e4),
        band("B3", 0.0, 1e4),
        band("B4", 0.0, 1e4),
        band("B5", 0.0, 1e4),
        band("B6", 0.0, 1e4),
        band("B7", 0.0, 1e4),
        band("B8", 0.0, 1e4),
        band("B8A", 0.0, 1e4),
        band("B11", 0.0, 1e4),
        band("B12", 0.0, 1e4),
        band("temperature_2m", -272.15, 35.0),
        band("total_precipitation", 0.0, 0.03),
        band("elevation", 0.0, 2000.0),
        band("slope", 0.0, 50.0),
        band("NDVI", 0.0, 1.0),
    ]
};
const RED: usize = 4;
const NIR: usize = 8;
const NDVI: usize = 16;

/// Groups of bands, by the name their weights have.
const GROUPS: [(&str, std::ops::Range<usize>); 9] = [
    ("S1", 0..2),
    ("S2_RGB", 2..5),
    ("S2_Red_Edge", 5..8),
    ("S2_NIR_10m", 8..9),
    ("S2_NIR_20m", 9..10),
    ("S2_SWIR", 10..12),
    ("ERA5", 12..14),
    ("SRTM", 14..16),
    ("NDVI", 16..17),
];
const RELIEF: usize = 7;

/// What a token consists of: places of its features among those of all tokens.
mod feature {
    pub(super) const BANDS: usize = 0;
    pub(super) const GROUP: usize = BANDS + 17;
    /// The group of Dynamic World's classes stands after those of the bands.
    pub(super) const CLASSES: usize = GROUP + 9;
    pub(super) const CLASS: usize = CLASSES + 1;
    pub(super) const MONTH: usize = CLASS + 9;
    pub(super) const POSITION: usize = MONTH + 12;
    pub(super) const PLACE: usize = POSITION + super::PRESTO_MONTHS;
    pub(super) const PLACE_GROUP: usize = PLACE + 3;
    pub(super) const COUNT: usize = PLACE_GROUP + 1;
}

/// Columns of a token's vector that its month, its group and its position fill (Presto, section 3).
const MONTH_COLUMNS: std::ops::Range<usize> = 0..32;
const GROUP_COLUMNS: std::ops::Range<usize> = 32..64;
const POSITION_COLUMNS: std::ops::Range<usize> = 64..128;

/// Series as Presto reads them.
#[derive(Clone, Debug)]
pub struct PrestoBatch {
    values_ntb: Array3<f32>,
    hidden_ntb: Array3<bool>,
    class_nt: Array2<u8>,
    month_nt: Array2<u8>,
    place_n2: Array2<f32>,
}

impl PrestoBatch {
    /// Puts a batch together, once it is found to be whole.
    ///
    /// | | shape | |
    /// |---|---|---|
    /// | `values_ntb` | `[n, t, 17]` | [`PRESTO_BANDS`], scaled ([`presto_scaled`]); `t` at most 24 |
    /// | `hidden_ntb` | `[n, t, 17]` | values not to be looked at; they may be anything |
    /// | `class_nt` | `[n, t]` | Dynamic World's class, 0 to 8, or [`NO_CLASS`] |
    /// | `month_nt` | `[n, t]` | month of the year, 0 to 11 |
    /// | `place_n2` | `[n, 2]` | latitude and longitude in degrees |
    ///
    /// # Errors
    /// [`InputError`] naming the first value that cannot be.
    pub fn new(
        values_ntb: Array3<f32>,
        hidden_ntb: Array3<bool>,
        class_nt: Array2<u8>,
        month_nt: Array2<u8>,
        place_n2: Array2<f32>,
    ) -> Result<Self, InputError> {
        let (n, t, _) = values_ntb.dim();
        check_shape("values", values_ntb.shape(), &[n, t.min(PRESTO_MONTHS), PRESTO_BANDS.len()])?;
        check_shape("hidden values", hidden_ntb.shape(), &[n, t, PRESTO_BANDS.len()])?;
        check_shape("classes", class_nt.shape(), &[n, t])?;
        check_months(&month_nt, n, t)?;
        check_place(&place_n2, n)?;
        if let Some(((i, _), &class)) = class_nt.indexed_iter().find(|(_, c)| **c > NO_CLASS) {
            let value = f64::from(class);
            return Err(InputError::Value { series: i, what: "class", value, range: "0 to 9" });
        }
        for ((place, &value), &hidden) in values_ntb.indexed_iter().zip(&hidden_ntb) {
            if !hidden && !value.is_finite() {
                let what = PRESTO_BANDS[place.2].name;
                let value = value.into();
                return Err(InputError::Value { series: place.0, what, value, range: "a number" });
            }
        }
        Ok(Self { values_ntb, hidden_ntb, class_nt, month_nt, place_n2 })
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values_ntb.dim().0
    }

    /// Whether there are no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Features of the tokens of some series, row by row, and how many tokens each series has.
    fn tokens(&self, series: std::ops::Range<usize>) -> (Vec<f32>, Segments) {
        let mut rows = Vec::new();
        let lengths = series.map(|i| {
            let before = rows.len();
            self.add_series(i, &mut rows);
            (rows.len() - before) / feature::COUNT
        });
        let segments = Segments::of_lengths(lengths.collect::<Vec<_>>());
        (rows, segments)
    }

    fn add_series(&self, i: usize, rows: &mut Vec<f32>) {
        let (lat, lon) = (self.place_n2[[i, 0]].to_radians(), self.place_n2[[i, 1]].to_radians());
        let place = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()];
        let row = add_row(rows, feature::PLACE_GROUP);
        row[feature::PLACE..feature::PLACE + 3].copy_from_slice(&place);
        let months = self.month_nt.ncols();
        for (g, (_, bands)) in GROUPS.iter().enumerate() {
            let last = if g == RELIEF { months.min(1) } else { months };
            for t in 0..last {
                let at = s![i, t, bands.clone()];
                if self.hidden_ntb.slice(at).iter().any(|&hidden| hidden) {
                    continue;
                }
                let row = add_row(rows, feature::GROUP + g);
                for (to, value) in row[bands.clone()].iter_mut().zip(self.values_ntb.slice(at)) {
                    *to = *value;
                }
                if g != RELIEF {
                    self.date(i, t, row);
                }
            }
        }
        for t in 0..months {
            let class = self.class_nt[[i, t]];
            if class != NO_CLASS {
                let row = add_row(rows, feature::CLASSES);
                row[feature::CLASS + usize::from(class)] = 1.0;
                self.date(i, t, row);
            }
        }
    }

    fn date(&self, i: usize, t: usize, row: &mut [f32]) {
        row[feature::MONTH + usize::from(self.month_nt[[i, t]])] = 1.0;
        row[feature::POSITION + t] = 1.0;
    }
}

/// A new row of features with one of them set.
fn add_row(rows: &mut Vec<f32>, one: usize) -> &mut [f32] {
    let start = rows.len();
    rows.resize(start + feature::COUNT, 0.0);
    rows[start + one] = 1.0;
    &mut rows[start..]
}

/// Raw values brought to the scale that Presto knows: `[n, t, 17]` in the units of [`PRESTO_BANDS`]
/// (dB, digital numbers of reflectance ×10⁻⁴, K, m, m, degrees); the NDVI is worked out here.
///
/// # Source
/// nasaharvest/presto, `dataops/pipelines/s1_s2_era5_srtm.py`.
#[must_use]
pub fn presto_scaled(raw_ntb: ArrayView3<'_, f64>) -> Array3<f32> {
    let mut scaled = Array3::zeros(raw_ntb.dim());
    for ((i, t, b), value) in raw_ntb.indexed_iter() {
        let BandScale { add, divide, .. } = PRESTO_BANDS[b];
        scaled[[i, t, b]] = ((value + add) / divide) as f32;
    }
    for mut bands in scaled.rows_mut() {
        let (red, nir) = (bands[RED], bands[NIR]);
        bands[NDVI] = if nir + red > 0.0 { (nir - red) / (nir + red) } else { 0.0 };
    }
    scaled
}

/// Presto's encoder.
#[derive(Clone, Debug)]
pub struct Presto {
    /// What each feature of a token adds to its vector, `[features, d]`.
    read: Projection,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Presto {
    /// Builds the encoder from tensors under PyTorch's names; gives those it took.
    pub(crate) fn read(
        source: &dyn TensorSource,
        device: &Device,
    ) -> Result<(Self, Taken), String> {
        let mut reader = Reader::new(source, device);
        let read = Projection { weight: read_features(&mut reader)?, bias: None };
        let blocks: Result<_, _> = (0..LAYERS)
            .map(|i| Block::read(&mut reader, &format!("encoder.blocks.{i}"), &["qkv"], SHAPE))
            .collect();
        let presto = Self { read, blocks: blocks?, norm: reader.norm("encoder.norm", WIDTH)? };
        Ok((presto, reader.finish("decoder.")?))
    }

    /// Embeds series: `[n, 128]`, in their order.
    ///
    /// Work is split over the cores by series, each chunk a small batch of its own, so the result
    /// does not depend on the number of cores.
    #[must_use]
    pub fn embed(&self, batch: &PrestoBatch, policy: Policy) -> Array2<f32> {
        let starts: Vec<usize> = (0..batch.len()).step_by(CHUNK).collect();
        let parts: Vec<Vec<f32>> = starts
            .into_par_iter()
            .map_with(self.clone(), |presto, start| {
                presto.embed_chunk(batch, start..(start + CHUNK).min(batch.len()), policy)
            })
            .collect();
        let shape = (batch.len(), WIDTH);
        Array2::from_shape_vec(shape, parts.concat()).expect("each series gives one vector")
    }

    fn embed_chunk(
        &self,
        batch: &PrestoBatch,
        series: std::ops::Range<usize>,
        policy: Policy,
    ) -> Vec<f32> {
        let (rows, segments) = batch.tokens(series);
        let rows = TensorData::new(rows, [segments.tokens(), feature::COUNT]);
        let rows = Tensor::from_data(rows, &self.read.weight.device());
        let mut x_nd = linear(rows, self.read.clone());
        for block in &self.blocks {
            x_nd = block.forward(x_nd, &segments, policy);
        }
        let embedding = normed(mean_of_segments(x_nd, &segments), &self.norm);
        embedding.into_data().iter::<f32>().collect()
    }
}

/// The linear maps and tables that tokens are made of, put under each other into one matrix.
fn read_features(reader: &mut Reader<'_>) -> Result<Tensor<2>, String> {
    let mut features = Array2::<f32>::zeros((feature::COUNT, WIDTH));
    let mut put = |row: usize, columns: std::ops::Range<usize>, values: &[f32]| {
        for (to, value) in features.slice_mut(s![row, columns]).iter_mut().zip(values) {
            *to += value;
        }
    };
    let groups = reader.values("encoder.channel_embed.weight", &[10, GROUP_COLUMNS.len()])?;
    for (g, group) in groups.chunks_exact(GROUP_COLUMNS.len()).enumerate() {
        put(feature::GROUP + g, GROUP_COLUMNS, group);
    }
    let maps = GROUPS
        .iter()
        .enumerate()
        .map(|(g, (name, bands))| {
            let name = format!("encoder.eo_patch_embed.{name}");
            (name, feature::BANDS + bands.start, bands.len(), feature::GROUP + g)
        })
        .chain([("encoder.latlon_embed".into(), feature::PLACE, 3, feature::PLACE_GROUP)]);
    for (name, first, count, group) in maps {
        let weight = reader.values(&format!("{name}.weight"), &[WIDTH, count])?;
        for b in 0..count {
            let column: Vec<f32> = weight.iter().skip(b).step_by(count).copied().collect();
            put(first + b, 0..WIDTH, &column);
        }
        put(group, 0..WIDTH, &reader.values(&format!("{name}.bias"), &[WIDTH])?);
    }
    let classes = reader.values("encoder.dw_embed.weight", &[10, WIDTH])?;
    for (class, row) in classes.chunks_exact(WIDTH).take(usize::from(NO_CLASS)).enumerate() {
        put(feature::CLASS + class, 0..WIDTH, row);
    }
    let months = reader.values("encoder.month_embed.weight", &[12, MONTH_COLUMNS.len()])?;
    for (month, row) in months.chunks_exact(MONTH_COLUMNS.len()).enumerate() {
        put(feature::MONTH + month, MONTH_COLUMNS, row);
    }
    let shape = [1, PRESTO_MONTHS, POSITION_COLUMNS.len()];
    let positions = reader.values("encoder.pos_embed", &shape)?;
    for (t, row) in positions.chunks_exact(POSITION_COLUMNS.len()).enumerate() {
        put(feature::POSITION + t, POSITION_COLUMNS, row);
    }
    let values = features.into_iter().collect();
    Ok(reader.place(values, [feature::COUNT, WIDTH]))
}

#[cfg(test)]
mod tests;
