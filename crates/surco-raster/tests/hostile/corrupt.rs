//! Real files, broken where it hurts: in their tags, links and blocks, and anywhere.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ndarray::Array3;
use proptest::prelude::*;
use surco_core::Georef;
use surco_raster::cog::{CogOptions, Overviews, Sample, write_cog};

use crate::forge::Anatomy;
use crate::read::survive;

const GRID: Georef = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_300_000.0, px_m: 10.0 };

/// Files made by GDAL: tiles and strips, one band and several, with every predictor and with none.
const FIXTURES: [&str; 5] =
    ["cog_u16.tif", "cog_big_u8.tif", "planar_i16.tif", "strips_f32.tif", "plain_u16.tif"];

/// Our own files of every type, with two overviews, and those of GDAL.
fn originals() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let fixture = |name: &&str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
            std::fs::read(path).unwrap()
        };
        let mut files: Vec<Vec<u8>> = FIXTURES.iter().map(fixture).collect();
        files.extend([own::<u8>(1), own::<u16>(1), own::<i16>(2), own::<f32>(1)]);
        files
    })
}

fn own<T: Sample>(bands: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let image = Array3::from_shape_fn((bands, 40, 1100), |(band, row, col)| {
        T::from_f64(((band * 31 + row * 7 + col / 5) % 120) as f64)
    });
    let options = CogOptions {
        block_px: 64,
        nodata: Some(0.0),
        overviews: Overviews::Nearest,
        ..CogOptions::default()
    };
    write_cog(&path, image.view(), GRID, &options).unwrap();
    std::fs::read(path).unwrap()
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Blow {
    /// A byte becomes another.
    Byte(f64, u8),
    /// A tag's number, kind, count or value becomes an extreme one.
    Field(f64, u8, u8),
    /// A tag takes the place of another.
    Twice(f64, f64),
    /// A tag's values are those of another.
    Overlap(f64, f64),
    /// A directory is followed by another one, perhaps itself.
    Link(f64, f64),
    /// A directory is followed by any bytes.
    Astray(f64, f64),
    /// The file ends here.
    Cut(f64),
    /// Part of the file is zero.
    Zero(f64, f64),
}

fn blow() -> impl Strategy<Value = Blow> {
    let share = || 0.0..1.0_f64;
    prop_oneof![
        3 => (share(), any::<u8>()).prop_map(|(at, value)| Blow::Byte(at, value)),
        6 => (share(), 0..4_u8, any::<u8>()).prop_map(|(at, part, how)| Blow::Field(at, part, how)),
        1 => (share(), share()).prop_map(|(at, from)| Blow::Twice(at, from)),
        2 => (share(), share()).prop_map(|(at, from)| Blow::Overlap(at, from)),
        1 => (share(), share()).prop_map(|(at, to)| Blow::Link(at, to)),
        1 => (share(), share()).prop_map(|(at, to)| Blow::Astray(at, to)),
        1 => share().prop_map(Blow::Cut),
        1 => (share(), share()).prop_map(|(at, len)| Blow::Zero(at, len)),
    ]
}

/// The extreme numbers, one for each `how`.
fn extreme(how: u8, len: usize) -> u64 {
    let len = len as u64;
    let extremes = [
        0,
        1,
        2,
        3,
        15,
        16,
        255,
        4096,
        65_535,
        65_536,
        len - 1,
        len,
        len + 1,
        2 * len,
        1 << 24,
        (1 << 31) - 1,
        1 << 31,
        u64::from(u32::MAX) - 1,
        u64::from(u32::MAX),
        u64::MAX / 2,
        u64::MAX,
    ];
    extremes[usize::from(how) % extremes.len()]
}

fn strike(file: &mut Vec<u8>, anatomy: &Anatomy, blow: &Blow) {
    let len = file.len();
    let place = |share: f64, of: usize| ((share * of as f64) as usize).min(of - 1);
    let entry = |share: f64| anatomy.entries[place(share, anatomy.entries.len())];
    let link = |share: f64| anatomy.links[place(share, anatomy.links.len())];
    let (entry_len, wide) = if anatomy.big { (20, 8) } else { (12, 4) };
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(target) = file.get_mut(at..at + bytes.len()) {
            target.copy_from_slice(bytes);
        }
    };
    match *blow {
        Blow::Byte(at, value) => put(place(at, len), &[value]),
        Blow::Field(at, part, how) => {
            let value = extreme(how, len).to_le_bytes();
            match part {
                0 => put(entry(at), &value[..2]),
                1 => put(entry(at) + 2, &u16::from(how % 20).to_le_bytes()),
                2 => put(entry(at) + 4, &value[..wide]),
                _ => put(entry(at) + 4 + wide, &value[..wide]),
            }
        }
        Blow::Twice(at, from) => {
            let copied = file.get(entry(from)..entry(from) + entry_len).map(<[u8]>::to_vec);
            copied.into_iter().for_each(|bytes| {
                file.get_mut(entry(at)..entry(at) + entry_len)
                    .into_iter()
                    .for_each(|target| target.copy_from_slice(&bytes));
            });
        }
        Blow::Overlap(at, from) => {
            let (to, from) = (entry(at) + 4 + wide, entry(from) + 4 + wide);
            if to + wide <= len && from + wide <= len {
                file.copy_within(from..from + wide, to);
            }
        }
        Blow::Link(at, to) => {
            // A directory begins before its first entry; the link before it says where.
            let from = link(to);
            if from + wide <= len {
                let target = file[from..from + wide].to_vec();
                let at = link(at);
                file.get_mut(at..at + wide)
                    .into_iter()
                    .for_each(|place| place.copy_from_slice(&target));
            }
        }
        Blow::Astray(at, to) => put(link(at), &(place(to, len) as u64).to_le_bytes()[..wide]),
        Blow::Cut(at) => file.truncate(place(at, len)),
        Blow::Zero(at, share) => {
            let at = place(at, len);
            let end = at + place(share, len - at);
            file[at..end].fill(0);
        }
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    (folder, path)
}

#[test]
fn unbroken_files_are_within_the_limits_too() {
    let (_folder, path) = scratch();
    for (i, file) in originals().iter().enumerate() {
        assert!(survive(file, &path), "file {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn broken_files_give_an_error_or_pixels_of_the_declared_shape(
        which in any::<proptest::sample::Index>(),
        blows in proptest::collection::vec(blow(), 1..6),
    ) {
        let original = which.get(originals());
        let anatomy = Anatomy::of(original);
        let mut file = original.clone();
        for blow in blows.iter().filter(|b| !matches!(b, Blow::Cut(_))) {
            strike(&mut file, &anatomy, blow);
        }
        // Last, because nothing can be struck behind the end.
        for cut in blows.iter().filter(|b| matches!(b, Blow::Cut(_))).take(1) {
            strike(&mut file, &anatomy, cut);
        }
        let (_folder, path) = scratch();
        survive(&file, &path);
    }
}
