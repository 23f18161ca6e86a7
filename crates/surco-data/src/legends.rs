//! Legends that countries share, and how class names are brought to them.
//!
//! Input: class names or codes as a file of labels has them, in Spanish or English. Output: the names of one legend, at one
//! of its levels. A value that no legend knows is an error and never passed over.
//!
//! The legends are data: `legends/hcat.csv`, `legends/worldcereal.csv` and `legends/ciren.csv` hold what each calls its
//! classes, `legends/names.csv` what corresponds and the Spanish names. Each says where it comes from.
//!
//! Sample config: `Naming::new(SharedLegend::Hcat, Some(3))`.

mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use surco_core::Fault;

use table::LEGENDS;

/// Values named in a sentence.
const NAMED: usize = 8;

/// Unknown values named in a message.
const UNKNOWN: usize = 4;

/// A published legend with a hierarchy of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SharedLegend {
    /// The hierarchical crop and agriculture taxonomy of EuroCrops, version 3.
    Hcat,
    /// That of WorldCereal's Reference Data Module (`ewoc_code`).
    WorldCereal,
    /// Land uses and fruit species as the cadastres of Chile write them, in Spanish.
    Ciren,
}

impl SharedLegend {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hcat, Self::WorldCereal, Self::Ciren];

    /// Its name in commands and configs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hcat => "hcat",
            Self::WorldCereal => "worldcereal",
            Self::Ciren => "ciren",
        }
    }

    /// Number of its levels; level 1 is the coarsest.
    #[must_use]
    pub fn levels(self) -> u8 {
        match self {
            Self::Hcat | Self::WorldCereal => 5,
            Self::Ciren => 3,
        }
    }
}

impl fmt::Display for SharedLegend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why class names could not be brought to a legend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LegendsError {
    /// No legend is called so.
    #[error("unknown legend `{0}`, expected one of hcat, worldcereal, ciren")]
    Unknown(String),
    /// The legend has no such level.
    #[error("legend {legend} has levels 1 to {levels}, not {level}")]
    Level {
        /// The legend.
        legend: SharedLegend,
        /// Number of its levels.
        levels: u8,
        /// The level asked for.
        level: u8,
    },
    /// Values that stand for no class of it.
    #[error(
        "legend {legend} does not know {values} ({count} in all); rename such classes, or empty them to leave their labels out"
    )]
    Values {
        /// The legend.
        legend: SharedLegend,
        /// Number of unknown values.
        count: usize,
        /// The values, each with the classes that are written most like it.
        values: String,
    },
}

impl LegendsError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unknown(_) | Self::Level { .. } => Fault::Usage,
            Self::Values { .. } => Fault::Input,
        }
    }
}

impl FromStr for SharedLegend {
    type Err = LegendsError;

    fn from_str(name: &str) -> Result<Self, LegendsError> {
        let found = Self::ALL.into_iter().find(|legend| legend.name() == name);
        found.ok_or_else(|| LegendsError::Unknown(name.into()))
    }
}

/// A legend that classes are named by, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Naming {
    legend: SharedLegend,
    level: Option<u8>,
}

/// What a value became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The value in the file.
    pub from: String,
    /// Its class in the legend.
    pub to: String,
    /// Labels with this value.
    pub labels: usize,
}

/// What became of all values of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// By which legend and level.
    #[serde(flatten)]
    pub naming: Naming,
    /// Each value, in the order of the alphabet.
    pub classes: Vec<Renamed>,
    /// Values that stayed as they are, since the legend does not know them.
    pub kept: Vec<String>,
}

impl Naming {
    /// By this legend, at a level or as finely as values say.
    ///
    /// # Errors
    /// [`LegendsError::Level`] if the legend does not have it.
    pub fn new(legend: SharedLegend, level: Option<u8>) -> Result<Self, LegendsError> {
        let levels = legend.levels();
        match level {
            Some(level) if !(1..=levels).contains(&level) => {
                Err(LegendsError::Level { legend, levels, level })
            }
            Some(_) | None => Ok(Self { legend, level }),
        }
    }

    /// The legend's name for a value: a code or a name of any legend, in Spanish or English, whatever its case and accents.
    #[must_use]
    pub fn name(&self, value: &str) -> Option<&'static str> {
        let class = LEGENDS.class(value, self.legend)?;
        Some(LEGENDS.cut(class, self.level.unwrap_or(u8::MAX)).name.as_str())
    }

    /// Names of the legend that are written most like a value, the likest first.
    fn nearest(&self, value: &str) -> Vec<&'static str> {
        LEGENDS.nearest(value, self.legend)
    }

    /// Brings classes to the legend, each counted.
    ///
    /// # Errors
    /// [`LegendsError::Values`] if there are values that the legend does not know.
    pub fn rename<'c, C>(&self, classes: C) -> Result<Named, LegendsError>
    where
        C: Iterator<Item = &'c mut String>,
    {
        let mut classes: Vec<&mut String> = classes.collect();
        let named = self.look_up(&classes);
        if named.kept.is_empty() {
            named.write(&mut classes);
            return Ok(named);
        }
        let told = |value: &String| match self.nearest(value).join(", ") {
            none if none.is_empty() => format!("`{value}`"),
            like => format!("`{value}` (like {like}?)"),
        };
        let (count, shown) = (named.kept.len(), named.kept.iter().take(UNKNOWN).map(told));
        let more = if count > UNKNOWN { ", …" } else { "" };
        let values = shown.collect::<Vec<_>>().join(", ") + more;
        Err(LegendsError::Values { legend: self.legend, count, values })
    }

    /// Brings classes to the legend as far as it knows them.
    pub(crate) fn rename_known<'c>(&self, classes: impl Iterator<Item = &'c mut String>) -> Named {
        let mut classes: Vec<&mut String> = classes.collect();
        let named = self.look_up(&classes);
        named.write(&mut classes);
        named
    }

    fn look_up(&self, classes: &[&mut String]) -> Named {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        classes.iter().for_each(|class| *counts.entry(class.as_str()).or_default() += 1);
        let mut named = Named { naming: *self, classes: Vec::new(), kept: Vec::new() };
        for (from, labels) in counts {
            match self.name(from) {
                Some(to) => {
                    named.classes.push(Renamed { from: from.into(), to: to.into(), labels });
                }
                None => named.kept.push(from.into()),
            }
        }
        named
    }
}

impl Named {
    fn write(&self, classes: &mut [&mut String]) {
        let to: BTreeMap<&str, &str> =
            self.classes.iter().map(|r| (r.from.as_str(), r.to.as_str())).collect();
        for class in classes {
            if let Some(name) = to.get(class.as_str()) {
                **class = (*name).into();
            }
        }
    }

    /// What values became, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let Naming { legend, level } = self.naming;
        let level = level.map(|level| format!(", level {level}")).unwrap_or_default();
        let changed: Vec<&Renamed> = self.classes.iter().filter(|r| r.from != r.to).collect();
        let one = |r: &&Renamed| format!("`{}` ({}) is {}", r.from, r.labels, r.to);
        let shown: Vec<String> = changed.iter().take(NAMED).map(one).collect();
        let more = changed.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let kept = match self.kept.as_slice() {
            [] => String::new(),
            kept => format!("; unknown to it and kept as they are: {}", kept.join(", ")),
        };
        match shown.as_slice() {
            [] => format!("classes are called as in legend {legend}{level}{kept}"),
            shown => format!(
                "classes are named by legend {legend}{level}: {}{more}{kept}",
                shown.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests;
