//! Labels, and their pixels in a store.

use std::collections::BTreeSet;
use std::path::Path;

use surco_core::Window;
use surco_data::{
    BatchSpec, Cube, LabelError, Labels, LabelsAsked, LeftOut, LeftOutPixels, Named, Naming,
    Sample, SeriesWindow, SpectralBand, read_cube, read_labels,
};
use surco_learn::MOST_UNLABELLED;
use surco_net::Model;
use surco_store::Store;

use crate::compare::spread_over;
use crate::exit::BadInput;
use crate::learning::{Labelled, days_of_store, say_of_labels, thinned};
use crate::screen::Screen;

/// A file of labels, and what its user says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) class_column: Option<&'a str>,
    pub(crate) epsg: Option<u32>,
    pub(crate) naming: Option<Naming>,
    /// Whether the column holds numbers in the stead of classes.
    pub(crate) numbers: bool,
}

impl<'a> LabelFile<'a> {
    /// A file that says all of itself.
    pub(crate) fn at(path: &'a Path) -> Self {
        Self { path, class_column: None, epsg: None, naming: None, numbers: false }
    }
}

/// Labels on the pixels of a store.
pub(crate) struct Read {
    pub(crate) labelled: Labelled,
    pub(crate) bands: Vec<SpectralBand>,
    pub(crate) names: Vec<String>,
    pub(crate) window: (i32, i32),
    pub(crate) unseen: usize,
    /// Series of the same cells, spread evenly, whatever grows there.
    pub(crate) unlabelled: Vec<Sample>,
    pub(crate) told: OfLabels,
}

/// What is told of a file of labels.
#[derive(Debug, Default)]
pub(crate) struct OfLabels {
    /// What was taken for granted, in words.
    pub(crate) assumed: Vec<String>,
    /// Labels that are not used.
    pub(crate) left_out: LeftOut,
    /// Pixels of theirs that are not used.
    pub(crate) left_out_pixels: LeftOutPixels,
    /// What classes became in a shared legend.
    pub(crate) named: Option<Named>,
}

/// Reads the labelled pixels of a store, at most `per_class` of each class in each cell.
pub(crate) fn read_labelled(
    store: &Path,
    file: &LabelFile<'_>,
    block_m: f64,
    per_class: usize,
    screen: &Screen,
) -> anyhow::Result<Read> {
    let store = Store::open(store)?;
    let cells = store.cells()?;
    let images = days_of_store(&store, &cells)?;
    let LabelFile { path, class_column, epsg, naming, numbers } = *file;
    let asked = LabelsAsked { class_column, epsg, images, naming, numbers };
    let mut labels = read_labels(path, &asked)?;
    let mut read = Read {
        labelled: Labelled::default(),
        bands: Vec::new(),
        names: Vec::new(),
        window: (i32::MAX, i32::MIN),
        unseen: 0,
        unlabelled: Vec::new(),
        told: OfLabels::default(),
    };
    let mut nowhere = None;
    let (mut used, mut grids) = (BTreeSet::new(), Vec::new());
    for cell in cells {
        let reader = store.cell(&cell)?;
        let size = (reader.rows, reader.cols);
        grids.push((reader.georef, size));
        let here = match labels.ground(&reader.georef, size) {
            Ok(here) => here,
            Err(
                error @ (LabelError::Nowhere { .. }
                | LabelError::Swapped { .. }
                | LabelError::OtherSystem { .. }),
            ) => {
                nowhere = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        labels.left_out_pixels.contradicted += here.contradicted;
        let here = here.points;
        let window = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        let cube = read_cube(&store, &SeriesWindow { cell, window }, None)?;
        used.extend(here.iter().map(|point| point.feature));
        let there = here.len();
        let here = thinned(here, per_class);
        if here.len() < there {
            screen
                .say(&format!("assumed: {} of {there} labelled pixels stand for all", here.len()));
        }
        read.unlabelled.extend(unlabelled(&cube));
        read.unseen += read.labelled.add(&cube, &here, block_m);
        read.bands.clone_from(&cube.bands);
        read.names.clone_from(&cube.band_names);
        let (first, last) = (cube.days[0], cube.days[cube.days.len() - 1]);
        read.window = (read.window.0.min(first.min(last - 364)), read.window.1.max(last + 1));
    }
    read.unlabelled = spread_over(&read.unlabelled, MOST_UNLABELLED);
    if let (true, Some(error)) = (read.labelled.samples.is_empty(), nowhere) {
        return Err(error.into());
    }
    labels.leave_out_unused(&used, &grids);
    say_of_labels(&labels, screen);
    let Labels { assumed, left_out, left_out_pixels, named, .. } = labels;
    read.told = OfLabels { assumed, left_out, left_out_pixels, named };
    let file = path.display();
    let names = read.labelled.names();
    match names.as_slice() {
        [] => {
            let text = format!(
                "labels {file}: no labelled pixel is in the store or was ever seen clearly"
            );
            Err(BadInput(text).into())
        }
        [one] => {
            let what = if numbers { "number" } else { "class" };
            let text = format!("labels {file} hold one {what} ({one}): at least two are needed");
            Err(BadInput(text).into())
        }
        _ => Ok(read),
    }
}

/// Series of a cube that were seen, spread evenly over it.
pub(crate) fn unlabelled(cube: &Cube) -> Vec<Sample> {
    let (rows, cols) = cube.size();
    // As many rows and columns as make about the most that is looked at.
    let side = (MOST_UNLABELLED as f64).sqrt().ceil() as usize;
    let places = |length: usize| spread_over(&(0..length).collect::<Vec<_>>(), side);
    let columns = places(cols);
    let of_row = |row: usize| columns.iter().map(move |&col| (row, col));
    let pixels: Vec<_> = places(rows).into_iter().flat_map(of_row).collect();
    cube.samples_of(&pixels).into_iter().filter(|sample| !sample.is_empty()).collect()
}

impl Read {
    /// How a model reads these series.
    pub(crate) fn spec(&self, model: &Model) -> BatchSpec {
        model.config.spec(&self.bands, self.window)
    }
}
