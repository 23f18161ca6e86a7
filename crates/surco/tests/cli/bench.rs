//! What `surco bench` gives where no Python has PyTorch.

use crate::valley::{Run, surco};

#[test]
fn without_pytorch_the_rows_stand_alone_and_say_why() {
    let args = ["bench", "kernels", "--rounds=1", "--python=/no/such/python", "--json"];
    let told = Run::of(&mut surco(args)).json();
    assert!(told["torch"]["Err"].as_str().unwrap().contains("/no/such/python"), "{told}");
    let rows = told["rows"].as_array().unwrap();
    let work: Vec<&str> = rows.iter().map(|r| r["work"].as_str().unwrap()).collect();
    let want = ["gelu", "gelu-backward", "layer-norm", "layer-norm-backward", "attention"];
    assert_eq!(work[..5], want);
    for row in rows {
        assert!(row["ours"]["ms"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["theirs"].is_null() && row["time_ratio"].is_null(), "{row}");
        assert!(row["ours"]["command"].as_str().unwrap().contains("bench worker"), "{row}");
    }
}

#[test]
fn a_folder_for_the_inputs_keeps_what_pytorchs_side_needs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inputs");
    let mut command =
        surco(["bench", "kernels", "--rounds=1", "--python=/no/such/python", "--out"]);
    assert_eq!(Run::of(command.arg(&out)).code, Some(0));
    let script = std::fs::read_to_string(out.join("torch_side.py")).unwrap();
    assert!(script.contains("scaled_dot_product_attention"));
    assert!(out.join("gelu/batch.safetensors").exists());
}
