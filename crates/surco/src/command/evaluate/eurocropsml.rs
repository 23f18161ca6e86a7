//! `surco evaluate eurocropsml`: few labels of crop types on parcels of a country that was not learned from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use surco_data::Sample;
use surco_data::eurocropsml::{
    ParcelSplit, class_of, parcel_bands, parcels_folder, read_parcel, read_split, split_file,
};
use surco_eval::fewshot::Episode;
use surco_eval::suite::SuiteName;
use surco_net::Device;

use super::write_fewshot;
use crate::compare::{Comparison, columns_of, compare, on_one_axis, spread_over, table};
use crate::exit::BadInput;
use crate::released;
use crate::screen::Screen;

/// EuroCropsML: crop types of parcels from few labels, on its published splits
///
/// The first seed learns from the published parcels, the others draw theirs from the split's; all are judged on its test parcels.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate eurocropsml eurocropsml --split latvia_vs_estonia --shots 1,5,10,20 --out table"
)]
pub(super) struct Args {
    /// Folder with preprocess/ and split/
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Name of the split
    #[arg(long, default_value = "latvia_vs_estonia")]
    split: String,
    /// Labels per class
    #[arg(long, value_delimiter = ',', default_value = "1,5,10,20")]
    shots: Vec<usize>,
    /// Number of seeds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(5..))]
    seeds: u64,
    /// Most test parcels, taken evenly; all if not given
    #[arg(long, value_name = "N")]
    queries: Option<usize>,
    /// Model folder; the released nano model if not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Folder for table.json, table.csv, table.md and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Who learns and who is judged in one episode, as file names.
struct Draw {
    seed: u64,
    k: usize,
    train: Vec<String>,
}

pub(super) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let suite = SuiteName::EuroCropsMl.describe();
    suite.check(&args.folder)?;
    let all = split_file(&args.folder, &args.split, None);
    if !all.exists() {
        return Err(suite.missing(all).into());
    }
    let all = read_split(&all)?;
    let test = spread_over(&all.test, args.queries.unwrap_or(usize::MAX));
    let draws = draws(args, &all)?;
    let used = draws.iter().flat_map(|draw| &draw.train).chain(&test).cloned();
    let used: BTreeSet<String> = used.collect();
    let files: Vec<&String> = used.iter().collect();
    let (samples, labels) = read_parcels(&parcels_folder(&args.folder), &files)?;
    let episodes = episodes(draws, &test, &files, &labels, screen);
    let (model, _) = released::model(args.model.as_deref(), device)?;
    let bands = parcel_bands();
    let names: Vec<String> = surco_core::S2_BANDS.iter().map(|b| b.name.into()).collect();
    let (days, values) = on_one_axis(&samples, bands.len());
    let (Some(&first), Some(&last)) = (days.first(), days.last()) else {
        let text = format!("split {}: nothing was ever seen of its parcels", args.split);
        return Err(BadInput(text).into());
    };
    let places: Vec<[f64; 2]> = samples.iter().filter_map(|s| s.site.lonlat).collect();
    let name = format!("EuroCropsML {}", args.split);
    let comparison = Comparison {
        name: &name,
        samples: &samples,
        values: &values,
        columns: &columns_of(&bands, &names),
        days: &days,
        labels: &labels,
        places: Some(&places),
        spec: model.config.spec(&bands, (first.min(last - 364), last + 1)),
        blocks: None,
        beside: None,
        parts: true,
    };
    let result = compare(&comparison, &model, &episodes, 0, screen)?.table;
    if let Some(out) = &args.out {
        write_fewshot(&result, &suite.protocol, out)?;
    }
    screen.result(&result, &table(&result))?;
    Ok(0)
}

/// Draws as episodes over parcels in the order of `files`; test parcels of classes without a label are left out.
fn episodes(
    draws: Vec<Draw>,
    test: &[String],
    files: &[&String],
    labels: &[String],
    screen: &Screen,
) -> Vec<Episode> {
    let row: BTreeMap<&str, usize> =
        files.iter().enumerate().map(|(i, file)| (file.as_str(), i)).collect();
    let mut left_out = 0;
    let episode = |Draw { seed, k, train }: Draw| {
        let support: Vec<usize> = train.iter().map(|file| row[file.as_str()]).collect();
        let classes: BTreeSet<&String> = support.iter().map(|&p| &labels[p]).collect();
        let asked = test.iter().map(|file| row[file.as_str()]);
        let query: Vec<usize> = asked.filter(|&p| classes.contains(&labels[p])).collect();
        left_out = left_out.max(test.len() - query.len());
        Episode { seed, k, classes: classes.into_iter().cloned().collect(), support, query }
    };
    let episodes = draws.into_iter().map(episode).collect();
    if left_out > 0 {
        screen.say(&format!(
            "{left_out} of {} test parcels are of classes without a label: left out",
            test.len()
        ));
    }
    episodes
}

/// Parcels to learn from for each number of labels and seed: those published, then draws from all of the split.
fn draws(args: &Args, all: &ParcelSplit) -> anyhow::Result<Vec<Draw>> {
    let mut by_class: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for file in &all.train {
        by_class.entry(class_of(file)?).or_default().push(file);
    }
    let judged: BTreeSet<&String> = all.test.iter().collect();
    let mut draws = Vec::new();
    for &k in &args.shots {
        let path = split_file(&args.folder, &args.split, Some(k));
        if !path.exists() {
            return Err(SuiteName::EuroCropsMl.describe().missing(path).into());
        }
        let published = read_split(&path)?.train;
        if let Some(both) = published.iter().find(|file| judged.contains(file)) {
            let text = format!("split {}: {both} is learned from and judged", path.display());
            return Err(BadInput(text).into());
        }
        draws.push(Draw { seed: 0, k, train: published });
        for seed in 1..args.seeds {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut train = Vec::new();
            for files in by_class.values() {
                let mut files = files.clone();
                files.shuffle(&mut rng);
                train.extend(files.into_iter().take(k).cloned());
            }
            draws.push(Draw { seed, k, train });
        }
    }
    Ok(draws)
}

/// Series and classes of parcels, in the order of their files.
fn read_parcels(folder: &Path, files: &[&String]) -> anyhow::Result<(Vec<Sample>, Vec<String>)> {
    let read = |file: &&String| read_parcel(&folder.join(file));
    let parcels: Vec<_> = files.par_iter().map(read).collect::<Result<_, _>>()?;
    Ok(parcels.into_iter().map(|parcel| (parcel.sample, parcel.class)).unzip())
}
