//! Sizes of the family, and what each costs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use surco_data::{SEASON_FEATURES, STATIC_FEATURES};

use crate::spectral::band_weights_params;

/// A member of the encoder family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// 30 thousand parameters, to see how much less is enough.
    Femto,
    /// 0.2 million parameters, for a small phone.
    Pico,
    /// 0.8 million parameters, for a CPU or a phone.
    Nano,
    /// 2.7 million parameters, for a CPU.
    Micro,
    /// 21 million parameters, for maps on a CPU or a small GPU.
    Small,
    /// 85 million parameters, for a GPU.
    Base,
    /// 302 million parameters, for a GPU.
    Large,
    /// 793 million parameters, for a large GPU.
    Xl,
    /// A billion parameters, for a GPU of 80 GB or more.
    #[serde(rename = "1b")]
    Billion,
    /// Two billion parameters, for several GPUs or a very large one.
    #[serde(rename = "2b")]
    TwoBillion,
}

/// Name, width, number of blocks and of heads of each size, in the order of [`Size::ALL`].
const TABLE: [(&str, usize, usize, usize); 10] = [
    ("femto", 32, 2, 2),
    ("pico", 64, 3, 2),
    ("nano", 128, 4, 4),
    ("micro", 192, 6, 3),
    ("small", 384, 12, 6),
    ("base", 768, 12, 12),
    ("large", 1024, 24, 16),
    ("xl", 1536, 28, 24),
    ("1b", 1792, 26, 28),
    ("2b", 2304, 32, 36),
];

/// Bytes of a parameter in bfloat16.
const BF16_BYTES: u64 = 2;

/// Bytes of a parameter in training: value, gradient and the two moments of AdamW, each 32-bit.
const TRAINING_BYTES: u64 = 16;

/// Bands that the cost of a token is told for: Sentinel-2's.
const COSTED_BANDS: usize = 10;

/// A size nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model size `{found}` is unknown: expected one of {}", known.join(", "))]
pub struct SizeError {
    found: String,
    known: Vec<&'static str>,
}

impl Size {
    /// All sizes, the smallest first.
    pub const ALL: [Self; 10] = [
        Self::Femto,
        Self::Pico,
        Self::Nano,
        Self::Micro,
        Self::Small,
        Self::Base,
        Self::Large,
        Self::Xl,
        Self::Billion,
        Self::TwoBillion,
    ];

    fn row(self) -> (&'static str, usize, usize, usize) {
        TABLE[self as usize]
    }

    /// Its name in configs and commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Width of a token.
    #[must_use]
    pub fn width(self) -> usize {
        self.row().1
    }

    /// Number of blocks.
    #[must_use]
    pub fn layers(self) -> usize {
        self.row().2
    }

    /// Number of attention heads.
    #[must_use]
    pub fn heads(self) -> usize {
        self.row().3
    }

    /// Exact number of parameters.
    #[must_use]
    pub fn params(self) -> u64 {
        let (d, layers) = (self.width(), self.layers());
        let attention = 4 * d * d + 2 * (d / self.heads());
        let block = attention + 8 * d * d + 2 * d;
        let told = (SEASON_FEATURES + 1 + STATIC_FEATURES) * d;
        let bands = band_weights_params(2 * d) + band_weights_params(d + 1);
        (layers * block + d + told + bands) as u64
    }

    /// Floating-point operations of a forward pass for one token of one pixel and ten bands, among so
    /// many tokens of its segment.
    #[must_use]
    pub fn flops_per_token(self, segment_tokens: usize) -> u64 {
        let (d, layers) = (self.width(), self.layers());
        let products = 2 * 12 * d * d + 4 * segment_tokens * d;
        let told = 2 * COSTED_BANDS + SEASON_FEATURES + 1;
        (layers * products + 2 * told * d) as u64
    }

    /// Bytes of the weights in bfloat16.
    #[must_use]
    pub fn weight_bytes(self) -> u64 {
        BF16_BYTES * self.params()
    }

    /// Bytes of weights, gradients and optimiser in training.
    #[must_use]
    pub fn training_bytes(self) -> u64 {
        TRAINING_BYTES * self.params()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|size| size.name() == s).ok_or_else(|| SizeError {
            found: s.into(),
            known: TABLE.iter().map(|row| row.0).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_found_by_its_name_and_written_by_it() {
        for size in Size::ALL {
            assert_eq!(size.name().parse(), Ok(size));
            assert_eq!(serde_json::to_string(&size).unwrap(), format!("\"{size}\""));
        }
        let unknown = "3b".parse::<Size>().unwrap_err().to_string();
        assert!(unknown.contains("`3b`") && unknown.ends_with("large, xl, 1b, 2b"), "{unknown}");
    }

    /// Expected: the table of the design of the family (parameters in millions, operations of a token
    /// among 64 and 512 in millions, weights and training in MiB), counted there from the blocks alone and
    /// rounded to the last digit that stands here.
    #[test]
    fn costs_are_those_of_the_design() {
        const MIB: f64 = 1.048_576;
        const GIB: f64 = 1024.0 * MIB;
        // (figure, half of its last digit)
        let table: [(Size, [(f64, f64); 5]); 8] = [
            (Size::Nano, [(0.8, 0.05), (1.7, 0.05), (2.6, 0.05), (1.6, 0.05), (13.0, 0.5)]),
            (Size::Micro, [(2.7, 0.05), (5.6, 0.05), (7.7, 0.05), (5.0, 0.5), (42.0, 0.5)]),
            (
                Size::Small,
                [(21.0, 0.5), (44.0, 0.5), (52.0, 0.5), (40.0 * MIB, 0.5), (0.3 * GIB, 0.05 * GIB)],
            ),
            (
                Size::Base,
                [
                    (85.0, 0.5),
                    (172.0, 0.5),
                    (189.0, 0.5),
                    (0.16 * GIB, 0.005 * GIB),
                    (1.3 * GIB, 0.05 * GIB),
                ],
            ),
            (
                Size::Large,
                [
                    (302.0, 0.5),
                    (610.0, 5.0),
                    (654.0, 0.5),
                    (0.56 * GIB, 0.005 * GIB),
                    (4.5 * GIB, 0.05 * GIB),
                ],
            ),
            (
                Size::Xl,
                [
                    (793.0, 0.5),
                    (1600.0, 5.0),
                    (1670.0, 5.0),
                    (1.5 * GIB, 0.05 * GIB),
                    (11.8 * GIB, 0.05 * GIB),
                ],
            ),
            (
                Size::Billion,
                [
                    (1002.0, 0.5),
                    (2020.0, 5.0),
                    (2100.0, 5.0),
                    (1.87 * GIB, 0.005 * GIB),
                    (14.9 * GIB, 0.05 * GIB),
                ],
            ),
            (
                Size::TwoBillion,
                [
                    (2038.0, 0.5),
                    (4100.0, 50.0),
                    (4200.0, 50.0),
                    (3.8 * GIB, 0.05 * GIB),
                    (30.4 * GIB, 0.05 * GIB),
                ],
            ),
        ];
        for (size, want) in table {
            let got = [
                size.params(),
                size.flops_per_token(64),
                size.flops_per_token(512),
                size.weight_bytes(),
                size.training_bytes(),
            ];
            for (i, (got, (want, rounding))) in got.into_iter().zip(want).enumerate() {
                let off = (got as f64 / 1e6 - want).abs();
                // What is not a block adds a twentieth to nano and nothing to speak of to 2b.
                let beside = if size == Size::Nano { 0.05 } else { 0.03 };
                assert!(off <= rounding + beside * want, "{size}, figure {i}: {got}, not {want}");
            }
        }
    }
}
