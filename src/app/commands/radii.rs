//! Radii of predictions: `sweep eval` calibrates and tests them, `sweep predict` gives them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json as object};

use super::eval::{Measured, Predicted};
use super::say;
use crate::cli::{self, Inference};
use sweep_analysis::format::counted;
use sweep_analysis::statistics::wilson;
use sweep_core::error::{Error, Result};
use sweep_core::note;
use sweep_core::units::{ErrorUnit, Size, Spacing};
use sweep_experiment::records::LandmarkRecord;
use sweep_experiment::store;
use sweep_training::out_of_distribution::Judgement;
use sweep_training::predict::Predictor;
use sweep_training::predict::held_out::TrainedOn;
use sweep_training::predict::radii::{COVERAGE, CalibratedNetworks, Coverage, Radii, Radius, ShiftedPrediction};

/// A landmark's radius in the output of `predict`: in mm, or in pixels where the calibration's images have no millimetres.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RadiusCells {
    #[serde(rename = "radius_90_mm")]
    pub(super) mm: Option<f64>,
    #[serde(rename = "radius_90_px")]
    pub(super) px: Option<f64>,
    /// Why there is none, or why it is wider or may be too small.
    #[serde(rename = "radius_note")]
    pub(super) note: Cow<'static, str>,
}

impl RadiusCells {
    /// The radius of a prediction.
    pub(super) fn of(radii: &Radii, landmark: &str, confidence: f64, judgement: Option<&Judgement>) -> Self {
        let Radius { radius, note, .. } = radii.radius(landmark, confidence, judgement);
        let in_unit = |unit: ErrorUnit| radius.filter(|_| radii.unit == unit);
        Self { mm: in_unit(ErrorUnit::Millimetres), px: in_unit(ErrorUnit::Pixels), note }
    }
}

/// Size of the evaluated images and of their pixels, as long as all have the same.
#[derive(Debug, Default)]
pub(super) struct SharedPicture {
    seen: usize,
    shared: Option<(Size, Spacing)>,
}

impl SharedPicture {
    pub(super) fn add(&mut self, size: Size, spacing: Option<Spacing>) {
        let own = spacing.map(|spacing| (size, spacing));
        if self.seen == 0 {
            self.shared = own;
        }
        self.shared = self.shared.filter(|shared| Some(*shared) == own);
        self.seen += 1;
    }
}

/// Reads radii that were calibrated for these networks.
pub(super) fn read(file: Option<&Path>, predictor: &Predictor, inference: &Inference) -> Result<Option<Radii>> {
    let Some(file) = file else { return Ok(None) };
    let radii = Radii::parse(&store::read_text(file)?).map_err(|e| e.at(file.display()))?;
    radii.check(&CalibratedNetworks::of(predictor, inference.tta, inference.both_stages, false))?;
    Ok(Some(radii))
}

/// Writes the radii of an evaluation to the file that `--calibrate` names; of one under shifts, with how much wider they are for
/// images unlike those of the training.
///
/// # Errors
/// When an image was trained on, or there are too few.
pub(super) fn calibrate(
    flags: &cli::Eval,
    predictor: &Predictor,
    measured: &Measured,
    images: String,
    trained_on: TrainedOn,
) -> Result<()> {
    let Some(file) = &flags.calibrate else { return Ok(()) };
    if trained_on.images > 0 {
        let what = format!("{} were trained on: their errors are too small", counted(trained_on.images, "image"));
        return Err(Error::input(what)
            .at("--calibrate")
            .remedy("calibrate on images that trained nothing: --split val or test, or --held-out"));
    }
    let chosen = predictor.descriptions().any(|d| d.epoch < d.config.epochs);
    if chosen && (flags.held_out || flags.split == cli::Part::Val) {
        note!(
            "note: an epoch before the last was chosen by its error on validation images; if these are they, the radii are \
             slightly too small. Test images, or last.safetensors, do not flatter"
        );
    }
    let Inference { tta, both_stages, .. } = flags.inference;
    let networks = CalibratedNetworks::of(predictor, tta, both_stages, flags.held_out);
    let radii = Radii::of(&measured.as_is.records, networks, images, measured.picture.shared)?;
    let judged: Vec<_> = measured.shifted.iter().map(|(_, of)| (&of.records, of.by_image())).collect();
    let shifted = judged.iter().flat_map(|(records, judgements)| {
        let of = move |record| ShiftedPrediction { record, judgement: judgement_of(judgements, record) };
        records.iter().map(of)
    });
    let radii = radii.widened_by(&shifted.collect::<Vec<_>>());
    let json = serde_json::to_string_pretty(&radii).map_err(|e| Error::results(e.to_string()))?;
    store::write(file, format!("{json}\n").as_bytes())?;
    note!("{}: radii of {}", file.display(), counted(radii.landmarks.len(), "landmark"));
    for class in &radii.unlike {
        note!(
            "{}: {:.1} times as wide for images unlike those of the training by a score of {:.1} to {:.1} ({})",
            file.display(),
            class.factor,
            class.above,
            class.up_to,
            counted(class.images, "image")
        );
    }
    if radii.unlike.is_empty() {
        let why = if flags.shifts { "no nine shifted images were" } else { "--shifts measures how much wider" };
        note!("note: images unlike those of the training get no radius: {why}");
    }
    Ok(())
}

/// The judgement of a prediction's image.
fn judgement_of<'a>(judgements: &BTreeMap<&str, &'a Judgement>, record: &LandmarkRecord) -> Option<&'a Judgement> {
    judgements.get(record.image.as_str()).copied()
}

/// How many errors lie within their radii.
pub(super) fn covered(radii: &Radii, predicted: &Predicted) -> Option<Coverage> {
    Coverage::of(radii, &predicted.records, &predicted.by_image())
}

/// The coverage's 95 % interval, per cent: Wilson's over images, since landmarks of one image err together.
fn interval(coverage: &Coverage) -> [f64; 2] {
    let images = coverage.images as f64;
    wilson(coverage.share * images, images).map(|end| 100.0 * end)
}

/// The coverage for `--json`.
pub(super) fn json(coverage: Option<&Coverage>) -> Value {
    coverage.map_or(Value::Null, |of| {
        object!({
            "promised": 100.0 * COVERAGE, "covered": 100.0 * of.share, "interval": interval(of), "images": of.images,
            "landmarks": of.landmarks, "mean_radius": of.mean_radius, "widened": of.widened, "refused": of.refused,
        })
    })
}

/// Prints the coverage, and warns where it is less than promised.
pub(super) fn print(coverage: Option<&Coverage>, unit: ErrorUnit) -> Result<()> {
    let Some(of) = coverage else { return Ok(()) };
    let ([low, high], promised) = (interval(of), 100.0 * COVERAGE);
    if of.landmarks > 0 {
        say(&format!(
            "radii: {:.1} % of {} lie within, 95 % interval {low:.1} to {high:.1} % (Wilson, {}); mean radius {:.2} {unit}",
            100.0 * of.share,
            counted(of.landmarks, "landmark"),
            counted(of.images, "image"),
            of.mean_radius
        ))?;
    }
    if of.widened + of.refused > 0 {
        say(&format!(
            "radii of images unlike those of the training: wider on {}, none on {}",
            counted(of.widened, "image"),
            counted(of.refused, "image")
        ))?;
    }
    if high < promised {
        note!(
            "warning: the radii hold less than the promised {promised:.0} %: these images differ from those of the calibration"
        );
    } else if of.share < COVERAGE {
        note!(
            "warning: less than the promised {promised:.0} % lie within; so many images do not tell whether by chance"
        );
    }
    Ok(())
}
