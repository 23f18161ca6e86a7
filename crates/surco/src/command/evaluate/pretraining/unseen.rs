//! What models say of dates they are not shown, on pixels of a store that lie in blocks held out.
//!
//! Three questions: hidden dates said from those around them, dates to come said from the past, and whether a
//! place looks alike from two sets of dates. Baselines learn from the pixels outside the area.

mod coming;

use std::sync::{Mutex, PoisonError};

use ndarray::Array2;
use surco_core::{Progress, Window};
use surco_data::{Batch, BatchSpec, Sample, SeriesWindow, SpectralBand, read_cube};
use surco_eval::forecast::IndexSeries;
use surco_eval::invariance::invariance;
use surco_eval::prepare::{ZScore, red_and_nir};
use surco_eval::pretraining::{Alike, Unseen};
use surco_eval::reconstruction::{BandSeries, Gap, GapScore, Hidden, Months, interpolated};
use surco_net::{Device, EncoderInput, Model, Sight};
use surco_store::Store;

use super::sets::Area;
use super::{Args, Entrant, embedding, go_on};
use crate::compare::band_series;
use crate::compare::columns_of;
use crate::exit::BadInput;
use crate::learning::{block_number, block_of};
use crate::screen::Screen;

/// Pixels held out that are asked about, and pixels learned from, at most.
const MOST: [usize; 2] = [384, 768];

/// Samples said at once.
const CHUNK: usize = 16;

/// Pixels of one side of the area's edge.
#[derive(Default)]
struct Pixels {
    samples: Vec<Sample>,
    blocks: Vec<u64>,
}

/// A store as this suite reads it.
struct Ground {
    bands: Vec<SpectralBand>,
    window: (i32, i32),
    /// Places of red and near infrared among the bands.
    red_nir: (usize, usize),
    held: Pixels,
    learned: Pixels,
}

/// Runs all three questions.
pub(super) fn ask(
    args: &Args,
    area: Area,
    entrants: &[Entrant],
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<Unseen> {
    let ground = read(args, area)?;
    let (first, end) = ground.days();
    // Dates to come are asked about in the last third of the period, which nothing here learned from.
    let from_day = first + (end - first) * 2 / 3;
    let (mut hidden, months) = (Vec::new(), ground.learned.bands(ground.bands.len()));
    let held = ground.held.bands(ground.bands.len());
    for gap in [Gap::Scattered, Gap::Stretch] {
        screen.report("hidden dates", hidden.len() as u64, 0, "");
        hidden.extend(reconstruct(&ground, (&held, &months), gap, entrants, screen)?);
    }
    Ok(Unseen {
        reconstruction: hidden,
        forecast: coming::foretell(&ground, from_day, entrants, screen)?,
        alike: alike(&ground, entrants, device, screen)?,
        notes: notes(&ground, from_day),
    })
}

fn read(args: &Args, area: Area) -> anyhow::Result<Ground> {
    let Some(path) = &args.store else { return Err(BadInput("no store".into()).into()) };
    let store = Store::open(path)?;
    let mut ground = Ground {
        bands: Vec::new(),
        window: (i32::MAX, i32::MIN),
        red_nir: (0, 0),
        held: Pixels::default(),
        learned: Pixels::default(),
    };
    for cell in store.cells()? {
        let reader = store.cell(&cell)?;
        let window = Window { row: 0, col: 0, rows: reader.rows, cols: reader.cols };
        let cube = read_cube(&store, &SeriesWindow { cell, window }, None)?;
        let columns = columns_of(&cube.bands, &cube.band_names);
        let Some(pair) = red_and_nir(&columns) else {
            let text = format!("store {}: NDVI needs red and near infrared", path.display());
            return Err(BadInput(text).into());
        };
        ground.red_nir = pair;
        ground.bands.clone_from(&cube.bands);
        let (first, last) = (cube.days[0], cube.days[cube.days.len() - 1]);
        ground.window = (ground.window.0.min(first.min(last - 364)), ground.window.1.max(last + 1));
        for (row, col) in (0..cube.size().0).flat_map(|r| (0..cube.size().1).map(move |c| (r, c))) {
            let sample = cube.sample(row, col);
            let side =
                if area.holds(sample.site.lonlat) { &mut ground.held } else { &mut ground.learned };
            side.blocks.push(block_number(block_of(&cube, row, col, args.block_m)));
            side.samples.push(sample);
        }
    }
    ground.held.thin(MOST[0]);
    ground.learned.thin(MOST[1]);
    if ground.held.samples.is_empty() || ground.learned.samples.is_empty() {
        let text = format!(
            "store {}: --within must hold some of its pixels and leave some outside to learn from",
            path.display()
        );
        return Err(BadInput(text).into());
    }
    Ok(ground)
}

impl Ground {
    /// First day seen and the day after the last.
    fn days(&self) -> (i32, i32) {
        let days = self.held.samples.iter().flat_map(|s| s.days.iter().copied());
        let (first, last) = days.fold((i32::MAX, i32::MIN), |(a, b), d| (a.min(d), b.max(d)));
        (first, last + 1)
    }

    fn ndvi(&self, bands: &[f32]) -> f64 {
        let (red, nir) = (f64::from(bands[self.red_nir.0]), f64::from(bands[self.red_nir.1]));
        (nir - red) / (nir + red)
    }

    /// NDVI of pixels where it is a number.
    fn index(&self, pixels: &Pixels) -> Vec<IndexSeries> {
        let one = |(sample, &block): (&Sample, &u64)| {
            let seen = (0..sample.len()).filter_map(|i| {
                let ndvi = self.ndvi(sample.date(i, self.bands.len()));
                ndvi.is_finite().then_some((sample.days[i], ndvi))
            });
            let (days, values) = seen.unzip();
            IndexSeries { days, values, block }
        };
        pixels.samples.iter().zip(&pixels.blocks).map(one).collect()
    }

    /// How a model reads these series, asked about nothing.
    fn spec(&self, model: &Model) -> BatchSpec {
        BatchSpec { queries: None, ..model.config.spec(&self.bands, self.window) }
    }
}

impl Pixels {
    /// Keeps so many, spread over those there are.
    fn thin(&mut self, most: usize) {
        let all = self.samples.len();
        let kept = (0..most.min(all)).map(|i| i * all / most.min(all));
        let kept: Vec<usize> = kept.filter(|&p| !self.samples[p].is_empty()).collect();
        self.samples = kept.iter().map(|&p| self.samples[p].clone()).collect();
        self.blocks = kept.iter().map(|&p| self.blocks[p]).collect();
    }

    fn bands(&self, bands: usize) -> Vec<BandSeries> {
        let one = |(sample, &block): (&Sample, &u64)| band_series(sample, bands, block);
        self.samples.iter().zip(&self.blocks).map(one).collect()
    }
}

/// What a model says of days that `seen` does not have, `[day, band]` in reflectance.
///
/// Each day is asked alone, beside the dates nearest to it, as many as the model was trained on.
fn said(model: &Model, spec: &BatchSpec, seen: &Sample, days: &[i32]) -> Array2<f32> {
    let bands = spec.bands.len();
    let asked: Vec<Sample> = days.iter().map(|&day| with_day(seen, day, spec)).collect();
    let mut all = Array2::from_elem((days.len(), bands), f32::NAN);
    let device = model.encoder.device();
    for (chunk, days) in (0..).step_by(CHUNK).zip(days.chunks(CHUNK)) {
        let samples: Vec<&Sample> = asked[chunk..chunk + days.len()].iter().collect();
        let mut batch = Batch::new(&samples, spec);
        let rows: Vec<Option<usize>> = (0..days.len())
            .map(|i| {
                let day = days[i] - spec.end_day;
                batch.samples[i].rows.clone().find(|&row| batch.days_n[row] == day)
            })
            .collect();
        rows.iter().flatten().for_each(|&row| batch.hide_row(row));
        let values = model.encoder.predict(&EncoderInput::new(&batch, &device), None).into_data();
        let values: Vec<f32> = values.iter::<f32>().collect();
        for (i, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            for (band, (mean, deviation)) in spec.scale.iter().enumerate() {
                all[[chunk + i, band]] = values[row * bands + band] * deviation + mean;
            }
        }
    }
    all
}

/// The dates of a sample nearest to a day, and the day itself with values that are hidden before anything
/// reads them.
fn with_day(seen: &Sample, day: i32, spec: &BatchSpec) -> Sample {
    let bands = spec.bands.len();
    let mut near: Vec<usize> = (0..seen.len())
        .filter(|&i| seen.days[i] != day)
        .filter(|&i| (spec.first_day..spec.end_day).contains(&seen.days[i]))
        .collect();
    near.sort_by_key(|&i| (seen.days[i] - day).abs());
    near.truncate(spec.max_dates.saturating_sub(1));
    near.sort_unstable();
    let mut out =
        Sample { days: Vec::new(), values: Vec::new(), weights: Vec::new(), ..seen.clone() };
    let before = near.partition_point(|&i| seen.days[i] < day);
    for (place, &i) in near.iter().enumerate() {
        if place == before {
            out.days.push(day);
            out.values.extend(std::iter::repeat_n(0.0, bands));
        }
        out.days.push(seen.days[i]);
        out.values.extend_from_slice(seen.date(i, bands));
    }
    if before == near.len() {
        out.days.push(day);
        out.values.extend(std::iter::repeat_n(0.0, bands));
    }
    out
}

fn reconstruct(
    ground: &Ground,
    (held, learned): (&[BandSeries], &[BandSeries]),
    gap: Gap,
    entrants: &[Entrant],
    screen: &Screen,
) -> anyhow::Result<Vec<GapScore>> {
    let hidden = Hidden::draw(held, gap, 0);
    let mut scores = Vec::new();
    for entrant in entrants {
        go_on(screen)?;
        let Some(model) = entrant.ours().filter(|m| m.config.sight == Sight::Whole) else {
            continue;
        };
        let (spec, shared) = (ground.spec(model), Mutex::new(model.clone()));
        scores.push(hidden.score(&entrant.name, gap, |place, left, days| {
            let whole = &ground.held.samples[place];
            let values = left.values.iter().copied().collect();
            let seen =
                Sample { days: left.days.clone(), values, weights: Vec::new(), ..whole.clone() };
            said(&own(&shared), &spec, &seen, days)
        }));
    }
    scores
        .push(hidden.score("linear interpolation", gap, |_, left, days| interpolated(left, days)));
    if let Some(months) = Months::measure(learned) {
        scores.push(hidden.score("monthly climatology", gap, |_, _, days| months.monthly(days)));
        let moved = |_: usize, left: &BandSeries, days: &[i32]| months.of_place(left, days);
        scores.push(hidden.score("monthly climatology of the pixel", gap, moved));
    }
    Ok(scores)
}

/// A copy of a model for one thread.
fn own<T: Clone>(shared: &Mutex<T>) -> T {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The dates of a sample up to a day.
fn up_to(sample: &Sample, last: Option<i32>, bands: usize) -> Sample {
    let known = last.map_or(0, |last| sample.days.partition_point(|&d| d <= last));
    sample.at_dates(&(0..known).collect::<Vec<_>>(), bands)
}

/// Whether places look alike from two sets of dates, each number of an embedding in units of its spread over
/// places outside the area, as probes and neighbours see it.
fn alike(
    ground: &Ground,
    entrants: &[Entrant],
    device: &Device,
    screen: &Screen,
) -> anyhow::Result<Vec<Alike>> {
    let half = |pixels: &Pixels, odd: usize| -> Vec<Sample> {
        let keep = |sample: &Sample| {
            let dates: Vec<usize> = (odd..sample.len()).step_by(2).collect();
            sample.at_dates(&dates, ground.bands.len())
        };
        pixels.samples.iter().map(keep).collect()
    };
    let [even, odd] = [0, 1].map(|odd| half(&ground.held, odd));
    let elsewhere = [0, 1].map(|odd| half(&ground.learned, odd)).concat();
    let mut found = Vec::new();
    for entrant in entrants {
        go_on(screen)?;
        let Some(model) = entrant.ours() else { continue };
        let of = |samples: &[Sample]| {
            let refs: Vec<&Sample> = samples.iter().collect();
            embedding(model, &refs, &ground.bands, ground.window, device).mapv(f64::from)
        };
        let scale = ZScore::measure(of(&elsewhere).view());
        let [a, b] = [&even, &odd].map(|half| scale.apply(of(half).view()));
        if let Some(alike) = invariance(a.view(), b.view(), &ground.held.blocks) {
            found.push(Alike { model: entrant.name.clone(), alike });
        }
    }
    Ok(found)
}

fn notes(ground: &Ground, from_day: i32) -> Vec<String> {
    let (first, end) = ground.days();
    vec![
        format!(
            "{} pixels inside the area are asked about, {} outside it are learned from by the baselines; no model may have seen the area.",
            ground.held.samples.len(),
            ground.learned.samples.len()
        ),
        format!(
            "Forecasts are judged in the last third of the {} days, from {} on; climate, penalty and intervals come from pixels outside the area and days before. A model trained on later days has seen the season it foretells.",
            end - first,
            date(from_day)
        ),
        "same day of the year: the pixel's own value a year before where the archive reaches back that far, within 12 days, else the median over pixels outside the area; harmonic regression: two harmonics, ridge, each pixel's past alone.".into(),
        "A model that was not taught to forecast is asked for a date to come as if it were hidden; one that looks back fills in no hidden dates. Models whose pretext never names values say them at random.".into(),
        "Intervals of models without their own come from their errors outside the area, as those of the baselines do.".into(),
    ]
}

fn date(day: i32) -> String {
    jiff::civil::date(1970, 1, 1)
        .checked_add(jiff::Span::new().days(day))
        .map_or_else(|_| day.to_string(), |d| d.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use surco_data::Normalisation;

    fn spec(max_dates: usize) -> BatchSpec {
        let bands = [SpectralBand::optical(665.0, 30.0)];
        let norm = Normalisation::measure(&bands, &[]);
        BatchSpec { max_dates, ..BatchSpec::new(&bands, &norm, (0, 365)) }
    }

    /// The three dates nearest to day 100 are 80, 120 and 60 or 140; the day itself comes in order.
    #[test]
    fn a_day_is_asked_beside_the_dates_nearest_to_it() {
        let days: Vec<i32> = (0..10).map(|i| i * 20).collect();
        let values = days.iter().map(|&d| d as f32).collect();
        let seen = Sample::series(days, values, true);
        let asked = with_day(&seen, 100, &spec(4));
        assert_eq!(asked.days, [60, 80, 100, 120]);
        assert_eq!(asked.values, [60.0, 80.0, 0.0, 120.0]);
        let last = with_day(&up_to(&seen, Some(45), 1), 200, &spec(4));
        assert_eq!(last.days, [0, 20, 40, 200], "the future of the past is not there");
    }
}
