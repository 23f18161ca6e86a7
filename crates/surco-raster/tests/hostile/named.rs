//! Attacks by name, each refused or borne.

use std::path::PathBuf;

use surco_raster::cog::{CogError, CogFile, Header, Parsed};

use crate::allocator::most_held;
use crate::forge::{Forge, Tag, deflated};
use crate::read::{alone, refusal, survive};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    (folder, path)
}

/// One tile of zeros: 256 bytes in a few.
fn small() -> (Vec<u8>, Forge) {
    let data = deflated(&[0; 256]);
    let len = data.len() as u64;
    (data, Forge::tiled(16, 16, vec![8], vec![len]))
}

#[test]
fn a_forged_file_is_read_if_nothing_is_wrong_with_it() {
    let (data, good) = small();
    let (_folder, path) = scratch();
    assert!(survive(&Forge::file(&[good], &data), &path));
    let file = CogFile::open(&path).unwrap();
    assert_eq!(file.read_u8(file.header().window()).unwrap().dim(), (1, 16, 16));
}

/// 63 overviews whose lists are those of the main image: 16 bytes a block and directory in memory, 2 a
/// block in the file, were 500 times the file.
#[test]
fn directories_that_share_a_list_do_not_multiply_it() {
    let blocks = 250_000;
    let side = |blocks: u64| Tag(256, 4, vec![blocks * 16]);
    let lists = vec![8_u64; blocks as usize];
    let main = Forge::tiled(16, 16, lists.clone(), lists).with(side(blocks));
    // The lists of the first directory are written; those of the others must point to them.
    let alone = Forge::file(std::slice::from_ref(&main), &[]);
    let at = |tag: u16| {
        let entries = alone.len() - 4 - 12 * main.0.len();
        let place = main.0.iter().position(|t| t.0 == tag).unwrap();
        let value = entries + 12 * place + 8;
        u64::from(u32::from_le_bytes(alone[value..value + 4].try_into().unwrap()))
    };
    let copy = main.clone().with(Tag(254, 4, vec![1])).with(Tag(324, 4, vec![at(324)])).with(Tag(
        325,
        4,
        vec![at(325)],
    ));
    let mut all = vec![main];
    all.extend(vec![copy; 63]);
    let mut file = Forge::file(&all, &[]);
    // An offset is written as one value; what it stands for is many.
    let entry: Vec<usize> = (0..file.len() - 12)
        .filter(|&i| matches!(file[i..i + 8], [0x44 | 0x45, 1, 4, 0, 1, 0, 0, 0]))
        .collect();
    assert_eq!(entry.len(), 126);
    for i in entry {
        file[i + 4..i + 8].copy_from_slice(&(blocks as u32).to_le_bytes());
    }
    let (error, most) = most_held(|| refusal(&file));
    insta::assert_snapshot!(error, @"damaged TIFF: number of blocks is 750000, expected at most 502015 in 2008060 bytes");
    assert!(most < 12 * file.len(), "{most} bytes of a file of {}", file.len());
}

#[test]
fn lists_of_single_bytes_are_refused() {
    let (data, good) = small();
    let lens = good.with(Tag(325, 1, vec![11]));
    insta::assert_snapshot!(refusal(&Forge::file(&[lens], &data)), @"damaged TIFF: type of a tag's value is bytes, expected 2, 4 or 8 bytes each in tag 325");
}

#[test]
fn a_nodata_value_of_megabytes_is_refused_before_it_is_read() {
    let (data, good) = small();
    let digits = vec![u64::from(b'1'); 4 << 20];
    let file = Forge::file(&[good.with(Tag(42113, 2, digits))], &data);
    let (error, most) = most_held(|| refusal(&file));
    insta::assert_snapshot!(error, @"damaged TIFF: number of values of a tag is 4194304, expected at most 256 in tag 42113");
    assert!(most < 4096, "{most}");
}

#[test]
fn an_overview_larger_than_its_image_is_refused() {
    let (data, good) = small();
    let len = data.len() as u64;
    let larger = Forge::tiled(32, 16, vec![8; 2], vec![len; 2]).with(Tag(254, 4, vec![1]));
    insta::assert_snapshot!(refusal(&Forge::file(&[good, larger], &data)), @"damaged TIFF: size of an overview is 32 x 16, expected at most 16 x 16");
}

#[test]
fn an_overview_of_other_samples_is_none_of_the_image() {
    let (data, good) = small();
    let wide = good.clone().with(Tag(254, 4, vec![1])).with(Tag(258, 3, vec![16]));
    let same = good.clone().with(Tag(254, 4, vec![1]));
    let Ok(Parsed::Header(header)) = Header::parse(&Forge::file(&[good, wide, same], &data)) else {
        panic!("it is refused")
    };
    assert_eq!(header.overviews.len(), 1);
    assert_eq!(header.overviews[0].sample, header.sample);
}

#[test]
fn directories_in_a_circle_are_refused() {
    let (data, good) = small();
    let overview = good.clone().with(Tag(254, 4, vec![1]));
    let mut file = Forge::file(&[good, overview.clone(), overview], &data);
    let end = file.len();
    let first: [u8; 4] = file[4..8].try_into().unwrap();
    file[end - 4..].copy_from_slice(&first);
    let error = refusal(&file).to_string();
    assert!(error.contains("chain of directories"), "{error}");
}

/// A megabyte of zeros in a kilobyte, in the place of a block of 256 bytes.
#[test]
fn a_stream_that_inflates_to_more_than_its_block_is_refused_within_a_block() {
    let bomb = deflated(&vec![0; 1 << 20]);
    let len = bomb.len() as u64;
    let file = Forge::file(&[Forge::tiled(16, 16, vec![8], vec![len])], &bomb);
    let (_folder, path) = scratch();
    assert!(survive(&file, &path), "the header is right");
    let opened = CogFile::open(&path).unwrap();
    let error = opened.read_u8(opened.header().window()).unwrap_err();
    assert!(matches!(error, CogError::Inflate { .. }), "{error}");
}

#[test]
fn a_stream_that_inflates_to_less_than_its_block_is_refused() {
    let short = deflated(&[0; 255]);
    let len = short.len() as u64;
    let file = Forge::file(&[Forge::tiled(16, 16, vec![8], vec![len])], &short);
    let (_folder, path) = scratch();
    assert!(survive(&file, &path));
    let opened = CogFile::open(&path).unwrap();
    insta::assert_snapshot!(opened.read_u8(opened.header().window()).unwrap_err(), @"block 0 does not decompress: 255 bytes came out, a block has 256");
}

/// Tiles of 128 MB that are all nodata, of which a window meets sixteen: read a few at a time.
#[test]
fn large_blocks_are_not_held_all_at_once() {
    let (_folder, path) = scratch();
    let side = 11_584;
    let huge = Forge::tiled(side * 4, side * 4, vec![0; 16], vec![0; 16])
        .with(Tag(322, 4, vec![side]))
        .with(Tag(323, 4, vec![side]));
    std::fs::write(&path, Forge::file(&[huge], &[])).unwrap();
    let file = CogFile::open(&path).unwrap();
    let middle = side as usize - 1;
    let window =
        surco_core::Window { row: middle, col: middle, rows: 2, cols: 2 * side as usize + 2 };
    let (read, most) = alone(|| file.read_u8(window));
    assert_eq!(read.unwrap().sum(), 0);
    assert!(most < 280 << 20, "{most}");
}

#[test]
fn a_code_that_only_looks_like_a_system_once_cut_is_refused() {
    let (data, good) = small();
    let keys = vec![1, 1, 0, 1, 3072, 0, 1, (1 << 32) + 32719];
    let grid = good
        .with(Tag(34735, 16, keys))
        .with(Tag(33550, 16, vec![10.0_f64.to_bits(), 10.0_f64.to_bits(), 0]))
        .with(Tag(33922, 16, vec![0, 0, 0, 0, 0, 0]));
    let mut file = Forge::file(&[grid], &data);
    // The forge knows no floats: the bits are theirs already.
    for tag in [33550_u16, 33922] {
        let at = file.windows(4).position(|w| w[..2] == tag.to_le_bytes() && w[2..] == [16, 0]);
        file[at.unwrap() + 2] = 12;
    }
    insta::assert_snapshot!(refusal(&file), @"georeference not usable: coordinate system 4295000015, expected an EPSG code; warp it with `gdalwarp -t_srs EPSG:… -tr …`");
}
