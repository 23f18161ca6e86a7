//! Windows of several patch sizes from the windows of a pool.

use rand::{Rng, RngExt};
use surco_data::{Batch, BatchSpec, PatchGrid, Sample};

/// Which patches a pretext trains on.
#[derive(Clone, Debug)]
pub(crate) struct Crops {
    /// How patches of one pixel become batches.
    pub(crate) spec: BatchSpec,
    /// Sides of patches to draw from, in pixels.
    pub(crate) patch_px: Vec<usize>,
    /// Side of the pool's windows in pixels.
    pub(crate) window_px: usize,
}

/// Samples cut alike, and how they become a batch.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) samples: Vec<Sample>,
    pub(crate) spec: BatchSpec,
}

impl Crops {
    /// A batch of these samples; see [`Crops::cut`].
    pub(crate) fn batch(&self, samples: &[&Sample], rng: &mut impl Rng) -> Batch {
        let Cut { samples, spec } = self.cut(samples, rng);
        Batch::new(&samples.iter().collect::<Vec<_>>(), &spec)
    }

    /// These samples, all cut to the same number of patches of one size.
    ///
    /// The size is drawn. Half of the batches hold one patch a sample, half as many as fit at the largest
    /// size, of fewer samples, so that a batch costs the same.
    pub(crate) fn cut(&self, samples: &[&Sample], rng: &mut impl Rng) -> Cut {
        let side_px = self.patch_px[rng.random_range(0..self.patch_px.len())];
        let largest = self.patch_px.iter().max().map_or(1, |&p| p);
        let most = (self.window_px / largest).max(1);
        let patches = if rng.random_bool(0.5) { most } else { 1 };
        let size = (side_px * patches).min(self.window_px);
        let bands = self.spec.bands.len();
        let kept = samples.len().div_ceil(patches * patches);
        let samples = samples[..kept]
            .iter()
            .map(|sample| {
                let from = sample.size_px.map(|px| rng.random_range(0..=px.saturating_sub(size)));
                sample.crop(from, [size; 2], bands)
            })
            .collect();
        let patch = PatchGrid { side_px, ..self.spec.patch };
        Cut { samples, spec: BatchSpec { patch, ..self.spec.clone() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;
    use surco_data::{Normalisation, SpectralBand};

    #[test]
    fn every_size_is_drawn_alone_and_among_neighbours_at_the_same_cost() {
        let bands = [SpectralBand::optical(665.0, 31.0)];
        let norm = Normalisation::measure(&bands, &[]);
        let crops = Crops {
            spec: BatchSpec::new(&bands, &norm, (0, 10)),
            patch_px: vec![1, 4],
            window_px: 8,
        };
        let value = |i: usize| i as f32 / 100.0;
        let window = Sample {
            size_px: [8, 8],
            ..Sample::series(vec![1], (0..64).map(value).collect(), true)
        };
        let mut drawn = BTreeSet::new();
        for seed in 0..40 {
            let batch = crops.batch(&[&window; 8], &mut ChaCha8Rng::seed_from_u64(seed));
            drawn.insert((batch.patch.side_px, batch.samples[0].patches));
            assert_eq!(
                (batch.tokens(), batch.weights_nc.sum() as usize),
                (8, 8 * batch.patch.pixels())
            );
        }
        assert_eq!(drawn, BTreeSet::from([(1, [1, 1]), (1, [2, 2]), (4, [1, 1]), (4, [2, 2])]));
    }
}
