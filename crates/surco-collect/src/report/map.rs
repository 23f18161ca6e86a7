//! The map: outline, tiles and cells as inline SVG, coloured by what is done.
//!
//! Longitudes are shortened by the cosine of the middle latitude. What lies far apart in longitude (Rapa Nui
//! from the mainland) is drawn side by side, each part in its own scale.

use std::collections::BTreeSet;
use std::fmt::Write;

use surco_raster::vector::{Collection, Shape};

use super::markup::{coverage, escape, percent};
use super::survey::Survey;

/// A gap in longitude, in degrees, that parts the map in two.
const GAP: f64 = 8.0;
/// Height and width that a part of the map may take, in pixels.
const HIGHEST: f64 = 860.0;
const WIDEST: f64 = 460.0;
/// Lines are not drawn finer than this, in pixels.
const FINEST: f64 = 0.5;

type Ring = Vec<[f64; 2]>;

/// One thing on the map, in degrees.
struct Item {
    rings: Vec<Ring>,
    class: String,
    title: String,
    /// West, south, east, north.
    bounds: [f64; 4],
}

/// The map of a survey.
pub(super) fn map(
    survey: &Survey,
    tiles: Option<&Collection>,
    outline: Option<&Collection>,
) -> String {
    let mut items: Vec<Item> = Vec::new();
    items.extend(outline.into_iter().flat_map(of_land));
    items.extend(tiles.into_iter().flat_map(|tiles| of_tiles(tiles, survey)));
    items.extend(survey.cells.iter().filter_map(|cell| {
        let share = cell.share_done();
        let holes = if cell.holes > 0 { " holed" } else { "" };
        let title = format!("{}: {} of its dates done", cell.cell, percent(share));
        item(vec![cell.corners.to_vec()], format!("cell {}{holes}", coverage(share)), title)
    }));
    let mut out = String::new();
    for part in parts(items) {
        out += &draw(&part);
    }
    out
}

fn item(rings: Vec<Ring>, class: String, title: String) -> Option<Item> {
    let mut points = rings.iter().flatten();
    let &[x, y] = points.next()?;
    let bounds =
        points.fold([x, y, x, y], |[w, s, e, n], &[x, y]| [w.min(x), s.min(y), e.max(x), n.max(y)]);
    Some(Item { rings, class, title, bounds })
}

fn of_land(land: &Collection) -> impl Iterator<Item = Item> + '_ {
    let polygons = land.features.iter().flat_map(|feature| match &feature.shape {
        Shape::Polygons(polygons) => polygons.as_slice(),
        Shape::Point(_) => &[],
    });
    polygons.filter_map(|polygon| item(polygon.rings.clone(), "land".into(), String::new()))
}

fn of_tiles<'s>(tiles: &'s Collection, survey: &'s Survey) -> impl Iterator<Item = Item> + 's {
    let held: BTreeSet<&str> = survey.tiles.iter().map(|tile| tile.tile.as_str()).collect();
    tiles.features.iter().filter_map(move |feature| {
        let Shape::Polygons(polygons) = &feature.shape else { return None };
        let name = feature.text("tile").unwrap_or_default();
        let (class, title) = if held.contains(name.as_str()) {
            ("tile known", format!("{name}: in the store"))
        } else {
            ("tile", format!("{name}: not in the store"))
        };
        let rings = polygons.iter().filter_map(|polygon| polygon.rings.first().cloned());
        item(rings.collect(), class.into(), title)
    })
}

/// Things that lie together, from west to east.
fn parts(mut items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| items[a].bounds[0].total_cmp(&items[b].bounds[0]));
    let (mut part, mut east) = (0, f64::INFINITY);
    let mut part_of = vec![0; items.len()];
    for i in order {
        let [west, _, to, _] = items[i].bounds;
        if west > east + GAP {
            part += 1;
            east = to;
        }
        east = if east.is_finite() { east.max(to) } else { to };
        part_of[i] = part;
    }
    let mut parts: Vec<Vec<Item>> = (0..=part).map(|_| Vec::new()).collect();
    // In the order they were given: what comes later is drawn above.
    part_of.into_iter().zip(items.drain(..)).for_each(|(part, item)| parts[part].push(item));
    parts.retain(|part| !part.is_empty());
    parts
}

/// From degrees to pixels.
struct View {
    west: f64,
    north: f64,
    across: f64,
    down: f64,
    width: f64,
    height: f64,
}

impl View {
    fn of(items: &[Item]) -> Self {
        let [w, s, e, n] = items.iter().fold([180.0, 90.0, -180.0, -90.0], |[w, s, e, n], item| {
            let [a, b, c, d] = item.bounds;
            [f64::min(w, a), f64::min(s, b), f64::max(e, c), f64::max(n, d)]
        });
        let margin = 0.03 * (n - s).max(e - w).max(1e-6);
        let (w, s, e, n) = (w - margin, s - margin, e + margin, n + margin);
        let narrow = (f64::midpoint(s, n)).to_radians().cos();
        let down = (HIGHEST / (n - s)).min(WIDEST / ((e - w) * narrow));
        let across = down * narrow;
        Self { west: w, north: n, across, down, width: (e - w) * across, height: (n - s) * down }
    }

    fn at(&self, [lon, lat]: [f64; 2]) -> (f64, f64) {
        ((lon - self.west) * self.across, (self.north - lat) * self.down)
    }
}

fn draw(items: &[Item]) -> String {
    let view = View::of(items);
    let (width, height) = (view.width, view.height);
    let mut out = format!(
        r#"<svg class="map" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="Map of the store: tiles and cells by the share of planned dates that is done">"#
    );
    out += &parallels(&view);
    let mut classes = items.iter().peekable();
    while let Some(item) = classes.next() {
        // Land is one path: thousands of municipalities need no element each.
        if item.class == "land" {
            let mut d = path(&view, item);
            while let Some(more) = classes.next_if(|next| next.class == "land") {
                d += &path(&view, more);
            }
            let _ = write!(out, r#"<path class="land" d="{d}"/>"#);
            continue;
        }
        let d = path(&view, item);
        if !d.is_empty() {
            let (class, title) = (&item.class, escape(&item.title));
            let _ = write!(out, r#"<path class="{class}" d="{d}"><title>{title}</title></path>"#);
        }
    }
    out + "</svg>"
}

/// Lines of latitude with their names.
fn parallels(view: &View) -> String {
    let degrees = view.height / view.down;
    let steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| degrees / step <= 9.0).unwrap_or(20.0);
    let decimals = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
    let south = view.north - degrees;
    let mut out = String::new();
    for i in (south / step).ceil() as i64..=(view.north / step).floor() as i64 {
        let lat = i as f64 * step;
        let y = view.at([view.west, lat]).1;
        let side = if lat < 0.0 { "S" } else { "N" };
        let _ = write!(
            out,
            r#"<line class="grid" x1="0" x2="{:.0}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="2" y="{:.1}">{:.decimals$}° {side}</text>"#,
            view.width,
            y - 3.0,
            lat.abs(),
        );
    }
    out
}

/// A path of rings without what is too fine to be seen; nothing if all of it is.
fn path(view: &View, item: &Item) -> String {
    let mut d = String::new();
    for ring in &item.rings {
        let mut kept: Vec<(f64, f64)> = Vec::new();
        for &point in ring {
            let (x, y) = view.at(point);
            if kept.last().is_none_or(|last| (x - last.0).hypot(y - last.1) >= FINEST) {
                kept.push((x, y));
            }
        }
        if kept.len() < 3 {
            continue;
        }
        for (i, (x, y)) in kept.into_iter().enumerate() {
            let _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
        }
        d.push('Z');
    }
    d
}
