//! Places for pre-training: a stratified random sample of an area, with inclusion probabilities.
//!
//! The area is cut into squares of one true area, whatever the latitude (`frame`); class rasters and
//! polygons give each square its stratum (`layer`); the places are dealt out to the strata (`allocate`)
//! and drawn inside them (`choose`). Every place carries the probability with which it could be drawn, so
//! that whatever is learnt or counted on the sample can be weighted back to the country.
//!
//! | | |
//! |---|---|
//! | Input | polygons of the area; one or more layers of classes: GeoTIFF of codes or GeoJSON polygons |
//! | Output | [`Drawn`]: places and strata; [`write_places`] writes GeoJSON or CSV and a summary beside it |
//! | Sample request | [`PlacesRequest::new`] |
//!
//! # Source
//! Cochran (1977), *Sampling Techniques*, chapters 5 and 8; square-root allocation as the compromise
//! between estimates of the whole and of the parts: Bankier (1988), *Power Allocations*.

mod allocate;
mod choose;
mod cover;
mod error;
mod frame;
mod layer;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use surco_core::Block;
use surco_raster::projection::{Projection, utm_epsg};

pub use error::PlacesError;
pub use frame::area_m2;
pub use write::{summary_path, write_places};

use allocate::allocate;
use choose::choose;
use frame::{Frame, Square};
use layer::{Covered, Layer};

/// Side of a pixel in m.
const PIXEL_M: f64 = 10.0;
/// How much wider a square is than its chip. Chips are cut along the axes of UTM, which turn against
/// north by up to 4° where tiles overlap their zone; a chip turned so far needs 1.07 of its side, and
/// snapping it to pixels some metres more.
const ROOM_FOR_TURNING: f64 = 1.1;
/// Share of the area that may lie outside the strata without being asked for: coasts do not agree.
const COASTS: f64 = 0.01;
/// Side of the blocks in m.
const BLOCK_M: f64 = 10_000.0;

/// How places are dealt out to strata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// The same number to each.
    Equal,
    /// By area: every square of the country has the same chance.
    Proportional,
    /// By the square root of the area: between the two.
    SquareRoot,
}

/// How places are drawn inside a stratum; both give every square of it the same chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Draw {
    /// Every k-th along a curve that keeps neighbours together, from a random start: spread over the
    /// stratum.
    Systematic,
    /// Each independently of the others, without replacement.
    Simple,
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlacesRequest {
    /// GeoJSON polygons of the area.
    pub aoi: PathBuf,
    /// Layers of classes, `FILE` or `FILE:PROPERTY`; what they have in common is a stratum.
    pub strata: Vec<String>,
    /// Number of places.
    pub places: usize,
    /// How places are dealt out to strata.
    pub allocation: Allocation,
    /// How places are drawn inside a stratum.
    pub draw: Draw,
    /// Seed; the same seed gives the same places.
    pub seed: u64,
    /// Side of the chip that will be cut around a place, in pixels of 10 m.
    pub chip_px: u32,
    /// Side of the squares in m; 1.1 chips if not given.
    pub spacing_m: Option<f64>,
    /// Leave out what lies outside the strata, however much it is.
    pub drop_uncovered: bool,
}

impl PlacesRequest {
    /// Places by square root of area, drawn systematically with seed 1, for chips of 128 pixels.
    #[must_use]
    pub fn new(aoi: impl Into<PathBuf>, strata: Vec<String>, places: usize) -> Self {
        Self {
            aoi: aoi.into(),
            strata,
            places,
            allocation: Allocation::SquareRoot,
            draw: Draw::Systematic,
            seed: 1,
            chip_px: 128,
            spacing_m: None,
            drop_uncovered: false,
        }
    }

    fn side_m(&self) -> Result<f64, PlacesError> {
        let least = f64::from(self.chip_px) * PIXEL_M * ROOM_FOR_TURNING;
        let wrong = |what, found: String, expected: String| {
            Err(PlacesError::Request { what, found, expected })
        };
        if self.places == 0 {
            return wrong("number of places", "0".into(), "at least 1".into());
        }
        if !(1..=10_000).contains(&self.chip_px) {
            return wrong("chip", self.chip_px.to_string(), "1 to 10000 pixels".into());
        }
        if self.strata.is_empty() {
            return wrong("strata", "none".into(), "at least one layer of classes".into());
        }
        match self.spacing_m {
            None => Ok(least),
            Some(side) if (least..=1e6).contains(&side) => Ok(side),
            Some(side) => {
                let expected = format!(
                    "{least} to 1000000: a chip of {} pixels takes that much, turned as UTM turns",
                    self.chip_px
                );
                wrong("spacing in m", side.to_string(), expected)
            }
        }
    }
}

/// A place that was drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Its name, for example `p00042`.
    pub place: String,
    /// Longitude in degrees.
    pub lon: f64,
    /// Latitude in degrees.
    pub lat: f64,
    /// Its class in each layer, in the order of the layers.
    pub classes: Vec<String>,
    /// Number of its stratum in [`Drawn::strata`].
    pub stratum: usize,
    /// Probability with which its square was drawn.
    pub inclusion_probability: f64,
    /// System of the block: WGS 84 / UTM at the place.
    pub epsg: u32,
    /// The square of 10 km it lies in.
    pub block: Block,
}

/// One stratum: its size and what was drawn from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stratum {
    /// The classes that make it, joined by ` × `.
    pub name: String,
    /// Squares in it.
    pub squares: usize,
    /// Its area in km².
    pub area_km2: f64,
    /// Its part of the sampled area.
    pub area_share: f64,
    /// Places drawn from it.
    pub places: usize,
    /// Its part of the places.
    pub places_share: f64,
    /// Probability with which each of its squares was drawn.
    pub inclusion_probability: f64,
}

/// A drawn sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drawn {
    /// What was asked for.
    pub request: PlacesRequest,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// Side of the squares in m.
    pub side_m: f64,
    /// True area of a square in km².
    pub square_km2: f64,
    /// Squares of the area, the uncovered ones among them.
    pub squares: usize,
    /// Squares outside the strata; they could not be drawn.
    pub uncovered: usize,
    /// The strata by name.
    pub strata: Vec<Stratum>,
    /// The places, stratum by stratum.
    #[serde(skip)]
    pub places: Vec<Place>,
    /// SHA-256 of each input file by its path.
    pub inputs: BTreeMap<String, String>,
    /// What was taken for granted, in words.
    pub assumed: Vec<String>,
}

impl Drawn {
    /// Weight of a place: how many squares it stands for.
    #[must_use]
    pub fn weight(&self, place: &Place) -> f64 {
        1.0 / place.inclusion_probability
    }
}

/// Draws places.
///
/// Deterministic: the same request and files give the same places on every machine.
///
/// # Errors
/// [`PlacesError`] if a file cannot be read, the area holds no square, the layers do not cover it, or
/// more places are asked for than it has squares.
pub fn draw_places(request: &PlacesRequest) -> Result<Drawn, PlacesError> {
    let side_m = request.side_m()?;
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    // The grid begins anywhere, so that no point of the area is left out for good.
    let frame = Frame::new(side_m, rng.random(), rng.random());
    let (squares, aoi_hash) = cover::squares_of(&frame, &request.aoi)?;
    let mut inputs = BTreeMap::from([(request.aoi.display().to_string(), aoi_hash)]);
    let mut assumed = Vec::new();
    let mut layers: Vec<Covered> = Vec::new();
    for text in &request.strata {
        let layer = Layer::open(text)?;
        inputs.insert(layer.path.display().to_string(), layer.hash.clone());
        let mut covered = layer.cover(&frame, &squares)?;
        assumed.append(&mut covered.assumed);
        let taken = layers.iter().filter(|l| l.name.starts_with(&covered.name)).count();
        if taken > 0 {
            covered.name = format!("{}_{}", covered.name, taken + 1);
        }
        layers.push(covered);
    }
    let strata = cross(&squares, &layers);
    let covered: usize = strata.values().map(Vec::len).sum();
    let uncovered = squares.len() - covered;
    check_cover(request, &layers, squares.len(), uncovered)?;
    if request.places > covered {
        let (places, frame) = (request.places, covered);
        return Err(PlacesError::TooMany { places, frame, side_m });
    }
    let sizes: Vec<usize> = strata.values().map(Vec::len).collect();
    let counts = allocate(&sizes, request.places, request.allocation);
    let square_km2 = side_m * side_m / 1e6;
    let mut drawn = Drawn {
        request: request.clone(),
        layers: layers.iter().map(|l| l.name.clone()).collect(),
        side_m,
        square_km2,
        squares: squares.len(),
        uncovered,
        strata: Vec::new(),
        places: Vec::new(),
        inputs,
        assumed,
    };
    for (i, ((key, members), count)) in strata.iter().zip(counts).enumerate() {
        let classes: Vec<String> =
            key.iter().zip(&layers).map(|(&class, l)| l.classes[class as usize].clone()).collect();
        rng.set_stream(i as u64 + 1);
        let chosen = choose(&squares, members, count, request.draw, &mut rng);
        let probability = count as f64 / members.len() as f64;
        drawn.strata.push(Stratum {
            name: classes.join(" × "),
            squares: members.len(),
            area_km2: members.len() as f64 * square_km2,
            area_share: members.len() as f64 / covered as f64,
            places: count,
            places_share: count as f64 / request.places as f64,
            inclusion_probability: probability,
        });
        for square in chosen {
            let place = place_of(&squares[square], drawn.places.len(), i, &classes, probability)?;
            drawn.places.push(place);
        }
    }
    Ok(drawn)
}

/// The squares of each combination of classes, by the numbers of the classes.
fn cross(squares: &[Square], layers: &[Covered]) -> BTreeMap<Vec<u32>, Vec<usize>> {
    let mut strata: BTreeMap<Vec<u32>, Vec<usize>> = BTreeMap::new();
    for i in 0..squares.len() {
        let key: Option<Vec<u32>> = layers.iter().map(|layer| layer.class_of[i]).collect();
        if let Some(key) = key {
            strata.entry(key).or_default().push(i);
        }
    }
    strata
}

fn check_cover(
    request: &PlacesRequest,
    layers: &[Covered],
    squares: usize,
    uncovered: usize,
) -> Result<(), PlacesError> {
    let share = uncovered as f64 / squares as f64;
    if uncovered < squares && (request.drop_uncovered || share <= COASTS) {
        return Ok(());
    }
    // The layer that leaves the most out is the one to name.
    let worst = layers
        .iter()
        .max_by_key(|layer| layer.class_of.iter().filter(|c| c.is_none()).count())
        .map_or_else(String::new, |layer| layer.name.clone());
    Err(PlacesError::Uncovered { percent: 100.0 * share, layer: worst, all: uncovered == squares })
}

fn place_of(
    square: &Square,
    number: usize,
    stratum: usize,
    classes: &[String],
    inclusion_probability: f64,
) -> Result<Place, PlacesError> {
    let epsg = utm_epsg(square.lon, square.lat);
    let (x, y) = Projection::from_epsg(epsg)?.from_lonlat(square.lon, square.lat)?;
    Ok(Place {
        place: format!("p{:05}", number + 1),
        lon: square.lon,
        lat: square.lat,
        classes: classes.to_vec(),
        stratum,
        inclusion_probability,
        epsg,
        block: Block::at(x, y, BLOCK_M),
    })
}
