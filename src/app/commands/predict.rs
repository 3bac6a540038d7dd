//! `sweep predict`: landmarks of images by trained networks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use candle_core::Tensor;
use serde::Serialize;

use crate::cli;
use crate::overlay::{self, NamedLandmark};
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_core::note;
use sweep_core::units::{Point, Spacing};
use sweep_data::pictures::{self, Photograph, Shown};
use sweep_experiment::records;
use sweep_experiment::store;
use sweep_training::device;
use sweep_training::out_of_distribution::Judgement;
use sweep_training::predict::radii::Radii;
use sweep_training::predict::{Found, Prediction, Predictor, prefetch};

use super::radii::{self, RadiusCells};
use super::signals::stop_flag;
use super::unlike::UnlikeImages;
use super::{print, use_threads};

/// A landmark of an image: a row of the CSV.
#[derive(Serialize)]
struct Row<'a> {
    image: &'a str,
    landmark: &'a str,
    x: f64,
    y: f64,
    confidence: f64,
}

/// [`Row`] with a radius: a row of the CSV with `--radii`.
#[derive(Serialize)]
struct RowWithRadius<'a> {
    image: &'a str,
    landmark: &'a str,
    x: f64,
    y: f64,
    confidence: f64,
    radius_90_mm: Option<f64>,
    radius_90_px: Option<f64>,
    radius_note: &'a str,
}

/// A landmark that was found, with its radius if radii are asked for.
struct FoundLandmark {
    name: String,
    prediction: Prediction,
    radius: Option<RadiusCells>,
}

/// Checkpoints and images. Several checkpoints may follow one flag, and then images: the command line cannot tell these apart,
/// their names can.
fn apart(flags: &cli::Predict) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let is_image = |(place, path): &(usize, &PathBuf)| *place > 0 && pictures::are_images(path);
    let (images, checkpoints): (Vec<_>, Vec<_>) = flags.checkpoints.iter().enumerate().partition(is_image);
    let images: Vec<PathBuf> = images.into_iter().map(|(_, path)| path).chain(&flags.images).cloned().collect();
    if images.is_empty() {
        return Err(Error::input("no image is named").remedy("name image files, or folders of image files"));
    }
    Ok((checkpoints.into_iter().map(|(_, path)| path.clone()).collect(), images))
}

pub(super) fn predict(flags: &cli::Predict) -> Result<Outcome> {
    let signal = stop_flag()?;
    let (checkpoints, images) = apart(flags)?;
    let files = pictures::files(&images)?;
    let beside = |folder: &Option<PathBuf>, flag, ending| {
        folder.as_ref().map(|folder| outputs(folder, &files, flag, ending)).transpose()
    };
    let overlays = beside(&flags.overlay, "--overlay", "png")?;
    let heatmaps = beside(&flags.heatmaps, "--heatmaps", "safetensors")?;
    if heatmaps.is_some() && (checkpoints.len() > 1 || flags.inference.tta > 1) {
        return Err(Error::input("heatmaps are one network's of one look at a picture")
            .at("--heatmaps")
            .remedy("name one checkpoint, without --tta"));
    }
    use_threads(flags.inference.threads)?;
    let (device, _) = device::open(flags.inference.device)?;
    let mut predictor = Predictor::load(&checkpoints, flags.inference.views(), &device)?;

    let radii = radii::read(flags.radii.as_deref(), &predictor, &flags.inference)?;
    let (mut csv, mut unreadable, mut done) = (Vec::new(), 0usize, 0usize);
    let reader = predictor.reader()?;
    let all: Vec<usize> = (0..predictor.descriptions().len()).collect();
    let mut unlike = UnlikeImages::all_named(&predictor);
    let mut each = |file: &PathBuf, picture: Result<(Photograph, Shown)>| -> Result<bool> {
        match picture {
            Ok((picture, Shown { orientation, spacing, is_repeated, .. })) => {
                if orientation.is_turned() {
                    note!(
                        "note: {}: turned as its EXIF orientation ({}) asks; landmarks are in pixels of the turned image, as \
                         viewers show it",
                        file.display(),
                        orientation.exif()
                    );
                }
                if is_repeated {
                    note!(
                        "note: {}: grey, and the network was trained on colours: its grey values are taken for red, green and \
                         blue",
                        file.display()
                    );
                }
                let found = predictor.predict_and_judge(&all, std::slice::from_ref(&picture), &[spacing])?;
                let Some(Found { landmarks: found, judgement }) = found.into_iter().next() else { return Ok(false) };
                let image = file.display().to_string();
                unlike.add(&image, judgement.as_ref());
                let named = |(name, prediction): (&String, Prediction)| {
                    let of = |radii: &Radii| RadiusCells::of(radii, name, prediction.confidence, judgement.as_ref());
                    FoundLandmark { name: name.clone(), prediction, radius: radii.as_ref().map(of) }
                };
                let found: Vec<FoundLandmark> = predictor.landmarks().iter().zip(found).map(named).collect();
                let rows =
                    if flags.json { line(&image, &found, judgement)? } else { rows(&image, &found, csv.is_empty())? };
                csv.extend_from_slice(&rows);
                if flags.output.is_none() {
                    print(&rows)?;
                }
                if let Some(output) = heatmaps.as_ref().and_then(|heatmaps| heatmaps.get(file)) {
                    store::write(output, &serialised(&predictor.heatmaps(&picture)?)?)?;
                }
                if let Some(overlay) = overlays.as_ref().and_then(|overlays| overlays.get(file)) {
                    let pixel = radii.as_ref().and_then(|radii| radii.spacing(picture.size, spacing));
                    store::write(overlay, &drawn(&picture, &found, pixel)?)?;
                }
                done += 1;
            }
            // Other images may be readable.
            Err(error) => {
                note!("error: {error}");
                unreadable += 1;
            }
        }
        Ok(signal.load(Ordering::Relaxed) == 0)
    };
    let ended = prefetch(&files, |file| reader.open(file), &mut each);
    unlike.conclude();
    // Landmarks so far are written even after an error.
    if let Some(output) = flags.output.as_ref().filter(|_| done > 0) {
        store::write(output, &csv)?;
    }
    ended?;
    let stopped = signal.load(Ordering::Relaxed);
    if stopped != 0 && done + unreadable < files.len() {
        note!("stopped after {done} of {} images", files.len());
        return Ok(Outcome::Interrupted(i32::try_from(stopped).unwrap_or(15)));
    }
    if unreadable > 0 {
        return Err(Error::input(format!("{unreadable} of {} images could not be read", files.len()))
            .remedy("the landmarks of the others are there"));
    }
    Ok(Outcome::Done)
}

fn rows(image: &str, found: &[FoundLandmark], header: bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if found.iter().any(|of| of.radius.is_some()) {
        let rows = found.iter().map(|of| {
            let (Prediction { at: Point { x, y }, confidence }, landmark) = (of.prediction, &*of.name);
            let radius = of.radius.as_ref();
            let (radius_90_mm, radius_90_px) = (radius.and_then(|of| of.mm), radius.and_then(|of| of.px));
            let radius_note = radius.map_or("", |of| &*of.note);
            RowWithRadius { image, landmark, x, y, confidence, radius_90_mm, radius_90_px, radius_note }
        });
        records::write_csv(&rows.collect::<Vec<_>>(), header, &mut bytes)?;
    } else {
        let rows = found.iter().map(|of| {
            let (Prediction { at: Point { x, y }, confidence }, landmark) = (of.prediction, &*of.name);
            Row { image, landmark, x, y, confidence }
        });
        records::write_csv(&rows.collect::<Vec<_>>(), header, &mut bytes)?;
    }
    Ok(bytes)
}

/// An image as `--json` prints it.
#[derive(Serialize)]
struct ImageLine<'a> {
    image: &'a str,
    landmarks: Vec<LandmarkPosition<'a>>,
    /// Whether the image is like those of the training; null where that cannot be judged.
    out_of_distribution: Option<Judgement>,
}

/// A landmark of an image as `--json` prints it.
#[derive(Serialize)]
struct LandmarkPosition<'a> {
    landmark: &'a str,
    x: f64,
    y: f64,
    confidence: f64,
    #[serde(flatten)]
    radius: Option<RadiusCells>,
}

fn line(image: &str, found: &[FoundLandmark], judgement: Option<Judgement>) -> Result<Vec<u8>> {
    let landmarks = found.iter().map(|of| {
        let Prediction { at: Point { x, y }, confidence } = of.prediction;
        LandmarkPosition { landmark: &of.name, x, y, confidence, radius: of.radius.clone() }
    });
    let line = ImageLine { image, landmarks: landmarks.collect(), out_of_distribution: judgement };
    let mut bytes = serde_json::to_vec(&line).map_err(|e| Error::results(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Encodes tensors as a safetensors file.
fn serialised(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    safetensors::serialize(tensors, None).map_err(|e| Error::new(Kind::Computation, format!("cannot write maps: {e}")))
}

/// The output file of every image: its name with another extension, appended to its own if two names would be the same.
fn outputs(folder: &Path, files: &[PathBuf], flag: &str, ending: &str) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = |file: &Path| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut outputs: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for file in files {
        let alone = files.iter().filter(|other| stem(other) == stem(file)).count() == 1;
        let output = folder.join(format!("{}.{ending}", if alone { stem(file) } else { name(file) }));
        if outputs.values().any(|other| *other == output) {
            return Err(Error::input(format!("two images are called `{}`", name(file)))
                .at(flag)
                .remedy("predict them into two folders, one after the other"));
        }
        if files.iter().any(|image| same(image, &output)) {
            return Err(Error::input("what is written would replace the image")
                .at(output.display())
                .remedy(format!("name another folder with {flag}")));
        }
        outputs.insert(file.clone(), output);
    }
    Ok(outputs)
}

/// Whether two paths name the same existing file.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Draws the landmarks on the image, with their radii where the size of its pixels is known; PNG.
fn drawn(picture: &Photograph, found: &[FoundLandmark], pixel: Option<Spacing>) -> Result<Vec<u8>> {
    let mark = |of: &FoundLandmark| {
        let radius = of.radius.as_ref().and_then(|cells| cells.mm.or(cells.px)).zip(pixel);
        let radii = radius.map(|(radius, pixel)| [radius / pixel.x, radius / pixel.y]);
        NamedLandmark { name: of.name.clone(), x: of.prediction.at.x, y: of.prediction.at.y, radii }
    };
    overlay::overlay(picture.size, &picture.pixels, &found.iter().map(mark).collect::<Vec<_>>())
}
