//! `sweep data label`: labels images by trained networks, so that another network learns from them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::{say, use_threads};
use crate::cli::Label;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_core::units::{ErrorUnit, Point, Size, Spacing};
use sweep_data::folder::{self, AddedImage, Labels};
use sweep_data::pictures::{self, Photograph};
use sweep_data::{DatasetIndex, DatasetSpec, Sample, Split};
use sweep_training::device;
use sweep_training::predict::held_out::{EvaluatedImage, trained_on};
use sweep_training::predict::{Found, Prediction, Predictor, prefetch};

pub(super) fn run(flags: &Label) -> Result<Outcome> {
    if !(0.0..=1.0).contains(&flags.share) {
        return Err(Error::input(format!("{} is no share", flags.share))
            .at("--share")
            .remedy("use a number from 0, for marks alone, to 1, for predictions alone"));
    }
    use_threads(flags.inference.threads)?;
    let (device, _) = device::open(flags.inference.device)?;
    let mut predictor = Predictor::load(&flags.checkpoints, flags.inference.views(), &device)?;
    let index = DatasetSpec::folder(&flags.dir).open()?.read_in(predictor.channels()?)?;
    check_landmarks(&predictor, &index)?;
    check_held_out(&predictor, &index, &flags.dir)?;

    let mut known = KnownSizes::default();
    let labels = relabelled(&mut predictor, &index, flags.share, &mut known)?;
    let (added, left_out) =
        if flags.images.is_empty() { (Vec::new(), Vec::new()) } else { added(&mut predictor, &index, flags, &known)? };
    for (file, why) in &left_out {
        note!("note: {file} is left out: {why}");
    }
    folder::relabelled_copy(&flags.dir, &flags.out, &labels, &added)?;
    let more = if flags.images.is_empty() {
        String::new()
    } else {
        format!(", {} images added, {} left out", added.len(), left_out.len())
    };
    say(&format!("{}: labels of {} training images{more}", flags.out.display(), labels.len()))?;
    Ok(Outcome::Done)
}

/// Refuses networks that find no landmark of the data set.
fn check_landmarks(predictor: &Predictor, index: &DatasetIndex) -> Result<()> {
    let names: BTreeSet<String> = index.landmarks().into_iter().collect();
    if predictor.landmarks().iter().any(|name| names.contains(name)) {
        return Ok(());
    }
    Err(Error::input("the networks find none of the landmarks of this data set")
        .at("--checkpoint")
        .remedy("use networks that were trained on landmarks of the same names"))
}

/// Refuses networks that were trained on an image that validates or tests here: what they learned from it would reach the
/// network that learns from their labels, and its error there would be too small.
fn check_held_out(predictor: &Predictor, index: &DatasetIndex, dir: &Path) -> Result<()> {
    let members = members(predictor);
    let judged = [Split::Val, Split::Test].into_iter().flat_map(|split| index.indices(split));
    let judged: Vec<EvaluatedImage> = judged.map(|index| EvaluatedImage { index, members: members.clone() }).collect();
    let found = trained_on(predictor, index, Some(dir), &judged)?;
    if found.images > 0 {
        let what = format!(
            "{} validation or test images of this data set trained a network whose labels would train another: its error on \
             them would be too small",
            found.images
        );
        return Err(Error::input(what)
            .at("--checkpoint")
            .remedy("use networks that were trained on this split's training images, or on other images"));
    }
    if found.unknown > 0 {
        note!(
            "warning: whether validation images trained the networks is not known: a checkpoint does not name its images"
        );
    }
    Ok(())
}

/// Sizes of the images, and the spacing that all images of a size share.
#[derive(Default)]
struct KnownSizes(BTreeMap<(usize, usize), Option<Spacing>>);

impl KnownSizes {
    fn add(&mut self, sample: &Sample) {
        let key = (sample.size.height, sample.size.width);
        let shared = self.0.entry(key).or_insert(sample.spacing);
        if *shared != sample.spacing {
            *shared = None;
        }
    }

    fn of(&self, size: Size) -> Option<Spacing> {
        self.0.get(&(size.height, size.width)).copied().flatten()
    }
}

/// The labels of all training images.
fn relabelled(
    predictor: &mut Predictor,
    index: &DatasetIndex,
    share: f64,
    known: &mut KnownSizes,
) -> Result<BTreeMap<String, Labels>> {
    let (all, names) = (members(predictor), index.landmarks());
    let mut labels = BTreeMap::new();
    prefetch(
        &index.indices(Split::Train),
        |image| index.originals(&[*image]),
        |_, samples| {
            for mut sample in samples? {
                known.add(&sample);
                let picture = Photograph { size: sample.size, pixels: std::mem::take(&mut sample.pixels) };
                let found = predictor.predict_batch(&all, &[picture])?.into_iter().next().unwrap_or_default();
                let found = predictor.landmarks().iter().zip(found);
                let of = |(name, found): (&String, Prediction)| {
                    let marked = sample.landmarks[names.iter().position(|of| of == name)?];
                    let blend = |mark: f64, found: f64| mark + share * (found - mark);
                    let label = marked
                        .map_or(found.at, |mark| Point { x: blend(mark.x, found.at.x), y: blend(mark.y, found.at.y) });
                    Some((name.clone(), label))
                };
                labels.insert(sample.image, found.filter_map(of).collect());
            }
            Ok(true)
        },
    )?;
    Ok(labels)
}

fn members(predictor: &Predictor) -> Vec<usize> {
    (0..predictor.descriptions().len()).collect()
}

/// A file that is not added, and why.
type LeftOut = (String, String);

/// The images to add, and those that cannot be.
fn added(
    predictor: &mut Predictor,
    index: &DatasetIndex,
    flags: &Label,
    known: &KnownSizes,
) -> Result<(Vec<AddedImage>, Vec<LeftOut>)> {
    let (all, reader) = (members(predictor), predictor.reader()?);
    let names: BTreeSet<String> = index.landmarks().into_iter().collect();
    let mut taken: BTreeSet<String> = index.images().into_iter().map(|(name, _)| name).collect();
    let shared = folder::shared_spacing(&flags.dir)?;
    let is_metric = index.unit() == ErrorUnit::Millimetres;
    let (mut added, mut left_out) = (Vec::new(), Vec::new());
    prefetch(
        &pictures::files(&flags.images)?,
        |file| reader.open(file),
        |file, picture| {
            let mut leave = |why: String| left_out.push((file.display().to_string(), why));
            let (picture, shown) = match picture {
                Ok(picture) => picture,
                Err(error) => {
                    leave(error.message);
                    return Ok(true);
                }
            };
            let spacing = shown.spacing.or_else(|| known.of(picture.size));
            if is_metric && spacing.is_none() {
                leave("its size of a pixel is not known, and that of no image of its size".to_owned());
                return Ok(true);
            }
            if shared
                .zip(spacing)
                .is_some_and(|(all, own)| (own.x / all.x).ln().abs().max((own.y / all.y).ln().abs()) > 1e-3)
            {
                leave("its pixels are of another size than those of all images of the data set".to_owned());
                return Ok(true);
            }
            if shown.orientation.is_turned() {
                leave("it is stored turned".to_owned());
                return Ok(true);
            }
            let found = predictor.predict_and_judge(&all, std::slice::from_ref(&picture), &[spacing])?;
            let Some(Found { landmarks, judgement }) = found.into_iter().next() else { return Ok(true) };
            if judgement.is_some_and(|judgement| judgement.unlike) {
                leave("it is unlike the images that trained the networks".to_owned());
                return Ok(true);
            }
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("added/{name}");
            if !taken.insert(name.clone()) {
                leave("another image has its name".to_owned());
                return Ok(true);
            }
            let labels = predictor.landmarks().iter().zip(landmarks).filter(|(name, _)| names.contains(*name));
            let labels = labels.map(|(name, found)| (name.clone(), found.at)).collect();
            added.push(AddedImage { file: file.clone(), name, labels, spacing: spacing.filter(|_| is_metric) });
            Ok(true)
        },
    )?;
    Ok((added, left_out))
}
