//! What the demo leaves behind: `report.html` and, last, `summary.json`.

use std::path::Path;

use surco_eval::fewshot::SuiteResult;
use surco_eval::metrics::Confusion;
use surco_eval::report::{
    AreaRow, ClassGrid, ConfusionTable, Facts, FewShotTable, Hole, MapAndTruth, Report, Scene,
    Stage, write_report,
};

use super::{SHOTS, Told, picture, place_of};
use crate::command::pretrain::report_curve;
use crate::screen::Screen;

pub(super) fn write(told: &Told, out: &Path, seconds: f64, screen: &Screen) -> anyhow::Result<u64> {
    let started = std::time::Instant::now();
    let mut report = report(told, seconds);
    write_report(&report, &out.join("report.html"))?;
    let drawn = started.elapsed().as_secs_f64();
    report.stages.push(Stage { name: "report".into(), seconds: drawn });
    write_report(&report, &out.join("report.html"))?;
    let json = summary(told, &report.stages, seconds + drawn);
    surco_core::write_whole(&out.join("summary.json"), &serde_json::to_vec_pretty(&json)?)?;
    let text = format!(
        "{}\n{} scenes, {} holes; {:.0} s\nreport: {}",
        crate::compare::table(&told.table),
        told.collected.scenes,
        told.collected.holes.len(),
        seconds + drawn,
        out.join("report.html").display()
    );
    screen.result(&json, &text)?;
    Ok(told.collected.holes.len() as u64)
}

fn mean(table: &SuiteResult, method: &str) -> Option<f64> {
    table.rows.iter().find(|r| r.method == method).map(|r| r.mean)
}

fn summary(told: &Told, stages: &[Stage], seconds: f64) -> serde_json::Value {
    let areas: Vec<serde_json::Value> = area_rows(told)
        .iter()
        .map(|a| {
            serde_json::json!({
                "class": a.class.name, "mapped_ha": a.mapped_ha, "estimate_ha": a.estimate_ha,
                "ci95_ha": a.half_width_ha, "truth_ha": a.truth_ha,
            })
        })
        .collect();
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "seed": told.seed,
        "scenes": told.collected.scenes,
        "cells": told.cells,
        "holes": told.collected.holes.len(),
        "pretrain": {
            "loss_first": told.run.curve.mean_loss(false), "loss_last": told.run.curve.mean_loss(true),
            "validation_first": told.run.curve.first_validation(),
            "validation_last": told.run.curve.last_validation(),
        },
        "meta": { "loss_first": told.meta.mean_loss(false), "loss_last": told.meta.mean_loss(true) },
        "adapt": {
            "shots": SHOTS,
            "features": told.task.adapter.features,
            "balanced_accuracy": mean(&told.table, "surco"),
            "embedding_alone": mean(&told.table, "surco_embedding"),
            "random_forest": mean(&told.table, "rf_raw"),
            "logistic_regression": mean(&told.table, "lr_raw_ndvi"),
            "random_encoder": mean(&told.table, "random_encoder"),
            "table": told.table,
        },
        "map": {
            "accuracy_all_pixels": accuracy(told),
            "overall_accuracy_estimate": told.area.overall.value,
            "overall_accuracy_ci95": told.area.overall.half_width,
        },
        "area": areas,
        "stages": stages,
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
    })
}

/// Share of mapped pixels that are right; only a simulation can know it.
fn accuracy(told: &Told) -> f64 {
    let mapped = told.map.codes.iter().zip(&told.truth).filter(|(m, _)| **m > 0);
    let (right, all) = mapped.fold((0_u64, 0_u64), |(r, n), (m, t)| (r + u64::from(m == t), n + 1));
    right as f64 / all.max(1) as f64
}

fn area_rows(told: &Told) -> Vec<AreaRow> {
    let row = |(i, class): (usize, &surco_core::Class)| {
        let area = &told.area.classes[i];
        AreaRow {
            class: class.clone(),
            mapped_ha: area.mapped_ha,
            estimate_ha: area.area_ha.value,
            half_width_ha: area.area_ha.half_width,
            truth_ha: told.truth_ha.get(i).copied(),
        }
    };
    told.legend.classes().iter().enumerate().map(row).collect()
}

/// The most memory this process held, in MB.
fn peak_memory_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn report(told: &Told, seconds: f64) -> Report {
    let place = place_of(&told.cube.georef)
        .map_or(String::new(), |(lon, lat)| format!(" near {:.2}° S, {:.2}° W", -lat, -lon));
    Report {
        title: "A valley mapped from ten labels a class".into(),
        summary: format!(
            "A simulated valley{place}, {:.1} × {:.1} km, season 2023/24: {} scenes collected, an encoder pre-trained and meta-trained on another valley, {} labels, a map, and areas with their intervals beside the truth that only a simulation knows.",
            told.cube.size().1 as f64 / 100.0,
            told.cube.size().0 as f64 / 100.0,
            told.collected.scenes,
            told.task.labels.iter().sum::<usize>(),
        ),
        facts: Some(Facts {
            seed: told.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            seconds,
            peak_memory_mb: peak_memory_mb(),
            device: "CPU".into(),
        }),
        scenes: scenes(told),
        chips: picture::chips(&told.cube),
        ndvi: picture::ndvi(&told.cube, &told.pool, &told.legend),
        pretraining: Some(report_curve(&told.run.curve, "masked loss")),
        meta_training: Some(report_curve(&told.meta, "episode loss")),
        few_shot: Some(FewShotTable { result: told.table.clone(), ours: "surco".into() }),
        map: Some(MapAndTruth {
            legend: told.legend.clone(),
            map: ClassGrid::new(told.map.codes.view()),
            truth: ClassGrid::new(told.truth.view()),
            pixel_m: told.map.georef.px_m,
        }),
        confusion: confusion(told),
        areas: area_rows(told),
        stages: told
            .clock
            .0
            .iter()
            .map(|(name, seconds)| Stage { name: (*name).into(), seconds: *seconds })
            .collect(),
        holes: Some(told.collected.holes.iter().map(hole).collect()),
        assumed: assumed(told),
        not_shown: not_shown(),
    }
}

fn hole(hole: &surco_collect::ListedHole) -> Hole {
    Hole {
        what: format!("{} {}", hole.scene, hole.hole.asset.as_deref().unwrap_or_default()),
        pixels: hole.hole.pixels,
        why: hole.hole.reason.clone(),
    }
}

fn scenes(told: &Told) -> Vec<Scene> {
    let days = &told.cube.days;
    let scene = |(t, record): (usize, &surco_store::SceneRecord)| {
        let codes = told.cube.scl.index_axis(ndarray::Axis(0), t.min(days.len() - 1));
        let seen = codes.iter().filter(|&&c| c > 0).count().max(1);
        let cloudy = codes.iter().filter(|&&c| matches!(c, 3 | 8 | 9 | 10)).count();
        Some(Scene {
            date: picture::date_of(*days.get(t)?),
            platform: record.platform.clone().unwrap_or_else(|| "unknown".into()),
            baseline: record.baseline.clone().unwrap_or_else(|| "unknown".into()),
            cloud_percent: 100.0 * cloudy as f64 / seen as f64,
            offset: record.offset.as_ref()?.verdict?,
        })
    };
    told.records.iter().enumerate().filter_map(scene).collect()
}

fn confusion(told: &Told) -> Option<ConfusionTable> {
    let classes: Vec<String> = told.legend.classes().iter().map(|c| c.name.clone()).collect();
    let (mut truth, mut mapped) = (Vec::new(), Vec::new());
    for (m, row) in told.counts.iter().enumerate() {
        for (t, &count) in row.iter().enumerate() {
            truth.extend(std::iter::repeat_n(t, count as usize));
            mapped.extend(std::iter::repeat_n(m, count as usize));
        }
    }
    let confusion = Confusion::count(&truth, &mapped, classes.len()).ok()?;
    let counted =
        format!("{} points drawn at random within each mapped class", told.sample.points.len());
    Some(ConfusionTable { classes, confusion, counted })
}

fn assumed(told: &Told) -> Vec<String> {
    vec![
        "The valley is simulated: its spectra, seasons and clouds are plausible, not measured.".into(),
        "The encoder was pre-trained and meta-trained on another simulated valley and season; it saw no pixel of this one before adaptation.".into(),
        format!("Labels are right and lie on pixels drawn at random: {SHOTS} of each class."),
        "Support and query of the comparison share no block of 500 m; real tables use 10 km, which a valley of 5 km cannot.".into(),
        format!(
            "Every point of the area sample ({}) was visited and named without error.",
            told.sample.points.len()
        ),
        "Areas are of pixels by their main class; the true areas are counted the same way.".into(),
    ]
}

fn not_shown() -> Vec<String> {
    vec![
        "How well this works on real pixels: that is measured by `surco evaluate` on real labelled sets.".into(),
        "Transfer to another climate: both valleys are of central Chile.".into(),
        "Yields, field boundaries and forecasts, which this version does not make.".into(),
    ]
}
