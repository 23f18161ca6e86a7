//! Places and days that learning must not see, so that something is left to be judged on.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::cube::day_number;

/// West, south, east and north in degrees.
pub type Degrees = [f64; 4];

/// One thing that learning must not see: an area, all there is from a day on, or that area from that day on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unseen {
    /// The area; everywhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<Degrees>,
    /// First day not seen, such as 2018-06-20; no day is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What learning must not see: areas, days, and days of areas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exclusion {
    rules: Vec<Rule>,
}

/// No ground of the area is seen from a day on, in days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    area: Option<Degrees>,
    since: Option<i32>,
}

/// An area that is none, a day that is none, or neither.
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
    /// Nothing would be left.
    #[error("an entry without area and since would leave nothing to see")]
    Everything,
}

impl Exclusion {
    /// Leaves out what these say.
    ///
    /// # Errors
    /// [`ExclusionError`] naming the area or the date.
    pub fn new(unseen: &[Unseen]) -> Result<Self, ExclusionError> {
        Ok(Self { rules: unseen.iter().map(Rule::new).collect::<Result<_, _>>()? })
    }

    /// The first day that must not be seen on some ground: all may where it is [`i32::MAX`], none where it is
    /// [`i32::MIN`]. Ground that touches an area is in it, and so is ground of unknown place.
    #[must_use]
    pub fn end_on(&self, ground: Option<Degrees>) -> i32 {
        let rules = self.rules.iter().filter(|rule| rule.meets(ground));
        rules.map(|rule| rule.since.unwrap_or(i32::MIN)).min().unwrap_or(i32::MAX)
    }

    /// What is left out, for the model card; one text each.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.rules.iter().map(Rule::told).collect()
    }
}

impl Rule {
    fn new(unseen: &Unseen) -> Result<Self, ExclusionError> {
        let &Unseen { area, ref since } = unseen;
        if area.is_none() && since.is_none() {
            return Err(ExclusionError::Everything);
        }
        if let Some(found @ [west, south, east, north]) = area {
            let on_globe = west >= -180.0 && east <= 180.0 && south >= -90.0 && north <= 90.0;
            if !(on_globe && west < east && south < north) {
                return Err(ExclusionError::Area { found });
            }
        }
        let day = |text: &String| {
            let date: Result<Date, _> = text.parse();
            date.map(day_number).map_err(|_| ExclusionError::Date { found: text.clone() })
        };
        Ok(Self { area, since: since.as_ref().map(day).transpose()? })
    }

    fn meets(&self, ground: Option<Degrees>) -> bool {
        let (Some(area), Some([west, south, east, north])) = (self.area, ground) else {
            return true;
        };
        !(east < area[0] || west > area[2] || north < area[1] || south > area[3])
    }

    fn told(&self) -> String {
        let area = self.area.map(|[w, s, e, n]| format!(" area {w},{s},{e},{n} (degrees)"));
        let since = self.since.map(|day| {
            let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
            format!(" {date} and later")
        });
        format!("not seen:{}{}", area.unwrap_or_default(), since.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(area: Degrees) -> Unseen {
        Unseen { area: Some(area), since: None }
    }

    fn since(day: &str) -> Unseen {
        Unseen { area: None, since: Some(day.into()) }
    }

    #[test]
    fn ground_that_touches_an_area_is_left_out_and_so_is_ground_of_unknown_place() {
        let out = Exclusion::new(&[area([3.0, 51.0, 3.2, 51.1])]).unwrap();
        let meets = |ground| out.end_on(ground) == i32::MIN;
        assert!(meets(Some([3.1, 51.05, 3.11, 51.06])), "inside");
        assert!(meets(Some([2.9, 50.9, 3.3, 51.2])), "around");
        assert!(meets(Some([3.19, 51.0, 3.3, 51.05])), "across the edge");
        assert!(!meets(Some([3.21, 51.0, 3.3, 51.05])), "beside");
        assert!(meets(None) && Exclusion::default().end_on(None) == i32::MAX);
    }

    #[test]
    fn days_end_everywhere_or_in_one_area() {
        let out = Exclusion::new(&[since("1970-01-11")]).unwrap();
        assert_eq!((out.end_on(None), out.end_on(Some([0.0; 4]))), (10, 10));
        assert_eq!(out.told(), ["not seen: 1970-01-11 and later"]);
        let both = Unseen { since: Some("1970-01-04".into()), ..area([3.0, 51.0, 3.2, 51.1]) };
        let out = Exclusion::new(&[since("1970-01-11"), both]).unwrap();
        assert_eq!(out.end_on(Some([3.1, 51.05, 3.11, 51.06])), 3);
        assert_eq!(out.end_on(Some([4.1, 51.05, 4.11, 51.06])), 10);
        let told = "not seen: area 3,51,3.2,51.1 (degrees) 1970-01-04 and later";
        assert_eq!(out.told()[1], told);
    }

    #[test]
    fn wrong_values_are_named() {
        let error = |unseen| Exclusion::new(&[unseen]).unwrap_err().to_string();
        let told = error(area([3.2, 51.0, 3.0, 51.1]));
        assert!(told.starts_with("area [3.2, 51.0, 3.0, 51.1] is no [west"));
        assert_eq!(error(since("June")), "`June` is no date such as 2018-06-20");
        assert!(error(Unseen::default()).ends_with("leave nothing to see"));
    }
}
