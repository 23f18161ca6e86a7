//! The page as sections of blocks, figures and tables numbered in order; what has no data has no section.

mod evidence;
mod land;

use serde::Serialize;

use super::ReportError;
use super::chart::Room;
use super::figure::{duration, number};
use super::finding;
use super::input::Report;
use super::words::Words;

/// One section of the page.
#[derive(Serialize)]
pub(super) struct Section {
    id: &'static str,
    heading: String,
    lead: String,
    blocks: Vec<Block>,
}

/// One thing in a section.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Block {
    /// SVG drawings side by side, each with a heading of its own or none.
    Charts { number: usize, layout: Layout, charts: Vec<Chart>, keys: Vec<Key>, caption: String },
    /// Pictures side by side.
    Pictures { number: usize, big: bool, pictures: Vec<Shown>, keys: Vec<Key>, caption: String },
    /// A table.
    Table {
        number: usize,
        caption: String,
        head: Vec<Cell>,
        rows: Vec<Vec<Cell>>,
        folded: bool,
        /// Columns are the classes again: narrow, names upright.
        matrix: bool,
    },
    /// Sentences.
    Text { sentences: Vec<String> },
    /// A list under a heading.
    List { heading: String, items: Vec<String> },
}

/// How drawings share the width of the page.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layout {
    /// One to a line; scrolls where the screen is narrow.
    Wide,
    /// Two to a line.
    Pair,
    /// As many small ones as fit.
    Grid,
}

/// One drawing.
#[derive(Serialize)]
pub(super) struct Chart {
    heading: String,
    svg: String,
    /// The same for a phone, where it differs.
    narrow: String,
}

impl Chart {
    /// A chart without a heading, drawn for a desk and for a phone.
    fn both(draw: impl Fn(Room) -> String) -> Self {
        Self { heading: String::new(), svg: draw(Room::Desk), narrow: draw(Room::Phone) }
    }
}

/// One picture.
#[derive(Serialize)]
pub(super) struct Shown {
    src: String,
    alt: String,
    label: String,
    note: String,
}

/// One entry of a legend, its mark drawn as SVG.
#[derive(Serialize)]
pub(super) struct Key {
    svg: String,
    label: String,
}

impl Key {
    /// A patch of colour.
    fn patch(colour: [u8; 3], label: String) -> Self {
        let mut svg = super::chart::Svg::mute(16.0, 16.0);
        svg.push(format_args!(
            r#"<rect x="1.5" y="1.5" width="13" height="13" rx="2" style="fill:{}"/>"#,
            super::chart::css(colour)
        ));
        Self { svg: svg.finish(), label }
    }
}

/// One cell of a table.
#[derive(Serialize)]
pub(super) struct Cell {
    text: String,
    class: &'static str,
    style: String,
}

impl Cell {
    fn new(class: &'static str, text: impl Into<String>) -> Self {
        Self { text: text.into(), class, style: String::new() }
    }

    fn words(text: impl Into<String>) -> Self {
        Self::new("", text)
    }

    fn figure(text: impl Into<String>) -> Self {
        Self::new("num", text)
    }
}

/// A large figure at the head of the page.
#[derive(Serialize)]
pub(super) struct Fact {
    label: &'static str,
    value: String,
}

/// Numbers figures and tables in the order they are asked for.
#[derive(Default)]
struct Numbers {
    figures: usize,
    tables: usize,
}

impl Numbers {
    fn figure(&mut self) -> usize {
        self.figures += 1;
        self.figures
    }

    fn table(&mut self) -> usize {
        self.tables += 1;
        self.tables
    }
}

/// The map, small, beside the title.
pub(super) fn hero(report: &Report, words: &Words) -> Result<Option<Shown>, ReportError> {
    report.map.as_ref().map(|map| land::small_map(map, words)).transpose()
}

/// The run's facts.
pub(super) fn facts(report: &Report, words: &Words) -> Vec<Fact> {
    let Some(facts) = &report.facts else { return Vec::new() };
    let memory = facts.peak_memory_mb.map(|mb| {
        if mb < 1000.0 {
            format!("{} MB", number(mb, 0))
        } else {
            format!("{} GB", number(mb / 1000.0, 1))
        }
    });
    [
        (words.time, Some(duration(facts.seconds))),
        (words.memory, memory),
        (words.threads, Some(facts.threads.to_string())),
        (words.device, Some(facts.device.clone())),
        (words.seed, Some(facts.seed.to_string())),
        (words.version, Some(facts.version.clone())),
    ]
    .into_iter()
    .filter_map(|(label, value)| Some(Fact { label, value: value? }))
    .collect()
}

/// The findings that open the page.
pub(super) fn in_short(report: &Report, words: &Words) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    out.extend(report.map.as_ref().and_then(|map| land::agreement(map, words)));
    if let Some(table) = &report.few_shot {
        out.extend(finding::shots_short(table, words));
    }
    out.extend(finding::areas(&report.areas, words).into_iter().take(2));
    if let Some(holes) = report.holes.as_ref().filter(|h| !h.is_empty()) {
        out.push(holes_found(holes, words));
    }
    out
}

/// The sections that have data.
pub(super) fn sections(report: &Report, words: &Words) -> Result<Vec<Section>, ReportError> {
    let mut numbers = Numbers::default();
    let sections = [
        land::scenes(report, words, &mut numbers)?,
        land::ndvi(report, words, &mut numbers),
        evidence::learning(report, words, &mut numbers),
        evidence::shots(report, words, &mut numbers),
        land::map(report, words, &mut numbers)?,
        evidence::confusion(report, words, &mut numbers),
        evidence::areas(report, words, &mut numbers),
        tables(report, words, &mut numbers),
        stages(report, words, &mut numbers),
        holes(report, words, &mut numbers),
        limits(report, words),
    ];
    Ok(sections.into_iter().flatten().collect())
}

fn tables(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let mut blocks = Vec::new();
    for drawn in &report.drawings {
        let svg = super::chart::drawing(&drawn.drawing);
        blocks.push(Block::Charts {
            number: numbers.figure(),
            layout: Layout::Wide,
            charts: vec![Chart { heading: String::new(), svg, narrow: String::new() }],
            keys: Vec::new(),
            caption: drawn.caption.clone(),
        });
    }
    for table in &report.tables {
        let cell = |(i, text): (usize, &String)| {
            if i == 0 { Cell::words(text.clone()) } else { Cell::figure(text.clone()) }
        };
        let line = |texts: &Vec<String>| texts.iter().enumerate().map(cell).collect();
        blocks.push(Block::Table {
            number: numbers.table(),
            caption: format!("{}. {}", table.title, table.caption),
            head: line(&table.head),
            rows: table.rows.iter().map(line).collect(),
            folded: false,
            matrix: false,
        });
        blocks.push(Block::Text { sentences: table.said.clone() });
    }
    let heading = words.tables.into();
    (!blocks.is_empty()).then_some(Section { id: "tables", heading, lead: String::new(), blocks })
}

fn stages(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let total: f64 = report.stages.iter().map(|s| s.seconds).sum();
    let longest = report.stages.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    let share = number(100.0 * longest.seconds / total.max(1e-9), 0);
    let caption = words.fill(
        words.stages_found,
        &[("total", &duration(total)), ("stage", &longest.name), ("share", &share)],
    );
    let draw = |room| super::chart::bar_chart(&report.stages, room, words.stages_alt);
    let charts = vec![Chart::both(draw)];
    let number = numbers.figure();
    let (layout, keys) = (Layout::Wide, Vec::new());
    let blocks = vec![Block::Charts { number, layout, charts, keys, caption }];
    Some(Section { id: "time", heading: words.stages.into(), lead: String::new(), blocks })
}

fn holes_found(holes: &[super::input::Hole], words: &Words) -> String {
    let pixels = number(holes.iter().map(|h| h.pixels).sum::<u64>() as f64, 0);
    words.fill(words.holes_some, &[("pixels", &pixels)])
}

fn holes(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    // That nothing is missing is said beside the scenes, where there are any.
    let told = |h: &&Vec<super::input::Hole>| !h.is_empty() || report.scenes.is_empty();
    let holes = report.holes.as_ref().filter(told)?;
    let mut blocks = Vec::new();
    let lead = if holes.is_empty() {
        words.holes_none.to_string()
    } else {
        let [what, pixels, why] = words.holes_columns;
        blocks.push(Block::Table {
            number: numbers.table(),
            caption: words.holes_table.into(),
            head: vec![Cell::words(what), Cell::figure(pixels), Cell::words(why)],
            rows: holes
                .iter()
                .map(|h| {
                    let pixels = Cell::figure(number(h.pixels as f64, 0));
                    vec![Cell::words(&h.what), pixels, Cell::words(&h.why)]
                })
                .collect(),
            folded: holes.len() > 12,
            matrix: false,
        });
        holes_found(holes, words)
    };
    Some(Section { id: "holes", heading: words.holes.into(), lead, blocks })
}

fn limits(report: &Report, words: &Words) -> Option<Section> {
    let lists = [(words.assumed, &report.assumed), (words.not_shown, &report.not_shown)];
    let blocks: Vec<Block> = lists
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(heading, items)| Block::List { heading: heading.into(), items: items.clone() })
        .collect();
    let heading = words.limits.into();
    (!blocks.is_empty()).then_some(Section { id: "limits", heading, lead: String::new(), blocks })
}
