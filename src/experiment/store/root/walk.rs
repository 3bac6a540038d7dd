//! Walks down a folder name by name, with the system's calls that follow no links.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::super::files::failed;
use sweep_core::error::{Error, Result};

/// How deep folders may be nested in one that is removed.
pub(super) const DEEPEST: usize = 32;

pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Opening never waits for the other end of a pipe, and never makes a terminal ours.
pub(super) const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Something in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

impl Entry {
    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

/// Opens the folder that lies these names below the one that a user named; `None` if one is missing. With `make`, missing
/// ones are made.
pub(super) fn descend<'a>(named: &Path, make: bool, names: impl Iterator<Item = &'a OsStr>) -> Result<Option<OwnedFd>> {
    let mut path = if named.as_os_str().is_empty() { PathBuf::from(".") } else { named.to_owned() };
    if make {
        super::super::files::create_folder(&path)?;
    }
    let mut folder = match rustix::fs::open(&path, FOLDER, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR) if !make => return Ok(None),
        Err(e) => return Err(failed("read", &path, &e.into())),
    };
    for name in names {
        path.push(name);
        if matches!(name.as_encoded_bytes(), b"" | b"." | b"..") || name.as_encoded_bytes().contains(&b'/') {
            return Err(escapes(named, &path));
        }
        folder = match rustix::fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) if !make => return Ok(None),
            Err(Errno::NOENT) => {
                let made = match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
                    // Another process was quicker.
                    Ok(()) | Err(Errno::EXIST) => {
                        rustix::fs::openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())
                    }
                    Err(e) => Err(e),
                };
                made.map_err(|e| failed("make", &path, &e.into()))?
            }
            Err(e) => match stat(&folder, name).map(|stat| Entry::of(&stat)) {
                Ok(Entry::Link) => return Err(refused(Entry::Link, &path)),
                Ok(Entry::File | Entry::Special) if !make => return Ok(None),
                _ => return Err(failed(if make { "make" } else { "read" }, &path, &e.into())),
            },
        };
    }
    Ok(Some(folder))
}

/// The error of a name that leads out of the folder that a user named.
pub(super) fn escapes(named: &Path, path: &Path) -> Error {
    Error::results(format!("the name leads out of {}", named.display())).at(path.display()).remedy(
        "names below a results folder have no `..` and do not begin with `/`; this folder was not made by sweep",
    )
}

/// Reads a file that claims this length, up to `most` bytes.
pub(in super::super) fn read_at_most(file: impl Read, length: u64, most: u64, path: &Path) -> Result<Vec<u8>> {
    let too_large = || {
        Error::results(format!("larger than {} MiB, which no such file is", most >> 20))
            .at(path.display())
            .remedy("it was not made by sweep, or is damaged: put it aside")
    };
    if length > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| failed("read", path, &e))?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// Bytes as text.
pub(in super::super) fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let not_text = |_| std::io::Error::new(ErrorKind::InvalidData, "it is not text in UTF-8");
    String::from_utf8(bytes).map_err(|e| failed("read", path, &not_text(e)))
}

pub(super) fn stat(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<Stat> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// An opened file, once it is known to be a regular one.
pub(super) fn checked(file: OwnedFd, verb: &str, path: &Path) -> Result<(File, Stat)> {
    let stat = rustix::fs::fstat(&file).map_err(|e| failed(verb, path, &e.into()))?;
    only_files(&stat, path)?;
    Ok((File::from(file), stat))
}

pub(super) fn only_files(stat: &Stat, path: &Path) -> Result<()> {
    match Entry::of(stat) {
        Entry::File => Ok(()),
        other => Err(refused(other, path)),
    }
}

fn refused(what: Entry, path: &Path) -> Error {
    let (what, remedy) = match what {
        Entry::Link => (
            "a link: nothing in a results folder is read or written through links",
            "remove it, or put what it leads to in its place; the results folder itself may be a link",
        ),
        Entry::Folder => ("a folder, where a file belongs", "put it aside"),
        Entry::File => ("a file, where a folder belongs", "put it aside"),
        Entry::Special => ("a pipe, a socket or a device, where a file belongs", "remove it"),
    };
    Error::results(what).at(path.display()).remedy(remedy)
}

pub(super) fn remove_file(folder: &OwnedFd, name: &OsStr) -> std::io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn remove_tree(folder: &OwnedFd, name: &OsStr, depth: usize) -> std::io::Result<()> {
    match stat(folder, name).map(|stat| Entry::of(&stat)) {
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
        Ok(Entry::Folder) => {}
        Ok(_) => return remove_file(folder, name),
    }
    if depth == 0 {
        return Err(std::io::Error::other(format!("more than {DEEPEST} folders are nested in it")));
    }
    let inner = rustix::fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    for entry in entries(&inner)? {
        remove_tree(&inner, OsStr::new(&entry), depth - 1)?;
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    Ok(())
}

/// Names in a folder. A name that is not UTF-8 is spelt as well as it can be; sweep gives no such names.
pub(super) fn entries(folder: &OwnedFd) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}
