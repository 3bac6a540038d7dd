//! `dataset.toml`: what it may say, and its reader.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::read_text;
use crate::normalise::Normaliser;
use crate::picture::{DeepGrey, GreyRange};
use crate::relative_path::relative_path;
use sweep_core::error::{Error, Result};
use sweep_core::measures::{Measure, Measures};
use sweep_core::units::Spacing;

/// The file that makes a folder a data set.
pub(crate) const HEADER: &str = "dataset.toml";

/// `dataset.toml`: images with landmarks in a folder, and a table that says which.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// Name of the data set in reports.
    pub(super) name: String,
    /// Folder of the images, from here.
    pub(super) images: String,
    /// CSV of the landmarks, from here: `image,split,NAME_x,NAME_y,…`, a row an image, in pixels of the image as viewers show it.
    pub(super) landmarks: String,
    /// Size of a pixel of every image in mm, where columns `spacing_x_mm` and `spacing_y_mm` do not say each image's own. Where
    /// nothing says it, errors are in pixels.
    pub(super) spacing_mm: Option<Spacing>,
    /// Mean distance in mm between two people who marked the same landmarks: the floor to judge a training by.
    pub(super) observer_mre_mm: Option<f64>,
    /// Checks of `sweep data inspect` that are off where their value is `false`: see [`OPTIONAL_CHECKS`].
    #[serde(default)]
    pub(super) inspect: BTreeMap<String, bool>,
    /// Values of images of more than 8 bits that become black and white; without it, each image has its own.
    pub(super) grey: Option<GreyRange>,
    /// A length of every image by which its errors are divided, for NME and PCK.
    pub(super) normalise: Option<Normaliser>,
    /// Landmarks that change sides when an image is mirrored, in pairs, for `augment.flip`; an empty list if none does.
    pub(super) flip_pairs: Option<Vec<[String; 2]>>,
    /// A set of measures by name; `isbi2015` has the eight of the cephalometric challenge of ISBI 2015.
    pub(super) measure_set: Option<String>,
    /// Angles, distances, ratios and projections of landmarks, by name: what the landmarks are marked for.
    #[serde(default)]
    pub(super) measures: BTreeMap<String, Measure>,
}

/// Checks of an inspection that `[inspect]` in `dataset.toml` may turn off; whatever would stop a sweep stays on.
pub const OPTIONAL_CHECKS: [&str; 12] = [
    "coordinates",
    "displaced",
    "duplicate",
    "film",
    "flat",
    "leakage",
    "mirrored",
    "pixel-size",
    "same-coordinates",
    "swapped",
    "transposed",
    "turned",
];

/// JSON Schema of `dataset.toml`.
#[must_use]
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<Header>()
}

impl Header {
    /// Its measures, on a data set of these landmarks, and the names of those of its set that the landmarks do not suffice for.
    ///
    /// # Errors
    /// Names the key, and the nearest name.
    pub(super) fn all_measures(&self, landmarks: &[String]) -> Result<(Measures, Vec<String>)> {
        let own = Measures::new(self.measures.clone())?;
        own.check_landmarks(landmarks)?;
        match &self.measure_set {
            Some(set) => own.with_set(set, landmarks),
            None => Ok((own, Vec::new())),
        }
    }
}

/// Reads `dataset.toml`.
///
/// # Errors
/// When it is missing, or something in it is wrong.
pub(super) fn read_header(dir: &Path) -> Result<Header> {
    let path = dir.join(HEADER);
    let location = path.display();
    if !path.is_file() {
        return Err(Error::input(format!("not a data set: there is no {HEADER}")).at(dir.display()).remedy(
            "name the folder that holds dataset.toml; `sweep data import` makes one from other formats, \
             `sweep data synth` from nothing",
        ));
    }
    let text = read_text(&path)?;
    let header: Header = toml::from_str(&text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        Error::input(e.message().to_owned()).at(format!("{location}: line {line}")).remedy(
            "the keys are name, images, landmarks, spacing_mm = { x, y }, observer_mre_mm, normalise = { by = … }, \
             flip_pairs, grey = { low, high }, inspect, measure_set and measures",
        )
    })?;
    for (key, value) in [("images", &header.images), ("landmarks", &header.landmarks)] {
        relative_path(value).map_err(|e| e.at(format!("{location}: key `{key}`")))?;
    }
    if let Some(unknown) = header.inspect.keys().find(|check| !OPTIONAL_CHECKS.contains(&check.as_str())) {
        return Err(Error::input(format!("`{unknown}` is not a check that can be turned off"))
            .at(format!("{location}: key `inspect`"))
            .remedy(format!("the checks are {}", OPTIONAL_CHECKS.join(", "))));
    }
    if header.spacing_mm.is_some_and(|s| !s.is_valid()) {
        return Err(Error::input("spacing must be positive")
            .at(format!("{location}: key `spacing_mm`"))
            .remedy("millimetres per pixel, e.g. spacing_mm = { x = 0.1, y = 0.1 }"));
    }
    if header.observer_mre_mm.is_some_and(|e| !e.is_finite() || e < 0.0) {
        return Err(Error::input("an error in millimetres is a number from 0")
            .at(format!("{location}: key `observer_mre_mm`"))
            .remedy("leave the key out where the error between observers is not known"));
    }
    if header.grey.is_some_and(|grey| !grey.is_valid()) {
        return Err(Error::input("the value of black must be less than that of white")
            .at(format!("{location}: key `grey`"))
            .remedy("values of images of more than 8 bits, e.g. grey = { low = 0.0, high = 4095.0 }"));
    }
    Ok(header)
}

/// The range of deep images that a header says.
pub(super) fn deep_grey(grey: Option<GreyRange>) -> DeepGrey {
    grey.map_or(DeepGrey::Own, DeepGrey::Fixed)
}
