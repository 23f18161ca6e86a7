//! Work that is timed: steps of the reference encoder and single operators, on inputs drawn from a
//! seed and handed over as files, so that another program can do the same work on the same numbers.
//!
//! # Source
//! `benches/encoder/torch_side.py` does each in PyTorch.

mod cube;
mod outer_step;
mod presto;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use surco_kernels::{AdamW, Norm, NormKind, Policy, Precision, Segments, attend, gelu, norm};
use surco_net::Size;
use surco_net::reference::{
    ReferenceBatch, ReferenceEncoder, ReferenceError, Tensors, drawn, drawn_batch, drawn_meteor,
    drawn_presto, drawn_weights,
};

pub use cube::CubeSize;
pub use presto::Shown;

/// Series of a batch of the reference encoder.
const SERIES: usize = 256;

/// Tokens of a series.
const TOKENS: usize = 24;

const HEADS: usize = 8;

const LEARNING_RATE: f64 = 1e-3;

/// A piece of work with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A training step of the reference encoder of this width: loss, gradients, AdamW.
    Train(usize),
    /// An outer step of FOMAML on METEOR's network: four tasks of four classes, five images a class, Adam.
    Fomaml,
    /// A forward pass of the reference encoder of this width.
    Infer(usize, Precision),
    /// Presto's encoder on 64 series of 12 months.
    Presto(Shown, Precision),
    /// Embedding a cube with the smallest encoder, patches of 4 × 4 pixels.
    Cube(CubeSize),
    /// One operator, without or with its backward pass.
    Operator(Operator, Pass),
}

/// Cubes that are embedded: 5 × 5 km of 40 dates, more ground, more dates.
pub const CUBES: [CubeSize; 6] = {
    const fn cube(side_px: usize, dates: usize) -> CubeSize {
        CubeSize { side_px, dates }
    }
    [cube(500, 40), cube(250, 40), cube(128, 40), cube(128, 20), cube(128, 80), cube(128, 160)]
};

/// An operator that encoders spend their time in, at the shapes of the reference encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// 6144 × 512.
    Gelu,
    /// 6144 × 128, with scale and shift.
    LayerNorm,
    /// 256 series of 24 tokens, 8 heads of 16.
    Attention,
}

/// What is timed of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Forward, nothing kept.
    Forward,
    /// Forward with what backward needs, and backward from a gradient of ones.
    Backward,
}

impl Work {
    /// All there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Train(128), Self::Train(384), Self::Fomaml];
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            all.extend([Self::Infer(128, precision), Self::Infer(384, precision)]);
            all.extend([Shown::All, Shown::Optical].map(|shown| Self::Presto(shown, precision)));
        }
        all.extend(CUBES.map(Self::Cube));
        for operator in [Operator::Gelu, Operator::LayerNorm, Operator::Attention] {
            all.extend([Pass::Forward, Pass::Backward].map(|pass| Self::Operator(operator, pass)));
        }
        all
    }

    /// The files it works on: name and bytes (safetensors).
    #[must_use]
    pub fn inputs(self, seed: u64) -> Vec<(&'static str, Vec<u8>)> {
        match self {
            Self::Train(width) | Self::Infer(width, _) => vec![
                ("weights.safetensors", drawn_weights(width, seed)),
                ("batch.safetensors", drawn_batch(SERIES, seed)),
            ],
            Self::Fomaml => vec![
                ("weights.safetensors", drawn_meteor(seed)),
                ("batch.safetensors", outer_step::batch(seed)),
            ],
            Self::Presto(shown, _) => vec![
                ("weights.safetensors", drawn_presto(seed)),
                ("batch.safetensors", shown.batch(seed)),
            ],
            Self::Cube(_) => Vec::new(),
            Self::Operator(operator, _) => {
                let n = SERIES * TOKENS;
                let shapes: &[(&'static str, &[usize])] = match operator {
                    Operator::Gelu => &[("x", &[n, 512])],
                    Operator::LayerNorm => {
                        &[("x", &[n, 128]), ("weight", &[128]), ("bias", &[128])]
                    }
                    Operator::Attention => &[("x", &[n, 3 * HEADS * 16])],
                };
                vec![("batch.safetensors", drawn(shapes, seed))]
            }
        }
    }

    /// Makes the work ready to run on a device; `read` gives the bytes of a file of
    /// [`Work::inputs`].
    ///
    /// # Errors
    /// Those of `read`, and [`ReferenceError`] if a file does not hold what it should.
    pub fn prepare<E: From<ReferenceError>>(
        self,
        read: impl Fn(&str) -> Result<Vec<u8>, E>,
        device: &Device,
    ) -> Result<Workload, E> {
        let (weights, batch) = (|| read("weights.safetensors"), || read("batch.safetensors"));
        let run: Box<dyn FnMut() -> Tensor<2>> = match self {
            Self::Train(_) => {
                let mut training = ReferenceTraining::new(&weights()?, &batch()?, device)?;
                Box::new(move || training.step().unsqueeze())
            }
            Self::Fomaml => outer_step::prepare(&weights()?, &batch()?, device)?,
            Self::Infer(_, precision) => {
                let encoder = ReferenceEncoder::read(&weights()?, device)?.valid();
                let batch = ReferenceBatch::read(&batch()?, device)?;
                let policy = Policy { precision, recompute: false };
                Box::new(move || encoder.forward(&batch, policy))
            }
            Self::Presto(_, precision) => {
                let policy = Policy { precision, recompute: false };
                presto::prepare(&weights()?, &batch()?, policy, device)?
            }
            Self::Cube(cube) => cube.prepare(Size::Nano, 0, device),
            Self::Operator(operator, pass) => operator.prepare(pass, &batch()?, device)?,
        };
        Ok(Workload { run, device: device.clone(), last: None })
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Train(width) => write!(f, "train-{width}"),
            Self::Fomaml => f.write_str("fomaml"),
            Self::Infer(width, precision) => write!(f, "infer-{width}{}", suffix(*precision)),
            Self::Presto(shown, precision) => {
                write!(f, "presto-{}{}", shown.tokens(), suffix(*precision))
            }
            Self::Cube(cube) => write!(f, "cube-{}-{}", cube.side_px, cube.dates),
            Self::Operator(operator, pass) => {
                f.write_str(match operator {
                    Operator::Gelu => "gelu",
                    Operator::LayerNorm => "layer-norm",
                    Operator::Attention => "attention",
                })?;
                match pass {
                    Pass::Forward => Ok(()),
                    Pass::Backward => f.write_str("-backward"),
                }
            }
        }
    }
}

/// What a name ends in.
fn suffix(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Bf16 => "-bf16",
        Precision::Int8 => "-int8",
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known =
            |all: Vec<Self>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let found = Self::all().into_iter().find(|work| work.to_string() == text);
        found.ok_or_else(|| format!("expected one of {}", known(Self::all())))
    }
}

impl Operator {
    fn prepare(
        self,
        pass: Pass,
        batch: &[u8],
        device: &Device,
    ) -> Result<Box<dyn FnMut() -> Tensor<2>>, ReferenceError> {
        let file = Tensors::read("batch", batch)?;
        let device = match pass {
            Pass::Forward => device.clone(),
            Pass::Backward => device.clone().autodiff(),
        };
        let [n, d] = file.shape("x")?;
        let data = TensorData::new(file.values("x", &[n, d])?, [n, d]);
        let x = Tensor::<2>::from_data(data, &device);
        let forward: Box<dyn Fn(Tensor<2>) -> Tensor<2>> = match self {
            Self::Gelu => Box::new(gelu),
            Self::LayerNorm => {
                let vector = |name| {
                    let data = TensorData::new(file.values(name, &[d])?, [d]);
                    let tensor = Tensor::<1>::from_data(data, &device);
                    Ok(if pass == Pass::Backward { tensor.require_grad() } else { tensor })
                };
                let (weight, bias) = (vector("weight")?, Some(vector("bias")?));
                let layer = Norm { weight, bias, kind: NormKind::Layer, epsilon: 1e-5 };
                Box::new(move |x| norm(x, layer.clone()))
            }
            Self::Attention => {
                let segments = Segments::uniform(SERIES, TOKENS);
                Box::new(move |x| attend(x, &segments, HEADS, None, None))
            }
        };
        Ok(match pass {
            Pass::Forward => Box::new(move || forward(x.clone())),
            Pass::Backward => Box::new(move || {
                let x = x.clone().detach().require_grad();
                let gradients = forward(x.clone()).backward();
                x.grad(&gradients).expect("a gradient was asked for")
            }),
        })
    }
}

/// Work that is ready to run.
pub struct Workload {
    run: Box<dyn FnMut() -> Tensor<2>>,
    device: Device,
    last: Option<Tensor<2>>,
}

impl Workload {
    /// Runs once, to the end; gives the time.
    ///
    /// # Errors
    /// What the device says if it failed.
    pub fn run(&mut self) -> Result<Duration, String> {
        self.last = None;
        let started = Instant::now();
        let last = (self.run)();
        self.device.sync().map_err(|e| e.to_string())?;
        let time = started.elapsed();
        self.last = Some(last);
        Ok(time)
    }

    /// The mean absolute value of the last result: the loss, the output or the gradient of the input;
    /// 0 before the first run.
    #[must_use]
    pub fn value(&self) -> f64 {
        let last = self.last.clone().map(|t| t.abs().mean().into_scalar::<f32>());
        f64::from(last.unwrap_or_default())
    }
}

/// Training of the reference encoder on one batch, with AdamW at a constant rate of 0.001, weight decay
/// 0.0001 and an epsilon of 1e-8.
pub struct ReferenceTraining {
    encoder: Option<ReferenceEncoder>,
    optimizer: ModuleOptimizer,
    batch: ReferenceBatch,
}

impl ReferenceTraining {
    /// Training of the encoder of one file on the batch of another.
    ///
    /// # Errors
    /// [`ReferenceError`] if a file does not hold what it should.
    pub fn new(weights: &[u8], batch: &[u8], device: &Device) -> Result<Self, ReferenceError> {
        let device = device.clone().autodiff();
        let optimizer = AdamW { weight_decay: 1e-4, ..AdamW::default() };
        Ok(Self {
            encoder: Some(ReferenceEncoder::read(weights, &device)?),
            optimizer: ModuleOptimizer::from(optimizer),
            batch: ReferenceBatch::read(batch, &device)?,
        })
    }

    /// One step; gives the loss before it, `[1]`.
    ///
    /// # Panics
    /// If a step before this one panicked.
    pub fn step(&mut self) -> Tensor<1> {
        let encoder = self.encoder.take().expect("every step puts the encoder back");
        let loss = encoder.loss(&self.batch, Policy::default());
        let gradients = GradientsParams::from_grads(loss.clone().backward(), &encoder);
        self.encoder = Some(self.optimizer.step(LEARNING_RATE, encoder, gradients));
        loss.detach()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn prepared(work: Work) -> Workload {
        let files: BTreeMap<_, _> = work.inputs(3).into_iter().collect();
        let read = |name: &str| Ok::<_, ReferenceError>(files[name].clone());
        work.prepare(read, &Device::flex()).unwrap()
    }

    #[test]
    fn a_name_means_the_work_it_was_given_to() {
        for work in Work::all() {
            assert_eq!(work.to_string().parse(), Ok(work));
        }
        assert!("train-7".parse::<Work>().unwrap_err().contains("train-128"));
    }

    #[test]
    fn training_learns_its_batch() {
        let weights = drawn_weights(32, 1);
        let batch = drawn_batch(8, 1);
        let mut training = ReferenceTraining::new(&weights, &batch, &Device::flex()).unwrap();
        let losses: Vec<f32> = (0..60).map(|_| training.step().into_scalar::<f32>()).collect();
        assert!(losses[59] < 0.8 * losses[0], "{losses:?}");
    }

    #[test]
    fn an_encoder_of_others_tells_series_apart() {
        for (shown, precision) in [(Shown::All, Precision::F32), (Shown::Optical, Precision::Bf16)]
        {
            let mut work = prepared(Work::Presto(shown, precision));
            work.run().unwrap();
            assert!((0.1..10.0).contains(&work.value()), "{}", work.value());
        }
    }

    #[test]
    fn a_cube_has_an_embedding_a_patch() {
        let cube = CubeSize { side_px: 10, dates: 3 };
        let mut run = cube.prepare(Size::Nano, 0, &Device::flex());
        let embedding = run();
        assert_eq!(embedding.dims(), [9, 4 * 128]);
        assert!(embedding.abs().mean().into_scalar::<f32>() > 0.1);
    }

    /// The mean of |x| of a standard normal number is sqrt(2 / pi) = 0.798; gelu halves it: its mean
    /// absolute value is 0.399 less twice the little that is negative, and the mean of its derivative is
    /// 1/2, of which few are negative.
    #[test]
    fn operators_give_what_their_inputs_make_one_expect() {
        let mut forward = prepared(Work::Operator(Operator::Gelu, Pass::Forward));
        assert_eq!(forward.value(), 0.0);
        forward.run().unwrap();
        assert!((0.35..0.45).contains(&forward.value()), "{}", forward.value());
        let mut backward = prepared(Work::Operator(Operator::Gelu, Pass::Backward));
        backward.run().unwrap();
        assert!((0.5..0.6).contains(&backward.value()), "{}", backward.value());
    }

    #[test]
    fn every_operator_runs_forward_and_backward() {
        for operator in [Operator::Gelu, Operator::LayerNorm, Operator::Attention] {
            for pass in [Pass::Forward, Pass::Backward] {
                let mut work = prepared(Work::Operator(operator, pass));
                work.run().unwrap();
                assert!(work.value() > 0.0, "{operator:?} {pass:?}");
            }
        }
    }
}
