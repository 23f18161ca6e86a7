//! Indexes of items in `GeoParquet`: what they hold, what is passed over, what is wrong with them.
//!
//! These have their assets as JSON in one column; an index of rustac, with a column a field, is read by
//! `verify/tests/stac.rs`.
#![allow(clippy::unwrap_used, reason = "all of it is test")]

mod imitation;
mod world;

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use surco_collect::{Area, CollectRequest, Plan, plan_with};
use surco_core::{Season, Silent};

use imitation::{Answer, Asked, Imitation};
use world::scenes::{DATES, folder, item, name};
use world::{PATIENCE, collect, request};

const SCHEMA: &str = "message items {
    required binary id (UTF8);
    required binary collection (UTF8);
    required int64 datetime (TIMESTAMP_MICROS);
    required binary platform (UTF8);
    required binary grid:code (UTF8);
    required int64 proj:epsg;
    required binary s2:processing_baseline (UTF8);
    required group bbox {
        required double xmin;
        required double ymin;
        required double xmax;
        required double ymax;
    }
    required group links (LIST) {
        repeated group list {
            required group element {
                required binary rel (UTF8);
                required binary href (UTF8);
            }
        }
    }
    required binary thumbnail;
    required binary assets (JSON);
}";

fn texts(group: &mut SerializedRowGroupWriter<'_, File>, texts: &[String]) {
    let values: Vec<ByteArray> = texts.iter().map(|text| text.as_str().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
}

fn numbers(group: &mut SerializedRowGroupWriter<'_, File>, values: &[i64]) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
}

/// One link an item.
fn links(group: &mut SerializedRowGroupWriter<'_, File>, items: usize, rel: &str, href: &str) {
    for text in [rel, href] {
        let values: Vec<ByteArray> = vec![text.into(); items];
        let mut column = group.next_column().unwrap().unwrap();
        let (there, first) = (vec![1; items], vec![0; items]);
        column.typed::<ByteArrayType>().write_batch(&values, Some(&there), Some(&first)).unwrap();
        column.close().unwrap();
    }
}

/// Writes the items of these dates, some a row group; every second group lies elsewhere if `apart`.
fn write(path: &Path, dates: Range<usize>, a_group: usize, apart: bool) {
    write_of("https://example.org", "./", path, dates, a_group, apart);
}

/// The same of a service whose files lie somewhere.
fn write_of(
    service: &str,
    files: &str,
    path: &Path,
    dates: Range<usize>,
    a_group: usize,
    apart: bool,
) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let file = File::create(path).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let dates: Vec<usize> = dates.collect();
    for (turn, dates) in dates.chunks(a_group).enumerate() {
        let items: Vec<_> = dates.iter().map(|&date| item(date)).collect();
        let of = |path: &str| -> Vec<String> {
            items.iter().map(|item| item.pointer(path).unwrap().as_str().unwrap().into()).collect()
        };
        let mut group = writer.next_row_group().unwrap();
        texts(&mut group, &of("/id"));
        texts(&mut group, &of("/collection"));
        let at = |text: String| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        numbers(&mut group, &of("/properties/datetime").into_iter().map(at).collect::<Vec<_>>());
        texts(&mut group, &of("/properties/platform"));
        texts(&mut group, &of("/properties/grid:code"));
        numbers(&mut group, &vec![32719; items.len()]);
        texts(&mut group, &of("/properties/s2:processing_baseline"));
        let away = if apart && turn % 2 == 1 { 40.0 } else { 0.0 };
        for corner in [-71.25, -35.4, -71.0, -35.1] {
            let mut column = group.next_column().unwrap().unwrap();
            let values = vec![corner + away; items.len()];
            column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        links(&mut group, items.len(), "root", &format!("{service}/api/stac/v1"));
        let noise = |i: usize| (0..20_000).map(|k| char::from(b'a' + (k * i % 23) as u8)).collect();
        texts(&mut group, &(0..items.len()).map(noise).collect::<Vec<String>>());
        let assets = items.iter().map(|item| item["assets"].to_string().replace("./", files));
        let assets: Vec<String> = assets.collect();
        texts(&mut group, &assets);
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.scenes().map(|scene| scene.id.to_string()).collect()
}

fn planned(request: &CollectRequest) -> Plan {
    plan_with(request, PATIENCE, &Silent).unwrap()
}

#[test]
fn an_index_gives_what_the_items_give_whatever_its_row_groups() {
    let items = planned(&request(folder().join("items.json").to_str().unwrap()));
    let dir = tempfile::tempdir().unwrap();
    for a_group in [1, 5, 100] {
        let path = dir.path().join(format!("{a_group}.parquet"));
        write(&path, 0..DATES, a_group, false);
        let plan = planned(&request(path.to_str().unwrap()));
        let (ours, theirs): (Vec<_>, Vec<_>) = (plan.scenes().collect(), items.scenes().collect());
        assert_eq!(ours.len(), DATES);
        for (our, their) in ours.iter().zip(theirs) {
            assert_eq!((our.id, our.tile, our.baseline), (their.id, their.tile, their.baseline));
            assert_eq!(our.datetime, their.datetime);
        }
        assert_eq!(plan.figures.blocks, items.figures.blocks);
    }
}

#[test]
fn a_folder_of_indexes_is_one_catalog() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("2022.parquet"), 0..6, 4, false);
    write(&dir.path().join("2023.parquet"), 4..DATES, 4, false);
    fs::write(dir.path().join("README.txt"), "not an index").unwrap();
    let plan = planned(&request(dir.path().to_str().unwrap()));
    assert_eq!(ids(&plan), (0..DATES).map(name).collect::<Vec<_>>());
    assert_eq!(plan.figures.duplicates, 0, "an item in two files is one item");
}

#[test]
fn only_the_needed_columns_of_the_needed_groups_cross_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("items.parquet");
    write(&path, 0..DATES, 2, true);
    let whole = Arc::new(fs::read(&path).unwrap());
    let served = whole.clone();
    let service = Imitation::new(move |asked: &Asked| Answer::part(&served, asked));
    let mut asked = request(&format!("{}/items.parquet", service.url));
    let bytes = |from: usize| -> u64 {
        service.log()[from..]
            .iter()
            .map(|a| a.range.map_or(0, |(start, end)| end + 1 - start))
            .sum()
    };
    assert_eq!(ids(&planned(&asked)).len(), DATES);
    assert!(service.log().iter().all(|asked| asked.range.is_some()), "no whole download");

    let before = service.log().len();
    asked.area = Some(Area::Bbox([-71.2, -35.3, -71.1, -35.2]));
    asked.seasons = vec![
        Season::between("2023-05-05".parse().unwrap(), "2023-05-08".parse().unwrap()).unwrap(),
    ];
    // Of seven groups four are here, and of these one and a half in the season; the half lies elsewhere.
    assert_eq!(ids(&planned(&asked)), [name(4), name(5)]);
    let footer_and_head = 256 * 1024 + 4;
    assert!(bytes(before) < footer_and_head + whole.len() as u64 / 3, "{}", bytes(before));
}

/// As in an index of Planetary Computer: the file does not lie there, but its items say where they are from.
#[test]
fn files_of_an_index_are_signed_by_the_service_that_its_items_name() {
    let service = Imitation::new(|asked: &Asked| {
        if asked.path == "/api/sas/v1/token/account/container" {
            return Answer::json(&serde_json::json!({ "token": "sig=good" }));
        }
        match asked.path.strip_prefix("/account/container/") {
            Some(file) if asked.query == "sig=good" => {
                Answer::part(&fs::read(folder().join(file)).unwrap(), asked)
            }
            _ => Answer::status(403),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("items.parquet");
    let files = format!("{}/account/container/", service.url);
    write_of(&service.url, &files, &path, 0..2, 2, false);
    let summary = collect(path.to_str().unwrap(), &dir.path().join("store")).unwrap();
    assert_eq!((summary.scenes, summary.holes), (2, Vec::new()));
    assert_eq!(service.count("/api/sas"), 1);
}

/// The words a user reads when an index cannot be used.
#[test]
fn an_index_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("items.parquet");
    write(&path, 0..4, 2, false);
    let whole = fs::read(&path).unwrap();
    let error_of = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = plan_with(&request(path.to_str().unwrap()), PATIENCE, &Silent).unwrap_err();
        assert_eq!(error.fault(), surco_core::Fault::Input);
        error.to_string().replace(dir.path().to_str().unwrap(), "DIR")
    };
    insta::assert_snapshot!(error_of(&whole[..whole.len() / 2]), @"cannot read catalog DIR/items.parquet: no parquet file: it does not end in PAR1");
    insta::assert_snapshot!(error_of(b"PAR1"), @"cannot read catalog DIR/items.parquet: too short for a parquet file");
    let away = Imitation::new(|_: &Asked| Answer::status(404));
    let error = plan_with(&request(&format!("{}/i.parquet", away.url)), PATIENCE, &Silent);
    let error = error.unwrap_err().to_string().replace(&away.url, "URL");
    insta::assert_snapshot!(error, @"cannot read catalog URL/i.parquet: HTTP 404 Not Found; check the address, or download the index and give its path");
    let stubborn =
        Imitation::new(move |_: &Asked| Answer::json(&serde_json::Value::from(vec![7; 99])));
    let error = plan_with(&request(&format!("{}/i.parquet", stubborn.url)), PATIENCE, &Silent);
    let error = error.unwrap_err().to_string().replace(&stubborn.url, "URL");
    insta::assert_snapshot!(error, @"cannot read catalog URL/i.parquet: the server ignores byte ranges; check the address, or download the index and give its path");
}

/// Every byte of a footer may be wrong: that is an error and never a panic or an endless allocation.
#[test]
fn a_broken_index_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("items.parquet");
    write(&path, 0..2, 2, false);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for place in (whole.len() - 600..whole.len()).step_by(7) {
        let mut broken = whole.clone();
        broken[place] ^= 0x55;
        fs::write(&path, &broken).unwrap();
        let planned = plan_with(&request(path.to_str().unwrap()), PATIENCE, &Silent);
        refused += usize::from(planned.is_err());
    }
    assert!(refused > 0, "some of these bytes matter");
}
