//! Predictions on the images of a task: as they are, and under shifts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::task::Task;
use crate::commands::radii::SharedPicture;
use crate::commands::unlike::UnlikeImages;
use sweep_analysis::format::counted;
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_data::pictures::Photograph;
use sweep_data::shifts::Shift;
use sweep_data::{DatasetIndex, Sample};
use sweep_experiment::provenance;
use sweep_experiment::records::{LandmarkRecord, Selection};
use sweep_training::evaluate::LandmarkError;
use sweep_training::out_of_distribution::Judgement;
use sweep_training::predict::held_out::{Batch, batches};
use sweep_training::predict::{Found, Predictor, prefetch};

/// Predictions under one condition, in the order of the data set.
#[derive(Debug, Default)]
pub(in crate::commands) struct Predicted {
    pub(in crate::commands) records: Vec<LandmarkRecord>,
    /// The judgement of each image, by its name, where it can be judged.
    pub(in crate::commands) judgements: Vec<(String, Option<Judgement>)>,
}

impl Predicted {
    /// The judgements by the images' names.
    pub(in crate::commands) fn by_image(&self) -> BTreeMap<&str, &Judgement> {
        self.judgements.iter().filter_map(|(image, judgement)| Some((image.as_str(), judgement.as_ref()?))).collect()
    }
}

/// Predictions on the images of a task.
pub(in crate::commands) struct Measured {
    pub(in crate::commands) as_is: Predicted,
    pub(in crate::commands) shifted: Vec<(Shift, Predicted)>,
    /// Size of the images and of their pixels, as long as all share them.
    pub(in crate::commands) picture: SharedPicture,
    /// The size of each image, by its name.
    pub(super) sizes: BTreeMap<String, Size>,
    /// Number of images that were evaluated: fewer than the task's after a signal.
    pub(super) evaluated: usize,
}

/// Rows with the indices of their images.
#[derive(Default)]
struct Rows {
    records: Vec<(usize, LandmarkRecord)>,
    judgements: Vec<(usize, (String, Option<Judgement>))>,
}

impl Rows {
    /// In the order of the data set, whatever the order of batches.
    fn in_order(mut self) -> Predicted {
        self.records.sort_by_key(|(image, _)| *image);
        self.judgements.sort_by_key(|(image, _)| *image);
        Predicted {
            records: self.records.into_iter().map(|(_, record)| record).collect(),
            judgements: self.judgements.into_iter().map(|(_, judgement)| judgement).collect(),
        }
    }

    /// Predicts the landmarks of a batch's images.
    fn predict(
        &mut self,
        predictor: &mut Predictor,
        task: &Task,
        batch: &Batch,
        mut samples: Vec<Sample>,
    ) -> Result<()> {
        let picture =
            |Sample { size, pixels, .. }: &mut Sample| Photograph { size: *size, pixels: std::mem::take(pixels) };
        let pictures: Vec<Photograph> = samples.iter_mut().map(picture).collect();
        let spacings: Vec<_> = samples.iter().map(|sample| sample.spacing).collect();
        let names = task.opened.landmarks();
        let found = predictor.predict_and_judge(&batch.members, &pictures, &spacings)?;
        for ((image, sample), Found { landmarks: found, judgement }) in batch.images.iter().zip(&samples).zip(found) {
            self.judgements.push((*image, (sample.image.clone(), judgement)));
            for ((index, found), landmark) in task.landmarks.iter().zip(found).zip(predictor.landmarks()) {
                let Some(truth) = sample.landmarks[*index] else { continue };
                let reference = task.opened.normaliser().and_then(|by| by.length(&names, &sample.landmarks));
                let error =
                    LandmarkError::new([*image, *index], truth, found.at, found.confidence, sample.spacing, reference);
                self.records.push((*image, record(predictor, &batch.members, &sample.image, landmark, error)));
            }
        }
        Ok(())
    }
}

/// Predicts the landmarks of a task's images as they are, and under each of these shifts, until a signal comes. Images that are
/// unlike those of the training are warned of.
pub(super) fn measure(
    predictor: &mut Predictor,
    task: &Task,
    shifts: &[Shift],
    mut unlike: Option<&mut UnlikeImages>,
    signal: &AtomicUsize,
) -> Result<Measured> {
    let mut as_is = Rows::default();
    let mut shifted: Vec<Rows> = shifts.iter().map(|_| Rows::default()).collect();
    let (mut picture, mut sizes, mut evaluated) = (SharedPicture::default(), BTreeMap::new(), 0);
    let read = |batch: &Batch| originals(&task.opened, &batch.images);
    prefetch(&batches(predictor, &task.images)?, read, |batch, samples| {
        let samples = samples?;
        for (shift, rows) in shifts.iter().zip(&mut shifted) {
            let each = samples.par_iter().zip(&batch.images).map(|(sample, index)| shift.apply(sample, *index));
            rows.predict(predictor, task, batch, each.collect::<Result<_>>()?)?;
        }
        for sample in &samples {
            picture.add(sample.size, sample.spacing);
            sizes.insert(sample.image.clone(), sample.size);
        }
        as_is.predict(predictor, task, batch, samples)?;
        let judged = &as_is.judgements[evaluated..];
        if let Some(unlike) = &mut unlike {
            for (_, (image, judgement)) in judged {
                unlike.add(image, judgement.as_ref());
            }
        }
        evaluated += batch.images.len();
        Ok(signal.load(Ordering::Relaxed) == 0)
    })?;
    let shifted = shifts.iter().copied().zip(shifted.into_iter().map(Rows::in_order)).collect();
    Ok(Measured { as_is: as_is.in_order(), shifted, picture, sizes, evaluated })
}

/// The images of a batch in their original size, within half the memory that is free: a checkpoint sets the batch's size.
fn originals(opened: &DatasetIndex, batch: &[usize]) -> Result<Vec<Sample>> {
    let most = provenance::own_memory_mib().map_or(f64::INFINITY, |free| free * MIB / 2.0);
    let (mut samples, mut bytes) = (Vec::new(), 0usize);
    for some in batch.chunks(READ_TOGETHER) {
        samples.extend(opened.originals(some)?);
        bytes = samples.iter().map(|sample: &Sample| sample.pixels.len()).sum();
        if bytes as f64 > most {
            break;
        }
    }
    if samples.len() < batch.len() {
        let (images, mib) = (counted(batch.len(), "image"), bytes as f64 / MIB);
        let what = format!("the checkpoint has {images} read at once, and {} have {mib:.0} MiB", samples.len());
        return Err(Error::input(what).at("batch_size").remedy("use a machine with more memory, or fewer images"));
    }
    Ok(samples)
}

/// Images that are read before memory is judged.
const READ_TOGETHER: usize = 16;
const MIB: f64 = 1_048_576.0;

fn record(predictor: &Predictor, by: &[usize], image: &str, landmark: &str, error: LandmarkError) -> LandmarkRecord {
    let members = || by.iter().filter_map(|member| predictor.descriptions().nth(*member));
    LandmarkRecord {
        trial: members().map(|d| d.trial.as_str()).collect::<Vec<_>>().join("+"),
        seed: members().next().map_or(0, |d| d.config.seed),
        epoch: members().next().map_or(0, |d| d.epoch),
        ..error.record(Selection::BestError, image, landmark)
    }
}
