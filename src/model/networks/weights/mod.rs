//! Initial weights from a file that PyTorch or this program wrote.
//!
//! A file is a state dict, tensors by name: safetensors, or the output of `torch.save`, a zip archive with a pickle in
//! it. A pickle is a program; it is read as data, nothing in it is run, and objects other than tensors are ignored.

mod file;
mod matching;
mod pth;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};

pub use file::StateDict;
pub use matching::{Matching, check, matching, start};

/// A file, and how its tensors are renamed: a tensor `STRIP.NAME` becomes the parameter `PREFIX.NAME`, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// The file. Its content, not its path, is part of a trial's identity.
    pub path: PathBuf,
    /// Put before a tensor's name; a list gives every tensor to several parameters, as those of both stages.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prefix: Prefix,
    /// Removed from the start of a tensor's name before that; tensors without it are not used. Tensors in nested
    /// dictionaries have names with dots, for example `state_dict.conv1.weight`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strip: String,
    /// Treatment of tensors whose shape differs from the parameter's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mismatched: Mismatched,
    /// Epochs at the start in which the parameters from the file are not trained.
    #[serde(default, skip_serializing_if = "is_default")]
    pub freeze: u32,
    /// Factor of the learning rate of the parameters from the file.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub lr_factor: f64,
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_one(factor: &f64) -> bool {
    factor.to_bits() == 1f64.to_bits()
}

/// What is put before a tensor's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Prefix {
    /// One text.
    One(String),
    /// Several, each in turn.
    Several(Vec<String>),
}

impl Default for Prefix {
    fn default() -> Self {
        Self::One(String::new())
    }
}

impl Prefix {
    /// All of them.
    fn all(&self) -> &[String] {
        match self {
            Self::One(prefix) => std::slice::from_ref(prefix),
            Self::Several(prefixes) => prefixes,
        }
    }
}

/// Treatment of tensors whose shape differs from their parameter's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mismatched {
    /// An error lists them.
    #[default]
    Refuse,
    /// Their parameters start as without a file.
    Skip,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl WeightsSpec {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// When a key has an impossible value; the key is the error's location.
    pub fn check(&self) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::definition("no file to take weights from")
                .at("weights.path")
                .remedy("name a .safetensors or .pth file"));
        }
        if let Prefix::Several(prefixes) = &self.prefix
            && (prefixes.is_empty() || (1..prefixes.len()).any(|i| prefixes[..i].contains(&prefixes[i])))
        {
            return Err(Error::definition("a list of prefixes that is empty, or has one twice")
                .at("weights.prefix")
                .remedy("list each prefix once, for example [\"coarse.encoder.\", \"fine.encoder.\"]"));
        }
        if !(self.lr_factor >= 0.0 && self.lr_factor.is_finite()) {
            return Err(Error::definition(format!("lr_factor is {}", self.lr_factor))
                .at("weights.lr_factor")
                .remedy("use a number from 0, which never trains these parameters, for example 0.1"));
        }
        Ok(())
    }

    /// Reads the file's tensors.
    ///
    /// # Errors
    /// When it cannot be read, or is not a state dict.
    pub fn read(&self) -> Result<StateDict> {
        StateDict::read(&self.path)
    }
}

#[cfg(test)]
mod tests;
