//! The first bytes of a Cloud Optimized GeoTIFF: directories that say where every block lies.

use std::fmt::Write as _;

use surco_core::Georef;

use super::encode::predictor_of;
use super::geo::write_georef;
use super::ifd::{Width, tag};
use super::options::CogOptions;
use super::pam::escape;
use super::sample::SampleKind;

/// What GDAL looks for behind the first 8 or 16 bytes, to fetch a block and its size in one request.
///
/// # Source
/// GDAL, *COG driver*, "Header ghost area".
const GHOST: &str = "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n\
                     BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n ";

/// Bytes before a block that state its size, and after it that repeat its last ones.
pub(crate) const LEADER_BYTES: u64 = 4;

/// An image or an overview whose blocks are made.
#[derive(Debug)]
pub(crate) struct Layer<'w> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) block_px: usize,
    /// Place of each block in the layer's own bytes, and its length.
    pub(crate) blocks: &'w [(u64, u64)],
    /// All bytes of the layer, leaders and trailers among them.
    pub(crate) bytes: u64,
}

/// What all layers share.
#[derive(Debug)]
pub(crate) struct Frame<'w> {
    pub(crate) bands: usize,
    pub(crate) kind: SampleKind,
    pub(crate) georef: Georef,
    pub(crate) options: &'w CogOptions,
}

struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    bytes: Vec<u8>,
}

fn shorts(tag: u16, values: &[u16]) -> Entry {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Entry { tag, kind: 3, count: values.len() as u64, bytes }
}

fn long(tag: u16, value: usize) -> Entry {
    Entry { tag, kind: 4, count: 1, bytes: (value as u32).to_le_bytes().to_vec() }
}

fn longs(tag: u16, values: impl Iterator<Item = u64>, width: Width) -> Entry {
    let size = if width == Width::Big { 8 } else { 4 };
    let bytes: Vec<u8> = values.flat_map(|v| v.to_le_bytes().into_iter().take(size)).collect();
    let kind = if width == Width::Big { 16 } else { 4 };
    Entry { tag, kind, count: (bytes.len() / size) as u64, bytes }
}

fn doubles(tag: u16, values: &[f64]) -> Entry {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Entry { tag, kind: 12, count: values.len() as u64, bytes }
}

fn text(tag: u16, value: &str) -> Entry {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    Entry { tag, kind: 2, count: bytes.len() as u64, bytes }
}

/// Everything before the first block: header, ghost area, directories, largest image first.
///
/// `layers` begins with the image itself; their bytes follow in the file from last to first.
pub(crate) fn assemble(layers: &[Layer<'_>], frame: &Frame<'_>) -> Vec<u8> {
    // Offsets do not change the length of directories, so one pass with any offsets measures them.
    let data: u64 = layers.iter().map(|layer| layer.bytes).sum();
    let probe = directories(layers, frame, Width::Big, 0);
    let width =
        if data + probe.len() as u64 > u64::from(u32::MAX) { Width::Big } else { Width::Classic };
    let len = directories(layers, frame, width, 0).len() as u64;
    directories(layers, frame, width, len)
}

fn directories(layers: &[Layer<'_>], frame: &Frame<'_>, width: Width, data_at: u64) -> Vec<u8> {
    let ghost = format!("GDAL_STRUCTURAL_METADATA_SIZE={:06} bytes\n{GHOST}", GHOST.len());
    let mut out = match width {
        Width::Classic => vec![0x49, 0x49, 42, 0, 0, 0, 0, 0],
        Width::Big => [&[0x49, 0x49, 43, 0, 8, 0, 0, 0][..], &[0; 8]].concat(),
    };
    out.extend_from_slice(ghost.as_bytes());
    let mut link = if width == Width::Big { 8 } else { 4 };
    for (level, layer) in layers.iter().enumerate() {
        let before: u64 = layers[level + 1..].iter().map(|layer| layer.bytes).sum();
        let entries = entries(layer, frame, level, width, data_at + before);
        out.resize(out.len().next_multiple_of(8), 0);
        set_offset(&mut out, link, width);
        link = write_directory(&mut out, &entries, width);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// Writes the end of `out` as an offset at `link`.
fn set_offset(out: &mut [u8], link: usize, width: Width) {
    let size = if width == Width::Big { 8 } else { 4 };
    let end = (out.len() as u64).to_le_bytes();
    out[link..link + size].copy_from_slice(&end[..size]);
}

/// Writes a directory and the values behind it; returns where the offset of the next one goes.
fn write_directory(out: &mut Vec<u8>, entries: &[Entry], width: Width) -> usize {
    let size = if width == Width::Big { 8 } else { 4 };
    let count = (entries.len() as u64).to_le_bytes();
    out.extend_from_slice(&count[..if width == Width::Big { 8 } else { 2 }]);
    let mut holes = Vec::new();
    for entry in entries {
        out.extend_from_slice(&entry.tag.to_le_bytes());
        out.extend_from_slice(&entry.kind.to_le_bytes());
        out.extend_from_slice(&entry.count.to_le_bytes()[..size]);
        let at = out.len();
        if entry.bytes.len() <= size {
            out.extend_from_slice(&entry.bytes);
        } else {
            holes.push((at, &entry.bytes));
        }
        out.resize(at + size, 0);
    }
    let link = out.len();
    out.resize(link + size, 0);
    for (at, bytes) in holes {
        out.resize(out.len().next_multiple_of(8), 0);
        set_offset(out, at, width);
        out.extend_from_slice(bytes);
    }
    link
}

/// The tags of a layer whose bytes begin at `data_at`, in ascending order.
fn entries(
    layer: &Layer<'_>,
    frame: &Frame<'_>,
    level: usize,
    width: Width,
    data_at: u64,
) -> Vec<Entry> {
    let bands = frame.bands;
    let colours = frame.options.colours(bands);
    let mut entries = vec![
        long(tag::WIDTH, layer.width),
        long(tag::HEIGHT, layer.height),
        shorts(tag::BITS_PER_SAMPLE, &vec![frame.kind.bytes() as u16 * 8; bands]),
        shorts(tag::COMPRESSION, &[8]),
        shorts(tag::PHOTOMETRIC, &[if colours.is_some() { 3 } else { 1 }]),
        shorts(tag::SAMPLES_PER_PIXEL, &[bands as u16]),
        shorts(tag::PLANAR, &[1]),
        shorts(tag::PREDICTOR, &[predictor_of(frame.kind).code()]),
        shorts(tag::TILE_WIDTH, &[layer.block_px as u16]),
        shorts(tag::TILE_HEIGHT, &[layer.block_px as u16]),
        longs(tag::TILE_OFFSETS, layer.blocks.iter().map(|b| data_at + b.0), width),
        longs(tag::TILE_BYTES, layer.blocks.iter().map(|b| b.1), width),
        shorts(tag::SAMPLE_FORMAT, &vec![frame.kind.tiff_format(); bands]),
    ];
    if level > 0 {
        entries.push(long(tag::SUBFILE_TYPE, 1));
    }
    if bands > 1 {
        entries.push(shorts(tag::EXTRA_SAMPLES, &vec![0; bands - 1]));
    }
    if let Some(colours) = colours {
        // All reds, all greens, all blues; 255 becomes 65535.
        let channel = |c: usize| colours.iter().map(move |rgb| u16::from(rgb[c]) * 257);
        let map: Vec<u16> = (0..3).flat_map(channel).collect();
        entries.push(shorts(tag::COLOUR_MAP, &map));
    }
    if let Some(nodata) = frame.options.nodata {
        let value = if nodata.is_nan() { "nan".into() } else { nodata.to_string() };
        entries.push(text(tag::GDAL_NODATA, &value));
    }
    if level == 0 {
        let (scale, tie, keys) = write_georef(&frame.georef);
        entries.push(doubles(tag::PIXEL_SCALE, &scale));
        entries.push(doubles(tag::TIEPOINT, &tie));
        entries.push(shorts(tag::GEO_KEYS, &keys));
        entries.extend(metadata(frame.options).map(|xml| text(tag::GDAL_METADATA, &xml)));
    }
    entries.sort_by_key(|entry| entry.tag);
    entries
}

/// Band names and other items as GDAL writes them: values, but not names, are escaped twice.
///
/// # Source
/// GDAL, `frmts/gtiff/gtiffdataset_write.cpp`, `AppendMetadataItem`.
fn metadata(options: &CogOptions) -> Option<String> {
    if options.band_names.is_empty() && options.metadata.is_empty() {
        return None;
    }
    let mut xml = String::from("<GDALMetadata>\n");
    for (name, value) in &options.metadata {
        let (name, value) = (escape(name), escape(&escape(value)));
        let _ = writeln!(xml, "  <Item name=\"{name}\">{value}</Item>");
    }
    for (band, name) in options.band_names.iter().enumerate() {
        let name = escape(&escape(name));
        let _ = writeln!(
            xml,
            "  <Item name=\"DESCRIPTION\" sample=\"{band}\" role=\"description\">{name}</Item>"
        );
    }
    xml.push_str("</GDALMetadata>\n");
    Some(xml)
}
