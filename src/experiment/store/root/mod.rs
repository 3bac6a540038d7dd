//! The boundary of a folder whose content may come from somebody else.
//!
//! The user names the folder itself, so links up to there are followed. Everything below is walked name by name, and each
//! step refuses links (`openat` with `O_NOFOLLOW`, which every Unix has, unlike `openat2`): nothing below the folder leads out
//! of it, not even if somebody exchanges a folder for a link meanwhile. Only regular files are read and written, pipes
//! and devices are refused unopened, and a file is read up to a size that its kind never needs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::files::failed;
use sweep_core::error::{Error, Result};
use walk::{SAFE, checked, entries, only_files, remove_file, stat};

pub use walk::Entry;
pub(super) use walk::{read_at_most, text};

#[cfg(test)]
mod tests;
mod walk;

/// Sizes that files of a results folder stay far below, bytes. Larger ones are refused instead of read.
pub mod most {
    /// Records of a definition, a trial or a submission.
    pub const RECORD: u64 = 64 << 20;
    /// A trial's status and other files of a few lines.
    pub const STATUS: u64 = 1 << 20;
    /// Rows of a trial's tables.
    pub const TABLE: u64 = 1 << 30;
    /// A picture, a page or another file to send on.
    pub const PICTURE: u64 = 256 << 20;
}

/// A folder that a user named, or one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// As the user named it.
    named: PathBuf,
    /// From there to the folder.
    inside: PathBuf,
    /// Both together.
    path: PathBuf,
}

impl Root {
    /// The folder that a user named. It may itself be a link.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { named: folder.to_owned(), inside: PathBuf::new(), path: folder.to_owned() }
    }

    /// A folder in this one.
    #[must_use]
    pub fn folder(&self, name: impl AsRef<Path>) -> Self {
        let name = name.as_ref();
        Self { named: self.named.clone(), inside: self.inside.join(name), path: self.path.join(name) }
    }

    /// Its path, for messages and for programs that the user starts.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it, for messages and for programs that the user starts.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// The entry of this name, a link included; `None` if there is none.
    ///
    /// # Errors
    /// When a link or something else that is no folder is in the way.
    pub fn entry(&self, name: impl AsRef<Path>) -> Result<Option<Entry>> {
        Ok(self.stat(name.as_ref())?.map(|stat| Entry::of(&stat)))
    }

    /// Whether there is a regular file of this name.
    #[must_use]
    pub fn has_file(&self, name: impl AsRef<Path>) -> bool {
        matches!(self.entry(name), Ok(Some(Entry::File)))
    }

    /// Whether the folder itself is there, and no link.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(self.descend(false, self.inside.iter()), Ok(Some(_)))
    }

    /// Time of change and length of a file; `None` if there is none.
    #[must_use]
    pub fn version(&self, name: impl AsRef<Path>) -> Option<(SystemTime, u64)> {
        let about = self.open(name).ok()??.metadata().ok()?;
        Some((about.modified().ok()?, about.len()))
    }

    /// Reads a file of at most `most` bytes.
    ///
    /// # Errors
    /// When it is missing, larger, no regular file, or behind a link.
    pub fn read(&self, name: impl AsRef<Path>, most: u64) -> Result<Vec<u8>> {
        let name = name.as_ref();
        self.read_if_present(name, most)?.ok_or_else(|| failed("read", &self.join(name), &ErrorKind::NotFound.into()))
    }

    /// Same as [`Self::read`], but a missing file is `None`.
    ///
    /// # Errors
    /// Same errors as [`Self::read`], except that of a missing file.
    pub fn read_if_present(&self, name: impl AsRef<Path>, most: u64) -> Result<Option<Vec<u8>>> {
        let (name, path) = (name.as_ref(), self.join(name.as_ref()));
        let Some(file) = self.open(name)? else { return Ok(None) };
        let length = file.metadata().map_err(|e| failed("read", &path, &e))?.len();
        read_at_most(file, length, most, &path).map(Some)
    }

    /// Reads a text file of at most `most` bytes.
    ///
    /// # Errors
    /// Same errors as [`Self::read`], and when the file is not UTF-8.
    pub fn read_text(&self, name: impl AsRef<Path>, most: u64) -> Result<String> {
        let name = name.as_ref();
        text(self.read(name, most)?, &self.join(name))
    }

    /// Opens a file for reading; `None` if it is missing.
    ///
    /// # Errors
    /// When it is no regular file, or behind a link.
    pub fn open(&self, name: impl AsRef<Path>) -> Result<Option<File>> {
        let path = self.join(name.as_ref());
        let Some((folder, last)) = self.parent(name.as_ref(), false)? else { return Ok(None) };
        match stat(&folder, last) {
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(failed("read", &path, &e.into())),
            Ok(stat) => only_files(&stat, &path)?,
        }
        let file = rustix::fs::openat(&folder, last, OFlags::RDONLY | SAFE, Mode::empty());
        let file = file.map_err(|e| failed("read", &path, &e.into()))?;
        checked(file, "read", &path).map(|(file, _)| Some(file))
    }

    /// Replaces a file with its folder, both of which may be missing; readers, a full disk or a power cut find the old file
    /// or the new one.
    ///
    /// # Errors
    /// When it cannot be written, a link is in the way, or something other than a file has its name.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        self.put(name.as_ref(), bytes, Put { make_folder: true, ..Put::default() })
    }

    /// Same as [`Self::write`] for an executable file.
    ///
    /// # Errors
    /// Same errors as [`Self::write`].
    pub fn write_program(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        self.put(name.as_ref(), bytes, Put { make_folder: true, executable: true, ..Put::default() })
    }

    /// Same as [`Self::write`], but a missing folder is an error.
    ///
    /// # Errors
    /// Same errors as [`Self::write`], and when the folder is missing.
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        self.put(name.as_ref(), bytes, Put::default())
    }

    /// Same as [`Self::replace`], but keeps the old file as `previous`.
    ///
    /// # Errors
    /// Same errors as [`Self::replace`].
    pub fn replace_keeping(&self, name: &str, previous: &str, bytes: &[u8]) -> Result<()> {
        self.put(Path::new(name), bytes, Put { previous: Some(previous), ..Put::default() })
    }

    /// Same as [`Self::replace`], without flushing: for files written every second that need not survive a power cut.
    ///
    /// # Errors
    /// Same errors as [`Self::replace`].
    pub fn replace_in_passing(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(Path::new(name), bytes, Put { passing: true, ..Put::default() })
    }

    fn put(&self, name: &Path, bytes: &[u8], how: Put<'_>) -> Result<()> {
        let path = self.join(name);
        let Some((folder, last)) = self.parent(name, how.make_folder)? else {
            return Err(failed("write", &path, &ErrorKind::NotFound.into()));
        };
        if let Ok(stat) = stat(&folder, last) {
            only_files(&stat, &path)?;
        }
        let part = format!(".{}.{}.part", last.to_string_lossy(), std::process::id());
        let written = || -> std::io::Result<()> {
            // A part of this name was left by a dead process, or is a link to somewhere.
            remove_file(&folder, OsStr::new(&part))?;
            let mode = if how.executable { 0o777 } else { 0o666 };
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | SAFE;
            let mut file = File::from(rustix::fs::openat(&folder, part.as_str(), flags, Mode::from_raw_mode(mode))?);
            file.write_all(bytes)?;
            if !how.passing {
                file.sync_data()?;
            }
            if let Some(previous) = how.previous
                && stat(&folder, last).is_ok()
            {
                // Between the two renames only the previous file exists: readers look for both.
                rustix::fs::renameat(&folder, last, &folder, previous)?;
            }
            rustix::fs::renameat(&folder, part.as_str(), &folder, last)?;
            if !how.passing {
                rustix::fs::fsync(&folder)?;
            }
            Ok(())
        };
        written().map_err(|e| {
            // The half-written file is useless; an error of its removal would hide the first reason.
            let _ = remove_file(&folder, OsStr::new(&part));
            failed("write", &path, &e)
        })
    }

    /// Opens a file to append to, and makes it if it is missing.
    ///
    /// # Errors
    /// When its folder is missing, it is no regular file, or a link is in the way.
    pub fn append(&self, name: &str) -> Result<File> {
        self.open_in_place(name, OFlags::WRONLY | OFlags::APPEND, false)
    }

    /// Keeps the first `from` bytes of a file, which others may read meanwhile, and appends these.
    ///
    /// # Errors
    /// When it cannot be written, it is no regular file, or a link is in the way.
    pub fn truncate_and_append(&self, name: &str, from: u64, bytes: &[u8]) -> Result<()> {
        let mut file = self.open_in_place(name, OFlags::WRONLY, true)?;
        let written =
            file.set_len(from).and_then(|()| file.seek(SeekFrom::Start(from))).and_then(|_| file.write_all(bytes));
        written.map_err(|e| failed("write", &self.join(name), &e))
    }

    /// Opens a file to be written in place. A file with a second name (a hard link) is copied first: whatever the other
    /// name belongs to stays as it is.
    fn open_in_place(&self, name: &str, flags: OFlags, make_folder: bool) -> Result<File> {
        let path = self.join(name);
        let missing = || failed("write", &path, &ErrorKind::NotFound.into());
        let (folder, last) = self.parent(Path::new(name), make_folder)?.ok_or_else(missing)?;
        if let Ok(stat) = stat(&folder, last) {
            only_files(&stat, &path)?;
            if stat.st_nlink > 1 {
                self.replace(name, &self.read(name, most::TABLE)?)?;
            }
        }
        let file = rustix::fs::openat(&folder, last, flags | OFlags::CREATE | SAFE, Mode::from_raw_mode(0o666));
        let (file, stat) = checked(file.map_err(|e| failed("write", &path, &e.into()))?, "write", &path)?;
        if stat.st_nlink > 1 {
            return Err(Error::results("the file has a second name, and writing would change that one too")
                .at(path.display())
                .remedy("copy the folder, and use the copy"));
        }
        Ok(file)
    }

    /// Opens a lock's file for reading and writing, and makes it if it is missing. Says whether it may be written to: a
    /// file with a second name only serves as a lock.
    pub(super) fn open_lock(&self, name: &str) -> Result<(File, bool)> {
        let path = self.join(name);
        let missing = || failed("write", &path, &ErrorKind::NotFound.into());
        let (folder, last) = self.parent(Path::new(name), false)?.ok_or_else(missing)?;
        if let Ok(stat) = stat(&folder, last) {
            only_files(&stat, &path)?;
        }
        let flags = OFlags::RDWR | OFlags::CREATE | SAFE;
        let file = rustix::fs::openat(&folder, last, flags, Mode::from_raw_mode(0o666));
        let (file, stat) = checked(file.map_err(|e| failed("write", &path, &e.into()))?, "write", &path)?;
        Ok((file, stat.st_nlink == 1))
    }

    /// Makes the folder and its parents.
    ///
    /// # Errors
    /// When it cannot be made, or a link is in the way.
    pub fn create(&self) -> Result<()> {
        self.descend(true, self.inside.iter()).map(drop)
    }

    /// Removes a file or a link; a missing one is not an error.
    ///
    /// # Errors
    /// When it cannot be removed, or a link is in the way.
    pub fn remove(&self, name: impl AsRef<Path>) -> Result<()> {
        let name = name.as_ref();
        let Some((folder, last)) = self.parent(name, false)? else { return Ok(()) };
        remove_file(&folder, last).map_err(|e| failed("remove", &self.join(name), &e))
    }

    /// Removes something of this name with all its content; links in it are removed, not followed.
    ///
    /// # Errors
    /// When something cannot be removed; a missing one is not an error.
    pub fn remove_all(&self, name: &str) -> Result<()> {
        let Some((folder, last)) = self.parent(Path::new(name), false)? else { return Ok(()) };
        walk::remove_tree(&folder, last, walk::DEEPEST).map_err(|e| failed("remove", &self.join(name), &e))
    }

    /// Removes the folder itself with all its content.
    ///
    /// # Errors
    /// Same errors as [`Self::remove_all`].
    pub fn clear(&self) -> Result<()> {
        let Some(name) = self.inside.file_name() else {
            return super::files::remove_folder(&self.path);
        };
        let above = self.inside.parent().unwrap_or(Path::new(""));
        let above = Self { inside: above.to_owned(), path: self.named.join(above), named: self.named.clone() };
        above.remove_all(&name.to_string_lossy())
    }

    /// Moves a file into a folder in this one, which exists; a missing file is not an error.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn move_into(&self, folder: &str, name: &str) -> Result<()> {
        let (from, to) = (self.descend(false, self.inside.iter())?, self.folder(folder));
        let (Some(from), Some(to)) = (from, to.descend(false, to.inside.iter())?) else { return Ok(()) };
        match rustix::fs::renameat(&from, name, &to, name) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(e) => Err(failed("move", &self.join(name), &e.into())),
        }
    }

    /// Names of what it holds, sorted; empty if it is missing.
    ///
    /// # Errors
    /// When it cannot be read, or a link is in the way.
    pub fn names(&self) -> Result<Vec<String>> {
        let Some(folder) = self.descend(false, self.inside.iter())? else { return Ok(Vec::new()) };
        let mut names = entries(&folder).map_err(|e| failed("read", &self.path, &e))?;
        names.sort();
        Ok(names)
    }

    /// Names of the regular files in it, sorted; empty if it is missing.
    ///
    /// # Errors
    /// Same errors as [`Self::names`].
    pub fn files(&self) -> Result<Vec<String>> {
        Ok(self.names()?.into_iter().filter(|name| self.has_file(name)).collect())
    }

    /// Removes temporary files that dead processes left.
    pub(super) fn remove_parts(&self) -> Result<()> {
        let is_part = |name: &String| name.starts_with('.') && Path::new(name).extension().is_some_and(|e| e == "part");
        self.names()?.iter().filter(|name| is_part(name)).try_for_each(|name| self.remove(name))
    }

    fn stat(&self, name: &Path) -> Result<Option<Stat>> {
        let Some((folder, last)) = self.parent(name, false)? else { return Ok(None) };
        match stat(&folder, last) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(failed("read", &self.join(name), &e.into())),
        }
    }

    /// The folder that holds `name`, and the name's last part; `None` if a folder on the way is missing.
    fn parent<'a>(&self, name: &'a Path, make: bool) -> Result<Option<(OwnedFd, &'a OsStr)>> {
        let nameless = || walk::escapes(&self.named, &self.join(name));
        let last = name.file_name().ok_or_else(nameless)?;
        let between = name.parent().unwrap_or(Path::new(""));
        let folder = self.descend(make, self.inside.iter().chain(between.iter()))?;
        Ok(folder.map(|folder| (folder, last)))
    }

    fn descend<'a>(&self, make: bool, names: impl Iterator<Item = &'a OsStr>) -> Result<Option<OwnedFd>> {
        walk::descend(&self.named, make, names)
    }
}

/// How a file is put in place.
#[derive(Debug, Clone, Copy, Default)]
struct Put<'a> {
    make_folder: bool,
    executable: bool,
    passing: bool,
    previous: Option<&'a str>,
}
