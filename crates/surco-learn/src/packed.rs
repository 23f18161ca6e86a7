//! Matrices in JSON: a text of base64 where digits would take three times the room.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::Array2;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Steps of a byte to each side of zero.
const STEPS: f32 = 127.0;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    rows: usize,
    columns: usize,
    base64: String,
}

impl Text {
    fn of(rows: usize, columns: usize, bytes: &[u8]) -> Self {
        Self { rows, columns, base64: STANDARD.encode(bytes) }
    }

    fn bytes<E: Error>(&self, a_value: usize, beside: usize) -> Result<Vec<u8>, E> {
        let bytes = STANDARD.decode(&self.base64).map_err(E::custom)?;
        let values = self.rows.checked_mul(self.columns);
        let expected =
            values.and_then(|v| v.checked_mul(a_value)).and_then(|v| v.checked_add(beside));
        if expected != Some(bytes.len()) {
            let (rows, columns) = (self.rows, self.columns);
            return Err(E::custom(format!("{} bytes are not {rows} x {columns}", bytes.len())));
        }
        Ok(bytes)
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn matrix<E: Error>(rows: usize, columns: usize, values: Vec<f32>) -> Result<Array2<f32>, E> {
    if !values.iter().all(|v| v.is_finite()) {
        return Err(E::custom("a value is not finite"));
    }
    Array2::from_shape_vec((rows, columns), values).map_err(E::custom)
}

/// Four bytes a value.
pub(crate) mod exact {
    use super::{Array2, Deserialize, Deserializer, Serialize, Serializer, Text, floats, matrix};

    pub(crate) fn serialize<S: Serializer>(a: &Array2<f32>, to: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = a.iter().flat_map(|v| v.to_le_bytes()).collect();
        Text::of(a.nrows(), a.ncols(), &bytes).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Array2<f32>, D::Error> {
        let text = Text::deserialize(from)?;
        let bytes = text.bytes(4, 0)?;
        matrix(text.rows, text.columns, floats(&bytes).collect())
    }
}

/// A byte a value, in 127ths of the largest of its column to each side of zero.
pub(crate) mod bytes {
    use super::{
        Array2, Deserialize, Deserializer, Error, STEPS, Serialize, Serializer, Text, floats,
        matrix,
    };

    pub(crate) fn serialize<S: Serializer>(a: &Array2<f32>, to: S) -> Result<S::Ok, S::Error> {
        let largest =
            |c: ndarray::ArrayView1<'_, f32>| c.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let scale: Vec<f32> = a.columns().into_iter().map(largest).collect();
        let mut bytes: Vec<u8> = scale.iter().flat_map(|v| v.to_le_bytes()).collect();
        for row in a.rows() {
            let steps =
                row.iter().zip(&scale).map(|(v, s)| (v / s.max(f32::MIN_POSITIVE) * STEPS).round());
            bytes.extend(steps.map(|v| (v as i8).cast_unsigned()));
        }
        Text::of(a.nrows(), a.ncols(), &bytes).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Array2<f32>, D::Error> {
        let text = Text::deserialize(from)?;
        let (rows, columns) = (text.rows, text.columns);
        let beside = columns.checked_mul(4).ok_or_else(|| D::Error::custom("too many columns"))?;
        let bytes = text.bytes(1, beside)?;
        let (scale, bytes) = bytes.split_at(beside);
        let scale: Vec<f32> = floats(scale).collect();
        let value = |(i, b): (usize, &u8)| f32::from(b.cast_signed()) / STEPS * scale[i % columns];
        matrix(rows, columns, bytes.iter().enumerate().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two {
        #[serde(with = "exact")]
        a: Array2<f32>,
        #[serde(with = "bytes")]
        b: Array2<f32>,
    }

    #[test]
    fn what_is_written_is_read_again() {
        let a = array![[1.5_f32, -2.25], [0.0, 1e-9]];
        let b = array![[0.5_f32, -1000.0, 0.0], [0.25, 500.0, 0.0]];
        let text = serde_json::to_string(&Two { a: a.clone(), b: b.clone() }).unwrap();
        let back: Two = serde_json::from_str(&text).unwrap();
        assert_eq!(back.a, a);
        for ((i, j), v) in b.indexed_iter() {
            let step = b.column(j).iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 127.0;
            assert!((back.b[[i, j]] - v).abs() <= 0.51 * step);
        }
    }

    #[test]
    fn a_wrong_number_of_bytes_is_refused() {
        let text = serde_json::to_string(&Two { a: array![[1.0]], b: array![[1.0]] }).unwrap();
        for wrong in [
            text.replacen("\"rows\":1", "\"rows\":2", 1),
            text.replacen("\"base64\":\"", "\"base64\":\"?", 1),
        ] {
            assert!(serde_json::from_str::<Two>(&wrong).is_err());
        }
        let huge = text.replacen("\"columns\":1", "\"columns\":18446744073709551615", 2);
        assert!(serde_json::from_str::<Two>(&huge).is_err());
    }
}
