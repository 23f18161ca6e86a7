//! Numbers, days and pictures in the form a page shows them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, date};

use super::ReportError;
use super::input::Picture;

/// A number with thousands apart; a minus is a minus sign.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut out = String::new();
    if value < 0.0 && plain.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        out.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A share of 1 as percent.
pub(super) fn percent(share: f64, decimals: usize) -> String {
    number(100.0 * share, decimals)
}

/// Three significant digits.
pub(super) fn three(value: f64) -> String {
    let size = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    number(value, (2.0 - size).clamp(0.0, 6.0) as usize)
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s > 0.0 && s < 0.05 => "under 0.1 s".into(),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Days since 1970.
pub(super) fn days(day: Date) -> f64 {
    day.duration_since(date(1970, 1, 1)).as_hours() as f64 / 24.0
}

/// A name cut to a length, with an ellipsis.
pub(super) fn short(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.replace('_', " ");
    }
    name.chars().take(most - 1).collect::<String>().replace('_', " ") + "…"
}

/// A name at the head of something: cut to a length, its first letter large.
pub(super) fn title(name: &str, most: usize) -> String {
    let name = short(name, most);
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A picture as a PNG in a `data:` address.
pub(super) fn png(picture: &Picture) -> Result<String, ReportError> {
    let &Picture { width, height, ref rgb } = picture;
    if width == 0 || height == 0 || rgb.len() != width as usize * height as usize * 3 {
        return Err(ReportError::Picture { width, height, bytes: rgb.len() });
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(number(-0.04, 1), "0.0");
        assert_eq!(number(-12.0, 0), "−12");
        assert_eq!(number(f64::NAN, 0), "–");
        assert_eq!(three(0.012_345), "0.0123");
        assert_eq!(three(12_345.0), "12,345");
        assert_eq!(duration(7.26), "7.3 s");
        assert_eq!(duration(0.002), "under 0.1 s");
        assert_eq!(title("double_crop", 40), "Double crop");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(short("Deciduous_fruit_tree", 40), "Deciduous fruit tree");
        assert_eq!(short("Deciduous_fruit_tree", 10), "Deciduous…");
    }

    #[test]
    fn a_picture_of_the_wrong_size_is_refused() {
        let picture = Picture { width: 2, height: 2, rgb: vec![0; 11] };
        assert!(matches!(png(&picture), Err(ReportError::Picture { bytes: 11, .. })));
        let picture = Picture { width: 1, height: 1, rgb: vec![255, 0, 0] };
        assert!(png(&picture).unwrap().starts_with("data:image/png;base64,iVBOR"));
    }
}
