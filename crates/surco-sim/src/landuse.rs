//! What grows where: the classes of the map and the covers they are made of.

use surco_core::{Class, Legend};

/// A class of the valley's land-use map; its number is its code in rasters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LandUse {
    /// Winter cereals: wheat and oats, sown in May and June, harvested around New Year.
    Wheat = 1,
    /// Maize for grain or silage, sown in October.
    Maize,
    /// Potato, tomato and onion.
    Vegetables,
    /// A winter forage or pea crop followed by late maize or beans.
    DoubleCrop,
    /// Cherry, walnut and plum.
    DeciduousFruit,
    /// Avocado and citrus.
    EvergreenFruit,
    /// Wine and table grapes.
    Vineyard,
    /// Irrigated alfalfa, cut, and irrigated ryegrass and clover, grazed.
    Pasture,
    /// Eucalyptus and pine, clear-cut stands among them.
    Plantation,
    /// Sclerophyll forest, espinal and trees along the river.
    NativeForest,
    /// Annual grass of the hills, green in winter and golden in summer, and field margins.
    Grassland,
    /// Fallow fields, farm tracks and the gravel of the river.
    Bare,
    /// River and irrigation ponds.
    Water,
    /// Town, farm buildings and paved roads.
    BuiltUp,
}

impl LandUse {
    /// Every class, ordered by code.
    pub const ALL: [Self; 14] = [
        Self::Wheat,
        Self::Maize,
        Self::Vegetables,
        Self::DoubleCrop,
        Self::DeciduousFruit,
        Self::EvergreenFruit,
        Self::Vineyard,
        Self::Pasture,
        Self::Plantation,
        Self::NativeForest,
        Self::Grassland,
        Self::Bare,
        Self::Water,
        Self::BuiltUp,
    ];

    /// The code in rasters, 1 to 14.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name in the legend.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wheat => "winter wheat",
            Self::Maize => "maize",
            Self::Vegetables => "vegetables",
            Self::DoubleCrop => "double crop",
            Self::DeciduousFruit => "deciduous fruit",
            Self::EvergreenFruit => "evergreen fruit",
            Self::Vineyard => "vineyard",
            Self::Pasture => "irrigated pasture",
            Self::Plantation => "forest plantation",
            Self::NativeForest => "native forest",
            Self::Grassland => "dry grassland",
            Self::Bare => "bare and fallow",
            Self::Water => "water",
            Self::BuiltUp => "built-up",
        }
    }

    /// The colour on maps.
    #[must_use]
    pub fn colour(self) -> [u8; 3] {
        match self {
            Self::Wheat => [232, 190, 67],
            Self::Maize => [243, 225, 107],
            Self::Vegetables => [226, 110, 60],
            Self::DoubleCrop => [196, 150, 40],
            Self::DeciduousFruit => [222, 119, 174],
            Self::EvergreenFruit => [77, 146, 33],
            Self::Vineyard => [142, 68, 152],
            Self::Pasture => [140, 206, 84],
            Self::Plantation => [20, 92, 64],
            Self::NativeForest => [70, 110, 60],
            Self::Grassland => [206, 196, 150],
            Self::Bare => [160, 120, 90],
            Self::Water => [55, 120, 190],
            Self::BuiltUp => [120, 120, 125],
        }
    }
}

/// The legend of the valley's land-use map.
#[must_use]
pub fn legend() -> Legend {
    let class = |l: &LandUse| Class { code: l.code(), name: l.name().into(), colour: l.colour() };
    Legend::new(LandUse::ALL.iter().map(class).collect()).expect("codes are 1 to 14, each once")
}

/// What covers the ground of one patch; finer than the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cover {
    Wheat,
    Oats,
    GrainMaize,
    SilageMaize,
    Potato,
    Tomato,
    Onion,
    ForageThenMaize,
    PeasThenBeans,
    Cherry,
    Walnut,
    Plum,
    Avocado,
    Citrus,
    WineGrapes,
    TableGrapes,
    Alfalfa,
    Ryegrass,
    Eucalyptus,
    Pine,
    ClearCut,
    Sclerophyll,
    Espinal,
    Riverside,
    DryGrass,
    Margin,
    Fallow,
    Gravel,
    River,
    Pond,
    Town,
    Sheds,
    Road,
    Track,
}

impl Cover {
    /// The class on the map.
    pub(crate) fn land_use(self) -> LandUse {
        match self {
            Self::Wheat | Self::Oats => LandUse::Wheat,
            Self::GrainMaize | Self::SilageMaize => LandUse::Maize,
            Self::Potato | Self::Tomato | Self::Onion => LandUse::Vegetables,
            Self::ForageThenMaize | Self::PeasThenBeans => LandUse::DoubleCrop,
            Self::Cherry | Self::Walnut | Self::Plum => LandUse::DeciduousFruit,
            Self::Avocado | Self::Citrus => LandUse::EvergreenFruit,
            Self::WineGrapes | Self::TableGrapes => LandUse::Vineyard,
            Self::Alfalfa | Self::Ryegrass => LandUse::Pasture,
            Self::Eucalyptus | Self::Pine | Self::ClearCut => LandUse::Plantation,
            Self::Sclerophyll | Self::Espinal | Self::Riverside => LandUse::NativeForest,
            Self::DryGrass | Self::Margin => LandUse::Grassland,
            Self::Fallow | Self::Gravel | Self::Track => LandUse::Bare,
            Self::River | Self::Pond => LandUse::Water,
            Self::Town | Self::Sheds | Self::Road => LandUse::BuiltUp,
        }
    }

    /// The name of the crop or cover.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wheat => "wheat",
            Self::Oats => "oats",
            Self::GrainMaize => "grain maize",
            Self::SilageMaize => "silage maize",
            Self::Potato => "potato",
            Self::Tomato => "tomato",
            Self::Onion => "onion",
            Self::ForageThenMaize => "winter forage, then late maize",
            Self::PeasThenBeans => "peas, then beans",
            Self::Cherry => "cherry",
            Self::Walnut => "walnut",
            Self::Plum => "plum",
            Self::Avocado => "avocado",
            Self::Citrus => "citrus",
            Self::WineGrapes => "wine grapes",
            Self::TableGrapes => "table grapes",
            Self::Alfalfa => "alfalfa",
            Self::Ryegrass => "ryegrass and clover",
            Self::Eucalyptus => "eucalyptus",
            Self::Pine => "radiata pine",
            Self::ClearCut => "clear-cut",
            Self::Sclerophyll => "sclerophyll forest",
            Self::Espinal => "espinal",
            Self::Riverside => "riverside trees",
            Self::DryGrass => "annual grassland",
            Self::Margin => "field margin",
            Self::Fallow => "fallow",
            Self::Gravel => "river gravel",
            Self::River => "river",
            Self::Pond => "irrigation pond",
            Self::Town => "town",
            Self::Sheds => "farm buildings",
            Self::Road => "road",
            Self::Track => "track",
        }
    }

    /// Whether patches of this cover are parcels that somebody could outline and label.
    pub(crate) fn is_parcel(self) -> bool {
        !matches!(self, Self::Road | Self::Track | Self::Margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legend_has_the_codes_of_the_classes() {
        let legend = legend();
        for class in LandUse::ALL {
            let place = legend.index_of(class.name()).unwrap();
            assert_eq!(legend.classes()[place].code, class.code());
        }
    }
}
