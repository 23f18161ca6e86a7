//! From a catalog's item to a scene that can be planned.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use surco_core::{Georef, OffsetRule, Raster, Sensor};
use surco_raster::warp::PixelGrid;

use crate::CollectError;
use crate::geometry::{Point, rectangle};
use crate::href::{Base, Href};
use crate::pool::{Fingerprint, Pool};
use crate::request::no_images;
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
    /// Its own grid, if it is brought onto cells of another.
    pub(crate) own: Option<Arc<Own>>,
    pub(crate) href: Href,
    pub(crate) bytes: Option<u64>,
    /// Of the checksum that the catalog states.
    pub(crate) checksum: Option<Fingerprint>,
}

/// A grid that is no grid of cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Own {
    pub(crate) grid: PixelGrid,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
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
    /// The scene classification, or what another sensor has in its place.
    Scl,
}

/// Layers by the key of their asset, each with its band in the file.
type ByAsset<'a> = BTreeMap<&'a str, Vec<(Layer, usize)>>;

/// How items become scenes.
pub(crate) struct Reading<'a> {
    pub(crate) sensor: &'a Sensor,
    /// Places of the bands in the sensor's description.
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
        static SENSOR: std::sync::LazyLock<Sensor> = std::sync::LazyLock::new(Sensor::default);
        Self { sensor: &SENSOR, bands, base, catalog: "local", rank: 0, collections: &[], pool }
    }

    pub(crate) fn scene(&self, item: Item) -> Result<Scene, CollectError> {
        let p = &item.properties;
        let raster = self.raster()?;
        let datetime = p.datetime.clone().or_else(|| p.start_datetime.clone());
        // What shows no moment needs no time, and axes need some.
        let timeless = raster.is_static().then(|| "1970-01-01T00:00:00Z".to_string());
        let datetime = datetime.or(timeless).ok_or_else(|| {
            fault(&item.id, "datetime", "absent", "correct the item or leave it out")
        })?;
        let time: Timestamp = datetime.parse().map_err(|_| {
            fault(&item.id, "datetime", format!("`{datetime}` is no time"), "give it as RFC 3339")
        })?;
        let (tile, (grid, assets, declared_offset)) = if raster.is_warped() {
            let (grid, assets) = self.own_assets(&item, raster)?;
            (String::new(), (grid, assets, None))
        } else {
            let tile = tile_of(&item.id, p).ok_or_else(|| {
                fault(&item.id, "grid:code", "names no MGRS tile", "add `grid:code`: `MGRS-19HBA`")
            })?;
            (tile, self.assets(&item, raster)?)
        };
        let place = |c: &str| self.collections.iter().position(|&preferred| preferred == c);
        let place = item.collection.as_deref().and_then(place).unwrap_or(self.collections.len());
        let datatake = p.datatake_id.as_deref().map(without_baseline);
        let strip = p.datastrip_id.as_deref().and_then(sensing_of_strip);
        let platform = p.platform.clone();
        let key = match (&datatake, strip) {
            _ if raster.is_static() => item.id.clone(),
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

    fn raster(&self) -> Result<&Raster, CollectError> {
        self.sensor.raster().ok_or_else(|| no_images(self.sensor))
    }

    /// The assets to read by their keys, each with its layers and their bands in the file.
    fn wanted<'i>(&self, item: &'i Item, raster: &Raster) -> Result<ByAsset<'i>, CollectError> {
        let bands = self.bands.iter().enumerate().map(|(axis, &index)| {
            let band = &raster.bands[index];
            (Layer::Band(axis), &band.assets, &band.name)
        });
        let quality = raster.quality.iter().map(|q| (Layer::Scl, &q.assets, &q.name));
        let mut layers = ByAsset::new();
        for (layer, keys, name) in bands.chain(quality) {
            let (key, band) = find_asset(&item.assets, keys, name).ok_or_else(|| {
                fault(
                    &item.id,
                    format!("asset for {name}"),
                    "absent",
                    "leave the item or the band out, or use another catalog",
                )
            })?;
            layers.entry(key).or_default().push((layer, band));
        }
        Ok(layers)
    }

    /// Assets on grids of their own.
    fn own_assets(
        &self,
        item: &Item,
        raster: &Raster,
    ) -> Result<(Grid, Vec<SceneAsset>), CollectError> {
        let mut assets: Vec<SceneAsset> = Vec::new();
        for (key, layers) in self.wanted(item, raster)? {
            let own = own_grid(item, key)?;
            let mut known = assets.iter().filter_map(|a| a.own.as_ref());
            let own = known.find(|known| ***known == own).cloned().unwrap_or_else(|| own.into());
            assets.push(SceneAsset { own: Some(own), ..self.asset(item, key, 1, layers)? });
        }
        let first = assets.iter().find_map(|a| a.own.as_ref());
        let own = first.ok_or_else(|| fault(&item.id, "assets", "none", "correct the item"))?;
        let PixelGrid { epsg, x0, y0, dx, .. } = own.grid;
        let georef = Georef { epsg, x0_m: x0, y0_m: y0, px_m: dx };
        Ok((Grid { georef, rows: own.rows, cols: own.cols }, assets))
    }

    fn asset(
        &self,
        item: &Item,
        key: &str,
        factor: usize,
        layers: Vec<(Layer, usize)>,
    ) -> Result<SceneAsset, CollectError> {
        let asset = &item.assets[key];
        let href = self.base.resolve(&item.links, &asset.href, self.pool).map_err(|reason| {
            let remedy = "give it as a path, relative or absolute, or as an http(s) URL";
            fault(&item.id, format!("asset {key}"), reason, remedy)
        })?;
        Ok(SceneAsset {
            kind: self.pool.kind(AssetKind { key: key.into(), factor, layers }),
            own: None,
            href,
            bytes: asset.file_size,
            checksum: asset.file_checksum.as_deref().map(Fingerprint::of),
        })
    }

    fn assets(
        &self,
        item: &Item,
        raster: &Raster,
    ) -> Result<(Grid, Vec<SceneAsset>, Option<f64>), CollectError> {
        let layers = self.wanted(item, raster)?;
        let judged = raster.offset_rule == OffsetRule::Sentinel2Baseline;
        let declared = |axis: usize| {
            let mut all = layers.iter().flat_map(|(key, l)| l.iter().map(move |l| (*key, l)));
            let (key, &(_, band)) = all.find(|(_, l)| l.0 == Layer::Band(axis))?;
            item.assets[key].declared_offset(band)
        };
        let declared = (0..self.bands.len()).filter(|_| judged).find_map(declared);
        let mut grids = Vec::new();
        for (&key, layers) in &layers {
            grids.push((key, asset_grid(item, key, raster.pixel_m)?, layers.clone()));
        }
        let ten_m = grids
            .iter()
            .map(|(_, grid, _)| grid)
            .min_by(|a, b| a.georef.px_m.total_cmp(&b.georef.px_m));
        let mut grid =
            *ten_m.ok_or_else(|| fault(&item.id, "assets", "none", "correct the item"))?;
        if grid.georef.px_m == 2.0 * raster.pixel_m {
            grid.georef.px_m = raster.pixel_m;
            (grid.rows, grid.cols) = (grid.rows * 2, grid.cols * 2);
        }
        let mut assets = Vec::new();
        for (key, own, layers) in grids {
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
            assets.push(self.asset(item, key, factor, layers)?);
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
    keys: &[String],
    name: &str,
) -> Option<(&'a str, usize)> {
    let place = |asset: &Asset| {
        asset.band_names().position(|b| b.is_some_and(|b| b.eq_ignore_ascii_case(name)))
    };
    for candidate in keys.iter().map(String::as_str).chain([name]) {
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

fn asset_grid(item: &Item, key: &str, pixel_m: f64) -> Result<Grid, CollectError> {
    let Own { grid, rows, cols } = own_grid(item, key)?;
    let PixelGrid { epsg, x0, y0, dx, dy } = grid;
    if dx != dy || ![pixel_m, 2.0 * pixel_m].contains(&dx) {
        let reason = format!("its pixels are {dx} × {dy} m");
        let remedy = "only the sensor's own pixels and exactly twice that are read";
        return Err(fault(&item.id, format!("asset {key}"), reason, remedy));
    }
    Ok(Grid { georef: Georef { epsg, x0_m: x0, y0_m: y0, px_m: dx }, rows, cols })
}

/// The grid that an item states for an asset.
fn own_grid(item: &Item, key: &str) -> Result<Own, CollectError> {
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
    let sane = |v: f64| v.is_finite() && v > 0.0;
    if b != 0.0 || d != 0.0 || !sane(px) || !sane(-py) || !x0.is_finite() || !y0.is_finite() {
        let reason = format!("its pixels are {px} × {py}, turned by {b} and {d}");
        return Err(fault(&item.id, part(), reason, "only north-up pixels are read"));
    }
    if rows == 0 || cols == 0 || rows.max(cols) > 1 << 20 {
        return Err(fault(&item.id, part(), format!("its shape is {rows} × {cols}"), remedy));
    }
    Ok(Own { grid: PixelGrid { epsg, x0, y0, dx: px, dy: -py }, rows, cols })
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
