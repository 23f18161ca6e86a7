//! Outlines as well-known binary.

use surco_raster::vector::{Shape, parse_wkb};

use crate::stac::Geometry;

/// Bytes of an outline; more are a broken file.
const MANY_BYTES: usize = 16 << 20;

/// A polygon or several; anything else is no outline.
pub(super) fn geometry(bytes: &[u8]) -> Option<Geometry> {
    if bytes.len() > MANY_BYTES {
        return None;
    }
    let Ok(Shape::Polygons(polygons)) = parse_wkb(bytes) else { return None };
    let ring = |ring: Vec<[f64; 2]>| ring.into_iter().map(Vec::from).collect();
    let coordinates =
        polygons.into_iter().map(|p| p.rings.into_iter().map(ring).collect()).collect();
    Some(Geometry::MultiPolygon { coordinates })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A triangle, with or without heights.
    fn triangle(code: u32, height: bool, big: bool) -> Vec<u8> {
        let mut bytes = vec![u8::from(!big)];
        let mut put = |n: u32| bytes.extend(if big { n.to_be_bytes() } else { n.to_le_bytes() });
        put(code);
        put(1);
        put(4);
        for (x, y) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)] {
            let point = if height { vec![x, y, 7.0] } else { vec![x, y] };
            let of = |n: f64| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            bytes.extend(point.into_iter().flat_map(of));
        }
        bytes
    }

    #[test]
    fn outlines_are_read_in_every_dialect() {
        let want = vec![vec![(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]];
        for (code, height) in [(3, false), (1003, true), (0x8000_0003, true)] {
            for big in [false, true] {
                let read = geometry(&triangle(code, height, big)).unwrap();
                assert_eq!(read.rings(), want, "{code:x}");
            }
        }
        let mut several = vec![1, 6, 0, 0, 0, 2, 0, 0, 0];
        several.extend(triangle(3, false, false));
        several.extend(triangle(3, false, true));
        assert_eq!(geometry(&several).unwrap().rings().len(), 2);
    }

    #[test]
    fn a_broken_outline_is_none() {
        let whole = triangle(3, false, false);
        for end in 0..whole.len() {
            assert!(geometry(&whole[..end]).is_none(), "{end} bytes");
        }
        let mut endless = vec![1, 3, 0, 0, 0];
        endless.extend(u32::MAX.to_le_bytes());
        assert!(geometry(&endless).is_none());
    }
}
