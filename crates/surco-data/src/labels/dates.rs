//! When labels are of, as people write it.

use jiff::civil::{Date, date};

/// Years that are taken for years.
const YEARS: std::ops::RangeInclusive<i16> = 1980..=2100;

/// First and last day that a text tells, in days since 1970: a date, a year, or a season of two years.
///
/// `2022-11-03`, `2022-11-03T12:00:00`, `03-11-2022` and `3/11/2022` (the day comes first, as in Chile), `2022` (all of
/// the year), `2022/23` and `2022-2023` (1 May to 30 April).
pub(super) fn days_of(text: &str) -> Option<(i32, i32)> {
    let text = text.trim();
    let day = text.get(..10).and_then(|head| head.parse::<Date>().ok());
    let rest = text.get(10..).unwrap_or_default();
    if let Some(day) = day.filter(|_| rest.is_empty() || rest.starts_with(['T', ' '])) {
        return Some((since_1970(day), since_1970(day)));
    }
    let text = text.strip_suffix(".0").unwrap_or(text);
    let head = text.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<&str> = head.split(['-', '/', '.']).collect();
    let number = |part: &str| part.parse::<i16>().ok();
    let year = |part: &str| number(part).filter(|n| part.len() == 4 && YEARS.contains(n));
    let span = |from: Option<Date>, to: Option<Date>| Some((since_1970(from?), since_1970(to?)));
    let of = |y: i16, m: i16, d: i16| Date::new(y, m.try_into().ok()?, d.try_into().ok()?).ok();
    match parts[..] {
        [one] => {
            let year = year(one)?;
            span(of(year, 1, 1), of(year, 12, 31))
        }
        [from, to] => {
            let from = year(from)?;
            let next = number(to)?;
            let follows = next == from + 1 || next == (from + 1) % 100;
            if follows { span(of(from, 5, 1), of(from + 1, 4, 30)) } else { None }
        }
        [a, month, c] => {
            let (year, day) = year(a).map(|y| (y, c)).or_else(|| Some((year(c)?, a)))?;
            let day = of(year, number(month)?, number(day)?);
            span(day, day)
        }
        _ => None,
    }
}

/// Days from the first to the last of images that labels may be of: the year before the last image, and the month
/// after it.
pub(super) fn season_of((first, last): (i32, i32)) -> (i32, i32) {
    (first.min(last - 364), last + 31)
}

/// A range of days in words.
pub(super) fn words((first, last): (i32, i32)) -> String {
    let day = crate::calendar::civil;
    if first == last { day(first).to_string() } else { format!("{} to {}", day(first), day(last)) }
}

fn since_1970(day: Date) -> i32 {
    day.since(date(1970, 1, 1)).map_or(0, |span| span.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_years_and_seasons_are_understood_as_people_write_them() {
        for (text, wanted) in [
            ("2022-11-03", "2022-11-03"),
            ("2022-11-03T12:00:00Z", "2022-11-03"),
            ("2022-11-03 12:00", "2022-11-03"),
            ("03-11-2022", "2022-11-03"),
            ("3/11/2022", "2022-11-03"),
            ("03.11.2022 00:00", "2022-11-03"),
            ("2022/11/3", "2022-11-03"),
            ("2022", "2022-01-01 to 2022-12-31"),
            ("2022.0", "2022-01-01 to 2022-12-31"),
            ("2022/23", "2022-05-01 to 2023-04-30"),
            ("2022-2023", "2022-05-01 to 2023-04-30"),
            ("1999-00", "1999-05-01 to 2000-04-30"),
        ] {
            assert_eq!(days_of(text).map(words).as_deref(), Some(wanted), "{text}");
        }
        for text in [
            "",
            "22",
            "13/13/2022",
            "2022/24",
            "primavera",
            "12",
            "2022-11-03x",
            "1e3",
            "99999",
            "ñandú 2022",
        ] {
            assert_eq!(days_of(text), None, "{text}");
        }
    }

    /// Images from September 2022 to March 2023.
    #[test]
    fn a_year_off_is_another_season() {
        let (first, last) = (days_of("2022-09-01").unwrap().0, days_of("2023-03-20").unwrap().0);
        let (from, to) = season_of((first, last));
        let fits = |text: &str| days_of(text).is_some_and(|(a, b)| a <= to && b >= from);
        for text in ["2022-04-01", "2022-12-01", "2023-04-10", "2022", "2023", "2022/23"] {
            assert!(fits(text), "{text}");
        }
        for text in ["2021-12-01", "2023-12-01", "2021", "2024", "2020/21", "2023/24"] {
            assert!(!fits(text), "{text}");
        }
    }
}
