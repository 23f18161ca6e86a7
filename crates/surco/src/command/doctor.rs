//! `surco doctor`: what this machine has and lacks.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use surco_net::{Device, Engine};

use crate::released;
use crate::screen::Screen;

/// Says what this machine has and lacks, with remedies
#[derive(clap::Args)]
#[command(after_help = "Example:\n  surco doctor --dir /data")]
pub(crate) struct Args {
    /// Folder whose disk is looked at
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Catalog whose host is asked for a connection
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
}

/// Memory that a collection needs, in MB.
const NEEDED_MB: u64 = 2048;

/// Free disk that the demo needs, in MB.
const NEEDED_DISK_MB: u64 = 1024;

struct Finding {
    what: &'static str,
    found: String,
    remedy: Option<&'static str>,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let findings = [
        cpu(),
        vectors(),
        memory(),
        disk(&args.dir),
        writable(&args.dir),
        devices(),
        weights(),
        network(args.catalog.as_deref()),
    ];
    let mut text = String::new();
    for f in &findings {
        let mark = if f.remedy.is_some() { "!!" } else { "ok" };
        text += &format!("{mark}  {:<10} {}\n", f.what, f.found);
        if let Some(remedy) = f.remedy {
            text += &format!("    {:<10} {remedy}\n", "");
        }
    }
    let json: Vec<serde_json::Value> = findings
        .iter()
        .map(|f| {
            serde_json::json!({
                "what": f.what, "found": f.found, "ok": f.remedy.is_none(), "remedy": f.remedy,
            })
        })
        .collect();
    screen.result(&serde_json::json!({ "findings": json }), &text)?;
    Ok(0)
}

fn cpu() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Finding { what: "cores", found: cores.to_string(), remedy: None }
}

fn vectors() -> Finding {
    #[cfg(target_arch = "x86_64")]
    let (found, remedy) = if std::is_x86_feature_detected!("avx512f") {
        ("AVX-512", None)
    } else if std::is_x86_feature_detected!("avx2") {
        ("AVX2", None)
    } else {
        (
            "neither AVX2 nor AVX-512",
            Some("training and mapping will be slow: use a newer processor"),
        )
    };
    #[cfg(not(target_arch = "x86_64"))]
    let (found, remedy) = (std::env::consts::ARCH, None);
    Finding { what: "vectors", found: found.into(), remedy }
}

/// A value of `/proc/meminfo` in MB.
fn meminfo_mb(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn memory() -> Finding {
    let what = "memory";
    match meminfo_mb("MemAvailable:") {
        Some(mb) => Finding {
            what,
            found: format!("{mb} MB available"),
            remedy: (mb < NEEDED_MB).then_some("2,048 MB are needed: close other programs"),
        },
        None => Finding { what, found: "unknown on this system".into(), remedy: None },
    }
}

fn devices() -> Finding {
    let (mut found, mut absent, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for engine in Engine::ALL {
        match engine.devices() {
            None => absent.push(engine.name()),
            Some(none) if none.is_empty() => empty.push(engine.name()),
            Some(some) => found.extend(some.into_iter().map(|(name, _)| name.to_string())),
        }
    }
    let mut text = found.join(", ");
    if !empty.is_empty() {
        text += &format!("; built in, but without a device: {}", empty.join(", "));
    }
    if !absent.is_empty() {
        text += &format!("; not in this build: {} (docs/devices.md)", absent.join(", "));
    }
    let remedy =
        (!empty.is_empty()).then_some("install the driver of the device, or do without it");
    Finding { what: "devices", found: text, remedy }
}

fn weights() -> Finding {
    let what = "weights";
    match released::model(None, &Device::flex()) {
        Ok((_, sha256)) => Finding {
            what,
            found: format!("released nano model, sha256 {}", &sha256[..12]),
            remedy: None,
        },
        Err(e) => Finding { what, found: e.to_string(), remedy: Some("build the program again") },
    }
}

/// Whether a catalog's host takes a connection; nothing is sent, and nothing is tried unasked.
fn network(catalog: Option<&str>) -> Finding {
    let what = "network";
    let Some(url) = catalog else {
        return Finding { what, found: "not tried: give --catalog URL".into(), remedy: None };
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or(rest);
    let port = if scheme == "http" { 80 } else { 443 };
    let address = if host.contains(':') { host.to_string() } else { format!("{host}:{port}") };
    let reached = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next())
        .is_some_and(|at| TcpStream::connect_timeout(&at, Duration::from_secs(3)).is_ok());
    if reached {
        return Finding { what, found: format!("{address} answers"), remedy: None };
    }
    Finding {
        what,
        found: format!("{address} does not answer"),
        remedy: Some(
            "check the address and the connection, or collect from files (--catalog FILE)",
        ),
    }
}

fn disk(dir: &std::path::Path) -> Finding {
    let what = "disk";
    match fs4::available_space(dir) {
        Ok(bytes) => {
            let mb = bytes / 1_000_000;
            Finding {
                what,
                found: format!("{mb} MB free at {}", dir.display()),
                remedy: (mb < NEEDED_DISK_MB).then_some(
                    "the demo needs 1,024 MB: free some, or choose another folder with --out",
                ),
            }
        }
        Err(e) => Finding {
            what,
            found: format!("{}: {e}", dir.display()),
            remedy: Some("give a folder that exists with --dir"),
        },
    }
}

fn writable(dir: &std::path::Path) -> Finding {
    let what = "writing";
    let path = dir.join(format!(".surco-doctor-{}.surco-tmp", std::process::id()));
    let tried = surco_core::write_whole(&path, b"surco").and_then(|()| std::fs::remove_file(&path));
    match tried {
        Ok(()) => {
            Finding { what, found: format!("{} can be written to", dir.display()), remedy: None }
        }
        Err(e) => Finding {
            what,
            found: format!("{}: {e}", dir.display()),
            remedy: Some("choose a folder you may write to, or free some disk"),
        },
    }
}
