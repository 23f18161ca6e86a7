use super::*;
use crate::systems::formula::{assert_begins, drawn, filled};
use burn::module::Module;
use burn::tensor::TensorData;

fn images(m: usize, bands: usize, side: usize) -> Tensor<4> {
    let values: Vec<f32> = (0..m * bands * side * side).map(|k| drawn(k, 999) as f32).collect();
    Tensor::from_data(TensorData::new(values, [m, bands, side, side]), &Device::flex())
}

fn model(norm: MeteorNorm) -> SystemModel<MeteorConfig> {
    SystemModel::fresh(MeteorConfig::new(norm), 1, &Device::flex())
}

fn flat(x: Tensor<2>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// Measured on the published code at 15 bands and one score.
#[test]
fn it_has_the_parameters_of_the_published_code() {
    let model = model(MeteorNorm::Instance);
    assert_eq!((model.config.params(), model.net.num_params()), (8_004_993, 8_004_993));
    let by_task = MeteorConfig::new(MeteorNorm::Task);
    // Two more numbers for each of its sixteen norms.
    assert_eq!(by_task.params(), 8_004_993 + 32);
    assert_eq!(by_task.build(&Device::flex()).num_params(), 8_004_993 + 32);
}

/// Expected: PyTorch 2.11, `verify/oracles/systems.py meteor`.
#[test]
fn it_answers_as_pytorch_does() {
    let images = images(2, 15, 32);
    for (norm, want) in [
        (MeteorNorm::Instance, [-0.598_922, -0.397_288]),
        (MeteorNorm::Task, [-0.141_085, 0.049_437]),
    ] {
        let net = filled(model(norm).net);
        assert_begins(net.forward(images.clone()), &want);
    }
}

/// Bands without values add nothing to the first convolutions: fewer bands answer as all with the others at 0.
#[test]
fn fewer_bands_are_rows_of_the_first_kernels() {
    let all = images(2, 15, 16);
    let kept: Vec<usize> =
        (0..15).filter(|&band| METEOR_BANDS[band] == "S2B4" || band == 1).collect();
    assert_eq!(kept, [1, 5]);
    let band = |b: usize| all.clone().narrow(1, b, 1);
    let silent = (0..15).map(|b| if kept.contains(&b) { band(b) } else { band(b) * 0.0 });
    let silent = Tensor::cat(silent.collect(), 1);
    let want = flat(model(MeteorNorm::Instance).net.forward(silent));
    let few = model(MeteorNorm::Instance).with_bands(&["S1VH", "S2B4"]).unwrap();
    let got = flat(few.net.forward(Tensor::cat(vec![band(1), band(5)], 1)));
    assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?} {want:?}");
    assert_eq!(few.net.num_params() as u64, few.config.params());
    insta::assert_snapshot!(
        few.with_bands(&["S2B8"]).unwrap_err(),
        @"meteor needs weights for the band S2B8, which is not among S1VH, S2B4: give all of its bands, or use a model that takes any"
    );
}

/// The share of the task begins at a half. An image alone, among its own moments, is a mixture of itself; another image
/// of the task is answered by what the examples were.
#[test]
fn norms_by_task_depend_on_the_examples() {
    let net = model(MeteorNorm::Task).net;
    let (examples, others) = (images(3, 15, 16), images(5, 15, 16).narrow(0, 3, 2) * 2.0);
    let (scores, task) = net.examples(examples.clone());
    assert_eq!(flat(scores.clone()), flat(net.forward_in(examples.clone(), &task)));
    let (_, other_task) = net.examples(examples * 3.0);
    let by = |task: &TaskMoments| flat(net.forward_in(others.clone(), task));
    assert_ne!(by(&task), by(&other_task));
    let single = flat(net.forward_in(others.clone().narrow(0, 1, 1), &task));
    assert!((single[0] - by(&task)[1]).abs() < 1e-5, "images do not see each other");
}

#[test]
fn a_folder_gives_back_the_very_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(MeteorNorm::Task).with_bands(&["S2B4", "S2B8"]).unwrap();
    model.save(folder.path()).unwrap();
    let (read, _) = SystemModel::<MeteorConfig>::load(folder.path(), &Device::flex()).unwrap();
    assert_eq!(read.config, model.config);
    let images = images(2, 2, 16);
    assert_eq!(flat(read.net.forward(images.clone())), flat(model.net.forward(images)));
}

/// Two images of two kinds are told apart after a few steps.
#[test]
fn a_few_images_can_be_learned_by_heart() {
    let device = Device::flex().autodiff();
    let model = model(MeteorNorm::Instance).with_bands(&["S2B4", "S2B8"]).unwrap();
    let mut net = model.net.train().fork(&device);
    let images = Tensor::<4>::from_data(images(4, 2, 16).into_data(), &device);
    let target = Tensor::<2>::from_data([[1.0], [-1.0], [1.0], [-1.0]], &device);
    let mut losses = Vec::new();
    let adam = surco_kernels::AdamW { beta_1: 0.9, beta_2: 0.98, epsilon: 1e-8, weight_decay: 0.0 };
    let mut optimizer: burn::optim::ModuleOptimizer = adam.into();
    for _ in 0..20 {
        let loss = (net.forward(images.clone()) - target.clone()).square().mean();
        losses.push(loss.clone().into_scalar::<f32>());
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &net);
        net = optimizer.step(1e-3, net, gradients);
    }
    assert!(losses[19] < 0.2 * losses[0], "{losses:?}");
}
