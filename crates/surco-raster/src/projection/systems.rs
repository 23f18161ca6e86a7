//! The table of coordinate systems.

/// An ellipsoid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ellipsoid {
    Wgs84,
    Grs80,
}

impl Ellipsoid {
    pub(crate) fn proj_name(self) -> &'static str {
        match self {
            Self::Wgs84 => "WGS84",
            Self::Grs80 => "GRS80",
        }
    }
}

/// A geographic system: name, EPSG code, datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) name: &'static str,
    pub(crate) code: u32,
    pub(crate) datum: &'static str,
    pub(crate) ellipsoid: Ellipsoid,
}

/// A coordinate system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Geographic(Base),
    Utm { base: Base, zone: u32, south: bool },
}

const WGS84: Base = Base {
    name: "WGS 84",
    code: 4326,
    datum: "World Geodetic System 1984",
    ellipsoid: Ellipsoid::Wgs84,
};

/// Realisations of SIRGAS, each with the codes of its UTM zones 18 and 19 south.
///
/// # Source
/// EPSG registry v12 by way of PROJ 9.5. Codes of the 2002 realisation run against the zones.
const SIRGAS: [(Base, u32, u32); 6] = [
    (sirgas("SIRGAS-Chile 2002", 5360, "SIRGAS-Chile realization 1 epoch 2002"), 5362, 5361),
    (sirgas("SIRGAS-Chile 2010", 8949, "SIRGAS-Chile realization 2 epoch 2010"), 8950, 8951),
    (sirgas("SIRGAS-Chile 2013", 9148, "SIRGAS-Chile realization 3 epoch 2013"), 9149, 9150),
    (sirgas("SIRGAS-Chile 2016", 9153, "SIRGAS-Chile realization 4 epoch 2016"), 9154, 9155),
    (sirgas("SIRGAS-Chile 2021", 20041, "SIRGAS-Chile realization 5 epoch 2021"), 20048, 20049),
    (
        sirgas("SIRGAS 2000", 4674, "Sistema de Referencia Geocentrico para las AmericaS 2000"),
        31978,
        31979,
    ),
];

const fn sirgas(name: &'static str, code: u32, datum: &'static str) -> Base {
    Base { name, code, datum, ellipsoid: Ellipsoid::Grs80 }
}

/// The system with this code, if it is known here.
pub(crate) fn system(code: u32) -> Option<System> {
    match code {
        4326 => Some(System::Geographic(WGS84)),
        32_601..=32_660 => Some(System::Utm { base: WGS84, zone: code - 32_600, south: false }),
        32_701..=32_760 => Some(System::Utm { base: WGS84, zone: code - 32_700, south: true }),
        _ => SIRGAS.iter().find_map(|&(base, zone_18, zone_19)| {
            if code == base.code {
                Some(System::Geographic(base))
            } else if code == zone_18 {
                Some(System::Utm { base, zone: 18, south: true })
            } else if code == zone_19 {
                Some(System::Utm { base, zone: 19, south: true })
            } else {
                None
            }
        }),
    }
}

/// Codes of all systems known here.
pub(crate) fn codes() -> impl Iterator<Item = u32> {
    let sirgas = SIRGAS.iter().flat_map(|&(base, zone_18, zone_19)| [base.code, zone_18, zone_19]);
    std::iter::once(4326).chain(32_601..=32_660).chain(32_701..=32_760).chain(sirgas)
}

/// The datum of a code that must not be taken for WGS 84, and a code to transform to.
pub(crate) fn legacy_datum(code: u32) -> Option<(&'static str, u32)> {
    match code {
        4248 | 2317 | 24_891..=24_893 => Some(("PSAD56", 4326)),
        24_817..=24_821 => Some(("PSAD56", code - 24_800 + 32_600)),
        24_877..=24_882 => Some(("PSAD56", code - 24_860 + 32_700)),
        4618 | 4291 | 29_101 | 5530 => Some(("SAD69", 4326)),
        5463 => Some(("SAD69", 32_617)),
        29_168..=29_172 => Some(("SAD69", code - 29_150 + 32_600)),
        29_187..=29_195 => Some(("SAD69", code - 29_170 + 32_700)),
        5527 => Some(("SAD69(96)", 4326)),
        5531 | 5858 => Some(("SAD69(96)", if code == 5531 { 32_721 } else { 32_722 })),
        5533..=5535 => Some(("SAD69(96)", code - 5510 + 32_700)),
        5875..=5877 => Some(("SAD69(96)", code - 5857 + 32_700)),
        4254 | 2083 | 2084 => Some(("Hito XVIII 1963", if code == 4254 { 4326 } else { 32_719 })),
        4247 => Some(("La Canoa", 4326)),
        24_718..=24_720 => Some(("La Canoa", code - 24_700 + 32_600)),
        _ => None,
    }
}
