//! Parts of blocks that a later shard of the same run needs.
//!
//! A 20 m block covers four cells. It is fetched and decoded once; the parts of the three cells whose turn
//! has not come wait here. Over its budget nothing is parked, and such a block is fetched again.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::fetching::lock;
use crate::piece::Piece;

/// Memory for waiting parts: three quarters of a shard's 20 m blocks take 117 MB.
const BUDGET: usize = 128 << 20;

/// Scene, asset, block and cell, by their numbers in the plan and the file.
pub(crate) type ParkKey = (usize, usize, usize, usize);

/// The waiting parts.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    lot: Mutex<Lot>,
}

#[derive(Debug, Default)]
struct Lot {
    bytes: usize,
    pieces: HashMap<ParkKey, Piece>,
}

impl Parked {
    pub(crate) fn park(&self, key: ParkKey, cut: impl FnOnce() -> Option<Piece>) {
        let full = |lot: &Lot| lot.bytes >= BUDGET || lot.pieces.contains_key(&key);
        if full(&lock(&self.lot)) {
            return;
        }
        // Cut without the lock: other threads park meanwhile.
        let Some(piece) = cut() else { return };
        let mut lot = lock(&self.lot);
        if !full(&lot) {
            lot.bytes += piece.bytes();
            lot.pieces.insert(key, piece);
        }
    }

    pub(crate) fn take(&self, key: ParkKey) -> Option<Piece> {
        let mut lot = lock(&self.lot);
        let piece = lot.pieces.remove(&key)?;
        lot.bytes -= piece.bytes();
        Some(piece)
    }

    /// Drops what a cell did not take of a scene: all of it was cloudy there.
    pub(crate) fn forget(&self, scene: usize, cell: usize) {
        let mut lot = lock(&self.lot);
        let Lot { bytes, pieces } = &mut *lot;
        pieces.retain(|key, piece| {
            let keep = (key.0, key.3) != (scene, cell);
            *bytes -= if keep { 0 } else { piece.bytes() };
            keep
        });
    }
}
