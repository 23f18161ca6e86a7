use super::*;
use surco_core::Fault;
use surco_raster::cog::{CogOptions, write_cog};

const GRID: Georef = Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_200_000.0, px_m: 10.0 };

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("surco-labels-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn geojson(crs: &str, class_key: &str) -> String {
    // A square of 3 × 2 pixels, a point in it and one outside the grid.
    let square =
        "[[[300010,6199990],[300040,6199990],[300040,6199970],[300010,6199970],[300010,6199990]]]";
    let feature = |kind: &str, coordinates: &str, class: &str| {
        format!(
            r#"{{"type":"Feature","properties":{{"{class_key}":"{class}"}},"geometry":{{"type":"{kind}","coordinates":{coordinates}}}}}"#
        )
    };
    format!(
        r#"{{"type":"FeatureCollection","crs":{{"type":"name","properties":{{"name":"{crs}"}}}},"features":[{},{},{}]}}"#,
        feature("Polygon", square, "vineyard"),
        feature("Point", "[300015,6199985]", "maize"),
        feature("Point", "[300005,6199995]", "maize"),
    )
}

#[test]
fn polygons_label_their_pixels_and_shared_ground_of_two_classes_is_left_out() {
    let folder = folder("polygons");
    let path = folder.join("labels.geojson");
    std::fs::write(&path, geojson("urn:ogc:def:crs:EPSG::32719", "cultivo")).unwrap();
    let mut labels = read_labels(&path, &LabelsAsked::default()).unwrap();
    let ground = labels.ground(&GRID, (8, 8)).unwrap();
    let found: Vec<(usize, usize, &str)> =
        ground.points.iter().map(|p| (p.row, p.col, p.class.as_str())).collect();
    let vineyard = |row, col| (row, col, "vineyard");
    let want = [
        vineyard(1, 2),
        vineyard(1, 3),
        vineyard(2, 1),
        vineyard(2, 2),
        vineyard(2, 3),
        (0, 0, "maize"),
    ];
    assert_eq!(found, want, "the point of maize lies in the vineyard's pixel 1, 1");
    assert_eq!(ground.contradicted, 1);
    labels.left_out_pixels.contradicted = ground.contradicted;
    insta::assert_snapshot!(labels.left_out_told().join("\n"), @"1 labelled pixels left out: labels of different classes overlap there");
    // Two labels of one class may share ground.
    let same = geojson("EPSG:32719", "class").replace("maize", "vineyard");
    std::fs::write(&path, same).unwrap();
    let ground =
        read_labels(&path, &LabelsAsked::default()).unwrap().ground(&GRID, (8, 8)).unwrap();
    assert_eq!((ground.points.len(), ground.contradicted), (7, 0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn places_need_no_class_and_are_called_by_name_or_number() {
    let folder = folder("places");
    let path = folder.join("fields.geojson");
    let of = |key: &str| {
        std::fs::write(&path, geojson("EPSG:32719", key)).unwrap();
        let places = read_named_places(&path).unwrap().on(&GRID, (8, 8)).unwrap();
        let mut names: Vec<String> = places.into_iter().map(|p| p.class).collect();
        names.dedup();
        names
    };
    assert_eq!(of("name"), ["vineyard", "maize"]);
    assert_eq!(of("owner"), ["1", "3"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn old_datums_missing_classes_and_other_places_are_refused() {
    let folder = folder("refused");
    let path = folder.join("labels.geojson");
    let refuse = |text: String| {
        std::fs::write(&path, text).unwrap();
        let error = read_labels(&path, &LabelsAsked::default())
            .and_then(|l| l.on(&GRID, (8, 8)))
            .unwrap_err();
        assert_eq!(error.fault(), Fault::Input, "{error}");
        error.to_string()
    };
    assert!(refuse(geojson("EPSG:24879", "class")).contains("24879"), "PSAD56");
    assert!(refuse(geojson("EPSG:32719", "owner")).contains("class_name"));
    assert!(refuse(geojson("EPSG:32718", "class")).contains("none of 3 labels"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_raster_of_codes_labels_the_pixels_it_lies_on() {
    let folder = folder("raster");
    let path = folder.join("labels.tif");
    let codes = ndarray::arr3(&[[[0_u8, 7], [9, 0]]]);
    write_cog(&path, codes.view(), GRID.shifted(2, 3), &CogOptions::default()).unwrap();
    let points = read_labels(&path, &LabelsAsked::default()).unwrap().on(&GRID, (8, 8)).unwrap();
    let found: Vec<(usize, usize, &str)> =
        points.iter().map(|p| (p.row, p.col, p.class.as_str())).collect();
    assert_eq!(found, [(2, 4, "7"), (3, 3, "9")]);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Half of the raster lies beside the grid; the others are no labels at all, without a place or of another system.
#[test]
fn rasters_are_checked_as_other_labels_are() {
    let folder = folder("raster-checks");
    let path = folder.join("labels.tif");
    let write = |codes: [[u8; 2]; 2], georef: Georef| {
        let codes = ndarray::arr3(&[codes]);
        write_cog(&path, codes.view(), georef, &CogOptions::default()).unwrap();
        read_labels(&path, &LabelsAsked::default())
    };
    let mut labels = write([[5, 7], [9, 0]], GRID.shifted(7, 7)).unwrap();
    assert_eq!(labels.on(&GRID, (8, 8)).unwrap().len(), 1);
    labels.leave_out_unused(&BTreeSet::new(), &[(GRID, (8, 8))]);
    insta::assert_snapshot!(labels.left_out_told().join("\n"), @"2 labelled pixels left out: they lie outside the store");
    let told = |error: LabelError| {
        assert_eq!(error.fault(), Fault::Input);
        error.to_string().replace(&folder.display().to_string(), "")
    };
    insta::assert_snapshot!(told(write([[0; 2]; 2], GRID).unwrap_err()), @"labels /labels.tif: empty, every pixel is 0, which means no label");
    let zone_18 = write([[1, 2]; 2], Georef { epsg: 32718, ..GRID }).unwrap();
    insta::assert_snapshot!(told(zone_18.on(&GRID, (8, 8)).unwrap_err()), @"labels /labels.tif: the raster is in EPSG:32718, the pixels are in EPSG:32719; bring it there with gdalwarp -r near -t_srs EPSG:32719");
    let far = write([[1, 2]; 2], GRID.shifted(100, 0)).unwrap();
    insta::assert_snapshot!(told(far.on(&GRID, (8, 8)).unwrap_err()), @"labels /labels.tif: none of 4 labels lies on the 64 pixels at hand; do they belong to the same place?");
    std::fs::remove_dir_all(folder).unwrap();
}

/// Decimal commas are read; what is no number is named, not guessed.
#[test]
fn numbers_stand_where_classes_would() {
    let asked = LabelsAsked { class_column: Some("qq"), numbers: true, ..LabelsAsked::default() };
    let text = "lon;lat;qq\n-71,1;-34,1;104,9\n-71,2;-34,1;104.90\n-71,3;-34,1;\n-71,4;-34,1;40\n";
    let (labels, told) = read_table("numbers", text, &asked).unwrap();
    let Kind::Vector(places) = &labels.kind else { panic!("a table is no raster") };
    assert_eq!(places.count(), 3, "{told}");
    assert!(!told.contains("single label"), "{told}");
    let text = "lon,lat,qq\n-71.1,-34.1,104.9\n-71.2,-34.1,unos 40\n";
    insta::assert_snapshot!(read_table("no-numbers", text, &asked).unwrap_err(), @"labels /labels.csv, feature 2: column `qq` has `unos 40`, expected a number; correct it, or empty it to leave the label out");
}

/// Reads a table of labels; what was assumed and left out, in words.
fn read_table(name: &str, text: &str, asked: &LabelsAsked<'_>) -> Result<(Labels, String), String> {
    let folder = folder(name);
    let path = folder.join("labels.csv");
    std::fs::write(&path, text).unwrap();
    let read = read_labels(&path, asked);
    std::fs::remove_dir_all(&folder).unwrap();
    let labels = read.map_err(|error| {
        assert_eq!(error.fault(), Fault::Input, "{error}");
        error.to_string().replace(&folder.display().to_string(), "")
    })?;
    let told = [labels.assumed.clone(), labels.left_out_told()].concat().join("\n");
    Ok((labels, told))
}

/// 2022-09-01 to 2023-03-20.
const IMAGES: Option<(i32, i32)> = Some((19_236, 19_436));

#[test]
fn what_is_assumed_dropped_and_left_out_is_told() {
    let text = "lon,lat,Cultivo,Productor,RUT,nombre,Fecha,uso\n\
                -71.1,-34.1,trigo,Ana,12.345.678-5,Ana,03-11-2022,riego\n\
                -71.1,-34.1,trigo,Ana,12.345.678-5,Ana,03-11-2022,riego\n\
                -71.2,-34.1,trigo,Ana,12.345.678-5,Ana,03-11-2022,riego\n\
                -71.2,-34.1,maíz,Ana,12.345.678-5,Ana,03-11-2022,riego\n\
                -71.3,-34.1,,Luis,11111111-1,Luis,03-11-2022,riego\n\
                0,0,maíz,Luis,11111111-1,Luis,03-11-2022,riego\n\
                -71.4,-34.1,maíz,Luis,11111111-1,Luis,03-11-2021,riego\n\
                -71.5,-34.1,maíz,Luis,11111111-1,Luis,,riego\n\
                -71.6,-34.1,Maíz,Luis,11111111-1,Luis,10-03-2023,riego\n";
    let asked = LabelsAsked { images: IMAGES, ..LabelsAsked::default() };
    let (labels, told) = read_table("told", text, &asked).unwrap();
    insta::assert_snapshot!(told, @r#"
columns lon and lat are degrees of WGS 84 (EPSG:4326)
columns Productor, RUT, nombre hold personal data: dropped, nothing of them is kept
the class is in column `Cultivo`, not in `uso`; --class-column says otherwise
column `Fecha` says when labels are of: 2021-11-03 to 2023-03-10; 1 without a date that is understood are of the images' season
`Maíz`, `maíz` differ in capitals alone and are classes of their own
3 classes with a single label stay: Maíz, maíz, trigo
1 of 9 labels left out: they lie at 0, 0, where receivers without a fix say they are (feature 6)
1 of 9 labels left out: they have no class (feature 5)
1 of 9 labels left out: they are of another season than the images (feature 7)
1 of 9 labels left out: they repeat place and class of another (feature 2)
2 of 9 labels left out: they lie exactly where another of another class does (features 3, 4)
"#);
    assert_eq!(labels.left_out.count(), 6);
    let json = serde_json::to_value(&labels.left_out).unwrap();
    assert_eq!(json["contradicted"], serde_json::json!([3, 4]));
}

#[test]
fn hostile_tables_get_clear_answers() {
    let images = LabelsAsked { images: IMAGES, ..LabelsAsked::default() };
    let refusal = |text: &str| read_table("hostile", text, &images).unwrap_err();
    insta::assert_snapshot!(refusal("lon,lat,class\n"), @"labels /labels.csv: empty, no feature is in it");
    insta::assert_snapshot!(refusal("lon,lat,class\n0,0,a\n0,0,b\n-71,-34,\n"), @"labels /labels.csv: nothing is left: 2 of 3 labels left out: they lie at 0, 0, where receivers without a fix say they are (features 1, 2); 1 of 3 labels left out: they have no class (feature 3)");
    insta::assert_snapshot!(refusal("lon,lat,class,fecha\n-71,-34,a,2021-11-03\n-71,-35,b,2021-12-01\n"), @"labels /labels.csv: dated 2021-11-03 to 2021-12-01 (column `fecha`), but the images are of 2022-09-01 to 2023-03-20: collect images of the labels' season, or take labels of the images'");
    insta::assert_snapshot!(refusal("lon,lat,productor,superficie\n-71,-34,Ana,3\n"), @"labels /labels.csv: no class: columns are superficie; expected one of class, class_name, label, crop, crop_type, crop_name, clase, cultivo, especie, uso, uso_actual, ewoc_code; `surco adapt --class-column NAME` takes another");
    insta::assert_snapshot!(refusal("este,norte,class\n300000,6200000,a\n"), @"/labels.csv: line 1: coordinate system is not given for columns in metres, expected its EPSG code by --epsg, for example `surco adapt --epsg 32719` for UTM 19 south, or columns in degrees");
    let asked = LabelsAsked { class_column: Some("rubro"), ..images };
    let text = "lon,lat,class,tipo\n-71,-34,a,b\n";
    insta::assert_snapshot!(read_table("column", text, &asked).unwrap_err(), @"labels /labels.csv: no column `rubro`; columns are class, tipo");
    let asked = LabelsAsked { class_column: Some("TIPO"), ..images };
    let (labels, told) = read_table("asked", text, &asked).unwrap();
    insta::assert_snapshot!(told, @r#"
columns lon and lat are degrees of WGS 84 (EPSG:4326)
labels have no date: they are of the season of the images, 2022-09-01 to 2023-03-20
1 class with a single label stay: b
"#);
    assert_eq!(labels.left_out.count(), 0);
}

/// Codes of WorldCereal's files get its names; with a legend asked for, all classes get that one's.
#[test]
fn codes_of_worldcereal_are_named_and_a_legend_names_all() {
    let text = "lon,lat,ewoc_code\n-71,-34,1101060000\n-71,-35,1201010041\n-71,-36,11-15-00-000-0\n-71,-37,9912340000\n";
    let (labels, told) = read_table("codes", text, &LabelsAsked::default()).unwrap();
    insta::assert_snapshot!(told.lines().nth(2).unwrap_or_default(), @"classes are named by legend worldcereal: `11-15-00-000-0` (1) is not_cultivated_fallow, `1101060000` (1) is maize, `1201010041` (1) is sweet_cherry; unknown to it and kept as they are: 9912340000");
    assert_eq!(labels.named.unwrap().classes.len(), 3);
    let naming = crate::Naming::new(crate::SharedLegend::Ciren, None).unwrap();
    let asked = LabelsAsked { naming: Some(naming), ..LabelsAsked::default() };
    insta::assert_snapshot!(read_table("unknown", text, &asked).unwrap_err(), @"labels /labels.csv: legend ciren does not know `9912340000` (1 in all); rename such classes, or empty them to leave their labels out");
    let text = "lon,lat,clase\n-71,-34,1101060000\n-71,-34,maize\n-71,-36,walnut\n";
    let (labels, told) = read_table("named", text, &asked).unwrap();
    assert_eq!(labels.left_out.0[&Reason::Repeated], [2], "one class by two names: {told}");
}

/// A point of the grid's corner in degrees, with latitude first.
#[test]
fn swapped_coordinates_are_told_and_others_are_nowhere() {
    let projection = surco_raster::projection::Projection::from_epsg(GRID.epsg).unwrap();
    let (lon, lat) = projection.to_lonlat(300_015.0, 6_199_985.0).unwrap();
    let refusal = |x: f64, y: f64| {
        let text = format!("lon,lat,class\n{x},{y},a\n{x},{y},a\n");
        let (labels, _) = read_table("swapped", &text, &LabelsAsked::default()).unwrap();
        let error = labels.on(&GRID, (8, 8)).unwrap_err();
        assert_eq!(error.fault(), Fault::Input);
        error.to_string().split(": ").skip(1).collect::<Vec<_>>().join(": ")
    };
    insta::assert_snapshot!(refusal(lat, lon), @"latitude and longitude are swapped: none of 1 labels lies on the pixels at hand, but they would with their coordinates swapped; put x (longitude, east) first, then y (latitude, north)");
    insta::assert_snapshot!(refusal(lon + 1.0, lat), @"none of 1 labels lies on the 64 pixels at hand; do they belong to the same place?");
    let asked = LabelsAsked { epsg: Some(32719), ..LabelsAsked::default() };
    let text = "este;norte;clase\n300015,5;6199985,5;a\n";
    let (labels, _) = read_table("metres", text, &asked).unwrap();
    assert_eq!(labels.on(&GRID, (8, 8)).unwrap()[0].row, 1);
}

#[test]
fn labels_beside_the_pixels_and_smaller_than_one_are_told_apart() {
    let folder = folder("unused");
    let path = folder.join("labels.geojson");
    let small = "[[[300011,6199989],[300013,6199989],[300013,6199987],[300011,6199989]]]";
    let text = geojson("EPSG:32719", "class").replace("[300005,6199995]", "[310000,6199995]");
    let text = text.replacen(r#"{"type":"Feature""#, &format!(r#"{{"type":"Feature","properties":{{"class":"maize"}},"geometry":{{"type":"Polygon","coordinates":{small}}}}},{{"type":"Feature""#), 1);
    std::fs::write(&path, text).unwrap();
    let mut labels = read_labels(&path, &LabelsAsked::default()).unwrap();
    let used = labels.on(&GRID, (8, 8)).unwrap().iter().map(|point| point.feature).collect();
    labels.leave_out_unused(&used, &[(GRID, (8, 8))]);
    insta::assert_snapshot!(labels.left_out_told().join("\n"), @r#"
1 of 4 labels left out: they lie outside the store (feature 4)
2 of 4 labels left out: they hold no pixel's centre of their own (features 1, 3)
"#);
    std::fs::remove_dir_all(folder).unwrap();
}
