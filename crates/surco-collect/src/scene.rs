//! From a catalog's item to a scene that can be planned.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use surco_core::{Georef, S2_BANDS};

use crate::CollectError;
use crate::geometry::{Point, rectangle};
use crate::href::{Base, Href};
use crate::pool::{Fingerprint, Pool};
use crate::stac::{Asset, Item, Properties};

/// One scene, with what collecting needs of its item.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) id: String,
    /// Names the acquisition whatever its processing.
    pub(crate) key: String,
    pub(crate) tile: String,
    pub(crate) time_s: i64,
    pub(crate) day: Date,
    pub(crate) datetime: String,
    pub(crate) platform: Option<String>,
    pub(crate) baseline: Option<String>,
    pub(crate) generation: Option<String>,
    pub(crate) catalog: String,
    pub(crate) collection: Option<String>,
    /// Place of its catalog and collection in the order of preference, from 0.
    pub(crate) rank: usize,
    pub(crate) cloud: Option<f64>,
    /// Outer rings in degrees; empty if the item has no outline.
    pub(crate) outline: Vec<Vec<Point>>,
    pub(crate) grid: Grid,
    pub(crate) assets: Vec<SceneAsset>,
    pub(crate) boa_offset_applied: Option<bool>,
    /// Offset that the catalog declares for the reflectance bands.
    pub(crate) declared_offset: Option<f64>,
    /// The same acquisition in the other catalogs, the preferred first: read where this one's files
    /// cannot be.
    pub(crate) others: Vec<Scene>,
}

/// The 10 m grid of a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) georef: Georef,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl std::fmt::Display for Grid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Georef { epsg, x0_m, y0_m, px_m } = self.georef;
        write!(f, "EPSG:{epsg} {x0_m},{y0_m} {px_m} m, {} × {}", self.rows, self.cols)
    }
}

/// A file of a scene.
///
/// A country has two million of them, so it holds only what is its own; the rest is its kind's.
#[derive(Clone, Debug)]
pub(crate) struct SceneAsset {
    pub(crate) kind: Arc<AssetKind>,
    pub(crate) href: Href,
    pub(crate) bytes: Option<u64>,
    /// Of the checksum that the catalog states.
    pub(crate) checksum: Option<Fingerprint>,
}

/// What the same file of all scenes of a collection has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssetKind {
    pub(crate) key: String,
    /// Side of its pixels in pixels of the 10 m grid: 1 or 2.
    pub(crate) factor: usize,
    /// Layer and its band in the file.
    pub(crate) layers: Vec<(Layer, usize)>,
}

impl Deref for SceneAsset {
    type Target = AssetKind;

    fn deref(&self) -> &AssetKind {
        &self.kind
    }
}

/// A plane of the cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// A band, by its place on the band axis.
    Band(usize),
    /// The scene classification.
    Scl,
}

/// How items become scenes.
pub(crate) struct Reading<'a> {
    /// Places of the bands in [`S2_BANDS`].
    pub(crate) bands: &'a [usize],
    pub(crate) base: &'a Base,
    pub(crate) catalog: &'a str,
    /// Rank of the best collection of the catalog.
    pub(crate) rank: usize,
    /// Collections, the preferred one first.
    pub(crate) collections: &'a [&'a str],
    pub(crate) pool: &'a Pool,
}

impl<'a> Reading<'a> {
    /// Of items that are no matter of preference.
    #[cfg(test)]
    pub(crate) fn plain(bands: &'a [usize], base: &'a Base, pool: &'a Pool) -> Self {
        Self { bands, base, catalog: "local", rank: 0, collections: &[], pool }
    }

    pub(crate) fn scene(&self, item: Item) -> Result<Scene, CollectError> {
        let p = &item.properties;
        let datetime = p.datetime.clone().or_else(|| p.start_datetime.clone());
        let datetime = datetime.ok_or_else(|| {
            fault(&item.id, "datetime", "absent", "correct the item or leave it out")
        })?;
        let time: Timestamp = datetime.parse().map_err(|_| {
            fault(&item.id, "datetime", format!("`{datetime}` is no time"), "give it as RFC 3339")
        })?;
        let tile = tile_of(&item.id, p).ok_or_else(|| {
            fault(&item.id, "grid:code", "names no MGRS tile", "add `grid:code`: `MGRS-19HBA`")
        })?;
        let (grid, assets, declared_offset) = self.assets(&item)?;
        let place = |c: &str| self.collections.iter().position(|&preferred| preferred == c);
        let place = item.collection.as_deref().and_then(place).unwrap_or(self.collections.len());
        let datatake = p.datatake_id.as_deref().map(without_baseline);
        let strip = p.datastrip_id.as_deref().and_then(sensing_of_strip);
        let platform = p.platform.clone();
        let key = match (&datatake, strip) {
            (Some(take), Some(strip)) => format!("{take}/{strip}"),
            _ => format!("{}/{}", platform.as_deref().unwrap_or("?"), time.as_second()),
        };
        let outline = match &item.geometry {
            Some(geometry) => geometry.rings(),
            None => Vec::new(),
        };
        let outline = match (outline.is_empty(), item.bbox.as_deref()) {
            (true, Some(&[west, south, east, north])) => {
                vec![rectangle([west, south, east, north])]
            }
            _ => outline,
        };
        Ok(Scene {
            key,
            tile,
            time_s: time.as_second(),
            day: time.to_zoned(TimeZone::UTC).date(),
            datetime,
            platform,
            baseline: baseline_of(p),
            generation: p.generation_time.clone(),
            catalog: self.catalog.into(),
            rank: self.rank + place,
            cloud: p.cloud_cover,
            outline,
            grid,
            assets,
            boa_offset_applied: p.boa_offset_applied,
            declared_offset,
            others: Vec::new(),
            collection: item.collection,
            id: item.id,
        })
    }

    fn assets(&self, item: &Item) -> Result<(Grid, Vec<SceneAsset>, Option<f64>), CollectError> {
        let mut wanted: Vec<(Layer, &str, &str)> = Vec::new();
        for (axis, &index) in self.bands.iter().enumerate() {
            wanted.push((Layer::Band(axis), S2_BANDS[index].asset_key, S2_BANDS[index].name));
        }
        wanted.push((Layer::Scl, "scl", "SCL"));
        let mut layers: BTreeMap<&str, Vec<(Layer, usize)>> = BTreeMap::new();
        let mut declared = None;
        for (layer, key, name) in wanted {
            let (key, band) = find_asset(&item.assets, key, name).ok_or_else(|| {
                fault(
                    &item.id,
                    format!("asset for {name}"),
                    "absent",
                    "leave the item or the band out, or use another catalog",
                )
            })?;
            layers.entry(key).or_default().push((layer, band));
            if layer != Layer::Scl && declared.is_none() {
                declared = item.assets[key].declared_offset(band);
            }
        }
        let mut grids = Vec::new();
        for (&key, layers) in &layers {
            grids.push((key, asset_grid(item, key)?, layers.clone()));
        }
        let ten_m = grids
            .iter()
            .map(|(_, grid, _)| grid)
            .min_by(|a, b| a.georef.px_m.total_cmp(&b.georef.px_m));
        let mut grid =
            *ten_m.ok_or_else(|| fault(&item.id, "assets", "none", "correct the item"))?;
        if grid.georef.px_m == 20.0 {
            grid.georef.px_m = 10.0;
            (grid.rows, grid.cols) = (grid.rows * 2, grid.cols * 2);
        }
        let mut assets = Vec::new();
        for (key, own, layers) in grids {
            let asset = &item.assets[key];
            let factor = if own.georef.px_m == grid.georef.px_m { 1 } else { 2 };
            let scaled = Grid {
                georef: Georef { px_m: own.georef.px_m / factor as f64, ..own.georef },
                rows: own.rows * factor,
                cols: own.cols * factor,
            };
            if scaled != grid {
                return Err(fault(
                    &item.id,
                    format!("asset {key}"),
                    format!("its grid is {own}, that of the 10 m assets {grid}"),
                    "only 10 m pixels and exactly twice that are read",
                ));
            }
            let href =
                self.base.resolve(&item.links, &asset.href, self.pool).map_err(|reason| {
                    let remedy = "give it as a path, relative or absolute, or as an http(s) URL";
                    fault(&item.id, format!("asset {key}"), reason, remedy)
                })?;
            let kind = AssetKind { key: key.into(), factor, layers };
            assets.push(SceneAsset {
                kind: self.pool.kind(kind),
                href,
                bytes: asset.file_size,
                checksum: asset.file_checksum.as_deref().map(Fingerprint::of),
            });
        }
        Ok((grid, assets, declared))
    }
}

pub(crate) fn fault(
    item: &str,
    part: impl Into<String>,
    reason: impl Into<String>,
    remedy: &'static str,
) -> CollectError {
    CollectError::Item { item: item.into(), part: part.into(), reason: reason.into(), remedy }
}

/// The asset that holds a band, and the band's place in it.
fn find_asset<'a>(
    assets: &'a BTreeMap<String, Asset>,
    key: &str,
    name: &str,
) -> Option<(&'a str, usize)> {
    let place = |asset: &Asset| {
        asset.band_names().position(|b| b.is_some_and(|b| b.eq_ignore_ascii_case(name)))
    };
    for candidate in [key, name] {
        if let Some((key, asset)) = assets.get_key_value(candidate)
            && !is_jpeg2000(asset)
        {
            return Some((key, place(asset).unwrap_or(0)));
        }
    }
    let picture = |asset: &Asset| {
        let roles = ["visual", "overview", "thumbnail"];
        asset.roles.iter().any(|role| roles.contains(&role.as_str()))
    };
    assets
        .iter()
        .filter(|(key, a)| {
            !picture(a) && !is_jpeg2000(a) && !["visual", "preview"].contains(&key.as_str())
        })
        .find_map(|(key, asset)| Some((key.as_str(), place(asset)?)))
}

fn is_jpeg2000(asset: &Asset) -> bool {
    asset.media_type.as_deref() == Some("image/jp2")
}

fn asset_grid(item: &Item, key: &str) -> Result<Grid, CollectError> {
    let own = &item.assets[key].projection;
    let common = &item.properties.projection;
    let part = || format!("asset {key}");
    let remedy = "only items with the projection extension can be planned: use such a catalog";
    let epsg = own.epsg().or_else(|| common.epsg());
    let epsg =
        epsg.ok_or_else(|| fault(&item.id, part(), "has no proj:epsg or proj:code", remedy))?;
    let shape = own.shape.as_deref().or(common.shape.as_deref());
    let transform = own.transform.as_deref().or(common.transform.as_deref());
    let (Some(&[rows, cols]), Some(&[px, b, x0, d, py, y0, ..])) = (shape, transform) else {
        return Err(fault(&item.id, part(), "has no proj:shape and proj:transform", remedy));
    };
    let square = b == 0.0 && d == 0.0 && py == -px;
    if !square || ![10.0, 20.0].contains(&px) {
        let reason = format!("its pixels are {px} × {py} m");
        let remedy = "only north-up pixels of 10 or 20 m are read";
        return Err(fault(&item.id, part(), reason, remedy));
    }
    if rows == 0 || cols == 0 || rows.max(cols) > 1 << 20 {
        return Err(fault(&item.id, part(), format!("its shape is {rows} × {cols}"), remedy));
    }
    Ok(Grid { georef: Georef { epsg, x0_m: x0, y0_m: y0, px_m: px }, rows, cols })
}

fn tile_of(id: &str, p: &Properties) -> Option<String> {
    let from_code = p.grid_code.as_deref().and_then(|code| code.strip_prefix("MGRS-"));
    let from_parts = || {
        let (zone, band, square) = (p.mgrs_zone?, p.mgrs_band.as_ref()?, p.mgrs_square.as_ref()?);
        Some(format!("{zone:02}{band}{square}"))
    };
    let parts = from_parts();
    let named = from_code.or(p.mgrs_tile.as_deref()).or(parts.as_deref());
    let in_id = id.split('_').map(|part| part.strip_prefix('T').unwrap_or(part));
    named.into_iter().chain(in_id).find_map(mgrs)
}

/// A tile's name with two digits of zone, if this is one.
fn mgrs(text: &str) -> Option<String> {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - letters.len()];
    let zone: u32 = digits.parse().ok()?;
    let good = (1..=60).contains(&zone)
        && letters.len() == 3
        && letters.bytes().all(|b| b.is_ascii_uppercase() && b != b'I' && b != b'O');
    good.then(|| format!("{zone:02}{letters}"))
}

/// The baseline as two numbers with two digits each, for example `05.10`.
fn baseline_of(p: &Properties) -> Option<String> {
    let value = p.s2_baseline.as_ref().or(p.processing_version.as_ref())?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let (major, minor) = text.split_once('.')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(format!("{major:02}.{minor:02}"))
}

/// `GS2A_20240422T173911_046141_N05.10` without `_N05.10`.
fn without_baseline(datatake: &str) -> String {
    datatake.rsplit_once("_N").map_or(datatake, |(head, _)| head).into()
}

/// The start of sensing in `S2A_OPER_MSI_L2A_DS_2APS_20240423T004950_S20240422T174753_N05.10`.
pub(crate) fn sensing_of_strip(strip: &str) -> Option<&str> {
    strip.split('_').rev().find_map(|part| part.strip_prefix('S').filter(|s| s.contains('T')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tiles_and_takes_are_found_in_every_spelling() {
        let none = Properties::default();
        let code = |c: &str| Properties { grid_code: Some(c.into()), ..Properties::default() };
        assert_eq!(tile_of("x", &code("MGRS-5QKB")).as_deref(), Some("05QKB"));
        assert_eq!(tile_of("S2B_19HCC_20230101_0_L2A", &none).as_deref(), Some("19HCC"));
        let long = "S2A_MSIL2A_20190101T000001_R116_T60VUK_20201007T214652";
        assert_eq!(tile_of(long, &none).as_deref(), Some("60VUK"));
        assert_eq!(tile_of("S2A_scene_1", &none), None);
        assert_eq!(
            without_baseline("GS2A_20240422T173911_046141_N05.10"),
            "GS2A_20240422T173911_046141"
        );
        let strip = "S2A_OPER_MSI_L2A_DS_2APS_20240423T004950_S20240422T174753_N05.10";
        assert_eq!(sensing_of_strip(strip), Some("20240422T174753"));
    }
}
