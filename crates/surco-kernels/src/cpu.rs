//! The operators on slices, for the processor that is found when the program runs.

use std::sync::OnceLock;

use pulp::{Arch, WithSimd};

pub(crate) mod adamw;
pub(crate) mod attend;
mod bf16;
mod buffer;
pub(crate) mod convolve;
pub(crate) mod elementwise;
mod grads;
pub(crate) mod image;
mod int8;
pub(crate) mod loss;
mod matmul;
pub(crate) mod mixer;
pub(crate) mod mlp;
pub(crate) mod norm;
mod rows;
pub(crate) mod series;
mod vector;

pub(crate) use buffer::Buffer;

/// Runs a kernel with the widest vectors this processor has.
pub(crate) fn run<K: WithSimd>(kernel: K) -> K::Output {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(kernel)
}
