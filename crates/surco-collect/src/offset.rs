//! Whether a scene's pixels carry the +1000 of processing baseline 04.00.
//!
//! Catalogs lie about it, so a rule a source gives an expectation and the pixels are asked. Where both
//! agree, or the pixels say nothing, the expectation holds. Where they contradict, the pixels win if the
//! catalog contradicts itself or if they leave no doubt; otherwise nobody knows, and the scene is left out
//! as a hole. So is one of which the catalog contradicts itself and the pixels say nothing.

use jiff::civil::{Date, date};
use surco_core::{OffsetVerdict, PixelEvidence, pixel_evidence};
use surco_store::OffsetRecord;

use crate::scene::Scene;

/// From this day on, new products had baseline 04.00.
///
/// # Source
/// ESA, *Sentinel-2 Products Specification Document*, processing baseline 04.00.
const FIRST_DAY: Date = date(2022, 1, 25);

/// The rule of Earth Search's legacy archive.
const LEGACY: &str = "earthsearch:boa_offset_applied";

/// Nothing with the offset is darker, but for slightly negative reflectances.
const DARKEST_DN: u16 = 950;
/// Share of dark pixels below the offset that a handful of over-corrected shadows does not reach.
const DECISIVE: f64 = 0.05;

/// Fewer witnesses overrule nobody, and prove no offset unless some are darker than it.
const MANY: usize = 100;
/// So many must all lie above the offset to overrule a catalog that denies it: a small clearing under haze
/// may be as bright.
const VERY_MANY: usize = 1000;
/// With the offset this would be a reflectance of -0.04, which no correction gives to a hundredth of the
/// clear vegetation and water.
const IMPOSSIBLE_DN: u16 = 600;
/// Share of witnesses below the offset beside those.
const MANY_BELOW: f64 = 0.2;
/// The darkest hundredth of a thousand clear witnesses is darker than 0.07 in every real scene, hazy ones
/// among them (118 dates over Flanders: at most 0.07); this is that with the offset, and a little over.
const DARK_WITH_OFFSET_DN: u16 = 1800;

/// What a catalog's fields lead to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expectation {
    pub(crate) rule: &'static str,
    pub(crate) expected: OffsetVerdict,
    pub(crate) fields_disagree: bool,
}

/// The rule table.
///
/// | source | expectation | the fields disagree if |
/// |---|---|---|
/// | Earth Search `sentinel-2-c1-l2a` | by baseline | the declared offset says otherwise |
/// | Earth Search legacy, `earthsearch:boa_offset_applied` | removed if true, else by baseline | the declared offset says otherwise |
/// | any other with a baseline and no declared offset | by baseline | – |
/// | any other with a declared offset | as declared | the baseline says otherwise |
/// | neither | by date | – |
pub(crate) fn expect(scene: &Scene) -> Expectation {
    let as_verdict = |there: bool| {
        if there { OffsetVerdict::Subtracted } else { OffsetVerdict::Absent }
    };
    let by_baseline = scene.baseline.as_deref().map(|b| as_verdict(b >= "04.00"));
    let declared = scene.declared_offset.map(|offset| as_verdict(offset < -0.01));
    let disagrees = |other: Option<OffsetVerdict>, expected| other.is_some_and(|o| o != expected);
    let by_date = as_verdict(scene.day >= FIRST_DAY);
    if scene.collection.as_deref() == Some("sentinel-2-c1-l2a") {
        let expected = by_baseline.or(declared).unwrap_or(by_date);
        let fields_disagree = disagrees(declared, expected);
        return Expectation { rule: "sentinel-2-c1-l2a", expected, fields_disagree };
    }
    if let Some(applied) = scene.boa_offset_applied {
        let expected = if applied { OffsetVerdict::Absent } else { by_baseline.unwrap_or(by_date) };
        let fields_disagree = disagrees(declared, expected);
        return Expectation { rule: LEGACY, expected, fields_disagree };
    }
    match (declared, by_baseline) {
        (Some(expected), by_baseline) => Expectation {
            rule: "declared offset",
            expected,
            fields_disagree: disagrees(by_baseline, expected),
        },
        (None, Some(expected)) => {
            Expectation { rule: "baseline", expected, fields_disagree: false }
        }
        (None, None) => Expectation { rule: "date", expected: by_date, fields_disagree: false },
    }
}

/// What witnesses say: digital numbers of ground that is dark in their band.
pub(crate) fn hear(witnesses: &[u16]) -> PixelEvidence {
    let evidence = pixel_evidence(witnesses.iter().copied());
    let below = below(witnesses, DARKEST_DN) as f64;
    if evidence == PixelEvidence::Absent && below < DECISIVE * witnesses.len() as f64 {
        return PixelEvidence::Silent;
    }
    let high = below == 0.0 && a_hundredth_below(witnesses, DARK_WITH_OFFSET_DN);
    if evidence == PixelEvidence::Silent && witnesses.len() >= MANY && high {
        return PixelEvidence::Present;
    }
    evidence
}

/// Whether what witnesses say leaves no doubt, whatever the catalog says.
///
/// | evidence | overwhelming if |
/// |---|---|
/// | absent | of 100 or more, a hundredth lies below 600 and a fifth below 950 |
/// | present | of 1000 or more, none lies below 950 and a hundredth below 1800 |
///
/// Measured on 118 real dates over Flanders (no offset) and on them with 1000 added: of 69 dates with
/// witnesses, 62 and 57 are overwhelming, none of them wrongly.
fn is_overwhelming(evidence: PixelEvidence, witnesses: &[u16]) -> bool {
    match evidence {
        PixelEvidence::Absent => {
            witnesses.len() >= MANY
                && a_hundredth_below(witnesses, IMPOSSIBLE_DN)
                && below(witnesses, DARKEST_DN) as f64 >= MANY_BELOW * witnesses.len() as f64
        }
        PixelEvidence::Present => {
            witnesses.len() >= VERY_MANY && a_hundredth_below(witnesses, DARK_WITH_OFFSET_DN)
        }
        PixelEvidence::Silent => false,
    }
}

fn below(witnesses: &[u16], limit: u16) -> usize {
    witnesses.iter().filter(|&&dn| dn > 0 && dn < limit).count()
}

fn a_hundredth_below(witnesses: &[u16], limit: u16) -> bool {
    below(witnesses, limit) * 100 >= witnesses.len()
}

/// Whether ground of this scene class is dark in a band (its place in `S2_BANDS`): vegetation in the
/// visible, clear water beyond it.
pub(crate) fn is_witness(scl: u8, band: usize) -> bool {
    match scl {
        4 => band <= 2,
        6 => band >= 7,
        _ => false,
    }
}

/// Decides about one scene.
pub(crate) fn judge(expectation: Expectation, witnesses: &[u16]) -> OffsetRecord {
    let evidence = hear(witnesses);
    let Expectation { rule, expected, fields_disagree } = expectation;
    let seen = match evidence {
        PixelEvidence::Present => Some(OffsetVerdict::Subtracted),
        PixelEvidence::Absent => Some(OffsetVerdict::Absent),
        PixelEvidence::Silent => None,
    };
    let verdict = match seen {
        // The fields of the legacy archive always disagree: there its flag is the one to believe.
        None if fields_disagree && rule != LEGACY => None,
        None => Some(expected),
        Some(seen) if seen == expected || fields_disagree => Some(seen),
        Some(seen) => is_overwhelming(evidence, witnesses).then_some(seen),
    };
    OffsetRecord {
        rule: rule.into(),
        expected,
        fields_disagree,
        evidence,
        witnesses: witnesses.len() as u64,
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::href::{Base, Place};
    use crate::pool::Pool;
    use crate::scene::Reading;

    /// A scene as a service describes it.
    fn scene(collection: &str, baseline: Option<&str>, declared: Option<f64>, day: &str) -> Scene {
        let asset = json!({
            "href": "a.tif",
            "proj:shape": [4, 4],
            "proj:transform": [10, 0, 300_000, 0, -10, 6_100_000],
            "raster:bands": [{ "offset": declared }],
        });
        let item = json!({
            "id": "S2B_19HBA_1",
            "collection": collection,
            "properties": {
                "datetime": format!("{day}T14:00:00Z"),
                "proj:epsg": 32719,
                "s2:processing_baseline": baseline,
            },
            "assets": { "red": asset, "scl": asset },
        });
        let base = Base::of(&Place::of("/x/items.json").unwrap());
        let pool = Pool::default();
        let reading = Reading::plain(&[2], &base, &pool);
        reading.scene(serde_json::from_value(item).unwrap()).unwrap()
    }

    /// The fields of items as the services really write them; see `earthsearch_v1_*` and
    /// `planetary_computer_*` among the recorded answers.
    #[test]
    fn each_source_has_its_rule() {
        use OffsetVerdict::{Absent, Subtracted};
        let rule = |scene: &Scene| {
            let e = expect(scene);
            (e.rule, e.expected, e.fields_disagree)
        };
        let c1 = scene("sentinel-2-c1-l2a", Some("05.10"), Some(-0.1), "2024-04-22");
        assert_eq!(rule(&c1), ("sentinel-2-c1-l2a", Subtracted, false));
        let odd = scene("sentinel-2-c1-l2a", Some("05.10"), Some(0.0), "2024-04-22");
        assert_eq!(rule(&odd), ("sentinel-2-c1-l2a", Subtracted, true));
        let mut legacy = scene("sentinel-2-l2a", Some("05.09"), Some(-0.1), "2023-10-08");
        legacy.boa_offset_applied = Some(true);
        assert_eq!(rule(&legacy), ("earthsearch:boa_offset_applied", Absent, true));
        let planetary = scene("sentinel-2-l2a", Some("02.12"), None, "2019-01-01");
        assert_eq!(rule(&planetary), ("baseline", Absent, false));
        let unnamed = scene("wc-31UDS", None, Some(0.0), "2017-08-04");
        assert_eq!(rule(&unnamed), ("declared offset", Absent, false));
        let bare = scene("x", None, None, "2022-01-25");
        assert_eq!(rule(&bare), ("date", Subtracted, false));
    }

    #[test]
    fn a_few_dark_shadows_do_not_outvote_a_scene() {
        let vegetation = |low: u16| (0..10_000).map(move |i| low + i % 400);
        let judge = |dn: Vec<u16>| hear(&dn);
        assert_eq!(judge(vegetation(300).collect()), PixelEvidence::Absent);
        assert_eq!(judge(vegetation(1300).collect()), PixelEvidence::Present);
        let shadows = (0..100).map(|_| 900);
        assert_eq!(judge(vegetation(1300).chain(shadows).collect()), PixelEvidence::Silent);
    }

    /// A consistent catalog that says this, and pixels.
    fn verdict(expected: OffsetVerdict, witnesses: &[u16]) -> Option<OffsetVerdict> {
        judge(Expectation { rule: "baseline", expected, fields_disagree: false }, witnesses).verdict
    }

    fn spread(low: u16, step: u16, count: u16) -> Vec<u16> {
        (0..count).map(|i| low + i % step).collect()
    }

    #[test]
    fn a_consistent_catalog_is_overruled_only_beyond_doubt() {
        use OffsetVerdict::{Absent, Subtracted};
        // A clear summer day, and the same with the offset.
        assert_eq!(verdict(Subtracted, &spread(250, 700, 5000)), Some(Absent));
        assert_eq!(verdict(Absent, &spread(1250, 700, 5000)), Some(Subtracted));
        // Overcorrected in winter: reflectances of -0.03 to 0 under the offset, or haze without it.
        let winter = spread(700, 300, 5000);
        assert_eq!(verdict(Subtracted, &winter), None);
        assert_eq!(verdict(Absent, &winter), Some(Absent));
        // A clearing under haze is as bright as one with the offset.
        let clearing = spread(1300, 400, 300);
        assert_eq!(verdict(Absent, &clearing), None);
        assert_eq!(verdict(Subtracted, &clearing), Some(Subtracted));
        // Bright ground or almost none says nothing: the catalog is believed.
        for silent in [spread(2200, 900, 5000), spread(1100, 100, 9), Vec::new()] {
            assert_eq!(hear(&silent), PixelEvidence::Silent);
            assert_eq!(verdict(Absent, &silent), Some(Absent));
            assert_eq!(verdict(Subtracted, &silent), Some(Subtracted));
        }
    }

    #[test]
    fn nobody_guesses_where_a_catalog_contradicts_itself_and_pixels_say_nothing() {
        let verdict = |rule| {
            let expected = OffsetVerdict::Absent;
            judge(Expectation { rule, expected, fields_disagree: true }, &[]).verdict
        };
        assert_eq!(verdict("declared offset"), None);
        assert_eq!(verdict(LEGACY), Some(OffsetVerdict::Absent));
    }

    /// The haziest date over Flanders that has witnesses (13 June 2018), by its quantiles, and with 1000
    /// added: neither overrules, both contradict a catalog that says otherwise.
    #[test]
    fn haze_contradicts_a_lying_catalog_and_agrees_with_an_honest_one() {
        use OffsetVerdict::{Absent, Subtracted};
        let hazy: Vec<u16> = (0..832).map(|i| 610 + i * 850 / 832).collect();
        assert_eq!((verdict(Subtracted, &hazy), verdict(Absent, &hazy)), (None, Some(Absent)));
        let with: Vec<u16> = hazy.iter().map(|dn| dn + 1000).collect();
        assert_eq!((verdict(Absent, &with), verdict(Subtracted, &with)), (None, Some(Subtracted)));
    }
}
