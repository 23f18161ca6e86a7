//! The map: outline, tiles and cells as inline SVG, coloured by what is done.
//!
//! Longitudes are shortened by the cosine of the middle latitude. What lies far apart in longitude (Rapa Nui
//! from the mainland) is drawn side by side, each part in its own scale, the one with the most on it first and
//! large. A store that is small on that map is drawn once more from near.

use std::collections::BTreeSet;
use std::fmt::Write;

use surco_core::escape;
use surco_raster::vector::{Collection, Shape};

use super::markup::{coverage, percent};
use super::survey::Survey;

/// A gap in longitude, in degrees, that parts the map in two.
const GAP: f64 = 8.0;
/// Width and height that the main part of the map may take, in pixels.
const MAIN: (f64, f64) = (460.0, 820.0);
/// Those of what is drawn beside it.
const BESIDE: (f64, f64) = (400.0, 380.0);
/// A store that takes less of the map's height than this is drawn once more from near.
const SMALL: f64 = 0.2;
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
    let mut parts = parts(items);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let near = bounds_of(survey.cells.iter().filter_map(|cell| bounds(&cell.corners)));
    let (mut main, mut beside) = (String::new(), String::new());
    for (i, part) in parts.iter().enumerate() {
        let Some(whole) = bounds_of(part.iter().map(|item| item.bounds)) else { continue };
        if i == 0 {
            main = draw(part, &View::of(whole, MAIN, 0.03));
        } else {
            beside += &draw(part, &View::of(whole, BESIDE, 0.03));
        }
        let Some(near) = near.filter(|near| meets(near, &whole)) else { continue };
        if near[3] - near[1] < SMALL * (whole[3] - whole[1]) {
            let near = View::of(near, BESIDE, 0.25);
            beside += &draw(part.iter().filter(|item| meets(&item.bounds, &near.bounds())), &near);
        }
    }
    format!("<div class=\"maps\">{main}<div>{beside}</div></div>")
}

/// West, south, east and north of points.
fn bounds(points: &[[f64; 2]]) -> Option<[f64; 4]> {
    bounds_of(points.iter().map(|&[x, y]| [x, y, x, y]))
}

fn bounds_of(all: impl Iterator<Item = [f64; 4]>) -> Option<[f64; 4]> {
    all.reduce(|[w, s, e, n], [a, b, c, d]| [w.min(a), s.min(b), e.max(c), n.max(d)])
}

fn meets(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

fn item(rings: Vec<Ring>, class: String, title: String) -> Option<Item> {
    let bounds = bounds_of(rings.iter().filter_map(|ring| bounds(ring)))?;
    Some(Item { rings, class, title, bounds })
}

fn of_land(land: &Collection) -> impl Iterator<Item = Item> + '_ {
    let polygons = land.features.iter().flat_map(|feature| match &feature.shape {
        Shape::Polygons(polygons) => polygons.as_slice(),
        Shape::Point(_) | Shape::Points(_) => &[],
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
    /// These bounds and a margin, a part of their longer side, as large as the room lets them be.
    fn of([w, s, e, n]: [f64; 4], (widest, highest): (f64, f64), margin: f64) -> Self {
        let margin = margin * (n - s).max(e - w).max(1e-6);
        let (w, s, e, n) = (w - margin, s - margin, e + margin, n + margin);
        let narrow = (f64::midpoint(s, n)).to_radians().cos();
        let down = (highest / (n - s)).min(widest / ((e - w) * narrow));
        let across = down * narrow;
        Self { west: w, north: n, across, down, width: (e - w) * across, height: (n - s) * down }
    }

    fn bounds(&self) -> [f64; 4] {
        let (across, down) = (self.width / self.across, self.height / self.down);
        [self.west, self.north - down, self.west + across, self.north]
    }

    fn at(&self, [lon, lat]: [f64; 2]) -> (f64, f64) {
        ((lon - self.west) * self.across, (self.north - lat) * self.down)
    }
}

fn draw<'i>(items: impl IntoIterator<Item = &'i Item>, view: &View) -> String {
    let (width, height) = (view.width, view.height);
    let mut out = format!(
        r#"<svg class="map" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="Map of the store: tiles and cells by the share of planned dates that is done">"#
    );
    out += &parallels(view);
    let mut items = items.into_iter().peekable();
    while let Some(item) = items.next() {
        // Land is one path: thousands of municipalities need no element each.
        if item.class == "land" {
            let mut d = path(view, item);
            while let Some(more) = items.next_if(|next| next.class == "land") {
                d += &path(view, more);
            }
            let _ = write!(out, r#"<path class="land" d="{d}"/>"#);
            continue;
        }
        let d = path(view, item);
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
