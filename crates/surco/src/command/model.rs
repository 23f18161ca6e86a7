//! `surco model`: what models are and cost.

use clap::Subcommand;
use surco_net::Size;

use crate::screen::Screen;

/// Tokens of a series at which the cost of a token is told: a season, and some years of a dense archive.
const TOLD_TOKENS: [usize; 2] = [64, 512];

/// What the models of the family are and cost
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco model describe nano")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Describe(DescribeArgs),
}

/// Parameters, operations and memory of a size
///
/// Operations are those of a forward pass for one token of one pixel and ten bands; training takes about three
/// times as many. Memory is that of the weights, and of weights, gradients and optimiser in training, without
/// activations.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco model describe base")]
struct DescribeArgs {
    /// nano, micro, small, base, large, xl, 1b or 2b
    size: Size,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let Verb::Describe(DescribeArgs { size }) = args.verb;
    let [short, long] = TOLD_TOKENS.map(|tokens| size.flops_per_token(tokens));
    let json = serde_json::json!({
        "size": size,
        "width": size.width(),
        "layers": size.layers(),
        "heads": size.heads(),
        "parameters": size.params(),
        "forward_flops_per_token": { "tokens_64": short, "tokens_512": long },
        "weight_bytes_bf16": size.weight_bytes(),
        "training_bytes": size.training_bytes(),
    });
    let text = format!(
        "{size}: {} wide, {} layers, {} heads\n\
         parameters            {:>14}\n\
         forward FLOP a token  {:>14} among 64 tokens, {} among 512\n\
         weights in bf16       {:>14} bytes\n\
         in training           {:>14} bytes and activations",
        size.width(),
        size.layers(),
        size.heads(),
        size.params(),
        short,
        long,
        size.weight_bytes(),
        size.training_bytes(),
    );
    screen.result(&json, &text)?;
    Ok(0)
}
