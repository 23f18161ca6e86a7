//! Which rings of a Shapefile's polygon are holes, and of what.

use crate::rasterise::{area_m2, contains};
use crate::vector::cursor::Cursor;
use crate::vector::{Polygon, Shape};

/// Rings that one feature may have; each is compared with each.
const MOST_RINGS: usize = 10_000;

/// Reads rings, and makes polygons of them.
pub(super) fn polygons(cursor: &mut Cursor<'_>) -> Result<Shape, String> {
    cursor.take::<32>()?; // its bounds
    let (parts, points) = (cursor.u32()? as usize, cursor.u32()? as usize);
    if parts > MOST_RINGS {
        return Err(format!(
            "it has {parts} rings, {MOST_RINGS} at most are read: split it into its parts"
        ));
    }
    let mut starts =
        (0..parts).map(|_| Ok(cursor.u32()? as usize)).collect::<Result<Vec<_>, String>>()?;
    starts.push(points);
    let mut rings = Vec::with_capacity(parts);
    for ends in starts.windows(2) {
        let count = ends[1].checked_sub(ends[0]).ok_or("its rings overlap")?;
        let ring = (0..count).map(|_| Ok([cursor.f64()?, cursor.f64()?]));
        let ring = ring.collect::<Result<Vec<[f64; 2]>, String>>()?;
        if ring.len() < 4 || ring.first() != ring.last() {
            return Err(format!("a ring of {} points is not closed", ring.len()));
        }
        rings.push(ring);
    }
    Ok(Shape::Polygons(organised(rings)))
}

/// Rings by what holds them: one within an odd number of others is a hole of the smallest of them.
///
/// By containment and not by the sense of rotation, which not all programs keep.
fn organised(rings: Vec<Vec<[f64; 2]>>) -> Vec<Polygon> {
    let mut single: Vec<(f64, Polygon)> = rings
        .into_iter()
        .map(|ring| Polygon { rings: vec![ring] })
        .map(|polygon| (area_m2(&polygon), polygon))
        .collect();
    single.sort_by(|a, b| b.0.total_cmp(&a.0));
    let bounds: Vec<[f64; 4]> =
        single.iter().filter_map(|(_, p)| Shape::Polygons(vec![p.clone()]).bounds()).collect();
    // Place among the polygons found, or that of the polygon whose hole it is.
    let mut homes: Vec<(usize, bool)> = Vec::new();
    let mut found: Vec<Polygon> = Vec::new();
    for (i, (_, polygon)) in single.iter().enumerate() {
        let ring = &polygon.rings[0];
        let holds = |j: &usize| {
            let (inner, outer) = (bounds[i], bounds[*j]);
            let apart = inner[0] < outer[0]
                || inner[1] < outer[1]
                || inner[2] > outer[2]
                || inner[3] > outer[3];
            // A hole may touch its polygon in a point, so most points decide.
            !apart
                && ring.iter().filter(|p| contains(&single[*j].1, p[0], p[1])).count() * 2
                    > ring.len()
        };
        let around: Vec<usize> = (0..i).filter(holds).collect();
        let smallest = around.iter().rev().find(|&&j| !homes[j].1);
        match (around.len() % 2, smallest) {
            (1, Some(&outer)) => {
                found[homes[outer].0].rings.push(ring.clone());
                homes.push((homes[outer].0, true));
            }
            _ => {
                homes.push((found.len(), false));
                found.push(polygon.clone());
            }
        }
    }
    found
}
