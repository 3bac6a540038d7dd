//! The test images: found once, when a training has ended, with the weights that its validation images chose.

use sweep_core::error::Result;
use sweep_experiment::records::{LandmarkRecord, Selection};
use sweep_experiment::store::TrialStore;

use super::{Observer, Training};
use crate::checkpoint;
use crate::evaluate;

impl Training<'_> {
    /// Writes `test.csv`, unless there is one, or the data set has no test images, or the trial no best weights. Whether it is
    /// through: the observer may stop it.
    pub(super) fn score_test_images(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        if self.data.test.is_empty() || self.store.has_test_landmarks() {
            return Ok(true);
        }
        let Some(bytes) = self.store.folder().read_if_present(TrialStore::BEST, checkpoint::LARGEST)? else {
            return Ok(true);
        };
        let best = checkpoint::decode(&bytes).map_err(|e| e.at(self.store.best().display()))?;
        let weights = self.network.loaded(&best.weights)?;
        let (dataset, images) = (&self.data.dataset, self.data.test.on(weights.trained().device())?);
        let mut go_on = || {
            observer.evaluating();
            !observer.stop()
        };
        let batch_size = self.config.batch_size;
        let Some(found) = evaluate::evaluate(&mut self.network, &weights, &images, dataset, batch_size, &mut go_on)?
        else {
            return Ok(false);
        };
        let (seed, epoch) = (self.config.seed, best.description.epoch);
        let rows: Vec<LandmarkRecord> = found.records(self.id, seed, epoch, Selection::BestError, dataset).collect();
        if !rows.is_empty() {
            self.store.write_test_landmarks(&rows)?;
        }
        Ok(true)
    }
}
