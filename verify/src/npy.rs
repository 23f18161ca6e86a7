//! Arrays as numpy writes them.
//!
//! # Source
//! numpy, `numpy/lib/format.py`: the format `.npy`, version 1.

use std::fs;

use ndarray::{ArrayD, IxDyn};

use crate::data;

/// Numbers of a `.npy` file of the test data, as `f64`.
///
/// # Panics
/// If the file is missing or holds something else than little-endian `f8`, `i8` or `u1` in C order.
#[must_use]
pub fn data_npy(inside: &str) -> ArrayD<f64> {
    let path = data(inside);
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(bytes.starts_with(b"\x93NUMPY\x01"), "{} is no .npy of version 1", path.display());
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    assert!(header.contains("'fortran_order': False"), "{}: {header}", path.display());
    let between = |from: &str, to: char| {
        let rest = header.split(from).nth(1).unwrap_or_else(|| panic!("no {from} in {header}"));
        rest.split(to).next().unwrap_or_default().to_string()
    };
    let shape: Vec<usize> = between("'shape': (", ')')
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().unwrap_or_else(|e| panic!("{size}: {e}")))
        .collect();
    let body = &bytes[10 + length..];
    let words = || body.as_chunks::<8>().0.iter();
    let values: Vec<f64> = match between("'descr': '", '\'').as_str() {
        "<f8" => words().map(|word| f64::from_le_bytes(*word)).collect(),
        "<i8" => words().map(|word| i64::from_le_bytes(*word) as f64).collect(),
        "|u1" => body.iter().map(|&byte| byte.into()).collect(),
        other => panic!("{} holds {other}", path.display()),
    };
    ArrayD::from_shape_vec(IxDyn(&shape), values)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
