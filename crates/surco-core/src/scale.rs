//! Digital numbers, the +1000 offset of processing baseline 04.00, and what was decided about it.

use serde::{Deserialize, Serialize};

/// What processing baselines from 04.00 on add to every digital number.
///
/// # Source
/// ESA, *Sentinel-2 Products Specification Document*, `BOA_ADD_OFFSET` (−1000 as delivered).
pub const BASELINE_OFFSET_DN: u16 = 1000;

/// Digital numbers per unit of reflectance, after harmonisation.
pub const QUANTIFICATION: f32 = 10_000.0;

/// What was decided about the offset of one scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetVerdict {
    /// The pixels carry +1000; it was subtracted.
    Subtracted,
    /// The pixels carry no offset, either because the baseline is older or because the mirror
    /// removed it; nothing was done.
    Absent,
}

/// What the pixels themselves say about the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelEvidence {
    /// Enough pixels lie below the offset: it cannot be there.
    Absent,
    /// Many pixels, dark ground among them, and none below the offset: it is there.
    Present,
    /// Too few pixels, or all so bright that both readings are possible.
    Silent,
}

/// Judges from one scene's digital numbers whether the +1000 offset is in them.
///
/// Ground in shadow, water and dense vegetation reflects less than 0.05 in at least one band, so a
/// scene without the offset has digital numbers well below 1000 and one with it has none. `dn` is
/// any sample of pixels of one band, 0 = no data.
///
/// At least 0.5 ‰ of the pixels (and ten) below 950 mean [`PixelEvidence::Absent`]: 950 leaves room for
/// the slightly negative reflectances that real atmospheric correction gives. None below 950 and at
/// least 0.5 ‰ below 1500 (dark ground seen through the offset) mean [`PixelEvidence::Present`].
pub fn pixel_evidence(dn: impl IntoIterator<Item = u16>) -> PixelEvidence {
    let (mut seen, mut below, mut dark) = (0_u64, 0_u64, 0_u64);
    for value in dn {
        if value == 0 {
            continue;
        }
        seen += 1;
        below += u64::from(value < BASELINE_OFFSET_DN - 50);
        dark += u64::from(value < BASELINE_OFFSET_DN + 500);
    }
    let few = (seen / 2000).max(10);
    if below >= few {
        PixelEvidence::Absent
    } else if below == 0 && dark >= few {
        PixelEvidence::Present
    } else {
        PixelEvidence::Silent
    }
}

/// The harmonised digital number: reflectance × 10⁻⁴, 0 = no data.
///
/// A pixel darker than the offset has a negative reflectance, which an unsigned cube cannot hold; it
/// becomes 1, so that it stays an observation.
#[inline]
#[must_use]
pub fn harmonise(dn: u16, verdict: OffsetVerdict) -> u16 {
    match verdict {
        OffsetVerdict::Absent => dn,
        OffsetVerdict::Subtracted if dn == 0 => 0,
        OffsetVerdict::Subtracted => dn.saturating_sub(BASELINE_OFFSET_DN).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand from the specification: reflectance = (DN − 1000) / 10000.
    #[test]
    fn the_offset_is_subtracted_once_and_no_data_stays() {
        for (dn, want) in [(0, 0), (1, 1), (1000, 1), (1001, 1), (3500, 2500), (65535, 64535)] {
            assert_eq!(harmonise(dn, OffsetVerdict::Subtracted), want, "dn {dn}");
        }
        assert_eq!(harmonise(3500, OffsetVerdict::Absent), 3500);
    }

    #[test]
    fn pixels_testify_only_when_they_can() {
        let field = |low: u16, n: u16| (0..n).map(move |i| low + i % 3000);
        assert_eq!(pixel_evidence(field(300, 9000)), PixelEvidence::Absent);
        assert_eq!(pixel_evidence(field(1300, 9000)), PixelEvidence::Present);
        assert_eq!(pixel_evidence(field(4000, 9000)), PixelEvidence::Silent, "a cloud");
        assert_eq!(pixel_evidence([0, 0, 300]), PixelEvidence::Silent, "one pixel proves nothing");
    }
}
