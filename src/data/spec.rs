//! Definition of a trial's data set: the source of its images and their split.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use sweep_core::error::Result;
use sweep_core::registry::Custom;

use crate::Channels;
use crate::custom::CustomDataset;
use crate::dataset::Dataset;
use crate::flips::Sides;
use crate::index::{DatasetContent, DatasetIndex};
use crate::phantom::PhantomSpec;
use crate::source::ImageSource;
use crate::split::SplitSpec;

/// A trial's images: where they come from, and which of them train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSpec {
    /// Which images train and which validate. (Its keys are taken out of the table first: what is left must all be the
    /// source's.)
    #[serde(flatten)]
    pub split: SplitSpec,
    /// Values of a pixel that networks see: 1, grey, or 3, red, green and blue.
    #[serde(default, skip_serializing_if = "Channels::is_grey")]
    pub channels: Channels,
    /// Where the images come from.
    #[serde(flatten)]
    pub source: Source,
}

impl JsonSchema for DatasetSpec {
    fn schema_name() -> Cow<'static, str> {
        "DatasetSpec".into()
    }

    /// The schema of [`Source`], each variant extended by the keys of [`SplitSpec`] and by `channels`.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (mut source, split) = (Source::json_schema(generator), SplitSpec::json_schema(generator));
        let mut keys = split.get("properties").and_then(|keys| keys.as_object()).cloned().unwrap_or_default();
        let mut channels = Channels::json_schema(generator);
        channels.insert(
            "description".into(),
            "Values of a pixel that networks see: 1, grey, or 3, red, green and blue.".into(),
        );
        channels.insert("default".into(), 1.into());
        keys.insert("channels".into(), channels.to_value());
        let variants = source.get_mut("oneOf").and_then(|variants| variants.as_array_mut());
        for variant in variants.into_iter().flatten() {
            if let Some(own) = variant.get_mut("properties").and_then(|own| own.as_object_mut()) {
                own.extend(keys.clone());
            }
        }
        source
    }
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Made-up radiographs with exactly known landmarks.
    Phantom(PhantomSpec),
    /// A data-set folder, see [`crate::folder`].
    Folder {
        /// The folder that holds `dataset.toml`.
        path: PathBuf,
    },
    /// One of the program's own, see [`CustomDataset`].
    Custom(Custom<dyn CustomDataset>),
}

impl Default for DatasetSpec {
    fn default() -> Self {
        Source::Phantom(PhantomSpec::default()).into()
    }
}

impl From<Source> for DatasetSpec {
    /// Split as the source says.
    fn from(source: Source) -> Self {
        Self { split: SplitSpec::default(), channels: Channels::default(), source }
    }
}

impl DatasetSpec {
    /// A data-set folder, split as it says.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Source::Folder { path: path.into() }.into()
    }

    /// Whether its keys are possible; reads no file.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        self.split.check()?;
        self.source.implementation().check(&self.split)
    }

    /// Reads everything but pixels.
    ///
    /// # Errors
    /// See [`DatasetSpec::check`] and [`folder::read`](crate::folder::read); a split that leaves nothing to train or to
    /// evaluate on.
    pub fn open(&self) -> Result<DatasetIndex> {
        self.check()?;
        let index = DatasetIndex::new(self.source.implementation().open(&self.split)?, &self.split)?;
        index.read_in(self.channels)
    }

    /// Draws or reads the images.
    ///
    /// # Errors
    /// See [`DatasetSpec::open`] and [`DatasetIndex::load`].
    pub fn load(&self) -> Result<Dataset> {
        self.open()?.load()
    }

    /// The part of it that enters a trial's identity.
    ///
    /// # Errors
    /// As [`DatasetSpec::content_hash`].
    pub fn content(&self) -> Result<DatasetContent> {
        let opened = self.open()?;
        let (unit, is_normalised) = (opened.unit(), opened.normaliser().is_some());
        let sides = Sides { landmarks: opened.landmarks(), flip_pairs: opened.flip_pairs().map(<[_]>::to_vec) };
        let measures = opened.measures()?;
        Ok(DatasetContent { hash: opened.content_hash()?, unit, is_normalised, sides, measures })
    }

    /// [`DatasetIndex::content_hash`].
    ///
    /// # Errors
    /// Same errors as [`DatasetSpec::load`], except for those inside images.
    pub fn content_hash(&self) -> Result<String> {
        self.open()?.content_hash()
    }
}

impl Source {
    /// The only dispatch over sources: a new source is a variant, an arm here and a file that implements [`ImageSource`].
    fn implementation(&self) -> &dyn ImageSource {
        match self {
            Self::Phantom(spec) => spec,
            Self::Folder { path } => path,
            Self::Custom(custom) => custom,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_name_a_data_set_and_refuse_unknown_keys() {
        let read = toml::from_str::<DatasetSpec>;
        assert_eq!(read("name = 'folder'\npath = 'a/b'").unwrap(), DatasetSpec::folder("a/b"));
        assert!(read("name = 'phantom'\ntrain = 4\nval = 2\nheight = 100\nwidth = 80").is_ok());
        assert!(read("name = 'folder'\npath = 'a'\ncolour = 1").unwrap_err().message().contains("colour"));
        let phantom = "name = 'phantom'\ntrain = 4\nval = 2\nheight = 100\nwidth = 80\ncolour = 1";
        assert!(read(phantom).unwrap_err().message().contains("colour"));
        assert!(read("name = 'cloud'").unwrap_err().message().contains("cloud"));
        assert!(DatasetSpec::folder("").load().is_err());
        let colour = read("name = 'folder'\npath = 'a'\nchannels = 3").unwrap();
        assert_eq!(colour, DatasetSpec { channels: Channels::Colour, ..DatasetSpec::folder("a") });
        let text = toml::to_string(&colour).unwrap();
        assert_eq!(read(&text).unwrap(), colour);
        assert!(!toml::to_string(&DatasetSpec::folder("a")).unwrap().contains("channels"));
        assert!(read("name = 'folder'\npath = 'a'\nchannels = 4").unwrap_err().message().contains("4 channels"));
        let phantom = DatasetSpec { channels: Channels::Colour, ..DatasetSpec::default() };
        assert_eq!(phantom.open().unwrap_err().location.as_deref(), Some("channels"));
    }
}
