//! Memory of results as Burn's tensors hold it.

#![expect(unsafe_code, reason = "Burn's bytes are made of their parts by an unsafe function")]

use std::mem::MaybeUninit;

use burn::tensor::Bytes;
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};

use crate::cpu::Buffer;

/// A buffer behind a tensor.
struct Held(Buffer);

impl AllocationController for Held {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _policy: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(self.0.memory_mut());
        let (start, length) = (bytes.as_mut_ptr(), bytes.len());
        // SAFETY: the same bytes under a type that asks less of them; the caller promises to write only
        // initialised values.
        Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), length) })
    }

    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(self.0.memory());
        // SAFETY: the same bytes under a type that asks less of them.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }
}

/// A buffer's values as bytes of a tensor, without a copy.
pub(crate) fn bytes(values: Buffer) -> Bytes {
    let length = size_of_val::<[f32]>(&values);
    // SAFETY: every value of a buffer is initialised, and it has at least `length` bytes.
    unsafe { Bytes::from_controller(Box::new(Held(values)), length) }
}
