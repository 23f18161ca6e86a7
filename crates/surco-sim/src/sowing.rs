//! Who sows what: covers for the fields, in set shares, near their likes.

use crate::config::ValleyConfig;
use crate::landuse::{Cover, LandUse};
use crate::noise::{derive, hash_at, perlin, unit};

/// A field that waits for its crop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Number of the patch.
    pub(crate) patch: usize,
    /// Area in ha.
    pub(crate) area_ha: f32,
    /// Centre in m.
    pub(crate) at: (f32, f32),
    /// Seed of the field.
    pub(crate) seed: u64,
}

/// Perennials stay where they are from year to year; annual crops, pasture and fallow rotate.
fn stays(class: LandUse) -> bool {
    matches!(class, LandUse::DeciduousFruit | LandUse::EvergreenFruit | LandUse::Vineyard)
}

/// The cover of every field, by patch.
///
/// Fields are taken in an order of chance; each goes to the class that lacks most of its share and
/// likes the place best, so that small valleys have every class of their climate and neighbours are often alike.
pub(crate) fn sow(config: &ValleyConfig, fields: &[Waiting]) -> Vec<(usize, Cover)> {
    let (seed, year, shares) = (config.seed, config.year, config.climate.traits().shares);
    let total: f32 = fields.iter().map(|f| f.area_ha).sum();
    let mut given = vec![0.0_f32; shares.len()];
    let mut out = Vec::with_capacity(fields.len());
    let mut left: Vec<&Waiting> = fields.iter().collect();
    for round in [true, false] {
        let salt = if round { 0 } else { year as u64 };
        left.sort_by_key(|f| derive(f.seed, "order", salt));
        let perennial: f32 = shares.iter().filter(|s| stays(s.0)).map(|s| s.1).sum();
        let mut room = if round { perennial * total } else { f32::MAX };
        let mut later = Vec::new();
        for field in left {
            if room <= 0.0 {
                later.push(field);
                continue;
            }
            room -= field.area_ha;
            let place = (0..shares.len())
                .filter(|&i| stays(shares[i].0) == round)
                .max_by(|&a, &b| {
                    let wish = |i: usize| {
                        let lack = (shares[i].1 * total - given[i]) / (shares[i].1 * total);
                        let like = perlin(
                            derive(seed, "like", i as u64 + salt * 16),
                            field.at.0 / 900.0,
                            field.at.1 / 900.0,
                        );
                        lack + 0.7 * like
                    };
                    wish(a).total_cmp(&wish(b))
                })
                .unwrap_or(0);
            given[place] += field.area_ha;
            let draw = unit(hash_at(field.seed, 77, if round { 0 } else { i32::from(year) }));
            let kinds = shares[place].2;
            let cover = kinds.iter().find(|k| draw < k.1).map_or(kinds[0].0, |k| k.0);
            out.push((field.patch, cover));
        }
        left = later;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Waiting> {
        (0..300)
            .map(|i| Waiting {
                patch: i,
                area_ha: 1.0 + (i % 7) as f32,
                at: ((i % 17) as f32 * 290.0, (i / 17) as f32 * 290.0),
                seed: derive(1, "field", i as u64),
            })
            .collect()
    }

    #[test]
    fn every_field_is_sown_and_shares_are_kept() {
        let fields = fields();
        let config = ValleyConfig { seed: 1, ..Default::default() };
        let sown = sow(&config, &fields);
        assert_eq!(sown.len(), fields.len());
        let total: f32 = fields.iter().map(|f| f.area_ha).sum();
        for &(class, share, _) in config.climate.traits().shares {
            let area: f32 = sown
                .iter()
                .filter(|(_, c)| c.land_use() == class)
                .map(|(p, _)| fields[*p].area_ha)
                .sum();
            assert!((area / total - share).abs() < 0.05, "{}: {}", class.name(), area / total);
        }
    }

    #[test]
    fn orchards_stay_and_annual_crops_rotate() {
        let of = |year| {
            let config = ValleyConfig { seed: 1, year, ..Default::default() };
            let mut sown = sow(&config, &fields());
            sown.sort_by_key(|s| s.0);
            sown
        };
        let (a, b) = (of(2023), of(2024));
        let mut moved = 0;
        for (x, y) in a.iter().zip(&b) {
            if stays(x.1.land_use()) {
                assert_eq!(x, y);
            } else {
                moved += usize::from(x.1 != y.1);
            }
        }
        assert!(moved > 80, "{moved} fields changed their crop");
    }
}
