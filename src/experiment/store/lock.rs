//! Locks: one process at a time works on a sweep or a trial. The system releases a lock when its holder dies in any
//! way.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Root;
use super::files::failed;
use sweep_core::error::Result;
use sweep_core::plain;

/// Most bytes that say who holds a lock.
const LONGEST: u64 = 4096;

/// The holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its process id.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, plain::line(&self.host))
    }
}

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Whether the file may say who holds it.
    is_ours: bool,
    /// An earlier holder that died without releasing the lock.
    pub dead_holder: Option<LockHolder>,
}

/// Result of acquiring a lock.
#[derive(Debug)]
pub enum LockResult {
    /// The lock is ours.
    Held(Lock),
    /// Another process holds it; its name, if the file was readable.
    Busy(Option<LockHolder>),
}

impl Lock {
    /// Acquires the lock, waiting up to `patience` for its holder to release it.
    ///
    /// # Errors
    /// When the file cannot be created, is a link or no file, or the file system has no locks.
    pub(super) fn acquire(folder: &Root, name: &str, host: &str, patience: Duration) -> Result<LockResult> {
        let (start, path) = (Instant::now(), folder.join(name));
        let path = &path;
        let (mut file, is_ours) = folder.open_lock(name)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Ok(LockResult::Busy(holder(&mut file))),
                Err(TryLockError::Error(e)) => return Err(failed("lock", path, &e)),
            }
        }
        // A holder clears the file on release: content was left by a process that died.
        let dead_holder = holder(&mut file);
        let us = LockHolder { pid: std::process::id(), host: host.to_owned() };
        let text = serde_json::to_string(&us).unwrap_or_default();
        if is_ours {
            let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
            written.map_err(|e| failed("write", path, &e))?;
        }
        Ok(LockResult::Held(Self { file, is_ours, dead_holder }))
    }

    /// The current holder, without acquiring the lock; `None` if there is none.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub(super) fn holder(folder: &Root, name: &str) -> Result<Option<LockHolder>> {
        let Ok(Some(mut file)) = folder.open(name) else { return Ok(None) };
        match file.try_lock_shared() {
            // Released at once; a process that tries in this moment tries again.
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                Ok(Some(holder(&mut file).unwrap_or(LockHolder { pid: 0, host: "?".to_owned() })))
            }
            Err(TryLockError::Error(e)) => Err(failed("lock", &folder.join(name), &e)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_ours {
            // At worst, the next holder reports a dead one.
            let _ = self.file.set_len(0);
        }
    }
}

fn holder(file: &mut File) -> Option<LockHolder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_says_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path());
        let take = || Lock::acquire(&root, ".lock", "here", Duration::ZERO).unwrap();
        assert_eq!(Lock::holder(&root, ".lock").unwrap(), None);
        let LockResult::Held(held) = take() else { panic!("nobody else asked") };
        let us = LockHolder { pid: std::process::id(), host: "here".into() };
        assert!(matches!(take(), LockResult::Busy(Some(holder)) if holder == us));
        assert_eq!(Lock::holder(&root, ".lock").unwrap(), Some(us));
        drop(held);
        assert!(matches!(take(), LockResult::Held(Lock { dead_holder: None, .. })));
    }

    #[test]
    fn what_a_dead_holder_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path());
        root.write(".lock", br#"{"pid":7,"host":"there"}"#).unwrap();
        let LockResult::Held(lock) = Lock::acquire(&root, ".lock", "here", Duration::ZERO).unwrap() else {
            panic!("it is dead")
        };
        assert_eq!(lock.dead_holder, Some(LockHolder { pid: 7, host: "there".into() }));
    }
}
