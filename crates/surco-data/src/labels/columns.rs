//! Which columns hold what.

use std::collections::BTreeSet;
use std::path::Path;

use surco_raster::vector::Feature;

use super::LabelError;
use super::dates::days_of;

/// Names under which a class is looked for, in this order.
const CLASS_KEYS: [&str; 12] = [
    "class",
    "class_name",
    "label",
    "crop",
    "crop_type",
    "crop_name",
    "clase",
    "cultivo",
    "especie",
    "uso",
    "uso_actual",
    "ewoc_code",
];

/// Names under which a date, year or season is looked for, in this order.
const DATE_KEYS: [&str; 13] = [
    "valid_time",
    "valid_date",
    "date",
    "fecha",
    "obs_date",
    "temporada",
    "season",
    "campaign",
    "campaña",
    "year",
    "año",
    "anio",
    "agno",
];

/// Names under which what a place is called is looked for, in this order.
const NAME_KEYS: [&str; 6] = ["id", "name", "field", "field_id", "nombre", "place"];

/// Columns named in a message.
const NAMED: usize = 20;

/// When features are of.
pub(super) struct Dates<'f> {
    /// The column that says so.
    pub(super) column: &'f str,
    /// First and last day of each feature in days since 1970, if it is understood.
    pub(super) days: Vec<Option<(i32, i32)>>,
}

/// The columns of a file.
pub(super) struct Columns<'f> {
    features: &'f [Feature],
    names: BTreeSet<&'f str>,
}

impl<'f> Columns<'f> {
    pub(super) fn of(features: &'f [Feature]) -> Self {
        let names = features.iter().flat_map(|f| f.properties.keys().map(String::as_str)).collect();
        Self { features, names }
    }

    fn told(&self) -> String {
        let named: Vec<&str> = self.names.iter().copied().take(NAMED).collect();
        match self.names.len() {
            0 => "none".into(),
            n if n > NAMED => format!("{} and {} more", named.join(", "), n - NAMED),
            _ => named.join(", "),
        }
    }

    /// Columns that have one of these names, whatever their case, and are filled anywhere; in the order of the names.
    fn among(&self, keys: &[&str]) -> Vec<&'f str> {
        let filled = |name: &&&str| self.features.iter().any(|f| value(f, name).is_some());
        keys.iter()
            .flat_map(|key| self.names.iter().filter(|name| name.to_lowercase() == *key))
            .filter(filled)
            .copied()
            .collect()
    }

    /// The column of the class: the one asked for, else the first that is called like one; a choice among several is
    /// told.
    pub(super) fn class(
        &self,
        asked: Option<&str>,
        path: &Path,
        assumed: &mut Vec<String>,
    ) -> Result<&'f str, LabelError> {
        if let Some(asked) = asked {
            let exact = self.names.get(asked).copied();
            let like = || self.names.iter().find(|name| name.eq_ignore_ascii_case(asked)).copied();
            return exact.or_else(like).ok_or_else(|| LabelError::NoColumn {
                path: path.into(),
                column: asked.into(),
                columns: self.told(),
            });
        }
        let found = self.among(&CLASS_KEYS);
        match found[..] {
            [] => Err(LabelError::NoClass {
                path: path.into(),
                columns: self.told(),
                expected: format!(
                    "{}; `surco adapt --class-column NAME` takes another",
                    CLASS_KEYS.join(", ")
                ),
            }),
            [only] => {
                assumed.push(format!("the class is in column `{only}`"));
                Ok(only)
            }
            [first, ref others @ ..] => {
                assumed.push(format!(
                    "the class is in column `{first}`, not in `{}`; --class-column says otherwise",
                    others.join("` or `")
                ));
                Ok(first)
            }
        }
    }

    /// When features are of, if a column says so.
    pub(super) fn dates(&self) -> Option<Dates<'f>> {
        let column = self.among(&DATE_KEYS).first().copied()?;
        let day = |f: &Feature| value(f, column).and_then(|text| days_of(&text));
        Some(Dates { column, days: self.features.iter().map(day).collect() })
    }
}

/// A property that says something: not absent, null or blank.
pub(super) fn value(feature: &Feature, name: &str) -> Option<String> {
    let text = feature.text(name)?;
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return (!trimmed.is_empty()).then_some(text);
    }
    (!trimmed.is_empty()).then(|| trimmed.into())
}

/// What a place is called.
pub(super) fn name_of(feature: &Feature) -> Option<String> {
    NAME_KEYS.iter().find_map(|key| value(feature, key))
}
