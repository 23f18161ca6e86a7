//! An outer step of FOMAML on METEOR's network as work: 4 tasks of 4 classes, 5 images a class to learn from and 5 to be
//! asked, 15 bands, 32 × 32 pixels, one inner step.

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_kernels::AdamW;
use surco_net::reference::{ReferenceError, Tensors, read_meteor, written};

use crate::precision::Precision;
use crate::step::{Lanes, gradients};
use crate::{ImageTask, InnerSteps, LabelledImages};

const TASKS: usize = 4;
const WAYS: usize = 4;
const SHOTS: usize = 5;
const BANDS: usize = 15;
const SIDE_PX: usize = 32;
const INNER: InnerSteps = InnerSteps { count: 1, rate: 0.01 };
const LEARNING_RATE: f64 = 1e-5;

/// Images of each task as a safetensors file of f32: `support` and `query`, `[tasks, m, b, y, x]`. The first images of each are of
/// the class that the task asks for.
pub(super) fn batch(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = [TASKS, WAYS * SHOTS, BANDS, SIDE_PX, SIDE_PX];
    let mut images = |name: &str| {
        let values = (0..shape.iter().product()).map(|_| rng.random_range(0.0..1.0)).collect();
        (name.into(), (shape.to_vec(), values))
    };
    written(&[images("support"), images("query")].into())
}

/// Outer steps on the tasks of one file from the weights of another; each gives the loss before it.
pub(super) fn prepare(
    weights: &[u8],
    batch: &[u8],
    device: &Device,
) -> Result<Box<dyn FnMut() -> Tensor<2>>, ReferenceError> {
    let file = Tensors::read("batch", batch)?;
    let (support, query) = (labelled(&file, "support")?, labelled(&file, "query")?);
    let task = |(support, query)| ImageTask { support, query };
    let tasks: Vec<ImageTask> = support.into_iter().zip(query).map(task).collect();
    let lanes = Lanes::new(std::slice::from_ref(device), Precision::F32, false);
    let mut adam: ModuleOptimizer = AdamW { weight_decay: 0.0, ..AdamW::default() }.into();
    let mut net = Some(read_meteor(weights, device)?.train().fork(&lanes.main()));
    let device = device.clone();
    Ok(Box::new(move || {
        let before = net.take().expect("every step puts the network back");
        let share = 1.0 / tasks.len() as f64;
        let summed = gradients(&before, &lanes, &tasks, |net, task, device| {
            (task.loss(net, INNER, device), share)
        });
        let loss = summed.whole().loss;
        net = Some(adam.step(LEARNING_RATE, before, summed.gradients));
        Tensor::from_data(TensorData::new(vec![loss as f32], [1, 1]), &device)
    }))
}

fn labelled(file: &Tensors<'_>, name: &str) -> Result<Vec<LabelledImages>, ReferenceError> {
    let shape @ [_, m, b, y, x] = file.shape(name)?;
    let of_class = (0..m).map(|i| if i < m / WAYS { 1.0 } else { 0.0 });
    let is_class = TensorData::new(of_class.collect::<Vec<f32>>(), [m, 1]);
    let values = file.values(name, &shape)?;
    let tasks = values.chunks_exact(m * b * y * x).map(|images| LabelledImages {
        images: TensorData::new(images.to_vec(), [m, b, y, x]),
        is_class: is_class.clone(),
    });
    Ok(tasks.collect())
}
