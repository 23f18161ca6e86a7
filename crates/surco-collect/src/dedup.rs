//! One scene an acquisition.

use std::collections::BTreeMap;

use crate::scene::Scene;

/// Keeps one scene of each acquisition and says how many were dropped.
///
/// Within a datatake and tile, the highest baseline wins; within a baseline, items of the same piece of
/// the strip are duplicates and the newest processing wins, while other pieces of a tile that was cut in
/// two all stay.
pub(crate) fn keep_best(scenes: Vec<Scene>) -> (Vec<Scene>, usize) {
    let before = scenes.len();
    let mut takes: BTreeMap<(String, String), Vec<Scene>> = BTreeMap::new();
    for scene in scenes {
        let take = scene.datatake.clone().unwrap_or_else(|| scene.key.clone());
        takes.entry((scene.tile.clone(), take)).or_default().push(scene);
    }
    let mut kept = Vec::new();
    for group in takes.into_values() {
        let best = group.iter().filter_map(|s| s.baseline.clone()).max();
        let mut pieces: BTreeMap<String, Scene> = BTreeMap::new();
        for scene in group.into_iter().filter(|s| s.baseline == best) {
            let rank = |s: &Scene| (s.generation.clone(), s.id.clone());
            match pieces.get(&scene.key) {
                Some(other) if rank(other) >= rank(&scene) => {}
                _ => {
                    pieces.insert(scene.key.clone(), scene);
                }
            }
        }
        kept.extend(pieces.into_values());
    }
    kept.sort_by(|a, b| (&a.tile, a.time_s, &a.key).cmp(&(&b.tile, b.time_s, &b.key)));
    let dropped = before - kept.len();
    (kept, dropped)
}
