//! The scene classification layer of Sentinel-2 L2A.

/// One class of the scene classification layer (SCL).
///
/// # Source
/// ESA, *Sentinel-2 Level-2A algorithm theoretical basis document*, scene classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the document's own")]
pub enum Scl {
    NoData = 0,
    Saturated = 1,
    DarkArea = 2,
    CloudShadow = 3,
    Vegetation = 4,
    NotVegetated = 5,
    Water = 6,
    Unclassified = 7,
    CloudMedium = 8,
    CloudHigh = 9,
    ThinCirrus = 10,
    Snow = 11,
}

impl Scl {
    /// The class with this code, if the code is one of the twelve.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        use Scl::{
            CloudHigh, CloudMedium, CloudShadow, DarkArea, NoData, NotVegetated, Saturated, Snow,
            ThinCirrus, Unclassified, Vegetation, Water,
        };
        Some(match code {
            0 => NoData,
            1 => Saturated,
            2 => DarkArea,
            3 => CloudShadow,
            4 => Vegetation,
            5 => NotVegetated,
            6 => Water,
            7 => Unclassified,
            8 => CloudMedium,
            9 => CloudHigh,
            10 => ThinCirrus,
            11 => Snow,
            _ => return None,
        })
    }

    /// Whether the ground is seen: 2, 4, 5, 6, 7 and 11 are kept; an unknown code is not clear.
    #[must_use]
    pub fn is_clear(code: u8) -> bool {
        matches!(code, 2 | 4 | 5 | 6 | 7 | 11)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_only_ground_is_clear() {
        for code in 0..=11_u8 {
            assert_eq!(Scl::from_code(code).map(|c| c as u8), Some(code));
        }
        assert_eq!(Scl::from_code(12), None);
        let clear: Vec<u8> = (0..=255).filter(|&c| Scl::is_clear(c)).collect();
        assert_eq!(clear, [2, 4, 5, 6, 7, 11]);
    }
}
