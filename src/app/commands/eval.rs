//! `sweep eval`: landmark error of trained networks on a data set.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::cli::{self, Part};
use sweep_analysis::format::{self, counted};
use sweep_analysis::scores::{Score, Scores};
use sweep_analysis::statistics::tau_b;
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_core::units::ErrorUnit;
use sweep_data::picture::DeepGrey;
use sweep_data::pictures::Photograph;
use sweep_data::{DatasetIndex, Sample, Split};
use sweep_experiment::provenance;
use sweep_experiment::records::{self, LandmarkRecord, Selection};
use sweep_experiment::store;
use sweep_training::device;
use sweep_training::evaluate::{LandmarkError, Normalised};
use sweep_training::predict::held_out::{Batch, EvaluatedImage, TrainedOn, batches, held_out_images, trained_on};
use sweep_training::predict::{self, Found, Predictor, prefetch};

use super::signals::stop_flag;
use super::unlike::UnlikeImages;
use super::{print_json, radii, say, use_threads};

/// Images to evaluate, and the networks for each.
struct Task {
    opened: DatasetIndex,
    images: Vec<EvaluatedImage>,
    /// Description of the images, for the output.
    part: &'static str,
    /// How many of the images were trained on.
    trained_on: TrainedOn,
}

impl Task {
    /// Number of images that were trained on; `None` if that is not known of every network.
    fn trained_images(&self) -> Option<usize> {
        (self.trained_on.unknown == 0).then_some(self.trained_on.images)
    }
}

pub(super) fn eval(flags: &cli::Eval) -> Result<Outcome> {
    let signal = stop_flag()?;
    use_threads(flags.inference.threads)?;
    let (device, _) = device::open(flags.inference.device)?;
    let mut predictor = Predictor::load(&flags.checkpoints, flags.inference.views(), &device)?;
    let mut task = task(flags, &predictor)?;
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
    let channels = predictor.channels()?;
    task.opened = task.opened.read_in(channels)?;
    let task = task;
    let landmarks = predict::landmark_indices(predictor.landmarks(), &task.opened.landmarks())?;

    let names = task.opened.landmarks();
    let (mut rows, mut evaluated, mut judgements) = (Vec::new(), 0usize, Vec::new());
    let (mut unlike, mut picture) = (UnlikeImages::few_named(&predictor), radii::SharedPicture::default());
    let read = |batch: &Batch| originals(&task.opened, &batch.images);
    prefetch(&batches(&predictor, &task.images)?, read, |batch, samples| {
        let (mut samples, mut pictures) = (samples?, Vec::new());
        for Sample { size, pixels, spacing, .. } in &mut samples {
            picture.add(*size, *spacing);
            pictures.push(Photograph { size: *size, pixels: std::mem::take(pixels) });
        }
        let spacings: Vec<_> = samples.iter().map(|sample| sample.spacing).collect();
        let found = predictor.predict_and_judge(&batch.members, &pictures, &spacings)?;
        for ((image, sample), Found { landmarks: found, judgement }) in batch.images.iter().zip(&samples).zip(found) {
            unlike.add(&sample.image, judgement.as_ref());
            judgements.push((*image, (sample.image.clone(), judgement)));
            for ((index, found), landmark) in landmarks.iter().zip(found).zip(predictor.landmarks()) {
                let Some(truth) = sample.landmarks[*index] else { continue };
                let reference = task.opened.normaliser().and_then(|by| by.length(&names, &sample.landmarks));
                let error =
                    LandmarkError::new([*image, *index], truth, found.at, found.confidence, sample.spacing, reference);
                rows.push((*image, record(&predictor, &batch.members, &sample.image, landmark, error)));
            }
        }
        evaluated += batch.images.len();
        Ok(signal.load(Ordering::Relaxed) == 0)
    })?;
    // In the order of the data set, whatever the order of batches.
    rows.sort_by_key(|(image, _)| *image);
    judgements.sort_by_key(|(image, _)| *image);
    let judgements: Vec<_> = judgements.into_iter().map(|(_, judgement)| judgement).collect();
    unlike.conclude();
    let records: Vec<LandmarkRecord> = rows.into_iter().map(|(_, record)| record).collect();

    if let Some(output) = &flags.output {
        let mut bytes = Vec::new();
        records::write_csv_in(task.opened.unit(), &records, true, &mut bytes)?;
        store::write(output, &bytes)?;
    }
    let stopped = signal.load(Ordering::Relaxed);
    if stopped == 0 {
        let images = format!("{} {} of {}", counted(evaluated, "image"), task.part, task.opened.name());
        radii::calibrate(flags, &predictor, &records, (images, &picture), task.trained_on)?;
    }
    if stopped != 0 && evaluated < task.images.len() {
        note!("stopped after {evaluated} of {} images", task.images.len());
        return Ok(Outcome::Interrupted(i32::try_from(stopped).unwrap_or(15)));
    }
    if records.is_empty() {
        return Err(Error::input("not one landmark is marked on these images, so there is nothing to measure"));
    }
    let scores = Scores::of(&records);
    let in_pixels = Scores::in_pixels(&records);
    let normalised = Normalised::of(records.iter().map(|r| (&r.image, r.error_px / r.reference_px)));
    let pairs: Vec<(f64, f64)> = records.iter().map(|r| (r.confidence, r.error())).collect();
    let confidence_tau = tau_b(&pairs);
    let coverage = radii::coverage(flags, &predictor, &records)?;
    if flags.json {
        let mut json = json(flags, &predictor, &task, [&scores, &in_pixels], normalised, confidence_tau);
        json["out_of_distribution"] = unlike.json(&judgements);
        json["radii"] = radii::json(coverage.as_ref());
        print_json(&json)?;
    } else {
        print(flags, &predictor, &task, &scores, normalised, confidence_tau)?;
        radii::print(coverage.as_ref(), task.opened.unit())?;
    }
    Ok(Outcome::Done)
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

/// Selects the images, and the networks for each.
fn task(flags: &cli::Eval, predictor: &Predictor) -> Result<Task> {
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
        return Ok(Task { opened, images, part: "held out", trained_on });
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
    Ok(Task { opened, images, part, trained_on })
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

fn record(predictor: &Predictor, by: &[usize], image: &str, landmark: &str, error: LandmarkError) -> LandmarkRecord {
    let members = || by.iter().filter_map(|member| predictor.descriptions().nth(*member));
    LandmarkRecord {
        trial: members().map(|d| d.trial.as_str()).collect::<Vec<_>>().join("+"),
        seed: members().next().map_or(0, |d| d.config.seed),
        epoch: members().next().map_or(0, |d| d.epoch),
        ..error.record(Selection::BestError, image, landmark)
    }
}

/// A score in one unit: keys end with its name.
fn in_keys(json: &mut Value, score: &Score, unit: ErrorUnit, is_known: bool) {
    let known = |value: Value| if is_known { value } else { Value::Null };
    json[format!("mre_{unit}")] = known(score.mre.point.into());
    json[format!("mre_interval_{unit}")] = known(score.mre.interval.to_vec().into());
    json[format!("sd_{unit}")] = known(score.sd.into());
    json[format!("median_{unit}")] = known(score.median.into());
    json[format!("p95_{unit}")] = known(score.p95.into());
    for (radius, rate) in unit.radii().iter().zip(&score.sdr) {
        let key = format!("sdr_{}{unit}", radius.to_string().replace('.', "_"));
        json[format!("{key}_interval")] = known(rate.interval.to_vec().into());
        json[key] = known(rate.point.into());
    }
}

fn json(
    flags: &cli::Eval,
    predictor: &Predictor,
    task: &Task,
    [scores, in_pixels]: [&Scores; 2],
    normalised: Normalised,
    confidence_tau: f64,
) -> Value {
    let is_mm = scores.unit.is_millimetres();
    let of = |score: &Score, in_pixels: &Score| {
        let mut json = json!({ "images": score.mre.n.images, "landmarks": score.mre.n.landmarks });
        in_keys(&mut json, score, ErrorUnit::Millimetres, is_mm);
        in_keys(&mut json, in_pixels, ErrorUnit::Pixels, true);
        json
    };
    let mut json = of(&scores.all, &in_pixels.all);
    json["unit"] = scores.unit.symbol().into();
    json["nme"] = normalised.nme.into();
    for (key, rate) in ["pck_05", "pck_10", "pck_20"].into_iter().zip(normalised.pck) {
        json[key] = rate.into();
    }
    json["dataset"] = task.opened.name().into();
    json["part"] = task.part.into();
    json["trained_on"] = task.trained_images().into();
    json["observer_mre_mm"] = task.opened.observer_mre().map(|e| e.0).into();
    json["confidence_tau"] = confidence_tau.into();
    json["tta"] = flags.inference.tta.into();
    json["both_stages"] = flags.inference.both_stages.into();
    json["checkpoints"] =
        predictor.descriptions().map(|d| json!({ "trial": d.trial, "epoch": d.epoch })).collect::<Vec<_>>().into();
    let named = |(score, in_pixels): (&Score, &Score)| {
        let mut json = of(score, in_pixels);
        json["landmark"] = score.name.clone().into();
        json
    };
    json["per_landmark"] = scores.landmarks.iter().zip(&in_pixels.landmarks).map(named).collect::<Vec<_>>().into();
    json
}

fn print(
    flags: &cli::Eval,
    predictor: &Predictor,
    task: &Task,
    scores: &Scores,
    normalised: Normalised,
    confidence_tau: f64,
) -> Result<()> {
    let (all, unit) = (&scores.all, scores.unit);
    let networks: Vec<String> =
        predictor.descriptions().map(|d| format!("{} after epoch {}", d.trial, d.epoch)).collect();
    let mut views =
        if flags.inference.tta > 1 { format!(", {} views each", flags.inference.tta) } else { String::new() };
    if flags.inference.both_stages {
        views.push_str(", both stages");
    }
    let trained = match task.trained_images() {
        Some(0) => String::new(),
        Some(images) => format!(" ({images} of them trained on)"),
        None => " (how many of them were trained on is not known)".to_owned(),
    };
    say(&format!(
        "{}: {} {}{trained}, {}{views}, by",
        task.opened.name(),
        counted(all.mre.n.images, "image"),
        task.part,
        counted(all.mre.n.landmarks, "landmark")
    ))?;
    for network in networks {
        say(&format!("  {network}"))?;
    }
    say("")?;
    let width = scores.landmarks.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).max("landmark".len());
    let radii = unit.radii().map(|radius| format!("{:>8}", format!("≤{radius} {unit}"))).join(" ");
    say(&format!("{:width$}  MRE {unit}  {:14}  SD {unit}  median  {radii}", "landmark", "95 % interval"))?;
    for score in std::iter::once(all).chain(&scores.landmarks) {
        let sdr = score.sdr.each_ref().map(|rate| format!("{:>8}", format!("{:.1} %", rate.point))).join(" ");
        say(&format!(
            "{:width$}  {:>6}  {:14}  {:>5}  {:>6}  {sdr}",
            score.name,
            format::mm(score.mre.point),
            format::interval(&score.mre, format::mm),
            format::mm(score.sd),
            format::mm(score.median),
        ))?;
    }
    say("")?;
    let rate = format::interval(&all.sdr[0], |rate| format!("{rate:.1}"));
    if !rate.is_empty() {
        let radius = unit.radii()[0];
        say(&format!("within {radius} {unit}: {:.1} %, 95 % interval {rate} %", all.sdr[0].point))?;
    }
    if normalised.nme.is_finite() {
        let [pck_05, pck_10, pck_20] = normalised.pck.map(|rate| format!("{rate:.1} %"));
        say(&format!(
            "in reference lengths: NME {:.2} %, PCK@0.05 {pck_05}, PCK@0.1 {pck_10}, PCK@0.2 {pck_20}",
            normalised.nme
        ))?;
    }
    if let Some(floor) = task.opened.observer_mre() {
        say(&format!("observers differ by {} mm from one another", format::mm(floor.0)))?;
    }
    if confidence_tau.is_finite() {
        say(&format!(
            "confidence and error: Kendall's τ {} (−1: the surer, the nearer)",
            format::signed(confidence_tau, 2)
        ))?;
    }
    say("intervals: bootstrap of images; they say nothing about training again")
}
