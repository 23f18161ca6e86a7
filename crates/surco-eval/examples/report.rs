//! Renders a report of made-up but plausible numbers: `report [FILE]`.
#![allow(clippy::print_stdout, reason = "an example that says where it wrote")]

use std::path::PathBuf;

use jiff::civil::{Date, date};
use ndarray::{Array2, Array3};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::{Class, Legend, OffsetVerdict};
use surco_eval::fewshot::{METRIC, Row, SuiteResult};
use surco_eval::metrics::Confusion;
use surco_eval::report::*;
use surco_eval::spread::Spread;

const SIDE: usize = 160;
/// Name, first and last month of green, greenest NDVI.
const CROPS: [(&str, f64, f64, f64); 6] = [
    ("Wheat", 5.0, 12.2, 0.86),
    ("Maize", 10.6, 15.2, 0.9),
    ("Alfalfa", 3.0, 18.0, 0.8),
    ("Vineyard", 9.6, 16.4, 0.58),
    ("Orchard", 8.6, 17.0, 0.74),
    ("Fallow", 5.5, 10.0, 0.3),
];

/// NDVI of a crop on a month counted from January of the season's first year.
fn greenness(crop: usize, month: f64) -> f64 {
    let (_, from, to, most) = CROPS[crop];
    let rise = 1.0 / (1.0 + (-(month - from - 0.9) * 2.4).exp());
    let fall = 1.0 / (1.0 + ((month - to + 0.9) * 2.4).exp());
    0.14 + (most - 0.14) * rise * fall
}

fn normal(rng: &mut impl Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Fields as strips in turned blocks; 0 = no crop.
fn truth(rng: &mut impl Rng) -> Array2<u8> {
    let blocks: Vec<(f64, f64, f64, Vec<u8>)> = (0..14)
        .map(|_| {
            let crops = (0..16).map(|_| rng.random_range(1..=6_u8)).collect();
            let place = |rng: &mut dyn FnMut() -> f64| rng() * SIDE as f64;
            let mut draw = || rng.random::<f64>();
            (place(&mut draw), place(&mut draw), draw() * 3.1, crops)
        })
        .collect();
    Array2::from_shape_fn((SIDE, SIDE), |(y, x)| {
        let apart = |b: &&(f64, f64, f64, Vec<u8>)| (b.0 - x as f64).hypot(b.1 - y as f64);
        let mut near: Vec<_> = blocks.iter().collect();
        near.sort_by(|a, b| apart(a).total_cmp(&apart(b)));
        if apart(&near[1]) - apart(&near[0]) < 1.6 {
            return 0;
        }
        let (bx, by, turn, crops) = near[0];
        let along = (x as f64 - bx) * turn.cos() + (y as f64 - by) * turn.sin();
        crops[(along / 13.0 + 8.0).clamp(0.0, 15.0) as usize]
    })
}

fn chip(truth: &Array2<u8>, month: f64, cloud: f64, rng: &mut impl Rng) -> Picture {
    let clouds: Vec<(f64, f64, f64)> = (0..(cloud * 16.0) as usize)
        .map(|_| {
            let mut at = || rng.random::<f64>() * SIDE as f64;
            (at(), at(), at() * 0.16 + 6.0)
        })
        .collect();
    let rgb = Array3::from_shape_fn((SIDE, SIDE, 3), |(y, x, band)| {
        let crop = truth[[y, x]];
        let ndvi = if crop == 0 { 0.2 } else { greenness(crop as usize - 1, month) };
        let bare = [150.0, 122.0, 92.0][band];
        let green = [52.0, 92.0, 48.0][band];
        let share = ((ndvi - 0.1) / 0.8).clamp(0.0, 1.0);
        let grain = f64::from((x * 31 + y * 17 + band) as u32 % 13) - 6.0;
        let ground = bare * (1.0 - share) + green * share + grain;
        let veil = clouds.iter().map(|(cx, cy, r)| {
            let far = (cx - x as f64).hypot((cy - y as f64) * 1.5) / r;
            (1.3 - far).clamp(0.0, 1.0)
        });
        let veil = veil.fold(0.0, f64::max);
        (ground * (1.0 - veil) + 236.0 * veil).clamp(0.0, 255.0) as u8
    });
    Picture::new(rgb.view())
}

fn rows(rng: &mut impl Rng) -> Vec<Row> {
    let mut rows = Vec::new();
    let luck: Vec<f64> = (0..20).map(|_| 0.03 * normal(rng)).collect();
    for (method, means) in [
        ("surco", [0.612, 0.703, 0.772, 0.801, 0.806]),
        ("random_encoder", [0.503, 0.588, 0.667, 0.712, 0.735]),
        ("rf_raw", [0.515, 0.620, 0.744, 0.790, 0.829]),
        ("lr_raw", [0.534, 0.631, 0.724, 0.771, 0.802]),
        ("chance", [1.0 / 6.0; 5]),
    ] {
        for (mean, k) in means.into_iter().zip([1, 2, 5, 10, 20]) {
            let wide = if method == "chance" { 0.0 } else { 1.3 / (k as f64).sqrt().max(1.4) };
            let noise = luck.iter().map(|l| mean + wide * (l + 0.025 * normal(rng)));
            let per_seed: Vec<f64> = noise.collect();
            let Spread { mean, sd, n } = Spread::of(&per_seed);
            rows.push(Row {
                method: method.into(),
                k,
                mean,
                sd,
                n,
                per_seed,
                per_class: Vec::new(),
                per_zone: Vec::new(),
            });
        }
    }
    rows
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("report.html"), PathBuf::from);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let legend = Legend::from_names(&CROPS.map(|c| c.0))?;
    let truth = truth(&mut rng);
    let map = truth.mapv(|c| match (c, rng.random::<f64>()) {
        (4, r) if r < 0.22 => 5,
        (6, r) if r < 0.14 => 1,
        (0, _) => 0,
        (_, r) if r > 0.95 => rng.random_range(1..=6),
        (c, _) => c,
    });
    let first = date(2023, 5, 1);
    let days = |i: i64| first.checked_add(jiff::Span::new().days(i * 15 + i % 3)).unwrap_or(first);
    let dates: Vec<Date> = (0..24).map(days).collect();
    let month = |day: Date| {
        f64::from(day.month()) + f64::from(day.day()) / 31.0 + 12.0 * f64::from(day.year() - 2023)
    };
    let cloud: Vec<f64> = dates
        .iter()
        .map(|d| {
            ((0.5 * ((month(*d) - 7.0) * 0.52).cos()).max(0.0) + 0.5 * rng.random::<f64>().powi(3))
                .min(0.97)
        })
        .collect();
    let classes: &[Class] = legend.classes();
    let pairs: Vec<(usize, usize)> = truth
        .iter()
        .zip(&map)
        .filter(|(t, _)| **t != 0)
        .map(|(&t, &m)| (t as usize - 1, m as usize - 1))
        .collect();
    let (t, m): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let count =
        |codes: &Array2<u8>, code| codes.iter().filter(|&&c| c == code).count() as f64 / 100.0;
    let report = Report {
        title: "Crops of a simulated valley from five labels a class".into(),
        summary: "A made-up landscape of 160 × 160 pixels through the agricultural year from May 2023, \
                  to show how a report reads. Every figure below is invented."
            .into(),
        facts: Some(Facts {
            seed: 7,
            version: env!("CARGO_PKG_VERSION").into(),
            threads: 2,
            seconds: 412.0,
            peak_memory_mb: Some(1430.0),
            device: "CPU".into(),
        }),
        scenes: dates
            .iter()
            .zip(&cloud)
            .enumerate()
            .map(|(i, (&date, cloud))| Scene {
                date,
                platform: format!("sentinel-2{}", ["a", "b"][i % 2]),
                baseline: if i < 20 { "05.09" } else { "05.10" }.into(),
                cloud_percent: 100.0 * cloud,
                offset: if i % 5 == 3 { OffsetVerdict::Absent } else { OffsetVerdict::Subtracted },
            })
            .collect(),
        chips: dates
            .iter()
            .zip(&cloud)
            .step_by(2)
            .map(|(&date, &c)| Chip {
                date,
                cloud_percent: None,
                picture: chip(&truth, month(date), c, &mut rng),
            })
            .collect(),
        ndvi: classes
            .iter()
            .enumerate()
            .map(|(crop, class)| NdviCurve {
                class: class.clone(),
                points: dates
                    .iter()
                    .map(|&date| {
                        let median = greenness(crop, month(date)) + 0.012 * normal(&mut rng);
                        let half = 0.03 + 0.08 * median;
                        NdviPoint { date, low: median - half, median, high: median + half }
                    })
                    .collect(),
            })
            .collect(),
        pretraining: Some(Curve {
            measure: "loss".into(),
            higher_is_better: false,
            points: (0..=60)
                .map(|i| {
                    let level = 0.16 + 0.8 * (-f64::from(i) / 9.0).exp();
                    CurvePoint {
                        step: i as u64 * 50,
                        train: level + 0.012 * normal(&mut rng),
                        validation: (i % 5 == 0).then(|| level * 1.05 + 0.01 + 0.004 * normal(&mut rng)),
                    }
                })
                .collect(),
        }),
        meta_training: Some(Curve {
            measure: "accuracy".into(),
            higher_is_better: true,
            points: (0..=40)
                .map(|i| {
                    let level = 0.8 - 0.35 * (-f64::from(i) / 8.0).exp();
                    CurvePoint {
                        step: i as u64 * 25,
                        train: level + 0.03 + 0.02 * normal(&mut rng),
                        validation: (i % 4 == 0)
                            .then(|| level - 0.002 * f64::from((i - 22).max(0)) + 0.006 * normal(&mut rng)),
                    }
                })
                .collect(),
        }),
        few_shot: Some(FewShotTable {
            result: SuiteResult { set: "made up".into(), metric: METRIC.into(), rows: rows(&mut rng), leads: Vec::new(), promises: Vec::new(), facts: None },
            ours: "surco".into(),
        }),
        confusion: Some(ConfusionTable {
            classes: classes.iter().map(|c| c.name.clone()).collect(),
            confusion: Confusion::count(&t, &m, 6)?,
            counted: "pixels with a known class".into(),
        }),
        areas: classes
            .iter()
            .map(|class| {
                let truth_ha = count(&truth, class.code);
                AreaRow {
                    class: class.clone(),
                    mapped_ha: count(&map, class.code),
                    estimate_ha: truth_ha + 1.1 * normal(&mut rng),
                    half_width_ha: 1.96 * (0.8 + 0.03 * truth_ha),
                    truth_ha: Some(truth_ha),
                }
            })
            .collect(),
        map: Some(MapAndTruth {
            legend: legend.clone(),
            map: ClassGrid::new(map.view()),
            truth: ClassGrid::new(truth.view()),
            confidence: None,
            pixel_m: 10.0,
        }),
        sampled: None,
        drawings: Vec::new(),
        tables: Vec::new(),
        stages: [("Simulate", 9.0), ("Collect", 21.4), ("Pre-train", 204.0), ("Meta-train", 118.0), ("Adapt", 3.1), ("Map", 14.2), ("Evaluate", 42.0)]
            .map(|(name, seconds)| Stage { name: name.into(), seconds })
            .to_vec(),
        holes: Some(vec![Hole {
            what: "2023-08-14, rows 96 to 127".into(),
            pixels: 5120,
            why: "the asset of band B11 ends early; its checksum does not match".into(),
        }]),
        assumed: vec![
            "The season runs from 1 May to 30 April, as agricultural years do in Chile.".into(),
            "A pixel is cloud where the scene classification says cloud, shadow or cirrus; nothing else was masked.".into(),
        ],
        not_shown: vec![
            "The valley is simulated: real fields are mixed, mislabelled and irregular, and real scores are lower.".into(),
            "One season and one region: nothing here says how the system does in another year.".into(),
        ],
    };
    write_report(&report, &out)?;
    println!("{}", out.display());
    Ok(())
}
