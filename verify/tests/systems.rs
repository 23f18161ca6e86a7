//! Published weights of the systems beside ours, against PyTorch.

use burn::tensor::{Tensor, TensorData};
use surco_net::{Device, MeteorApp};
use surco_verify::data;

/// The formula of `verify/oracles/systems.py`.
fn drawn(k: usize) -> f32 {
    (((k * 7919 + 999 * 104_729) % 2003) as f64 / 2003.0 - 0.5) as f32
}

/// Expected values: PyTorch 2.11, `verify/oracles/systems.py meteor-app meteor_app_model.pth`.
#[test]
fn meteors_demonstration_answers_as_its_makers_do() {
    let device = Device::flex();
    let file = data("weights/meteor_app_model.pth");
    let app = MeteorApp::read_torch(&file, &device).expect("the weights are whole");
    let values: Vec<f32> = (0..2 * 15 * 128 * 128).map(drawn).collect();
    let images = Tensor::from_data(TensorData::new(values, [2, 15, 128, 128]), &device);
    let said = app.forward(images).expect("fifteen bands of 128 × 128 pixels");
    let want = [
        -0.822_173, -0.720_642, -0.856_944, -0.745_319, -0.773_708, -0.672_791, -0.727_281,
        -0.784_716,
    ];
    let said: Vec<f32> = said.into_data().iter::<f32>().collect();
    assert_eq!(said.len(), want.len());
    for (got, want) in said.iter().zip(want) {
        assert!((got - want).abs() <= 1e-4, "{said:?}");
    }
    let short = Tensor::zeros([1, 15, 64, 128], &device);
    let error = app.forward(short).expect_err("it is halved seven times").to_string();
    assert!(error.contains("images of at least 128 × 128"), "{error}");
}
