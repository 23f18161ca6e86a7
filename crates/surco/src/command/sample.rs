//! `surco sample`: places for pre-training, drawn by strata.

use std::fmt::Write as _;
use std::path::PathBuf;

use surco_data::places::{
    Allocation, Draw, Drawn, PlacesRequest, draw_places, summary_path, write_places,
};

use crate::screen::Screen;

/// Draws places that cover climates, vegetation and soils, with their inclusion probabilities
///
/// The area is cut into squares of one true area; each combination of the layers' classes is a stratum; places
/// are dealt out to the strata and drawn inside them. Every place says with which probability its square was
/// drawn, so that what is learnt on them can be weighted back. A summary is written beside the places.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco sample --aoi chile.geojson --strata climate.tif --strata soils.geojson:order \\\n      --n 2000 --out places.geojson\n  surco sample --aoi chile.geojson --strata regions.geojson:region --n 500 \\\n      --allocation equal --seed 7 --out places.csv"
)]
pub(crate) struct Args {
    /// Polygons of the area (GeoJSON)
    #[arg(long, value_name = "FILE")]
    aoi: PathBuf,
    /// Layer of classes: a GeoTIFF of codes, or GeoJSON polygons with a class property; several are crossed
    #[arg(long, value_name = "FILE[:PROPERTY]", required = true)]
    strata: Vec<String>,
    /// Number of places
    #[arg(long, value_name = "N")]
    n: usize,
    /// How places are dealt out to strata: at least one each, never more than a stratum has
    #[arg(long, value_enum, default_value = "square-root")]
    allocation: By,
    /// How places are drawn inside a stratum
    #[arg(long, value_enum, default_value = "systematic")]
    draw: How,
    /// Seed: the same seed gives the same places
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Side of a chip in pixels of 10 m; no two chips overlap
    #[arg(long, default_value_t = 128, value_name = "PX")]
    chip: u32,
    /// Side of the squares in m; 1.1 chips if not given
    #[arg(long, value_name = "M")]
    spacing_m: Option<f64>,
    /// Leave out what has no stratum, however much it is; without this, over 1 % is refused
    #[arg(long)]
    drop_uncovered: bool,
    /// Places to write, .geojson or .csv
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum By {
    /// The same number to each
    Equal,
    /// By area
    Proportional,
    /// By the square root of the area, between the two
    SquareRoot,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum How {
    /// Every k-th along a curve that keeps neighbours together, from a random start
    Systematic,
    /// Each independently of the others, without replacement
    Simple,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> anyhow::Result<u64> {
    let request = PlacesRequest {
        allocation: match args.allocation {
            By::Equal => Allocation::Equal,
            By::Proportional => Allocation::Proportional,
            By::SquareRoot => Allocation::SquareRoot,
        },
        draw: match args.draw {
            How::Systematic => Draw::Systematic,
            How::Simple => Draw::Simple,
        },
        seed: args.seed,
        chip_px: args.chip,
        spacing_m: args.spacing_m,
        drop_uncovered: args.drop_uncovered,
        ..PlacesRequest::new(&args.aoi, args.strata.clone(), args.n)
    };
    let drawn = draw_places(&request)?;
    write_places(&drawn, &args.out)?;
    let mut json = serde_json::to_value(&drawn)?;
    json["places"] = drawn.places.len().into();
    json["out"] = args.out.display().to_string().into();
    json["summary"] = summary_path(&args.out).display().to_string().into();
    screen.result(&json, &in_words(&drawn, args))?;
    Ok(0)
}

fn in_words(drawn: &Drawn, args: &Args) -> String {
    let longest = drawn.strata.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max(7);
    let mut text = format!(
        "{:<longest$} {:>13} {:>7} {:>7} {:>7} {:>12}",
        "stratum", "area km²", "share", "places", "share", "probability"
    );
    for stratum in &drawn.strata {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{:<longest$} {:>13.1} {:>5.1} % {:>7} {:>5.1} % {:>12.6}",
            stratum.name,
            stratum.area_km2,
            100.0 * stratum.area_share,
            stratum.places,
            100.0 * stratum.places_share,
            stratum.inclusion_probability,
        );
    }
    let km2 = drawn.square_km2 * (drawn.squares - drawn.uncovered) as f64;
    let _ = write!(
        text,
        "\n{} places in {} strata of {km2:.1} km², squares of {} m, seed {}",
        drawn.places.len(),
        drawn.strata.len(),
        drawn.side_m,
        drawn.request.seed,
    );
    if drawn.uncovered > 0 {
        let share = 100.0 * drawn.uncovered as f64 / drawn.squares as f64;
        let _ = write!(text, "; {share:.2} % of the area has no stratum and was left out");
    }
    let never = drawn.strata.iter().filter(|s| s.places == 0).count();
    if never > 0 {
        let _ = write!(text, "\n{never} strata got no place: there are more strata than places");
    }
    for assumed in &drawn.assumed {
        let _ = write!(text, "\nassumed: {assumed}");
    }
    let _ = write!(text, "\n{}\n{}", args.out.display(), summary_path(&args.out).display());
    text
}
