//! Keeps the cache within bounds: the files used longest ago go first.

#![expect(clippy::disallowed_methods, reason = "lists and removes the cache's own files, by when they were used")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::EXTENSION;
use super::secret::is_own;

/// Bytes that the cache may take: some hundred data sets of a thousand small pictures, a handful of large ones.
const MOST: u64 = 20 << 30;
/// A half-written file this old has no writer any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Notes that a file was used now. Only eviction asks, so that a folder that cannot be written to does not matter.
pub(super) fn mark_used(file: &File) {
    let _ = file.set_modified(SystemTime::now());
}

/// Removes old files after one was written. Files that cannot be removed stay.
pub(super) fn evict(written: &Path) {
    evict_down_to(written, MOST);
}

pub(super) fn evict_down_to(written: &Path, most: u64) {
    let Some(entries) = written.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    let (mut files, mut total) = (Vec::<(SystemTime, PathBuf, u64)>::new(), 0);
    for entry in entries.flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        // Files of other users are theirs to remove.
        if !is_own(&metadata) {
            continue;
        }
        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        match path.extension().and_then(|e| e.to_str()) {
            Some(EXTENSION) => {
                total += metadata.len();
                if path != written {
                    files.push((used, path, metadata.len()));
                }
            }
            Some("part") if used.elapsed().is_ok_and(|age| age > ABANDONED) => {
                let _ = fs::remove_file(&path);
            }
            _ => {}
        }
    }
    files.sort();
    for (_, path, len) in files {
        if total <= most {
            return;
        }
        // A process that has opened it keeps it until it ends.
        if fs::remove_file(&path).is_ok() {
            let _ = fs::remove_file(path.with_extension("lock"));
            total -= len;
        }
    }
}
