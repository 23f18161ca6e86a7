//! Tests that span reading and writing.

use std::path::{Path, PathBuf};

use ndarray::{Array3, s};
use proptest::prelude::*;
use surco_core::{Fault, Georef, Legend, Window};

use super::*;

const GRID: Georef = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_300_000.0, px_m: 10.0 };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The formula of `fixtures/make_cogs.py`.
fn formula(shape: (usize, usize, usize)) -> Array3<f64> {
    let value = |(b, y, x): (usize, usize, usize)| (37 * b + y * y / 16 + 3 * x + y * x / 64) % 251;
    Array3::from_shape_fn(shape, |at| value(at) as f64)
}

fn check<T: Sample + std::fmt::Debug>(name: &str, scale: f64, shift: f64) -> Header {
    let file = CogFile::open(fixture(name)).unwrap();
    let header = file.header().clone();
    let shape = (header.bands, header.height, header.width);
    let wanted = formula(shape).mapv(|v| T::from_f64(v * scale + shift));
    assert!(file.read::<T>(header.window()).unwrap() == wanted, "{name}");
    let part = Window { row: 7, col: 5, rows: 31, cols: 11 };
    if part.intersect(&header.window()) == Some(part) {
        let wanted = wanted.slice(s![.., 7..38, 5..16]);
        assert!(file.read::<T>(part).unwrap() == wanted, "{name}, part");
    }
    assert_eq!((header.georef, header.nodata), (Some(GRID), Some(0.0)), "{name}");
    header
}

#[test]
fn files_made_by_gdal_are_read_bit_by_bit() {
    let cog = check::<u16>("cog_u16.tif", 200.0, 0.0);
    assert_eq!((cog.block, cog.predictor, cog.strips), ((128, 128), Predictor::Horizontal, false));
    assert_eq!(cog.overviews.len(), 3);
    assert_eq!((cog.overviews[0].height, cog.overviews[0].width), (70, 265));
    assert_eq!(cog.overviews[1].georef.map(|g| g.px_m), Some(40.0));
    let big = check::<u8>("cog_big_u8.tif", 1.0, 0.0);
    assert_eq!((big.bands, big.planar), (2, Planar::Chunky));
    let planar = check::<i16>("planar_i16.tif", 200.0, -20_000.0);
    assert_eq!((planar.block, planar.planar), ((32, 16), Planar::Separate));
    let strips = check::<f32>("strips_f32.tif", 0.125, 0.0);
    assert_eq!((strips.strips, strips.predictor), (true, Predictor::Float));
    let plain = check::<u16>("plain_u16.tif", 200.0, 0.0);
    assert_eq!(plain.compression, Compression::None);
}

#[test]
fn refusals_say_what_was_found_and_what_to_do() {
    let refusal = |name: &str| CogFile::open(fixture(name)).unwrap_err();
    insta::assert_snapshot!(refusal("lzw.tif"), @"compression 5 (LZW) is not read here: expected 1 (none), 8 or 32946 (deflate); rewrite it with `gdal_translate -of COG -co COMPRESS=DEFLATE`");
    insta::assert_snapshot!(refusal("big_endian.tif"), @"byte order big-endian (MM) is not read here: expected little-endian (II); rewrite it with `gdal_translate -of COG -co COMPRESS=DEFLATE`");
    insta::assert_snapshot!(refusal("make_cogs.py"), @"no TIFF: begins with bytes [23, 21, 2f, 75], expected 49 49 2a 00 or 49 49 2b 00");
    assert_eq!(refusal("lzw.tif").fault(), Fault::Input);
    assert_eq!(refusal("nowhere.tif").fault(), Fault::Input);
    let file = CogFile::open(fixture("plain_u16.tif")).unwrap();
    let far = Window { row: 30, col: 0, rows: 4, cols: 1 };
    insta::assert_snapshot!(file.read_u16(far).unwrap_err(), @"window of 4 rows and 1 columns from row 30, column 0 is not inside the image of 33 rows and 20 columns");
    let huge = Window { row: usize::MAX, col: 1, rows: usize::MAX, cols: 1 };
    assert!(matches!(file.read_u16(huge), Err(CogError::Window { .. })));
    insta::assert_snapshot!(file.read_u8(file.header().window()).unwrap_err(), @"samples are uint16, asked for as uint8");
}

/// As a client does that fetches ranges over a network.
#[test]
fn a_header_is_read_from_a_growing_prefix_and_blocks_from_ranges() {
    let bytes = std::fs::read(fixture("cog_u16.tif")).unwrap();
    let mut len = 0;
    let mut rounds = 0;
    let header = loop {
        match Header::parse(&bytes[..len]).unwrap() {
            Parsed::Header(header) => break *header,
            Parsed::NeedMore { bytes } => {
                assert!(bytes as usize > len);
                len = bytes as usize;
                rounds += 1;
            }
        }
    };
    assert!(len < 2000 && rounds < 40, "{len} bytes in {rounds} rounds");
    header.check_len(bytes.len() as u64).unwrap();
    assert!(header.check_len(bytes.len() as u64 - 100).is_err());
    let window = Window { row: 120, col: 250, rows: 10, cols: 10 };
    assert_eq!(header.blocks_for(0, window), [1, 2, 6, 7]);
    assert!(header.blocks_for(1, window).is_empty());
    assert_eq!(header.blocks_for(0, Window { row: 130, col: 520, rows: 99, cols: 99 }), [9]);
    let wanted = formula((1, 140, 530)).mapv(|v| (v * 200.0) as u16);
    for block in 0..header.blocks.len() {
        let range = header.byte_range(block).unwrap();
        let bytes = &bytes[range.start as usize..range.end as usize];
        let decoded = decode_block::<u16>(&header, block, bytes).unwrap();
        let w = decoded.window;
        let part = wanted.slice(s![.., w.row..w.row + w.rows, w.col..w.col + w.cols]);
        assert!(decoded.samples == part, "block {block}");
        let short = decode_block::<u16>(&header, block, &bytes[1..]);
        assert!(matches!(short, Err(CogError::BlockLength { .. })));
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 0x10;
        let flipped = decode_block::<u16>(&header, block, &flipped);
        assert!(matches!(flipped, Err(CogError::Inflate { .. })), "Adler-32 must tell");
    }
}

#[test]
fn a_class_map_keeps_its_colours_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.tif");
    let legend = Legend::from_names(&["trigo", "maíz & <otros>"]).unwrap();
    let image = Array3::from_shape_fn((1, 600, 10), |(_, y, _)| (y / 250) as u8);
    write_cog(&path, image.view(), GRID, &CogOptions::classes(legend)).unwrap();
    let names = folder.path().join("map.tif.aux.xml");
    insta::assert_snapshot!(std::fs::read_to_string(&names).unwrap());
    let file = CogFile::open(&path).unwrap();
    assert_eq!(file.header().overviews.len(), 1);
    let half = file.header().overviews[0].window();
    assert_eq!(file.read_overview::<u8>(0, half).unwrap()[[0, 200, 3]], 1);
    assert!(matches!(file.read_overview::<u8>(1, half), Err(CogError::NoOverview { .. })));
    write_cog(&path, image.view(), GRID, &CogOptions::default()).unwrap();
    assert!(!names.exists(), "names of an older map must not stay");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn options_that_do_not_go_together_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let image = Array3::<u16>::zeros((2, 5, 5));
    let refusal = |options: CogOptions| {
        let error = write_cog(&path, image.view(), GRID, &options).unwrap_err();
        assert_eq!(error.fault(), Fault::Usage);
        error.to_string()
    };
    let default = CogOptions::default;
    insta::assert_snapshot!(refusal(CogOptions { block_px: 100, ..default() }), @"cannot write this raster: block_px is 100, expected a multiple of 16 from 16 to 16384");
    insta::assert_snapshot!(refusal(CogOptions { deflate_level: 0, ..default() }), @"cannot write this raster: deflate_level is 0, expected 1 to 12");
    insta::assert_snapshot!(refusal(CogOptions { palette: Some(vec![]), ..default() }), @"cannot write this raster: palette or legend is given for 2 bands of uint16, expected one band of uint8");
    insta::assert_snapshot!(refusal(CogOptions { band_names: vec!["a".into()], ..default() }), @"cannot write this raster: band_names is 1 band names, expected none or 2");
    let empty = write_cog(&path, Array3::<u8>::zeros((1, 0, 4)).view(), GRID, &default());
    assert!(matches!(empty, Err(CogError::Options { .. })));
    let mut short = CogWriter::<u16>::create(&path, (2, 6, 5), GRID, &default()).unwrap();
    short.push(image.view()).unwrap();
    assert!(short.push(image.view()).is_err(), "more rows than the image has");
    insta::assert_snapshot!(short.finish().unwrap_err(), @"cannot write this raster: number of rows pushed is 5, expected 6");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = folder.path().join("none").join("a.tif");
    let error = write_cog(&nowhere, image.view(), GRID, &default()).unwrap_err();
    assert!(matches!(error, CogError::Io { .. }), "{error}");
}

/// Any bits, NaN of floats among them.
fn noise<T: Sample>(shape: (usize, usize, usize), seed: u64) -> Array3<T> {
    let mut state = seed | 1;
    Array3::from_shape_simple_fn(shape, || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Runs and repeats, as images have them, between the noise.
        let word = if state >> 62 == 0 { 0 } else { state >> 20 };
        T::read_le(&word.to_le_bytes()[..T::KIND.bytes()])
    })
}

fn bits<T: Sample>(image: &Array3<T>) -> Vec<u8> {
    let mut out = vec![0; image.len() * T::KIND.bytes()];
    for (sample, slot) in image.iter().zip(out.chunks_exact_mut(T::KIND.bytes())) {
        sample.write_le(slot);
    }
    out
}

fn round_trip<T: Sample>(shape: (usize, usize, usize), block_px: usize, seed: u64, step: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let options = CogOptions { block_px, nodata: Some(0.0), ..CogOptions::default() };
    let image = noise::<T>(shape, seed);
    write_cog(&path, image.view(), GRID, &options).unwrap();
    let file = CogFile::open(&path).unwrap();
    assert_eq!(file.header().georef, Some(GRID));
    let read = file.read::<T>(file.header().window()).unwrap();
    assert!(bits(&read) == bits(&image), "{shape:?}, block {block_px}");
    let (row, col) = (seed as usize % shape.1, (seed >> 32) as usize % shape.2);
    let part = Window { row, col, rows: shape.1 - row, cols: (shape.2 - col).div_ceil(2) };
    let wanted = image.slice(s![.., row.., col..col + part.cols]).to_owned();
    assert!(bits(&file.read::<T>(part).unwrap()) == bits(&wanted), "{part:?}");
    // Row by row gives the same bytes as all at once.
    let streamed = folder.path().join("b.tif");
    let mut writer = CogWriter::<T>::create(&streamed, shape, GRID, &options).unwrap();
    for start in (0..shape.1).step_by(step) {
        writer.push(image.slice(s![.., start..(start + step).min(shape.1), ..])).unwrap();
    }
    writer.finish().unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&streamed).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read_back(
        shape in (1..5_usize, 1..150_usize, 1..150_usize),
        block in 1..9_usize,
        seed in any::<u64>(),
        step in 1..100_usize,
    ) {
        round_trip::<u8>(shape, block * 16, seed, step);
        round_trip::<u16>(shape, block * 16, seed, step);
        round_trip::<i16>(shape, block * 16, seed, step);
        round_trip::<f32>(shape, block * 16, seed, step);
    }
}

#[test]
fn large_images_with_overviews_come_back() {
    round_trip::<u8>((1, 1024, 1024), 1024, 3, 333);
    round_trip::<u16>((2, 1300, 700), 256, 4, 256);
    round_trip::<f32>((1, 513, 2049), 512, 5, 1);
}

/// Opens and reads whatever these bytes are: it may fail, not panic.
fn survive(bytes: &[u8], path: &Path) {
    let _ = Header::parse(bytes);
    std::fs::write(path, bytes).unwrap();
    let Ok(file) = CogFile::open(path) else { return };
    let header = file.header();
    // A damaged size may ask for gigabytes, which are refused or fail only after allocation.
    let window =
        Window { row: 0, col: 0, rows: header.height.min(2000), cols: header.width.min(2000) };
    match header.sample {
        SampleKind::U8 => drop(file.read::<u8>(window)),
        SampleKind::U16 => drop(file.read::<u16>(window)),
        SampleKind::I16 => drop(file.read::<i16>(window)),
        SampleKind::F32 => drop(file.read::<f32>(window)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_are_refused_without_panic(
        which in 0..5_usize,
        // Mostly where directories lie.
        places in proptest::collection::vec((0.0..1.0_f64, any::<u8>(), any::<bool>()), 1..8),
        cut in proptest::option::of(0.0..1.0_f64),
    ) {
        let names =
            ["cog_u16.tif", "cog_big_u8.tif", "planar_i16.tif", "strips_f32.tif", "plain_u16.tif"];
        let mut bytes = std::fs::read(fixture(names[which])).unwrap();
        let len = bytes.len();
        for (at, value, early) in places {
            let span = if early { len.min(1500) } else { len };
            bytes[(at * span as f64) as usize] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate((cut * len as f64) as usize);
        }
        let folder = tempfile::tempdir().unwrap();
        survive(&bytes, &folder.path().join("a.tif"));
    }

    #[test]
    fn any_bytes_are_refused_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), big in any::<bool>()) {
        let start: &[u8] = if big { &[0x49, 0x49, 43, 0, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0] }
            else { &[0x49, 0x49, 42, 0, 8, 0, 0, 0] };
        bytes.splice(0..0, start.iter().copied());
        let folder = tempfile::tempdir().unwrap();
        survive(&bytes, &folder.path().join("a.tif"));
    }
}

/// A tag of a classic file as GDAL's own bytes hold it.
fn patch(bytes: &mut [u8], tag: u16, value: u32) {
    let ifd = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(bytes[ifd..ifd + 2].try_into().unwrap()) as usize;
    for entry in bytes[ifd + 2..ifd + 2 + 12 * count].chunks_exact_mut(12) {
        if entry[..2] == tag.to_le_bytes() {
            entry[2..4].copy_from_slice(&4_u16.to_le_bytes());
            entry[4..8].copy_from_slice(&1_u32.to_le_bytes());
            entry[8..12].copy_from_slice(&value.to_le_bytes());
            return;
        }
    }
    panic!("no tag {tag}");
}

#[test]
fn hostile_numbers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let good = std::fs::read(fixture("planar_i16.tif")).unwrap();
    let refusal = |tag: u16, value: u32| {
        let mut bytes = good.clone();
        patch(&mut bytes, tag, value);
        std::fs::write(&path, &bytes).unwrap();
        CogFile::open(&path).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refusal(322, 0), @"damaged TIFF: columns of a block is 0, expected 1 to 2^31");
    insta::assert_snapshot!(refusal(322, 1 << 30), @"one block would take 34359738368 bytes, over the limit of 268435456");
    insta::assert_snapshot!(refusal(256, 0), @"damaged TIFF: width is 0, expected 1 to 2^31");
    insta::assert_snapshot!(refusal(256, 1 << 31), @"damaged TIFF: number of block offsets is 30, expected 1006632960");
    insta::assert_snapshot!(refusal(277, 70_000), @"damaged TIFF: number of bands is 70000, expected 1 to 65535");
    insta::assert_snapshot!(refusal(324, 7), @"damaged TIFF: number of block offsets is 1, expected 30");
    insta::assert_snapshot!(refusal(284, 9), @"damaged TIFF: planar configuration is 9, expected 1 or 2");
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    std::fs::write(&path, &cut).unwrap();
    insta::assert_snapshot!(CogFile::open(&path).unwrap_err(), @"truncated TIFF: a block needs bytes up to 4742, the file has 2371; copy or make it again");
}

/// Over 4 GiB offsets take 8 bytes. Slow and 10 GB of disk: run by hand, then look at the file with GDAL.
#[test]
#[ignore = "writes 5 GB"]
fn large_files_are_big_tiffs() {
    let folder =
        std::env::var("SURCO_BIG_FOLDER").map_or_else(|_| std::env::temp_dir(), Into::into);
    let path = folder.join("big.tif");
    let (rows, cols) = (24_000, 50_000);
    let options = CogOptions { deflate_level: 1, ..CogOptions::default() };
    let mut writer = CogWriter::<f32>::create(&path, (1, rows, cols), GRID, &options).unwrap();
    for start in (0..rows).step_by(500) {
        writer.push(unit_noise(start as u64, cols).view()).unwrap();
    }
    writer.finish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > u64::from(u32::MAX));
    let file = CogFile::open(&path).unwrap();
    let part = Window { row: 23_500, col: 0, rows: 500, cols };
    assert!(file.read_f32(part).unwrap() == unit_noise(23_500, cols));
    assert_eq!(file.header().overviews.len(), 7);
}

fn unit_noise(seed: u64, cols: usize) -> Array3<f32> {
    noise::<u16>((1, 500, cols), seed + 7).mapv(|v| (f32::from(v) * 1.000_123).sin())
}

/// 64 Mi of zeros in a few bytes: refused because deflate cannot shrink that far, before allocation.
#[test]
fn a_small_block_cannot_claim_to_hold_a_large_one() {
    let Ok(Parsed::Header(mut header)) =
        Header::parse(&std::fs::read(fixture("cog_u16.tif")).unwrap())
    else {
        panic!()
    };
    header.block = (8192, 8192);
    header.blocks = vec![BlockRef { offset: 0, len: 100 }];
    let error = decode_block::<u16>(&header, 0, &[0x78; 100]).unwrap_err();
    insta::assert_snapshot!(error, @"block 0 does not decompress: 100 bytes cannot hold the 134217728 of a block");
}
