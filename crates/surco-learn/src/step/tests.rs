use std::ops::Range;

use super::*;
use burn::module::ParamId;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::TensorData;

type Pair = (Param<Tensor<1>>, Param<Tensor<2>>);

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Two parameters with given gradients.
fn pair(first: [f32; 2], second: [[f32; 2]; 1]) -> (Pair, GradientsParams) {
    let device = Device::flex();
    let module = (
        Param::from_tensor(Tensor::<1>::zeros([2], &device)),
        Param::from_tensor(Tensor::<2>::zeros([1, 2], &device)),
    );
    let mut gradients = GradientsParams::new();
    gradients.register(module.0.id, Tensor::<1>::from_floats(first, &device));
    gradients.register(module.1.id, Tensor::<2>::from_floats(second, &device));
    (module, gradients)
}

#[test]
fn the_rate_warms_up_and_ends_at_a_tenth() {
    assert!((learning_rate(1.0, 0, 10, 100) - 0.1).abs() < 1e-12);
    assert!((learning_rate(1.0, 10, 10, 100) - 1.0).abs() < 1e-12);
    assert!((learning_rate(1.0, 100, 10, 100) - 0.1).abs() < 1e-12);
}

/// By hand: √(3² + 4² + 12² + 84²) = 85, of a sum over 5, so the norm of the mean is 17. Clipped at 3.4, a
/// fifth of it, what was 84 / 5 becomes 84 / 25. One norm a tensor would have scaled the first by another factor.
#[test]
fn one_norm_over_all_gradients_is_clipped() {
    let (module, gradients) = pair([3.0, 4.0], [[12.0, 84.0]]);
    let summed = Summed { gradients, parts: vec![Weighed { loss: 10.0, weight: 5.0 }] };
    assert!((summed.mean() - 2.0).abs() < 1e-12);
    let (clipped, norm) = clipped(&module, summed, 3.4);
    assert!((norm - 17.0).abs() < 1e-6, "{norm}");
    let first = numbers(clipped.get::<1>(module.0.id).unwrap());
    let second = numbers(clipped.get::<2>(module.1.id).unwrap());
    for (got, want) in first.iter().chain(&second).zip([0.12, 0.16, 0.48, 3.36]) {
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }
}

#[test]
fn a_short_gradient_is_left_as_it_is() {
    let (module, gradients) = pair([0.3, 0.0], [[0.0, 0.4]]);
    let summed = Summed { gradients, parts: vec![Weighed { loss: 0.0, weight: 1.0 }] };
    let (clipped, norm) = clipped(&module, summed, 1.0);
    assert!((norm - 0.5).abs() < 1e-6);
    assert_eq!(numbers(clipped.get::<2>(module.1.id).unwrap()), [0.0, 0.4]);
}

/// Nothing was weighed: no division by zero, and no step.
#[test]
fn a_step_without_anything_to_learn_changes_nothing() {
    let (module, gradients) = pair([0.0; 2], [[0.0; 2]]);
    let summed = Summed { gradients, parts: Vec::new() };
    assert_eq!(summed.mean(), 0.0);
    let (clipped, norm) = clipped(&module, summed, 1.0);
    assert_eq!(norm, 0.0);
    assert_eq!(numbers(clipped.get::<1>(module.0.id).unwrap()), [0.0, 0.0]);
}

fn network(lanes: &Lanes) -> Linear {
    let device = lanes.main();
    device.seed(4);
    let network = LinearConfig::new(3, 2).init(&device);
    // Drawn now, and not by whichever lane looks first.
    let _ = (network.weight.val(), network.bias.as_ref().map(Param::val));
    network
}

/// The error of some rows of a regression; row `i` counts `i + 1` times.
fn weighted_error(network: &Linear, rows: &Range<usize>, device: &Device) -> (Tensor<1>, f64) {
    let x: Vec<f32> = rows.clone().flat_map(|i| [i as f32 * 0.1, 1.0, -(i as f32)]).collect();
    let weights: Vec<f32> = rows.clone().map(|i| i as f32 + 1.0).collect();
    let weight = f64::from(weights.iter().sum::<f32>());
    let dtype = network.weight.val().dtype();
    let x = Tensor::<2>::from_data(TensorData::new(x, [rows.len(), 3]), device).cast(dtype);
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [rows.len(), 1]), device);
    let error = (network.forward(x).cast(FloatDType::F32) - 0.5).square().sum_dim(1);
    ((error * weights).sum() / weight, weight)
}

fn of_parts(lanes: &Lanes, parts: &[Range<usize>]) -> (Vec<f32>, Vec<f32>, f64) {
    let network = network(lanes);
    let summed = gradients(&network, lanes, parts, weighted_error);
    let loss = summed.mean();
    let (gradients, _) = clipped(&network, summed, f64::MAX);
    let bias: ParamId = network.bias.as_ref().unwrap().id;
    (
        numbers(gradients.get::<2>(network.weight.id).unwrap()),
        numbers(gradients.get::<1>(bias).unwrap()),
        loss,
    )
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{x} {y}");
    }
}

#[test]
fn micro_batches_of_any_size_give_the_gradients_of_the_whole_batch() {
    let lanes = Lanes::new(&[Device::flex()], Precision::F32, false);
    let whole = of_parts(&lanes, std::slice::from_ref(&(0..12)));
    let parts = of_parts(&lanes, &[0..5, 5..6, 6..12]);
    close(&parts.0, &whole.0, 1e-5);
    close(&parts.1, &whole.1, 1e-5);
    assert!((parts.2 - whole.2).abs() < 1e-4 * whole.2, "{} {}", parts.2, whole.2);
}

#[test]
fn two_devices_give_the_very_gradients_of_one() {
    let parts: Vec<_> = (0..5).map(|i| 3 * i..3 * i + 3).collect();
    let one = of_parts(&Lanes::new(&[Device::flex()], Precision::F32, false), &parts);
    let two = Lanes::new(&[Device::flex(), Device::flex()], Precision::F32, false);
    assert!(two.tracked.len() >= 2, "both take part");
    assert_eq!(of_parts(&two, &parts), one);
}

#[test]
fn activations_computed_again_give_the_same_gradients() {
    let parts = [0..6, 6..9];
    let kept = of_parts(&Lanes::new(&[Device::flex()], Precision::F32, false), &parts);
    let again = of_parts(&Lanes::new(&[Device::flex()], Precision::F32, true), &parts);
    assert_eq!(again, kept);
}

/// 8 bits of mantissa: gradients within a hundredth, kept in 32 bits. A step of 0.001 on a weight of 1 is
/// lost to a weight in bf16, whose next value below 1 is 0.996, and not to the master weight.
#[test]
fn sixteen_bit_copies_teach_thirty_two_bit_weights() {
    let parts = [0..6, 6..9];
    let wide = of_parts(&Lanes::new(&[Device::flex()], Precision::F32, false), &parts);
    let lanes = Lanes::new(&[Device::flex()], Precision::Bf16, false);
    let narrow = of_parts(&lanes, &parts);
    close(&narrow.0, &wide.0, 0.03);
    assert_ne!(narrow.0, wide.0, "computed in fewer bits");

    let mut network = network(&lanes);
    network.weight = network.weight.map(|w| (w.ones_like()).detach().require_grad());
    let summed = gradients(&network, &lanes, &parts, weighted_error);
    let (gradients, _) = clipped(&network, summed, CLIP_NORM);
    let grad = gradients.get::<2>(network.weight.id).unwrap();
    assert_eq!(grad.dtype(), burn::tensor::DType::F32);
    let network = optimizer().step(1e-3, network, gradients);
    let stepped = numbers(network.weight.val());
    assert!(stepped.iter().all(|w| *w != 1.0 && (w - 1.0).abs() < 0.002), "{stepped:?}");
}
