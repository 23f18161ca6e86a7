//! The program against a service that misbehaves.

use serde_json::Value;

use crate::valley::{Run, args, assert_same_files, files, surco, valley};

#[path = "../../../surco-collect/tests/world/service.rs"]
#[allow(dead_code, reason = "the tests of collecting use the rest of it")]
mod service;

use service::{Fault, Service};

fn collect(service: &Service, store: &std::path::Path) -> Run {
    let catalog = format!("{}/items.json", service.url);
    Run::of(&mut surco(args!["collect", "--catalog", catalog, "--store", store, "--json"]))
}

/// Where the scenes came from leaves no trace, and neither do the faults.
#[test]
fn a_misbehaving_service_gives_the_store_of_a_local_archive() {
    for fault in [Fault::Busy, Fault::Truncated, Fault::Flipped, Fault::Down] {
        let scratch = tempfile::tempdir().unwrap();
        let store = scratch.path().join("store");
        let service = Service::seeded(&valley().archive, fault, 40, 3);
        let run = collect(&service, &store);
        assert_eq!(run.code, Some(0), "{fault:?}: {}", run.stderr);
        assert!(service.faults() > 1, "{fault:?}: {} faults", service.faults());
        assert_same_files(&store, &valley().store);
    }
}

#[test]
fn a_block_that_never_comes_whole_is_listed_and_the_program_says_so_with_5() {
    let scratch = tempfile::tempdir().unwrap();
    let store = scratch.path().join("store");
    let red = files(&valley().archive).into_keys().find(|p| p.ends_with("B04.tif")).unwrap();
    let scene = red.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let cursed = red.to_str().unwrap().to_string();
    let run = collect(&Service::cursed(&valley().archive, Fault::Flipped, cursed), &store);
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["holes"], 1, "{told}");
    let hole = &told["hole_list"][0];
    assert_eq!((hole["scene"].as_str(), hole["asset"].as_str()), (Some(scene), Some("red")));
    assert!(hole["reason"].as_str().unwrap().contains("does not decompress"), "{hole}");
    // Once the service is sound, the holes can be filled.
    let catalog = valley().items();
    let retry = args!["collect", "--catalog", catalog, "--store", store, "--retry-holes"];
    let filled = Run::of(&mut surco(retry));
    assert_eq!(filled.code, Some(0), "{}", filled.stderr);
}
