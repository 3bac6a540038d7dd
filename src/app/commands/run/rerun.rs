//! A rerun under way: the trials that `--rerun` has begun anew, kept in a file, so that the same command goes on with an
//! interrupted rerun instead of discarding what it trained.

use std::collections::BTreeSet;

use sweep_core::error::Result;
use sweep_experiment::store::{Root, Store, most};

const FILE: &str = ".rerun";

/// The trials that a rerun has begun.
#[derive(Debug)]
pub(super) struct Rerun {
    folder: Root,
    begun: BTreeSet<String>,
    is_under_way: bool,
}

impl Rerun {
    /// Reads the rerun that was interrupted, if there is one.
    pub(super) fn open(store: &Store) -> Result<Self> {
        let folder = store.folder().clone();
        let is_under_way = folder.has_file(FILE);
        let text = if is_under_way { folder.read_text(FILE, most::RECORD)? } else { String::new() };
        Ok(Self { folder, begun: text.lines().map(str::to_owned).collect(), is_under_way })
    }

    /// Whether an interrupted rerun goes on.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Whether a trial is still to be trained anew.
    pub(super) fn has(&self, trial: &str) -> bool {
        !self.begun.contains(trial)
    }

    /// Begins a rerun; of one under way, nothing changes.
    pub(super) fn begin(&mut self) -> Result<()> {
        if self.is_under_way {
            return Ok(());
        }
        self.is_under_way = true;
        self.write()
    }

    /// Records that a trial was begun anew.
    pub(super) fn begun(&mut self, trial: &str) -> Result<()> {
        if self.is_under_way && self.begun.insert(trial.to_owned()) { self.write() } else { Ok(()) }
    }

    /// Ends the rerun, if one is under way: a later one begins with all trials.
    pub(super) fn end(&mut self) -> Result<()> {
        if !self.is_under_way {
            return Ok(());
        }
        self.is_under_way = false;
        self.begun.clear();
        self.folder.remove(FILE)
    }

    fn write(&self) -> Result<()> {
        let lines = self.begun.iter().fold(String::new(), |lines, trial| lines + trial + "\n");
        self.folder.write(FILE, lines.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_rerun_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let mut first = Rerun::open(&store).unwrap();
        assert!(first.has("a") && !first.is_under_way());
        first.begin().unwrap();
        first.begun("a").unwrap();
        let mut second = Rerun::open(&store).unwrap();
        second.begin().unwrap();
        assert!(second.is_under_way() && !second.has("a") && second.has("b"));
        second.end().unwrap();
        assert!(Rerun::open(&store).unwrap().has("a"), "the next rerun is of all trials");
    }
}
