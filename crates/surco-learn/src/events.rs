//! Event files as TensorBoard reads them, scalars only.
//!
//! # Source
//! TensorFlow: `tensorflow/core/lib/io/record_writer.h` (a record is its length, the masked CRC-32C of the
//! length, its bytes and their masked CRC-32C, all little-endian), `tensorflow/core/util/event.proto` and
//! `tensorflow/core/framework/summary.proto` (field numbers).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Bytes of a record that are not its content: length, its checksum, the content's checksum.
const FRAME: usize = 16;

/// Bytes of the time at the head of each event of ours, its tag included.
const TIME: usize = 9;

/// An event file that scalars are appended to.
pub(crate) struct EventFile {
    file: File,
}

impl EventFile {
    /// Opens or creates a file, keeping its events up to a step; what lies beyond will be written again.
    pub(crate) fn open(path: &Path, until: u64) -> io::Result<Self> {
        let there = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let kept = if until == 0 { 0 } else { kept(&there, until) };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(kept as u64)?;
        let mut events = Self { file };
        if kept == 0 {
            events.append(&event(now(), 0, &field(3, b"brain.Event:2")))?;
        }
        Ok(events)
    }

    /// Appends the scalars of one step.
    pub(crate) fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        let summary: Vec<u8> =
            values.iter().flat_map(|&(tag, v)| field(1, &value(tag, v))).collect();
        self.append(&event(now(), step, &field(5, &summary)))
    }

    fn append(&mut self, event: &[u8]) -> io::Result<()> {
        self.file.write_all(&record(event))
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Length of the whole records up to a step.
fn kept(bytes: &[u8], until: u64) -> usize {
    let mut at = 0;
    while let Some(content) = content(&bytes[at..]) {
        if step_of(content).is_none_or(|step| step > until) {
            break;
        }
        at += content.len() + FRAME;
    }
    at
}

/// The content of the first record, if it is whole and unharmed.
fn content(bytes: &[u8]) -> Option<&[u8]> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let content = bytes.get(12..)?.get(..usize::try_from(length).ok()?)?;
    let whole = bytes.get(..content.len() + FRAME)?;
    (record(content) == whole).then_some(content)
}

/// The step of an event that [`event`] wrote.
fn step_of(event: &[u8]) -> Option<u64> {
    match event.get(TIME..)? {
        [0x10, rest @ ..] => {
            let end = rest.iter().position(|b| b & 0x80 == 0)?;
            let digits = rest[..=end].iter().rev();
            Some(digits.fold(0, |step, &b| (step << 7) | u64::from(b & 0x7F)))
        }
        _ => Some(0),
    }
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] =
        [&length, &checksum(&length).to_le_bytes(), content, &checksum(content).to_le_bytes()];
    parts.concat()
}

/// CRC-32C, turned and moved, so that a checksum of bytes that hold checksums stays one.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// `Event`: time, step, then what happened.
fn event(time: Duration, step: u64, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x09];
    bytes.extend(time.as_secs_f64().to_le_bytes());
    if step > 0 {
        bytes.push(0x10);
        bytes.extend(varint(step));
    }
    bytes.extend(what);
    bytes
}

/// `Summary.Value`: a tag and a float.
fn value(tag: &str, value: f64) -> Vec<u8> {
    let mut bytes = field(1, tag.as_bytes());
    bytes.push(0x15);
    bytes.extend((value as f32).to_le_bytes());
    bytes
}

/// A field that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The steps of a file's events; fails on anything but whole records.
#[cfg(test)]
pub(crate) fn steps_of(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut steps) = (0, Vec::new());
    while let Some(content) = content(&bytes[at..]) {
        steps.push(step_of(content).unwrap());
        at += content.len() + FRAME;
    }
    assert_eq!(at, bytes.len(), "whole records only");
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Recorded from `RecordWriter` and `event_pb2` of the Python package tensorboard 2.21.0.
    #[test]
    fn records_are_those_of_the_python_package() {
        let version = event(Duration::from_millis(1250), 0, &field(3, b"brain.Event:2"));
        assert_eq!(
            hex(&record(&version)),
            "1800000000000000a37f4b2209000000000000f43f1a0d627261696e2e4576656e743a32280b517b"
        );
        let loss = field(1, &value("loss/train", 0.25));
        let rate = field(1, &value("learning_rate", 0.001));
        let scalars = event(Duration::from_millis(1500), 300, &field(5, &[loss, rate].concat()));
        assert_eq!(
            hex(&record(&scalars)),
            "3700000000000000e7e8ca5909000000000000f83f10ac022a290a110a0a6c6f73732f747261696e15\
             0000803e0a140a0d6c6561726e696e675f72617465156f12833a734ffde4"
        );
    }

    #[test]
    fn a_file_goes_on_from_its_checkpoint_even_after_half_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.out.tfevents");
        let mut file = EventFile::open(&path, 0).unwrap();
        [1, 127, 128, 300].iter().for_each(|&s| file.scalars(s, &[("loss", 1.0)]).unwrap());
        drop(file);
        assert_eq!(steps_of(&path), [0, 1, 127, 128, 300]);
        let mut torn = fs::read(&path).unwrap();
        torn.truncate(torn.len() - 3);
        fs::write(&path, &torn).unwrap();
        let mut file = EventFile::open(&path, 128).unwrap();
        file.scalars(129, &[("loss", 0.5)]).unwrap();
        drop(file);
        assert_eq!(steps_of(&path), [0, 1, 127, 128, 129]);
        EventFile::open(&path, 127).unwrap();
        assert_eq!(steps_of(&path), [0, 1, 127]);
        EventFile::open(&path, 0).unwrap();
        assert_eq!(steps_of(&path), [0], "a run from the beginning begins its file anew");
    }

    #[test]
    fn bytes_that_are_no_event_file_keep_nothing() {
        for bytes in [&b""[..], b"x", &[0xFF; 40], &[0; 12]] {
            assert_eq!(kept(bytes, 10), 0);
        }
    }
}
