//! Classes and their legend.

use serde::{Deserialize, Serialize};

/// One class of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Code in rasters; 0 is kept for "no class".
    pub code: u8,
    /// Name as people read it.
    pub name: String,
    /// Red, green and blue for maps.
    pub colour: [u8; 3],
}

/// The classes of a task, ordered by code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Class>", into = "Vec<Class>")]
pub struct Legend(Vec<Class>);

/// A legend that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LegendError {
    /// Code 0 means "no class".
    #[error("class `{0}` has code 0, which means \"no class\": give it a code from 1 to 255")]
    Zero(String),
    /// Two classes share a code.
    #[error("classes `{first}` and `{second}` share code {code}")]
    Twice {
        /// The shared code.
        code: u8,
        /// Name of one.
        first: String,
        /// Name of the other.
        second: String,
    },
    /// Codes are bytes.
    #[error("{0} classes do not fit one byte: at most 255")]
    TooMany(usize),
}

/// Colours that stay apart on a map; classes past the end begin again.
const PALETTE: [[u8; 3]; 16] = [
    [230, 171, 2],
    [166, 118, 29],
    [102, 166, 30],
    [27, 120, 55],
    [117, 112, 179],
    [231, 41, 138],
    [217, 95, 2],
    [27, 158, 119],
    [166, 206, 227],
    [31, 120, 180],
    [178, 223, 138],
    [251, 154, 153],
    [227, 26, 28],
    [202, 178, 214],
    [106, 61, 154],
    [102, 102, 102],
];

impl Legend {
    /// A legend of these classes, sorted by code.
    ///
    /// # Errors
    /// [`LegendError`] if a code is 0 or used twice.
    pub fn new(mut classes: Vec<Class>) -> Result<Self, LegendError> {
        classes.sort_by_key(|c| c.code);
        if let Some(zero) = classes.iter().find(|c| c.code == 0) {
            return Err(LegendError::Zero(zero.name.clone()));
        }
        if let Some(pair) = classes.windows(2).find(|p| p[0].code == p[1].code) {
            return Err(LegendError::Twice {
                code: pair[0].code,
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
            });
        }
        Ok(Self(classes))
    }

    /// A legend of these names in this order, codes from 1, colours from a fixed palette.
    ///
    /// # Errors
    /// [`LegendError::TooMany`] past 255 names.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, LegendError> {
        if names.len() > 255 {
            return Err(LegendError::TooMany(names.len()));
        }
        let classes = names.iter().enumerate().map(|(i, name)| Class {
            code: i as u8 + 1,
            name: name.as_ref().into(),
            colour: PALETTE[i % PALETTE.len()],
        });
        Self::new(classes.collect())
    }

    /// The classes, ordered by code.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.0
    }

    /// Place of the class with this name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|c| c.name == name)
    }
}

impl TryFrom<Vec<Class>> for Legend {
    type Error = LegendError;

    fn try_from(classes: Vec<Class>) -> Result<Self, LegendError> {
        Self::new(classes)
    }
}

impl From<Legend> for Vec<Class> {
    fn from(legend: Legend) -> Self {
        legend.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_refuses_code_zero_and_twins() {
        let class = |code, name: &str| Class { code, name: name.into(), colour: [0; 3] };
        assert!(matches!(Legend::new(vec![class(0, "a")]), Err(LegendError::Zero(_))));
        assert!(matches!(
            Legend::new(vec![class(2, "a"), class(2, "b")]),
            Err(LegendError::Twice { code: 2, .. })
        ));
        let legend = Legend::from_names(&["wheat", "maize"]).unwrap();
        assert_eq!(legend.index_of("maize"), Some(1));
        assert_eq!(legend.classes()[1].code, 2);
    }
}
