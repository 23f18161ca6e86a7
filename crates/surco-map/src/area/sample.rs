//! Where to look on the ground: a stratified random sample of a class map.
//!
//! Input: class codes, 0 = no class. Output: places, each with a known chance to be drawn. The generator is
//! our own few lines so that a sample drawn today can be drawn again by any later version.

use serde::{Deserialize, Serialize};

use super::AreaError;

/// How many places to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleDesign {
    /// Places in all.
    pub total: u64,
    /// Least places of a class (all its pixels if it has fewer). At least 2, or no interval can be given.
    pub floor: u64,
    /// The same seed and map give the same places.
    pub seed: u64,
}

/// One mapped class as a stratum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Code of the class.
    pub code: u8,
    /// Its pixels on the map.
    pub pixels: u64,
    /// Places drawn.
    pub samples: u64,
    /// Its share of all pixels with a class.
    pub weight: f64,
}

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplePoint {
    /// Row of the pixel.
    pub row: usize,
    /// Column of the pixel.
    pub column: usize,
    /// Mapped class, which is the stratum.
    pub code: u8,
}

/// A drawn sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratifiedSample {
    /// By code.
    pub strata: Vec<Stratum>,
    /// By row and column.
    pub points: Vec<SamplePoint>,
}

/// Draws a stratified random sample of pixels from a class map, without replacement.
///
/// `map` is row after row, `width` pixels each; code 0 is never drawn. Places are shared out in
/// proportion to the classes' pixels, after every class got the floor; within a class every pixel has the
/// same chance.
///
/// # Errors
/// [`AreaError::Width`] if the map is not made of rows of `width`, [`AreaError::TooFew`] or
/// [`AreaError::TooMany`] if `total` cannot be met.
///
/// # Source
/// Olofsson et al. 2014, section 5.1.1 (allocation with a floor); Floyd's sampling as in Bentley and
/// Floyd, *Programming pearls: a sample of brilliance*, CACM 30 (1987).
pub fn stratified_sample(
    map: &[u8],
    width: usize,
    design: &SampleDesign,
) -> Result<StratifiedSample, AreaError> {
    if width == 0 || !map.len().is_multiple_of(width) {
        return Err(AreaError::Width { pixels: map.len(), width });
    }
    let mut pixels = [0_u64; 256];
    for &code in map {
        pixels[code as usize] += 1;
    }
    let present: Vec<(u8, u64)> =
        (1..=255_u8).map(|code| (code, pixels[code as usize])).filter(|&(_, n)| n > 0).collect();
    let samples = allocate(&present, design)?;

    let mut wanted: Vec<Vec<u64>> = vec![Vec::new(); 256];
    for (&(code, pixels), &samples) in present.iter().zip(&samples) {
        // A stream of its own for each class: adding a class moves no other's places.
        let mut random = SplitMix(design.seed ^ (u64::from(code) << 56));
        wanted[code as usize] = random.distinct(samples, pixels);
    }
    let mut met = [0_u64; 256];
    let mut points = Vec::with_capacity(samples.iter().sum::<u64>() as usize);
    for (place, &code) in map.iter().enumerate() {
        let rank = met[code as usize];
        met[code as usize] += 1;
        if wanted[code as usize].last() == Some(&rank) {
            wanted[code as usize].pop();
            points.push(SamplePoint { row: place / width, column: place % width, code });
        }
    }
    let all: u64 = present.iter().map(|&(_, n)| n).sum();
    let stratum = |(&(code, pixels), &samples): (&(u8, u64), &u64)| Stratum {
        code,
        pixels,
        samples,
        weight: pixels as f64 / all as f64,
    };
    Ok(StratifiedSample { strata: present.iter().zip(&samples).map(stratum).collect(), points })
}

/// Shares places out: classes whose proportional share is under the floor get the floor, classes with
/// fewer pixels than their share give all, the others share the rest.
fn allocate(present: &[(u8, u64)], design: &SampleDesign) -> Result<Vec<u64>, AreaError> {
    let &SampleDesign { total, floor, .. } = design;
    let pixels: u64 = present.iter().map(|&(_, n)| n).sum();
    if total > pixels {
        return Err(AreaError::TooMany { total, pixels });
    }
    let least: Vec<u64> = present.iter().map(|&(_, n)| floor.min(n)).collect();
    if least.iter().sum::<u64>() > total {
        return Err(AreaError::TooFew { total, strata: present.len(), floor });
    }
    let mut samples = least;
    let mut left = total - samples.iter().sum::<u64>();
    // One place at a time to the class furthest below its share: at most `total` steps of a few classes,
    // exact in integers, and it meets floors, caps and the total at once.
    while left > 0 {
        let open = (0..present.len()).filter(|&i| samples[i] < present[i].1);
        let per_place = |i: usize| present[i].1 as f64 / (samples[i] as f64 + 1.0);
        let Some(next) =
            open.max_by(|&a, &b| per_place(a).total_cmp(&per_place(b)).then(b.cmp(&a)))
        else {
            break;
        };
        samples[next] += 1;
        left -= 1;
    }
    Ok(samples)
}

/// A generator that is a few lines and fixed for ever.
///
/// # Source
/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, every one with the same chance.
    ///
    /// # Source
    /// Lemire, *Fast random integer generation in an interval*, ACM TOMACS 29 (2019).
    fn below(&mut self, bound: u64) -> u64 {
        let refused = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= refused {
                return (product >> 64) as u64;
            }
        }
    }

    /// `count` different numbers below `bound`, largest first.
    fn distinct(&mut self, count: u64, bound: u64) -> Vec<u64> {
        let mut drawn = std::collections::BTreeSet::new();
        for top in bound - count..bound {
            let candidate = self.below(top + 1);
            if !drawn.insert(candidate) {
                drawn.insert(top);
            }
        }
        drawn.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 600 pixels of class 1, 300 of class 5, 10 of class 9, the rest without a class.
    fn map() -> Vec<u8> {
        (0..1000_u32)
            .map(|i| match i {
                0..600 => 1,
                600..900 => 5,
                900..910 => 9,
                _ => 0,
            })
            .collect()
    }

    fn draw(seed: u64) -> StratifiedSample {
        stratified_sample(&map(), 50, &SampleDesign { total: 100, floor: 5, seed }).unwrap()
    }

    /// By hand: class 9 holds 10 of 910 pixels and gets its floor of 5; the other 95 go 2 : 1.
    #[test]
    fn places_are_shared_out_in_proportion_after_the_floor() {
        let sample = draw(1);
        let got: Vec<_> = sample.strata.iter().map(|s| (s.code, s.pixels, s.samples)).collect();
        assert!(matches!(got[..], [(1, 600, 63 | 64), (5, 300, 31 | 32), (9, 10, 5)]), "{got:?}");
        assert_eq!(sample.points.len(), 100);
        assert!((sample.strata.iter().map(|s| s.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn places_are_distinct_on_their_class_and_the_same_for_a_seed() {
        let (map, sample) = (map(), draw(7));
        let places: std::collections::HashSet<_> =
            sample.points.iter().map(|p| (p.row, p.column)).collect();
        assert_eq!(places.len(), 100);
        for p in &sample.points {
            assert_eq!(map[p.row * 50 + p.column], p.code);
            assert_ne!(p.code, 0);
        }
        assert_eq!(sample, draw(7));
        assert_ne!(sample, draw(8));
    }

    /// Every pixel of class 5 is drawn with chance 32/300; over 2000 seeds counts spread by √(n p q) ≈ 14.
    #[test]
    fn every_pixel_of_a_class_has_the_same_chance() {
        let mut drawn = [0_u32; 1000];
        let mut expected = 0.0;
        for seed in 0..2000 {
            let sample = draw(seed);
            expected = sample.strata[1].samples as f64 / 300.0 * 2000.0;
            for p in &sample.points {
                drawn[p.row * 50 + p.column] += 1;
            }
        }
        for &count in &drawn[600..900] {
            assert!((f64::from(count) - expected).abs() < 70.0, "{count} against {expected}");
        }
    }

    #[test]
    fn small_classes_give_all_they_have() {
        let design = SampleDesign { total: 300, floor: 20, seed: 0 };
        assert_eq!(stratified_sample(&map(), 50, &design).unwrap().strata[2].samples, 10);
        let all = SampleDesign { total: 910, floor: 0, seed: 0 };
        assert_eq!(stratified_sample(&map(), 50, &all).unwrap().points.len(), 910);
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let draw = |total, floor| {
            stratified_sample(&map(), 50, &SampleDesign { total, floor, seed: 0 }).unwrap_err()
        };
        assert_eq!(draw(911, 0), AreaError::TooMany { total: 911, pixels: 910 });
        assert_eq!(draw(20, 10), AreaError::TooFew { total: 20, strata: 3, floor: 10 });
        let design = SampleDesign { total: 1, floor: 0, seed: 0 };
        assert!(matches!(stratified_sample(&map(), 33, &design), Err(AreaError::Width { .. })));
    }
}
