//! Coordinate systems out of well-known text, as `.prj` files hold it.

use super::CrsError;
use super::systems::{Base, System, codes, system};

/// Datums that lie hundreds of metres off, by the beginnings of their names without spaces.
const LEGACY: [(&str, &str); 8] = [
    ("provisionalsamerican1956", "PSAD56"),
    ("provisionalsouthamericandatum1956", "PSAD56"),
    ("psad56", "PSAD56"),
    ("southamerican1969", "SAD69"),
    ("southamericandatum1969", "SAD69"),
    ("sad69", "SAD69"),
    ("hitoxviii1963", "Hito XVIII 1963"),
    ("lacanoa", "La Canoa"),
];

/// The EPSG code of a system in well-known text (version 1, of OGC, ESRI or GDAL).
///
/// Told by its datum, projection and parameters, and by no name of the whole, since each program has names of its own.
///
/// # Errors
/// [`CrsError::LegacyText`] for datums hundreds of metres off, [`CrsError::UnknownText`] for what is not known here.
///
/// # Source
/// OGC 01-009, *Coordinate transformation services*, section 7.
pub fn epsg_of_wkt(text: &str) -> Result<u32, CrsError> {
    let unknown = || CrsError::UnknownText(name_of(text));
    let datum = plain(quoted_after(text, "DATUM[").ok_or_else(unknown)?);
    let zone = zone_of(text);
    if let Some((_, legacy)) = LEGACY.iter().find(|(name, _)| datum.starts_with(name)) {
        let remedy = match zone {
            Some((zone, true)) => 32_700 + zone,
            Some((zone, false)) => 32_600 + zone,
            None => 4326,
        };
        return Err(CrsError::LegacyText { name: name_of(text), datum: legacy, remedy });
    }
    let is_geographic = text.trim_start().to_uppercase().starts_with("GEOGCS[");
    let of_system = |system: System| match (system, zone) {
        (System::Geographic(base), _) => is_geographic && names(&base, &datum),
        (System::Utm { base, zone, south }, Some(found)) => {
            !is_geographic && names(&base, &datum) && found == (zone, south)
        }
        (System::Utm { .. }, None) => false,
    };
    let found = codes().find(|&code| system(code).is_some_and(of_system));
    found.ok_or_else(unknown)
}

/// Whether this is what a datum is called, by any program.
fn names(base: &Base, datum: &str) -> bool {
    let own = plain(base.datum);
    datum == own || (base.code == 4326 && datum == "wgs1984") || datum == plain(base.name)
}

/// UTM zone and whether it is in the south, if the projection is exactly that.
fn zone_of(text: &str) -> Option<(u32, bool)> {
    let projection = plain(quoted_after(text, "PROJECTION[")?);
    let is =
        |name: &str, value: f64| number_of(text, name).is_some_and(|n| (n - value).abs() < 1e-9);
    let metres = text.to_uppercase().contains("UNIT[\"MET");
    let utm = projection == "transversemercator"
        && metres
        && is("false_easting", 500_000.0)
        && is("scale_factor", 0.9996)
        && is("latitude_of_origin", 0.0);
    let zone = (number_of(text, "central_meridian")? + 183.0) / 6.0;
    let south = match number_of(text, "false_northing")? {
        n if n.abs() < 1e-9 => false,
        n if (n - 1e7).abs() < 1e-9 => true,
        _ => return None,
    };
    (utm && zone.fract() == 0.0 && (1.0..=60.0).contains(&zone)).then_some((zone as u32, south))
}

/// The first text in quotes after a word, whatever the case of the word.
fn quoted_after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    // Capitals of ASCII alone, so that places in both texts are the same.
    let at = text.to_ascii_uppercase().find(word)? + word.len();
    let rest = text.get(at..)?.trim_start().strip_prefix('"')?;
    rest.split('"').next()
}

/// A parameter of the projection.
fn number_of(text: &str, name: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let at = lower.find(&format!("parameter[\"{name}\""))?;
    let rest = lower.get(at..)?.split_once(',')?.1;
    rest.split([']', ',']).next()?.trim().parse().ok()
}

/// What the whole system is called.
fn name_of(text: &str) -> String {
    let name = text.split('"').nth(1).unwrap_or(text).trim();
    name.chars().take(80).collect()
}

/// A name without `D_`, spaces, lines and case.
fn plain(name: &str) -> String {
    let name = name.strip_prefix("D_").unwrap_or(name);
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by pyproj 3.7 as ESRI and as GDAL write them: see `fixtures/make_projections.py --prj`.
    #[test]
    fn every_system_is_told_from_the_text_that_other_programs_write() {
        let lines = include_str!("../../fixtures/prj.txt").lines();
        let mut count = 0;
        for (code, text) in lines.filter_map(|line| line.split_once('\t')) {
            assert_eq!(epsg_of_wkt(text), Ok(code.parse().unwrap()), "{text}");
            count += 1;
        }
        assert_eq!(count, 46);
    }

    #[test]
    fn old_datums_and_other_projections_are_refused_with_a_remedy() {
        let refused: Vec<String> = include_str!("../../fixtures/prj_refused.txt")
            .lines()
            .map(|text| epsg_of_wkt(text).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(refused.join("\n"), @r#"
coordinate system `PSAD_1956_UTM_Zone_19S` is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`
coordinate system `PSAD_1956_UTM_Zone_18S` is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32718 OUT IN`
coordinate system `GCS_Provisional_S_American_1956` is on the datum PSAD56, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
coordinate system `SAD_1969_UTM_Zone_19S` is on the datum SAD69, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`
coordinate system `GCS_South_American_1969` is on the datum SAD69, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
coordinate system `Hito_XVIII_1963_UTM_19S` is on the datum Hito XVIII 1963, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32719 OUT IN`
coordinate system `GCS_La_Canoa` is on the datum La Canoa, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
coordinate system `La_Canoa_UTM_Zone_19N` is on the datum La Canoa, hundreds of metres off WGS 84; transform it first, for example with `ogr2ogr -t_srs EPSG:32619 OUT IN`
coordinate system `WGS_1984_Web_Mercator_Auxiliary_Sphere` is not known here: expected longitude and latitude or UTM on WGS 84 or SIRGAS; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
coordinate system `GCS_North_American_1983` is not known here: expected longitude and latitude or UTM on WGS 84 or SIRGAS; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
coordinate system `UPS_South` is not known here: expected longitude and latitude or UTM on WGS 84 or SIRGAS; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
coordinate system `RGF_1993_Lambert_93` is not known here: expected longitude and latitude or UTM on WGS 84 or SIRGAS; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`
"#);
        insta::assert_snapshot!(epsg_of_wkt("").unwrap_err(), @"coordinate system `` is not known here: expected longitude and latitude or UTM on WGS 84 or SIRGAS; transform it first, for example with `ogr2ogr -t_srs EPSG:4326 OUT IN`");
        for text in ["DATUM[", "GEOGCS[\"ñ\",DATUM[\"", "PROJCS[\"x\",DATUM[\"D_WGS_1984\",ñ"] {
            assert!(epsg_of_wkt(text).is_err(), "{text}");
        }
    }
}
