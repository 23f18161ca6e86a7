//! `surco evaluate ranks`: methods ranked over several sets.

use std::path::{Path, PathBuf};

use anyhow::Context;
use surco_eval::fewshot::SuiteResult;
use surco_eval::ranks::{RankTable, csv, diagram_svg, html, markdown, rank_methods};

use super::write_files;
use crate::exit::BadInput;
use crate::screen::Screen;

/// Average ranks of methods over several sets and numbers of labels, with the tests that say which differ
///
/// Each result is a table.json of `surco evaluate fewshot --out`. Methods that every set has are ranked, the others are
/// named.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco evaluate ranks ine/table.json maipo/table.json cawa/table.json --out ranks"
)]
pub(super) struct Args {
    /// Results of `surco evaluate fewshot`, one a set
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    results: Vec<PathBuf>,
    /// The row that is compared with each other
    #[arg(long, value_name = "METHOD", default_value = "surco")]
    ours: String,
    /// Folder for table.json, table.csv, table.md, ranks.svg and report.html
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let results: Vec<SuiteResult> =
        args.results.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?;
    let table = rank_methods(&results, &args.ours)?;
    if let Some(out) = &args.out {
        let files = [
            ("table.json", serde_json::to_string_pretty(&table)?),
            ("table.csv", csv(&table)),
            ("table.md", markdown(&table)),
            ("ranks.svg", diagram_svg(&table)),
            ("report.html", html(&table)?),
        ];
        write_files(out, &files)?;
    }
    screen.result(&table, &text(&table))?;
    Ok(0)
}

fn read(path: &Path) -> anyhow::Result<SuiteResult> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| BadInput(format!("cannot read result {}: {e}", path.display())))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no result of `surco evaluate fewshot`", path.display()))
}

fn text(table: &RankTable) -> String {
    let mut text = format!(
        "{} tasks, critical difference {:.2}, Friedman p = {:.1e}\n{:<20}{:>8}",
        table.tasks.len(),
        table.critical_difference,
        table.friedman.p,
        "average rank",
        "all"
    );
    let ks = table.methods.first().map_or(&[][..], |m| &m.by_k);
    ks.iter().for_each(|(k, _)| text += &format!("{:>8}", format!("k = {k}")));
    for method in &table.methods {
        text += &format!("\n{:<20}{:>8.2}", method.method, method.average_rank);
        method.by_k.iter().for_each(|(_, rank)| text += &format!("{rank:>8.2}"));
    }
    for duel in &table.duels {
        text += &format!(
            "\n{} against {}: {:+.1} points, ahead on {} of {} tasks; won {}, tied {}, lost {}; Wilcoxon p = {:.1e}, {:.1e} by Holm",
            table.ours,
            duel.against,
            100.0 * duel.mean,
            duel.ahead,
            table.tasks.len(),
            duel.won,
            duel.tied,
            duel.lost,
            duel.p,
            duel.p_holm
        );
    }
    for left in &table.left_out {
        text += &format!("\nnot ranked: {}, lacking in {} tasks", left.method, left.lacks.len());
    }
    text
}
