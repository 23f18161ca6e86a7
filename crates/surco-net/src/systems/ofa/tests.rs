use super::*;
use crate::systems::formula::{assert_begins, drawn, filled};
use burn::module::Module;
use surco_core::S2_BANDS;
use surco_data::BandKind;

const WINDOW: (i32, i32) = (0, 365);

fn optical() -> Vec<SpectralBand> {
    S2_BANDS.iter().map(|&band| band.into()).collect()
}

fn radar() -> Vec<SpectralBand> {
    let band = SpectralBand::optical(0.0, 0.0);
    [BandKind::RadarCo, BandKind::RadarCross].map(|kind| SpectralBand { kind, ..band }).to_vec()
}

fn sensor(name: &str, bands: &[SpectralBand]) -> OfaSensor {
    OfaSensor { name: name.into(), normalisation: Normalisation::measure(bands, &[]) }
}

fn model(patch_px: usize) -> SystemModel<OfaConfig> {
    let sensors = vec![sensor("Sentinel-2", &optical()), sensor("Sentinel-1", &radar())];
    let config = OfaConfig::of_size(Size::Nano, patch_px, sensors).unwrap();
    SystemModel::fresh(config, 1, &Device::flex())
}

fn sample(bands: usize, dates: usize, side: usize, phase: f32) -> Sample {
    let value = |i: usize| 0.25 + 0.2 * (i as f32 * 0.37 + phase).sin();
    let values = (0..dates * bands * side * side).map(value).collect();
    let days = (0..dates as i32).map(|d| 20 * d).collect();
    Sample { size_px: [side; 2], ..Sample::series(days, values, true) }
}

/// The twelve blocks of ViT-Base and its last norm have 85,056,000 parameters (Dosovitskiy et al. 2021, as timm counts
/// `vit_base_patch16` less its class token, positions, patch embedding and head: 86,567,656 − 768 − 151,296 − 590,592
/// − 769,000); a patch of ten bands and 4 × 4 pixels has 160 values, of two bands 32.
#[test]
fn the_parameters_are_those_of_a_vit_and_of_each_sensor() {
    let sensors = vec![sensor("Sentinel-2", &optical()), sensor("Sentinel-1", &radar())];
    let base = OfaConfig::of_size(Size::Base, 4, sensors.clone()).unwrap();
    let embeddings = (160 + 32) * 768 + 2 * 768;
    let decoder = 768 * 384 + 384 + 384 + 2 * (12 * 384 * 384 + 13 * 384) + 2 * 384;
    let heads = (160 + 32) * 384 + 160 + 32;
    assert_eq!(base.params(), 85_056_000 + embeddings + decoder + heads);
    let nano = model(4);
    assert_eq!(nano.net.num_params() as u64, nano.config.params());
    assert!(OfaConfig::of_size(Size::Xl, 4, sensors).is_none());
}

/// Another sample beside it, a date outside of the window and a patch of which one pixel was hidden change no bit of
/// what is left.
#[test]
fn what_is_not_of_an_image_changes_nothing() {
    let model = model(4);
    let (a, b) = (sample(10, 2, 8, 0.0), sample(10, 3, 12, 2.0));
    let alone = model.embed(&[&a], &optical(), WINDOW).unwrap();
    assert_eq!(alone.row(0), model.embed(&[&b, &a], &optical(), WINDOW).unwrap().row(1));
    let mut later = a.clone();
    later.days.push(WINDOW.1);
    later.values.extend_from_slice(&a.values[..640]);
    assert_eq!(alone, model.embed(&[&later], &optical(), WINDOW).unwrap());
    let mut dark = a.clone();
    dark.values[9] = f32::NAN; // row 1, column 1 of the first band
    let batch = OfaBatch::new(&[&dark], &optical(), WINDOW, &model.config).unwrap();
    assert_eq!((batch.lengths.clone(), batch.places[0]), (vec![3, 4], [0, 1]));
    assert_eq!(batch.values[1].nrows(), 0);
}

/// Two sensors of one place, on their own dates, each through its own embedding.
#[test]
fn a_date_of_each_sensor_is_an_image_of_its_own() {
    let both = [optical(), radar()].concat();
    let (light, radar) = (sample(10, 2, 4, 0.0), sample(2, 1, 4, 0.0));
    let sample = light.beside(10, &radar, 2);
    let model = model(4);
    let batch = OfaBatch::new(&[&sample], &both, WINDOW, &model.config).unwrap();
    assert_eq!((batch.lengths.clone(), batch.sensors.clone()), (vec![1; 3], vec![0, 1, 0]));
    assert_eq!(batch.values.iter().map(|v| v.dim()).collect::<Vec<_>>(), [(2, 160), (1, 32)]);
    assert_eq!(batch.rows_by_sensor(), [0, 2, 1]);
    assert_eq!(model.net.tokens(&batch).dims(), [3, 128]);
    let said = model.net.reconstruct(&batch, &[true, true, false]);
    let dims: Vec<_> = said.into_iter().map(|s| s.unwrap().dims()).collect();
    assert_eq!(dims, [[2, 160], [1, 32]]);
}

/// What is hidden is not read: whatever it shows, the same is said.
#[test]
fn hidden_patches_are_not_read() {
    let model = model(4);
    let (a, mut b) = (sample(10, 1, 8, 0.0), sample(10, 1, 8, 0.0));
    b.values[0] += 0.3; // in the first patch
    let said = |sample: &Sample, kept: &[bool]| -> Vec<f32> {
        let batch = OfaBatch::new(&[sample], &optical(), WINDOW, &model.config).unwrap();
        let said = model.net.reconstruct(&batch, kept).swap_remove(0).unwrap();
        said.into_data().iter::<f32>().collect()
    };
    let hidden = [false, true, true, false];
    assert_eq!(said(&a, &hidden), said(&b, &hidden));
    let shown = [true, true, false, false];
    assert_ne!(said(&a, &shown), said(&b, &shown));
}

#[test]
fn what_it_cannot_do_is_said() {
    let model = model(4);
    let refuse = |sample: &Sample, bands: &[SpectralBand]| {
        model.embed(&[sample], bands, WINDOW).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        refuse(&sample(10, 2, 1, 0.0), &optical()),
        @"series 0 is 1 × 1 pixels, but ofa reads patches of 4 × 4 and windows that can be cut into them: cut windows around the places, or use a model of single pixels"
    );
    insta::assert_snapshot!(
        refuse(&sample(3, 2, 4, 0.0), &optical()[..3]),
        @"ofa needs all bands of one of its sensors, Sentinel-2 (492.4 nm, 559.8 nm, 664.6 nm, 704.1 nm, 740.5 nm, 782.8 nm, 832.8 nm, 864.7 nm, 1613.7 nm, 2202.4 nm); Sentinel-1 (radar VV, radar VH), which is not among 492.4 nm, 559.8 nm, 664.6 nm: give all of its bands, or use a model that takes any"
    );
    let dark = Sample { values: vec![f32::NAN; 160], ..sample(10, 1, 4, 0.0) };
    insta::assert_snapshot!(
        refuse(&dark, &optical()),
        @"series 0 has no date within the window on which ofa sees a whole patch in all bands of a sensor: leave it out"
    );
}

#[test]
fn a_folder_gives_back_the_very_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(1);
    model.save(folder.path()).unwrap();
    let (read, _) = SystemModel::<OfaConfig>::load(folder.path(), &Device::flex()).unwrap();
    assert_eq!(read.config, model.config);
    let embedded = |m: &SystemModel<OfaConfig>| {
        m.embed(&[&sample(10, 2, 1, 0.0)], &optical(), WINDOW).unwrap()
    };
    assert_eq!(embedded(&read), embedded(&model));
}

/// Expected: PyTorch 2.11, `verify/oracles/systems.py ofa`, an image of four patches of which the first and the last
/// are kept.
#[test]
fn it_answers_as_pytorch_does() {
    let model = model(4);
    let sensors = vec![model.config.sensors[0].clone()];
    let config = OfaConfig { layers: 2, heads: 2, width: 32, sensors, ..model.config };
    let net = filled(config.build(&Device::flex()));
    let value = |(patch, v): (usize, usize)| {
        let (band, row, column) = (v / 16, patch / 2 * 4 + v / 4 % 4, patch % 2 * 4 + v % 4);
        drawn((band * 8 + row) * 8 + column, 999) as f32
    };
    let batch = OfaBatch {
        values: vec![Array2::from_shape_fn((4, 160), value)],
        sensors: vec![0; 4],
        places: vec![[0, 0], [0, 1], [1, 0], [1, 1]],
        lengths: vec![4],
        samples: vec![0],
    };
    let kept = [true, false, false, true];
    let seen =
        [0.495_68, -0.658_502, -0.922_838, -1.697_314, 0.879_591, 0.912, -0.773_711, -0.500_631];
    assert_begins(net.tokens(&batch.only(&kept)), &seen);
    let said = [
        0.797_649, -0.493_082, -0.496_411, -0.499_74, -0.800_799, -0.804_127, -0.807_456, 0.983_155,
    ];
    let hidden = net.reconstruct(&batch, &kept).swap_remove(0).unwrap().narrow(0, 1, 1);
    assert_begins(hidden, &said);
}
