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
