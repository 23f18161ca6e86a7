//! One scene an acquisition, whoever lists it.
//!
//! Services name the same acquisition differently: one gives a scene the time of its tile, another that of
//! its datatake, up to forty minutes earlier, and reprocessing changes every id. What they agree on is the
//! ground and the satellite, which cannot be over the same tile twice within an hour. So scenes of one
//! tile and satellite that are less than that apart are one take. A tile that was cut in two at a
//! downlink has two pieces in a take, told apart by when their strips began.

mod overlap;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use self::overlap::lies_in;
use crate::scene::Scene;

/// The longest datatake has 40 minutes; the next orbit over the same tile comes 60 after its end.
const TAKE_S: i64 = 50 * 60;
/// Ground segments cut the same strip some seconds apart; two strips are a minute long at least.
const STRIP_S: i64 = 5;

/// Keeps one scene of each acquisition and says how many were not kept.
///
/// Of an acquisition the highest baseline is kept; of these the one of the preferred catalog; of these the
/// newest. What other catalogs have of the same baseline on the same grid goes along as
/// [`Scene::others`], in the same order. Both pieces of a tile that was cut in two stay.
pub(crate) fn keep_best(scenes: Vec<Scene>) -> (Vec<Scene>, usize) {
    let before = scenes.len();
    let mut tiles: BTreeMap<(String, String), Vec<Scene>> = BTreeMap::new();
    for scene in scenes {
        let platform = platform(&scene).unwrap_or_default();
        tiles.entry((scene.tile.clone(), platform)).or_default().push(scene);
    }
    let mut kept = Vec::new();
    for mut scenes in tiles.into_values() {
        scenes.sort_by_key(|scene| scene.time_s);
        let mut take: Vec<Scene> = Vec::new();
        for scene in scenes {
            let start = take.first().map_or(scene.time_s, |first| first.time_s);
            if scene.time_s - start > TAKE_S {
                kept.extend(pieces_of(std::mem::take(&mut take)));
            }
            take.push(scene);
        }
        kept.extend(pieces_of(take));
    }
    kept.sort_by(|a, b| (&a.tile, a.time_s, &a.key).cmp(&(&b.tile, b.time_s, &b.key)));
    let dropped = before - kept.len();
    (kept, dropped)
}

/// Keeps the best scene of each key and says how many were not kept: scenes without a tile are frames, of
/// which a take has many.
pub(crate) fn keep_best_frames(mut scenes: Vec<Scene>) -> (Vec<Scene>, usize) {
    let before = scenes.len();
    scenes.sort_by(|a, b| (a.time_s, &a.key).cmp(&(b.time_s, &b.key)).then_with(|| better(a, b)));
    scenes.dedup_by(|next, kept| next.key == kept.key && next.time_s == kept.time_s);
    let dropped = before - scenes.len();
    (scenes, dropped)
}

/// The last letter of `sentinel-2a` and `Sentinel-2A`.
fn platform(scene: &Scene) -> Option<String> {
    let named = scene.platform.as_deref().map(str::to_ascii_uppercase);
    named.map(|name| name.rsplit('-').next().unwrap_or_default().to_string())
}

/// One scene for each piece of the tile that a take shows.
fn pieces_of(mut take: Vec<Scene>) -> Vec<Scene> {
    take.sort_by(better);
    let mut pieces: Vec<Scene> = Vec::new();
    for scene in take {
        let one = pieces.iter().position(|piece| shows(&scene, piece));
        match one.or_else(|| first_of_several(&scene, &pieces)) {
            Some(piece) => stand_by(&mut pieces[piece], scene),
            None => pieces.push(scene),
        }
    }
    pieces
}

/// Keeps a scene as another source of a better one, if its pixels are as good.
fn stand_by(best: &mut Scene, scene: Scene) {
    let last = best.others.last().map_or(best.rank, |last| last.rank);
    // Within a catalog and collection only the newest counts.
    if scene.baseline == best.baseline && scene.grid == best.grid && scene.rank != last {
        best.others.push(scene);
    }
}

/// The better of two scenes of one acquisition first.
fn better(a: &Scene, b: &Scene) -> std::cmp::Ordering {
    fn rank(s: &Scene) -> (Option<&String>, Reverse<usize>, Option<&String>, &String) {
        (s.baseline.as_ref(), Reverse(s.rank), s.generation.as_ref(), &s.id)
    }
    rank(b).cmp(&rank(a))
}

/// Whether a scene shows nothing but the piece of the tile that a better one shows.
fn shows(scene: &Scene, best: &Scene) -> bool {
    match (strip_start(scene), strip_start(best)) {
        (Some(own), Some(other)) if (own - other).abs() <= STRIP_S => true,
        (None, None) if scene.rank == best.rank => scene.time_s == best.time_s,
        _ => may_be_cut_elsewhere(scene, best) && lies_in(&scene.outline, &best.outline),
    }
}

/// Within a service and a baseline other strips are other pieces; otherwise the strip may have been cut
/// elsewhere, or one of the two items does not say when it began.
fn may_be_cut_elsewhere(scene: &Scene, best: &Scene) -> bool {
    scene.rank != best.rank || scene.baseline != best.baseline
}

/// The first of the better pieces that together show all of a scene.
fn first_of_several(scene: &Scene, pieces: &[Scene]) -> Option<usize> {
    let better = |piece: &&Scene| may_be_cut_elsewhere(scene, piece);
    let outlines: Vec<_> =
        pieces.iter().filter(better).flat_map(|piece| piece.outline.iter().cloned()).collect();
    if outlines.is_empty() || !lies_in(&scene.outline, &outlines) {
        return None;
    }
    pieces.iter().position(|piece| may_be_cut_elsewhere(scene, piece))
}

/// When the strip of a scene began, if its item says so.
fn strip_start(scene: &Scene) -> Option<i64> {
    let text = scene.key.rsplit_once('/')?.1;
    // 20240422T174753
    if !text.is_ascii() || text.len() < 15 {
        return None;
    }
    let (date, time) = (&text[..8], &text[9..15]);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::href::{Base, Place};
    use crate::pool::Pool;
    use crate::scene::Reading;

    /// The take of all scenes here: it began at 17:39:11, the tile was seen at 17:53:02.
    const TAKE: &str = "GS2A_20240422T173911_046141";
    const WHOLE: [f64; 4] = [-106.0, 39.6, -104.8, 40.6];

    /// A scene: catalog, collection, baseline, strip.
    fn scene(rank: usize, id: &str, baseline: &str, strip: &str, outline: [f64; 4]) -> Scene {
        let asset = |px: usize| {
            json!({
                "href": format!("{id}.tif"),
                "proj:shape": [40 / px, 40 / px],
                "proj:transform": [px, 0, 399_960, 0, -(px as i64), 4_500_000],
            })
        };
        let item = json!({
            "id": id,
            "bbox": outline,
            "properties": {
                "datetime": "2024-04-22T17:53:02Z",
                "platform": "sentinel-2a",
                "grid:code": "MGRS-13TDE",
                "proj:epsg": 32613,
                "s2:processing_baseline": baseline,
                "s2:datatake_id": format!("{TAKE}_N{baseline}"),
                "s2:datastrip_id":
                    format!("S2A_OPER_MSI_L2A_DS_2APS_20240423T004950_S{strip}_N{baseline}"),
            },
            "assets": { "red": asset(10), "scl": asset(20) },
        });
        let base = Base::of(&Place::of("/x/items.json").unwrap());
        let pool = Pool::default();
        let reading = Reading { rank, ..Reading::plain(&[2], &base, &pool) };
        reading.scene(serde_json::from_value(item).unwrap()).unwrap()
    }

    /// Ids of the scenes that are kept, each with its others, and the number dropped.
    fn kept(scenes: Vec<Scene>) -> (Vec<String>, usize) {
        let (kept, dropped) = keep_best(scenes);
        let told = |scene: Scene| {
            scene.others.iter().fold(scene.id, |told, other| format!("{told}<{}", other.id))
        };
        (kept.into_iter().map(told).collect(), dropped)
    }

    #[test]
    fn the_highest_baseline_wins_then_the_preferred_catalog_then_the_newest() {
        let strip = "20240422T174753";
        let make = |rank, id, baseline| scene(rank, id, baseline, strip, WHOLE);
        let mut newer = make(1, "newer", "05.10");
        newer.generation = Some("2024-05-01T00:00:00Z".into());
        let scenes = vec![make(2, "third", "05.10"), make(1, "second", "05.10"), newer];
        assert_eq!(kept(scenes.clone()), (vec!["newer<third".into()], 2));
        let mut more = scenes;
        more.push(make(0, "first", "05.10"));
        assert_eq!(kept(more.clone()), (vec!["first<newer<third".into()], 3));
        more.push(make(3, "reprocessed", "05.11"));
        assert_eq!(kept(more), (vec!["reprocessed".into()], 4), "older pixels are no stand-in");
    }

    #[test]
    fn services_that_name_an_acquisition_differently_are_understood() {
        let own = scene(0, "own", "05.10", "20240422T174753", WHOLE);
        // The time of the datatake, another spelling, a strip cut three seconds later.
        let mut other = scene(1, "other", "05.10", "20240422T174756", WHOLE);
        other.time_s -= 831;
        other.platform = Some("Sentinel-2A".into());
        assert_eq!(kept(vec![other.clone(), own.clone()]), (vec!["own<other".into()], 1));
        // Neither datatake nor strip.
        other.key = format!("Sentinel-2A/{}", other.time_s);
        assert_eq!(kept(vec![other.clone(), own.clone()]), (vec!["own<other".into()], 1));
        // The next orbit, and the other satellite.
        let mut later = other.clone();
        later.time_s += 6000;
        other.platform = Some("sentinel-2b".into());
        assert_eq!(kept(vec![own, other, later]).1, 0);
    }

    #[test]
    fn both_pieces_of_a_cut_tile_stay_and_a_service_fills_the_gap_of_another() {
        let (north, south) = ([-106.0, 40.1, -104.8, 40.6], [-106.0, 39.6, -104.8, 40.12]);
        let (early, late) = ("20240422T174753", "20240422T175250");
        let both = vec![
            scene(0, "north", "05.10", early, north),
            scene(0, "south", "05.10", late, south),
            scene(1, "other-south", "05.10", late, south),
        ];
        assert_eq!(kept(both), (vec!["north".into(), "south<other-south".into()], 1));
        let gap = vec![
            scene(0, "north", "05.10", early, north),
            scene(1, "other-north", "05.09", early, north),
            scene(1, "other-south", "05.09", late, south),
        ];
        assert_eq!(kept(gap), (vec!["north".into(), "other-south".into()], 1));
    }

    #[test]
    fn a_reprocessing_that_was_cut_elsewhere_takes_the_place_of_the_older_pieces() {
        let (north, south) = ([-106.0, 40.1, -104.8, 40.6], [-106.0, 39.6, -104.8, 40.12]);
        let old = || {
            vec![
                scene(0, "north", "02.14", "20240422T174753", north),
                scene(0, "south", "02.14", "20240422T175250", south),
            ]
        };
        let whole = scene(0, "whole", "05.00", "20240422T174700", WHOLE);
        assert_eq!(kept([old(), vec![whole]].concat()), (vec!["whole".into()], 2));
        let half = scene(0, "half", "05.00", "20240422T174700", north);
        assert_eq!(kept([old(), vec![half]].concat()).0, ["half", "south"], "nothing is lost");
        let whole = scene(0, "whole", "02.00", "20240422T174700", WHOLE);
        assert_eq!(kept([old(), vec![whole]].concat()), (vec!["north".into(), "south".into()], 1));
    }

    #[test]
    fn another_grid_is_no_stand_in() {
        let mut moved = scene(1, "moved", "05.10", "20240422T174753", WHOLE);
        moved.grid.georef.x0_m += 40.0;
        let own = scene(0, "own", "05.10", "20240422T174753", WHOLE);
        assert_eq!(kept(vec![own, moved]), (vec!["own".into()], 1));
    }

    #[test]
    fn frames_of_one_take_all_stay_and_only_what_is_listed_twice_goes() {
        let frames = vec![
            scene(0, "A", "05.00", "20240422T174753", WHOLE),
            scene(1, "B", "05.00", "20240422T174853", WHOLE),
            scene(1, "C", "05.10", "20240422T174753", WHOLE),
        ];
        let (kept, dropped) = keep_best_frames(frames);
        let ids: Vec<&str> = kept.iter().map(|s| s.id.as_str()).collect();
        assert_eq!((ids.as_slice(), dropped), (["C", "B"].as_slice(), 1));
    }
}
