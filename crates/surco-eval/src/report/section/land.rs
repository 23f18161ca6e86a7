//! Sections that show the land: scenes, greening, map beside truth.

use std::collections::BTreeMap;

use surco_core::OffsetVerdict;

use super::{Block, Cell, Chart, Key, Numbers, Section, Shown};
use crate::report::ReportError;
use crate::report::chart::{css, ndvi_panel};
use crate::report::figure::{number, percent, png, short};
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
            let date = chip.date.to_string();
            let alt = words.fill(words.chip_alt, &[("date", &date)]);
            Ok(Shown { src: png(&chip.picture)?, alt, label: date })
        });
        let (n, from, to) =
            (report.chips.len().to_string(), first.date.to_string(), last.date.to_string());
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
    let lead = finding::scenes(&report.scenes, words).unwrap_or_default();
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
    }
}

pub(super) fn ndvi(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let dates = || report.ndvi.iter().flat_map(|c| c.points.iter().map(|p| p.date));
    let span = (dates().min()?, dates().max()?);
    let charts = report.ndvi.iter().map(|curve| Chart {
        heading: short(&curve.class.name, 60),
        svg: ndvi_panel(curve, span, words),
    });
    let mut said = finding::ndvi(&report.ndvi, words);
    said.push(words.ndvi_how.into());
    let block = Block::Charts {
        number: numbers.figure(),
        wide: false,
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

/// The share of pixels named right, as a sentence.
pub(super) fn agreement(map: &MapAndTruth, words: &Words) -> Option<String> {
    let counts = pairs(map)?;
    let known: u64 = counts.values().sum();
    let right: u64 = counts.iter().filter(|((t, m), _)| t == m).map(|(_, n)| n).sum();
    Some(words.fill(
        words.map_agree,
        &[
            ("share", &percent(right as f64 / known as f64, 1)),
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

fn painted(grid: &ClassGrid, colour: impl Fn(usize) -> [u8; 3]) -> Picture {
    let rgb = (0..grid.codes.len()).flat_map(colour).collect();
    Picture { width: grid.width, height: grid.height, rgb }
}

const WRONG: [u8; 3] = [200, 30, 60];

pub(super) fn map(
    report: &Report,
    words: &Words,
    numbers: &mut Numbers,
) -> Result<Option<Section>, ReportError> {
    let Some(map) = &report.map else { return Ok(None) };
    let colour = |code: u8| {
        let class = map.legend.classes().iter().find(|c| c.code == code);
        class.map_or([236, 236, 232], |c| c.colour)
    };
    let (a, b) = (&map.map, &map.truth);
    let mut shown = vec![
        (words.map_map, painted(a, |i| colour(a.codes[i]))),
        (words.map_truth, painted(b, |i| colour(b.codes[i]))),
    ];
    let counts = pairs(map);
    if counts.is_some() {
        let difference = |i: usize| match (a.codes[i], b.codes[i]) {
            (_, 0) => [250, 250, 248],
            (mapped, truth) if mapped == truth => [222, 224, 220],
            _ => WRONG,
        };
        shown.push((words.map_difference, painted(a, difference)));
    }
    let pictures = shown.into_iter().map(|(label, picture)| {
        Ok(Shown { src: png(&picture)?, alt: label.to_string(), label: label.to_string() })
    });
    let used = |code: u8| a.codes.contains(&code) || b.codes.contains(&code);
    let mut keys: Vec<Key> = map
        .legend
        .classes()
        .iter()
        .filter(|c| used(c.code))
        .map(|c| Key { colour: css(c.colour), svg: String::new(), label: short(&c.name, 60) })
        .collect();
    if counts.is_some() {
        let label = words.map_wrong.to_string();
        keys.push(Key { colour: css(WRONG), svg: String::new(), label });
    }
    let said: Vec<String> = agreement(map, words).into_iter().chain(worst(map, words)).collect();
    let block = Block::Pictures {
        number: numbers.figure(),
        big: true,
        pictures: pictures.collect::<Result<_, ReportError>>()?,
        keys,
        caption: said.join(" "),
    };
    let (heading, lead) = (words.map.into(), words.map_lead.into());
    Ok(Some(Section { id: "map", heading, lead, blocks: vec![block] }))
}
