//! Sections that show the land: scenes, greening, map beside truth.

use std::collections::BTreeMap;

use surco_core::OffsetVerdict;

use super::{Block, Cell, Chart, Key, Layout, Numbers, Section, Shown};
use crate::report::ReportError;
use crate::report::chart::ndvi_panel;
use crate::report::figure::{number, percent, png, short, title};
use crate::report::finding;
use crate::report::input::{ClassGrid, MapAndTruth, Picture, Report};
use crate::report::words::Words;

pub(super) fn scenes(
    report: &Report,
    words: &Words,
    numbers: &mut Numbers,
) -> Result<Option<Section>, ReportError> {
    if report.scenes.is_empty() && report.chips.is_empty() {
        return Ok(None);
    }
    let mut blocks = Vec::new();
    if let (Some(first), Some(last)) = (report.chips.first(), report.chips.last()) {
        let pictures = report.chips.iter().map(|chip| {
            let label = words.day(chip.date);
            let alt = words.fill(words.chip_alt, &[("date", &label)]);
            let cloud = chip.cloud_percent.map(|c| number(c, 0));
            let note =
                cloud.map_or(String::new(), |c| words.fill(words.chip_cloud, &[("cloud", &c)]));
            Ok(Shown { src: png(&chip.picture)?, alt, label, note })
        });
        let (n, from, to) =
            (report.chips.len().to_string(), words.day(first.date), words.day(last.date));
        blocks.push(Block::Pictures {
            number: numbers.figure(),
            big: false,
            pictures: pictures.collect::<Result<_, ReportError>>()?,
            keys: Vec::new(),
            caption: words.fill(words.chips, &[("n", &n), ("from", &from), ("to", &to)]),
        });
    }
    if !report.scenes.is_empty() {
        blocks.push(scene_table(report, words, numbers.table()));
    }
    let mut lead = finding::scenes(&report.scenes, words).unwrap_or_default();
    if report.holes.as_ref().is_some_and(Vec::is_empty) && !lead.is_empty() {
        lead = format!("{lead} {}", words.holes_none);
    }
    Ok(Some(Section { id: "scenes", heading: words.scenes.into(), lead, blocks }))
}

fn scene_table(report: &Report, words: &Words, number_: usize) -> Block {
    let [date, platform, baseline, cloud, offset] = words.scenes_columns;
    let rows = report.scenes.iter().map(|scene| {
        let verdict = match scene.offset {
            OffsetVerdict::Subtracted => words.offset_subtracted,
            OffsetVerdict::Absent => words.offset_absent,
        };
        vec![
            Cell::words(scene.date.to_string()),
            Cell::words(&scene.platform),
            Cell::words(&scene.baseline),
            Cell::figure(format!("{} %", number(scene.cloud_percent, 0))),
            Cell::words(verdict),
        ]
    });
    let subtracted = report.scenes.iter().filter(|s| s.offset == OffsetVerdict::Subtracted).count();
    let (n, all) = (subtracted.to_string(), report.scenes.len().to_string());
    let found = words.fill(words.offsets_found, &[("n", &n), ("all", &all)]);
    Block::Table {
        number: number_,
        caption: format!("{} {found}", words.scenes_table),
        head: vec![
            Cell::words(date),
            Cell::words(platform),
            Cell::words(baseline),
            Cell::figure(cloud),
            Cell::words(offset),
        ],
        rows: rows.collect(),
        folded: report.scenes.len() > 12,
        matrix: false,
    }
}

pub(super) fn ndvi(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let dates = || report.ndvi.iter().flat_map(|c| c.points.iter().map(|p| p.date));
    let span = (dates().min()?, dates().max()?);
    let lows = report.ndvi.iter().flat_map(|c| c.points.iter().map(|p| p.low));
    let low = lows.filter(|v| v.is_finite()).fold(-0.1, f64::min).max(-0.5);
    let charts = report.ndvi.iter().map(|curve| Chart {
        heading: title(&curve.class.name, 60),
        svg: ndvi_panel(curve, (span, low), words),
        narrow: String::new(),
    });
    let mut said = finding::ndvi(&report.ndvi, words);
    said.push(words.ndvi_how.into());
    let block = Block::Charts {
        number: numbers.figure(),
        layout: Layout::Grid,
        charts: charts.collect(),
        keys: Vec::new(),
        caption: said.join(" "),
    };
    let (heading, lead) = (words.ndvi.into(), words.ndvi_lead.into());
    Some(Section { id: "ndvi", heading, lead, blocks: vec![block] })
}

/// Counts of (truth, mapped) over pixels whose truth is known; `None` if the grids differ.
fn pairs(map: &MapAndTruth) -> Option<BTreeMap<(u8, u8), u64>> {
    let (a, b) = (&map.map, &map.truth);
    if (a.width, a.height, a.codes.len()) != (b.width, b.height, b.codes.len()) {
        return None;
    }
    let mut counts = BTreeMap::new();
    for (&mapped, &truth) in a.codes.iter().zip(&b.codes).filter(|(_, truth)| **truth != 0) {
        *counts.entry((truth, mapped)).or_insert(0) += 1;
    }
    (!counts.is_empty()).then_some(counts)
}

/// The share of pixels named right.
pub(super) fn right_share(map: &MapAndTruth) -> Option<f64> {
    let counts = pairs(map)?;
    let right: u64 = counts.iter().filter(|((t, m), _)| t == m).map(|(_, n)| n).sum();
    Some(right as f64 / counts.values().sum::<u64>() as f64)
}

/// The share of pixels named right, as a sentence.
pub(super) fn agreement(map: &MapAndTruth, words: &Words) -> Option<String> {
    let known: u64 = pairs(map)?.values().sum();
    Some(words.fill(
        words.map_agree,
        &[
            ("share", &percent(right_share(map)?, 1)),
            ("n", &number(known as f64, 0)),
            ("ha", &number(known as f64 * map.pixel_m.powi(2) / 10_000.0, 0)),
            ("side", &number(map.pixel_m, 0)),
        ],
    ))
}

fn worst(map: &MapAndTruth, words: &Words) -> Option<String> {
    let counts = pairs(map)?;
    let wrong = || counts.iter().filter(|((t, m), _)| t != m && *m != 0);
    let (&(truth, mapped), &most) = wrong().max_by_key(|(_, n)| **n)?;
    let all: u64 = wrong().map(|(_, n)| n).sum();
    let name = |code: u8| {
        let class = map.legend.classes().iter().find(|c| c.code == code);
        class.map_or_else(|| code.to_string(), |c| short(&c.name, 60))
    };
    let share = percent(most as f64 / all as f64, 0);
    let values = [("truth", &*name(truth)), ("mapped", &*name(mapped)), ("share", &*share)];
    Some(words.fill(words.map_worst, &values))
}

/// From this probability on the map is called sure, in %.
const SURE: u8 = 80;

/// How right the map is where it is sure, and where it is not.
fn sureness(map: &MapAndTruth, words: &Words) -> Option<String> {
    pairs(map)?;
    let confidence = map.confidence.as_ref().filter(|c| c.codes.len() == map.map.codes.len())?;
    let pixels = map.map.codes.iter().zip(&map.truth.codes).zip(&confidence.codes);
    let (mut sure, mut rest) = ([0_u64; 2], [0_u64; 2]);
    for ((mapped, truth), sureness) in pixels.filter(|((_, truth), _)| **truth != 0) {
        let part = if *sureness >= SURE { &mut sure } else { &mut rest };
        part[usize::from(mapped == truth)] += 1;
    }
    let all = |part: [u64; 2]| (part[0] + part[1]) as f64;
    if all(sure) == 0.0 || all(rest) == 0.0 {
        return None;
    }
    let part = percent(all(sure) / (all(sure) + all(rest)), 0);
    let right = percent(sure[1] as f64 / all(sure), 0);
    let left = percent(rest[1] as f64 / all(rest), 0);
    let least = SURE.to_string();
    let values = [("sure", &*least), ("part", &*part), ("right", &*right), ("left", &*left)];
    Some(words.fill(words.map_sure, &values))
}

fn painted(grid: &ClassGrid, colour: impl Fn(usize) -> [u8; 3]) -> Picture {
    let rgb = (0..grid.codes.len()).flat_map(colour).collect();
    Picture { width: grid.width, height: grid.height, rgb }
}

fn class_colour(map: &MapAndTruth, code: u8) -> [u8; 3] {
    let class = map.legend.classes().iter().find(|c| c.code == code);
    class.map_or([236, 236, 232], |c| c.colour)
}

const WRONG: [u8; 3] = [200, 30, 60];

/// The map alone.
pub(super) fn small_map(map: &MapAndTruth, words: &Words) -> Result<Shown, ReportError> {
    let picture = painted(&map.map, |i| class_colour(map, map.map.codes[i]));
    let alt = words.map_map_alt.into();
    Ok(Shown { src: png(&picture)?, alt, label: String::new(), note: String::new() })
}

/// Map, truth, their difference and the map's own confidence, as far as they are there.
fn map_pictures(map: &MapAndTruth, words: &Words) -> Result<Vec<Shown>, ReportError> {
    let (a, b) = (&map.map, &map.truth);
    let show = |label: &str, note: &str, alt: &str, picture: &Picture| {
        Ok::<_, ReportError>(Shown {
            src: png(picture)?,
            alt: alt.into(),
            label: label.into(),
            note: note.into(),
        })
    };
    let mapped = painted(a, |i| class_colour(map, a.codes[i]));
    let truth = painted(b, |i| class_colour(map, b.codes[i]));
    let mut shown = vec![
        show(words.map_map, "", words.map_map_alt, &mapped)?,
        show(words.map_truth, "", words.map_truth_alt, &truth)?,
    ];
    if pairs(map).is_some() {
        let difference = painted(a, |i| match (a.codes[i], b.codes[i]) {
            (_, 0) => [250, 250, 248],
            (mapped, truth) if mapped == truth => [222, 224, 220],
            _ => WRONG,
        });
        let (label, alt) = (words.map_difference, words.map_difference_alt);
        shown.push(show(label, words.map_wrong, alt, &difference)?);
    }
    if let Some(grid) = map.confidence.as_ref().filter(|c| c.codes.len() == a.codes.len()) {
        let picture = painted(grid, |i| paleness(grid.codes[i]));
        let (label, alt) = (words.map_confidence, words.map_confidence_alt);
        shown.push(show(label, words.map_confidence_note, alt, &picture)?);
    }
    Ok(shown)
}

/// A probability in % as a colour: dark where it is small.
fn paleness(percent: u8) -> [u8; 3] {
    let share = (f64::from(percent.min(100)) / 100.0 - 0.2).max(0.0) / 0.8;
    let between = |dark: f64, pale: f64| (dark + share * (pale - dark)) as u8;
    [between(74.0, 240.0), between(30.0, 240.0), between(96.0, 232.0)]
}

pub(super) fn map(
    report: &Report,
    words: &Words,
    numbers: &mut Numbers,
) -> Result<Option<Section>, ReportError> {
    let Some(map) = &report.map else { return Ok(None) };
    let used = |code: u8| map.map.codes.contains(&code) || map.truth.codes.contains(&code);
    let classes = map.legend.classes().iter().filter(|c| used(c.code));
    let keys = classes.map(|c| Key::patch(c.colour, title(&c.name, 60))).collect();
    let said = [agreement(map, words), worst(map, words), sureness(map, words)];
    let block = Block::Pictures {
        number: numbers.figure(),
        big: true,
        pictures: map_pictures(map, words)?,
        keys,
        caption: said.into_iter().flatten().collect::<Vec<_>>().join(" "),
    };
    let (heading, lead) = (words.map.into(), words.map_lead.into());
    Ok(Some(Section { id: "map", heading, lead, blocks: vec![block] }))
}
