//! Followers of a trial: trials that differ from it in their decoder alone. While it trains, it writes their records into its own
//! folder; each takes them over when it is its turn.

use super::{TrialStore, is_plain};
use sweep_core::error::Result;

/// Folder of the followers in a trial's folder.
const FOLDER: &str = "followers";

impl TrialStore {
    /// The records that this trial keeps for a follower.
    #[must_use]
    pub fn follower(&self, id: &str) -> Self {
        Self { root: self.root.folder(FOLDER).folder(id), sweep: self.sweep.clone() }
    }

    /// Ids of the followers that this trial keeps records for, sorted.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn followers(&self) -> Result<Vec<String>> {
        let mut ids = self.folder().folder(FOLDER).names()?;
        ids.retain(|id| is_plain(id));
        Ok(ids)
    }

    /// Removes what this trial keeps for a follower.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn dismiss(&self, id: &str) -> Result<()> {
        self.follower(id).clear()?;
        if self.followers()?.is_empty() { self.folder().remove_all(FOLDER) } else { Ok(()) }
    }
}
