//! Dates to come: models and baselines foretell NDVI of pixels held out, each as it is and levelled.

use std::sync::Mutex;

use ndarray::{ArrayView1, Axis};
use surco_core::Progress;
use surco_data::Sample;
use surco_eval::forecast::{
    Calibrated, Climate, Forecast, HORIZONS_D, HorizonScore, Levelled, Past, Trial, choose_ridge,
    persistence,
};
use surco_net::{AnyModel, EarthPtConfig, Forecaster, Model, Outlook, Sight, SystemModel, outlook};

use super::super::{Entrant, go_on};
use super::{Ground, Pixels, own, said, up_to};
use crate::screen::Screen;

/// Places of B04 and B08 among the bands of Sentinel-2.
const RED: usize = 2;
const NIR: usize = 6;

/// Every forecaster and the baselines, asked about dates to come.
pub(super) fn foretell(
    ground: &Ground,
    from_day: i32,
    entrants: &[Entrant],
    screen: &Screen,
) -> anyhow::Result<Vec<HorizonScore>> {
    let (held, learned) = (ground.index(&ground.held), ground.index(&ground.learned));
    let trial = Trial::new(&held, &HORIZONS_D, from_day..i32::MAX);
    let before = Trial::new(&learned, &HORIZONS_D, i32::MIN..from_day);
    let mut scores = Vec::new();
    for (i, entrant) in entrants.iter().enumerate() {
        screen.report("forecast", i as u64, entrants.len() as u64, &entrant.name);
        go_on(screen)?;
        let name = entrant.name.as_str();
        scores.extend(match (entrant.at(0), &entrant.forecaster) {
            (AnyModel::Surco(model), Some(forecaster)) => {
                asked_directly(ground, &trial, name, (model, forecaster))
            }
            // Models that look back say nothing of a hidden date.
            (AnyModel::Surco(model), None) if model.config.sight == Sight::Whole => {
                let (spec, shared) = (ground.spec(model), Mutex::new(Model::clone(model)));
                let said = |seen: &Sample, days: &[i32]| {
                    let said = said(&own(&shared), &spec, seen, days);
                    said.rows().into_iter().map(|row| ground.ndvi(&row.to_vec())).collect()
                };
                calibrated(ground, (&trial, &before), name, said)
            }
            (AnyModel::EarthPt(model), _) => {
                let shared = Mutex::new(SystemModel::clone(model));
                let said =
                    |seen: &Sample, days: &[i32]| rolled_out(ground, &own(&shared), seen, days);
                calibrated(ground, (&trial, &before), name, said)
            }
            _ => Vec::new(),
        });
    }
    let pairs = learned.iter().map(|s| (s.days.as_slice(), s.values.as_slice()));
    let climate = Climate::measure(pairs, from_day);
    let harmonic = choose_ridge(&before);
    let year = |past: &Past<'_>, days: &[i32]| climate.forecast(past, days);
    let waves = |past: &Past<'_>, days: &[i32]| harmonic.forecast(past, days);
    let (year_on, waves_on) = (Levelled::fit(year, &before), Levelled::fit(waves, &before));
    scores.extend(baseline("persistence", persistence, (&trial, &before)));
    scores.extend(baseline("same day of the year", year, (&trial, &before)));
    scores.extend(baseline("harmonic regression", waves, (&trial, &before)));
    let year_on = |past: &Past<'_>, days: &[i32]| year_on.forecast(past, days);
    let waves_on = |past: &Past<'_>, days: &[i32]| waves_on.forecast(past, days);
    scores.extend(baseline("same day of the year, levelled", year_on, (&trial, &before)));
    scores.extend(baseline("harmonic regression, levelled", waves_on, (&trial, &before)));
    Ok(scores)
}

/// A method that reads the index alone; its intervals come from its errors outside the area.
fn baseline(
    name: &str,
    method: impl Fn(&Past<'_>, &[i32]) -> Vec<f64> + Sync,
    (trial, before): (&Trial<'_>, &Trial<'_>),
) -> Vec<HorizonScore> {
    let measured = Calibrated::fit(method, before);
    trial.score(name, |past, days| measured.forecast(past, days))
}

/// A model that was taught to forecast, with intervals of its own.
fn asked_directly(
    ground: &Ground,
    trial: &Trial<'_>,
    name: &str,
    (model, forecaster): (&Model, &Forecaster),
) -> Vec<HorizonScore> {
    let shared = Mutex::new((model.clone(), forecaster.clone()));
    let nothing = Forecast { median: f64::NAN, low: f64::NAN, high: f64::NAN };
    trial.score(name, |past, days| {
        let (model, forecaster) = own(&shared);
        let whole = &ground.held.samples[past.series];
        let seen = up_to(whole, past.days.last().copied(), ground.bands.len());
        let said = outlook(&model, &forecaster, &[&seen], &ground.bands, days);
        let ndvi = |one: &Option<Outlook>| {
            let said = one.as_ref().and_then(|o| o.values.get(ground.bands.len()));
            said.map_or(nothing, |p| {
                let [median, low, high] = [p.median, p.low, p.high].map(f64::from);
                Forecast { median, low, high }
            })
        };
        said.iter().flatten().map(ndvi).collect()
    })
}

/// A model that says one value of a date, given what was seen; its intervals come from its errors outside the area.
fn calibrated(
    ground: &Ground,
    (trial, before): (&Trial<'_>, &Trial<'_>),
    name: &str,
    ndvi: impl Fn(&Sample, &[i32]) -> Vec<f64> + Sync,
) -> Vec<HorizonScore> {
    let of = |pixels: &Pixels, past: &Past<'_>, days: &[i32]| {
        let whole = &pixels.samples[past.series];
        ndvi(&up_to(whole, past.days.last().copied(), ground.bands.len()), days)
    };
    let (learned, held) = (
        |p: &Past<'_>, d: &[i32]| of(&ground.learned, p, d),
        |p: &Past<'_>, d: &[i32]| of(&ground.held, p, d),
    );
    let plain = Calibrated::fit(learned, before).with(held);
    let mut scores = trial.score(name, |past, days| plain.forecast(past, days));
    let levelled = Levelled::fit(learned, before);
    let measured = Calibrated::fit(|p: &Past<'_>, d: &[i32]| levelled.forecast(p, d), before);
    let held = levelled.with(held);
    let moved = measured.with(|p: &Past<'_>, d: &[i32]| held.forecast(p, d));
    scores
        .extend(trial.score(&format!("{name}, levelled"), |past, days| moved.forecast(past, days)));
    scores
}

/// `EarthPT`, date after date: what it says of one is taken for seen when the next is asked for. Nothing where it cannot read a series.
fn rolled_out(
    ground: &Ground,
    model: &SystemModel<EarthPtConfig>,
    seen: &Sample,
    days: &[i32],
) -> Vec<f64> {
    let said = model.forecast(&[seen], &ground.bands, (i32::MIN, i32::MAX), days);
    let Ok(said) = said else { return vec![f64::NAN; days.len()] };
    let ndvi = |row: ArrayView1<'_, f32>| {
        let (red, nir) = (f64::from(row[RED]), f64::from(row[NIR]));
        (nir - red) / (nir + red)
    };
    said.index_axis(Axis(0), 0).rows().into_iter().map(ndvi).collect()
}
