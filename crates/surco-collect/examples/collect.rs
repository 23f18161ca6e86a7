//! Collects everything in a catalog into a store, or without a store says what that comes to:
//! `collect CATALOG [STORE [SHARD_INDEX SHARD_COUNT]]`.
#![allow(clippy::print_stdout)]

use surco_collect::{CollectError, CollectRequest, RunOptions, plan, run};
use surco_core::Silent;

fn main() -> Result<(), CollectError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [catalog, rest @ ..] = &args[..] else {
        println!("usage: collect CATALOG [STORE [SHARD_INDEX SHARD_COUNT]]");
        return Ok(());
    };
    let plan = plan(&CollectRequest::all_of(catalog), &Silent)?;
    println!("{:#?}", plan.figures);
    let [store, part @ ..] = rest else { return Ok(()) };
    let mut options = RunOptions::into_store(store);
    if let [index, count] = part {
        options.shard_index = index.parse().unwrap_or(0);
        options.shard_count = count.parse().unwrap_or(1);
    }
    println!("{:#?}", run(&plan, &options, &Silent)?);
    Ok(())
}
