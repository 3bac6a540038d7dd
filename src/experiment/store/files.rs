//! Files that users name: they may be links, pipes and devices. Those of a results folder are [`super::Root`]'s.
//!
//! Files are replaced atomically: readers, a full disk or a power cut find the old file or the new one.

#![expect(clippy::disallowed_methods, reason = "reads and writes what users name")]

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::root::{read_at_most, text};
use sweep_core::error::{Error, Result};
use sweep_core::spelling;

/// Most bytes of a file that a user names: far above every baseline, definition and program.
const MOST: u64 = 1 << 30;

/// Reads a file of at most 1 GiB.
///
/// # Errors
/// Names the file and the system's reason; also when it is larger, as `/dev/zero` is.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_up_to(path, MOST)
}

/// Reads a text file of at most 1 GiB.
///
/// # Errors
/// Same errors as [`read`], and when the file is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    text(read(path)?, path)
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// Same errors as [`read`].
pub fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, length) = open(path)?;
    read_at_most(file, length, most, path)
}

/// The file beside a missing one whose name is spelt almost alike.
fn near(missing: &Path) -> Option<PathBuf> {
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> =
        fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    spelling::nearest(missing.file_name()?.to_str()?, &names).map(|name| missing.with_file_name(name))
}

/// Opens a file, with its length.
fn open(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(|e| match (e.kind(), near(path)) {
        (ErrorKind::NotFound, Some(near)) => {
            failed("read", path, &e).remedy(format!("did you mean {}?", near.display()))
        }
        _ => failed("read", path, &e),
    })?;
    let about = file.metadata().map_err(|e| failed("read", path, &e))?;
    Ok((file, about.len()))
}

/// Writes a whole file and creates its folder if it is missing; see [`replace`].
///
/// # Errors
/// Names the file and the system's reason.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    create_folder(folder_of(path))?;
    replace(path, bytes)
}

/// Creates a folder and its parents.
///
/// # Errors
/// Names the folder and the system's reason.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed("make", folder, &e))
}

/// Writes a whole file: first beside it, then renamed, with file and folder flushed to disk. On a full disk the old
/// file stays. Devices and pipes such as `/dev/null` are written to and kept; a link's target is replaced, not the
/// link.
///
/// # Errors
/// Names the file and the system's reason; also when its folder is missing.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = &*followed(path);
    if is_stream(path) {
        return fs::write(path, bytes).map_err(|e| failed("write", path, &e));
    }
    let beside = beside(path);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| File::open(folder_of(path))?.sync_all());
    written.map_err(|e| {
        // The half-written file is useless; an error of its removal would hide the first reason.
        let _ = fs::remove_file(&beside);
        failed("write", path, &e)
    })
}

/// The target of a link: renaming onto the link itself would leave the target unchanged.
fn followed(path: &Path) -> Cow<'_, Path> {
    match path.is_symlink().then(|| fs::canonicalize(path)) {
        Some(Ok(file)) => Cow::Owned(file),
        _ => Cow::Borrowed(path),
    }
}

/// Whether the path is something other than a file or a folder: a rename would put a file there, and a user who may
/// write to `/dev` would lose `/dev/null`.
fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|entry| !entry.is_file() && !entry.is_dir())
}

/// Removes a folder with its content.
///
/// # Errors
/// Names the folder and the system's reason; a missing folder is not an error.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", folder, &e)),
        _ => Ok(()),
    }
}

/// Path of the temporary file that will replace a file; unique to this process.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn failed(verb: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::results(format!("cannot {verb}: {e}")).at(path.display());
    match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if verb != "read" => {
            error.remedy("choose a folder you may write to with --results")
        }
        ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded => {
            error.remedy("free some space and run again: finished trials are kept")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Root;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        Root::at(folder).names().unwrap()
    }

    #[test]
    fn a_missing_file_is_explained_by_one_of_almost_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("loss.toml"), "").unwrap();
        let remedy = |name: &str| read_text(&dir.path().join(name)).unwrap_err().remedy;
        let meant = format!("did you mean {}?", dir.path().join("loss.toml").display());
        assert_eq!(remedy("los.toml"), Some(meant));
        assert_eq!(remedy("batch-size.toml"), None);
    }

    #[test]
    fn writing_replaces_whole_files_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        assert_eq!(names(&folder.path().join("a")), ["b.txt"]);
        let error = replace(&folder.path().join("gone/b.txt"), b"").unwrap_err();
        assert!(!folder.path().join("gone").exists() && error.location.unwrap().contains("gone"));
    }

    #[cfg(unix)]
    #[test]
    fn devices_stay_what_they_are_and_links_lead_to_files() {
        use std::os::unix::fs::FileTypeExt as _;

        let folder = tempfile::tempdir().unwrap();
        let [pipe, file, link] = ["pipe", "file", "link"].map(|name| folder.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        write(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());

        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(read_text(&file).unwrap(), "new");
        assert_eq!(names(folder.path()), ["file", "link", "pipe"]);
    }

    #[test]
    fn a_device_without_end_is_read_to_a_limit() {
        let error = read_at_most(File::open("/dev/zero").unwrap(), 0, 5 << 20, Path::new("/dev/zero")).unwrap_err();
        assert!(error.message.contains("larger than 5 MiB"), "{error}");
    }
}
