//! What a campaign costs: bytes, tokens, operations, memory, days and money.

use serde::Serialize;
use surco_net::Size;

use crate::command::{CHILE_KM2, PIXELS_PER_KM2, S_PER_DAY};

/// Bytes that a km² of land needs from an archive in a season: 8.8 TB for the area of Chile and a year, counted over
/// the blocks of 1024 × 1024 pixels, ten bands and the scene classes, that touch the land.
const ARCHIVE_BYTES_PER_KM2: f64 = 8.8e12 / CHILE_KM2;

/// Dates in a season of two satellites.
const DATES: f64 = 73.0;

/// Operations of training for one of a forward pass (Chowdhery et al. 2022).
const TRAINING_PASSES: f64 = 3.0;

/// Bytes of a value in activations of 16 bits.
const BF16_BYTES: f64 = 2.0;

/// Tokens that one device holds at once in training.
const TOKENS_AT_ONCE: f64 = 65_536.0;

const S_PER_HOUR: f64 = 3_600.0;

/// What is asked for, and what is taken for granted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Campaign {
    /// Land in km².
    pub(super) area_km2: f64,
    pub(super) seasons: u32,
    /// Side of a patch in pixels of 10 m.
    pub(super) patch_px: u32,
    /// Share of the observations that show the ground.
    pub(super) clear_share: f64,
    /// Tokens in training for one parameter.
    pub(super) tokens_per_parameter: f64,
    /// Model operations a second of one device.
    pub(super) flops_per_s: f64,
    /// What of it is left when many devices work together.
    pub(super) together: f64,
    /// Memory of one device in bytes.
    pub(super) device_bytes: f64,
    /// Of one device.
    pub(super) price_per_hour: f64,
    /// Bits a second from the archive.
    pub(super) bits_per_s: f64,
}

/// What the data needs, whatever the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct DataCost {
    pub(super) bytes: f64,
    /// At the given pace.
    pub(super) download_days: f64,
    pub(super) pixels: f64,
    /// Patches on clear dates.
    pub(super) tokens: f64,
}

/// What a size on a number of devices needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) size: Size,
    pub(super) devices: u32,
    pub(super) training_tokens: f64,
    pub(super) training_flops: f64,
    pub(super) training_days: f64,
    /// Of one pass over all the land and all seasons.
    pub(super) embedding_flops: f64,
    pub(super) embedding_days: f64,
    /// Weights, gradients and optimiser, which every device holds, and the inputs of its blocks.
    pub(super) memory_bytes: f64,
    pub(super) fits: bool,
    /// Of training and one embedding.
    pub(super) device_days: f64,
    pub(super) price: f64,
}

impl Campaign {
    /// What the data needs.
    pub(super) fn data(&self) -> DataCost {
        let seasons = f64::from(self.seasons);
        let (bytes, pixels) =
            (ARCHIVE_BYTES_PER_KM2 * self.area_km2 * seasons, PIXELS_PER_KM2 * self.area_km2);
        let patches = pixels / f64::from(self.patch_px).powi(2);
        DataCost {
            bytes,
            download_days: 8.0 * bytes / self.bits_per_s / S_PER_DAY,
            pixels,
            tokens: patches * self.dates() * seasons,
        }
    }

    /// Clear dates of a season.
    fn dates(&self) -> f64 {
        DATES * self.clear_share
    }

    /// What a size needs on so many devices.
    pub(super) fn row(&self, size: Size, devices: u32) -> Row {
        let params = size.params() as f64;
        let per_token = size.flops_per_token(self.dates().round() as usize) as f64;
        let training_tokens = self.tokens_per_parameter * params;
        let training_flops = TRAINING_PASSES * per_token * training_tokens;
        let embedding_flops = per_token * self.data().tokens;
        let together = if devices > 1 { self.together } else { 1.0 };
        let pace = self.flops_per_s * f64::from(devices) * together;
        let days = |flops: f64| flops / pace / S_PER_DAY;
        let (width, layers) = (size.width() as f64, size.layers() as f64);
        // With recomputed activations a block keeps the residual stream at its two inputs.
        let activations = 2.0 * layers * width * BF16_BYTES * TOKENS_AT_ONCE;
        let memory_bytes = size.training_bytes() as f64 + activations;
        let device_days = days(training_flops + embedding_flops) * f64::from(devices);
        Row {
            size,
            devices,
            training_tokens,
            training_flops,
            training_days: days(training_flops),
            embedding_flops,
            embedding_days: days(embedding_flops),
            memory_bytes,
            fits: memory_bytes <= self.device_bytes,
            device_days,
            price: device_days * S_PER_DAY / S_PER_HOUR * self.price_per_hour,
        }
    }

    /// What is taken for granted, in words.
    pub(super) fn assumptions(&self) -> Vec<String> {
        vec![
            format!(
                "{:.1} MB of an archive for a km² and a season: blocks of 1024 × 1024 pixels that touch the land, ten bands \
                 and the scene classes",
                ARCHIVE_BYTES_PER_KM2 / 1e6
            ),
            format!(
                "{DATES} dates a season, {:.0} % of them clear: one token a patch of {} × {} pixels and clear date",
                self.clear_share * 100.0,
                self.patch_px,
                self.patch_px
            ),
            format!(
                "{} tokens of training a parameter (Hoffmann et al. 2022, of text), three forward passes each",
                self.tokens_per_parameter
            ),
            format!(
                "several devices keep {:.0} % of their pace; each holds 16 bytes a parameter and, with recomputed \
                 activations, the block inputs of {TOKENS_AT_ONCE} tokens",
                self.together * 100.0
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chile() -> Campaign {
        Campaign {
            area_km2: 756_000.0,
            seasons: 2,
            patch_px: 4,
            clear_share: 0.5,
            tokens_per_parameter: 20.0,
            flops_per_s: 1e14,
            together: 0.9,
            device_bytes: 80e9,
            price_per_hour: 2.0,
            bits_per_s: 1e9,
        }
    }

    #[test]
    fn two_seasons_of_chile_are_counted_by_hand() {
        let data = chile().data();
        assert!((data.bytes - 17.6e12).abs() < 1e6, "{data:?}");
        // 17.6e12 · 8 / 1e9 = 140,800 s.
        assert!((data.download_days - 140_800.0 / 86_400.0).abs() < 1e-9);
        assert_eq!(data.pixels, 7.56e9);
        // 7.56e9 / 16 patches on 36.5 dates, twice.
        assert!((data.tokens - 472.5e6 * 73.0).abs() < 1.0, "{data:?}");
    }

    #[test]
    fn eight_devices_are_as_fast_as_seven_and_a_fifth() {
        let (one, eight) = (chile().row(Size::Base, 1), chile().row(Size::Base, 8));
        assert!((one.training_days / eight.training_days - 7.2).abs() < 1e-9);
        assert!((eight.price / one.price - 1.0 / 0.9).abs() < 1e-9);
        // `6 N` a token for `20 N` tokens, but for attention and what is not in the blocks.
        let params = Size::Base.params() as f64;
        let share = one.training_flops / (120.0 * params * params);
        assert!((1.0..1.05).contains(&share), "{share}");
    }

    #[test]
    fn a_model_that_is_too_large_for_a_device_does_not_fit() {
        assert!(chile().row(Size::Billion, 8).fits);
        let small = Campaign { device_bytes: 16e9, ..chile() };
        assert!(!small.row(Size::Billion, 8).fits && small.row(Size::Small, 8).fits);
    }
}
