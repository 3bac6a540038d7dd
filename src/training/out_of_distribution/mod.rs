//! Out-of-distribution detection: whether an image is unlike those that a network was trained on, and in what.
//!
//! A checkpoint keeps [`TrainingImages`]: how up to 128 training images look, and the scores of up to 400 validation images.
//! An image has a score for each [`Feature`]; grey values and layout are judged by the distance to the nearest training image
//! (Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", on plain features).
//!
//! The scores become one by conformal prediction (Vovk et al. 2005): among the validation images' scores and the image's own,
//! each feature is put in units of its spread, the greatest unit counts, and the share of images whose greatest unit is no
//! less is a p-value. An image of the same source as the validation images is wrongly called unlike with a probability of at
//! most 1 %, or of 1/(n+1) where fewer than 99 images validate: that holds for any network and any number of features,
//! because the rule treats all n+1 images alike. Without validation images (`dataset.refit`), every training image is judged
//! by the others instead, and the probability holds roughly.

use serde::{Deserialize, Serialize};

use sweep_core::error::Result;
use sweep_core::units::{Size, Spacing};
use sweep_data::Dataset;
use sweep_data::loader::Loader;

mod appearance;
mod clusters;
mod conformal;
#[cfg(test)]
mod measured;
#[cfg(test)]
mod tests;

use appearance::BYTES;

pub use appearance::Appearance;
pub use clusters::clusters;
pub use conformal::{Difference, Judgement};

/// As many training images are kept at most.
const REFERENCES: usize = 128;
/// As many validation images are kept at most.
const VALIDATION: usize = 400;
/// Fewer validation images than these say nothing: every tenth image would be called unlike.
pub const LEAST_VALIDATION: usize = 9;

/// A property in which an image may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Width to height.
    Aspect,
    /// Pixels, where there are fewer than the network reads.
    Resolution,
    /// Millimetres that the image shows.
    Extent,
    /// Histogram of the grey values.
    GreyValues,
    /// Where the image is bright and dark.
    Layout,
    /// Blur and noise.
    Sharpness,
    /// The network's confidence, where it is low.
    Confidence,
}

impl Feature {
    const ALL: [Self; 7] = [
        Self::Aspect,
        Self::Resolution,
        Self::Extent,
        Self::GreyValues,
        Self::Layout,
        Self::Sharpness,
        Self::Confidence,
    ];

    /// The least spread of its scores: differences of about this size are harmless, even where all validation images agree.
    fn least_spread(self) -> f64 {
        match self {
            Self::Aspect | Self::Layout => 0.02,
            Self::Resolution | Self::Extent | Self::Confidence => 0.1,
            Self::GreyValues => 0.01,
            Self::Sharpness => 0.5,
        }
    }
}

/// A score for each of [`Feature::ALL`]; from 0, greater is less like the training images.
type FeatureScores = [f32; Feature::ALL.len()];

/// Statistics in a checkpoint of the images that it was trained and validated on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingImages {
    /// Appearances of training images, in Base64.
    appearances: String,
    /// Least and greatest width to height.
    aspect: [f32; 2],
    /// The fewest pixels that the network read, as [`effective`] counts them.
    resolution: f32,
    /// Least and greatest extent in mm, where the size of pixels is known: the root of the area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extent_mm: Option<[f32; 2]>,
    /// Mean and standard deviation of the sharpness.
    sharpness: [f32; 2],
    /// Scores of validation images.
    validation: Vec<FeatureScores>,
}

/// An image as it is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenImage<'a> {
    /// Size of its file.
    pub(crate) size: Size,
    /// Millimetres per pixel, where known.
    pub(crate) spacing: Option<Spacing>,
    /// The network's input, `[C, H, W]` with values in [0, 1].
    pub(crate) planes: &'a [f32],
    /// H and W of the planes.
    pub(crate) input: Size,
    /// The network's mean confidence.
    pub(crate) confidence: f64,
}

impl TrainingImages {
    /// The images of two splits, the finest of whose pixels a network reads at the size `finest`; `None` without a training
    /// image. Validation images have no confidence yet.
    ///
    /// # Errors
    /// When a picture is lost.
    pub(crate) fn of(train: &Loader, val: &Loader, dataset: &Dataset, finest: Size) -> Result<Option<Self>> {
        let seen = |loader: &Loader| -> Result<Vec<Facts>> {
            let size = loader.size();
            loader
                .pictures()
                .map(|(index, picture)| {
                    let sample = &dataset.samples[index];
                    let appearance = Appearance::of(&picture?.pixels, size);
                    Ok(Facts::of(sample.size, sample.spacing, finest, appearance))
                })
                .collect()
        };
        let training = seen(train)?;
        let Some(first) = training.first() else { return Ok(None) };
        let range = |value: &dyn Fn(&Facts) -> f64| {
            let all = || training.iter().map(value);
            [all().fold(f64::INFINITY, f64::min) as f32, all().fold(f64::NEG_INFINITY, f64::max) as f32]
        };
        let count = training.len() as f64;
        let sharpness = || training.iter().map(|facts| facts.appearance.sharpness);
        let mean = sharpness().sum::<f64>() / count;
        let deviation = (sharpness().map(|s| (s - mean).powi(2)).sum::<f64>() / count).sqrt();
        let kept: Vec<Appearance> = evenly(training.len(), REFERENCES).map(|i| training[i].appearance).collect();
        let mut images = Self {
            appearances: base64::encode(kept.iter().flat_map(Appearance::bytes).collect::<Vec<u8>>()),
            aspect: range(&|facts| facts.aspect),
            resolution: range(&|facts| facts.resolution)[0],
            extent_mm: first.extent_mm.map(|_| range(&|facts| facts.extent_mm.unwrap_or(f64::NAN))),
            sharpness: [mean as f32, deviation as f32],
            validation: Vec::new(),
        };
        let validation = seen(val)?;
        images.validation = if validation.is_empty() {
            images.scores_among_themselves(&training)
        } else {
            let judged = evenly(validation.len(), VALIDATION).map(|i| &validation[i]);
            judged.map(|facts| images.scores(&kept, facts, 1.0)).collect()
        };
        Ok(Some(images))
    }

    /// Notes the network's mean confidence on every validation image, in order.
    pub(crate) fn note_confidences(&mut self, confidences: &[f64]) {
        let kept = evenly(confidences.len(), VALIDATION);
        for (scores, index) in self.validation.iter_mut().zip(kept) {
            scores[Feature::Confidence as usize] = doubt(confidences[index]);
        }
    }

    /// Confidences of an earlier epoch of the same training.
    pub(crate) fn take_confidences(&mut self, earlier: &Self) {
        for (scores, earlier) in self.validation.iter_mut().zip(&earlier.validation) {
            scores[Feature::Confidence as usize] = earlier[Feature::Confidence as usize];
        }
    }

    /// Scores of the training images that are kept, each by all others: without a validation image, as after
    /// `dataset.refit`, they show how far images of the same source lie apart. No confidence is known for them.
    fn scores_among_themselves(&self, training: &[Facts]) -> Vec<FeatureScores> {
        let kept: Vec<usize> = evenly(training.len(), REFERENCES).collect();
        let others = |left_out| {
            let others = kept.iter().filter(move |index| **index != left_out);
            others.map(|index| training[*index].appearance).collect::<Vec<_>>()
        };
        kept.iter().map(|index| self.scores(&others(*index), &training[*index], 1.0)).collect()
    }

    /// Scores of an image, by the training images that are kept.
    fn scores(&self, kept: &[Appearance], facts: &Facts, confidence: f64) -> FeatureScores {
        let nearest = |distance: &dyn Fn(&Appearance) -> f64| kept.iter().map(distance).fold(f64::INFINITY, f64::min);
        let [mean, deviation] = self.sharpness.map(f64::from);
        let score = |feature| match feature {
            Feature::Aspect => beyond(facts.aspect, self.aspect),
            Feature::Resolution => (f64::from(self.resolution) / facts.resolution).ln().max(0.0),
            Feature::Extent => match (facts.extent_mm, self.extent_mm) {
                (Some(extent), Some(range)) => beyond(extent, range),
                _ => 0.0,
            },
            Feature::GreyValues => nearest(&|other| facts.appearance.grey_distance(other)),
            Feature::Layout => nearest(&|other| facts.appearance.layout_distance(other)),
            Feature::Sharpness => (facts.appearance.sharpness - mean).abs() / deviation.max(0.01),
            Feature::Confidence => f64::from(doubt(confidence)),
        };
        Feature::ALL.map(|feature| finite(score(feature)))
    }

    /// A judge of images, if enough is known: enough validation images, and readable numbers.
    pub(crate) fn judge(&self, finest: Size) -> Option<Judge> {
        let bytes = base64::decode(&self.appearances).ok()?;
        let kept = bytes.chunks(BYTES).map(Appearance::from_bytes).collect::<Option<Vec<_>>>()?;
        let is_enough = self.validation.len() >= LEAST_VALIDATION && !kept.is_empty();
        is_enough.then(|| Judge { images: self.clone(), kept, finest })
    }

    /// Whether the network's confidence on validation images was noted. No confidence is exactly 1.
    fn knows_confidences(&self) -> bool {
        self.validation.iter().any(|scores| scores[Feature::Confidence as usize] > 0.0)
    }

    /// Number of validation images that judgements are made by.
    #[must_use]
    pub fn validation(&self) -> usize {
        self.validation.len()
    }
}

/// Judges images by what a checkpoint keeps of its training.
#[derive(Debug)]
pub(crate) struct Judge {
    images: TrainingImages,
    kept: Vec<Appearance>,
    finest: Size,
}

impl Judge {
    /// Whether an image is unlike the training images.
    pub(crate) fn judge(&self, image: SeenImage<'_>) -> Judgement {
        let appearance = Appearance::of(image.planes, image.input);
        let facts = Facts::of(image.size, image.spacing, self.finest, appearance);
        // Where no validation image has a confidence, this one's says nothing.
        let confidence = if self.images.knows_confidences() { image.confidence } else { 1.0 };
        let scores = self.images.scores(&self.kept, &facts, confidence);
        let mut judgement = conformal::judgement(&self.images.validation, scores);
        for difference in &mut judgement.differs {
            difference.detail = self.detail(difference.feature, &facts, image);
        }
        judgement
    }

    /// How an image differs, in a few words.
    fn detail(&self, feature: Feature, facts: &Facts, image: SeenImage<'_>) -> String {
        let images = &self.images;
        match feature {
            Feature::Aspect => {
                let [low, high] = images.aspect;
                format!("width to height {:.2}, in training {}", facts.aspect, range(low, high, 2))
            }
            Feature::Resolution => {
                let Size { width, height } = image.size;
                format!(
                    "{width}×{height} pixels, fewer than the network reads ({}×{})",
                    self.finest.width, self.finest.height
                )
            }
            Feature::Extent => {
                let [low, high] = images.extent_mm.unwrap_or_default();
                let extent = facts.extent_mm.unwrap_or_default();
                format!("shows an area of {extent:.0} mm squared, training images {} mm squared", range(low, high, 0))
            }
            Feature::GreyValues => {
                let means = || self.kept.iter().map(Appearance::mean_grey);
                let (low, high) = (means().fold(255.0, f64::min), means().fold(0.0, f64::max));
                let span = range(low as f32, high as f32, 0);
                format!(
                    "grey values are distributed otherwise (mean {:.0}, in training {span})",
                    facts.appearance.mean_grey()
                )
            }
            Feature::Layout => {
                "bright and dark parts lie elsewhere: turned, mirrored, cropped or of something else".to_owned()
            }
            Feature::Sharpness => {
                let blurred = facts.appearance.sharpness < f64::from(images.sharpness[0]);
                if blurred { "blurred" } else { "noisier or sharper" }.to_owned()
            }
            Feature::Confidence => {
                let doubts = || images.validation.iter().map(|scores| scores[Feature::Confidence as usize]);
                let least = (-doubts().fold(0.0, f32::max)).exp();
                format!("confidence {:.3}, on validation images at least {least:.3}", image.confidence)
            }
        }
    }
}

/// Measurements of an image, without the network's confidence.
#[derive(Debug, Clone, Copy)]
struct Facts {
    aspect: f64,
    resolution: f64,
    extent_mm: Option<f64>,
    appearance: Appearance,
}

impl Facts {
    fn of(size: Size, spacing: Option<Spacing>, finest: Size, appearance: Appearance) -> Self {
        let (width, height) = (size.width as f64, size.height as f64);
        Self {
            aspect: width / height,
            resolution: effective(size, finest),
            extent_mm: spacing.map(|spacing| (width * spacing.x * height * spacing.y).sqrt()),
            appearance,
        }
    }
}

/// How many pixels of an image a network reads at the size `finest`: a mean of width and height.
fn effective(size: Size, finest: Size) -> f64 {
    (size.width.min(finest.width) as f64 * size.height.min(finest.height) as f64).sqrt()
}

/// How far a positive number lies outside a range, as the logarithm of their ratio.
fn beyond(value: f64, [low, high]: [f32; 2]) -> f64 {
    let (low, high) = (f64::from(low), f64::from(high));
    (low / value).ln().max((value / high).ln()).max(0.0)
}

/// The score of a confidence.
fn doubt(confidence: f64) -> f32 {
    finite(-confidence.max(1e-6).ln())
}

/// JSON holds no infinite numbers.
fn finite(score: f64) -> f32 {
    score.clamp(0.0, 1e6) as f32
}

/// Indices of at most so many of `count` things, evenly distributed.
fn evenly(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let kept = count.min(most);
    (0..kept).map(move |i| i * count / kept.max(1))
}

/// Two numbers as a range, or one number where they are written alike.
fn range(low: f32, high: f32, digits: usize) -> String {
    let (low, high) = (format!("{low:.digits$}"), format!("{high:.digits$}"));
    if low == high { low } else { format!("{low} to {high}") }
}
