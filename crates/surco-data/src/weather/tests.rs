use std::fs;

use super::*;
use crate::read_table;

const ROWS: &str = "\
date,lon,lat,temperature_mean,precipitation_flux,station
2023-05-01,-71.05,-34.05,285.5,0,a
2023-05-02,-71.05,-34.05,286.25,12.5,a
2023-05-01,-71.05,-33.95,284,,b
2023-05-02,-71.05,-33.95,283.5,3,b
2023-04-30,-71.05,-33.95,290,0,b
2023-05-01,-60.05,-33.95,300,0,c
";

fn set(text: &str) -> (tempfile::TempDir, WeatherRequest) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    fs::write(&path, text).unwrap();
    (folder, WeatherRequest { files: vec![path], ..WeatherRequest::default() })
}

fn agera5() -> Sensor {
    Sensor::builtin("agera5").unwrap()
}

fn refusal(text: &str) -> String {
    let (folder, request) = set(text);
    let out = folder.path().join("out");
    let error = collect(&agera5(), &request, &out).unwrap_err();
    assert!(!out.join("meta.json").exists(), "no table stands for a fault");
    error.to_string().replace(folder.path().to_str().unwrap(), "…")
}

#[test]
fn rows_of_an_area_and_season_become_a_table_that_is_read_like_any_other() {
    let (folder, mut request) = set(ROWS);
    let ring = vec![[-72.0, -35.0], [-70.0, -35.0], [-70.0, -33.0], [-72.0, -33.0], [-72.0, -35.0]];
    request.area = vec![Polygon { rings: vec![ring] }];
    request.seasons = vec![Season::agricultural(2023).unwrap()];
    let out = folder.path().join("out");
    let summary = collect(&agera5(), &request, &out).unwrap();
    assert_eq!((summary.rows, summary.left_out, summary.points), (6, 2, 2));
    assert_eq!((summary.series_rows, summary.values), (4, 7));
    assert_eq!(summary.variables, ["Temperature_Air_2m_Mean_24h", "Precipitation_Flux"]);
    assert_eq!(summary.ignored, ["station"]);
    let table = read_table(&out.join("points.parquet"), &out.join("series.parquet")).unwrap();
    assert_eq!(table.places, [[-71.05, -33.95], [-71.05, -34.05]], "north first");
    assert_eq!(table.days, [19_478, 19_479], "1 and 2 May 2023");
    let column = |name: &str| table.bands.iter().position(|b| b.name == name).unwrap();
    let (rain, heat) = (column("Precipitation_Flux"), column("Temperature_Air_2m_Mean_24h"));
    assert_eq!(table.values[[1, 1, rain]], 12.5);
    assert!(table.values[[0, 0, rain]].is_nan(), "an empty field is no zero");
    assert_eq!(table.values[[0, 0, heat]], 284.0);
    assert!(table.spectral().0.is_empty(), "weather is no reflectance");
}

#[test]
fn the_same_rows_give_the_same_bytes_in_any_order() {
    let tables = |folder: &Path| {
        ["points.parquet", "series.parquet", "meta.json"].map(|f| fs::read(folder.join(f)).unwrap())
    };
    let (folder, request) = set(ROWS);
    let out = folder.path().join("out");
    collect(&agera5(), &request, &out).unwrap();
    let mut lines: Vec<&str> = ROWS.lines().collect();
    lines[1..].reverse();
    let twice = lines[1];
    lines.push(twice);
    let (other, request) = set(&lines.join("\n"));
    let again = other.path().join("out");
    let summary = collect(&agera5(), &request, &again).unwrap();
    assert_eq!(summary.repeated, 1);
    assert_eq!(tables(&out), tables(&again));
    assert!(summary.days.is_some_and(|d| d.1 == jiff::civil::date(2023, 5, 2)));
}

/// Dates as days, degrees as doubles, values as floats: as other programs write such tables.
#[test]
fn rows_of_parquet_are_rows_like_any_other() {
    use parquet::data_type::{DoubleType, FloatType, Int32Type};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let schema = "message rows { required int32 time (DATE); required double longitude;
        required double latitude; optional float TMEAN; }";
    let (folder, mut request) = set(ROWS);
    let path = folder.path().join("rows.parquet");
    let schema = parse_message_type(schema).unwrap().into();
    let file = fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, std::sync::Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[19_478, 19_479], None, None).unwrap();
    column.close().unwrap();
    for degrees in [-71.05, -34.05] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[degrees; 2], None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<FloatType>().write_batch(&[285.15], Some(&[1, 0]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();

    request.files = vec![path];
    let out = folder.path().join("out");
    let summary = collect(&agera5(), &request, &out).unwrap();
    assert_eq!((summary.rows, summary.points, summary.values), (2, 1, 1));
    let table = read_table(&out.join("points.parquet"), &out.join("series.parquet")).unwrap();
    assert_eq!((table.days.clone(), table.places[0]), (vec![19_478, 19_479], [-71.05, -34.05]));
    assert_eq!(table.values[[0, 0, 0]], 285.15);
    assert!(table.values[[0, 1, 0]].is_nan());
}

#[test]
fn a_value_that_is_no_weather_is_named_with_its_row() {
    insta::assert_snapshot!(refusal(&ROWS.replace("283.5", "10.35")), @"weather …/rows.csv, row 4: Temperature_Air_2m_Mean_24h is 10.35, expected 180 to 340 K; correct the value or its unit, or leave the field empty");
    insta::assert_snapshot!(refusal(&ROWS.replace(",12.5", ",-9999")), @"weather …/rows.csv, row 2: Precipitation_Flux is -9999, expected 0 to 2000 mm d-1; correct the value or its unit, or leave the field empty");
    insta::assert_snapshot!(refusal(&ROWS.replace("284,,", "warm,,")), @"weather …/rows.csv, row 3: `warm` in column `temperature_mean` is no number");
    insta::assert_snapshot!(refusal(&ROWS.replace("2023-05-02,-71.05,-34", "2023-05-32,-71.05,-34")), @"weather …/rows.csv, row 2: `2023-05-32` in column `date` is no date like 2023-05-31");
    insta::assert_snapshot!(refusal(&ROWS.replace("-60.05,-33.95", "286000,6200000")), @"weather …/rows.csv, row 6: `286000` in column `lon` is no longitude in degrees");
    insta::assert_snapshot!(refusal(&ROWS.replace("station", "TMEAN")), @"weather …/rows.csv: columns `temperature_mean` and `TMEAN` both hold Temperature_Air_2m_Mean_24h; remove one");
    insta::assert_snapshot!(refusal(&ROWS.replace("date,lon", "date,place")), @"weather …/rows.csv has no column lon: found date, place, lat, temperature_mean, precipitation_flux, station");
    insta::assert_snapshot!(refusal(&(ROWS.to_string() + "2023-05-01,-71.05,-34.05,285.6,0,a\n")), @"weather …/rows.csv, row 7: Temperature_Air_2m_Mean_24h is 285.6, but an earlier row of this place and day has 285.5");
    insta::assert_snapshot!(refusal("date,lon,lat,temperature_mean\n"), @"no weather to collect: 0 rows, 0 of them outside the area or the dates; widen what is asked for");
    let sensor = Sensor::default();
    let error = collect(&sensor, &WeatherRequest::default(), Path::new("x")).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"sensor sentinel-2-l2a gives images, no table: expected one with [table], for example agera5");
}
