//! Whether a scene's pixels carry the +1000 of processing baseline 04.00.
//!
//! Catalogs lie about it, so a rule a source gives an expectation and the pixels are asked. Where both
//! agree, or the pixels say nothing, the expectation holds. Where they contradict, the pixels win only if
//! the catalog contradicts itself; otherwise nobody knows, and the scene is left out as a hole.

use jiff::civil::{Date, date};
use surco_core::{OffsetVerdict, PixelEvidence, pixel_evidence};
use surco_store::OffsetRecord;

use crate::scene::Scene;

/// From this day on, new products had baseline 04.00.
///
/// # Source
/// ESA, *Sentinel-2 Products Specification Document*, processing baseline 04.00.
const FIRST_DAY: Date = date(2022, 1, 25);

/// Share of dark pixels below the offset that a handful of over-corrected shadows does not reach.
const DECISIVE: f64 = 0.05;

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
        return Expectation { rule: "earthsearch:boa_offset_applied", expected, fields_disagree };
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
    if evidence == PixelEvidence::Absent {
        let below = witnesses.iter().filter(|&&dn| dn > 0 && dn < 950).count();
        if (below as f64) < DECISIVE * witnesses.len() as f64 {
            return PixelEvidence::Silent;
        }
    }
    evidence
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
        None => Some(expected),
        Some(seen) if seen == expected || fields_disagree => Some(seen),
        Some(_) => None,
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
    use crate::href::{Base, Href};
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
        let base = Base::of(&Href::of("/x/items.json").unwrap());
        let sensor = surco_core::Sensor::default();
        let reading = Reading { sensor: &sensor, bands: &[2], base: &base, catalog: "local" };
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
}
