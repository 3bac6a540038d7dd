//! Decoders are evaluated, not trained again: of trials that differ in their decoder alone, one trains, their leader. At each
//! evaluated epoch it reads the network's maps with the decoder of each other trial, its follower, and keeps the records that the
//! follower would have written. A follower takes them over when its leader has ended, whatever its end, and goes on
//! from there; after a whole training, nothing is left to train.

mod leaders;
#[cfg(test)]
mod tests;

pub use leaders::{Member, leaders};

use crate::checkpoint::{self, Checkpoint, Description, renamed};
use sweep_core::error::{Error, Result};
use sweep_data::decode::DecodeSpec;
use sweep_experiment::store::{TrialFile, TrialStore, most};
use sweep_planning::config::TrialConfig;

/// The description of a follower's checkpoint after its last evaluated epoch, as JSON.
const DESCRIPTION: &str = "description.json";
/// Tables that a follower takes over as they are.
const TABLES: [&str; 3] = ["epochs.csv", "landmarks.csv", "errors.bin"];

/// Hash of everything but the decoder: trials that share it have the same weights after each epoch. `None` of a trial whose
/// training may end by its own errors.
///
/// # Errors
/// Never in practice.
pub fn shared_training(config: &TrialConfig, content: &str) -> Result<Option<String>> {
    if config.early_stop.is_some() {
        return Ok(None);
    }
    TrialConfig { decode: DecodeSpec::default(), ..config.clone() }.identity(content, None).map(Some)
}

/// Whether a trial has a checkpoint to go on from.
#[must_use]
pub fn has_checkpoint(folder: &TrialStore) -> bool {
    [TrialStore::LAST, TrialStore::PREVIOUS].iter().any(|name| folder.folder().has_file(name))
}

/// Makes a leader that has not begun evaluate for exactly these followers.
///
/// # Errors
/// When its folder cannot be written.
pub fn lead(leader: &TrialStore, followers: &[TrialFile]) -> Result<()> {
    for id in leader.followers()? {
        leader.dismiss(&id)?;
    }
    followers.iter().try_for_each(|file| leader.follower(&file.trial).begin(file.clone()))
}

/// Gives a follower that has no checkpoint the records that its leader kept for it, and the leader's checkpoint under its own
/// name. Returns whether there were any that could be used.
///
/// # Errors
/// When a file cannot be read or written.
pub fn take_over(leader: &TrialStore, to: &TrialStore, planned: &TrialFile, config: &TrialConfig) -> Result<bool> {
    let kept = leader.follower(&planned.trial);
    if !kept.has_begun() || leader.trainer()?.is_some() {
        return Ok(false);
    }
    let is_same = kept.trial_file().is_ok_and(|file| file.identity == planned.identity);
    let last = if is_same { checkpoint_of(leader, &kept)? } else { None };
    let Some(last) = last else {
        leader.dismiss(&planned.trial)?;
        return Ok(false);
    };
    for name in TABLES {
        if let Some(bytes) = kept.folder().read_if_present(name, most::TABLE)? {
            to.folder().replace(name, &bytes)?;
        }
    }
    if let Some(best) = kept.folder().read_if_present(TrialStore::BEST, checkpoint::LARGEST)? {
        to.replace_best(&best)?;
    }
    let epochs = last.description.epoch;
    let description = read_description(&kept).map(|kept| kept.training_images);
    let training_images = description.unwrap_or_else(|| last.description.training_images.clone());
    let description = Description { training_images, ..last.description.clone() };
    // Last, because resuming trusts it.
    to.replace_last(&renamed(Checkpoint { description, ..last }, &planned.trial, config)?)?;
    to.log(&format!(
        "takes over the {epochs} epochs of {}, which differs in its decoder alone",
        leader.root().display()
    ))?;
    leader.dismiss(&planned.trial)?;
    Ok(true)
}

/// The leader's checkpoint, if the follower has a record of every epoch up to it.
fn checkpoint_of(leader: &TrialStore, kept: &TrialStore) -> Result<Option<Checkpoint>> {
    let epochs = kept.readable_epochs()?.0.len();
    for name in [TrialStore::LAST, TrialStore::PREVIOUS] {
        let Some(bytes) = leader.folder().read_if_present(name, checkpoint::LARGEST)? else { continue };
        let decoded = checkpoint::decode(&bytes);
        if let Ok(last) = decoded
            && last.description.epoch as usize <= epochs
        {
            return Ok(Some(last));
        }
    }
    Ok(None)
}

/// The description that a leader keeps for a follower; `None` before the first evaluation.
pub(crate) fn read_description(kept: &TrialStore) -> Option<Description> {
    serde_json::from_str(&kept.folder().read_text(DESCRIPTION, most::RECORD).ok()?).ok()
}

/// Keeps a follower's description.
pub(crate) fn write_description(kept: &TrialStore, description: &Description) -> Result<()> {
    let json = serde_json::to_string(description).map_err(|e| Error::results(e.to_string()))?;
    kept.folder().replace(DESCRIPTION, json.as_bytes())
}
