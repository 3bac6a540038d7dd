//! Locks: who works on a sweep or a trial. The system lets go of a lock when its holder dies, however it dies.

#![expect(clippy::disallowed_methods, reason = "one of the places that touch results")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::files::failed;
use sweep_core::error::Result;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// Its process.
    pub pid: u32,
    /// The machine that runs on.
    pub host: String,
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// A lock held; let go when dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Who held it and died without letting go.
    pub dead_holder: Option<LockHolder>,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum LockResult {
    /// It is ours.
    Held(Lock),
    /// Somebody else's, who said so, if it was legible.
    Busy(Option<LockHolder>),
}

impl Lock {
    /// Takes the lock, waiting `patience` for whoever has it.
    ///
    /// # Errors
    /// When the file cannot be made or the file system knows no locks.
    pub fn acquire(path: &Path, host: &str, patience: Duration) -> Result<LockResult> {
        let asked = Instant::now();
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = file.map_err(|e| failed("write", path, &e))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if asked.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Ok(LockResult::Busy(holder(&mut file))),
                Err(TryLockError::Error(e)) => return Err(failed("lock", path, &e)),
            }
        }
        // Whoever lets go cleans the file: what is written there was left by somebody who died.
        let dead_holder = holder(&mut file);
        let us = LockHolder { pid: std::process::id(), host: host.to_owned() };
        let text = serde_json::to_string(&us).unwrap_or_default();
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        written.map_err(|e| failed("write", path, &e))?;
        Ok(LockResult::Held(Self { file, dead_holder }))
    }

    /// Who holds it now, without keeping it: `None` if nobody does.
    ///
    /// # Errors
    /// When the file system knows no locks.
    pub fn holder(path: &Path) -> Result<Option<LockHolder>> {
        let Ok(mut file) = File::open(path) else { return Ok(None) };
        match file.try_lock_shared() {
            // Given back at once; whoever wants it in this moment asks again.
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                Ok(Some(holder(&mut file).unwrap_or(LockHolder { pid: 0, host: "?".to_owned() })))
            }
            Err(TryLockError::Error(e)) => Err(failed("lock", path, &e)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // At worst the next holder is told of a dead one.
        let _ = self.file.set_len(0);
    }
}

fn holder(file: &mut File) -> Option<LockHolder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_says_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let take = || Lock::acquire(&path, "here", Duration::ZERO).unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), None);
        let LockResult::Held(held) = take() else { panic!("nobody else asked") };
        let us = LockHolder { pid: std::process::id(), host: "here".into() };
        assert!(matches!(take(), LockResult::Busy(Some(holder)) if holder == us));
        assert_eq!(Lock::holder(&path).unwrap(), Some(us));
        drop(held);
        assert!(matches!(take(), LockResult::Held(Lock { dead_holder: None, .. })));
    }

    #[test]
    fn what_a_dead_holder_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        std::fs::write(&path, r#"{"pid":7,"host":"there"}"#).unwrap();
        let LockResult::Held(lock) = Lock::acquire(&path, "here", Duration::ZERO).unwrap() else {
            panic!("it is dead")
        };
        assert_eq!(lock.dead_holder, Some(LockHolder { pid: 7, host: "there".into() }));
    }
}
