//! Days since 1970-01-01 on the calendar.

use jiff::civil::{Date, date};

/// Month of the year of a day, 0 to 11.
#[must_use]
pub fn month_of(day: i32) -> u8 {
    civil(day).month().unsigned_abs() - 1
}

/// Day of the year, 0 on 1 January.
#[must_use]
pub fn day_of_year(day: i32) -> u16 {
    civil(day).day_of_year().unsigned_abs() - 1
}

pub(crate) fn civil(day: i32) -> Date {
    date(1970, 1, 1).saturating_add(jiff::Span::new().days(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_month_and_the_place_in_the_year_of_the_calendar() {
        // 2020-02-29, 2020-12-31, 2021-01-01, 1969-12-31
        let days = [18_321, 18_627, 18_628, -1];
        assert_eq!(days.map(month_of), [1, 11, 0, 11]);
        assert_eq!(days.map(day_of_year), [59, 365, 0, 364]);
    }
}
