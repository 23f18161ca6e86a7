//! Numbers of real places: live fuel moisture at 2,313 sites, beside the error recorded for a forest.

use surco_verify::{data, oracle, result_of, surco};

/// Recorded in `regression_fuel_moisture/BASELINES.md`, `raw_latlon_month_rf100`: scikit-learn's forest on values, place and
/// month, the best row there.
const RECORDED_RMSE: f64 = 24.006;

#[test]
fn fuel_moisture_is_foretold_closer_than_the_recorded_forest_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = folder.path().join("fuel");
    let source = data("regression_fuel_moisture");
    oracle("../../benches/regression/fuel_moisture.py", [&source, &table]);
    let told = result_of(surco([
        "evaluate".as_ref(),
        "regression".as_ref(),
        "--points".as_ref(),
        table.join("points.parquet").as_os_str(),
        "--series".as_ref(),
        table.join("series.parquet").as_os_str(),
        "--seeds=3".as_ref(),
        "--json".as_ref(),
    ]));
    let rmse = |method: &str| {
        let rows = told["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["method"] == method).expect("a row of that name");
        (
            row["rmse"]["mean"].as_f64().expect("a number"),
            row["rmse"]["sd"].as_f64().expect("a number"),
        )
    };
    let ((ours, sd), (mean, _)) = (rmse("surco"), rmse("mean"));
    println!("surco {ours:.2} ± {sd:.2}, mean {mean:.2}, recorded {RECORDED_RMSE}");
    assert!(ours + 2.0 * sd < RECORDED_RMSE, "{ours} ± {sd}");
    assert!(mean > RECORDED_RMSE, "the mean of the points learned from is the easiest row: {mean}");
}
