//! Whose files the cache trusts: those of this user, with hashes that only this user can make.
//!
//! Folders of caches are shared, as on a cluster. A file that another user put there could show a network whatever they like. So
//! the names and hashes of files depend on a random key, which lies beside them and which only its owner can read.

#![expect(clippy::disallowed_methods, reason = "keeps the key of the cache's files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// The key of a user's files in a cache.
pub(super) type Secret = [u8; 32];

/// How often this process has made a key.
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// This user's key in a folder; folder and key are made if they are missing.
pub(super) fn secret(folder: &Path) -> io::Result<Secret> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(format!("user-{}.key", geteuid().as_raw()));
    if let Some(known) = read(&path)? {
        return Ok(known);
    }
    // Threads of one process may be here at once, and none may link what another is about to write.
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let part = path.with_extension(format!("{}-{attempt}.part", std::process::id()));
    let mut secret = Secret::default();
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let _ = fs::remove_file(&part);
    let written = create(&part).and_then(|mut file| file.write_all(&secret)).and_then(|()| {
        // A link fails where another process was quicker, so that all have one key.
        match fs::hard_link(&part, &path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    });
    let _ = fs::remove_file(&part);
    written?;
    read(&path)?.ok_or_else(|| io::Error::other("the key of the cache is gone"))
}

/// The key in a file; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Secret>> {
    let mut file = match open_own(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::other("others can read the key of the cache: remove it"));
    }
    let mut secret = Secret::default();
    file.read_exact(&mut secret).map_err(|_| io::Error::other("the key of the cache is damaged: remove it"))?;
    Ok(Some(secret))
}

/// Opens a regular file of this user; never what a link leads to.
pub(super) fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user, or is no file"));
    }
    Ok(file)
}

/// Creates a new file that only this user can read, and nobody can cut off by mistake.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)
}

/// Whether a file belongs to this user.
pub(super) fn is_own(about: &fs::Metadata) -> bool {
    about.uid() == geteuid().as_raw()
}
