//! `surco forecast`: what places will show on coming dates.

mod watched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use surco_core::{Progress, Window};
use surco_data::{
    ForecastRow, LabelError, PointLabel, Sample, SeriesWindow, SpectralBand, read_cube,
    read_named_places, read_table, write_forecasts,
};
use surco_net::{Device, Forecaster, Model, Outlook, load_forecaster, load_model, outlook};
use surco_store::Store;

use crate::exit::{BadInput, Usage};
use crate::learning::say_of_labels;
use crate::screen::Screen;
use watched::Watched;

/// Places forecast between two looks at the clock and at Ctrl-C.
const PLACES_AT_ONCE: usize = 512;

/// Forecasts NDVI and bands of places for coming dates, with 90 % intervals
///
/// Places are points or fields (the mean of a polygon's pixels) on a store, or the series of a table. The model must have been
/// pre-trained to forecast: `pretext = { causal = 1.0 }`, alone or among others. The table has a row for
/// each place, date and value.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  surco forecast --model run/model --store valley --places fields.geojson --out forecast.csv\n  surco forecast --model run/model --store valley --places fields.geojson \\\n      --dates 2026-12-15,2027-01-15 --out forecast.parquet\n  surco forecast --model run/model --points set/points.parquet --series set/series.parquet --out forecast.csv"
)]
pub(crate) struct Args {
    /// Model folder that `surco pretrain` wrote
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The store with the pixels
    #[arg(long, value_name = "DIR", requires = "places", conflicts_with = "series")]
    store: Option<PathBuf>,
    /// Points or fields: .gpkg, .shp, .zip, .geojson, .parquet or .csv, called by id, name, field, field_id, nombre or place
    #[arg(long, value_name = "FILE", requires = "store")]
    places: Option<PathBuf>,
    /// Points of a table of series: point_id, lon, lat, class_name
    #[arg(long, value_name = "FILE", requires = "series")]
    points: Option<PathBuf>,
    /// Series of a table: point_id, date, one column per band
    #[arg(long, value_name = "FILE", requires = "points")]
    series: Option<PathBuf>,
    /// Dates to forecast, YYYY-MM-DD
    #[arg(long, value_delimiter = ',', value_name = "DATE", conflicts_with = "days_ahead")]
    dates: Vec<Date>,
    /// Days to forecast, counted from the last date there is
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "DAYS",
        default_value = "10,30,60,90,150",
        value_parser = clap::value_parser!(i32).range(1..=3650)
    )]
    days_ahead: Vec<i32>,
    /// The table to write: .csv or .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Places and what they showed.
#[derive(Default)]
struct Places {
    names: Vec<String>,
    samples: Vec<Sample>,
    bands: Vec<SpectralBand>,
    band_names: Vec<String>,
    /// Last day of the store or table.
    last_day: i32,
}

pub(crate) fn run(args: &Args, device: &Device, screen: &Screen) -> anyhow::Result<u64> {
    let (model, sha256) = load_model(&args.model, device)?;
    let forecaster = load_forecaster(&args.model, model.encoder.width(), &sha256, device)?;
    let places = match (&args.store, &args.places, &args.points, &args.series) {
        (Some(store), Some(places), None, None) => from_store(store, places, screen)?,
        (None, None, Some(points), Some(series)) => from_table(points, series)?,
        _ => {
            let text = "give --store DIR and --places FILE, or --points FILE and --series FILE";
            return Err(Usage(text.into()).into());
        }
    };
    let days: Vec<i32> = match args.dates.as_slice() {
        [] => args.days_ahead.iter().map(|ahead| places.last_day + ahead).collect(),
        dates => dates.iter().map(|&date| day_of(date)).collect(),
    };
    let watched = Watched::look_back(&model, &forecaster, &places, screen)?;
    say_limits(&forecaster, &places, (&days, &watched), screen);
    let mut outlooks = ahead(&model, &forecaster, &places, &days, screen)?;
    let bands = places.bands.len();
    outlooks.iter_mut().flatten().flatten().for_each(|one| watched.stretch(one, bands));
    let rows = rows(&places, &outlooks);
    if rows.is_empty() {
        let text = "no place was seen before any of the dates: nothing to forecast from";
        return Err(BadInput(text.into()).into());
    }
    write_forecasts(&rows, &args.out)?;
    let unseen = outlooks.iter().filter(|place| place.iter().all(Option::is_none)).count();
    let json = serde_json::json!({
        "table": args.out, "rows": rows.len(), "places": places.names.len(), "unseen": unseen,
        "dates": days.iter().map(|&day| date_of(day)).collect::<Vec<_>>(),
        "last_date": date_of(places.last_day), "coverage": forecaster.config.coverage,
        "horizons": forecaster.config.horizons, "watched": watched.stretches, "median_ndvi": ndvi_by_date(&rows),
    });
    let mut text = format!(
        "{}: {} rows, {} places, {unseen} never seen before the dates",
        args.out.display(),
        rows.len(),
        places.names.len()
    );
    for (date, [low, median, high]) in ndvi_by_date(&rows) {
        text += &format!(
            "\n{date}: NDVI {median:.2}, from {low:.2} to {high:.2} (middle of all places)"
        );
    }
    screen.result(&json, &text)?;
    Ok(0)
}

/// Points and fields on the cells of a store.
fn from_store(store: &Path, file: &Path, screen: &Screen) -> anyhow::Result<Places> {
    let store = Store::open(store)?;
    let labels = read_named_places(file)?;
    say_of_labels(&labels, screen);
    let mut places = Places { last_day: i32::MIN, ..Places::default() };
    let (mut nowhere, cells) = (None, store.cells()?);
    for (done, cell) in cells.iter().enumerate() {
        let reader = store.cell(cell)?;
        let here = match labels.on(&reader.georef, (reader.rows, reader.cols)) {
            Ok(here) => here,
            Err(error @ (LabelError::Nowhere { .. } | LabelError::Swapped { .. })) => {
                nowhere = Some(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let window = around(&here);
        let cube = read_cube(&store, &SeriesWindow { cell: cell.clone(), window }, None)?;
        if !places.bands.is_empty() && places.bands != cube.bands {
            let text =
                format!("cell {cell} has other bands than the first: collect the same for all");
            return Err(BadInput(text).into());
        }
        let mut by_place: BTreeMap<usize, (String, Vec<(usize, usize)>)> = BTreeMap::new();
        for pixel in here {
            let (_, pixels) = by_place.entry(pixel.feature).or_insert((pixel.class, Vec::new()));
            pixels.push((pixel.row - window.row, pixel.col - window.col));
        }
        for (name, pixels) in by_place.into_values() {
            places.names.push(name);
            places.samples.push(cube.mean_of(&pixels));
        }
        places.last_day = cube.days.last().copied().unwrap_or(i32::MIN).max(places.last_day);
        places.bands.clone_from(&cube.bands);
        places.band_names.clone_from(&cube.band_names);
        screen.report("read", done as u64 + 1, cells.len() as u64, "");
    }
    match nowhere {
        Some(error) if places.names.is_empty() => Err(error.into()),
        _ => Ok(places),
    }
}

/// The smallest window with all of these pixels.
fn around(pixels: &[PointLabel]) -> Window {
    let of = |pick: fn(&PointLabel) -> usize| {
        let low = pixels.iter().map(pick).min().unwrap_or(0);
        (low, pixels.iter().map(pick).max().unwrap_or(0) - low + 1)
    };
    let ((row, rows), (col, cols)) = (of(|p| p.row), of(|p| p.col));
    Window { row, col, rows, cols }
}

fn from_table(points: &Path, series: &Path) -> anyhow::Result<Places> {
    let set = read_table(points, series)?;
    let (columns, bands) = set.spectral();
    if bands.is_empty() {
        let text =
            format!("set {} has no column with a wavelength: nothing a model can read", set.name);
        return Err(BadInput(text).into());
    }
    Ok(Places {
        names: (0..set.labels.len()).map(|place| (place + 1).to_string()).collect(),
        samples: (0..set.labels.len()).map(|place| set.sample(place)).collect(),
        band_names: columns.iter().map(|&c| set.bands[c].name.clone()).collect(),
        last_day: set.days.last().copied().unwrap_or(0),
        bands,
    })
}

/// What the intervals of these dates rest on, where that is not measurement.
fn say_limits(
    forecaster: &Forecaster,
    places: &Places,
    (days, watched): (&[i32], &Watched),
    screen: &Screen,
) {
    let config = &forecaster.config;
    if config.horizons.is_empty() {
        screen
            .say("assumed: intervals are the model's own; too little was held out to measure them");
    }
    let unknown = |day: &&i32| !watched.knows((**day - places.last_day).max(1));
    if let Some(day) = days.iter().find(unknown) {
        screen.say(&format!(
            "assumed: intervals for {} are as wide as on the places of training; the last 90 days show too little of these",
            date_of(*day)
        ));
    }
    let furthest = days.iter().max().map_or(0, |day| day - places.last_day);
    if furthest > config.longest_gap_days {
        screen.say(&format!(
            "assumed: beyond {} days forecasts are fed back, and the widths of their intervals were measured on \
             nothing",
            config.longest_gap_days
        ));
    }
}

fn ahead(
    model: &Model,
    forecaster: &Forecaster,
    places: &Places,
    days: &[i32],
    screen: &Screen,
) -> anyhow::Result<Vec<Vec<Option<Outlook>>>> {
    let samples: Vec<&Sample> = places.samples.iter().collect();
    let mut outlooks = Vec::with_capacity(samples.len());
    for part in samples.chunks(PLACES_AT_ONCE) {
        if screen.stopped() {
            anyhow::bail!("stopped before the forecast was whole; nothing was written");
        }
        outlooks.extend(outlook(model, forecaster, part, &places.bands, days));
        screen.report("forecast", outlooks.len() as u64, samples.len() as u64, "");
    }
    Ok(outlooks)
}

fn rows(places: &Places, outlooks: &[Vec<Option<Outlook>>]) -> Vec<ForecastRow> {
    let mut names = places.band_names.clone();
    names.push("ndvi".into());
    let mut rows = Vec::new();
    for (place, outlooks) in places.names.iter().zip(outlooks) {
        for one in outlooks.iter().flatten() {
            rows.extend(one.values.iter().zip(&names).map(|(value, name)| ForecastRow {
                place: place.clone(),
                date: date_of(one.day),
                gap_days: one.gap_days,
                value: name.clone(),
                median: value.median,
                low: value.low,
                high: value.high,
            }));
        }
    }
    rows
}

/// By date, the middle over all places of the lower end, the median and the upper end of NDVI.
fn ndvi_by_date(rows: &[ForecastRow]) -> BTreeMap<Date, [f32; 3]> {
    let mut by_date: BTreeMap<Date, Vec<&ForecastRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.value == "ndvi") {
        by_date.entry(row.date).or_default().push(row);
    }
    let middle = |rows: &[&ForecastRow], pick: fn(&ForecastRow) -> f32| {
        let mut all: Vec<f32> = rows.iter().map(|row| pick(row)).collect();
        all.sort_unstable_by(f32::total_cmp);
        all[all.len() / 2]
    };
    let of = |rows: Vec<&ForecastRow>| {
        [middle(&rows, |r| r.low), middle(&rows, |r| r.median), middle(&rows, |r| r.high)]
    };
    by_date.into_iter().map(|(date, rows)| (date, of(rows))).collect()
}

fn day_of(date: Date) -> i32 {
    (date - jiff::civil::date(1970, 1, 1)).get_days()
}

fn date_of(day: i32) -> Date {
    jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day))
}
