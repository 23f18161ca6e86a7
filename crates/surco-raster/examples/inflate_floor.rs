//! The least that a cube can cost: inflating its blocks, with nothing else to do.
//!
//! `inflate_floor LIST COL ROW SIDE [THREADS]`: LIST names the files, one a line; the window is in pixels of
//! the finest. All needed blocks are read into memory first, then inflated by two threads. Prints one JSON
//! line.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use libdeflater::Decompressor;
use surco_core::Window;
use surco_raster::cog::CogFile;

/// A block's bytes in its file, and its length once inflated.
type Block = (Vec<u8>, usize);

fn needed(path: &str, (col, row, side): (usize, usize, usize), finest: usize) -> Vec<Block> {
    let file = CogFile::open(path).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let header = file.header();
    let factor = finest / header.width;
    let (row0, col0) = (row / factor, col / factor);
    let window = Window {
        row: row0,
        col: col0,
        rows: (row + side).div_ceil(factor) - row0,
        cols: (col + side).div_ceil(factor) - col0,
    };
    let raw = header.block.0 * header.block.1 * header.block_bands() * header.sample.bytes();
    let blocks = header.blocks_for(0, window).into_iter();
    blocks
        .map(|block| {
            let range = header.byte_range(block).unwrap();
            (bytes[range.start as usize..range.end as usize].to_vec(), raw)
        })
        .collect()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args[i].parse().unwrap();
    let list = std::fs::read_to_string(&args[0]).unwrap();
    let window = (number(1), number(2), number(3));
    let threads: usize = args.get(4).map_or(2, |n| n.parse().unwrap());
    let width = |path: &str| CogFile::open(path).unwrap().header().width;
    let finest = list.lines().map(width).max().unwrap();
    let blocks: Vec<Block> = list.lines().flat_map(|path| needed(path, window, finest)).collect();

    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut inflater = Decompressor::new();
                let mut raw = Vec::new();
                while let Some((bytes, len)) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    raw.resize(*len, 0);
                    assert_eq!(inflater.zlib_decompress(bytes, &mut raw).unwrap(), *len);
                }
            });
        }
    });
    let wall = began.elapsed().as_secs_f64();
    let wire: usize = blocks.iter().map(|b| b.0.len()).sum();
    let raw: usize = blocks.iter().map(|b| b.1).sum();
    println!(
        "{{\"tool\": \"inflate_floor\", \"wall\": {wall:.3}, \"blocks\": {}, \"threads\": {threads}, \
         \"wire_gb\": {:.3}, \"raw_gb\": {:.3}}}",
        blocks.len(),
        wire as f64 / 1e9,
        raw as f64 / 1e9,
    );
}
