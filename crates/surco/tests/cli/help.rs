//! What the program says of itself.

use serde_json::Value;

use crate::valley::{Run, surco};

/// Names of the commands under a command, from its help.
fn commands(of: &[&str]) -> Vec<String> {
    let help = Run::of(surco(of).arg("--help"));
    let listed = help.stdout.lines().skip_while(|l| *l != "Commands:").skip(1);
    let lines = listed.take_while(|l| !l.is_empty()).filter(|l| !l.starts_with("   "));
    let names = lines.filter_map(|l| l.split_whitespace().next()).map(String::from);
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_is_listed_with_what_it_gives() {
    let want = [
        "demo", "doctor", "simulate", "sample", "collect", "pretrain", "meta", "model", "adapt",
        "tasks", "map", "area", "forecast", "evaluate", "bench", "scale", "weights",
    ];
    assert_eq!(commands(&[]), want);
    let help = Run::of(&mut surco(["--help"])).stdout;
    for words in
        ["--json", "--threads", "Exit codes: 0 done, 1 failed, 2 usage or config", "surco demo"]
    {
        assert!(help.contains(words), "{words}: {help}");
    }
}

#[test]
fn the_help_of_every_command_has_an_example_that_names_it() {
    let mut all: Vec<Vec<String>> = commands(&[]).into_iter().map(|name| vec![name]).collect();
    for parent in ["evaluate", "model", "bench", "weights"] {
        all.extend(commands(&[parent]).into_iter().map(|name| vec![parent.into(), name]));
    }
    assert!(all.len() >= 17, "{all:?}");
    for command in all {
        let help = Run::of(surco(&command).arg("--help"));
        assert_eq!(help.code, Some(0));
        let name = command.join(" ");
        let examples =
            help.stdout.split("Example").nth(1).unwrap_or_else(|| panic!("{name} has none"));
        assert!(examples.contains(&format!("surco {name}")), "{name}: {examples}");
        assert!(help.stdout.lines().all(|l| l.chars().count() <= 130), "{name} is too wide");
    }
}

#[test]
fn a_misspelt_command_or_option_is_a_fault_of_usage() {
    for args in [["colect", "--store=x"], ["collect", "--stor=x"], ["map", "--device=gpu"]] {
        let run = Run::of(&mut surco(args));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("'--help'"), "{}", run.stderr);
    }
}

#[test]
fn a_device_of_another_build_names_the_feature_that_makes_it() {
    if cfg!(feature = "rocm") {
        return;
    }
    let run = Run::of(&mut surco(["doctor", "--device=rocm:0"]));
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("--features rocm"), "{}", run.stderr);
}

#[test]
fn the_doctor_names_a_remedy_for_all_that_is_amiss() {
    let told = Run::of(&mut surco(["doctor", "--json"])).json();
    let findings = told["findings"].as_array().unwrap();
    let what: Vec<&str> = findings.iter().map(|f| f["what"].as_str().unwrap()).collect();
    for needed in ["cores", "memory", "disk", "writing", "devices"] {
        assert!(what.contains(&needed), "{needed}: {what:?}");
    }
    let consistent = |f: &Value| f["ok"].as_bool().unwrap() == f["remedy"].is_null();
    assert!(findings.iter().all(consistent), "{findings:?}");
    let absent = Run::of(&mut surco(["doctor", "--json", "--dir", "/no/such/folder"])).json();
    let disk = absent["findings"].as_array().unwrap().iter().find(|f| f["what"] == "disk").unwrap();
    assert_eq!(disk["remedy"], "give a folder that exists with --dir");
}

/// Worked by hand for 2b: 32 blocks of 12 × 2304² + 2 × 2304 + 2 × 64, a norm of 2304, 50 × 2304 for what is
/// told, and two networks from 40 to 64 to 4608 and 2305.
#[test]
fn a_size_is_described_by_what_it_costs() {
    let told = Run::of(&mut surco(["model", "describe", "2b", "--json"])).json();
    let blocks = 32 * (12 * 2304 * 2304 + 2 * 2304 + 2 * 64);
    let networks = 2 * 41 * 64 + 65 * (4608 + 2305);
    let parameters = blocks + 2304 + 50 * 2304 + networks;
    assert_eq!(told["parameters"], parameters);
    assert_eq!(told["weight_bytes_bf16"], 2_u64 * parameters as u64);
    assert_eq!(told["training_bytes"], 16_u64 * parameters as u64);
    let flops = told["forward_flops_per_token"]["tokens_512"].as_u64().unwrap();
    assert!((4_150_000_000..4_250_000_000).contains(&flops), "{flops}");
    let unknown = Run::of(&mut surco(["model", "describe", "huge"]));
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("model size `huge` is unknown"), "{}", unknown.stderr);
}
