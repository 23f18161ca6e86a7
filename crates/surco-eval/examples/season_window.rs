//! What a window of the agricultural year wins over a calendar year, on the annual crops of a simulated valley:
//! `cargo run --release -p surco-eval --example season_window -- [SEEDS] [SIDE_PX]`.
//!
//! A valley of central Chile is seen for three agricultural years, its annual crops rotating. Labels are the
//! crops of the middle year. The same forest learns them from twelve monthly means of clear pixels in three
//! windows: May to April, and the two calendar years that hold a part of that season. Pixels are split by
//! blocks of 320 m.

#![expect(clippy::unwrap_used, reason = "a tool for measuring")]
#![expect(clippy::print_stdout, reason = "what an example measures is said on stdout")]

use ndarray::{Array3, Axis, s};
use surco_core::Scl;
use surco_eval::forest::{RandomForest, TREES};
use surco_eval::metrics::Confusion;
use surco_eval::prepare::{columns, fill_gaps};
use surco_eval::pretraining::draw_splits;
use surco_eval::spread::{Paired, Spread};
use surco_sim::{LandUse, Valley, ValleyConfig};

/// The season that labels are of begins in May of this year.
const YEAR: i16 = 2023;

/// Red, near infrared and first short-wave infrared among the ten bands, with pixels of 10 m on a side.
const BANDS: [(usize, usize); 3] = [(2, 1), (6, 1), (8, 2)];

/// Classes that are sown anew each year.
const ANNUAL: [LandUse; 4] =
    [LandUse::Wheat, LandUse::Maize, LandUse::Vegetables, LandUse::DoubleCrop];

/// Those that stand in summer.
const SUMMER: [LandUse; 3] = [LandUse::Maize, LandUse::Vegetables, LandUse::DoubleCrop];

/// Name, and the month it begins with, counted from January of [`YEAR`].
const WINDOWS: [(&str, i32); 3] = [
    ("May 2023 to April 2024", 4),
    ("January to December 2023", 0),
    ("January to December 2024", 12),
];

/// Pixels on the side of a block.
const BLOCK_PX: usize = 32;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<usize>().unwrap());
    let (seeds, side) = (numbers.next().unwrap_or(5), numbers.next().unwrap_or(256));
    let mut all = vec![Vec::new(); WINDOWS.len()];
    let mut summer = all.clone();
    for seed in 0..seeds as u64 {
        let (labels, blocks, months) = seen(seed, side);
        let splits = draw_splits("valley", &labels, &blocks, 1).unwrap();
        for (at, (name, first)) in WINDOWS.iter().enumerate() {
            let from = (*first + 8) as usize; // months begin with May of the year before
            let window = months.slice(s![.., from..from + 12, ..]);
            let days: Vec<i32> = (0..12).map(|m| m * 30).collect();
            let x = columns(&fill_gaps(window, &days), Some((0, 1))).mapv(|v| v as f32);
            let split = &splits.splits[0];
            let class = |points: &[usize]| -> Vec<usize> {
                points.iter().map(|&p| splits.labels[p].unwrap()).collect()
            };
            let rows = |points: &[usize]| x.select(Axis(0), points);
            let count = splits.classes.len();
            let (given, truth) = (class(&split.train), class(&split.test));
            let forest =
                RandomForest::fit(rows(&split.train).view(), &given, count, TREES, seed).unwrap();
            let said = forest.predict(rows(&split.test).view()).unwrap();
            let confusion = Confusion::count(&truth, &said, count).unwrap();
            let recalls = confusion.producers();
            let of_summer: Vec<f64> = SUMMER
                .iter()
                .filter_map(|c| splits.classes.iter().position(|name| name == c.name()))
                .filter_map(|place| recalls[place])
                .collect();
            all[at].push(confusion.balanced_accuracy());
            summer[at].push(Spread::of(&of_summer).mean);
            eprintln!("seed {seed}, {name}: {:.3}", all[at][seed as usize]);
        }
    }
    println!(
        "{seeds} valleys of {side} x {side} pixels; recall in %, mean ± sd; difference from the first, 95 %"
    );
    for (at, (name, _)) in WINDOWS.iter().enumerate() {
        let gain = |scores: &[Vec<f64>]| {
            let Spread { mean, sd, .. } = Spread::of(&scores[at]);
            let paired = Paired::of(&scores[0], &scores[at]).unwrap();
            // Each seed is a valley of its own, so pairs share no point.
            let [low, high] = paired.interval(0.0).unwrap_or([f64::NAN; 2]);
            let [mean, sd, less, low, high] = [mean, sd, paired.mean, low, high].map(|v| v * 100.0);
            let less = format!("{:+.1} ({:+.1} to {:+.1})", -less, -high, -low);
            format!("{mean:5.1} ± {sd:4.1}  {:<24}", if at == 0 { "" } else { &less })
        };
        println!("{name:<26} annual crops {} summer crops {}", gain(&all), gain(&summer));
    }
}

/// Labels and blocks of the pixels under annual crops, and their monthly means, `[pixel, month, band]`, of 36
/// months from May of the year before; NaN where no date was clear.
fn seen(seed: u64, side: usize) -> (Vec<String>, Vec<u64>, Array3<f32>) {
    let config = |year| ValleyConfig {
        seed,
        year,
        side_px: side,
        scenes: 70,
        duplicates: 0,
        ..ValleyConfig::default()
    };
    let truth = Valley::new(&config(YEAR)).unwrap();
    let name = |code: u8| ANNUAL.iter().find(|c| c.code() == code).map(|c| c.name().to_string());
    let (mut labels, mut blocks, mut pixels) = (Vec::new(), Vec::new(), Vec::new());
    for ((row, col), &code) in truth.classes().indexed_iter() {
        // One pixel in four keeps neighbours apart and the forest quick.
        if let (Some(name), true) = (name(code), row % 2 == 0 && col % 2 == 0) {
            labels.push(name);
            blocks.push((row / BLOCK_PX * 1000 + col / BLOCK_PX) as u64);
            pixels.push((row, col));
        }
    }
    let mut sums = Array3::<f32>::zeros((pixels.len(), 36, BANDS.len()));
    let mut counts = sums.clone();
    for year in [YEAR - 1, YEAR, YEAR + 1] {
        let valley = Valley::new(&config(year)).unwrap();
        for pass in valley.passes() {
            let scene = valley.shoot(pass);
            let since = (i32::from(pass.seen.year()) - i32::from(YEAR - 1)) * 12;
            let month = (since + i32::from(pass.seen.month()) - 5) as usize;
            for (pixel, &(row, col)) in pixels.iter().enumerate() {
                if !Scl::is_clear(scene.scl[[row / 2, col / 2]]) {
                    continue;
                }
                for (band, (place, step)) in BANDS.iter().enumerate() {
                    let dn = scene.bands[*place][[row / step, col / step]];
                    if dn > 0 {
                        let value = (f32::from(dn) - f32::from(pass.offset_dn)) / 10_000.0;
                        sums[[pixel, month, band]] += value;
                        counts[[pixel, month, band]] += 1.0;
                    }
                }
            }
        }
    }
    (labels, blocks, sums / counts)
}
