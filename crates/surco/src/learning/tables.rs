//! Tables of series as something to pre-train on: their labels are not read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use surco_data::{Exclusion, Sample, SpectralBand, read_table};
use surco_learn::SeriesPool;

use super::{NOTHING_LEFT, VALIDATION_SHARE, shift_of};
use crate::exit::BadInput;

/// Licences that let weights trained on a set be released.
const FREE: [&str; 7] = ["MIT", "CC-BY", "CC BY", "CC0", "Apache", "BSD", "Copernicus"];

/// What takes that freedom away again.
const BOUND: [&str; 5] = ["NC", "ND", "GPL", "evaluation only", "not read"];

/// How far a band's centre may lie from the pool's to be the same band, in nm.
const SAME_BAND_NM: f32 = 12.0;

/// Series of one table that may be seen.
pub(super) struct Table {
    pub(super) bands: Vec<SpectralBand>,
    /// For the model card.
    pub(super) told: String,
    series: Vec<(Sample, String)>,
}

pub(super) fn read(folders: &[PathBuf], exclusion: &Exclusion) -> anyhow::Result<Vec<Table>> {
    folders.iter().map(|folder| read_one(folder, exclusion)).collect()
}

fn read_one(folder: &Path, exclusion: &Exclusion) -> anyhow::Result<Table> {
    let table = read_table(&folder.join("points.parquet"), &folder.join("series.parquet"))?;
    if !is_free(&table.licence) {
        let text = format!(
            "table {} has licence `{}`: weights trained on it could not be released; only tables under {} are learned from",
            table.name,
            table.licence,
            FREE.join(", ")
        );
        return Err(BadInput(text).into());
    }
    let (_, bands) = table.spectral();
    if bands.is_empty() {
        let text = format!("table {} has no column with a wavelength", table.name);
        return Err(BadInput(text).into());
    }
    let mut series = Vec::new();
    for (point, [lon, lat]) in table.places.iter().enumerate() {
        let end = exclusion.end_on(Some([*lon, *lat, *lon, *lat]));
        let mut sample = table.sample(point);
        let known = sample.days.partition_point(|&day| day < end);
        sample.days.truncate(known);
        sample.values.truncate(known * bands.len());
        if sample.len() >= 2 {
            series.push((sample, table.blocks[point].clone()));
        }
    }
    if series.is_empty() {
        let text = format!("table {}: {NOTHING_LEFT}", table.name);
        return Err(BadInput(text).into());
    }
    let told = format!("{} ({} series; {})", table.name, series.len(), table.licence);
    Ok(Table { bands, told, series })
}

/// Whether weights trained on a set under this licence may be released.
fn is_free(licence: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| licence.contains(word));
    says(&FREE) && !says(&BOUND)
}

impl Table {
    /// The last day of any series.
    pub(super) fn last_day(&self) -> Option<i32> {
        self.series.iter().filter_map(|(s, _)| s.days.last()).max().copied()
    }

    /// Adds the series in the bands of the pool, moved by whole years to end before `end`; one block in
    /// eight is held out for validation.
    pub(super) fn add_to(&self, pool: &mut SeriesPool, end: i32) -> anyhow::Result<()> {
        let place = |band: &SpectralBand| {
            let off = |b: &SpectralBand| (b.centre_nm - band.centre_nm).abs();
            let own = self.bands.iter().enumerate().filter(|(_, b)| b.kind == band.kind);
            let near = own.min_by(|a, b| off(a.1).total_cmp(&off(b.1)));
            near.filter(|(_, b)| off(b) <= SAME_BAND_NM).map(|(i, _)| i)
        };
        let places: Vec<Option<usize>> = pool.bands.iter().map(place).collect();
        if places.iter().all(Option::is_none) {
            let text = format!("table {} has no band of the first source", self.told);
            return Err(BadInput(text).into());
        }
        let shift = shift_of(self.last_day().unwrap_or(end - 1), end);
        let blocks: BTreeSet<&String> = self.series.iter().map(|(_, block)| block).collect();
        let held: BTreeSet<&String> = blocks.into_iter().step_by(VALIDATION_SHARE).collect();
        for (sample, block) in &self.series {
            let dates = sample.values.chunks_exact(self.bands.len());
            let values =
                dates.flat_map(|date| places.iter().map(|p| p.map_or(f32::NAN, |p| date[p])));
            let moved = Sample {
                days: sample.days.iter().map(|d| d + shift).collect(),
                values: values.collect(),
                ..sample.clone()
            };
            pool.window.0 = pool.window.0.min(moved.days[0]);
            let side = if held.contains(block) { &mut pool.validation } else { &mut pool.train };
            side.push(moved);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sets_whose_licence_allows_it_are_learned_from() {
        for free in ["MIT (data file); labels: French RPG", "CC-BY-4.0", "Copernicus Sentinel data"]
        {
            assert!(is_free(free), "{free}");
        }
        for bound in [
            "",
            "GPL-3 (sperrorest, wiml)",
            "CC BY-NC-SA 4.0 (handbook text), GPL-3 (repository): evaluation only",
            "CC-BY-SA-4.0 (repository); licence of the original data set not read",
        ] {
            assert!(!is_free(bound), "{bound}");
        }
    }

    fn table() -> Table {
        let bands = [665.0, 842.0, 1610.0].map(|nm| SpectralBand::optical(nm, 30.0)).to_vec();
        let series = (0..64).map(|p| {
            let values = (0..6).map(|v| (p * 10 + v) as f32).collect();
            (Sample::series(vec![100, 200], values, false), format!("block {}", p / 4))
        });
        Table { bands, told: "toy".into(), series: series.collect() }
    }

    /// Bands of the pool: near infrared 2 nm off, blue that the table lacks. 201 + 3 years of days ends before
    /// day 1400.
    #[test]
    fn series_come_in_the_bands_of_the_pool_and_whole_blocks_are_held_out() {
        let bands = [840.0, 490.0].map(|nm| SpectralBand::optical(nm, 30.0)).to_vec();
        let mut pool = SeriesPool { bands, window: (1100, 1400), ..SeriesPool::default() };
        table().add_to(&mut pool, 1400).unwrap();
        assert_eq!((pool.train.len(), pool.validation.len()), (56, 8));
        assert_eq!(pool.validation[0].days, [1196, 1296]);
        assert_eq!(pool.validation[0].values[0], 1.0);
        assert!(pool.validation[0].values[1].is_nan());
        let held: BTreeSet<i32> = pool.validation.iter().map(|s| s.values[0] as i32 / 40).collect();
        assert!(pool.train.iter().all(|s| !held.contains(&(s.values[0] as i32 / 40))), "a leak");
    }

    #[test]
    fn a_table_of_other_bands_alone_is_refused() {
        let bands = vec![SpectralBand::optical(490.0, 30.0)];
        let mut pool = SeriesPool { bands, ..SeriesPool::default() };
        assert!(table().add_to(&mut pool, 400).is_err());
    }
}
