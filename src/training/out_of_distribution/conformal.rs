//! One p-value from the scores of several features.

use serde::Serialize;

use super::{Feature, FeatureScores};

/// The share of images like the validation images that may be called unlike, where enough of those are known.
const FALSE_ALARMS: f64 = 0.01;
/// The spread of a feature's scores reaches from their median to this quantile.
const UPPER: f64 = 0.9;
/// An image that lies within one spread of the median in every feature is never unlike.
const LEAST_UNITS: f64 = 1.0;
/// Results of another batch or device differ by rounding: a validation image itself must not be called unlike for it.
const SLACK: f64 = 1.01;

/// How an image compares with the images of a training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Whether it is unlike them.
    pub unlike: bool,
    /// How unlike: 1 is the limit, greater is less like.
    pub score: f64,
    /// The share of validation images, and itself, that are no more like the training images.
    pub p: f64,
    /// The probability of calling an image of the validation images' source unlike, at most.
    pub false_alarm_rate: f64,
    /// Properties in which it differs, the greatest difference first.
    pub differs: Vec<Difference>,
}

/// A feature beyond what validation images show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The feature.
    pub feature: Feature,
    /// How it differs, in a few words.
    pub detail: String,
}

/// Judges an image by its scores and those of validation images, of which there is at least one.
pub(super) fn judgement(validation: &[FeatureScores], own: FeatureScores) -> Judgement {
    let spreads: Vec<[f64; 2]> = Feature::ALL.iter().map(|feature| spread(validation, own, *feature)).collect();
    let units = |scores: &FeatureScores| -> [f64; Feature::ALL.len()] {
        std::array::from_fn(|f| (f64::from(scores[f]) - spreads[f][0]) / spreads[f][1])
    };
    let greatest = |units: [f64; Feature::ALL.len()]| units.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let own = units(&own);
    let mut others: Vec<f64> = validation.iter().map(|scores| greatest(units(scores))).collect();
    others.sort_unstable_by(|a, b| b.total_cmp(a));

    let all = validation.len() as f64 + 1.0;
    // So many of n + 1 images are called unlike; one at least, or none would ever be.
    let alarms = (FALSE_ALARMS * all).floor().max(1.0);
    let limit = others.get(alarms as usize - 1).copied().unwrap_or_default().max(LEAST_UNITS) * SLACK;
    let most = greatest(own);
    let no_less = others.iter().filter(|other| **other * SLACK >= most).count() as f64;
    let mut differs: Vec<(f64, Feature)> =
        own.into_iter().zip(Feature::ALL).filter(|(units, _)| *units > limit).collect();
    differs.sort_by(|a, b| b.0.total_cmp(&a.0));
    Judgement {
        unlike: most > limit,
        score: most / limit,
        p: (1.0 + no_less) / all,
        false_alarm_rate: alarms / all,
        differs: differs.into_iter().map(|(_, feature)| Difference { feature, detail: String::new() }).collect(),
    }
}

/// Median and spread of a feature's scores, the image's own among them.
fn spread(validation: &[FeatureScores], own: FeatureScores, feature: Feature) -> [f64; 2] {
    let mut scores: Vec<f64> =
        validation.iter().chain([&own]).map(|scores| f64::from(scores[feature as usize])).collect();
    scores.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| scores[((scores.len() - 1) as f64 * share).round() as usize];
    let median = at(0.5);
    [median, (at(UPPER) - median).max(feature.least_spread())]
}
