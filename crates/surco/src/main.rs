//! The command line: arguments, progress and exit codes.

mod command;
mod compare;
mod exit;
mod learning;
mod memory;
mod released;
mod screen;

use std::process::ExitCode;

use clap::{Args, Parser};

use surco_net::DeviceName;

use crate::command::Command;
use crate::screen::Screen;

/// From open satellite archives and a few labels to maps and areas with honest intervals
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Examples:\n  surco demo                       the whole path on a simulated valley, offline\n  surco doctor                     what this machine has and lacks\n  surco collect --catalog https://earth-search.aws.element84.com/v1 \\\n      --bbox=-71.3,-34.4,-71.2,-34.3 --season 2023 --store valley\n  surco pretrain pretrain.toml\n  surco adapt --labels labels.geojson --store valley --out task\n  surco map --task task --store valley --out map.tif\n\nExit codes: 0 done, 1 failed, 2 usage or config, 3 bad input data, 4 network or service, 5 finished with holes"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options every command takes.
#[derive(Args)]
struct Global {
    /// Threads to compute with; all cores if not given
    #[arg(long, global = true, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Device to compute on: cpu, or, in builds that have it, tch:cpu, tch:cuda:0, cuda:0, rocm:0,
    /// vulkan:0, wgpu:0, metal:0 (see `surco doctor`); `pretrain` and `meta` share their work between
    /// several: cuda:0,cuda:1
    #[arg(
        long,
        global = true,
        default_value = "cpu",
        value_name = "DEVICE",
        value_delimiter = ','
    )]
    device: Vec<DeviceName>,
    /// Progress as JSON lines on stderr, the result as one JSON object on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but the result and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::new(cli.global.json, cli.global.quiet);
    if let Some(threads) = cli.global.threads
        && let Err(error) =
            rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global()
    {
        screen.error(&anyhow::anyhow!(error));
        return exit::FAILED;
    }
    if let Err(error) = screen::listen_for_ctrl_c() {
        screen.error(&error);
        return exit::FAILED;
    }
    let devices: Result<Vec<_>, _> = cli.global.device.iter().map(|name| name.open()).collect();
    let done = match devices {
        Ok(devices) => cli.command.run(&devices, &screen),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(holes) if holes > 0 => exit::holes(),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            screen.error(&error);
            exit::code_of(&error)
        }
    }
}
