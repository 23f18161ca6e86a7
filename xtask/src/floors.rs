//! `cargo xtask floors`: dependencies point down, and each heavy one stays in its room.
//!
//! A room is a crate under `crates/` and states its floor in `[package.metadata.room]`. It may depend on
//! rooms of strictly lower floors. A dependency from outside is either everyday, allowed in every
//! room, or heavy, and then only the rooms named in [`HEAVY`] may have it. Dependencies of tests and
//! benches are exempt.

use std::collections::BTreeMap;

use anyhow::bail;
use cargo_metadata::{DependencyKind, Metadata};

/// Members that stand beside the house: nobody may depend on them, and their own needs are free.
const OUTSIDE: [&str; 2] = ["xtask", "surco-verify"];

/// Dependencies that every room may have.
const EVERYDAY: [&str; 13] = [
    "bytemuck",
    "jiff",
    "libm",
    "ndarray",
    "rand",
    "rand_chacha",
    "rayon",
    "serde",
    "serde_json",
    "sha2",
    "tempfile",
    "thiserror",
    "toml",
];

/// Heavy dependencies and the rooms that may have them.
const HEAVY: [(&str, &[&str]); 30] = [
    ("anyhow", &["surco"]),
    ("argmin", &["surco-eval"]),
    ("argmin-math", &["surco-eval"]),
    ("axum", &["surco-serve"]),
    ("base64", &["surco-eval", "surco-learn"]),
    ("burn", &["surco-kernels", "surco-net", "surco-learn"]),
    ("burn-std", &["surco-kernels"]),
    ("bytes", &["surco-collect"]),
    ("clap", &["surco"]),
    ("crc32c", &["surco-store", "surco-learn"]),
    ("csv", &["surco-raster", "surco-data", "surco-eval"]),
    ("ctrlc", &["surco"]),
    ("fs4", &["surco"]),
    ("indicatif", &["surco"]),
    ("libdeflater", &["surco-raster"]),
    ("minijinja", &["surco-eval"]),
    ("object_store", &["surco-store"]),
    ("parquet", &["surco-collect", "surco-data", "surco-raster"]),
    ("png", &["surco-eval"]),
    ("proj4rs", &["surco-raster"]),
    ("pulp", &["surco-kernels"]),
    ("reqwest", &["surco-collect", "surco-store"]),
    ("rusqlite", &["surco-raster"]),
    ("rustls", &["surco-collect", "surco-store"]),
    ("safetensors", &["surco-net", "surco-learn"]),
    ("tch", &["surco-kernels"]),
    ("tokio", &["surco-collect", "surco-serve", "surco-store"]),
    ("tower-http", &["surco-serve"]),
    ("zip", &["surco-data", "surco-raster"]),
    ("zstd", &["surco-store"]),
];

/// What the house looks like when every rule holds.
#[derive(Debug, PartialEq)]
struct Plan {
    rooms: usize,
    arrows: usize,
}

/// Checks the workspace and prints what was found.
pub(crate) fn run(metadata: &Metadata) -> anyhow::Result<()> {
    match check(metadata) {
        Ok(Plan { rooms, arrows }) => {
            eprintln!("floors: {rooms} rooms, {arrows} arrows between them, all downward");
            Ok(())
        }
        Err(faults) => bail!("the floors do not hold\n\n{}", faults.join("\n\n")),
    }
}

fn check(metadata: &Metadata) -> Result<Plan, Vec<String>> {
    let mut faults = Vec::new();
    let mut floors: BTreeMap<&str, u64> = BTreeMap::new();
    let rooms: Vec<_> =
        metadata.packages.iter().filter(|p| !OUTSIDE.contains(&p.name.as_str())).collect();
    for room in &rooms {
        match room.metadata["room"]["floor"].as_u64() {
            Some(floor) => drop(floors.insert(&room.name, floor)),
            None => faults.push(format!(
                "{} states no floor; write `[package.metadata.room]` and `floor = N` in {}",
                room.name, room.manifest_path
            )),
        }
    }

    let mut arrows = 0;
    for room in &rooms {
        let Some(&floor) = floors.get(room.name.as_str()) else { continue };
        let needs = room.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        for need in needs {
            let fault = match floors.get(need.name.as_str()) {
                Some(&below) => {
                    arrows += 1;
                    arrow_fault(&room.name, floor, &need.name, below)
                }
                None => stranger_fault(&room.name, floor, &need.name),
            };
            faults.extend(fault);
        }
    }
    if faults.is_empty() { Ok(Plan { rooms: rooms.len(), arrows }) } else { Err(faults) }
}

fn arrow_fault(room: &str, floor: u64, need: &str, below: u64) -> Option<String> {
    (below >= floor).then(|| {
        format!(
            "{room} (floor {floor}) depends on {need} (floor {below}), but may depend only on floors \
             under {floor}; move what {room} needs down to a floor both stand on, or pass it in from \
             a room above"
        )
    })
}

fn stranger_fault(room: &str, floor: u64, need: &str) -> Option<String> {
    if OUTSIDE.contains(&need) {
        return Some(format!("{room} (floor {floor}) depends on {need}, which no room may use"));
    }
    if EVERYDAY.contains(&need) {
        return None;
    }
    let Some((_, homes)) = HEAVY.iter().find(|(name, _)| *name == need) else {
        return Some(format!(
            "{room} (floor {floor}) depends on {need}, which has no room yet; do without it, or give it \
             a room in xtask/src/floors.rs and a line in docs/dependencies.md"
        ));
    };
    (!homes.contains(&room)).then(|| {
        format!(
            "{room} (floor {floor}) depends on {need}, which lives only in {}; call that room instead, \
             or take what {room} needs from it as plain data",
            homes.join(" and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use cargo_metadata::MetadataCommand;

    /// Name, floor, and each dependency with its kind.
    type Room<'a> = (&'a str, Option<u64>, &'a [(&'a str, &'a str)]);

    /// A workspace of these rooms as `cargo metadata` prints it.
    fn house(rooms: &[Room<'_>]) -> Metadata {
        let packages: Vec<String> = rooms
            .iter()
            .map(|(name, floor, needs)| {
                let needs: Vec<String> = needs
                    .iter()
                    .map(|(need, kind)| {
                        format!(
                            r#"{{"name":"{need}","source":null,"req":"*","kind":{kind},"rename":null,"optional":false,"uses_default_features":true,"features":[],"target":null,"registry":null}}"#
                        )
                    })
                    .collect();
                let floor =
                    floor.map_or("null".into(), |n| format!(r#"{{"room":{{"floor":{n}}}}}"#));
                format!(
                    r#"{{"name":"{name}","version":"0.1.0","id":"{name}","license":null,"license_file":null,"description":null,"source":null,"dependencies":[{}],"targets":[],"features":{{}},"manifest_path":"/h/{name}/Cargo.toml","metadata":{floor},"publish":null,"authors":[],"categories":[],"keywords":[],"readme":null,"repository":null,"homepage":null,"documentation":null,"edition":"2024","links":null,"default_run":null,"rust_version":null}}"#,
                    needs.join(",")
                )
            })
            .collect();
        let json = format!(
            r#"{{"packages":[{}],"workspace_members":[],"workspace_default_members":[],"resolve":null,"target_directory":"/h/target","version":1,"workspace_root":"/h","metadata":null}}"#,
            packages.join(",")
        );
        MetadataCommand::parse(json).unwrap()
    }

    const NORMAL: &str = "null";
    const BUILD: &str = r#""build""#;
    const DEV: &str = r#""dev""#;

    #[test]
    fn arrows_that_point_down_and_heavy_ones_at_home_are_accepted() {
        let good = house(&[
            ("surco-core", Some(0), &[("serde", NORMAL)]),
            ("surco-raster", Some(1), &[("surco-core", NORMAL), ("libdeflater", NORMAL)]),
            ("surco-data", Some(2), &[("surco-core", NORMAL), ("surco-raster", NORMAL)]),
            ("xtask", None, &[("cargo_metadata", NORMAL)]),
        ]);
        assert_eq!(check(&good), Ok(Plan { rooms: 3, arrows: 3 }));
    }

    #[test]
    fn an_arrow_sideways_is_refused_and_one_for_tests_is_not() {
        let sideways = |kind| {
            house(&[
                ("surco-raster", Some(1), &[("surco-store", kind)]),
                ("surco-store", Some(1), &[]),
            ])
        };
        for kind in [NORMAL, BUILD] {
            let faults = check(&sideways(kind)).unwrap_err();
            assert_eq!(
                faults,
                [
                    "surco-raster (floor 1) depends on surco-store (floor 1), but may depend only on floors \
                  under 1; move what surco-raster needs down to a floor both stand on, or pass it in from a \
                  room above"
                ]
            );
        }
        assert_eq!(check(&sideways(DEV)), Ok(Plan { rooms: 2, arrows: 0 }));
    }

    #[test]
    fn a_heavy_dependency_outside_its_room_is_refused() {
        let faults = check(&house(&[("surco-map", Some(5), &[("burn", NORMAL), ("clap", DEV)])]))
            .unwrap_err();
        assert_eq!(
            faults,
            [
                "surco-map (floor 5) depends on burn, which lives only in surco-kernels and surco-net and surco-learn; call \
              that room instead, or take what surco-map needs from it as plain data"
            ]
        );
    }

    #[test]
    fn a_dependency_without_a_room_and_a_room_without_a_floor_are_refused() {
        let faults = check(&house(&[
            ("surco-map", None, &[]),
            ("surco-net", Some(3), &[("leftpad", NORMAL), ("xtask", NORMAL)]),
        ]))
        .unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:#?}");
        assert!(faults[0].contains("surco-map states no floor"), "{}", faults[0]);
        assert!(faults[1].contains("leftpad, which has no room yet"), "{}", faults[1]);
        assert!(faults[2].contains("xtask, which no room may use"), "{}", faults[2]);
    }
}
