//! Files in a zip archive, without trusting what it says of their sizes.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use libdeflater::Decompressor;
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use super::VectorError;

/// Bytes that the unpacked files may have together, 2 GiB, which is also the most a Shapefile can have.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// Files that an archive may have.
const MOST_FILES: usize = 10_000;

/// Deflate cannot shrink bytes further than this.
const MOST_RATIO: u64 = 1032;

/// An open archive.
pub(super) struct Zipped<'p> {
    path: &'p Path,
    archive: ZipArchive<File>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<'p> Zipped<'p> {
    /// Opens an archive.
    pub(super) fn open(path: &'p Path) -> Result<Self, VectorError> {
        let io = |source| VectorError::Io { what: "read", path: path.into(), source };
        let archive =
            ZipArchive::new(File::open(path).map_err(io)?).map_err(|e| refuse(path, &e))?;
        if archive.len() > MOST_FILES {
            let many = format!("it holds {} files, {MOST_FILES} at most are read", archive.len());
            return Err(refuse(path, &many));
        }
        Ok(Self { path, archive, left: MOST_BYTES })
    }

    /// Names of the files in it, without those that macOS adds.
    pub(super) fn names(&self) -> Result<Vec<String>, VectorError> {
        let names = self.archive.file_names().map(|name| name.map(std::borrow::Cow::into_owned));
        let mut names =
            names.collect::<Result<Vec<String>, _>>().map_err(|e| refuse(self.path, &e))?;
        names.retain(|name| !name.starts_with("__MACOSX/") && !name.ends_with('/'));
        names.sort_unstable();
        Ok(names)
    }

    /// The bytes of one file, unpacked into memory; its path in the archive means nothing.
    ///
    /// The size that the archive tells is checked before memory is taken: it must fit the limit, and what deflate can
    /// make of the packed bytes. Unpacking stops at that size, so an archive that lies fails.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, VectorError> {
        let (path, left) = (self.path, self.left);
        let fail = |reason: String| refuse(path, &format!("{name}: {reason}"));
        let index = self.archive.index_for_name(name).ok_or_else(|| fail("not there".into()))?;
        let file = self.archive.by_index_raw(index).map_err(|e| fail(e.to_string()))?;
        let bytes = unpack(file, left).map_err(fail)?;
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }
}

fn refuse(path: &Path, reason: &dyn std::fmt::Display) -> VectorError {
    VectorError::Format {
        path: path.into(),
        format: "a readable zip archive",
        reason: reason.to_string(),
    }
}

fn unpack<R: Read + Seek>(mut file: ZipFile<'_, R>, left: u64) -> Result<Vec<u8>, String> {
    let (size, packed, sum) = (file.size(), file.compressed_size(), file.crc32());
    let method = file.compression();
    if file.encrypted() {
        return Err("it is locked with a password; unlock it first".into());
    }
    if size > left || packed > left {
        return Err(format!(
            "it says that it unpacks to {size} bytes; {MOST_BYTES} bytes (2 GiB) together at most are read"
        ));
    }
    let mut raw = Vec::new();
    file.read_to_end(&mut raw).map_err(|e| e.to_string())?;
    let bytes = match method {
        CompressionMethod::Stored => raw,
        CompressionMethod::DEFLATE => {
            if size > (raw.len() as u64 + 1) * MOST_RATIO {
                return Err(format!("{} bytes cannot unpack to the {size} it says", raw.len()));
            }
            let mut bytes = vec![0; size as usize];
            let got = Decompressor::new().deflate_decompress(&raw, &mut bytes);
            let got = got.map_err(|_| format!("it does not unpack to the {size} bytes it says"))?;
            bytes.truncate(got);
            bytes
        }
        other => return Err(format!("it is packed with {other}; pack it with deflate")),
    };
    if bytes.len() as u64 != size || libdeflater::crc32(&bytes) != sum {
        return Err("its bytes do not fit its checksum: copy the file again".into());
    }
    Ok(bytes)
}
