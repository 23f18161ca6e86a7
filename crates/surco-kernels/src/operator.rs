//! The bridge to Burn: one extension method through which every fused operator runs, and one backward
//! step that serves them all.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, ExtensionType, Flex, backend_extension};

use crate::operators::{
    Attend, Attention, Convolve, Gelu, Halve, Linear, Loss, Mlp, Normalise, NormaliseImage, SwiGlu,
};

/// A fused operator on a backend: `N` tensors in, one out.
///
/// A tensor that is not there (a bias, say) is handed over with no elements.
pub(crate) trait Operator<B: Backend, const N: usize>:
    Clone + Debug + Send + 'static
{
    /// The output and, where `keep`, what backward will want besides the inputs.
    fn forward(
        &self,
        inputs: [&FloatTensor<B>; N],
        keep: bool,
    ) -> (FloatTensor<B>, Vec<FloatTensor<B>>);

    /// Gradients of the inputs, those that have one.
    fn backward(
        &self,
        inputs: [&FloatTensor<B>; N],
        kept: &[FloatTensor<B>],
        dy: FloatTensor<B>,
    ) -> [Option<FloatTensor<B>>; N];

    /// The same where some inputs need no gradient: an operator may leave those out.
    fn backward_of(
        &self,
        inputs: [&FloatTensor<B>; N],
        kept: &[FloatTensor<B>],
        dy: FloatTensor<B>,
        _wanted: [bool; N],
    ) -> [Option<FloatTensor<B>>; N] {
        self.backward(inputs, kept, dy)
    }
}

/// The fused operators.
#[derive(Clone, Debug)]
pub(crate) enum Fused {
    /// [`crate::norm`]: x, weight, bias.
    Norm(Normalise),
    /// [`crate::linear`]: x, weight, bias.
    Linear(Linear),
    /// [`crate::gelu`]: x.
    Gelu(Gelu),
    /// [`crate::swiglu`]: x.
    SwiGlu(SwiGlu),
    /// [`crate::attend`]: qkv, scales of queries and keys, cosines, sines.
    Attend(Attend),
    /// [`crate::attention`]: x, norm and its bias, qkv and its bias, out and its bias, scales of
    /// queries and keys, cosines, sines.
    Attention(Attention),
    /// [`crate::mlp`]: x, norm and its bias, up and its bias, down and its bias.
    Mlp(Mlp),
    /// [`crate::masked_loss`] and [`crate::cross_entropy`]: prediction, target, weight.
    Loss(Loss),
    /// [`crate::convolve`]: images, kernel.
    Convolve(Convolve),
    /// [`crate::image_norm`]: images, weight, bias, what is added.
    ImageNorm(NormaliseImage),
    /// [`crate::halve`]: images.
    Halve(Halve),
}

/// The tensors of a fused operator; those it does not take have no elements.
#[derive(ExtensionType)]
pub(crate) struct Slots<B: Backend> {
    s0: FloatTensor<B>,
    s1: FloatTensor<B>,
    s2: FloatTensor<B>,
    s3: FloatTensor<B>,
    s4: FloatTensor<B>,
    s5: FloatTensor<B>,
    s6: FloatTensor<B>,
    s7: FloatTensor<B>,
    s8: FloatTensor<B>,
    s9: FloatTensor<B>,
    s10: FloatTensor<B>,
}

/// Number of slots.
pub(crate) const SLOTS: usize = 11;

impl<B: Backend> Slots<B> {
    pub(crate) fn new(tensors: [FloatTensor<B>; SLOTS]) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10] = tensors;
        Self { s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10 }
    }

    /// The first `N` tensors.
    pub(crate) fn first<const N: usize>(self) -> [FloatTensor<B>; N] {
        let Self { s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10 } = self;
        let all: [Option<_>; SLOTS] = [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10].map(Some);
        let mut all = all.into_iter();
        std::array::from_fn(|_| all.next().flatten().expect("an operator has at most 11 tensors"))
    }
}

/// The backend extension.
#[backend_extension(Flex, LibTorch: cfg(feature = "tch"), Autodiff)]
pub(crate) trait FusedBackend: Backend {
    /// Runs a fused operator over its tensors.
    fn fused(#[extension_type] slots: Slots<Self>, operator: Fused) -> FloatTensor<Self>;
}

macro_rules! each_operator {
    ($operator:expr, $o:ident => $run:expr) => {
        match $operator {
            Fused::Norm($o) => $run,
            Fused::Linear($o) => $run,
            Fused::Gelu($o) => $run,
            Fused::SwiGlu($o) => $run,
            Fused::Attend($o) => $run,
            Fused::Attention($o) => $run,
            Fused::Mlp($o) => $run,
            Fused::Loss($o) => $run,
            Fused::Convolve($o) => $run,
            Fused::ImageNorm($o) => $run,
            Fused::Halve($o) => $run,
        }
    };
}

#[cfg(feature = "tch")]
pub(crate) use each_operator;

impl FusedBackend for Flex {
    fn fused(slots: Slots<Self>, operator: Fused) -> FloatTensor<Self> {
        each_operator!(operator, o => plain::<Self, _, _>(&o, &slots.first()))
    }
}

impl<C: CheckpointStrategy> FusedBackend for Autodiff<Flex, C> {
    fn fused(slots: Slots<Self>, operator: Fused) -> FloatTensor<Self> {
        each_operator!(operator, o => tracked::<Flex, C, _, _>(o, slots.first()))
    }
}

/// Runs an operator that nobody will ask for gradients.
pub(crate) fn plain<B: Backend, O: Operator<B, N>, const N: usize>(
    operator: &O,
    inputs: &[FloatTensor<B>; N],
) -> FloatTensor<B> {
    operator.forward(inputs.each_ref(), false).0
}

/// Runs an operator and registers its backward step.
pub(crate) fn tracked<B, C, O, const N: usize>(
    operator: O,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    O: Operator<B, N>,
{
    let nodes = inputs.each_ref().map(|t| t.node());
    match Step::<O>(PhantomData).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let inputs = inputs.map(|t| t.into_primitive());
            let (output, kept) = operator.forward(inputs.each_ref(), true);
            prep.finish((operator, inputs, kept), output)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(plain::<B, O, N>(&operator, &inputs.map(|t| t.into_primitive())))
        }
    }
}

/// The backward step of an operator.
struct Step<O>(PhantomData<O>);

impl<O> Debug for Step<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

impl<B: Backend, O: Operator<B, N>, const N: usize> Backward<B, N> for Step<O> {
    type State = (O, [FloatTensor<B>; N], Vec<FloatTensor<B>>);

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (operator, inputs, kept) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = operator.backward_of(inputs.each_ref(), &kept, dy, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
