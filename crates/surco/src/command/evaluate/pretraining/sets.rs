//! Labelled sets as the protocol reads them.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use ndarray::{Array2, Array3};
use surco_data::{Sample, SpectralBand, read_table};
use surco_eval::fewshot::SeriesBand;
use surco_eval::prepare::{columns, fill_gaps, red_and_nir};

use super::Args;
use super::windows::{Place, around};
use crate::command::adapt::{LabelFile, read_labelled};
use crate::compare::{columns_of, on_one_axis, spread_over};
use crate::exit::{BadInput, Usage};
use crate::learning::Labelled;
use crate::screen::Screen;

/// West, south, east and north in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area([f64; 4]);

impl FromStr for Area {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<f64> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
        match *numbers.as_slice() {
            [w, s, e, n] if w < e && s < n => Ok(Self([w, s, e, n])),
            _ => {
                Err("expected west,south,east,north in degrees, west < east and south < north"
                    .into())
            }
        }
    }
}

impl Area {
    pub(super) fn holds(self, lonlat: Option<[f64; 2]>) -> bool {
        let Self([west, south, east, north]) = self;
        lonlat
            .is_some_and(|[lon, lat]| (west..east).contains(&lon) && (south..north).contains(&lat))
    }
}

/// Labelled series of one set.
pub(super) struct LabelledSet {
    pub(super) name: String,
    pub(super) samples: Vec<Sample>,
    /// What lies around each point, where it is asked for.
    pub(super) windows: Option<Vec<Sample>>,
    pub(super) bands: Vec<SpectralBand>,
    pub(super) window: (i32, i32),
    pub(super) labels: Vec<String>,
    pub(super) blocks: Vec<u64>,
    /// `[point, column]`: reflectances with gaps filled, and NDVI.
    pub(super) raw: Array2<f64>,
}

pub(super) fn read(args: &Args, screen: &Screen) -> anyhow::Result<Vec<LabelledSet>> {
    let mut sets: Vec<LabelledSet> =
        args.sets.iter().map(|folder| table(folder)).collect::<Result<_, _>>()?;
    if let (Some(store), Some(labels)) = (&args.store, &args.labels) {
        sets.push(pixels(store, labels, args, screen)?);
    }
    if sets.is_empty() {
        return Err(Usage("nothing to measure on: give --sets or --store".into()).into());
    }
    Ok(sets)
}

fn table(folder: &Path) -> anyhow::Result<LabelledSet> {
    let table = read_table(&folder.join("points.parquet"), &folder.join("series.parquet"))?;
    let (places, bands) = table.spectral();
    if bands.is_empty() {
        let text = format!(
            "set {} has no column with a wavelength: nothing an encoder can read",
            table.name
        );
        return Err(BadInput(text).into());
    }
    let (points, times, _) = table.values.dim();
    let shape = (points, times, bands.len());
    let values = Array3::from_shape_fn(shape, |(p, t, b)| table.values[[p, t, places[b]]]);
    let own: Vec<SeriesBand> = places
        .iter()
        .map(|&b| SeriesBand {
            name: table.bands[b].name.clone(),
            centre_nm: table.bands[b].spectral.map(|s| s.centre_nm),
        })
        .collect();
    Ok(LabelledSet {
        samples: (0..points).map(|p| table.sample(p)).collect(),
        windows: None,
        window: table.window(),
        raw: raw(&values, &table.days, &own),
        blocks: table.block_numbers(),
        name: table.name,
        bands,
        labels: table.labels,
    })
}

fn pixels(
    store: &Path,
    labels: &Path,
    args: &Args,
    screen: &Screen,
) -> anyhow::Result<LabelledSet> {
    let read = read_labelled(store, &LabelFile::at(labels), args.block_m, usize::MAX, screen)?;
    let own = &read.labelled;
    let mut inside: Vec<usize> = (0..own.samples.len())
        .filter(|&p| args.within.is_none_or(|area| area.holds(own.samples[p].site.lonlat)))
        .collect();
    let windows = match args.windows {
        Some(most) => {
            let windows = with_windows(&mut inside, own, (store, most), screen)?;
            Some(windows)
        }
        None => None,
    };
    if inside.is_empty() {
        let text = format!("labels {}: none lies in the area of --within", labels.display());
        return Err(BadInput(text).into());
    }
    let samples: Vec<Sample> = inside.iter().map(|&p| own.samples[p].clone()).collect();
    let (days, values) = on_one_axis(&samples, read.bands.len());
    let name = store.file_name().unwrap_or(store.as_os_str()).to_string_lossy().into_owned();
    Ok(LabelledSet {
        name,
        raw: raw(&values, &days, &columns_of(&read.bands, &read.names)),
        samples,
        windows,
        labels: inside.iter().map(|&p| own.classes[p].clone()).collect(),
        blocks: inside.iter().map(|&p| own.blocks[p]).collect(),
        bands: read.bands,
        window: read.window,
    })
}

/// Keeps at most so many points of each class, those that have a window of their own, and gives the windows.
fn with_windows(
    points: &mut Vec<usize>,
    labelled: &Labelled,
    (store, most): (&Path, usize),
    screen: &Screen,
) -> anyhow::Result<Vec<Sample>> {
    let mut by_class: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &point in points.iter() {
        by_class.entry(&labelled.classes[point]).or_default().push(point);
    }
    let asked: Vec<usize> = by_class.values().flat_map(|all| spread_over(all, most)).collect();
    let place =
        |&p: &usize| Place { at_m: labelled.places[p], lonlat: labelled.samples[p].site.lonlat };
    let found = around(store, &asked.iter().map(place).collect::<Vec<_>>())?;
    let kept: (Vec<usize>, Vec<Sample>) =
        asked.iter().zip(found).filter_map(|(&p, window)| Some((p, window?))).unzip();
    screen.say(&format!(
        "{} of {} labelled pixels asked for are used; the others have no window that two dates show whole",
        kept.0.len(),
        asked.len()
    ));
    *points = kept.0;
    Ok(kept.1)
}

fn raw(values: &Array3<f32>, days: &[i32], bands: &[SeriesBand]) -> Array2<f64> {
    columns(&fill_gaps(values.view(), days), red_and_nir(bands))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_holds_its_west_and_south_edge_and_says_what_it_expects() {
        let area: Area = "-71.5, -36,-71,-35.5".parse().unwrap();
        assert!(area.holds(Some([-71.5, -36.0])) && !area.holds(Some([-71.0, -36.0])));
        assert!(!area.holds(None), "a pixel of unknown place is not inside");
        for wrong in ["1,2,3", "3,0,1,2", "a,b,c,d"] {
            assert!(wrong.parse::<Area>().unwrap_err().contains("west,south,east,north"));
        }
    }
}
