//! `surco evaluate pixels`: labelled pixels of a store.

use std::path::PathBuf;

use surco_eval::fewshot::{DrawDesign, draw_episodes, leads};
use surco_net::Device;

use super::learners::{self, Images};
use crate::command::adapt::{Columns, LabelFile, Prepared, read_labelled};
use crate::compare::{compare, table};
use crate::released;
use crate::screen::Screen;

/// Labelled pixels of a store, support from one part of it and query from the other
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate pixels --store flanders --labels label_CT.tif --shots 10 --support north --learner meteor=run-meteor/model"
)]
pub(super) struct Args {
    /// The store with the pixels
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Labels: .gpkg, .shp, .zip (of a Shapefile), .geojson, .parquet, .csv or .tif
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// A model that `surco meta` trained by inner steps, or METEOR, and the name of its row; again for each
    ///
    /// It learns each support by the steps it was trained for; METEOR from the chips around the labels. A row whose name begins with
    /// `surco` counts as ours.
    #[arg(long = "learner", value_name = "NAME=DIR")]
    learners: Vec<String>,
    /// Labels per class
    #[arg(long, value_delimiter = ',', default_value = "10")]
    shots: Vec<usize>,
    /// Number of seeds
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Most query pixels per class
    #[arg(long, default_value_t = 200)]
    queries: usize,
    /// Part of the area that labels come from; halves of 500 m blocks if not given
    #[arg(long, value_enum)]
    support: Option<Side>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    North,
    South,
    West,
    East,
}

pub(super) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (model, _) = released::model(args.model.as_deref(), device)?;
    let read = read_labelled(&args.store, &LabelFile::at(&args.labels), 500.0, usize::MAX, screen)?;
    let side = args.support.map(|side| on_side(&read.labelled.places, side));
    let design =
        DrawDesign { shots: args.shots.clone(), seeds: args.seeds, query_per_class: args.queries };
    let labelled = &read.labelled;
    let episodes = draw_episodes(&labelled.classes, &labelled.blocks, side.as_deref(), &design)?;
    let learners = learners::read(&args.learners, device)?;
    let images = Images::of(&read.labelled, &args.store, &learners)?;
    let features = Prepared::new(&read, &model, device);
    let columns = Columns::of(&read);
    let set = columns.set(&read, &model, &features);
    let asked = learners::Asked {
        set: &set,
        bands: &read.bands,
        window: read.window,
        episodes: &episodes,
        images: Some(&images),
    };
    // What a learner cannot be asked is said before the table is made.
    learners.iter().try_for_each(|learner| learner.check(&asked, screen))?;
    let mut result = compare(&set, &model, &episodes, 0, screen)?.table;
    for learner in &learners {
        result.rows.extend(learner.rows(&asked, screen)?);
    }
    result.leads = leads(&result.rows, "surco");
    let classes = episodes.first().map(|e| e.classes.join(", ")).unwrap_or_default();
    let text = format!("{}\nclasses: {classes}", table(&result));
    screen.result(&result, &text)?;
    Ok(0)
}

/// Which points lie on one side of the middle of all.
fn on_side(places: &[(f64, f64)], side: Side) -> Vec<bool> {
    let middle = |pick: fn(&(f64, f64)) -> f64| {
        let low = places.iter().map(pick).fold(f64::INFINITY, f64::min);
        let high = places.iter().map(pick).fold(f64::NEG_INFINITY, f64::max);
        f64::midpoint(low, high)
    };
    let (x, y) = (middle(|p| p.0), middle(|p| p.1));
    let inside = |p: &(f64, f64)| match side {
        Side::North => p.1 >= y,
        Side::South => p.1 < y,
        Side::West => p.0 < x,
        Side::East => p.0 >= x,
    };
    places.iter().map(inside).collect()
}
