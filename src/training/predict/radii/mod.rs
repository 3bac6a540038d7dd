//! Radii around predicted landmarks that hold the truth nine times in ten, by split conformal prediction.
//!
//! Of images that trained nothing, each landmark's error is divided by the network's doubt of it (1.5 less its confidence, fixed
//! beforehand); the radius of a new prediction is the ⌈(n + 1)·0.9⌉-th smallest of these n quotients, times the doubt of the
//! prediction (Vovk et al. 2005; Lei et al. 2018, normalised residuals). A new image of the same source lies within with a
//! probability of at least 90 %, whatever the network, since all n + 1 images are treated alike. Images held out by folds give
//! cross-conformal radii: their networks differ a little, so that the promise is approximate (Barber et al. 2021 prove 80 %).
//! They also serve a refit by the same recipe, which learnt from more images than the networks of the folds; those of an
//! ensemble serve the refits of all its members together.
//!
//! That promise is for images of the same source. For an image that is unlike those of the training, radii are widened
//! by what shifted images of the calibration needed at that distance, or there is none.

mod coverage;
mod far;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Predictor;
use crate::checkpoint::Description;
use crate::out_of_distribution::Judgement;
use sweep_core::error::{Error, Result};
use sweep_core::units::{ErrorUnit, Size, Spacing};
use sweep_experiment::records::LandmarkRecord;

pub use coverage::Coverage;
pub use far::{DistanceClass, ShiftedPrediction};

#[cfg(test)]
mod tests;

/// Share of the errors that radii promise to cover.
pub const COVERAGE: f64 = 0.9;
/// Version of the file.
const VERSION: u32 = 1;
/// Largest radius, in mm or pixels, that is believed.
const FARTHEST: f64 = 1e6;

/// Radii of the predictions of certain networks: the content of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radii {
    /// Version of this format.
    pub version: u32,
    /// The networks and how they predict.
    pub networks: CalibratedNetworks,
    /// Images that the radii are from, in words.
    pub images: String,
    /// The unit of the radii.
    pub unit: ErrorUnit,
    /// Size of the images and of their pixels, where all share them: tells the millimetres of images of that size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<(Size, Spacing)>,
    /// Radii by landmark.
    pub landmarks: BTreeMap<String, LandmarkRadius>,
    /// How much wider radii are for images unlike those of the training, by distance; empty where the calibration saw none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlike: Vec<DistanceClass>,
}

/// The networks of a calibration, and how their predictions are combined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedNetworks {
    /// Trial and epoch of each.
    pub checkpoints: Vec<String>,
    /// Views of each image.
    pub tta: usize,
    /// Whether both stages are combined.
    pub both_stages: bool,
    /// Whether each image was predicted by those that held it out.
    pub held_out: bool,
    /// [`TrialConfig::recipe`](sweep_planning::config::TrialConfig::recipe) of each network that predicts an image, sorted; empty
    /// where those of the folds differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<String>,
    /// Whether all trained on every image: `dataset.refit`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refit: bool,
}

/// A landmark's errors on the images of a calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandmarkRadius {
    /// Images on which it is marked.
    pub images: usize,
    /// The radius at a doubt of 1; absent with too few images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius: Option<f64>,
    /// The least confidence of the network in it.
    pub least_confidence: f64,
}

/// A radius, or why there is none, and what is to be known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Radius {
    /// In the unit of [`Radii::unit`].
    pub radius: Option<f64>,
    /// How much wider it is because the image is unlike those of the training; none if it is not.
    pub factor: Option<f64>,
    /// Why it is missing, wider or may be too small; empty where nothing is wrong.
    pub note: Cow<'static, str>,
}

/// How much larger a radius is where a network is less confident: from 0.5 to 1.5.
fn doubt(confidence: f64) -> f64 {
    if confidence.is_finite() { 1.5 - confidence.clamp(0.0, 1.0) } else { 1.0 }
}

/// The ⌈(n + 1)·share⌉-th smallest of n values; `None` where there are fewer.
fn conformal_quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    // Rounding may not add a rank.
    let rank = ((values.len() as f64 + 1.0) * share - 1e-9).ceil() as usize;
    values.get(rank.checked_sub(1)?).copied()
}

impl CalibratedNetworks {
    /// Those of a predictor.
    #[must_use]
    pub fn of(predictor: &Predictor, tta: usize, both_stages: bool, held_out: bool) -> Self {
        let mut checkpoints: Vec<String> = predictor.descriptions().map(Description::at_epoch).collect();
        checkpoints.sort();
        let refit = predictor.descriptions().all(|d| d.config.dataset.split.refit);
        Self { checkpoints, tta, both_stages, held_out, recipes: recipes(predictor.descriptions(), held_out), refit }
    }
}

/// The recipes of the networks that predict an image together, sorted. Those of held-out images are the networks of its fold.
fn recipes<'a>(networks: impl Iterator<Item = &'a Description>, held_out: bool) -> Vec<String> {
    let mut by_fold: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
    for network in networks {
        let fold = network.config.dataset.split.fold.filter(|_| held_out);
        by_fold.entry(fold).or_default().push(network.config.recipe());
    }
    let mut folds = by_fold.into_values().map(|mut recipes| {
        recipes.sort();
        recipes
    });
    let first = folds.next().unwrap_or_default();
    if folds.all(|other| other == first) { first } else { Vec::new() }
}

impl Radii {
    /// From predictions on images that trained none of the networks that predicted them. `picture` is the size of all these
    /// images and of their pixels, if they share them.
    ///
    /// # Errors
    /// When no landmark has enough images for a radius.
    pub fn of(
        records: &[LandmarkRecord],
        networks: CalibratedNetworks,
        images: String,
        picture: Option<(Size, Spacing)>,
    ) -> Result<Self> {
        let unit = records.first().map_or(ErrorUnit::default(), LandmarkRecord::unit);
        let mut errors: BTreeMap<&str, Vec<&LandmarkRecord>> = BTreeMap::new();
        for row in records.iter().filter(|row| row.error().is_finite()) {
            errors.entry(&row.landmark).or_default().push(row);
        }
        let radius = |rows: &Vec<&LandmarkRecord>| LandmarkRadius {
            images: rows.len(),
            radius: conformal_quantile(
                &mut rows.iter().map(|row| row.error() / doubt(row.confidence)).collect::<Vec<_>>(),
                COVERAGE,
            ),
            least_confidence: rows.iter().map(|row| row.confidence).fold(1.0, f64::min),
        };
        let landmarks: BTreeMap<String, LandmarkRadius> =
            errors.iter().map(|(name, rows)| ((*name).to_owned(), radius(rows))).collect();
        if landmarks.values().all(|of| of.radius.is_none()) {
            return Err(Error::input("no landmark is marked on nine images or more")
                .remedy("calibrate on more images: a radius for 90 % needs nine"));
        }
        Ok(Self { version: VERSION, networks, images, unit, picture, landmarks, unlike: Vec::new() })
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not such a file, or holds a number that no radius is.
    pub fn parse(text: &str) -> Result<Self> {
        let remedy = "make one with sweep eval --calibrate FILE";
        let wrong = |what: String| Error::input(what).remedy(remedy);
        let radii: Self = serde_json::from_str(text).map_err(|e| wrong(format!("not a file of radii: {e}")))?;
        if radii.version != VERSION {
            return Err(wrong(format!("the radii are of version {}, this program reads {VERSION}", radii.version)));
        }
        let is_wrong = |of: &LandmarkRadius| {
            of.radius.is_some_and(|radius| !(0.0..=FARTHEST).contains(&radius)) || !of.least_confidence.is_finite()
        };
        if let Some((name, _)) = radii.landmarks.iter().find(|(_, of)| is_wrong(of)) {
            return Err(wrong(format!("the radius of `{name}` is no distance")));
        }
        far::check(&radii.unlike).map_err(wrong)?;
        if radii.picture.is_some_and(|(_, spacing)| !spacing.is_valid()) {
            return Err(wrong("the size of a pixel is not positive".to_owned()));
        }
        Ok(radii)
    }

    /// Whether these networks are those of the calibration; of radii from held-out images, one or more of them, or refits by
    /// their recipes, one for each network of a fold.
    ///
    /// # Errors
    /// Says which differ.
    pub fn check(&self, other: &CalibratedNetworks) -> Result<()> {
        let wrong = |what: String| {
            Err(Error::input(what).at("--radii").remedy("calibrate these networks as they are used here"))
        };
        let own = &self.networks;
        let is_refit = own.held_out && other.refit && !own.recipes.is_empty() && own.recipes == other.recipes;
        let foreign = other.checkpoints.iter().find(|name| !is_refit && !own.checkpoints.contains(name));
        if let Some(foreign) = foreign {
            return wrong(format!("the radii were not calibrated for {foreign}"));
        }
        if !own.held_out && own.checkpoints.len() > other.checkpoints.len() {
            return wrong(format!("the radii are for {} networks together", own.checkpoints.len()));
        }
        if (own.tta, own.both_stages) != (other.tta, other.both_stages) {
            return wrong("the radii were calibrated with other settings of --tta or --both-stages".to_owned());
        }
        Ok(())
    }

    /// The radius of a prediction.
    #[must_use]
    pub fn radius(&self, landmark: &str, confidence: f64, judgement: Option<&Judgement>) -> Radius {
        let missing = |note: &'static str| Radius { radius: None, factor: None, note: note.into() };
        let Some(of) = self.landmarks.get(landmark) else {
            return missing("marked on no image of the calibration");
        };
        let Some(radius) = of.radius else {
            return missing("marked on fewer than nine images of the calibration");
        };
        let radius = radius * doubt(confidence);
        match far::factor(&self.unlike, judgement) {
            Ok(None) => {
                let note = if confidence < of.least_confidence {
                    "less confident than on any image of the calibration: may be too small"
                } else {
                    ""
                };
                Radius { radius: Some(radius), factor: None, note: note.into() }
            }
            Ok(Some(factor)) => Radius {
                radius: Some(radius * factor),
                factor: Some(factor),
                note: format!("the image is unlike those of the training: widened by {factor:.1}").into(),
            },
            Err(why) => missing(why),
        }
    }

    /// The size of a picture's pixels in the unit of the radii, where known: its own, or that of the calibration's images of the
    /// same size.
    #[must_use]
    pub fn spacing(&self, size: Size, own: Option<Spacing>) -> Option<Spacing> {
        if !self.unit.is_millimetres() {
            return Some(Spacing::ONE_PIXEL);
        }
        own.or_else(|| self.picture.filter(|(of, _)| *of == size).map(|(_, spacing)| spacing))
    }
}
