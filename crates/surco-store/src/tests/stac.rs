//! STAC items and the collection over them. Whether they are valid, `verify/` asks pystac.

use serde_json::Value;

use super::*;
use crate::CollectionText;

/// Clockwise, so that the store has to turn it.
const OUTLINE: [[f64; 2]; 4] =
    [[-71.1, -35.2], [-71.100_000_000_04, -35.3], [-71.2, -35.3], [-71.2, -35.2]];

fn text() -> CollectionText {
    CollectionText { id: "maipo".into(), description: "A test".into(), license: "CC-BY-4.0".into() }
}

fn json_of(path: &Path) -> Value {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    value.sort_all_objects();
    value
}

#[test]
fn only_a_finished_cell_has_an_item() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    let field = field(14, 70, 90);
    let place = dir.path().join("19HBA/r03c09/manifest/item.json");
    store.plan_cell(&id(), &field.part(0..10)).unwrap();
    assert!(!store.write_item(&id(), &OUTLINE).unwrap());
    assert_eq!(store.write_collection(&text()).unwrap(), 0);
    assert!(!dir.path().join("collection.json").exists());
    field.write(&store, 0, &(0..10).collect::<Vec<_>>()).unwrap();
    assert!(store.write_item(&id(), &OUTLINE).unwrap());
    let written = fs::read(&place).unwrap();
    assert!(store.write_item(&id(), &OUTLINE).unwrap() && fs::read(&place).unwrap() == written);
    assert_eq!(store.write_collection(&text()).unwrap(), 1);

    store.plan_cell(&id(), &field.spec).unwrap();
    assert!(!store.write_item(&id(), &OUTLINE).unwrap());
    assert!(!place.exists(), "the cell has grown: its item would lie");
}

#[test]
fn an_item_says_where_and_when_its_cell_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).unwrap();
    let field = field(2, 70, 90);
    field.write_all(&store);
    store.write_item(&id(), &OUTLINE).unwrap();
    let item = json_of(&dir.path().join("19HBA/r03c09/manifest/item.json"));
    insta::assert_snapshot!(
        format!("{}\n{}\n{}", item["geometry"], item["bbox"], item["properties"]),
        @r#"
    {"coordinates":[[[-71.2,-35.2],[-71.2,-35.3],[-71.1,-35.3],[-71.1,-35.2],[-71.2,-35.2]]],"type":"Polygon"}
    [-71.2,-35.3,-71.1,-35.2]
    {"cube:dimensions":{"band":{"type":"bands","values":["B02","B8A"]},"time":{"extent":["2017-07-14T02:40:00Z","2017-07-15T02:40:00Z"],"type":"temporal","values":["2017-07-14T02:40:00Z","2017-07-15T02:40:00Z"]},"x":{"axis":"x","extent":[300005.0,300895.0],"reference_system":32719,"step":10.0,"type":"spatial"},"y":{"axis":"y","extent":[6099305.0,6099995.0],"reference_system":32719,"step":-10.0,"type":"spatial"}},"cube:variables":{"reflectance":{"description":"surface reflectance, harmonised; 0 is no data","dimensions":["time","band","y","x"],"type":"data","unit":"1e-4"},"scl":{"description":"scene classification (SCL); 0 is no data","dimensions":["time","y","x"],"type":"data","unit":"1"}},"datetime":null,"end_datetime":"2017-07-15T02:40:00Z","proj:bbox":[300000.0,6099300.0,300900.0,6100000.0],"proj:code":"EPSG:32719","proj:shape":[70,90],"proj:transform":[10.0,0.0,300000.0,0.0,-10.0,6100000.0],"start_datetime":"2017-07-14T02:40:00Z"}
    "#
    );
    store.write_collection(&text()).unwrap();
    let collection = json_of(&dir.path().join("collection.json"));
    insta::assert_snapshot!(
        format!("{}\n{}", collection["extent"], collection["links"]),
        @r#"
    {"spatial":{"bbox":[[-71.2,-35.3,-71.1,-35.2]]},"temporal":{"interval":[["2017-07-14T02:40:00Z","2017-07-15T02:40:00Z"]]}}
    [{"href":"./collection.json","rel":"root","type":"application/json"},{"href":"./19HBA/r03c09/manifest/item.json","rel":"item","type":"application/geo+json"}]
    "#
    );
    assert!(store.write_item(&id(), &OUTLINE[..2]).is_err());
    assert!(store.write_item(&id(), &[[0.0, 0.0], [1.0, 0.0], [0.0, f64::NAN]]).is_err());
}
