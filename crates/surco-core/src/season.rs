//! Seasons: half-open ranges of dates.

use std::fmt;

use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

/// A half-open range of dates: `from` belongs to it, `to` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Season {
    /// First day.
    pub from: Date,
    /// The day after the last.
    pub to: Date,
}

/// A range of dates that holds no day, or a year that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeasonError {
    /// The end is not after the start.
    #[error(
        "season from {from} to {to} holds no day: the end (not included) must come after the start"
    )]
    Empty {
        /// Start given.
        from: Date,
        /// End given.
        to: Date,
    },
    /// No agricultural year has this number.
    #[error("season year {0} is out of range: expected 2015 to 2100")]
    Year(i16),
}

impl Season {
    /// The agricultural year of Chile that begins on 1 May of `year`.
    ///
    /// # Errors
    /// [`SeasonError::Year`] outside 2015 to 2100.
    pub fn agricultural(year: i16) -> Result<Self, SeasonError> {
        if !(2015..=2100).contains(&year) {
            return Err(SeasonError::Year(year));
        }
        Ok(Self { from: date(year, 5, 1), to: date(year + 1, 5, 1) })
    }

    /// The range from one day up to, and without, another.
    ///
    /// # Errors
    /// [`SeasonError::Empty`] if `to` is not after `from`.
    pub fn between(from: Date, to: Date) -> Result<Self, SeasonError> {
        if from < to { Ok(Self { from, to }) } else { Err(SeasonError::Empty { from, to }) }
    }

    /// Whether a day lies in the season.
    #[must_use]
    pub fn contains(&self, day: Date) -> bool {
        self.from <= day && day < self.to
    }
}

impl fmt::Display for Season {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chilean_year_runs_from_may_to_april() {
        let season = Season::agricultural(2023).unwrap();
        assert!(season.contains(date(2023, 5, 1)) && season.contains(date(2024, 4, 30)));
        assert!(!season.contains(date(2024, 5, 1)) && !season.contains(date(2023, 4, 30)));
        assert_eq!(Season::agricultural(1999), Err(SeasonError::Year(1999)));
        assert!(Season::between(season.to, season.from).is_err());
    }
}
