//! `surco evaluate pretraining`: what pre-training is worth, model by model.

mod frozen;
mod sets;
mod shallow;
mod tuned;
mod unseen;
mod windows;

use std::path::{Path, PathBuf};

use surco_core::Progress;
use surco_data::{Sample, SpectralBand};
use surco_eval::geobench::runs_csv;
use surco_eval::pretraining::{
    Column, Measured, PretrainingTable, RANDOM, RANDOM_UBARN, RAW_FOREST, RAW_LOGISTIC, Scores,
    SetTable, Splits, csv, draw_splits, html, markdown,
};
use surco_learn::Protocol;
use surco_net::{
    AnyModel, Device, FORECAST_FILES, Forecaster, Model, ModelConfig, Sight, SystemConfig, embed,
    fresh, load_forecaster,
};

use crate::exit::Usage;
use crate::screen::Screen;
use sets::{Area, LabelledSet};

/// Every model under one protocol: linear probe, neighbours and fine-tuning, beside random weights and raw values
///
/// Points are split by block into those to learn from, to choose by and judged on, anew for each seed. Random
/// weights of each size, a random forest and a logistic regression on raw values are always among the rows.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate pretraining --model masked=run1/model --model causal=run2/model --sets ine,maipo \\\n    --store flanders --labels label_CT.tif --within 3.15,51.02,3.16,51.03 --out table"
)]
pub(super) struct Args {
    /// A model under test and the name of its row; again for each model
    ///
    /// A name given again is another training run of the same row: seeds take the runs in turn, so that the spread is that of training too.
    #[arg(long = "model", value_name = "NAME=DIR", required = true)]
    models: Vec<String>,
    /// Folders of labelled series: points.parquet, series.parquet, meta.json
    #[arg(long, value_delimiter = ',', value_name = "DIR")]
    sets: Vec<PathBuf>,
    /// A store whose labelled pixels are a set too
    #[arg(long, value_name = "DIR", requires = "labels")]
    store: Option<PathBuf>,
    /// Labels of the store: .gpkg, .shp, .zip (of a Shapefile), .geojson, .parquet, .csv or .tif
    #[arg(long, value_name = "FILE", requires = "store")]
    labels: Option<PathBuf>,
    /// Side of the blocks of the store in m
    #[arg(long, default_value_t = 80.0, value_name = "M")]
    block_m: f64,
    /// West, south, east and north in degrees: only pixels of the store in there are used
    ///
    /// Hidden dates, dates to come and places seen on two sets of dates are asked about in there too.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true, requires = "store")]
    within: Option<Area>,
    /// At most so many labelled pixels of each class of the store, for every row, and what lies around them
    ///
    /// U-BARN reads windows of 16 × 16 pixels around them, and has the columns of its makers besides: a shallow decoder behind the
    /// encoder, frozen (FR) and fine-tuned (FT), beside random weights.
    #[arg(long, value_name = "N", requires = "store")]
    windows: Option<usize>,
    /// Number of seeds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(3..))]
    seeds: u64,
    /// Shares of the labels in percent
    #[arg(long, value_delimiter = ',', default_value = "1,5,10,100", value_name = "PERCENT",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    fractions: Vec<u32>,
    /// Without fine-tuning, which takes most of the time: probes and neighbours alone
    #[arg(long)]
    frozen: bool,
    /// Folder for table.json, table.csv, table.md, runs.csv and report.html
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// A row that is embedded: one model for all seeds, or several that seeds take in turn.
struct Entrant {
    name: String,
    /// Row of random weights it is compared with.
    beside: Option<String>,
    /// At least one; all of one kind and shape.
    models: Vec<AnyModel>,
    /// The head for dates to come of its first model, if that was taught to forecast.
    forecaster: Option<Forecaster>,
}

impl Entrant {
    fn at(&self, seed: usize) -> &AnyModel {
        &self.models[seed % self.models.len()]
    }

    /// Its first model, if it is of ours.
    fn ours(&self) -> Option<&Model> {
        match self.models.first() {
            Some(AnyModel::Surco(model)) => Some(model),
            Some(_) | None => None,
        }
    }
}

/// One labelled set, its splits and the shares of labels asked for.
struct Round<'a> {
    set: &'a LabelledSet,
    splits: &'a Splits,
    /// `[point]`; points of classes left out are in no split, and have class 0 here.
    labels: Vec<usize>,
    fractions: &'a [u32],
}

/// The score of one row and column at one seed.
struct Score {
    model: String,
    column: Column,
    seed: usize,
    value: f64,
}

pub(super) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (entrants, models) = entrants(args, device)?;
    let sets = sets::read(args, screen)?;
    let mut table = PretrainingTable {
        version: env!("CARGO_PKG_VERSION").into(),
        models,
        seeds: args.seeds,
        protocol: protocol(args),
        sets: Vec::new(),
        unseen: None,
    };
    if let Some(area) = args.within {
        table.unseen = Some(unseen::ask(args, area, &entrants, device, screen)?);
    }
    for set in &sets {
        let splits = draw_splits(&set.name, &set.labels, &set.blocks, args.seeds)?;
        let left_out = set.labels.len() - splits.labels.iter().flatten().count();
        if left_out > 0 {
            screen.say(&format!(
                "{}: {left_out} points of classes too rare to split left out",
                set.name
            ));
        }
        let labels = splits.labels.iter().map(|l| l.unwrap_or(0)).collect();
        let round = Round { set, splits: &splits, labels, fractions: &args.fractions };
        let tuned = if args.frozen { &[][..] } else { &entrants[..] };
        table.sets.push(measure(&round, &entrants, tuned, device, screen)?);
        // What is measured is kept, whatever happens to the sets that follow.
        write(&table, &args.out)?;
    }
    screen.result(&table, &markdown(&table))?;
    Ok(0)
}

fn measure(
    round: &Round<'_>,
    entrants: &[Entrant],
    tuned: &[Entrant],
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<SetTable> {
    let mut found = frozen::raw(round, screen)?;
    found.extend(frozen::embedded(round, entrants, device, screen)?);
    found.extend(tuned::all(round, tuned, device, screen)?);
    let protocols = [Protocol::Frozen, Protocol::FineTuned];
    let protocols = if tuned.is_empty() { &protocols[..1] } else { &protocols };
    found.extend(shallow::all(round, entrants, protocols, device, screen)?);
    found.sort_by_key(|score| score.seed);
    let mut scores = Scores::default();
    entrants.iter().for_each(|e| scores.row(&e.name, e.beside.as_deref()));
    if found.iter().any(|score| score.model == RANDOM_UBARN) {
        scores.row(RANDOM_UBARN, None);
    }
    [RAW_FOREST, RAW_LOGISTIC].iter().for_each(|name| scores.row(name, None));
    found.iter().for_each(|s| scores.add(&s.model, s.column, s.value));
    Ok(SetTable::new(&round.set.name, round.splits, &scores))
}

/// Models under test, then the encoder nobody trained in each of their forms.
fn entrants(args: &Args, device: &Device) -> anyhow::Result<(Vec<Entrant>, Vec<Measured>)> {
    let (mut entrants, mut measured): (Vec<Entrant>, Vec<Measured>) = Default::default();
    let mut forms: Vec<ModelConfig> = Vec::new();
    for text in &args.models {
        let (name, folder) = super::named_folder("--model", text)?;
        let path = Path::new(folder);
        let (model, weights_sha256) = AnyModel::load(path, device)?;
        let (name, folder) = (name.to_string(), folder.into());
        let about = Measured { name: name.clone(), folder, weights_sha256: weights_sha256.clone() };
        measured.push(about);
        if let Some(entrant) = entrants.iter_mut().find(|e| e.name == name) {
            if !is_like(entrant.at(0), &model) {
                let text = format!(
                    "--model {text}: its kind or size is not that of the run before of {name}: give it a row of its own"
                );
                return Err(Usage(text).into());
            }
            entrant.models.push(model);
            continue;
        }
        let (mut beside, mut forecaster) = (None, None);
        if let AnyModel::Surco(model) = &model {
            if path.join(FORECAST_FILES[0]).is_file() {
                let width = model.encoder.width();
                forecaster = Some(load_forecaster(path, width, &weights_sha256, device)?);
            }
            if !forms.iter().any(|form| has_form(form, &model.config)) {
                forms.push(model.config.clone());
            }
        } else if matches!(model, AnyModel::UBarn(_)) {
            beside = Some(RANDOM_UBARN.to_string());
        }
        entrants.push(Entrant { name, beside, models: vec![model], forecaster });
    }
    for entrant in &mut entrants {
        let Some(own) = entrant.ours().map(|model| &model.config) else { continue };
        let beside = forms.iter().find(|f| has_form(f, own)).map(|f| random_name(&forms, f));
        entrant.beside = beside;
    }
    entrants.extend(forms.iter().map(|form| Entrant {
        name: random_name(&forms, form),
        beside: None,
        models: (0..args.seeds).map(|seed| untrained(form, seed, device)).collect(),
        forecaster: None,
    }));
    Ok((entrants, measured))
}

/// Whether models differ in nothing but what they learned from.
fn is_like(a: &AnyModel, b: &AnyModel) -> bool {
    match (a, b) {
        (AnyModel::Surco(a), AnyModel::Surco(b)) => has_form(&a.config, &b.config),
        (AnyModel::EarthPt(a), AnyModel::EarthPt(b)) => a.config.params() == b.config.params(),
        (AnyModel::Ofa(a), AnyModel::Ofa(b)) => a.config.params() == b.config.params(),
        _ => a.kind() == b.kind(),
    }
}

/// Whether models of ours differ in nothing but what they learned from.
fn has_form(a: &ModelConfig, b: &ModelConfig) -> bool {
    (a.size, a.sight) == (b.size, b.sight)
}

fn random_name(forms: &[ModelConfig], form: &ModelConfig) -> String {
    match (forms.len(), form.sight) {
        (1, _) => RANDOM.into(),
        (_, Sight::Whole) => format!("{RANDOM} ({})", form.size.name()),
        (_, Sight::Past) => format!("{RANDOM} ({}, looking back)", form.size.name()),
    }
}

fn untrained(form: &ModelConfig, seed: u64, device: &Device) -> AnyModel {
    let encoder = fresh(form.size, seed ^ 0x5EED_0000, device).with_sight(form.sight);
    AnyModel::Surco(Box::new(Model { encoder, config: form.clone() }))
}

/// What a frozen model makes of samples, `[n, d]`, one row a sample.
fn embedding(
    model: &Model,
    samples: &[&Sample],
    bands: &[SpectralBand],
    window: (i32, i32),
    device: &Device,
) -> ndarray::Array2<f32> {
    embed(model, samples, &model.config.spec(bands, window), device)
}

fn protocol(args: &Args) -> Vec<String> {
    let windows = args.windows.map(|most| {
        format!(
            "At most {most} labelled pixels of each class of the store. U-BARN reads windows of 16 × 16 pixels around them on at most {} dates, seen whole. FR: its encoder frozen, under one learned query over dates and a linear map (300 steps of 16 windows); FT: both trained (100 steps of 8). Nothing is chosen by validation blocks there. Windows of different blocks may share pixels, never labels.",
            windows::MOST_DATES
        )
    });
    let mut lines = vec![
        format!(
            "{} seeds. Each draws a new split by block: about three fifths of the blocks to learn from, a fifth to choose settings by, a fifth judged on; no block lies in two parts.",
            args.seeds
        ),
        "Classes with fewer than 15 points or 4 blocks are left out, and the rarest while some class cannot be in every part.".into(),
        "A share of labels is a share of the points to learn from, at least one of each class, the same for every row; a smaller share is part of a larger one. The points to choose by keep their labels in every column, for every row that chooses.".into(),
        "probe: logistic regression on the frozen embedding, z-scored by the points to learn from; its penalty is chosen by validation blocks. kNN: the five nearest by cosine.".into(),
        "fine-tune: encoder and linear head learn by AdamW, 32 labels a step, at most 600 steps; learning rate (0.0003 or 0.002) and the moment to stop are chosen by validation blocks. From random weights this is training from scratch.".into(),
        "Published systems have probe and kNN of their own embedding; EarthPT and OFA-Net are fine-tuned as ours are. Where one cannot read a set it says why, and its row stays empty.".into(),
        "A row of several training runs takes them in turn, a run a seed; dates not shown are asked of its first.".into(),
        "Random weights are drawn anew for each seed. Raw values are the same reflectances with gaps filled in time, and NDVI; their rows stand under probe.".into(),
        "Differences are paired by seed; intervals are 95 %, Student's t widened because splits of one set share points (Nadeau and Bengio 2003).".into(),
    ];
    lines.extend(windows);
    lines
}

fn write(table: &PretrainingTable, out: &Path) -> anyhow::Result<()> {
    let files = [
        ("table.json", serde_json::to_string_pretty(table)?),
        ("table.csv", csv(table)),
        ("table.md", markdown(table)),
        ("runs.csv", runs_csv(table)),
        ("report.html", html(table)?),
    ];
    super::write_files(out, &files)
}

/// Refuses to go on once the user asked to stop.
fn go_on(progress: &dyn Progress) -> anyhow::Result<()> {
    anyhow::ensure!(
        !progress.stopped(),
        "stopped by the user; sets already measured are in the folder"
    );
    Ok(())
}
