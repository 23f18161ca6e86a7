//! Coordinate systems as well-known text.

use super::systems::{Base, Ellipsoid, System};
use super::{CrsError, find};

const DEGREE: &str = r#"ANGLEUNIT["degree",0.0174532925199433]"#;
const METRE: &str = r#"LENGTHUNIT["metre",1]"#;

/// The WKT2:2019 text of a system, as PROJ, GDAL and pyproj read it.
///
/// # Errors
/// [`CrsError`] if the code is not one that [`super::Projection::from_epsg`] takes.
///
/// # Source
/// OGC 18-010r7, *Well-known text representation of coordinate reference systems*.
pub fn wkt(epsg: u32) -> Result<String, CrsError> {
    Ok(match find(epsg)? {
        System::Geographic(base) => format!(
            r#"GEOGCRS[{},CS[ellipsoidal,2],AXIS["geodetic latitude (Lat)",north,ORDER[1],{DEGREE}],AXIS["geodetic longitude (Lon)",east,ORDER[2],{DEGREE}],ID["EPSG",{epsg}]]"#,
            datum(&base)
        ),
        System::Utm { base, zone, south } => {
            let (letter, northing) = if south { ('S', 10_000_000) } else { ('N', 0) };
            let name = format!("UTM zone {zone}{letter}");
            let meridian = i64::from(zone) * 6 - 183;
            let parameters = format!(
                r#"PARAMETER["Latitude of natural origin",0,{DEGREE},ID["EPSG",8801]],PARAMETER["Longitude of natural origin",{meridian},{DEGREE},ID["EPSG",8802]],PARAMETER["Scale factor at natural origin",0.9996,SCALEUNIT["unity",1],ID["EPSG",8805]],PARAMETER["False easting",500000,{METRE},ID["EPSG",8806]],PARAMETER["False northing",{northing},{METRE},ID["EPSG",8807]]"#
            );
            format!(
                r#"PROJCRS["{} / {name}",BASEGEOGCRS[{},ID["EPSG",{}]],CONVERSION["{name}",METHOD["Transverse Mercator",ID["EPSG",9807]],{parameters}],CS[Cartesian,2],AXIS["(E)",east,ORDER[1],{METRE}],AXIS["(N)",north,ORDER[2],{METRE}],ID["EPSG",{epsg}]]"#,
                base.name,
                datum(&base),
                base.code,
            )
        }
    })
}

/// Name, datum and prime meridian of a geographic system.
fn datum(base: &Base) -> String {
    let (name, flattening) = match base.ellipsoid {
        Ellipsoid::Wgs84 => ("WGS 84", "298.257223563"),
        Ellipsoid::Grs80 => ("GRS 1980", "298.257222101"),
    };
    format!(
        r#""{}",DATUM["{}",ELLIPSOID["{name}",6378137,{flattening},{METRE}]],PRIMEM["Greenwich",0,{DEGREE}]"#,
        base.name, base.datum
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with what pyproj 3.7.2 makes of the code: see `fixtures/make_projections.py --wkt`.
    #[test]
    fn utm_19_south_is_written_as_the_standard_says() {
        insta::assert_snapshot!(wkt(32719).unwrap(), @r#"PROJCRS["WGS 84 / UTM zone 19S",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563,LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]],ID["EPSG",4326]],CONVERSION["UTM zone 19S",METHOD["Transverse Mercator",ID["EPSG",9807]],PARAMETER["Latitude of natural origin",0,ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",8801]],PARAMETER["Longitude of natural origin",-69,ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",8802]],PARAMETER["Scale factor at natural origin",0.9996,SCALEUNIT["unity",1],ID["EPSG",8805]],PARAMETER["False easting",500000,LENGTHUNIT["metre",1],ID["EPSG",8806]],PARAMETER["False northing",10000000,LENGTHUNIT["metre",1],ID["EPSG",8807]]],CS[Cartesian,2],AXIS["(E)",east,ORDER[1],LENGTHUNIT["metre",1]],AXIS["(N)",north,ORDER[2],LENGTHUNIT["metre",1]],ID["EPSG",32719]]"#);
    }
}
