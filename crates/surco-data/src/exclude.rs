//! Places and days that learning must not see, so that something is left to be judged on.

use jiff::civil::Date;

use crate::cube::day_number;

/// West, south, east and north in degrees.
pub type Degrees = [f64; 4];

/// What learning must not see: evaluation areas, and everything from a day on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exclusion {
    areas: Vec<Degrees>,
    /// First day not seen, in days since 1970-01-01.
    end: Option<i32>,
}

/// An area that is none, or a day that is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExclusionError {
    /// Edges in the wrong order, or outside the globe.
    #[error(
        "area {found:?} is no [west, south, east, north] in degrees: west < east within -180..180, south < north within -90..90"
    )]
    Area {
        /// What was given.
        found: Degrees,
    },
    /// No date.
    #[error("`{found}` is no date such as 2018-06-20")]
    Date {
        /// What was given.
        found: String,
    },
}

impl Exclusion {
    /// Leaves out areas, and all days from `until` on.
    ///
    /// # Errors
    /// [`ExclusionError`] naming the area or the date.
    pub fn new(areas: &[Degrees], until: Option<&str>) -> Result<Self, ExclusionError> {
        for &found in areas {
            let [west, south, east, north] = found;
            let on_globe = west >= -180.0 && east <= 180.0 && south >= -90.0 && north <= 90.0;
            if !(on_globe && west < east && south < north) {
                return Err(ExclusionError::Area { found });
            }
        }
        let day = |text: &str| {
            let date: Result<Date, _> = text.parse();
            date.map(day_number).map_err(|_| ExclusionError::Date { found: text.into() })
        };
        Ok(Self { areas: areas.to_vec(), end: until.map(day).transpose()? })
    }

    /// Whether any ground of a box must not be seen; ground of unknown place must not, where any must not.
    #[must_use]
    pub fn meets(&self, ground: Option<Degrees>) -> bool {
        let Some([west, south, east, north]) = ground else { return !self.areas.is_empty() };
        let apart = |a: &Degrees| east < a[0] || west > a[2] || north < a[1] || south > a[3];
        !self.areas.iter().all(apart)
    }

    /// Whether a day may be seen.
    #[must_use]
    pub fn allows(&self, day: i32) -> bool {
        self.end.is_none_or(|end| day < end)
    }

    /// What is left out, for the model card; one text each.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let area = |[w, s, e, n]: &Degrees| format!("not seen: area {w},{s},{e},{n} (degrees)");
        let end = self.end.map(|day| {
            let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
            format!("not seen: {date} and later")
        });
        self.areas.iter().map(area).chain(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ground_that_touches_an_area_is_left_out_and_so_is_ground_of_unknown_place() {
        let out = Exclusion::new(&[[3.0, 51.0, 3.2, 51.1]], None).unwrap();
        assert!(out.meets(Some([3.1, 51.05, 3.11, 51.06])), "inside");
        assert!(out.meets(Some([2.9, 50.9, 3.3, 51.2])), "around");
        assert!(out.meets(Some([3.19, 51.0, 3.3, 51.05])), "across the edge");
        assert!(!out.meets(Some([3.21, 51.0, 3.3, 51.05])), "beside");
        assert!(out.meets(None) && !Exclusion::default().meets(None));
    }

    #[test]
    fn days_end_and_wrong_values_are_named() {
        let out = Exclusion::new(&[], Some("1970-01-11")).unwrap();
        assert!(out.allows(9) && !out.allows(10) && Exclusion::default().allows(i32::MAX));
        assert_eq!(out.told(), ["not seen: 1970-01-11 and later"]);
        let error = Exclusion::new(&[[3.2, 51.0, 3.0, 51.1]], None).unwrap_err();
        assert!(error.to_string().starts_with("area [3.2, 51.0, 3.0, 51.1] is no [west"));
        let error = Exclusion::new(&[], Some("June")).unwrap_err().to_string();
        assert_eq!(error, "`June` is no date such as 2018-06-20");
    }
}
