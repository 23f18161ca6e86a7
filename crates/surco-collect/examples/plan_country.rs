//! Plans catalogs and says how many scenes a second that were, to measure with `/usr/bin/time -v`.
//!
//! `plan_country CATALOG… [--bbox=W,S,E,N]`; `benches/country_index.py` makes a catalog for it.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::Instant;

use surco_collect::{Area, CollectRequest, plan};
use surco_core::Silent;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut catalogs = Vec::new();
    let mut request = CollectRequest::all_of("");
    for arg in std::env::args().skip(1) {
        if let Some(text) = arg.strip_prefix("--bbox=") {
            let numbers: Vec<f64> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
            request.area = Some(Area::Bbox(numbers.try_into().map_err(|_| "four numbers")?));
        } else {
            catalogs.push(arg);
        }
    }
    request.catalogs = catalogs;
    let started = Instant::now();
    let plan = plan(&request, &Silent)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string(&plan.figures)?);
    println!("{seconds:.2} s, {:.0} scenes a second", plan.figures.scenes as f64 / seconds);
    Ok(())
}
