//! Number formats of training.

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::LearnError;

/// Number format of forward and backward. Weights, their average, the optimiser's state and sums of
/// gradients are 32-bit always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: on devices with units for it, about twice the speed and half the memory.
    Bf16,
}

impl Precision {
    /// The format as Burn calls it.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Refuses a format that a device does not compute in.
    ///
    /// The CPU device takes bf16 and computes it in 32 bits piece by piece, slower than 32 bits outright: it is refused there
    /// too, because a run must be what its config says.
    ///
    /// # Errors
    /// [`LearnError::Config`].
    pub(crate) fn check(self, devices: &[Device]) -> Result<(), LearnError> {
        let able = |d: &Device| *d != Device::flex() && d.supports_dtype(self.dtype());
        if self == Self::F32 || devices.iter().all(able) {
            return Ok(());
        }
        Err(LearnError::Config {
            key: "precision",
            value: "\"bf16\"".into(),
            remedy: "the CPU device computes in 32 bits, and so may a GPU without units for bf16: \
                     write \"f32\", or choose another --device"
                .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_the_device_would_only_pretend_is_refused() {
        Precision::F32.check(&[Device::flex()]).unwrap();
        let refused = Precision::Bf16.check(&[Device::flex()]).unwrap_err().to_string();
        assert!(
            refused.contains("precision = \"bf16\"") && refused.contains("\"f32\""),
            "{refused}"
        );
    }
}
