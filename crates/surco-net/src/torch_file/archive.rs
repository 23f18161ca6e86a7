//! The zip archive around a PyTorch file: entries are stored as they are, never compressed.
//!
//! # Source
//! PKWARE, *.ZIP File Format Specification* 6.3.10, sections 4.3.7 (local header), 4.3.12 (central
//! directory) and 4.3.16 (its end).

use std::collections::BTreeMap;
use std::ops::Range;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_LENGTH: usize = 22;

/// Longest comment that may follow the end record.
const LONGEST_COMMENT: usize = 0xffff;

/// The bytes of a file and where its entries lie in them.
#[derive(Debug)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    place: Range<usize>,
    crc: u32,
}

impl Archive {
    /// Reads the directory of an archive; what it says is checked against the bytes that are there.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let end = end_record(&bytes)?;
        let count = u16_at(&bytes, end + 10)?;
        let (length, mut at) = (u32_at(&bytes, end + 12)?, u32_at(&bytes, end + 16)? as usize);
        if count == u16::MAX || length == u32::MAX || at == u32::MAX as usize {
            return Err("it is larger than 4 GiB, or has 65535 entries or more".into());
        }
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, entry, next) = central_entry(&bytes, at)?;
            at = next;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(format!("it holds two entries `{name}`"));
            }
        }
        Ok(Self { bytes, entries })
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The bytes of an entry, once their checksum is found to be right.
    pub(super) fn entry(&self, name: &str) -> Result<&[u8], String> {
        let entry = self.entries.get(name).ok_or_else(|| format!("entry `{name}` is missing"))?;
        let bytes = &self.bytes[entry.place.clone()];
        if crc32(bytes) != entry.crc {
            return Err(format!("entry `{name}` is damaged: its checksum is wrong"));
        }
        Ok(bytes)
    }
}

fn end_record(bytes: &[u8]) -> Result<usize, String> {
    let last = bytes.len().checked_sub(END_LENGTH);
    let first = bytes.len().saturating_sub(END_LENGTH + LONGEST_COMMENT);
    let found = last.and_then(|last| {
        (first..=last).rev().find(|&at| u32_at(bytes, at).is_ok_and(|sign| sign == END))
    });
    found.ok_or_else(|| "the end of the archive is missing: the file is cut short".into())
}

/// One entry of the central directory, and where the next begins.
fn central_entry(bytes: &[u8], at: usize) -> Result<(String, Entry, usize), String> {
    if u32_at(bytes, at)? != CENTRAL {
        return Err(format!("no directory entry at byte {at}"));
    }
    let (flags, method) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?);
    let (packed, size) = (u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?);
    let name_length = usize::from(u16_at(bytes, at + 28)?);
    let rest = usize::from(u16_at(bytes, at + 30)?) + usize::from(u16_at(bytes, at + 32)?);
    let name = part(bytes, at + 46, name_length)?;
    let name = String::from_utf8(name.to_vec())
        .map_err(|_| format!("the name of the entry at byte {at} is not UTF-8"))?;
    if method != 0 || packed != size || flags & 1 != 0 {
        return Err(format!("entry `{name}` is compressed or encrypted, which PyTorch never does"));
    }
    let local = u32_at(bytes, at + 42)? as usize;
    if u32_at(bytes, local)? != LOCAL {
        return Err(format!("entry `{name}` does not begin where the directory says"));
    }
    let before = usize::from(u16_at(bytes, local + 26)?) + usize::from(u16_at(bytes, local + 28)?);
    let start = local + 30 + before;
    part(bytes, start, size as usize).map_err(|_| {
        format!("entry `{name}` is {size} bytes long, which is more than there are")
    })?;
    let entry = Entry { place: start..start + size as usize, crc: u32_at(bytes, at + 16)? };
    Ok((name, entry, at + 46 + name_length + rest))
}

fn part(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    at.checked_add(length)
        .and_then(|end| bytes.get(at..end))
        .ok_or_else(|| format!("{length} bytes at byte {at} lie beyond its end"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    let bytes = part(bytes, at, 2)?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    let bytes = part(bytes, at, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// The checksum of zip entries (ISO 3309), a byte at a time.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut c = i as u32;
            let mut bit = 0;
            while bit < 8 {
                c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, &b| TABLE[usize::from(c as u8 ^ b)] ^ (c >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC catalogue for `CRC-32/ISO-HDLC`.
    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
