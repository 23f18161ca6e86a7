//! METEOR's bands among those of a store of Sentinel-2.

use super::{KIND, METEOR_BANDS, MeteorConfig, MeteorNorm};
use crate::systems::SystemError;

/// Its name of a band that a store calls `B02`, if it has it.
fn own_name(name: &str) -> Option<&'static str> {
    let number = name.strip_prefix('B')?.trim_start_matches('0');
    METEOR_BANDS.into_iter().find(|own| own.strip_prefix("S2B") == Some(number))
}

impl MeteorConfig {
    /// One for those of a store's bands (`B02`) that it has, in its order.
    #[must_use]
    pub fn for_bands(norm: MeteorNorm, names: &[String]) -> Self {
        let mut config = Self::new(norm);
        config.bands.retain(|own| names.iter().any(|name| own_name(name) == Some(own)));
        config
    }

    /// The place of each of its bands among those of a store.
    ///
    /// # Errors
    /// [`SystemError::Bands`] naming the first that the store lacks.
    pub fn places(&self, names: &[String]) -> Result<Vec<usize>, SystemError> {
        let place = |own: &String| {
            let found = names.iter().position(|name| own_name(name) == Some(own));
            found.ok_or_else(|| SystemError::Bands {
                system: KIND,
                missing: format!("the band {own}"),
                found: names.join(", "),
            })
        };
        self.bands.iter().map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_of_a_store_are_known_by_their_names() {
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<String>>();
        let store = names(&["B8A", "vv", "B02", "B10", "B12"]);
        let config = MeteorConfig::for_bands(MeteorNorm::Instance, &store);
        assert_eq!(config.bands, ["S2B2", "S2B8A", "S2B10", "S2B12"]);
        assert_eq!(config.places(&store).unwrap(), [2, 0, 3, 4]);
        insta::assert_snapshot!(
            config.places(&names(&["B02", "B8A"])).unwrap_err(),
            @"meteor needs the band S2B10, which is not among B02, B8A: give all of its bands, or use a model that takes any"
        );
    }

    /// By hand for 32 pixels and 15 bands: 1024 · 83,328 + 256 · 376,832 + 64 · 1,507,328 + 25 · 6,029,312 products, and the score.
    #[test]
    fn operations_of_an_image_agree_with_a_hand() {
        let config = MeteorConfig::new(MeteorNorm::Instance);
        assert_eq!(config.flops_per_image(32), 2 * (428_998_656 + 512));
    }
}
