//! What the demo leaves behind: `report.html` and, last, `summary.json`.

use std::path::Path;

use surco_eval::fewshot::SuiteResult;
use surco_eval::metrics::Confusion;
use surco_eval::report::{
    AreaRow, ClassGrid, ConfusionTable, Facts, FewShotTable, Hole, MapAndTruth, Report,
    SampledAccuracy, Scene, Stage, write_report,
};

use super::{SHOTS, Told, picture, place_of};
use crate::command::pretrain::report_curve;
use crate::memory::peak_mb;
use crate::screen::Screen;

pub(super) fn write(told: &Told, out: &Path, seconds: f64, screen: &Screen) -> anyhow::Result<u64> {
    let started = std::time::Instant::now();
    let mut report = report(told, seconds);
    write_report(&report, &out.join("report.html"))?;
    let drawn = started.elapsed().as_secs_f64();
    let mut stages = told.clock.0.clone();
    stages.push(("report", drawn));
    report.stages = stages.iter().map(|&(name, s)| stage(stage_title(name), s)).collect();
    write_report(&report, &out.join("report.html"))?;
    let stages: Vec<Stage> = stages.iter().map(|&(name, s)| stage(name, s)).collect();
    let json = summary(told, &stages, seconds + drawn);
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

fn stage(name: &str, seconds: f64) -> Stage {
    Stage { name: name.into(), seconds }
}

/// A stage as a reader of the report would say it.
fn stage_title(name: &str) -> &str {
    match name {
        "simulate" => "simulate two archives",
        "collect" => "collect into stores",
        "pretrain" => "pre-train the encoder",
        "meta-train" => "meta-train it",
        "adapt" => "compare methods, adapt",
        "map" => "map every pixel",
        "area" => "estimate areas",
        "report" => "draw this report",
        other => other,
    }
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
        "area_sample": { "points": told.sample.points.len(), "counts": told.counts },
        "stages": stages,
        "seconds": seconds,
        "peak_memory_mb": peak_mb(),
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

fn report(told: &Told, seconds: f64) -> Report {
    let (rows, columns) = told.cube.size();
    let km = |pixels: usize| pixels as f64 * told.map.georef.px_m / 1000.0;
    let place = place_of(&told.cube.georef)
        .map_or(String::new(), |(lon, lat)| format!(" near {:.2}° S, {:.2}° W,", -lat, -lon));
    let days = &told.cube.days;
    let year = |day: Option<&i32>| day.map_or(0, |d| picture::date_of(*d).year());
    Report {
        title: format!("A simulated valley, mapped from {SHOTS} labels per class"),
        summary: format!(
            "{:.1} × {:.1} km{place} season {}/{:02}: {} satellite scenes collected; an encoder trained on another valley; {} labelled pixels; a map of every pixel; and areas with their uncertainty, beside the truth that only a simulation knows.",
            km(columns),
            km(rows),
            year(days.first()),
            year(days.last()) % 100,
            told.collected.scenes,
            told.task.labels.iter().sum::<usize>(),
        ),
        facts: Some(Facts {
            seed: told.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            seconds,
            peak_memory_mb: peak_mb(),
            device: told.device.clone(),
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
            confidence: Some(ClassGrid::new(told.map.confidence.view())),
            pixel_m: told.map.georef.px_m,
        }),
        confusion: confusion(told),
        areas: area_rows(told),
        drawings: Vec::new(),
        sampled: Some(SampledAccuracy {
            points: told.sample.points.len() as u64,
            value: told.area.overall.value,
            half_width: told.area.overall.half_width,
        }),
        tables: Vec::new(),
        stages: Vec::new(),
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
        Some(Scene {
            date: picture::date_of(*days.get(t)?),
            platform: record.platform.clone().unwrap_or_else(|| "unknown".into()),
            baseline: record.baseline.clone().unwrap_or_else(|| "unknown".into()),
            cloud_percent: picture::cloud_percent(&told.cube, t.min(days.len() - 1)),
            offset: record.offset.as_ref()?.verdict?,
        })
    };
    told.records.iter().enumerate().filter_map(scene).collect()
}

/// Every pixel against the truth, which only a simulation allows.
fn confusion(told: &Told) -> Option<ConfusionTable> {
    let classes: Vec<String> = told.legend.classes().iter().map(|c| c.name.clone()).collect();
    let place = |code: u8| told.legend.classes().iter().position(|c| c.code == code);
    let pairs = told.truth.iter().zip(&told.map.codes);
    let (truth, mapped): (Vec<usize>, Vec<usize>) =
        pairs.filter_map(|(&t, &m)| Some((place(t)?, place(m)?))).unzip();
    let confusion = Confusion::count(&truth, &mapped, classes.len()).ok()?;
    Some(ConfusionTable { classes, confusion, counted: "pixels of the simulated truth".into() })
}

fn assumed(told: &Told) -> Vec<String> {
    vec![
        "The valley is simulated: its spectra, seasons and clouds are plausible, not measured.".into(),
        "The encoder was pre-trained and meta-trained on another simulated valley and season; it saw no pixel of this one before adaptation.".into(),
        format!("Labels are right and lie on pixels drawn at random: {SHOTS} of each class."),
        "In the comparison of methods, labels and the places scored share no block of 500 m; a study of a whole region should keep them 10 km apart, which a valley of 5 km cannot.".into(),
        format!(
            "Every point of the area sample ({}) was visited and named without error.",
            told.sample.points.len()
        ),
        "Areas count each pixel wholly to its main class; the true areas are counted the same way.".into(),
    ]
}

fn not_shown() -> Vec<String> {
    vec![
        "How well this works on real pixels: the command “surco evaluate” measures that on real labelled sets.".into(),
        "Transfer to another climate: both valleys are of central Chile.".into(),
        "Yields, field boundaries and forecasts, which this version does not make.".into(),
    ]
}
