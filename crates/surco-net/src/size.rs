//! Sizes of the family.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A member of the encoder family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// 128 wide, 4 layers, 4 heads: 0.8 million parameters, for a CPU.
    Nano,
    /// 192 wide, 6 layers, 3 heads: 2.7 million parameters.
    Micro,
}

/// A size nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model size `{0}` is unknown: expected nano or micro")]
pub struct SizeError(String);

impl Size {
    /// Width of a token.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::Nano => 128,
            Self::Micro => 192,
        }
    }

    /// Number of blocks.
    #[must_use]
    pub fn layers(self) -> usize {
        match self {
            Self::Nano => 4,
            Self::Micro => 6,
        }
    }

    /// Number of attention heads.
    #[must_use]
    pub fn heads(self) -> usize {
        match self {
            Self::Nano => 4,
            Self::Micro => 3,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nano => "nano",
            Self::Micro => "micro",
        })
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "nano" => Ok(Self::Nano),
            "micro" => Ok(Self::Micro),
            other => Err(SizeError(other.into())),
        }
    }
}
