//! What all cells of a sensor have in common: their bands, and what their arrays are called.

use serde_json::Map;
use surco_core::Sensor;
use surco_store::{ArrayText, CellSpec};

/// A cell without ground and scenes.
///
/// Cells of Sentinel-2 say nothing of a sensor: they are what they were before there were others.
pub(super) fn of(sensor: &Sensor, bands: &[usize]) -> CellSpec {
    let Some(raster) = sensor.raster() else { return CellSpec::default() };
    let names = bands.iter().filter_map(|&band| raster.bands.get(band));
    let common =
        CellSpec { bands: names.map(|band| band.name.clone()).collect(), ..CellSpec::default() };
    if *sensor == Sensor::default() {
        return common;
    }
    let stored = &raster.stored;
    let values = ArrayText {
        scale_factor: Some(stored.scale_factor),
        add_offset: Some(stored.add_offset),
        ..ArrayText::plain(&stored.array, &stored.long_name, &stored.units)
    };
    let quality = raster.quality.as_ref();
    CellSpec {
        band_text: format!("band of {}", sensor.title),
        values,
        quality: quality.map(|q| ArrayText::plain(&q.array, &q.long_name, "1")),
        attributes: Map::from_iter([("sensor".to_string(), sensor.id.as_str().into())]),
        ..common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_their_numbers_are_and_those_of_sentinel_2_stay_as_they_are() {
        let of = |id: &str| super::of(&Sensor::builtin(id).unwrap(), &[0]);
        let optical = of("sentinel-2-l2a");
        assert_eq!(optical, CellSpec { bands: vec!["B02".into()], ..CellSpec::default() });
        let radar = of("sentinel-1-rtc");
        assert_eq!((radar.values.units.as_str(), radar.quality), ("dB", None));
        assert_eq!(
            (radar.values.scale_factor, radar.values.add_offset),
            (Some(0.001), Some(-50.0))
        );
        assert_eq!(radar.attributes["sensor"], "sentinel-1-rtc");
        let landsat = of("landsat-c2-l2");
        assert_eq!(landsat.quality.map(|q| q.name).as_deref(), Some("qa_pixel"));
    }
}
