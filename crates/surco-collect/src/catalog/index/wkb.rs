//! Outlines as well-known binary.

use crate::stac::Geometry;

/// Points, rings or parts of an outline; more are a broken file.
const MANY: u32 = 1 << 20;
/// Flags of the extended form: a height, a measure, a reference system.
const FLAGS: [u32; 3] = [0x8000_0000, 0x4000_0000, 0x2000_0000];

/// A polygon or several; anything else is no outline.
pub(super) fn geometry(bytes: &[u8]) -> Option<Geometry> {
    let mut reader = Reader { bytes, big_endian: false };
    let (kind, width) = reader.head()?;
    match kind {
        3 => Some(Geometry::Polygon { coordinates: reader.polygon(width)? }),
        6 => {
            let parts = reader.count()?;
            let mut coordinates = Vec::new();
            for _ in 0..parts {
                let (kind, width) = reader.head()?;
                coordinates.push((kind == 3).then(|| reader.polygon(width))??);
            }
            Some(Geometry::MultiPolygon { coordinates })
        }
        _ => None,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk()?;
        self.bytes = tail;
        Some(*head)
    }

    fn integer(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn count(&mut self) -> Option<u32> {
        self.integer().filter(|&count| count <= MANY)
    }

    fn number(&mut self) -> Option<f64> {
        let bytes = self.take()?;
        Some(if self.big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
    }

    /// The kind of a geometry and the numbers a point has.
    fn head(&mut self) -> Option<(u32, usize)> {
        let [order] = self.take()?;
        self.big_endian = order == 0;
        let code = self.integer()?;
        let has = |flag: u32| usize::from(code & flag != 0);
        let plain = code & !(FLAGS[0] | FLAGS[1] | FLAGS[2]);
        let iso = match plain / 1000 {
            0 => 0,
            1 | 2 => 1,
            _ => 2,
        };
        if code & FLAGS[2] != 0 {
            self.integer()?;
        }
        Some((plain % 1000, 2 + iso + has(FLAGS[0]) + has(FLAGS[1])))
    }

    fn polygon(&mut self, width: usize) -> Option<Vec<Vec<Vec<f64>>>> {
        let mut rings = Vec::new();
        for _ in 0..self.count()? {
            let mut ring = Vec::new();
            for _ in 0..self.count()? {
                let point: Option<Vec<f64>> = (0..width).map(|_| self.number()).collect();
                ring.push(point?.into_iter().take(2).collect());
            }
            rings.push(ring);
        }
        Some(rings)
    }
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
