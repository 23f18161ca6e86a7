//! Sections that weigh: learning curves, few-shot table, confusion, areas.

use super::{Block, Cell, Chart, Key, Layout, Numbers, Section};
use crate::fewshot::Row;
use crate::report::chart::{
    CurveText, Mark, Svg, area_chart, learning_chart, method_look, rank_chart, shot_chart,
};
use crate::report::figure::{number, percent, title};
use crate::report::finding;
use crate::report::input::{AreaRow, Report};
use crate::report::words::Words;

pub(super) fn learning(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let curves =
        [(words.pretraining, &report.pretraining), (words.meta_training, &report.meta_training)];
    let (mut charts, mut said) = (Vec::new(), Vec::new());
    for (name, curve) in curves {
        let Some(curve) = curve.as_ref().filter(|c| !c.points.is_empty()) else { continue };
        let alt = words.fill(words.curve_alt, &[("name", name), ("measure", &curve.measure)]);
        let text = CurveText {
            alt: &alt,
            step: words.curve_step,
            train: words.curve_train,
            validation: words.curve_validation,
        };
        charts.push(Chart {
            heading: name.into(),
            svg: learning_chart(curve, &text),
            narrow: String::new(),
        });
        said.extend(finding::curve(curve, name, words));
    }
    if charts.is_empty() {
        return None;
    }
    said.push(words.curve_how.into());
    let (number, caption) = (numbers.figure(), said.join(" "));
    let block = Block::Charts { number, layout: Layout::Pair, charts, keys: Vec::new(), caption };
    let (heading, lead) = (words.learning.into(), words.learning_lead.into());
    Some(Section { id: "learning", heading, lead, blocks: vec![block] })
}

/// Methods in the order of the page: ours first, chance last, else as they come.
fn order<'a>(rows: &'a [Row], ours: &str) -> Vec<&'a str> {
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let rank = |m: &str| match m {
        m if m == ours => 0,
        "random_encoder" => 1,
        "chance" => 3,
        _ => 2,
    };
    methods.sort_by_key(|m| rank(m));
    methods
}

pub(super) fn shots(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let table = report.few_shot.as_ref().filter(|t| !t.result.rows.is_empty())?;
    let rows = &table.result.rows;
    let methods = order(rows, &table.ours);
    let one_k = rows.iter().all(|r| r.k == rows[0].k);
    let drawn = methods.iter().filter(|m| **m != "chance" && !one_k);
    let keys = drawn.map(|m| {
        let (colour, mark) = method_look(m, &table.ours);
        key(mark, &format!("fill:{colour};stroke:{colour};stroke-width:1.6"), words.method_name(m))
    });
    let drawing = if one_k {
        Chart::both(|room| rank_chart(rows, &table.ours, room, words))
    } else {
        let svg = shot_chart(rows, &methods, &table.ours, words);
        Chart { heading: String::new(), svg, narrow: String::new() }
    };
    let chosen = if table.ours == "surco" { words.shots_ours } else { "" };
    let said = [words.shots_how, chosen, &finding::shots_test(table, words)].join(" ");
    let chart = Block::Charts {
        number: numbers.figure(),
        layout: Layout::Wide,
        charts: vec![drawing],
        keys: keys.collect(),
        caption: said,
    };
    let blocks = vec![
        chart,
        Block::Text { sentences: finding::shots(table, words) },
        shot_table(rows, &methods, &table.ours, (words, numbers.table())),
    ];
    let (heading, lead) = (words.shots.into(), words.shots_lead.into());
    Some(Section { id: "few-shot", heading, lead, blocks })
}

/// A legend entry with a mark.
fn key(mark: Mark, style: &str, label: &str) -> Key {
    let mut svg = Svg::mute(16.0, 16.0);
    svg.mark(mark, (8.0, 8.0), 5.0, style);
    Key { svg: svg.finish(), label: label.into() }
}

fn shot_table(
    rows: &[Row],
    methods: &[&str],
    ours: &str,
    (words, number_): (&Words, usize),
) -> Block {
    let mut ks: Vec<usize> = rows.iter().map(|r| r.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let best = |k: usize| {
        rows.iter().filter(|r| r.k == k).map(|r| r.mean).fold(f64::NEG_INFINITY, f64::max)
    };
    let cell = |method: &str, k: usize| {
        let Some(row) = rows.iter().find(|r| r.method == method && r.k == k) else {
            return Cell::figure("–");
        };
        let class = if row.mean >= best(k) { "num best" } else { "num" };
        Cell::new(class, format!("{} ± {}", percent(row.mean, 1), percent(row.sd, 1)))
    };
    let line = |method: &&str| {
        let class = if *method == ours { "ours" } else { "" };
        let n = rows.iter().filter(|r| r.method == *method).map(|r| r.n).max().unwrap_or(0);
        let mut line = vec![Cell::new(class, words.method_name(method))];
        line.extend(ks.iter().map(|&k| cell(method, k)));
        line.push(Cell::figure(n.to_string()));
        line
    };
    let mut head = vec![Cell::words(words.method)];
    head.extend(ks.iter().map(|k| Cell::figure(format!("k = {k}"))));
    head.push(Cell::figure("n"));
    let rows = methods.iter().map(line).collect();
    Block::Table {
        number: number_,
        caption: words.shots_table.into(),
        head,
        rows,
        folded: ks.len() == 1,
        matrix: false,
    }
}

pub(super) fn confusion(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let table = report.confusion.as_ref()?;
    let counts = table.confusion.counts();
    let named = |i: usize| table.classes.get(i).map_or_else(|| i.to_string(), |n| title(n, 60));
    let share = |s: Option<f64>| s.map_or("–".into(), |s| percent(s, 0));
    let (producers, users) = (table.confusion.producers(), table.confusion.users());
    let classes = table.confusion.classes();
    let mut head = vec![Cell::words(words.truth_rows)];
    head.extend((0..classes).map(|j| Cell::new("tilt", named(j))));
    head.extend([Cell::figure(words.total), Cell::figure(words.producers)]);
    let line = |i: usize| {
        let total: u64 = counts.row(i).sum();
        let mut line = vec![Cell::words(named(i))];
        line.extend((0..classes).map(|j| {
            let part = counts[[i, j]] as f64 / (total as f64).max(1.0);
            if part < 0.005 {
                return Cell::new("mid faint", "·");
            }
            let class = if i == j { "heat right" } else { "heat wrong" };
            Cell {
                text: percent(part, 0),
                class,
                style: format!("--heat:{:.0}%", 100.0 * part.sqrt()),
            }
        }));
        line.extend([Cell::figure(number(total as f64, 0)), Cell::figure(share(producers[i]))]);
        line
    };
    let mut rows: Vec<Vec<Cell>> = (0..classes).map(line).collect();
    let mut last = vec![Cell::words(words.users)];
    last.extend(users.iter().map(|&s| Cell::new("mid", share(s))));
    last.extend([Cell::words(""), Cell::words("")]);
    rows.push(last);
    let table_number = numbers.table();
    let caption = words.confusion_how.into();
    let block =
        Block::Table { number: table_number, caption, head, rows, folded: false, matrix: true };
    let lead = finding::confusion(table, words).join(" ");
    let heading = words.confusion.into();
    Some(Section { id: "confusion", heading, lead, blocks: vec![block] })
}

pub(super) fn areas(report: &Report, words: &Words, numbers: &mut Numbers) -> Option<Section> {
    let rows = &report.areas;
    if rows.is_empty() {
        return None;
    }
    let truth_known = rows.iter().any(|r| r.truth_ha.is_some());
    let mut keys = vec![
        key(Mark::Disc, "fill:var(--accent)", words.area_estimate),
        key(Mark::Diamond, "fill:none;stroke:#d55e00;stroke-width:1.8", words.area_mapped),
    ];
    if truth_known {
        let mut bar = Svg::mute(16.0, 16.0);
        bar.push(format_args!(r#"<path d="M8 1v14" style="stroke:var(--ink);stroke-width:2.4"/>"#));
        keys.push(Key { svg: bar.finish(), label: words.area_truth.into() });
    }
    let missed = |r: &AreaRow| r.truth_ha.is_some_and(|t| !finding::holds(r, t));
    if rows.iter().any(missed) {
        let mut bar = Svg::mute(16.0, 16.0);
        bar.push(format_args!(r#"<path d="M1 8h14" style="stroke:var(--heat-wrong);stroke-width:5;stroke-opacity:.6"/>"#));
        keys.push(Key { svg: bar.finish(), label: words.area_missed.into() });
    }
    let mut said = finding::areas(rows, words);
    if let Some(sample) = &report.sampled {
        let truth = report.map.as_ref().and_then(super::land::right_share);
        said.push(finding::sampled(sample, truth, words));
    }
    said.push(words.areas_how.into());
    let chart = Block::Charts {
        number: numbers.figure(),
        layout: Layout::Wide,
        charts: vec![Chart::both(|room| area_chart(rows, room, words))],
        keys,
        caption: said.join(" "),
    };
    let table = area_table(rows, (words, numbers.table()));
    let (heading, lead) = (words.areas.into(), words.areas_lead.into());
    Some(Section { id: "areas", heading, lead, blocks: vec![chart, table] })
}

fn area_table(rows: &[AreaRow], (words, number_): (&Words, usize)) -> Block {
    let truth_known = rows.iter().any(|r| r.truth_ha.is_some());
    let [class, mapped, estimate, half, truth, held] = words.areas_columns;
    let mut head =
        vec![Cell::words(class), Cell::figure(mapped), Cell::figure(estimate), Cell::figure(half)];
    if truth_known {
        head.extend([Cell::figure(truth), Cell::words(held)]);
    }
    let largest = rows.iter().map(|r| r.mapped_ha.max(r.estimate_ha)).fold(0.0, f64::max);
    let decimals = if largest >= 1000.0 { 0 } else { 1 + usize::from(largest < 10.0) };
    let ha = |value: f64| number(value, decimals);
    let line = |row: &AreaRow| {
        let mut line = vec![
            Cell::words(title(&row.class.name, 60)),
            Cell::new("num faint", ha(row.mapped_ha)),
            Cell::new("num best", ha(row.estimate_ha)),
            Cell::figure(ha(row.half_width_ha)),
        ];
        if truth_known {
            let told = |t: f64| if finding::holds(row, t) { words.yes } else { words.no };
            line.push(Cell::figure(row.truth_ha.map_or("–".into(), ha)));
            line.push(Cell::words(row.truth_ha.map_or("–", told)));
        }
        line
    };
    Block::Table {
        number: number_,
        caption: words.areas_table.into(),
        head,
        rows: rows.iter().map(line).collect(),
        folded: false,
        matrix: false,
    }
}
