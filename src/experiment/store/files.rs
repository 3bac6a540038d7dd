//! Reads files, and replaces them atomically: readers, a full disk or a power cut find the old file or the new one.

#![expect(clippy::disallowed_methods, reason = "one of the places that touch results")]

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sweep_core::error::{Error, Result};

/// Reads a file.
///
/// # Errors
/// Names the file and the system's reason.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| failed("read", path, &e))
}

/// Reads a text file.
///
/// # Errors
/// Names the file and the system's reason.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| failed("read", path, &e))
}

/// Writes a whole file and creates its folder if it is missing; see [`replace`].
///
/// # Errors
/// Names the file and the system's reason.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    create_folder(folder_of(path))?;
    replace(path, bytes)
}

/// Writes an executable file; see [`write()`].
///
/// # Errors
/// Names the file and the system's reason.
pub fn write_program(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|e| failed("write", path, &e))
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
    replace_keeping(path, None, bytes)
}

/// Same as [`replace`], but keeps the old file as `previous`.
///
/// # Errors
/// Same errors as [`replace`].
pub(super) fn replace_keeping(path: &Path, previous: Option<&Path>, bytes: &[u8]) -> Result<()> {
    put(path, previous, bytes, true)
}

/// Same as [`replace`], without flushing: for files written every second that need not survive a power cut.
///
/// # Errors
/// Same errors as [`replace`].
pub(super) fn replace_in_passing(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, None, bytes, false)
}

fn put(path: &Path, previous: Option<&Path>, bytes: &[u8], lasting: bool) -> Result<()> {
    let path = &*followed(path);
    if is_stream(path) {
        return fs::write(path, bytes).map_err(|e| failed("write", path, &e));
    }
    let beside = beside(path);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| if lasting { file.sync_data() } else { Ok(()) }))
        .and_then(|()| match previous {
            // Between the two renames only the previous file exists: readers look for both.
            Some(previous) if path.is_file() => fs::rename(path, previous),
            _ => Ok(()),
        })
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| if lasting { File::open(folder_of(path))?.sync_all() } else { Ok(()) });
    written.map_err(|e| {
        // The half-written file is useless; an error of its removal would hide the first reason.
        let _ = fs::remove_file(&beside);
        failed("write", path, &e)
    })
}

/// Keeps the first `from` bytes of a file, which others may read meanwhile, and appends these.
///
/// # Errors
/// Names the file and the system's reason.
pub fn truncate_and_append(path: &Path, from: u64, bytes: &[u8]) -> Result<()> {
    create_folder(folder_of(path))?;
    let written = OpenOptions::new().create(true).truncate(false).write(true).open(path).and_then(|mut file| {
        file.set_len(from)?;
        file.seek(SeekFrom::Start(from))?;
        file.write_all(bytes)
    });
    written.map_err(|e| failed("write", path, &e))
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

/// Removes a file; a missing file is not an error.
///
/// # Errors
/// Names the file and the system's reason.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", path, &e)),
        _ => Ok(()),
    }
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

/// Names of a folder's entries, sorted; empty if it is missing.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| failed("read", folder, &e))?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.map(name).collect::<Result<_, _>>().map_err(|e| failed("read", folder, &e))?;
    names.sort();
    Ok(names)
}

/// Names and paths of the files in a folder, sorted; empty if it is missing.
///
/// # Errors
/// Names the folder and the system's reason.
pub fn files_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let files = names(folder)?.into_iter().map(|name| (folder.join(&name), name));
    Ok(files.filter(|(path, _)| path.is_file()).map(|(path, name)| (name, path)).collect())
}

/// Paths of the folders in a folder, sorted; empty if it is missing.
///
/// # Errors
/// Names the folder and the system's reason.
pub fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(names(folder)?.into_iter().map(|name| folder.join(name)).filter(|path| path.is_dir()).collect())
}

/// Path of the temporary file that will replace a file; unique to this process.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// Removes temporary files that dead processes left.
pub(super) fn remove_parts(folder: &Path) -> Result<()> {
    let is_part = |name: &String| name.starts_with('.') && Path::new(name).extension().is_some_and(|end| end == "part");
    names(folder)?.iter().filter(|name| is_part(name)).try_for_each(|name| remove(&folder.join(name)))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn failed(verb: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::results(format!("cannot {verb}: {e}")).at(path.display());
    match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
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
    use super::*;

    #[test]
    fn writing_replaces_whole_files_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        replace_in_passing(&path, b"three").unwrap();
        assert_eq!(read_text(&path).unwrap(), "three");
        assert_eq!(names(&folder.path().join("a")).unwrap(), ["b.txt"]);
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
        replace_in_passing(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(read_text(&file).unwrap(), "new");
        assert_eq!(names(folder.path()).unwrap(), ["file", "link", "pipe"]);
    }

    #[test]
    fn the_file_before_is_kept_and_parts_of_the_dead_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let [path, previous] = ["last", "previous"].map(|name| folder.path().join(name));
        for text in ["one", "two", "three"] {
            replace_keeping(&path, Some(&previous), text.as_bytes()).unwrap();
        }
        assert_eq!((read_text(&path).unwrap(), read_text(&previous).unwrap()), ("three".into(), "two".into()));
        fs::write(folder.path().join(".last.1.part"), "tor").unwrap();
        remove_parts(folder.path()).unwrap();
        assert_eq!(names(folder.path()).unwrap(), ["last", "previous"]);
    }
}
