//! Arrays of numpy: one in a `.npy` file, several in an `.npz`.
//!
//! Read here because dates (`datetime64[D]`) are beyond the readers of arrays that there are, and the format is a
//! header and plain numbers.
//!
//! # Source
//! NumPy enhancement proposal 1, *A simple file format for numpy arrays*, versions 1.0 to 3.0.

use std::io::{Cursor, Read};

/// The first bytes of every array.
const MAGIC: &[u8] = b"\x93NUMPY";

/// One array, rows first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NpyArray {
    pub(crate) shape: Vec<usize>,
    kind: Kind,
    bytes: Vec<u8>,
}

/// What an array holds, low byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F4,
    F8,
    I1,
    I2,
    I4,
    I8,
    U1,
    U2,
    Days,
}

impl Kind {
    const ALL: [(&str, Self, usize); 9] = [
        ("<f4", Self::F4, 4),
        ("<f8", Self::F8, 8),
        ("|i1", Self::I1, 1),
        ("<i2", Self::I2, 2),
        ("<i4", Self::I4, 4),
        ("<i8", Self::I8, 8),
        ("|u1", Self::U1, 1),
        ("<u2", Self::U2, 2),
        ("<M8[D]", Self::Days, 8),
    ];

    fn bytes(self) -> usize {
        Self::ALL.iter().find(|(_, kind, _)| *kind == self).map_or(1, |(_, _, bytes)| *bytes)
    }
}

/// Why an array could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// Not an array, or cut short.
    #[error("is no numpy array: {0}")]
    Header(&'static str),
    /// Numbers of a kind that is not read.
    #[error("holds {0}, expected whole or floating-point numbers with the low byte first, or days")]
    Kind(String),
    /// Columns first.
    #[error("is stored column by column; save it with numpy.ascontiguousarray")]
    Columns,
    /// A size that does not fit the data.
    #[error("has {bytes} bytes for the shape {shape:?}")]
    Size {
        /// Shape by the header.
        shape: Vec<usize>,
        /// Bytes after it.
        bytes: usize,
    },
    /// An archive that cannot be read.
    #[error("is no archive of numpy arrays: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// An array that the archive lacks.
    #[error("has no array `{0}`")]
    Absent(&'static str),
    /// A part of the archive that cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

impl NpyArray {
    /// Reads one array.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, NpyError> {
        let rest = file.strip_prefix(MAGIC).ok_or(NpyError::Header("its first bytes differ"))?;
        let short = NpyError::Header("its header is cut short");
        let (length, from) = match *rest {
            [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([a, b])), 4),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, 6),
            _ => return Err(NpyError::Header("its version is unknown")),
        };
        let Some((header, bytes)) = rest[from..].split_at_checked(length) else {
            return Err(short);
        };
        let header =
            std::str::from_utf8(header).map_err(|_| NpyError::Header("its header is no text"))?;
        let after = |key: &str| {
            header.split_once(key).map(|(_, value)| value.trim_start_matches([':', ' ']))
        };
        let descr = after("'descr'")
            .and_then(|v| v.strip_prefix('\'')?.split_once('\''))
            .ok_or(NpyError::Header("it has no `descr`"))?
            .0;
        let known = Kind::ALL.iter().find(|(name, ..)| *name == descr);
        let (_, kind, size) = *known.ok_or_else(|| NpyError::Kind(descr.into()))?;
        if after("'fortran_order'").is_some_and(|v| v.starts_with("True")) {
            return Err(NpyError::Columns);
        }
        let shape = after("'shape'")
            .and_then(|v| v.strip_prefix('(')?.split_once(')'))
            .ok_or(NpyError::Header("it has no `shape`"))?
            .0;
        let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
        let shape: Vec<usize> = sides
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| NpyError::Header("its shape is no numbers"))?;
        let wanted = shape.iter().try_fold(size, |product, side| product.checked_mul(*side));
        if wanted != Some(bytes.len()) {
            return Err(NpyError::Size { shape, bytes: bytes.len() });
        }
        Ok(Self { shape, kind, bytes: bytes.to_vec() })
    }

    /// The numbers; days count from 1970-01-01.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let number = |b: &[u8]| match (self.kind, b) {
            (Kind::F4, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (Kind::F8, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            (Kind::I1, &[a]) => f64::from(i8::from_le_bytes([a])),
            (Kind::U1, &[a]) => f64::from(a),
            (Kind::I2, &[a, b]) => f64::from(i16::from_le_bytes([a, b])),
            (Kind::U2, &[a, b]) => f64::from(u16::from_le_bytes([a, b])),
            (Kind::I4, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])),
            (Kind::I8 | Kind::Days, &[a, b, c, d, e, f, g, h]) => {
                i64::from_le_bytes([a, b, c, d, e, f, g, h]) as f64
            }
            // Chunks have the bytes of their kind.
            _ => f64::NAN,
        };
        self.bytes.chunks_exact(self.kind.bytes()).map(number).collect()
    }

    /// The days, if these are dates.
    pub(crate) fn days(&self) -> Option<Vec<i32>> {
        (self.kind == Kind::Days)
            .then(|| self.numbers().into_iter().map(|day| day as i32).collect())
    }
}

/// Reads arrays of these names from an archive that was not compressed (`numpy.savez`).
pub(crate) fn parse_npz<const N: usize>(
    file: &[u8],
    names: [&'static str; N],
) -> Result<[NpyArray; N], NpyError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(file))?;
    let mut arrays = Vec::with_capacity(N);
    for name in names {
        let mut part = match archive.by_name(&format!("{name}.npy")) {
            Ok(part) => part,
            Err(zip::result::ZipError::FileNotFound) => return Err(NpyError::Absent(name)),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        part.read_to_end(&mut bytes)?;
        arrays.push(NpyArray::parse(&bytes)?);
    }
    Ok(arrays.try_into().expect("one array a name was pushed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array as numpy writes it.
    fn array(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes()].concat();
        file.extend(header.as_bytes());
        file.extend(bytes);
        file
    }

    #[test]
    fn whole_numbers_floats_and_days_are_read() {
        let two = NpyArray::parse(&array("<i2", "(2, 1)", &[1, 0, 0xFE, 0xFF])).unwrap();
        assert_eq!(
            (two.shape.as_slice(), two.numbers().as_slice()),
            (&[2, 1][..], &[1.0, -2.0][..])
        );
        assert_eq!(two.days(), None);
        let day = NpyArray::parse(&array("<M8[D]", "(1,)", &18_628_i64.to_le_bytes())).unwrap();
        assert_eq!(day.days(), Some(vec![18_628]));
        let real = NpyArray::parse(&array("<f4", "()", &0.5_f32.to_le_bytes())).unwrap();
        assert_eq!((real.shape.len(), real.numbers()), (0, vec![0.5]));
    }

    #[test]
    fn broken_arrays_are_refused_and_never_trusted() {
        let whole = array("<i2", "(2,)", &[0; 4]);
        for cut in 0..whole.len() {
            assert!(NpyArray::parse(&whole[..cut]).is_err(), "{cut}");
        }
        let told = |descr: &str, shape: &str, bytes: &[u8]| {
            NpyArray::parse(&array(descr, shape, bytes)).unwrap_err().to_string()
        };
        let messages = [
            told("<c8", "(1,)", &[0; 8]),
            told("<i2", "(3,)", &[0; 4]),
            told("<i2", "(18446744073709551615, 9)", &[0; 4]),
            told("<M8[ns]", "(1,)", &[0; 8]),
            parse_npz(b"PK", ["data"]).unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r"
        holds <c8, expected whole or floating-point numbers with the low byte first, or days
        has 4 bytes for the shape [3]
        has 4 bytes for the shape [18446744073709551615, 9]
        holds <M8[ns], expected whole or floating-point numbers with the low byte first, or days
        is no archive of numpy arrays: invalid Zip archive: Could not find EOCD
        ");
    }
}
