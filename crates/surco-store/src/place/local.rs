//! Whole objects or none: write beside the place, sync, rename, sync the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Sealed, Stamp, Tail};
use crate::StoreError;

/// A folder whose files are the objects.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    root: PathBuf,
}

impl Local {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        if key.is_empty() { self.root.clone() } else { self.root.join(key) }
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Stamp)>, StoreError> {
        self.opened(key, |file, stamp| {
            let mut bytes = Vec::with_capacity(usize::try_from(stamp.length).unwrap_or_default());
            file.read_to_end(&mut bytes)?;
            Ok((bytes, stamp))
        })
    }

    pub(crate) fn tail(&self, key: &str, bytes: usize) -> Result<Option<Tail>, StoreError> {
        self.opened(key, |file, stamp| {
            let start = stamp.length.saturating_sub(bytes as u64);
            let bytes = read_range(file, start..stamp.length)?;
            Ok(Tail { bytes, stamp })
        })
    }

    pub(crate) fn range(
        &self,
        key: &str,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.opened(key, |file, now| match now == *stamp {
            true => read_range(file, range).map(Some),
            false => Ok(None),
        })?;
        Ok(found.flatten())
    }

    pub(crate) fn stamp(&self, key: &str) -> Result<Option<Stamp>, StoreError> {
        let path = self.path(key);
        match fs::metadata(&path) {
            Ok(meta) => Ok(meta.is_file().then(|| stamp_of(&meta))),
            Err(e) if absent(&e) => Ok(None),
            Err(e) => Err(StoreError::io("read", &path, e)),
        }
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write_object(&self.path(key), bytes)
    }

    pub(crate) fn remove(&self, key: &str) -> Result<(), StoreError> {
        remove_object(&self.path(key))
    }

    pub(crate) fn children(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let dir = self.path(key);
        let failed = |e| StoreError::io("list", &dir, e);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if absent(&e) => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn begin(&self, key: &str) -> Result<AtomicFile, StoreError> {
        AtomicFile::create(&self.path(key))
    }

    pub(crate) fn lock(&self, key: &str) -> Result<Option<File>, StoreError> {
        let path = self.path(key);
        let file = File::open(&path).map_err(|e| StoreError::io("read", &path, e))?;
        // File systems without locks: two runs that plan the same give the same bytes anyway.
        Ok(file.lock().is_ok().then_some(file))
    }

    fn opened<T>(
        &self,
        key: &str,
        read: impl FnOnce(&mut File, Stamp) -> io::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let path = self.path(key);
        let failed = |e| StoreError::io("read", &path, e);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if absent(&e) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Ok(None);
        }
        read(&mut file, stamp_of(&meta)).map(Some).map_err(failed)
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read_range(file: &mut File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end - range.start;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.seek(SeekFrom::Start(range.start))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(unix)]
fn stamp_of(meta: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let version = format!("{}-{}-{}", meta.ino(), meta.mtime(), meta.mtime_nsec());
    Stamp { length: meta.len(), version: Some(version) }
}

#[cfg(not(unix))]
fn stamp_of(meta: &fs::Metadata) -> Stamp {
    let version = meta.modified().ok().map(|time| format!("{time:?}"));
    Stamp { length: meta.len(), version }
}

/// An object in the making: invisible until [`AtomicFile::commit`], gone if dropped before.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    part: PathBuf,
    place: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
    committed: bool,
}

impl AtomicFile {
    /// Begins the object of this place; a second writer of the same object waits for the first.
    ///
    /// The temporary name is fixed, so what a killed run left is overwritten by the next one.
    pub(crate) fn create(place: &Path) -> Result<Self, StoreError> {
        let dir = folder_of(place);
        create_dirs(dir)?;
        let name = place.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        let part = dir.join(format!(".{name}.part"));
        let file = open_locked(&part)?;
        file.set_len(0).map_err(|e| StoreError::io("write", &part, e))?;
        let hash = Sha256::new();
        Ok(Self { part, place: place.into(), file, hash, bytes: 0, committed: false })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| StoreError::io("write", &self.place, e))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// Syncs the bytes, which are still invisible.
    pub(crate) fn seal(&mut self) -> Result<Sealed, StoreError> {
        self.file.sync_all().map_err(|e| StoreError::io("sync", &self.place, e))?;
        Ok(Sealed { bytes: self.bytes, sha256: crate::hex(&self.hash.clone().finalize()) })
    }

    /// Puts the sealed object in its place.
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        fs::rename(&self.part, &self.place).map_err(|e| StoreError::io("write", &self.place, e))?;
        self.committed = true;
        sync_dir(folder_of(&self.place))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // A leftover is harmless (no reader looks at it) and the next run overwrites it.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Writes one small object, or nothing if it already holds these bytes.
fn write_object(place: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if fs::read(place).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let mut file = AtomicFile::create(place)?;
    file.write(bytes)?;
    file.seal()?;
    file.commit()
}

/// Removes an object if it is there.
fn remove_object(place: &Path) -> Result<(), StoreError> {
    match fs::remove_file(place) {
        Ok(()) => sync_dir(folder_of(place)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(StoreError::io("remove", place, e)),
    }
}

fn folder_of(place: &Path) -> &Path {
    place.parent().unwrap_or(Path::new("."))
}

/// Makes a folder and its missing parents, each synced into its own parent.
fn create_dirs(dir: &Path) -> Result<(), StoreError> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = folder_of(dir);
    create_dirs(parent)?;
    match fs::create_dir(dir) {
        Ok(()) => sync_dir(parent),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(StoreError::io("create", dir, e)),
    }
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| StoreError::io("sync", dir, e))
}

#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> Result<(), StoreError> {
    Ok(()) // Windows syncs folders itself and refuses to open them.
}

/// Opens and locks the temporary file; whoever waited for a writer that renamed it away begins anew.
fn open_locked(part: &Path) -> Result<File, StoreError> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(part)
            .map_err(|e| StoreError::io("write", part, e))?;
        match file.lock() {
            Ok(()) => {}
            // A file system without locks: one writer a shard is then the user's promise.
            Err(e) if e.kind() == ErrorKind::Unsupported => return Ok(file),
            Err(e) => return Err(StoreError::io("lock", part, e)),
        }
        if still_there(&file, part) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn still_there(file: &File, part: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |m: fs::Metadata| (m.dev(), m.ino());
    file.metadata().map(place).ok() == fs::metadata(part).map(place).ok()
}

#[cfg(not(unix))]
fn still_there(_file: &File, part: &Path) -> bool {
    part.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_dropped_before_commit_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a/b/zarr.json");
        write_object(&place, b"old").unwrap();
        let mut file = AtomicFile::create(&place).unwrap();
        file.write(b"half of the ne").unwrap();
        drop(file);
        assert_eq!(fs::read(&place).unwrap(), b"old");
        assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn writers_of_one_object_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("object");
        let body = vec![7_u8; 100_000];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut file = AtomicFile::create(&place).unwrap();
                    for part in body.chunks(1000) {
                        file.write(part).unwrap();
                    }
                    file.seal().unwrap();
                    file.commit().unwrap();
                });
            }
        });
        assert_eq!(fs::read(&place).unwrap(), body);
    }
}
