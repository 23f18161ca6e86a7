use super::*;
use ndarray::{Array2, ArrayView1};
use surco_data::{
    BandKind, Batch, BatchSpec, Context, Normalisation, PatchGrid, QueryGrid, Relief, Sample, Site,
    SpectralBand,
};

const NM: [f32; 4] = [490.0, 665.0, 842.0, 1610.0];

fn spec(order: &[usize]) -> BatchSpec {
    let scale = [(0.05, 0.02), (0.08, 0.04), (0.3, 0.1), (0.2, 0.08)];
    BatchSpec {
        bands: order.iter().map(|&b| SpectralBand::optical(NM[b], 40.0)).collect(),
        scale: order.iter().map(|&b| scale[b]).collect(),
        first_day: 0,
        end_day: 365,
        max_dates: 20,
        queries: Some(QueryGrid { count: 4, parts: 2 }),
        patch: PatchGrid::default(),
        context: Vec::new(),
    }
}

const ORDER: [usize; 4] = [0, 1, 2, 3];

fn sample(dates: i32, order: &[usize]) -> Sample {
    let value = |d: i32, b: usize| {
        if (d + b as i32) % 5 == 0 { f32::NAN } else { 0.1 + 0.02 * (d as f32 + b as f32).sin() }
    };
    let days = (0..dates).map(|d| d * 17).collect();
    let values = (0..dates).flat_map(|d| order.iter().map(move |&b| value(d, b))).collect();
    Sample::series(days, values, true)
}

/// A window whose values differ from pixel to pixel, date to date and band to band.
fn window(dates: i32, size_px: [usize; 2]) -> Sample {
    let pixels = size_px[0] * size_px[1];
    let value = |i: usize| 0.1 + 0.05 * (i as f32 * 0.37).sin();
    let values = (0..dates as usize * ORDER.len() * pixels).map(value).collect();
    let days = (0..dates).map(|d| d * 30).collect();
    Sample { size_px, ..Sample::series(days, values, true) }
}

/// An encoder as after some training: fresh ones hardly mix tokens, which would hide mistakes.
fn stirred() -> Encoder {
    let mut encoder = crate::fresh(Size::Nano, 5, &Device::flex());
    let larger = |p: Param<Tensor<2>>| p.map(|w| w.mul_scalar(20.0));
    for block in &mut encoder.blocks {
        block.out = larger(block.out.clone());
        block.down = larger(block.down.clone());
    }
    encoder
}

/// Weights in another number format.
struct Format(burn::tensor::FloatDType);

impl burn::module::ModuleMapper for Format {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| weight.cast(self.0))
    }
}

#[test]
fn weights_of_sixteen_bits_give_nearly_the_same_in_thirty_two() {
    let (series, square) = (sample(12, &ORDER), window(6, [4, 4]));
    let patch = PatchGrid { side_px: 2, pixel_m: 10.0 };
    let device = Device::flex();
    for (sample, spec) in [(series, spec(&ORDER)), (square, BatchSpec { patch, ..spec(&ORDER) })] {
        let input = EncoderInput::new(&Batch::new(&[&sample], &spec), &device);
        let said = |encoder: &Encoder| {
            let both = [encoder.embed(&input), encoder.predict(&input, Some(32))];
            both.map(|said| {
                assert_eq!(said.dtype(), DType::F32);
                said.into_data().iter::<f32>().collect::<Vec<f32>>()
            })
        };
        let wide = said(&stirred());
        let narrow = said(&stirred().map(&mut Format(burn::tensor::FloatDType::BF16)));
        for (wide, narrow) in wide.iter().zip(&narrow) {
            let size = wide.iter().map(|v| v * v).sum::<f32>().sqrt();
            let apart = wide.iter().zip(narrow).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            assert!(apart > 0.0 && apart < 0.05 * size, "{apart} of {size}");
        }
    }
}

/// A released model.
fn model(name: &str) -> crate::Model {
    let folder = format!("{}/../../models/{name}", env!("CARGO_MANIFEST_DIR"));
    crate::load_model(folder.as_ref(), &Device::flex()).unwrap().0
}

fn released() -> crate::Model {
    model("nano")
}

/// Matrices of 8-bit numbers, multiplied as such where the processor can, say what the weights they were made of say; and one
/// series says the same whatever stands beside it.
#[test]
fn eight_bits_say_nearly_the_same() {
    let (series, square) = (sample(12, &ORDER), window(6, [4, 4]));
    let spec = spec(&ORDER);
    let [wide, narrow] = ["nano", "nano-int8"].map(|name| model(name).encoder);
    let both = said(&narrow, &[&series, &square], &spec);
    for (row, wide) in said(&wide, &[&series, &square], &spec).rows().into_iter().enumerate() {
        let alike = cosine(wide, both.row(row));
        assert!(alike > 0.995 && alike < 0.999_999, "{row}: {alike}");
    }
    let alone = said(&narrow, &[&series], &spec);
    assert_eq!(alone.row(0), both.row(0));
}

fn embedding(samples: &[&Sample], spec: &BatchSpec) -> Array2<f32> {
    said(&stirred(), samples, spec)
}

fn said(encoder: &Encoder, samples: &[&Sample], spec: &BatchSpec) -> Array2<f32> {
    let input = EncoderInput::new(&Batch::new(samples, spec), &Device::flex());
    let embedded = encoder.embed(&input);
    let [n, width] = embedded.dims();
    Array2::from_shape_vec((n, width), embedded.into_data().iter::<f32>().collect()).unwrap()
}

fn furthest(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

fn cosine(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f32 {
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

fn bits(a: ArrayView1<'_, f32>) -> Vec<u32> {
    a.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_size_has_exactly_the_parameters_it_says() {
    for size in [Size::Femto, Size::Pico, Size::Nano, Size::Micro, Size::Small] {
        let encoder = crate::fresh(size, 0, &Device::flex());
        assert_eq!(encoder.num_params() as u64, size.params(), "{size}");
    }
}

#[test]
fn the_embedding_has_a_vector_a_part_and_the_seed_decides_it() {
    let a = embedding(&[&sample(8, &ORDER)], &spec(&ORDER));
    assert_eq!(a.dim(), (1, 2 * 128));
    assert_eq!(a, embedding(&[&sample(8, &ORDER)], &spec(&ORDER)));
    assert!(a.iter().all(|v| v.is_finite()));
}

#[test]
fn dates_that_show_nothing_change_no_bit() {
    let plain = sample(9, &ORDER);
    let mut padded = plain.clone();
    for day in [3, 400, -50] {
        let at = padded.days.partition_point(|d| *d < day);
        padded.days.insert(at, day);
        let value = if (0..365).contains(&day) { f32::NAN } else { 0.3 };
        for _ in 0..4 {
            padded.values.insert(at * 4, value);
        }
    }
    let (a, b) = (embedding(&[&plain], &spec(&ORDER)), embedding(&[&padded], &spec(&ORDER)));
    assert_eq!(bits(a.row(0)), bits(b.row(0)));
}

#[test]
fn longer_neighbours_in_a_batch_change_no_bit() {
    let (short, long) = (sample(6, &ORDER), sample(20, &ORDER));
    let alone = embedding(&[&short], &spec(&ORDER));
    let beside = embedding(&[&long, &short, &long], &spec(&ORDER));
    assert_eq!(bits(alone.row(0)), bits(beside.row(1)));
    // A window among them makes every fourth block attend over space, but not for a single pixel.
    let among = embedding(&[&window(5, [3, 2]), &short], &spec(&ORDER));
    assert_eq!(bits(alone.row(0)), bits(among.row(6)));
}

#[test]
fn bands_may_come_in_any_order_with_their_wavelengths() {
    let other = [2, 0, 3, 1];
    let a = embedding(&[&sample(9, &ORDER)], &spec(&ORDER));
    let b = embedding(&[&sample(9, &other)], &spec(&other));
    assert!(furthest(&a, &b) < 1e-5, "{}", furthest(&a, &b));
}

/// By the definition: the tokens of the queries, averaged over each part of the window.
#[test]
fn the_embedding_is_what_the_tokens_of_the_queries_say() {
    let (encoder, spec) = (stirred(), spec(&ORDER));
    let (one, other) = (sample(12, &ORDER), sample(5, &ORDER));
    let batch = Batch::new(&[&one, &other], &spec);
    let input = EncoderInput::new(&batch, &Device::flex());
    let tokens: Vec<f32> = encoder.tokens(&input).into_data().iter::<f32>().collect();
    let width = encoder.width();
    let token = |query: usize, j: usize| tokens[batch.answers[query] * width + j];
    let mut want = Vec::new();
    for series in 0..2 {
        // Four queries, two to a part.
        for part in 0..2 {
            let first = 4 * series + 2 * part;
            want.extend((0..width).map(|j| (token(first, j) + token(first + 1, j)) / 2.0));
        }
    }
    let got: Vec<f32> = encoder.embed(&input).into_data().iter::<f32>().collect();
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn a_series_never_seen_still_has_a_finite_embedding() {
    let nothing = Sample { south: true, ..Sample::default() };
    assert!(embedding(&[&nothing], &spec(&ORDER)).iter().all(|v| v.is_finite()));
}

/// Landsat and radar, whose bands the encoder's first sensor lacks, and both beside it.
#[test]
fn a_sensor_never_trained_on_still_embeds() {
    let light = [443.0, 482.0, 561.5, 654.5]
        .map(|nm| SpectralBand { gsd_m: 30.0, ..SpectralBand::optical(nm, 50.0) });
    let vv =
        SpectralBand { centre_nm: 5.55e7, width_nm: 1.0e6, gsd_m: 10.0, kind: BandKind::RadarCo };
    let radar = [vv, SpectralBand { kind: BandKind::RadarCross, ..vv }];
    let norm = Normalisation::measure(&[SpectralBand::optical(842.0, 100.0)], &[]);
    let read = |bands: &[SpectralBand]| BatchSpec {
        queries: Some(QueryGrid { count: 4, parts: 2 }),
        ..BatchSpec::new(bands, &norm, (0, 365))
    };
    let echo: Vec<f32> = (0..12).flat_map(|d| [-11.0 + d as f32 * 0.3, -18.0]).collect();
    let echo = Sample::series((0..12).map(|d| d * 12).collect(), echo, true);
    let landsat = sample(9, &ORDER);
    let empty = Sample::series(Vec::new(), Vec::new(), true);
    let both = [light.to_vec(), radar.to_vec()].concat();
    let beside = landsat.beside(4, &echo, 2);
    let seen = [
        embedding(&[&landsat, &empty], &read(&light)),
        embedding(&[&echo, &empty], &read(&radar)),
        embedding(&[&beside, &empty], &read(&both)),
    ];
    for of in &seen {
        assert!(of.iter().all(|v| v.is_finite()));
        assert!(cosine(of.row(0), of.row(1)) < 0.999, "not told from nothing seen");
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(cosine(seen[a].row(0), seen[b].row(0)) < 0.999, "{a} and {b} say the same");
    }
    let swapped = [radar[1], radar[0]];
    let swapped = embedding(&[&echo], &read(&swapped));
    assert!(furthest(&swapped, &seen[1].slice(ndarray::s![..1, ..]).to_owned()) > 1e-3);
}

#[test]
fn patches_of_a_window_see_each_other_and_pixels_of_a_series_do_not() {
    let patch = |side_px| PatchGrid { side_px, pixel_m: 10.0 };
    let spec = BatchSpec { patch: patch(2), ..spec(&ORDER) };
    let whole = window(5, [4, 6]);
    let a = embedding(&[&whole], &spec);
    assert_eq!(a.dim(), (6, 256));
    let mut changed = whole.clone();
    let corner = changed.values.len() - 1;
    changed.values[corner] += 0.5; // the last pixel, of the last patch
    let b = embedding(&[&changed], &spec);
    let moved = |i: usize| a.row(i).iter().zip(b.row(i)).any(|(a, b)| a != b);
    assert!((0..6).all(moved), "the first patch does not see the last");
    // The same patch cut out alone is another thing, since it has no neighbours.
    let cut = embedding(&[&whole.crop([0, 0], [2, 2], 4)], &spec);
    assert!(a.row(0).iter().zip(cut.row(0)).any(|(a, b)| a != b));
    // Where in its patch a pixel lies matters: turned by half a turn it is another patch.
    let mut turned = whole.crop([0, 0], [2, 2], 4);
    turned.values.as_chunks_mut::<4>().0.iter_mut().for_each(|plane| plane.reverse());
    assert!(furthest(&cut, &embedding(&[&turned], &spec)) > 1e-4);
}

#[test]
fn what_is_known_of_a_place_counts_only_if_the_model_was_trained_with_it() {
    let plain = sample(8, &ORDER);
    let site = Site {
        lonlat: Some([-71.2, -34.1]),
        relief: Some(Relief { elevation_m: 600.0, slope_deg: 12.0, aspect_deg: 45.0 }),
        weather: Some(Box::new([[14.0, 30.0]; 12])),
    };
    let placed = Sample { site, ..plain.clone() };
    let untold = embedding(&[&placed], &spec(&ORDER));
    assert_eq!(untold, embedding(&[&plain], &spec(&ORDER)));
    for kind in [Context::Latitude, Context::Location, Context::Relief, Context::Weather] {
        let told = BatchSpec { context: vec![kind], ..spec(&ORDER) };
        assert!(furthest(&untold, &embedding(&[&placed], &told)) > 1e-4, "{kind:?}");
        assert_eq!(untold, embedding(&[&plain], &told), "{kind:?} is not known");
    }
}

#[test]
fn predictions_read_the_beginning_of_a_token_alone() {
    let device = Device::flex();
    let encoder = stirred();
    let spec = BatchSpec { queries: None, ..spec(&ORDER) };
    let input = EncoderInput::new(&Batch::new(&[&sample(8, &ORDER)], &spec), &device);
    let mut shorter = encoder.clone();
    // Norm weights of 0 silence all but the first 32 values of every token.
    let silent: Vec<f32> = (0..128).map(|i| if i < 32 { 1.0 } else { 0.0 }).collect();
    shorter.norm = Param::from_data(burn::tensor::TensorData::new(silent, [128]), &device);
    let said = |encoder: &Encoder, prefix| -> Vec<f32> {
        encoder.predict(&input, prefix).into_data().iter::<f32>().collect()
    };
    let (a, b) = (said(&encoder, Some(32)), said(&shorter, Some(32)));
    assert_eq!(a.len(), 8 * 4);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    assert!(said(&encoder, None) != a);
    assert_eq!(said(&encoder, None), said(&encoder, Some(128)));
}

/// The same fields near 72° W, read on the grid of UTM 18 south and of UTM 19 south: pixels of the two lie
/// up to 7 m from each other and their rows are turned by 3.4°.
#[test]
fn the_same_ground_in_either_zone_has_the_same_embedding() {
    use surco_raster::projection::Projection;
    let reflectance = |lon: f64, lat: f64, day: i32, band: usize| {
        let (u, v) = (lon * 400.0, lat * 500.0); // waves of some 1.4 km
        let green = 0.5 + 0.3 * (u + v).sin() + 0.1 * (2.0 * u - v).cos();
        let season = 0.5 - 0.5 * (f64::from(day) / 58.0).cos();
        (0.05 + 0.06 * band as f64 + 0.2 * green * season * [0.1, -0.1, 1.0, 0.3][band]) as f32
    };
    let (lon, lat) = (-72.0, -35.4);
    let side = 8;
    let read = |epsg: u32, side_px: usize| {
        let zone = Projection::from_epsg(epsg).unwrap();
        let (x, y) = zone.from_lonlat(lon, lat).unwrap();
        let (x0, y0) = ((x / 10.0).floor() * 10.0, (y / 10.0).ceil() * 10.0);
        let centre = |row: usize, col: usize| {
            let from = |i: usize| (i as f64 + 0.5 - (side_px / 2) as f64) * 10.0;
            zone.to_lonlat(x0 + from(col), y0 - from(row)).unwrap()
        };
        let mut window = Sample { size_px: [side_px; 2], ..Sample::series(vec![], vec![], true) };
        for day in (0..360).step_by(24) {
            window.days.push(day);
            for band in 0..4 {
                for pixel in 0..side_px * side_px {
                    let (lon, lat) = centre(pixel / side_px, pixel % side_px);
                    window.values.push(reflectance(lon, lat, day, band));
                }
            }
        }
        window
    };
    for encoder in [stirred(), released().encoder] {
        for (side_px, patch_px) in [(1, 1), (side, 2), (side, 4)] {
            let patch = PatchGrid { side_px: patch_px, pixel_m: 10.0 };
            let spec = BatchSpec { patch, ..spec(&ORDER) };
            let [mut east, west] = [32_719, 32_718].map(|epsg| read(epsg, side_px));
            let (a, b) = (said(&encoder, &[&west], &spec), said(&encoder, &[&east], &spec));
            for (a, b) in a.rows().into_iter().zip(b.rows()) {
                assert!(1.0 - cosine(a, b) < 1e-3, "patch {patch_px}: {}", cosine(a, b));
            }
            // The test can fail: other ground differs by more.
            east.values.iter_mut().for_each(|v| *v = 0.35 - *v);
            let other = said(&encoder, &[&east], &spec);
            let apart = 1.0 - cosine(a.row(0), other.row(0));
            assert!(apart > 2e-3, "patch {patch_px}: other ground is {apart} apart");
        }
    }
}

/// Fields that turn green at five times of the year, each seen twice with six days between: nested widths keep who is like whom.
#[test]
fn the_beginning_of_an_embedding_tells_places_apart_as_the_whole_does() {
    let model = released();
    let bands = model.config.normalisation.bands().to_vec();
    let scale = model.config.normalisation.at(&bands);
    let place = |peak: f32, shift: f32| {
        let days: Vec<i32> = (0..18).map(|d| d * 20).collect();
        let value = |day: i32, b: usize| {
            let green = (-((day as f32 - peak + shift) / 40.0).powi(2)).exp();
            scale[b].0 + scale[b].1 * green * if bands[b].centre_nm < 700.0 { -1.0 } else { 1.5 }
        };
        let values = days.iter().flat_map(|&d| (0..bands.len()).map(move |b| (d, b)));
        let values = values.map(|(d, b)| value(d, b)).collect();
        Sample::series(days, values, true)
    };
    let peaks = [60.0, 130.0, 200.0, 270.0, 340.0];
    let places: Vec<Sample> =
        [0.0, 6.0].iter().flat_map(|&s| peaks.map(|peak| place(peak, s))).collect();
    let refs: Vec<&Sample> = places.iter().collect();
    let spec = model.config.spec(&bands, (0, 365));
    let whole = crate::embed(&model, &refs, &spec, &Device::flex());
    for width in NESTED_WIDTHS {
        let short = crate::nested(whole.view(), model.config.queries.parts, width);
        for i in 0..peaks.len() {
            let like = |j: usize| cosine(short.row(i), short.row(j));
            let nearest = (peaks.len()..2 * peaks.len())
                .max_by(|&a, &b| like(a).total_cmp(&like(b)))
                .unwrap();
            assert_eq!(nearest, i + peaks.len(), "{width} values");
        }
    }
}
