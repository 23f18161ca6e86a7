//! Collects a catalog into a store, or without a store says what that comes to:
//! `collect CATALOG [STORE [W,S,E,N]]`.
#![allow(clippy::print_stdout)]

use surco_collect::{CollectError, CollectRequest, RunOptions, plan, run};
use surco_core::Silent;

fn main() -> Result<(), CollectError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [catalog, rest @ ..] = &args[..] else {
        println!("usage: collect CATALOG [STORE [W,S,E,N]]");
        return Ok(());
    };
    let mut request = CollectRequest::all_of(catalog);
    if let Some(bbox) = rest.get(1) {
        let numbers: Vec<f64> = bbox.split(',').filter_map(|n| n.parse().ok()).collect();
        request.area = numbers.try_into().ok().map(surco_collect::Area::Bbox);
    }
    let plan = plan(&request, &Silent)?;
    println!("{:#?}", plan.figures);
    if let Some(store) = rest.first() {
        println!("{:#?}", run(&plan, &RunOptions::into_store(store), &Silent)?);
    }
    Ok(())
}
