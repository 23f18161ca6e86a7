//! Well-known binary, as GeoParquet and databases hold shapes.

use super::cursor::Cursor;
use super::{Polygon, Shape};

/// Kinds of shapes.
const POINT: u32 = 1;
const POLYGON: u32 = 3;
const MULTI_POINT: u32 = 4;
const MULTI_POLYGON: u32 = 6;
/// Flags of PostGIS for heights, measures and a coordinate system.
const HAS_Z: u32 = 0x8000_0000;
const HAS_M: u32 = 0x4000_0000;
const HAS_SRID: u32 = 0x2000_0000;

/// Reads a point, several points, a polygon or several; heights and measures are left out.
///
/// # Errors
/// What is wrong, in words, if the bytes are cut off, hold another shape or a ring that is not closed.
///
/// # Source
/// OGC 06-103r4, *Simple feature access*, section 8.
pub fn parse_wkb(bytes: &[u8]) -> Result<Shape, String> {
    let mut reader = Reader(Cursor { bytes, big_endian: false });
    let (kind, dimensions) = reader.head()?;
    match kind {
        POINT => Ok(Shape::Point(reader.point(dimensions)?)),
        POLYGON => Ok(Shape::Polygons(vec![reader.polygon(dimensions)?])),
        MULTI_POINT => {
            let mut points = Vec::new();
            for _ in 0..reader.0.u32()? {
                let (kind, dimensions) = reader.head()?;
                if kind != POINT {
                    return Err(format!("a multipoint has a part of kind {kind}"));
                }
                points.push(reader.point(dimensions)?);
            }
            Ok(Shape::Points(points))
        }
        MULTI_POLYGON => {
            let mut polygons = Vec::new();
            for _ in 0..reader.0.u32()? {
                let (kind, dimensions) = reader.head()?;
                if kind != POLYGON {
                    return Err(format!("a multipolygon has a part of kind {kind}"));
                }
                polygons.push(reader.polygon(dimensions)?);
            }
            Ok(Shape::Polygons(polygons))
        }
        other => Err(format!(
            "it is {}, expected points or polygons; convert or delete the feature",
            name_of(other)
        )),
    }
}

/// What a kind of shape that is not read is called.
fn name_of(kind: u32) -> String {
    match kind {
        2 => "a line".into(),
        5 => "several lines".into(),
        7 => "a collection of shapes".into(),
        other => format!("a shape of kind {other}"),
    }
}

struct Reader<'b>(Cursor<'b>);

impl Reader<'_> {
    /// Kind of shape, and numbers a point has.
    fn head(&mut self) -> Result<(u32, usize), String> {
        let [order] = self.0.take()?;
        self.0.big_endian = match order {
            0 => true,
            1 => false,
            other => return Err(format!("it begins with {other}, no byte order")),
        };
        let code = self.0.u32()?;
        if code & HAS_SRID != 0 {
            self.0.u32()?;
        }
        let plain = code & !(HAS_Z | HAS_M | HAS_SRID);
        let flags = usize::from(code & HAS_Z != 0) + usize::from(code & HAS_M != 0);
        // ISO counts in thousands: 1 with heights, 2 with measures, 3 with both.
        let more = match plain / 1000 {
            0 => flags,
            1 | 2 => 1,
            3 => 2,
            _ => return Err(format!("shape of kind {code}")),
        };
        Ok((plain % 1000, 2 + more))
    }

    fn point(&mut self, dimensions: usize) -> Result<[f64; 2], String> {
        let point = [self.0.f64()?, self.0.f64()?];
        for _ in 2..dimensions {
            self.0.f64()?;
        }
        if point.iter().all(|v| v.is_finite()) { Ok(point) } else { Err("a point is empty".into()) }
    }

    fn polygon(&mut self, dimensions: usize) -> Result<Polygon, String> {
        let mut rings = Vec::new();
        for _ in 0..self.0.u32()? {
            let mut ring = Vec::new();
            for _ in 0..self.0.u32()? {
                ring.push(self.point(dimensions)?);
            }
            if ring.len() < 4 || ring.first() != ring.last() {
                return Err(format!("a ring of {} points is not closed", ring.len()));
            }
            rings.push(ring);
        }
        if rings.is_empty() { Err("a polygon has no ring".into()) } else { Ok(Polygon { rings }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// Bytes written out by hand from the specification.
    #[test]
    fn both_byte_orders_and_heights_are_read() {
        let little = "01 01000000 000000000000F03F 0000000000000040";
        assert_eq!(parse_wkb(&hex(little)), Ok(Shape::Point([1.0, 2.0])));
        let big = "00 000003E9 3FF0000000000000 4000000000000000 4008000000000000";
        assert_eq!(parse_wkb(&hex(big)), Ok(Shape::Point([1.0, 2.0])), "1001 has a height");
        let srid = "01 01000020 E6100000 000000000000F03F 0000000000000040";
        assert_eq!(parse_wkb(&hex(srid)), Ok(Shape::Point([1.0, 2.0])));
    }

    #[test]
    fn polygons_keep_their_rings_and_what_is_broken_is_refused() {
        let (zero, one) = ("0000000000000000", "000000000000F03F");
        let ring = format!("04000000 {zero}{zero} {one}{zero} {one}{one} {zero}{zero}");
        let polygon = format!("01 03000000 02000000 {ring} {ring}");
        let multi = format!("01 06000000 01000000 {polygon}");
        let Ok(Shape::Polygons(polygons)) = parse_wkb(&hex(&multi)) else { panic!("{multi}") };
        assert_eq!(polygons[0].rings.len(), 2);
        assert_eq!(polygons[0].rings[1], [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]);
        assert_eq!(parse_wkb(&hex(&polygon)), Ok(Shape::Polygons(polygons)));
        let refusal = |text: &str| parse_wkb(&hex(text)).unwrap_err();
        assert_eq!(refusal(&polygon[..polygon.len() - 2]), "it is cut off");
        assert_eq!(
            refusal("01 02000000 00000000"),
            "it is a line, expected points or polygons; convert or delete the feature"
        );
        let open = ring.replacen("04", "03", 1);
        assert_eq!(
            refusal(&format!("01 03000000 01000000 {open}")),
            "a ring of 3 points is not closed"
        );
        assert_eq!(refusal(&format!("01 01000000 {one} 000000000000F87F")), "a point is empty");
        assert_eq!(refusal("07"), "it begins with 7, no byte order");
    }
}
