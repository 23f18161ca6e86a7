//! Collects a catalog into a store, or without a store says what that comes to:
//! `collect CATALOG [STORE] [--bbox=W,S,E,N] [--sensor=ID|FILE] [--like=STORE] [--bands=A,B]`.
#![allow(clippy::print_stdout)]

use std::error::Error;

use surco_collect::{Area, CollectRequest, Onto, RunOptions, plan, run};
use surco_core::{Sensor, Silent};
use surco_store::Store;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut places, mut options) = (Vec::new(), Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.strip_prefix("--").and_then(|option| option.split_once('=')) {
            Some((name, value)) => options.push((name.to_string(), value.to_string())),
            None => places.push(arg),
        }
    }
    let [catalog, rest @ ..] = &places[..] else {
        println!(
            "usage: collect CATALOG [STORE] [--bbox=W,S,E,N] [--sensor=ID|FILE] [--like=STORE]"
        );
        return Ok(());
    };
    let mut request = CollectRequest::all_of(catalog);
    for (name, value) in &options {
        match name.as_str() {
            "bbox" => {
                let numbers: Vec<f64> = value.split(',').filter_map(|n| n.parse().ok()).collect();
                request.area = numbers.try_into().ok().map(Area::Bbox);
            }
            "sensor" => {
                request.sensor = match Sensor::builtin(value) {
                    Some(sensor) => sensor,
                    None => Sensor::parse(&std::fs::read_to_string(value)?)?,
                };
            }
            "like" => request.onto = Some(Onto::of_store(&Store::open(value)?)?),
            "bands" => request.bands = value.split(',').map(str::to_string).collect(),
            other => println!("no option --{other}"),
        }
    }
    let plan = plan(&request, &Silent)?;
    println!("{:#?}", plan.figures);
    if let Some(store) = rest.first() {
        println!("{:#?}", run(&plan, &RunOptions::into_store(store), &Silent)?);
    }
    Ok(())
}
