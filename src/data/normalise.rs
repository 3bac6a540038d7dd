//! Reference lengths: by what the errors of an image are divided, so that images and subjects of different size compare.
//!
//! The normalised mean error (NME) is the mean over landmarks of error / reference length, in per cent. The percentage of
//! correct keypoints (PCK@a) is the share of landmarks whose error is at most a reference lengths.
//!
//! - Faces: 300-W divides by the distance of the outer corners of the eyes, the inter-ocular distance (Sagonas et al., 300
//!   Faces In-The-Wild Challenge: database and results, Image and Vision Computing 47, 2016).
//! - PCK is by Yang and Ramanan (Articulated human detection with flexible mixtures of parts, PAMI 35, 2013), who divide by the
//!   larger side of the person's box, with a = 0.1 and 0.2. MPII has PCKh@0.5, in segments of the head (Andriluka et al.,
//!   CVPR 2014); animals are scored by PCK@0.05 to PCK@0.2 of a length of the body or of the box.
//!
//! Here a box is the smallest one around an image's marked landmarks, and its length is its diagonal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::Point;

/// The table `[normalise]` of `dataset.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    /// Definition of an image's reference length.
    pub by: Reference,
}

/// A reference length of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Reference {
    /// The distance of two landmarks, as the outer corners of the eyes.
    Landmarks([String; 2]),
    /// A length of the box around all marked landmarks.
    Box(BoxReference),
}

/// A length of the box around all marked landmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BoxReference {
    /// Its diagonal.
    BoundingBox,
}

impl Normaliser {
    /// Whether the data set has these landmarks.
    ///
    /// # Errors
    /// Its place is the key.
    pub fn check(&self, landmarks: &[String]) -> Result<()> {
        let Reference::Landmarks(both) = &self.by else { return Ok(()) };
        let wrong = |what: String| {
            Err(Error::input(what)
                .at("key `normalise.by`")
                .remedy(format!("name two of its landmarks: {}", landmarks.join(", "))))
        };
        if let Some(unknown) = both.iter().find(|name| !landmarks.contains(name)) {
            return wrong(format!("the data set has no landmark `{unknown}`"));
        }
        if both[0] == both[1] {
            return wrong(format!("`{}` is at no distance from itself", both[0]));
        }
        Ok(())
    }

    /// An image's reference length in pixels; `None` where it is not known or zero.
    #[must_use]
    pub fn length(&self, names: &[String], landmarks: &[Option<Point>]) -> Option<f64> {
        let length = match &self.by {
            Reference::Landmarks(both) => {
                let [a, b] = both.each_ref().map(|name| {
                    names.iter().position(|known| known == name).and_then(|k| landmarks.get(k).copied().flatten())
                });
                a?.distance(b?).0
            }
            Reference::Box(BoxReference::BoundingBox) => {
                let marked = || landmarks.iter().flatten();
                let extent = |of: fn(&Point) -> f64| {
                    let (low, high) = marked()
                        .map(of)
                        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
                    high - low
                };
                extent(|p| p.x).hypot(extent(|p| p.y))
            }
        };
        (length.is_finite() && length > 0.0).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Normaliser, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_length_is_that_of_two_landmarks_or_of_the_box() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let at = |x, y| Some(Point { x, y });
        let marks = [at(0.0, 0.0), at(3.0, 4.0), at(-9.0, 12.0)];
        let eyes = read("by = ['a', 'b']").unwrap();
        assert_eq!(eyes.length(&names, &marks), Some(5.0));
        assert_eq!(eyes.length(&names, &[at(0.0, 0.0), None, at(1.0, 1.0)]), None);
        assert_eq!(eyes.length(&names, &[at(1.0, 1.0), at(1.0, 1.0), None]), None, "no length");
        let whole = read("by = 'bounding-box'").unwrap();
        assert_eq!(whole.length(&names, &marks), Some(12f64.hypot(12.0)));
        assert_eq!(whole.length(&names, &[at(1.0, 1.0), None, None]), None);
    }

    #[test]
    fn landmarks_must_be_there() {
        let names = ["a", "b"].map(str::to_owned);
        assert!(read("by = ['a', 'b']").unwrap().check(&names).is_ok());
        let error = read("by = ['a', 'eye']").unwrap().check(&names).unwrap_err();
        assert!(error.message.contains("`eye`") && error.remedy.unwrap().contains("a, b"));
        assert!(read("by = ['a', 'a']").unwrap().check(&names).is_err());
        assert!(read("by = 'head'").is_err() && read("by = ['a']").is_err());
    }
}
