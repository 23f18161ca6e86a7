//! The sample types a raster can hold.

use std::fmt;

mod sealed {
    pub trait Sealed {}
}

/// Type of a sample, as a file states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleKind {
    /// Unsigned byte.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 16-bit integer.
    I16,
    /// 32-bit float.
    F32,
}

impl SampleKind {
    /// Bytes of one sample.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::F32 => 4,
        }
    }

    /// Value of the TIFF tag `SampleFormat`.
    pub(crate) fn tiff_format(self) -> u16 {
        match self {
            Self::U8 | Self::U16 => 1,
            Self::I16 => 2,
            Self::F32 => 3,
        }
    }
}

impl fmt::Display for SampleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::F32 => "float32",
        })
    }
}

/// A sample that rasters can hold: `u8`, `u16`, `i16` or `f32`.
pub trait Sample:
    sealed::Sealed + bytemuck::Pod + Default + PartialEq + Send + Sync + 'static
{
    /// Its name in files.
    const KIND: SampleKind;

    #[doc(hidden)]
    fn read_le(bytes: &[u8]) -> Self;
    #[doc(hidden)]
    fn write_le(self, out: &mut [u8]);
    /// The sum of bit patterns, which undoes the horizontal predictor.
    #[doc(hidden)]
    fn add_bits(self, other: Self) -> Self;
    /// The difference of bit patterns: the horizontal predictor.
    #[doc(hidden)]
    fn sub_bits(self, other: Self) -> Self;
    #[doc(hidden)]
    fn to_f64(self) -> f64;
    /// The nearest value of this type; halves go up.
    #[doc(hidden)]
    fn from_f64(value: f64) -> Self;
}

macro_rules! integer_sample {
    ($type:ty, $kind:expr) => {
        impl sealed::Sealed for $type {}
        impl Sample for $type {
            const KIND: SampleKind = $kind;

            fn read_le(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<Self>()];
                raw.copy_from_slice(bytes);
                Self::from_le_bytes(raw)
            }

            fn write_le(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_le_bytes());
            }

            fn add_bits(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn sub_bits(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            fn from_f64(value: f64) -> Self {
                (value + 0.5).floor() as Self
            }
        }
    };
}

integer_sample!(u8, SampleKind::U8);
integer_sample!(u16, SampleKind::U16);
integer_sample!(i16, SampleKind::I16);

impl sealed::Sealed for f32 {}
impl Sample for f32 {
    const KIND: SampleKind = SampleKind::F32;

    fn read_le(bytes: &[u8]) -> Self {
        let mut raw = [0; 4];
        raw.copy_from_slice(bytes);
        Self::from_le_bytes(raw)
    }

    fn write_le(self, out: &mut [u8]) {
        out.copy_from_slice(&self.to_le_bytes());
    }

    fn add_bits(self, other: Self) -> Self {
        Self::from_bits(self.to_bits().wrapping_add(other.to_bits()))
    }

    fn sub_bits(self, other: Self) -> Self {
        Self::from_bits(self.to_bits().wrapping_sub(other.to_bits()))
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

/// The value of this type that stands for "no data", if the declared one can be held at all.
pub(crate) fn nodata_as<T: Sample>(nodata: Option<f64>) -> Option<T> {
    let declared = nodata?;
    let held = T::from_f64(declared);
    (held.to_f64() == declared || (declared.is_nan() && held.to_f64().is_nan())).then_some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodata_that_does_not_fit_the_type_is_no_value_of_it() {
        assert_eq!(nodata_as::<u8>(Some(255.0)), Some(255));
        assert_eq!(nodata_as::<u8>(Some(-9999.0)), None);
        assert_eq!(nodata_as::<u16>(Some(f64::NAN)), None);
        assert!(nodata_as::<f32>(Some(f64::NAN)).is_some_and(f32::is_nan));
        assert_eq!(nodata_as::<i16>(Some(-9999.0)), Some(-9999));
    }
}
