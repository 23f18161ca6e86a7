use std::sync::Arc;

use ndarray::{Array3, Array4};
use surco_core::{Georef, S2_BANDS, Silent};
use surco_data::Cube;
use surco_net::MeteorNorm;

use super::*;

const SIDE_PX: usize = 40;

/// 40 × 40 pixels of one band on three dates; dark in the west, bright in the east, and grainy.
pub(crate) fn cube() -> Cube {
    let grain = |t: usize, y: usize, x: usize| ((7 * t + 5 * y + 3 * x) % 11) as u16 * 20;
    let dn = |(t, _, y, x): (usize, usize, usize, usize)| {
        let bright = if x < SIDE_PX / 2 { 500 } else { 4000 + 50 * (x % 2) as u16 };
        bright + grain(t, y, x)
    };
    Cube {
        cell: "19HCB/r00c00".parse().unwrap(),
        georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m: 10.0 },
        days: vec![10, 15, 20],
        bands: vec![S2_BANDS[2].into()],
        band_names: vec!["B04".into()],
        reflectance: Array4::from_shape_fn((3, 1, SIDE_PX, SIDE_PX), dn),
        scl: Array3::from_elem((3, SIDE_PX, SIDE_PX), 4),
        south: true,
    }
}

/// Every fourth pixel of the cube, its half the class, blocks of 16 pixels.
fn places(cube: Cube) -> ImagePlaces {
    let every = || (0..SIDE_PX).step_by(4);
    let pixels: Vec<(usize, usize)> =
        every().flat_map(|row| every().map(move |col| (row, col))).collect();
    let classes = pixels.iter().map(|&(_, col)| usize::from(col >= SIDE_PX / 2)).collect();
    let blocks = pixels.iter().map(|&(row, col)| (row / 16 * 8 + col / 16) as u64).collect();
    let mut chips = Chips::new(8);
    chips.add(Arc::new(cube), vec![0], pixels);
    ImagePlaces::new("halves".into(), chips, classes, blocks)
}

fn small() -> MeteorMeta {
    MeteorMeta { chip_px: 8, steps: 3, episodes: 2, ways: 2, ..MeteorMeta::default() }
}

fn trained(places: ImagePlaces, config: &MeteorMeta) -> Result<MeteorTrained, LearnError> {
    let net = MeteorConfig::for_bands(MeteorNorm::Instance, &["B04".into()]);
    meta_train_meteor(net, config, &[places], &[Device::flex()], &Silent)
}

#[test]
fn support_and_query_share_no_block_and_places_never_whole_are_not_drawn() {
    let mut holed = cube();
    holed.reflectance.slice_mut(ndarray::s![.., .., 36.., ..]).fill(0);
    let places = places(holed);
    // Chips around rows 32 and 36 reach the rows from 36 on.
    assert_eq!(places.never_whole(), 10);
    let config = MeteorMeta { shots: 3, queries: 4, ..small() };
    let region = Region::of(&places, config.counts());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20 {
        let [support, query] = region.places(&config, &mut rng);
        for (support, query) in support.into_iter().zip(query) {
            assert_eq!((support.len(), query.len()), (3, 4));
            let blocks = |drawn: &[usize]| -> Vec<u64> {
                drawn.iter().map(|&place| places.blocks[place]).collect()
            };
            let (given, asked) = (blocks(&support), blocks(&query));
            assert!(asked.iter().all(|block| !given.contains(block)), "{given:?} {asked:?}");
            let whole = |place: &usize| !places.dates[*place].is_empty();
            assert!(support.iter().chain(&query).all(whole));
        }
    }
}

#[test]
fn an_episode_asks_for_one_class_of_its_images() {
    let places = places(cube());
    let region = Region::of(&places, small().counts());
    let task = region.draw(&small(), 1, &mut ChaCha8Rng::seed_from_u64(4));
    for half in [&task.support, &task.query] {
        assert_eq!(half.images.shape().to_vec(), [4, 1, 8, 8]);
        let is_class: Vec<f32> = half.is_class.iter().collect();
        assert!([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]].contains(&[
            is_class[0],
            is_class[1],
            is_class[2],
            is_class[3]
        ]));
    }
}

#[test]
fn a_seed_gives_its_weights_again_and_another_others() {
    let of = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let trained = trained(places(cube()), &MeteorMeta { seed, ..small() }).unwrap();
        (trained.save(folder.path()).unwrap(), trained.curve.0.len())
    };
    let (first, again, other) = (of(1), of(1), of(2));
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
    assert_eq!(first.1, 3);
}

#[test]
fn what_cannot_be_drawn_or_makes_no_sense_is_refused() {
    let of = |config: &MeteorMeta| trained(places(cube()), config).unwrap_err().to_string();
    let told = of(&MeteorMeta { shots: 60, ..small() });
    assert!(told.contains("no task with two classes of enough examples"), "{told}");
    let refused = [
        (MeteorMeta { chip_px: 4, ..small() }, "chip_px = 4: expected 8 to 256 pixels"),
        (MeteorMeta { ways: 1, ..small() }, "ways = 1: expected at least 2"),
        (MeteorMeta { inner_steps: 0, ..small() }, "inner_steps = 0 at inner_rate 0.1"),
        (MeteorMeta { adapt_batch: 0, ..small() }, "adapt_steps = 60 of adapt_batch 0"),
    ];
    for (config, want) in refused {
        let told = of(&config);
        assert!(told.contains(want), "{told}");
    }
}
