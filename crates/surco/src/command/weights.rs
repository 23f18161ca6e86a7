//! `surco weights`: models in from other programs, and out to them.

use std::path::PathBuf;

use surco_net::{Peer, export_int8, export_model, import_peer};

use crate::screen::Screen;

/// Brings the weights of other models in, and models out to others
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco weights import --from presto default_model.pt --out presto\n  surco weights export --model run/model --out hub"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Import(ImportArgs),
    Export(ExportArgs),
}

/// Writes the encoder in a PyTorch file as a model folder; nothing in the file is run
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco weights import --from presto default_model.pt --out presto\n  surco weights import --from galileo encoder.pt --out galileo"
)]
struct ImportArgs {
    /// File that torch.save wrote: a state dict
    file: PathBuf,
    /// Whose weights these are
    #[arg(long, value_name = "MODEL", value_parser = Peer::ALL.map(Peer::name))]
    from: String,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Checks a model folder and copies what others need of it: weights, card and config
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  surco weights export --model run/model --out hub\n  surco weights export --int8 --model run/model --out small"
)]
struct ExportArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Matrices as 8-bit numbers: a quarter of the bytes
    #[arg(long)]
    int8: bool,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    match &args.verb {
        Verb::Import(args) => import(args, screen),
        Verb::Export(args) => export(args, screen),
    }
}

fn import(args: &ImportArgs, screen: &Screen) -> anyhow::Result<u64> {
    let peer = Peer::named(&args.from).expect("the parser lets only these names through");
    let imported = import_peer(peer, &args.file, &args.out)?;
    let json = serde_json::json!({
        "model": args.out,
        "kind": peer.name(),
        "tensors": imported.tensors,
        "parameters": imported.parameters,
        "weights_sha256": imported.weights_sha256,
    });
    let text = format!(
        "{peer}: {} tensors, {} parameters\nmodel: {}",
        imported.tensors,
        imported.parameters,
        args.out.display()
    );
    screen.result(&json, &text)?;
    Ok(0)
}

fn export(args: &ExportArgs, screen: &Screen) -> anyhow::Result<u64> {
    let export = if args.int8 { export_int8 } else { export_model };
    let exported = export(&args.model, &args.out)?;
    let json = serde_json::json!({
        "model": args.out,
        "kind": exported.kind,
        "weights_sha256": exported.weights_sha256,
        "files": exported.files,
    });
    let files: Vec<String> = exported.files.iter().map(|f| f.display().to_string()).collect();
    screen.result(&json, &format!("{}: checked\n{}", exported.kind, files.join("\n")))?;
    Ok(0)
}
