//! The page: a survey as one HTML file.

use std::collections::BTreeSet;
use std::fmt::Write;

use surco_core::escape;
use surco_raster::vector::Collection;

use super::markup::{bytes, count, coverage, duration, folded, percent, table, whole};
use super::survey::{CellRow, MonthCount, Survey, TileRow};
use super::{ReportError, RunRecord, map};

/// Rows of a table that are shown without being asked for.
const OPEN_ROWS: usize = 12;
/// Small pictures of tiles that are.
const OPEN_TILES: usize = 30;
/// Holes that the page lists; the JSON result lists all.
const MOST_HOLES: usize = 5_000;
/// Cells of a tile along a side: 109.8 km in cells of 10.24 km.
const TILE_CELLS: usize = 11;

/// What the page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What the store holds.
    pub survey: &'a Survey,
    /// Name of the store.
    pub store: &'a str,
    /// Tiles to show whether the store has them or not, each with a property `tile`.
    pub tiles: Option<&'a Collection>,
    /// Outline of the country.
    pub outline: Option<&'a Collection>,
}

/// The page as text; it loads nothing from elsewhere.
///
/// # Errors
/// [`ReportError::Crs`] if tiles or outline lie where their system has no place.
pub fn page(page: &Page<'_>) -> Result<String, ReportError> {
    let survey = page.survey;
    let degrees =
        |collection: Option<&Collection>| collection.map(|c| c.clone().into_epsg(4326)).transpose();
    let (tiles, outline) = (degrees(page.tiles)?, degrees(page.outline)?);
    let drawn = map::map(survey, tiles.as_ref(), outline.as_ref());
    let body: String = [
        head(page),
        "<main>".into(),
        short(survey),
        section("map", "Where", &where_text(page), &figure(&format!("{}{drawn}", KEYS))),
        section("months", "When", MONTHS, &figure(&months(survey))),
        section("cells", "Cell by cell", CELLS, &figure(&cells(survey))),
        holes(survey),
        offsets(survey),
        runs(&survey.runs),
        "</main>".into(),
    ]
    .concat();
    let title = escape(page.store);
    let css = include_str!("../../templates/report.css");
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}: what the store holds</title>\n<style>\n{css}</style>\n</head>\n<body>\n{body}\n\
         <footer>Made by surco {version} from the store's manifests and run records. A date counts as done \
         when its manifest says so.</footer>\n</body>\n</html>\n"
    ))
}

const KEYS: &str = "<ul class=\"keys\"><li><i class=\"c0\"></i>nothing done</li><li><i class=\"c1\"></i>under 25 %</li>\
<li><i class=\"c2\"></i>25 to 50 %</li><li><i class=\"c3\"></i>50 to 75 %</li><li><i class=\"c4\"></i>75 % and more</li>\
<li><i class=\"c5\"></i>all planned dates done</li><li><i class=\"c5 holed\"></i>with holes</li></ul>";
const MONTHS: &str = "Acquisitions of each tile and month that are done in every cell that plans them, of those \
planned. Where all are done, one number stands for both.";
const CELLS: &str =
    "Each square is a cell of 10.24 km at its place in its tile, coloured as on the map.";

fn section(id: &str, heading: &str, lead: &str, inside: &str) -> String {
    format!(
        "<section id=\"{id}\"><h2>{heading}</h2><p class=\"lead\">{lead}</p>{inside}</section>\n"
    )
}

fn figure(inside: &str) -> String {
    format!("<figure class=\"panel\">{inside}</figure>")
}

fn head(page: &Page<'_>) -> String {
    let survey = page.survey;
    let days = survey.cells.iter().flat_map(|cell| [&cell.first, &cell.last]).flatten();
    let (first, last) = (days.clone().min(), days.max());
    let facts = [
        ("tiles", whole(survey.tiles.len() as u64)),
        ("cells", whole(survey.cells.len() as u64)),
        ("dates done", whole(survey.done)),
        ("dates missing", whole(survey.missing)),
        ("holes", whole(survey.hole_list.len() as u64)),
        ("first day", first.map_or("–".into(), String::clone)),
        ("last day", last.map_or("–".into(), String::clone)),
    ];
    let facts: String = facts
        .iter()
        .map(|(label, value)| format!("<li><span>{label}</span> <b>{value}</b></li>"))
        .collect();
    format!(
        "<header><div class=\"in\"><h1>{}</h1><p>What the store holds, what is missing, and what each run \
         did.</p><ul class=\"facts\">{facts}</ul></div></header>",
        escape(page.store)
    )
}

/// What a hurried reader must know.
fn short(survey: &Survey) -> String {
    let mut lines = Vec::new();
    let planned = survey.done + survey.missing;
    lines.push(if planned == 0 {
        "Nothing is planned in this store yet.".into()
    } else if survey.missing == 0 {
        format!("All {} planned dates of cells are done.", whole(planned))
    } else {
        format!(
            "{} of {} planned dates of cells are done ({}). The same collect command goes on with the rest.",
            whole(survey.done),
            whole(planned),
            percent(survey.share_done())
        )
    });
    let pixels: u64 = survey.hole_list.iter().map(|hole| hole.hole.pixels).sum();
    lines.push(if survey.hole_list.is_empty() {
        "No hole: every pixel that was read is there.".into()
    } else {
        format!(
            "{}, {} pixels over all bands. Once their files are whole, <code>--retry-holes</code> fills them.",
            count(survey.hole_list.len() as u64, "hole", "holes"),
            whole(pixels)
        )
    });
    let odd: usize = survey
        .offsets
        .iter()
        .filter(|offset| ["undecided", "differing"].contains(&offset.verdict))
        .map(|offset| offset.scenes)
        .sum();
    if odd > 0 {
        lines.push(format!(
            "The offset of {} could not be settled: see below.",
            count(odd as u64, "scene", "scenes")
        ));
    }
    let items: String = lines.iter().map(|line| format!("<li>{line}</li>")).collect();
    format!("<div class=\"short\"><h2>In short</h2><ul>{items}</ul></div>")
}

fn where_text(page: &Page<'_>) -> String {
    let held = page.survey.tiles.len();
    match page.tiles {
        Some(tiles) => format!(
            "{} of {} tiles have cells in the store. Empty squares are tiles it does not hold.",
            whole(held as u64),
            whole(tiles.features.len() as u64)
        ),
        None => format!("{} in the store.", count(held as u64, "tile", "tiles")),
    }
}

/// Tiles by months, as a table of colours.
fn months(survey: &Survey) -> String {
    let months: BTreeSet<&str> =
        survey.tiles.iter().flat_map(|tile| tile.months.keys()).map(String::as_str).collect();
    let mut years: Vec<(&str, usize)> = Vec::new();
    for month in &months {
        let year = month.split('-').next().unwrap_or_default();
        match years.last_mut().filter(|last| last.0 == year) {
            Some(last) => last.1 += 1,
            None => years.push((year, 1)),
        }
    }
    let mut out = String::from(
        "<div class=\"scroll tall\" tabindex=\"0\"><table class=\"months\"><thead><tr><th rowspan=\"2\">tile</th>",
    );
    for (year, columns) in years {
        let _ = write!(out, "<th class=\"year\" colspan=\"{columns}\">{year}</th>");
    }
    out += "<th rowspan=\"2\" class=\"num\">all</th></tr><tr>";
    for month in &months {
        let _ = write!(out, "<th class=\"month\">{}</th>", month_name(month));
    }
    out += "</tr></thead><tbody>";
    for tile in &survey.tiles {
        out += &month_row(tile, &months);
    }
    out + "</tbody></table></div>"
}

fn month_row(tile: &TileRow, months: &BTreeSet<&str>) -> String {
    let mut out = format!("<tr><th scope=\"row\">{}</th>", escape(&tile.tile));
    for month in months {
        out += &match tile.months.get(*month) {
            Some(count) => {
                let holes = if count.with_holes > 0 { " holed" } else { "" };
                format!(
                    "<td class=\"heat {}{holes}\" title=\"{} {month}: {} of {} done, {} with holes\">{}</td>",
                    coverage(count.done as f64 / count.planned.max(1) as f64),
                    escape(&tile.tile),
                    count.done,
                    count.planned,
                    count.with_holes,
                    done_of(*count)
                )
            }
            None => "<td></td>".into(),
        };
    }
    let _ = write!(out, "<td class=\"num\">{}</td></tr>", done_of(tile.total()));
    out
}

fn done_of(count: MonthCount) -> String {
    if count.done == count.planned {
        count.done.to_string()
    } else {
        format!("{}/{}", count.done, count.planned)
    }
}

fn month_name(month: &str) -> &'static str {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = month.split('-').nth(1).and_then(|m| m.parse::<usize>().ok());
    number.and_then(|n| NAMES.get(n.wrapping_sub(1))).unwrap_or(&"–")
}

/// A small picture of every tile.
fn cells(survey: &Survey) -> String {
    let mut out = String::from("<div class=\"tiles\">");
    for tile in &survey.tiles {
        let of_tile = |cell: &&CellRow| cell.id.tile == tile.tile;
        let side = survey
            .cells
            .iter()
            .filter(of_tile)
            .map(|cell| cell.id.row.max(cell.id.col) + 1)
            .fold(TILE_CELLS, usize::max);
        let _ = write!(
            out,
            "<div><svg viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"Cells of tile {}\">\
             <rect class=\"ground\" width=\"{side}\" height=\"{side}\"/>",
            escape(&tile.tile)
        );
        for cell in survey.cells.iter().filter(of_tile) {
            let holes = if cell.holes > 0 { " holed" } else { "" };
            let _ = write!(
                out,
                "<rect class=\"cell {}{holes}\" x=\"{}.06\" y=\"{}.06\" width=\".88\" height=\".88\"><title>{}: {} of {} \
                 dates done, {}</title></rect>",
                coverage(cell.share_done()),
                cell.id.col,
                cell.id.row,
                escape(&cell.cell),
                cell.dates,
                cell.dates + cell.missing,
                count(cell.holes as u64, "hole", "holes")
            );
        }
        let cells = count(tile.cells as u64, "cell", "cells");
        let _ = write!(out, "</svg><b>{}</b> <span>{cells}</span></div>", escape(&tile.tile));
    }
    out += "</div>";
    let summary = format!("Show {}", count(survey.tiles.len() as u64, "tile", "tiles"));
    folded(&summary, &out, survey.tiles.len() > OPEN_TILES)
}

fn holes(survey: &Survey) -> String {
    if survey.hole_list.is_empty() {
        return section("holes", "Holes", "None: every pixel that was read is there.", "");
    }
    let row = |hole: &super::DatedHole| {
        let block = hole.hole.block.map_or("all".into(), |(row, col)| format!("{row}, {col}"));
        let asset = hole.hole.asset.clone().unwrap_or_else(|| "whole scene".into());
        vec![
            hole.cell.clone(),
            hole.day.clone(),
            hole.scene.clone(),
            asset,
            block,
            hole.hole.reason.replace('_', " "),
            whole(hole.hole.pixels),
        ]
    };
    let rows: Vec<_> = survey.hole_list.iter().take(MOST_HOLES).map(row).collect();
    let head = ["cell", "day", "scene", "asset", "block", "reason", "pixels"];
    let listed = table(&head, 6, &rows);
    let all = survey.hole_list.len();
    let summary = format!("Show {}", count(rows.len() as u64, "hole", "holes"));
    let mut lead =
        "Pixels that should be there and are not. The store keeps them as no data, and says so \
                    here."
            .to_string();
    if all > MOST_HOLES {
        let _ = write!(
            lead,
            " The first {} of {}; <code>surco collect report --json</code> lists all.",
            whole(MOST_HOLES as u64),
            whole(all as u64)
        );
    }
    section("holes", "Holes", &lead, &figure(&folded(&summary, &listed, all > OPEN_ROWS)))
}

fn offsets(survey: &Survey) -> String {
    let row = |offset: &super::OffsetCount| {
        let verdict = match offset.verdict {
            "subtracted" => "+1000 was there and was subtracted",
            "absent" => "no offset was there",
            "undecided" => "undecided: left out as a hole",
            "differing" => "judged differently in different cells",
            _ => "no pixel could be read",
        };
        vec![
            verdict.into(),
            offset.rule.clone(),
            whole(offset.scenes as u64),
            whole(offset.fields_disagree as u64),
        ]
    };
    let rows: Vec<_> = survey.offsets.iter().map(row).collect();
    let lead = "What was decided about the +1000 that newer processing baselines add to every digital number, \
                by a rule for the source and by the pixels themselves.";
    let head = ["verdict", "rule", "scenes", "of them, catalog contradicts itself"];
    section("offsets", "Offsets", lead, &figure(&table(&head, 2, &rows)))
}

fn runs(runs: &[RunRecord]) -> String {
    if runs.is_empty() {
        return section("runs", "Runs", "No run left a record in this store.", "");
    }
    let or_dash = |value: Option<u64>| value.map_or("–".into(), whole);
    let row = |run: &RunRecord| {
        vec![
            run.start.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            format!("{} of {}", run.shard_index + 1, run.shard_count),
            duration(run.seconds),
            whole(run.shards),
            whole(run.skipped),
            whole(run.scenes),
            whole(run.duplicates),
            whole(run.blocks),
            bytes(run.bytes_fetched),
            bytes(run.bytes_stored),
            format!("{}/s", bytes((run.bytes_fetched as f64 / run.seconds.max(1e-9)) as u64)),
            or_dash(run.requests),
            or_dash(run.retries),
            whole(run.holes),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    let head = [
        "start (UTC)",
        "part",
        "time",
        "shards",
        "were done",
        "scenes",
        "duplicates",
        "blocks",
        "read",
        "stored",
        "reading",
        "requests",
        "retries",
        "holes",
    ];
    let sum = |part: fn(&RunRecord) -> u64| runs.iter().map(part).sum::<u64>();
    let lead = format!(
        "{} wrote {}, read {} and stored {}. Duplicates are items a plan left out as older processings of the \
         same acquisition. A run that was killed leaves no record; what it had finished, a later one found done.",
        count(runs.len() as u64, "run", "runs"),
        count(sum(|run| run.shards), "shard", "shards"),
        bytes(sum(|run| run.bytes_fetched)),
        bytes(sum(|run| run.bytes_stored)),
    );
    let listed = table(&head, 2, &rows);
    let summary = format!("Show {}", count(runs.len() as u64, "run", "runs"));
    section("runs", "Runs", &lead, &figure(&folded(&summary, &listed, runs.len() > OPEN_ROWS)))
}
