//! Landmarks that the two splits do not share: what is marked in no training image cannot be learnt, so it is not measured
//! either; what is marked in no validation image is learnt and cannot be measured.

use super::cache::Resized;
use super::{Dataset, Split};
use sweep_core::error::{Error, Result};

/// Landmarks that are marked in one split alone, by name and in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Marked in no training image: neither trained nor measured.
    pub untrained: Vec<String>,
    /// Marked in no validation image: trained, and not measured.
    pub unmeasured: Vec<String>,
}

impl Coverage {
    /// A sentence for each kind that there is.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let sentence =
            |names: &[String], what: &str| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
        let untrained = sentence(&self.untrained, "marked in no training image, so neither trained nor measured");
        untrained
            .into_iter()
            .chain(sentence(&self.unmeasured, "marked in no validation image, so not measured"))
            .collect()
    }
}

impl Resized {
    /// Removes landmarks that are marked in no training image: the output of an untrained channel is not an error.
    ///
    /// # Errors
    /// When no landmark is left to measure.
    pub fn keep_trained(&mut self) -> Result<Coverage> {
        let [train, val] = [Split::Train, Split::Val].map(|split| marked(&self.dataset, split));
        let names = |chosen: &dyn Fn(usize) -> bool| -> Vec<String> {
            let all = self.dataset.landmarks.iter().enumerate();
            all.filter(|(k, _)| chosen(*k)).map(|(_, name)| name.clone()).collect()
        };
        // A refit validates on no image, so nothing is missing there.
        let validates = self.dataset.samples.iter().any(|sample| sample.split == Split::Val);
        let unmeasured = names(&|k| validates && train[k] && !val[k]);
        let coverage = Coverage { untrained: names(&|k| !train[k]), unmeasured };
        if validates && !train.iter().zip(&val).any(|(train, val)| *train && *val) {
            return Err(Error::input("no landmark is marked in both training and validation images").remedy(
                "nothing that is learnt could be measured: mark more images, or divide them otherwise (dataset.folds, \
                 dataset.val_fraction)",
            ));
        }
        let samples = self.dataset.samples.iter_mut().map(|sample| &mut sample.landmarks);
        for landmarks in samples.chain(self.pictures.iter_mut().map(|picture| &mut picture.landmarks)) {
            landmarks.iter_mut().zip(&train).filter(|(_, trained)| !**trained).for_each(|(point, _)| *point = None);
        }
        Ok(coverage)
    }
}

/// For every landmark, whether an image of the split has it.
fn marked(dataset: &Dataset, split: Split) -> Vec<bool> {
    let images = || dataset.samples.iter().filter(|sample| sample.split == split);
    (0..dataset.landmarks.len()).map(|k| images().any(|sample| sample.landmarks[k].is_some())).collect()
}
