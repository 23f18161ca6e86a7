//! `surco evaluate`: tables beside baselines.

mod eurocropsml;
mod ftw;
mod geobench;
mod learners;
mod pastis;
mod peers;
mod pixels;
mod pretraining;
mod ranks;
mod regression;
mod splits;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use surco_data::{Sample, SeriesTable, read_table};
use surco_eval::fewshot::{
    Episode, SeriesBand, SuiteResult, by_class, by_zone, csv, leads, markdown, read_recorded,
    zones_csv,
};
use surco_eval::report::{FewShotTable, Report, render_report};
use surco_net::Device;

use crate::compare::{Comparison, compare, table};
use crate::exit::{BadInput, Usage};
use crate::released;
use crate::screen::Screen;

/// Measures a model beside the baselines a reader would try first
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco evaluate fewshot --points set/points.parquet --series set/series.parquet --episodes set/episodes.jsonl\n  surco evaluate pixels --store valley --labels labels.geojson --model run/model"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    Eurocropsml(eurocropsml::Args),
    Fewshot(FewshotArgs),
    Ftw(ftw::Args),
    Geobench(geobench::Args),
    Pastis(pastis::Args),
    Pixels(pixels::Args),
    Pretraining(pretraining::Args),
    Ranks(ranks::Args),
    Regression(regression::Args),
    Splits(splits::Args),
}

/// Fixed episodes over a table of labelled series
///
/// `meta.json` beside the points says what each column is.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate fewshot --points set/points.parquet --series set/series.parquet --episodes set/episodes.jsonl --learner fomaml=run-meta/model"
)]
struct FewshotArgs {
    /// Points: point_id, lon, lat, class_name, block
    #[arg(long, value_name = "FILE")]
    points: PathBuf,
    /// Series: point_id, date, one column per band
    #[arg(long, value_name = "FILE")]
    series: PathBuf,
    /// Episodes, one JSON object a line
    #[arg(long, value_name = "FILE")]
    episodes: PathBuf,
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// A model that `surco meta` trained by inner steps and the name of its row; again for each
    ///
    /// It learns each support by the steps it was trained for. A row whose name begins with `surco` counts as ours.
    #[arg(long = "learner", value_name = "NAME=DIR")]
    learners: Vec<String>,
    /// A published encoder (`surco weights import`, or a `system` of `surco pretrain`) and the name of its rows; again for each
    ///
    /// NAME_lr is a logistic regression on its frozen embedding, NAME_adapter our adapter on it and the values. Where `surco meta` trained a
    /// lens behind it (config key peer), both read the embedding through that.
    #[arg(long = "peer", value_name = "NAME=DIR")]
    peers: Vec<String>,
    /// Scores that others reached on the same episodes, as rows beside ours
    ///
    /// JSON: results → method → k1, k2 … → per_seed. Methods that are measured here anyway are not taken from it.
    #[arg(long, value_name = "FILE")]
    recorded: Option<PathBuf>,
    /// Folder for table.json, table.csv, zones.csv where there are several, table.md and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the random forest and of the random encoder
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    match &args.suite {
        Suite::Fewshot(args) => fewshot(args, device, screen),
        Suite::Pixels(args) => pixels::run(args, device, screen),
        Suite::Regression(args) => regression::run(args, device, screen),
        Suite::Eurocropsml(args) => eurocropsml::run(args, device, screen),
        Suite::Ftw(args) => ftw::run(args, screen),
        Suite::Geobench(args) => geobench::run(args, screen),
        Suite::Pastis(args) => pastis::run(args, device, screen),
        Suite::Ranks(args) => ranks::run(args, screen),
        Suite::Splits(args) => splits::run(args, screen),
        Suite::Pretraining(args) => pretraining::run(args, device, screen),
    }
}

fn fewshot(args: &FewshotArgs, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (model, _) = released::model(args.model.as_deref(), device)?;
    let set = read_table(&args.points, &args.series)?;
    let mut episodes = read_episodes(&args.episodes)?;
    to_rows(&mut episodes, &set, &args.episodes)?;
    let (_, bands) = set.spectral();
    if bands.is_empty() {
        screen.say(&format!(
            "{}: no column has a wavelength, nothing an encoder can read; rows of surco read values alone",
            set.name
        ));
    }
    let spec = model.config.spec(&bands, set.window());
    let columns: Vec<SeriesBand> = set
        .bands
        .iter()
        .map(|b| SeriesBand { name: b.name.clone(), centre_nm: b.spectral.map(|s| s.centre_nm) })
        .collect();
    let samples: Vec<Sample> = (0..set.labels.len()).map(|p| set.sample(p)).collect();
    let blocks = set.block_numbers();
    let comparison = Comparison {
        name: &set.name,
        samples: &samples,
        values: &set.values,
        columns: &columns,
        days: &set.days,
        labels: &set.labels,
        places: Some(&set.places),
        spec,
        blocks: Some(&blocks),
        beside: None,
        parts: true,
    };
    let recorded = args.recorded.as_deref().map(read_recorded).transpose();
    let recorded = recorded.map_err(|e| BadInput(e.to_string()))?.unwrap_or_default();
    let learners = learners::read(&args.learners, device)?;
    let asked = learners::Asked {
        set: &comparison,
        bands: &bands,
        window: set.window(),
        episodes: &episodes,
        images: None,
    };
    learners.iter().try_for_each(|learner| learner.check(&asked, screen))?;
    let peers = peers::read(&args.peers, device)?;
    let mut result = compare(&comparison, &model, &episodes, args.seed, screen)?.table;
    for peer in &peers {
        result.rows.extend(peer.rows(&asked, &model, screen)?);
    }
    for learner in &learners {
        result.rows.extend(learner.rows(&asked, screen)?);
    }
    let measured: HashSet<String> = result.rows.iter().map(|r| r.method.clone()).collect();
    result.rows.extend(recorded.into_iter().filter(|r| !measured.contains(&r.method)));
    result.leads = leads(&result.rows, "surco");
    if let Some(out) = &args.out {
        write_fewshot(&result, &[], out)?;
    }
    screen.result(&result, &table(&result))?;
    Ok(0)
}

/// Episodes name points by their `point_id`; from here on they are rows.
fn to_rows(episodes: &mut [Episode], set: &SeriesTable, path: &Path) -> anyhow::Result<()> {
    let row: HashMap<i64, usize> = set.ids.iter().enumerate().map(|(i, &id)| (id, i)).collect();
    for Episode { seed, k, support, query, .. } in episodes {
        for point in support.iter_mut().chain(query) {
            let id = *point as i64;
            *point = *row.get(&id).ok_or_else(|| {
                let path = path.display();
                BadInput(format!(
                    "episodes {path}: seed {seed}, k = {k} names point {id}, which the set {} lacks",
                    set.name
                ))
            })?;
        }
    }
    Ok(())
}

/// The table of a few-shot suite as files; `protocol` says how it was run, where it is not the usual way.
fn write_fewshot(result: &SuiteResult, protocol: &[String], out: &Path) -> anyhow::Result<()> {
    let facts = result.facts.as_ref().map(ToString::to_string);
    let report = Report {
        title: format!("Few labels: {}", result.set),
        summary: result
            .leads
            .iter()
            .map(|lead| format!("{lead}. "))
            .chain(result.promises.iter().map(|promise| format!("{promise}. ")))
            .collect(),
        few_shot: Some(FewShotTable { result: result.clone(), ours: "surco".into() }),
        tables: by_class(result).into_iter().chain(by_zone(result)).collect(),
        assumed: protocol.iter().cloned().chain(facts).collect(),
        ..Report::default()
    };
    let files = [
        ("table.json", serde_json::to_string_pretty(result)?),
        ("table.csv", csv(result)),
        ("table.md", markdown(result)),
        ("report.html", render_report(&report)?),
    ];
    let zones = zones_csv(result).map(|text| ("zones.csv", text));
    write_files(out, &files.into_iter().chain(zones).collect::<Vec<_>>())
}

/// Name and folder of an option's `NAME=DIR`.
fn named_folder<'a>(option: &str, text: &'a str) -> Result<(&'a str, &'a str), Usage> {
    let parts = text.split_once('=').filter(|(name, dir)| !name.is_empty() && !dir.is_empty());
    parts.ok_or_else(|| Usage(format!("{option} {text}: expected NAME=DIR")))
}

/// Writes files of these names and texts into a folder, which is made.
fn write_files(out: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot make folder {}", out.display()))?;
    for (name, text) in files {
        let path = out.join(name);
        surco_core::write_whole(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn read_episodes(path: &Path) -> anyhow::Result<Vec<Episode>> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| BadInput(format!("cannot read episodes {}: {e}", path.display())))?;
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .with_context(|| format!("episodes {}, line {}", path.display(), i + 1))
    };
    text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> SeriesTable {
        SeriesTable {
            name: "gaps".into(),
            bands: Vec::new(),
            days: vec![0],
            values: ndarray::Array3::zeros((2, 1, 0)),
            ids: vec![5, 9],
            labels: vec!["a".into(), "b".into()],
            numbers: Vec::new(),
            splits: Vec::new(),
            starts: vec![0; 2],
            places: vec![[0.0; 2]; 2],
            blocks: vec![String::new(); 2],
            licence: String::new(),
        }
    }

    #[test]
    fn episodes_name_points_by_their_ids_and_not_by_their_rows() {
        let episode = |support: usize, query: usize| Episode {
            seed: 0,
            k: 1,
            classes: vec!["a".into(), "b".into()],
            support: vec![support],
            query: vec![query],
        };
        let mut known = [episode(9, 5)];
        to_rows(&mut known, &set(), Path::new("episodes.jsonl")).unwrap();
        assert_eq!((known[0].support[0], known[0].query[0]), (1, 0));
        let error = to_rows(&mut [episode(1, 5)], &set(), Path::new("episodes.jsonl")).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("episodes.jsonl") && told.contains("point 1,"), "{told}");
    }
}
