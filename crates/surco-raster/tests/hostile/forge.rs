//! TIFFs with any tags, right or wrong.

use libdeflater::{CompressionLvl, Compressor};

/// Sizes of the values of the kinds that are forged.
fn size_of(kind: u16) -> usize {
    match kind {
        1 | 2 => 1,
        3 => 2,
        4 => 4,
        16 => 8,
        other => panic!("kind {other} is not forged"),
    }
}

/// A tag: its number, the kind of its values and the values.
#[derive(Clone, Debug)]
pub(crate) struct Tag(pub(crate) u16, pub(crate) u16, pub(crate) Vec<u64>);

/// A directory in the making.
#[derive(Clone, Debug)]
pub(crate) struct Forge(pub(crate) Vec<Tag>);

impl Forge {
    /// One band of `uint8` in deflated tiles of 16 × 16 pixels.
    pub(crate) fn tiled(width: u64, height: u64, offsets: Vec<u64>, lens: Vec<u64>) -> Self {
        Self(vec![
            Tag(256, 4, vec![width]),
            Tag(257, 4, vec![height]),
            Tag(258, 3, vec![8]),
            Tag(259, 3, vec![8]),
            Tag(277, 3, vec![1]),
            Tag(322, 4, vec![16]),
            Tag(323, 4, vec![16]),
            Tag(324, 4, offsets),
            Tag(325, 4, lens),
        ])
    }

    /// The same with another tag in the place of one, or beside all.
    pub(crate) fn with(mut self, tag: Tag) -> Self {
        self.0.retain(|t| t.0 != tag.0);
        self.0.push(tag);
        self.0.sort_by_key(|t| t.0);
        self
    }

    /// A classic file of these directories behind some bytes of data, which begin at byte 8.
    pub(crate) fn file(directories: &[Self], data: &[u8]) -> Vec<u8> {
        let mut file = vec![0x49, 0x49, 42, 0, 0, 0, 0, 0];
        file.extend(data);
        let mut link = 4;
        for directory in directories {
            let mut entries = Vec::new();
            for Tag(tag, kind, values) in &directory.0 {
                let size = size_of(*kind);
                let mut bytes: Vec<u8> =
                    values.iter().flat_map(|v| v.to_le_bytes()[..size].to_vec()).collect();
                if bytes.len() > 4 {
                    let at = file.len() as u32;
                    file.extend(&bytes);
                    bytes = at.to_le_bytes().to_vec();
                }
                bytes.resize(4, 0);
                entries.extend(tag.to_le_bytes());
                entries.extend(kind.to_le_bytes());
                entries.extend((values.len() as u32).to_le_bytes());
                entries.extend(bytes);
            }
            let at = file.len() as u32;
            file[link..link + 4].copy_from_slice(&at.to_le_bytes());
            file.extend((directory.0.len() as u16).to_le_bytes());
            file.extend(entries);
            link = file.len();
            file.extend([0; 4]);
        }
        file
    }
}

/// A zlib stream of these bytes.
pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut out = vec![0; compressor.zlib_compress_bound(bytes.len())];
    let len = compressor.zlib_compress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}

/// Where the entries of a classic or big TIFF's directories lie: each its first byte, and the place of
/// the link to the next directory.
pub(crate) struct Anatomy {
    pub(crate) entries: Vec<usize>,
    pub(crate) links: Vec<usize>,
    pub(crate) big: bool,
}

impl Anatomy {
    pub(crate) fn of(file: &[u8]) -> Self {
        let big = file[2] == 43;
        let (count_len, entry_len, link_len) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let number = |at: usize, len: usize| {
            file[at..at + len].iter().rev().fold(0_usize, |n, &b| n << 8 | usize::from(b))
        };
        let first = if big { 8 } else { 4 };
        let mut found = Self { entries: Vec::new(), links: vec![first], big };
        let mut at = number(first, link_len);
        while at != 0 {
            let count = number(at, count_len);
            found.entries.extend((0..count).map(|i| at + count_len + i * entry_len));
            let link = at + count_len + count * entry_len;
            found.links.push(link);
            at = number(link, link_len);
        }
        found
    }
}
