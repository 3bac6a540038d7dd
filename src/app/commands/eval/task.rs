//! The images that `sweep eval` evaluates, and the networks for each.

use crate::cli::{self, Part};
use sweep_analysis::format::counted;
use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_data::picture::DeepGrey;
use sweep_data::{DatasetIndex, Split};
use sweep_training::predict::held_out::{EvaluatedImage, TrainedOn, held_out_images, trained_on};
use sweep_training::predict::{self, Predictor};

/// Images to evaluate, and the networks for each.
pub(super) struct Task {
    pub(super) opened: DatasetIndex,
    pub(super) images: Vec<EvaluatedImage>,
    /// Description of the images, for the output.
    pub(super) part: &'static str,
    /// How many of the images were trained on.
    pub(super) trained_on: TrainedOn,
    /// Indices of the networks' landmarks among those of the data set.
    pub(super) landmarks: Vec<usize>,
}

impl Task {
    /// The images that the command line chooses, read as these networks see images.
    pub(super) fn new(flags: &cli::Eval, predictor: &Predictor) -> Result<Self> {
        let mut task = chosen(flags, predictor)?;
        // Networks of different ranges are judged on the data set as it shows itself.
        if let Ok(DeepGrey::Fixed(range)) = predictor.deep_grey() {
            if let Some(other) = task.opened.grey().filter(|other| *other != range) {
                note!(
                    "warning: the data set shows grey values from {} to {}, the networks were trained on those from {} to {}; \
                     images of more than 8 bits are shown by the latter, others as they are",
                    other.low,
                    other.high,
                    range.low,
                    range.high
                );
            }
            task.opened = task.opened.shown_by(range);
        }
        task.opened = task.opened.read_in(predictor.channels()?)?;
        task.landmarks = predict::landmark_indices(predictor.landmarks(), &task.opened.landmarks())?;
        Ok(task)
    }

    /// Number of images that were trained on; `None` if that is not known of every network.
    pub(super) fn trained_images(&self) -> Option<usize> {
        (self.trained_on.unknown == 0).then_some(self.trained_on.images)
    }
}

/// Selects the images, and the networks for each.
fn chosen(flags: &cli::Eval, predictor: &Predictor) -> Result<Task> {
    let folder = flags.dataset.as_deref();
    if flags.held_out {
        let (opened, images) = held_out_images(predictor, folder)?;
        let chosen = predictor.descriptions().filter(|d| d.epoch < d.config.epochs).count();
        if chosen > 0 {
            let of = counted(predictor.descriptions().len(), "network");
            note!(
                "note: {chosen} of {of} are of an epoch before the last, chosen on these very images: that flatters; \
                 last.safetensors does not"
            );
        }
        let folds = predictor.descriptions().any(|d| d.config.dataset.split.folds.is_some());
        if let Some(note) = uneven(&opened, &images).filter(|_| folds) {
            note!("note: {note}");
        }
        let trained_on = trained_on(predictor, &opened, folder, &images)?;
        warn_of_training_images(predictor, &images, trained_on, false);
        return Ok(Task { opened, images, part: "held out", trained_on, landmarks: Vec::new() });
    }
    let Some(first) = predictor.descriptions().next() else { return Err(Error::input("no checkpoint is named")) };
    let trained = &first.config.dataset;
    let opened = match folder {
        Some(path) => DatasetIndex::untrained(path)?,
        None => trained.open().map_err(|e| e.remedy("name its folder with --dataset"))?,
    };
    let (part, wanted): (_, &[Split]) = match flags.split {
        Part::Train => ("of split train", &[Split::Train]),
        Part::Val => ("of split val", &[Split::Val]),
        Part::Test => ("of split test", &[Split::Test]),
        Part::All => ("of all splits", &Split::ALL),
    };
    let all = opened.images();
    let members: Vec<usize> = (0..predictor.descriptions().len()).collect();
    let images: Vec<EvaluatedImage> = all
        .iter()
        .enumerate()
        .filter(|(_, (_, split))| wanted.contains(split))
        .map(|(index, _)| EvaluatedImage { index, members: members.clone() })
        .collect();
    if images.is_empty() {
        let count = |split: &Split| all.iter().filter(|(_, s)| s == split).count();
        let [train, val, test] = Split::ALL.each_ref().map(count);
        return Err(Error::input(format!("the data set has no image {part}")).remedy(format!(
            "it has {train} of train, {val} of val and {test} of test; choose with --split train, val, test or all"
        )));
    }
    let trained_on = trained_on(predictor, &opened, folder, &images)?;
    if flags.split != Part::Train {
        warn_of_training_images(predictor, &images, trained_on, true);
    }
    Ok(Task { opened, images, part, trained_on, landmarks: Vec::new() })
}

/// Warns of images that were trained on, on which the error is too small.
fn warn_of_training_images(predictor: &Predictor, images: &[EvaluatedImage], found: TrainedOn, has_remedy: bool) {
    let networks = counted(predictor.descriptions().len(), "network");
    if found.images > 0 {
        let remedy = if has_remedy { "; --held-out has each image scored by networks that did not see it" } else { "" };
        note!(
            "warning: {} of {} were trained on, by {} of {networks}: on these the error is smaller than on new images{remedy}",
            found.images,
            counted(images.len(), "image"),
            found.members
        );
    }
    if found.unknown > 0 {
        note!(
            "warning: whether these images were trained on is not known of {} of {networks}: the checkpoint does not name its \
             training images, and its data set is not where it was",
            found.unknown
        );
    }
}

/// Why a score of held-out images is not that of a cross-validation: folds, or seeds of some folds, are missing.
fn uneven(opened: &DatasetIndex, images: &[EvaluatedImage]) -> Option<String> {
    let counts = || images.iter().map(|image| image.members.len());
    let (least, most) = (counts().min()?, counts().max()?);
    let trained = opened.images().iter().filter(|(_, split)| *split != Split::Test).count();
    if images.len() < trained {
        let left = trained - images.len();
        return Some(format!("{left} of {} were held out by none of these networks", counted(trained, "image")));
    }
    (least < most).then(|| {
        let few = counts().filter(|count| *count < most).count();
        format!(
            "{few} of {} are judged by fewer networks than others: {least} to {most}",
            counted(images.len(), "image")
        )
    })
}
