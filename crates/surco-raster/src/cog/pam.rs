//! Names of classes, in the file beside a raster where GDAL and QGIS look for them.

use std::fmt::Write as _;

use surco_core::Legend;

/// Text as XML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write these.
            c if c.is_control() && !matches!(c, '\n' | '\t' | '\r') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Category names by value, and a raster attribute table of value, name and colour.
///
/// # Source
/// GDAL, `gcore/gdalpamdataset.cpp` and *Raster Attribute Table*: usages 5 (MinMax), 2 (Name), 6 to 8
/// (Red, Green, Blue); types 0 (integer), 2 (string).
pub(crate) fn class_names(legend: &Legend) -> String {
    let mut xml = String::from("<PAMDataset>\n  <PAMRasterBand band=\"1\">\n    <CategoryNames>\n");
    let last = legend.classes().last().map_or(0, |class| class.code);
    for code in 0..=last {
        let name = legend.classes().iter().find(|class| class.code == code);
        let name = name.map_or("", |class| &class.name);
        let _ = writeln!(xml, "      <Category>{}</Category>", escape(name));
    }
    xml.push_str("    </CategoryNames>\n    <GDALRasterAttributeTable tableType=\"thematic\">\n");
    let fields = [("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8)];
    for (index, (name, kind, usage)) in fields.into_iter().enumerate() {
        let _ = writeln!(
            xml,
            "      <FieldDefn index=\"{index}\"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>"
        );
    }
    for (index, class) in legend.classes().iter().enumerate() {
        let [red, green, blue] = class.colour;
        let (code, name) = (class.code, escape(&class.name));
        let _ = writeln!(
            xml,
            "      <Row index=\"{index}\"><F>{code}</F><F>{name}</F><F>{red}</F><F>{green}</F><F>{blue}</F></Row>"
        );
    }
    xml.push_str("    </GDALRasterAttributeTable>\n  </PAMRasterBand>\n</PAMDataset>\n");
    xml
}
