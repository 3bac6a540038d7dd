//! Standardises a network's input: every channel less its mean, divided by its standard deviation.
//!
//! Networks that were trained on `ImageNet` expect its mean and deviation. They are torchvision's, of red, green and blue
//! from 0 to 1 (`torchvision.transforms.Normalize` in the recipes of its weights). What augmentation leaves black is black
//! before it is standardised, as there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Channels;
use sweep_core::error::{Error, Result};

/// Mean and standard deviation of every channel, for values from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StandardiseSpec {
    /// `ImageNet`'s, of images in colour.
    Imagenet,
    /// One of each per channel.
    Values {
        /// Means.
        mean: Vec<f64>,
        /// Standard deviations, above 0.
        deviation: Vec<f64>,
    },
}

impl StandardiseSpec {
    /// Means of the channels.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        match self {
            Self::Imagenet => vec![0.485, 0.456, 0.406],
            Self::Values { mean, .. } => mean.clone(),
        }
    }

    /// Standard deviations of the channels.
    #[must_use]
    pub fn deviation(&self) -> Vec<f64> {
        match self {
            Self::Imagenet => vec![0.229, 0.224, 0.225],
            Self::Values { deviation, .. } => deviation.clone(),
        }
    }

    /// Whether it suits images of these channels.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self, channels: Channels) -> Result<()> {
        let count = channels.count();
        if *self == Self::Imagenet && channels.is_grey() {
            return Err(Error::definition("ImageNet's mean and deviation are of three colours, and images are read in grey")
                .at("name")
                .remedy("set dataset.channels = 3, or say the grey values' own: { name = \"values\", mean = [0.4], deviation = [0.2] }"));
        }
        for (key, values) in [("mean", self.mean()), ("deviation", self.deviation())] {
            if values.len() != count {
                return Err(Error::definition(format!("{} numbers for {count} channels", values.len()))
                    .at(key)
                    .remedy(format!("say {count}, one per channel")));
            }
            let is_possible = |value: &f64| value.is_finite() && (key == "mean" || *value > 0.0);
            if let Some(value) = values.iter().find(|value| !is_possible(value)) {
                return Err(Error::definition(format!("{value} is no {key}"))
                    .at(key)
                    .remedy("values of a pixel reach from 0 to 1; a standard deviation is above 0"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_a_mean_and_a_deviation() {
        let read = |text: &str| toml::from_str::<StandardiseSpec>(text).unwrap();
        let place = |text: &str, channels| read(text).check(channels).unwrap_err().location.unwrap();
        assert_eq!(read("name = 'imagenet'").check(Channels::Colour), Ok(()));
        assert_eq!(place("name = 'imagenet'", Channels::Grey), "name");
        let grey = "name = 'values'\nmean = [0.4]\ndeviation = [0.2]";
        assert_eq!(read(grey).check(Channels::Grey), Ok(()));
        assert_eq!(place(grey, Channels::Colour), "mean");
        assert_eq!(place("name = 'values'\nmean = [0.4]\ndeviation = [0.0]", Channels::Grey), "deviation");
        assert_eq!(place("name = 'values'\nmean = [nan]\ndeviation = [1.0]", Channels::Grey), "mean");
        assert!(toml::from_str::<StandardiseSpec>("name = 'coco'").is_err());
    }
}
