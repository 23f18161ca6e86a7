//! Writes a valley and pictures of it: `cargo run --release -p surco-sim --example quicklook -- OUT [SEED] [SIDE_PX]`.

#![expect(clippy::unwrap_used, reason = "a tool for looking")]

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use surco_core::Silent;
use surco_sim::{LandUse, Scene, Valley, ValleyConfig, write_archive};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let out = PathBuf::from(args.first().map_or("valley", |s| s));
    let number = |i: usize, usual: u64| args.get(i).map_or(usual, |s| s.parse().unwrap());
    let usual = ValleyConfig::default();
    let config = ValleyConfig {
        seed: number(1, usual.seed),
        side_px: number(2, usual.side_px as u64) as usize,
        ..usual
    };
    let begin = std::time::Instant::now();
    let archive = write_archive(&config, &out, &Silent).unwrap();
    eprintln!("{} scenes, {} bytes, {:?}", archive.scenes, archive.bytes, begin.elapsed());
    for area in &archive.areas {
        eprintln!(
            "{:2} {:18} {:8.1} ha {:8.1} ha",
            area.code, area.name, area.area_ha, area.ground_ha
        );
    }
    let valley = Valley::new(&config).unwrap();
    let looks = out.join("looks");
    std::fs::create_dir_all(&looks).unwrap();
    let side = config.side_px;
    let classes = valley.classes();
    let colours: Vec<u8> =
        classes.iter().flat_map(|&c| LandUse::ALL[c as usize - 1].colour()).collect();
    save(&looks.join("classes.png"), side, &colours);
    for pass in valley.passes() {
        let scene = valley.shoot(pass);
        let name = format!("{}_{:03.0}.png", &pass.item_id[11..19], scene.cloud_percent());
        save(&looks.join(&name), side, &colour(&scene, pass.offset_dn, [2, 1, 0], 0.30));
        save(
            &looks.join(format!("false_{name}")),
            side,
            &colour(&scene, pass.offset_dn, [6, 2, 1], 0.45),
        );
        let scl: Vec<u8> = (0..side * side)
            .flat_map(|i| SCL[scene.scl[[i / side / 2, i % side / 2]] as usize])
            .collect();
        save(&looks.join(format!("scl_{name}")), side, &scl);
    }
}

const SCL: [[u8; 3]; 12] = [
    [0, 0, 0],
    [255, 0, 0],
    [47, 47, 47],
    [100, 50, 0],
    [0, 160, 0],
    [255, 230, 90],
    [0, 0, 255],
    [128, 128, 128],
    [192, 192, 192],
    [255, 255, 255],
    [100, 200, 255],
    [255, 150, 255],
];

fn colour(scene: &Scene, offset_dn: u16, bands: [usize; 3], top: f32) -> Vec<u8> {
    let side = scene.bands[2].dim().0;
    let mut out = Vec::with_capacity(side * side * 3);
    for i in 0..side * side {
        for b in bands {
            let counts = scene.bands[b][[i / side, i % side]];
            let value = f32::from(counts.saturating_sub(offset_dn)) / 10_000.0 / top;
            out.push((value.clamp(0.0, 1.0).powf(1.0 / 1.6) * 255.0) as u8);
        }
    }
    out
}

fn save(path: &Path, side: usize, rgb: &[u8]) {
    let file = BufWriter::new(File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, side as u32, side as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(rgb).unwrap();
}
