//! The table of a Shapefile.

use std::ops::Range;

use serde_json::{Map, Value};

use super::cursor::Cursor;

/// What Windows-1252 has where Latin-1 has control characters.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// How the text of a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Windows1252,
}

impl Encoding {
    /// The encoding that a `.cpg` file names, if it is read here.
    pub(super) fn named(text: &str) -> Option<Self> {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        match plain.to_uppercase().as_str() {
            "UTF8" | "65001" => Some(Self::Utf8),
            "ISO88591" | "88591" | "LATIN1" | "1252" | "ANSI1252" | "CP1252" | "WINDOWS1252"
            | "SYSTEM" => Some(Self::Windows1252),
            _ => None,
        }
    }

    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Windows1252 => Some(bytes.iter().map(|&byte| of_windows(byte)).collect()),
        }
    }
}

fn of_windows(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// A table, its rows still bytes.
pub(super) struct Table<'b> {
    fields: Vec<Field>,
    rows: &'b [u8],
    row_bytes: usize,
}

struct Field {
    name: Vec<u8>,
    kind: u8,
    /// Where it stands in a row.
    at: Range<usize>,
}

impl<'b> Table<'b> {
    /// Finds fields and rows; what is wrong, in words, if bytes are missing.
    ///
    /// # Source
    /// dBASE III to 5 table file structure, as ESRI's *Shapefile technical description* (1998) uses it.
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, String> {
        let mut cursor = Cursor { bytes, big_endian: false };
        cursor.take::<4>()?;
        let count = cursor.u32()? as usize;
        let head = usize::from(u16::from_le_bytes(cursor.take()?));
        let row_bytes = usize::from(u16::from_le_bytes(cursor.take()?));
        let fields = bytes.get(32..head).ok_or("its head is cut off")?;
        let mut at = 1;
        let mut found = Vec::new();
        for field in fields.chunks_exact(32).take_while(|field| field[0] != b'\r') {
            let name = field[..11].split(|&byte| byte == 0).next().unwrap_or_default();
            let end = at + usize::from(field[16]);
            found.push(Field { name: name.to_vec(), kind: field[11], at: at..end });
            at = end;
        }
        if at > row_bytes {
            return Err(format!("its columns take {at} bytes, its rows have {row_bytes}"));
        }
        let rows = bytes.get(head..).and_then(|rest| rest.get(..count.checked_mul(row_bytes)?));
        let rows = rows.ok_or_else(|| format!("it is cut off: its head tells of {count} rows"))?;
        Ok(Self { fields: found, rows, row_bytes })
    }

    /// The encoding that its text has, if nothing says so: UTF-8 if all of it is that.
    pub(super) fn guessed(&self) -> Encoding {
        if std::str::from_utf8(self.rows).is_ok() { Encoding::Utf8 } else { Encoding::Windows1252 }
    }

    /// Whether there is text that encodings differ in.
    pub(super) fn is_ascii(&self) -> bool {
        self.rows.is_ascii() && self.fields.iter().all(|field| field.name.is_ascii())
    }

    /// Names of columns whose kind is not read.
    pub(super) fn unread(&self) -> Vec<String> {
        let unread = self.fields.iter().filter(|field| !b"CNFDL".contains(&field.kind));
        unread.map(|field| String::from_utf8_lossy(&field.name).into_owned()).collect()
    }

    /// The properties of each row, nothing for one that was deleted; what is wrong, in words, if text is in another
    /// encoding.
    pub(super) fn rows(
        &self,
        encoding: Encoding,
    ) -> Result<Vec<Option<Map<String, Value>>>, String> {
        let rows = self.rows.chunks_exact(self.row_bytes.max(1));
        rows.map(|row| if row[0] == b'*' { Ok(None) } else { self.row(row, encoding).map(Some) })
            .collect()
    }

    fn row(&self, row: &[u8], encoding: Encoding) -> Result<Map<String, Value>, String> {
        let mut properties = Map::new();
        for field in self.fields.iter().filter(|field| b"CNFDL".contains(&field.kind)) {
            let decoded =
                |bytes| encoding.decode(bytes).ok_or("its text is no UTF-8; correct the .cpg");
            let name = decoded(&field.name)?;
            let text = decoded(row.get(field.at.clone()).unwrap_or_default())?;
            properties.insert(name, value(field.kind, text.trim_matches([' ', '\0'])));
        }
        Ok(properties)
    }
}

fn value(kind: u8, text: &str) -> Value {
    match kind {
        _ if text.is_empty() => Value::Null,
        b'N' | b'F' => match text.parse::<i64>() {
            Ok(whole) => whole.into(),
            // Stars are what does not fit the column.
            Err(_) => text.parse::<f64>().map_or(Value::Null, Value::from),
        },
        b'D' if text.len() == 8 && text.is_ascii() => {
            format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]).into()
        }
        b'L' => match text {
            "T" | "t" | "Y" | "y" => true.into(),
            "F" | "f" | "N" | "n" => false.into(),
            _ => Value::Null,
        },
        _ => text.into(),
    }
}
