//! Columns that hold personal data: found by their names and by what is in them.
//!
//! Chile's law 21.719 asks to keep no more of them than a purpose needs; labels need none.

use std::collections::BTreeSet;

use surco_raster::vector::{Collection, Feature};

use super::columns::value;

/// Words that a column of personal data has in its name.
const WORDS: [&str; 24] = [
    "rut",
    "rol",
    "fono",
    "tel",
    "cel",
    "movil",
    "phone",
    "mobile",
    "email",
    "mail",
    "correo",
    "producer",
    "owner",
    "farmer",
    "dueno",
    "contacto",
    "contact",
    "direccion",
    "address",
    "encargado",
    "surname",
    "firstname",
    "lastname",
    "whatsapp",
];

/// Beginnings of such words, long enough to mean nothing else.
const STEMS: [&str; 11] = [
    "productor",
    "propietari",
    "agricultor",
    "telefono",
    "celular",
    "apellido",
    "razonsocial",
    "representante",
    "rolsii",
    "rolpredial",
    "rutprod",
];

/// Columns that name a person where others say who that is, and a field elsewhere.
const NAMES: [&str; 3] = ["nombre", "name", "nombres"];

/// Values that must all look like a number of a person before a column without a telling name counts as one.
const ENOUGH: usize = 3;

/// Removes columns of personal data; gives their names.
///
/// A column is personal by its name (producer, owner, RUT, phone, e-mail, ROL, address …), or if most of its values
/// are e-mail addresses or RUTs, or all are telephone numbers. Beside such columns, `nombre` and `name` most likely
/// hold a person's name and go too.
pub(super) fn drop_personal(collection: &mut Collection) -> Vec<String> {
    let all: BTreeSet<String> =
        collection.features.iter().flat_map(|f| f.properties.keys().cloned()).collect();
    let mut personal: Vec<String> = all
        .iter()
        .filter(|name| is_named_personal(name) || is_filled_personally(name, &collection.features))
        .cloned()
        .collect();
    if !personal.is_empty() {
        personal
            .extend(all.into_iter().filter(|name| NAMES.contains(&words(name).concat().as_str())));
    }
    for feature in &mut collection.features {
        feature.properties.retain(|name, _| !personal.contains(name));
    }
    personal
}

fn is_named_personal(name: &str) -> bool {
    let words = words(name);
    let whole = words.concat();
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || STEMS.iter().any(|stem| whole.contains(stem))
}

/// The words of a name in lower case without accents, parted where it parts them.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        lower = letter.is_lowercase();
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase().map(plain));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A letter without its accent.
pub(crate) fn plain(letter: char) -> char {
    match letter {
        'á' => 'a',
        'é' => 'e',
        'í' => 'i',
        'ó' => 'o',
        'ú' | 'ü' => 'u',
        'ñ' => 'n',
        other => other,
    }
}

fn is_filled_personally(name: &str, features: &[Feature]) -> bool {
    let filled = features.iter().filter_map(|feature| value(feature, name));
    let texts: Vec<String> = filled.collect();
    let telling = |text: &&String| is_email(text) || (text.contains('-') && is_rut(text));
    texts.iter().filter(telling).count() * 2 > texts.len()
        || (texts.len() >= ENOUGH && texts.iter().all(|text| is_rut(text) || is_phone(text)))
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(who, host)| {
        !who.is_empty() && !who.contains(' ') && host.contains('.') && !host.contains(['@', ' '])
    })
}

/// A telephone number of Chile: nine digits that begin with 2 to 9, after +56 or not.
fn is_phone(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| !" -().".contains(*c)).collect();
    let own = digits.strip_prefix("+56").or_else(|| digits.strip_prefix("56")).unwrap_or(&digits);
    own.len() == 9
        && own.bytes().all(|b| b.is_ascii_digit())
        && (own.starts_with('9') || digits.starts_with('+'))
}

/// A RUT whose last digit fits the others: the remainder by 11 of their sum, weighted 2 to 7 from the right.
fn is_rut(text: &str) -> bool {
    let plain: Vec<u8> = text.bytes().filter(|b| !b". -".contains(b)).collect();
    let Some((check, digits)) = plain.split_last() else { return false };
    if !(7..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weights = (2..=7).cycle();
    let sum: u32 = digits.iter().rev().zip(weights).map(|(d, w)| u32::from(d - b'0') * w).sum();
    let wanted = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        digit => b'0' + digit as u8,
    };
    check.to_ascii_uppercase() == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use surco_raster::vector::Shape;

    fn dropped(rows: &[serde_json::Value]) -> Vec<String> {
        let feature = |row: &serde_json::Value| Feature {
            shape: Shape::Point([0.0, 0.0]),
            properties: row.as_object().unwrap().clone(),
        };
        let mut all = Collection { epsg: 4326, features: rows.iter().map(feature).collect() };
        let names = drop_personal(&mut all);
        assert!(
            all.features.iter().all(|f| names.iter().all(|name| !f.properties.contains_key(name)))
        );
        names
    }

    /// 12.345.678-5 by hand: 8·2 + 7·3 + 6·4 + 5·5 + 4·6 + 3·7 + 2·2 + 1·3 = 138 = 12·11 + 6, and 11 − 6 = 5.
    #[test]
    fn ruts_are_told_by_their_last_digit() {
        for (text, is) in [
            ("12.345.678-5", true),
            ("12345678-5", true),
            ("123456785", true),
            ("12.345.678-4", false),
            ("11111111-1", true),
            ("1103090000", false),
            ("7654321-6", true),
            ("", false),
        ] {
            assert_eq!(is_rut(text), is, "{text}");
        }
        assert!(is_phone("+56 9 8765 4321") && is_phone("987654321") && !is_phone("123456789"));
        assert!(is_email("ana@campo.cl") && !is_email("a @ b") && !is_email("@campo"));
    }

    #[test]
    fn columns_are_personal_by_name_in_both_languages() {
        let row = json!({
            "PRODUCTOR": "Ana", "Nom_Propietario": "Ana", "rut_prod": 1, "ROL_SII": "1-2", "Teléfono": "", "eMail": "",
            "ownerName": "", "razon social": "", "cultivo": "maíz", "control": 1, "hotel": 1, "parole": 1, "id": 4,
        });
        let names = dropped(&[row]);
        assert_eq!(
            names,
            [
                "Nom_Propietario",
                "PRODUCTOR",
                "ROL_SII",
                "Teléfono",
                "eMail",
                "ownerName",
                "razon social",
                "rut_prod"
            ]
        );
    }

    #[test]
    fn columns_are_personal_by_what_is_in_them() {
        let row = |a: &str, b: &str, c: &str| json!({ "campo1": a, "campo2": b, "campo3": c, "nombre": "Ana" });
        let rows = [
            row("12.345.678-5", "ana@campo.cl", "987654321"),
            row("11111111-1", "", "+56987654321"),
            row("7.654.321-6", "luis@campo.cl", "912345678"),
        ];
        assert_eq!(dropped(&rows), ["campo1", "campo2", "campo3", "nombre"]);
        // Without such columns a name is that of a field, and numbers are numbers.
        let rows = [1, 2, 3].map(
            |n| json!({ "nombre": "El Álamo", "cuartel": 100_000_000 + n, "fecha": "2022-11-03" }),
        );
        assert_eq!(dropped(&rows), [""; 0]);
    }
}
