//! Areas with intervals, against a national statistics office's own estimate.

use std::fs;

use serde_json::{Value, json};
use surco_verify::{data_json, result_of, surco};

/// Expected values: INE Chile's published estimate for macrozone 4, season 2020/21, in
/// `oracles/ine_chile_mz4_area.json`; the program sees only the matrix and the mapped areas.
#[test]
fn the_area_estimate_of_ine_chile_is_reproduced_to_a_billionth() {
    let expected = data_json("oracles/ine_chile_mz4_area.json");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let matrix = folder.path().join("matrix.json");
    let given = json!({
        "classes": expected["classes"],
        "confusion": expected["confusion"],
        "mapped_area_ha": expected["mapped_area_ha"],
    });
    fs::write(&matrix, given.to_string()).expect("the folder is writable");

    let mut command = surco(["area", "--json", "--matrix"]);
    command.arg(&matrix);
    let got = result_of(command);

    let classes = got["classes"].as_array().expect("`classes` is a list");
    let names: Vec<&Value> = classes.iter().map(|c| &c["class"]).collect();
    assert_eq!(names, expected["classes"].as_array().expect("a list").iter().collect::<Vec<_>>());
    for (ours, theirs) in [
        ("mapped_ha", "mapped_area_ha"),
        ("estimate_ha", "adjusted_area_ha"),
        ("ci95_ha", "ci95_half_width_ha"),
        ("users_accuracy", "users_accuracy"),
        ("producers_accuracy", "producers_accuracy"),
    ] {
        for (i, class) in classes.iter().enumerate() {
            let what = format!("{ours} of {}", class["class"]);
            assert_close(&what, &class[ours], &expected[theirs][i]);
        }
    }
    for key in ["overall_accuracy", "overall_accuracy_ci95"] {
        assert_close(key, &got[key], &expected[key]);
    }
}

fn assert_close(what: &str, got: &Value, want: &Value) {
    let (Some(got), Some(want)) = (got.as_f64(), want.as_f64()) else {
        panic!("{what}: {got} and {want} are not both numbers");
    };
    assert!((got - want).abs() <= 1e-9 * want.abs(), "{what}: {got}, expected {want}");
}
