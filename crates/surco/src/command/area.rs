//! `surco area`: areas with their intervals from a sample, or from a matrix.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use surco_data::{LabelsAsked, read_labels};
use surco_map::area::{AreaError, AreaEstimate, estimate_areas};
use surco_raster::cog::CogFile;

use crate::exit::{BadInput, Usage};
use crate::screen::Screen;

/// Areas per class with 95 % intervals, from a map and a stratified random sample
///
/// The sample must be a probability sample drawn by mapped class; places chosen otherwise give intervals that mean
/// nothing. Olofsson et al. 2014.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco area --map map.tif --sample sample.geojson\n  surco area --matrix matrix.json      # {\"classes\": [...], \"confusion\": [[...]], \"mapped_area_ha\": [...]}"
)]
pub(crate) struct Args {
    /// Class map
    #[arg(long, value_name = "FILE", requires = "sample")]
    map: Option<PathBuf>,
    /// Points with the class seen on the ground
    #[arg(long, value_name = "FILE", requires = "map")]
    sample: Option<PathBuf>,
    /// Counts by mapped (rows) and reference class (columns), and mapped areas
    #[arg(long, value_name = "FILE", conflicts_with = "map")]
    matrix: Option<PathBuf>,
}

/// What `--matrix` reads; other keys are ignored, so that a published table can be given as it is.
#[derive(Deserialize)]
struct Matrix {
    classes: Vec<String>,
    confusion: Vec<Vec<u64>>,
    mapped_area_ha: Vec<f64>,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let (matrix, source) = match (&args.matrix, &args.map, &args.sample) {
        (Some(path), _, _) => (read_matrix(path)?, format!("matrix {}", path.display())),
        (None, Some(map), Some(sample)) => {
            (count(map, sample)?, format!("sample {}", sample.display()))
        }
        _ => return Err(Usage("give --matrix FILE, or --map FILE and --sample FILE".into()).into()),
    };
    let estimate = estimate_areas(&matrix.confusion, &matrix.mapped_area_ha)
        .map_err(|error| BadInput(format!("{source}: {}", in_names(&error, &matrix.classes))))?;
    let rows = rows_of(&matrix.classes, &estimate);
    let json = serde_json::json!({
        "classes": rows,
        "overall_accuracy": estimate.overall.value,
        "overall_accuracy_ci95": estimate.overall.half_width,
        "total_ha": estimate.total_ha,
    });
    let mut text = format!(
        "{:<24} {:>16} {:>14} {:>12} {:>8}",
        "class", "map pixels", "estimate ha", "± 95 % ha", "CV"
    );
    for row in &rows {
        text += &format!(
            "\n{:<24} {:>16.1} {:>14.1} {:>12.1} {:>8}",
            row["class"].as_str().unwrap_or_default(),
            row["mapped_ha"].as_f64().unwrap_or(f64::NAN),
            row["estimate_ha"].as_f64().unwrap_or(f64::NAN),
            row["ci95_ha"].as_f64().unwrap_or(f64::NAN),
            row["coefficient_of_variation"]
                .as_f64()
                .map_or("-".into(), |cv| format!("{:.0} %", cv * 100.0)),
        );
    }
    text += &format!(
        "\noverall accuracy {:.4} ± {:.4}; \"map pixels\" are biased and no estimate",
        estimate.overall.value, estimate.overall.half_width
    );
    screen.result(&json, &text)?;
    Ok(0)
}

/// An error with the names of classes for their places in the matrix.
fn in_names(error: &AreaError, classes: &[String]) -> String {
    let name = |class: usize| classes.get(class).map_or("?", String::as_str);
    match *error {
        AreaError::Unsampled { class, area_ha } => format!(
            "class `{}` is mapped on {area_ha:.2} ha but has no sample; visit places of it, or merge it with \
             a class that has",
            name(class)
        ),
        AreaError::MappedArea { class, area_ha } => format!(
            "mapped area of class `{}` is {area_ha} ha, expected a finite number, not negative",
            name(class)
        ),
        ref other => other.to_string(),
    }
}

/// The estimate class by class, as JSON.
pub(crate) fn rows_of(classes: &[String], estimate: &AreaEstimate) -> Vec<serde_json::Value> {
    let row = |(name, c): (&String, &surco_map::area::ClassArea)| {
        serde_json::json!({
            "class": name,
            "mapped_ha": c.mapped_ha,
            "estimate_ha": c.area_ha.value,
            "se_ha": c.area_ha.se,
            "ci95_ha": c.area_ha.half_width,
            "coefficient_of_variation": c.coefficient_of_variation,
            "users_accuracy": c.users.as_ref().map(|u| u.value),
            "producers_accuracy": c.producers.as_ref().map(|p| p.value),
            "reliability": c.reliability,
        })
    };
    classes.iter().zip(&estimate.classes).map(row).collect()
}

fn read_matrix(path: &Path) -> anyhow::Result<Matrix> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| BadInput(format!("cannot read matrix {}: {e}", path.display())))?;
    let matrix: Matrix = serde_json::from_str(&text)
        .with_context(|| format!("matrix {} is no matrix file", path.display()))?;
    if matrix.classes.len() != matrix.mapped_area_ha.len() {
        let (names, areas) = (matrix.classes.len(), matrix.mapped_area_ha.len());
        let text =
            format!("matrix {} has {names} class names and {areas} mapped areas", path.display());
        return Err(BadInput(text).into());
    }
    Ok(matrix)
}

fn count(map: &Path, sample: &Path) -> anyhow::Result<Matrix> {
    let file = CogFile::open(map).with_context(|| in_map(map))?;
    let (header, window) = (file.header(), file.header().window());
    let georef = header
        .georef
        .ok_or_else(|| BadInput(format!("map {} has no place on Earth", map.display())))?;
    let codes = file.read_u8(window).with_context(|| in_map(map))?;
    let points =
        read_labels(sample, &LabelsAsked::default())?.on(&georef, (window.rows, window.cols))?;
    let mut names: Vec<String> = points.iter().map(|p| p.class.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let legend = legend_of(map)?;
    let mut classes = legend.clone();
    classes.extend(
        names.iter().filter(|n| !legend.iter().any(|(_, l)| l == *n)).map(|n| (0, n.clone())),
    );
    let place = |name: &str| classes.iter().position(|(_, n)| n == name);
    let mut confusion = vec![vec![0; classes.len()]; classes.len()];
    for point in &points {
        let code = codes[[0, point.row, point.col]];
        let mapped = classes.iter().position(|(c, _)| *c == code && code > 0);
        if let (Some(mapped), Some(seen)) = (mapped, place(&point.class)) {
            confusion[mapped][seen] += 1;
        }
    }
    let pixel_ha = georef.px_m * georef.px_m / 10_000.0;
    let area = |code: u8| {
        if code == 0 { 0.0 } else { codes.iter().filter(|&&c| c == code).count() as f64 * pixel_ha }
    };
    Ok(Matrix {
        mapped_area_ha: classes.iter().map(|(c, _)| area(*c)).collect(),
        classes: classes.into_iter().map(|(_, n)| n).collect(),
        confusion,
    })
}

fn in_map(map: &Path) -> String {
    format!("cannot read map {}", map.display())
}

/// The legend that `surco map` wrote beside a map.
fn legend_of(map: &Path) -> anyhow::Result<Vec<(u8, String)>> {
    let path = map.with_extension("legend.json");
    let text = std::fs::read_to_string(&path).map_err(|e| {
        BadInput(format!("cannot read the legend {} beside the map: {e}", path.display()))
    })?;
    let legend: surco_core::Legend = serde_json::from_str(&text)
        .with_context(|| format!("legend {} is no legend", path.display()))?;
    Ok(legend.classes().iter().map(|c| (c.code, c.name.clone())).collect())
}
