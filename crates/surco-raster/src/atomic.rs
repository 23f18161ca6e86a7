//! Files that appear under their name only when they are whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The folder a file lies in.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Writes a file under a passing name in the same folder, makes sure it is on disk, and renames it.
pub(crate) fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let mut temporary = named_file(&folder)?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    sync_folder(&folder)
}

#[cfg(unix)]
fn named_file(folder: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    // As any new file: the user's umask decides, not the caution that suits passwords.
    let rights = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".surco-").permissions(rights).tempfile_in(folder)
}

#[cfg(not(unix))]
fn named_file(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".surco-").tempfile_in(folder)
}

/// A rename is on disk once its folder is.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
