//! Encoders of others, from the PyTorch files their makers publish, against their own answers.

use std::path::Path;

use ndarray::{Array1, Array2, Array3, Array4, Array5, ArrayD, Axis, IxDyn, concatenate, s};
use safetensors::{Dtype, SafeTensors};
use surco_net::{
    Device, GalileoBatch, GalileoInput, NO_CLASS, Policy, Precision, PrestoBatch, load_galileo,
    load_presto, presto_scaled,
};
use surco_verify::{data, data_npy, linear_rmse, result_of, surco};

/// Largest difference that is let through.
const TOLERANCE: f32 = 1e-4;

fn import(peer: &str, file: &str, out: &Path) {
    let mut command = surco(["weights", "import", "--json", "--from", peer]);
    command.arg(data(file)).arg("--out").arg(out);
    let result = result_of(command);
    assert_eq!(result["kind"], peer, "{result}");
}

/// Recorded inputs and outputs of a reference implementation.
struct Oracle(Vec<u8>);

impl Oracle {
    fn read(name: &str) -> Self {
        Self(std::fs::read(data(&format!("oracles/{name}.safetensors"))).expect("it is there"))
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).expect("the oracle is sound")
    }

    fn has(&self, name: &str) -> bool {
        self.file().tensor(name).is_ok()
    }

    /// A tensor as `f32`, whatever it is stored as.
    fn tensor(&self, name: &str) -> ArrayD<f32> {
        let file = self.file();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => {
                view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            Dtype::I64 => {
                view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect()
            }
            other => panic!("{name} is {other:?}"),
        };
        ArrayD::from_shape_vec(IxDyn(view.shape()), values).expect("a tensor fits its shape")
    }

    fn whole<D: ndarray::Dimension>(&self, name: &str) -> ndarray::Array<f32, D> {
        self.tensor(name).into_dimensionality().unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn hidden<D: ndarray::Dimension>(&self, name: &str) -> ndarray::Array<bool, D> {
        self.whole::<D>(name).mapv(|m| m >= 1.0)
    }
}

fn furthest(got: &Array2<f32>, want: &Array2<f32>) -> f32 {
    assert_eq!(got.dim(), want.dim());
    // `fold` with `max` would let what is no number pass.
    got.iter()
        .zip(want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, error| if error <= worst { worst } else { error })
}

/// Months from one a series on, or as they are.
fn months(recorded: &ArrayD<f32>, n: usize, t: usize) -> Array2<u8> {
    Array2::from_shape_fn((n, t), |(i, j)| match recorded.ndim() {
        1 => ((recorded[[i]] as usize + j) % 12) as u8,
        _ => recorded[[i, j]] as u8,
    })
}

/// Expected values: nasaharvest/presto under PyTorch 2.11, `oracles/presto_encoder.safetensors`.
#[test]
fn presto_answers_as_its_makers_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import("presto", "weights/presto_default_model.pt", folder.path());
    let presto = load_presto(folder.path(), &Device::flex()).expect("what was imported loads");
    let oracle = Oracle::read("presto_encoder");
    // Values go up to 5.6, so bfloat16 factors of 8 bits cannot do much better. A year of months, which is
    // what is timed, is held to 1e-2; three months average fewer tokens, and are held to what PyTorch's
    // own bfloat16 autocast misses there by, 3.2e-2.
    for (case, rough_tolerance) in [("a", 3.2e-2), ("b", 1e-2)] {
        let name = |what: &str| format!("{case}.{what}");
        let values: Array3<f32> = oracle.whole(&name("x"));
        let (n, t, bands) = values.dim();
        let hidden = if oracle.has(&name("mask")) {
            oracle.hidden(&name("mask"))
        } else {
            Array3::from_elem((n, t, bands), false)
        };
        let class: Array2<f32> = oracle.whole(&name("dynamic_world"));
        let batch = PrestoBatch::new(
            values,
            hidden,
            class.mapv(|c| c as u8),
            months(&oracle.tensor(&name("month")), n, t),
            oracle.whole(&name("latlons")),
        )
        .expect("the oracle's input is sound");
        let want: Array2<f32> = oracle.whole(&name("embedding"));
        let error = furthest(&presto.embed(&batch, Policy::default()), &want);
        println!("presto {case}: {n} series of {t} months, furthest {error:.2e}");
        assert!(error <= TOLERANCE, "{case}: {error}");
        let rough = Policy { precision: Precision::Bf16, ..Policy::default() };
        let error = furthest(&presto.embed(&batch, rough), &want);
        println!("presto {case}: bf16, furthest {error:.2e}");
        assert!(error <= rough_tolerance, "{case}, bf16: {error}");
    }
}

/// Expected values: nasaharvest/galileo under PyTorch 2.11, `oracles/galileo_nano_encoder.safetensors`.
#[test]
fn galileo_answers_as_its_makers_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import("galileo", "weights/galileo_nano_encoder.pt", folder.path());
    let galileo = load_galileo(folder.path(), &Device::flex()).expect("what was imported loads");
    let oracle = Oracle::read("galileo_nano_encoder");
    for (case, patch_px) in [("p1", 1), ("p4", 4), ("p8", 8)] {
        let name = |what: &str| format!("{case}.{what}");
        let space_time: Array5<f32> = oracle.whole(&name("s_t_x"));
        let (n, h, w, t, _) = space_time.dim();
        let space: Array4<f32> = oracle.whole(&name("sp_x"));
        let input = GalileoInput {
            space_time,
            space,
            time: oracle.whole(&name("t_x")),
            fixed: oracle.whole(&name("st_x")),
            space_time_hidden: oracle.hidden(&name("s_t_m")),
            space_hidden: oracle.hidden(&name("sp_m")),
            time_hidden: oracle.hidden(&name("t_m")),
            fixed_hidden: oracle.hidden(&name("st_m")),
            months: months(&oracle.tensor(&name("months")), n, t),
        };
        let batch = GalileoBatch::new(input, patch_px).expect("the oracle's input is sound");
        let want: Array2<f32> = oracle.whole(&name("out.average"));
        let error = furthest(&galileo.embed(&batch, Policy::default()), &want);
        println!("galileo {case}: {n} windows of {h} × {w} × {t}, furthest {error:.2e}");
        assert!(error <= TOLERANCE, "{case}: {error}");
    }
}

/// Expected values: scikit-learn's LinearRegression on the same features (27.112; on raw inputs 29.32,
/// with place and month 27.952), in `regression_fuel_moisture/BASELINES.md` and beside it.
#[test]
fn a_line_through_frozen_presto_tells_fuel_moisture_as_its_makers_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    import("presto", "weights/presto_default_model.pt", folder.path());
    let presto = load_presto(folder.path(), &Device::flex()).expect("what was imported loads");
    let set = |name: &str| data_npy(&format!("regression_fuel_moisture/{name}.npy"));
    let raw: Array3<f64> = set("s1_s2_era5_srtm").into_dimensionality().expect("three axes");
    // The eleventh of its 18 columns is B9, which Presto does not read.
    let columns: Vec<usize> = (0..18).filter(|&column| column != 10).collect();
    let values = presto_scaled(raw.select(Axis(2), &columns).view());
    let (n, t, bands) = values.dim();
    let whole = |name: &str| -> Array2<f64> { set(name).into_dimensionality().expect("two axes") };
    let (place, month) = (whole("latlon"), whole("month"));
    let class = whole("dynamic_world").mapv(|c| c as u8);
    assert!(class.iter().all(|&c| c <= NO_CLASS));
    let batch = PrestoBatch::new(
        values.clone(),
        Array3::from_elem((n, t, bands), false),
        class,
        month.mapv(|m| m as u8),
        place.mapv(|p| p as f32),
    )
    .expect("the set is sound");
    let embedding = presto.embed(&batch, Policy::default()).mapv(f64::from);
    let target: Array1<f64> = set("target").into_dimensionality().expect("one axis");
    let is_test: Vec<bool> = set("is_test").iter().map(|&v| v == 1.0).collect();
    assert_eq!(is_test.iter().filter(|&&test| test).count(), 735);

    let plain = values.mapv(f64::from).into_shape_with_order((n, t * bands)).expect("as many");
    let first_month = month.slice(s![.., ..1]);
    let located =
        concatenate(Axis(1), &[plain.view(), place.view(), first_month]).expect("as many rows");
    for (what, features, want) in [
        ("frozen Presto", &embedding, 27.112),
        ("raw inputs", &plain, 29.32),
        ("raw inputs, place and month", &located, 27.952),
    ] {
        let rmse = linear_rmse(features.view(), target.view(), &is_test);
        println!("{what:28}: RMSE {rmse:.3} %, recorded {want}");
        assert!((rmse - want).abs() <= 0.02, "{what}: {rmse}, expected {want}");
    }
}
