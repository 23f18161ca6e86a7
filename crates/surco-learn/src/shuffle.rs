//! Random order.

use rand::{Rng, RngExt};

/// Puts items in random order (Fisher and Yates 1938).
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}
