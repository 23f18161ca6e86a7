//! Memory of results, used again.
//!
//! A step of training asks for the same large results again and again. Memory that the system hands out
//! anew costs more to touch for the first time than most operators take, so what a dropped tensor held is
//! kept for the next result of its size.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Results below this many values are left to the allocator.
const LEAST: usize = 1 << 14;

/// Bytes kept for later at most.
const MOST_BYTES: usize = 1 << 29;

/// Memory that nobody uses now, by its length in values.
struct Shelf {
    lengths: BTreeMap<usize, Vec<Vec<f32>>>,
    bytes: usize,
}

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { lengths: BTreeMap::new(), bytes: 0 });

impl Shelf {
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        let (&held, shelved) = self.lengths.range_mut(length..=length).next()?;
        let values = shelved.pop()?;
        self.bytes -= 4 * held;
        Some(values)
    }

    fn put(&mut self, values: Vec<f32>) {
        if self.bytes + 4 * values.len() <= MOST_BYTES {
            self.bytes += 4 * values.len();
            self.lengths.entry(values.len()).or_default().push(values);
        }
    }
}

/// A length that similar lengths share: the next eighth of a power of two.
fn class(length: usize) -> usize {
    length.next_multiple_of((length.next_power_of_two() / 16).max(1))
}

/// Values of a result; its memory is kept for another when it is dropped.
#[derive(Default)]
pub(crate) struct Buffer {
    /// At least `length` values.
    values: Vec<f32>,
    length: usize,
}

impl Buffer {
    /// Room for values that will all be written: what it holds is left over from others.
    pub(crate) fn fresh(length: usize) -> Self {
        if length < LEAST {
            return Self { values: vec![0.0; length], length };
        }
        let class = class(length);
        let shelved = SHELF.lock().unwrap_or_else(PoisonError::into_inner).take(class);
        Self { values: shelved.unwrap_or_else(|| vec![0.0; class]), length }
    }

    /// All of its memory, values beyond its length included.
    pub(crate) fn memory(&self) -> &[f32] {
        &self.values
    }

    /// All of its memory, values beyond its length included.
    pub(crate) fn memory_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self { length: values.len(), values }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.values.len() >= LEAST {
            let values = std::mem::take(&mut self.values);
            SHELF.lock().unwrap_or_else(PoisonError::into_inner).put(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_lengths_share_memory_and_none_is_too_short() {
        for length in [LEAST, LEAST + 1, 100_000, 1 << 20, (1 << 20) + 1] {
            assert!(class(length) >= length && class(length) <= length + length / 8 + 1);
        }
        let length = 777_777; // no other test asks for this class
        let first = Buffer::fresh(length);
        let place = first.as_ptr();
        drop(first);
        let second = Buffer::fresh(length - 100);
        assert_eq!((second.as_ptr(), second.len()), (place, length - 100));
    }
}
