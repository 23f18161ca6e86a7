//! The legends as they are compiled in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use super::SharedLegend;

/// All legends and what corresponds in them.
pub(super) static LEGENDS: LazyLock<Legends> = LazyLock::new(Legends::read);

const FILES: [&str; 3] = [
    include_str!("../../legends/hcat.csv"),
    include_str!("../../legends/worldcereal.csv"),
    include_str!("../../legends/ciren.csv"),
];

const NAMES: &str = include_str!("../../legends/names.csv");

/// Names offered in the stead of one that is unknown.
const OFFERED: usize = 2;

/// Share of pairs of letters that names must have in common to be offered.
const LIKE: f64 = 0.4;

/// A class of a legend.
#[derive(Debug, Deserialize)]
pub(super) struct Class {
    #[serde(skip)]
    legend: usize,
    code: String,
    /// What the legend calls it.
    pub(super) name: String,
    level: u8,
    /// Code of the coarser class it belongs to, or its name where classes have no codes.
    parent: String,
    /// Another name for it in the same legend.
    also: String,
}

/// What corresponds: one class a legend, and other names.
#[derive(Debug, Deserialize)]
struct Row {
    hcat: String,
    worldcereal: String,
    ciren: String,
    spanish: String,
    also: String,
}

impl Row {
    fn of(&self, legend: usize) -> &str {
        [&self.hcat, &self.worldcereal, &self.ciren][legend]
    }
}

/// All legends, looked up by folded names and by codes.
#[derive(Debug)]
pub(super) struct Legends {
    classes: [Vec<Class>; 3],
    /// Place of a class by its code and its names.
    places: [BTreeMap<String, usize>; 3],
    rows: Vec<Row>,
    /// Row of a name that no legend has.
    names: BTreeMap<String, usize>,
}

impl Legends {
    fn read() -> Self {
        let classes = [0, 1, 2].map(|legend| {
            let mut classes: Vec<Class> = rows(FILES[legend]);
            classes.iter_mut().for_each(|class| class.legend = legend);
            classes
        });
        let places = [0, 1, 2].map(|legend: usize| {
            let mut places = BTreeMap::new();
            for (place, class) in classes[legend].iter().enumerate() {
                let names = [&class.name, &class.also, &class.code];
                for name in names.into_iter().filter(|name| !name.is_empty()) {
                    places.entry(folded(name)).or_insert(place);
                }
            }
            places
        });
        let rows: Vec<Row> = rows(NAMES);
        let mut names = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            for name in row.spanish.split('|').chain(row.also.split('|')) {
                names.entry(folded(name)).or_insert(place);
            }
        }
        names.remove("");
        Self { classes, places, rows, names }
    }

    /// The class of a legend that a value stands for.
    ///
    /// Its own codes and names come first, then names that no legend has, then codes and names of the others.
    pub(super) fn class(&self, value: &str, legend: SharedLegend) -> Option<&Class> {
        let (value, legend) = (folded(value), legend as usize);
        let own = |legend: usize| Some(&self.classes[legend][*self.places[legend].get(&value)?]);
        if let Some(class) = own(legend) {
            return Some(class);
        }
        let others = || (0..3).filter(move |other| *other != legend);
        if let Some(row) = self.names.get(&value).map(|row| &self.rows[*row]) {
            let of = |legend: usize| self.by_name(legend, row.of(legend));
            return of(legend)
                .or_else(|| others().filter_map(of).find_map(|class| self.across(class, legend)));
        }
        others().filter_map(own).find_map(|class| self.across(class, legend))
    }

    /// The class at most this fine that a class belongs to.
    pub(super) fn cut<'l>(&'l self, mut class: &'l Class, level: u8) -> &'l Class {
        while class.level > level
            && let Some(parent) = self.parent(class)
        {
            class = parent;
        }
        class
    }

    fn by_name(&self, legend: usize, name: &str) -> Option<&Class> {
        Some(&self.classes[legend][*self.places[legend].get(&folded(name))?])
    }

    fn parent(&self, class: &Class) -> Option<&Class> {
        self.by_name(class.legend, &class.parent)
    }

    /// What a class is in another legend: what corresponds, else what is called the same, else what its parent is.
    fn across<'l>(&'l self, mut class: &'l Class, legend: usize) -> Option<&'l Class> {
        loop {
            let same =
                |row: &&Row| row.of(class.legend) == class.name && !row.of(legend).is_empty();
            let name = self.rows.iter().find(same).map_or(class.name.as_str(), |r| r.of(legend));
            if let Some(there) = self.by_name(legend, name) {
                return Some(there);
            }
            class = self.parent(class)?;
        }
    }

    /// Names of classes that are written most like a value, or whose Spanish or other names are.
    pub(super) fn nearest(&self, value: &str, legend: SharedLegend) -> Vec<&str> {
        let legend = legend as usize;
        let pairs_of_value = pairs(&folded(value));
        let own =
            self.places[legend].iter().map(|(key, place)| (key, &self.classes[legend][*place]));
        let others = self.names.iter().filter_map(|(key, row)| {
            Some((key, self.by_name(legend, self.rows[*row].of(legend))?))
        });
        let mut like: Vec<(f64, &str)> = own
            .chain(others)
            .map(|(key, class)| {
                let pairs = pairs(key);
                let common = pairs.intersection(&pairs_of_value).count() as f64;
                let all = (pairs.len() + pairs_of_value.len()).max(1) as f64;
                (2.0 * common / all, class.name.as_str())
            })
            .filter(|(share, _)| *share >= LIKE)
            .collect();
        like.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let mut seen = BTreeSet::new();
        like.retain(|(_, name)| seen.insert(*name));
        like.into_iter().take(OFFERED).map(|(_, name)| name).collect()
    }
}

fn rows<R: serde::de::DeserializeOwned>(text: &str) -> Vec<R> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().expect("compiled in, and a test reads all of it")
}

/// A name in lower case without accents, its words parted by one line each; of a code, its digits.
fn folded(name: &str) -> String {
    let name = name.strip_suffix(".0").unwrap_or(name);
    if name.chars().all(|letter| letter.is_ascii_digit() || letter == '-') {
        return name.replace('-', "");
    }
    let plain = name.to_lowercase().chars().map(crate::labels::plain).collect::<String>();
    let words = plain.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

/// Neighbouring letters of a name.
fn pairs(name: &str) -> BTreeSet<(char, char)> {
    name.chars().zip(name.chars().skip(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class is reached by its code and its names, and every row of what corresponds names classes there are.
    #[test]
    fn the_compiled_legends_agree_with_themselves() {
        for (legend, count) in [393, 867, 74].into_iter().enumerate() {
            assert_eq!(LEGENDS.classes[legend].len(), count);
            for class in &LEGENDS.classes[legend] {
                let found = |name: &str| LEGENDS.by_name(legend, name).map(|c| &c.name);
                assert_eq!(found(&class.name), Some(&class.name));
                assert!(class.code.is_empty() || found(&class.code) == Some(&class.name));
                let parent = LEGENDS.parent(class);
                assert_eq!(parent.is_none(), class.parent.is_empty(), "{}", class.name);
                assert!(parent.is_none_or(|parent| parent.level < class.level), "{}", class.name);
            }
            for row in &LEGENDS.rows {
                let name = row.of(legend);
                assert!(name.is_empty() || LEGENDS.by_name(legend, name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn names_are_folded_and_codes_are_digits() {
        for (text, want) in [
            ("VID DE MESA", "vid_de_mesa"),
            ("Raps / Canola", "raps_canola"),
            ("Arándano", "arandano"),
            ("11-01-06-000-0", "1101060000"),
            ("1101060000.0", "1101060000"),
        ] {
            assert_eq!(folded(text), want);
        }
    }
}
