//! Parameters to start from, out of a file that PyTorch or this program wrote.
//!
//! A file is a state dict, tensors by name: safetensors, or what `torch.save` writes, a zip archive with a pickle in it.
//! A pickle is a program; it is read as data, nothing in it is run, and what is no tensor is passed over.

mod file;
mod matching;
mod pth;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};

pub use file::StateDict;
pub use matching::{Matching, check, matching, start};

/// Which file, and whose names its tensors have: a tensor `STRIP.NAME` becomes the parameter `PREFIX.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// The file. What it holds, not where it lies, is part of a trial's identity.
    pub path: PathBuf,
    /// Put before a tensor's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Taken away from the start of a tensor's name before that; tensors without it are not used. Dictionaries in
    /// dictionaries have names with dots, as `state_dict.conv1.weight`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strip: String,
    /// What becomes of tensors whose shape is not the parameter's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mismatched: Mismatched,
}

/// What becomes of tensors of another shape than their parameter's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mismatched {
    /// An error that lists them.
    #[default]
    Refuse,
    /// Their parameters start as without a file.
    Skip,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl WeightsSpec {
    /// What the types do not say.
    ///
    /// # Errors
    /// The key with an impossible value is the error's place.
    pub fn check(&self) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::definition("no file to take weights from")
                .at("weights.path")
                .remedy("name a .safetensors or .pth file"));
        }
        Ok(())
    }

    /// The file's tensors.
    ///
    /// # Errors
    /// When it cannot be read, or is no state dict.
    pub fn read(&self) -> Result<StateDict> {
        StateDict::read(&self.path)
    }
}

#[cfg(test)]
mod tests;
