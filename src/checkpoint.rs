//! Checkpoints: safetensors files of weights under PyTorch's names, and of all that training needs to go on exactly.
//!
//! There is no random state to keep: every generator is derived from the seed and the epoch.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::config::TrialConfig;
use crate::error::{Error, Result};
use crate::optim::Optimizer;
use crate::params::ParamStore;
use crate::store;

/// What a checkpoint says about itself, kept as JSON in the file's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of this description.
    pub version: u32,
    /// Trial id.
    pub trial: String,
    /// Epochs done.
    pub epoch: u32,
    /// Optimiser steps done.
    pub steps: u64,
    /// Landmark names in the order of the network's maps.
    pub landmarks: Vec<String>,
    /// Everything else needed to use or continue the network.
    pub config: TrialConfig,
}

/// The one key of the metadata: one, because a map of several would be written in random order.
const METADATA: &str = "landmark-sweep";
/// Put before the names of optimiser moments.
const OPTIMIZER: &str = "optimizer.";

/// Saves the weights, and the optimiser's state if given, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save(
    path: &Path,
    description: &Description,
    parameters: &ParamStore,
    optimizer: Option<&Optimizer>,
) -> Result<()> {
    let mut tensors = parameters.named()?;
    if let Some(optimizer) = optimizer {
        tensors.extend(optimizer.state().into_iter().map(|(name, moment)| (format!("{OPTIMIZER}{name}"), moment)));
    }
    let unwritable = |what: String| Error::results(format!("cannot write a checkpoint: {what}")).at(path.display());
    let json = serde_json::to_string(description).map_err(|e| unwritable(e.to_string()))?;
    let metadata = HashMap::from([(METADATA.to_owned(), json)]);
    let bytes = safetensors::serialize(&tensors, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
    store::write(path, &bytes)
}

/// A checkpoint read back.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// What it says about itself.
    pub description: Description,
    /// Weights by name.
    pub weights: BTreeMap<String, Tensor>,
    /// Optimiser moments by name; empty in a file of weights only.
    pub moments: BTreeMap<String, Tensor>,
}

/// Reads a checkpoint.
///
/// # Errors
/// When the file cannot be read, is cut off, or is not one of ours.
pub fn load(path: &Path) -> Result<Checkpoint> {
    let bytes = store::read(path)?;
    let unreadable = |what: String| {
        Error::results(format!("not a readable checkpoint: {what}"))
            .at(path.display())
            .remedy("delete it and the trial starts again, or train it again with --rerun")
    };
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| unreadable(e.to_string()))?;
    let json =
        header.metadata().as_ref().and_then(|m| m.get(METADATA)).ok_or_else(|| unreadable("no description".into()))?;
    let description: Description = serde_json::from_str(json).map_err(|e| unreadable(e.to_string()))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| unreadable(e.to_string()))?;
    let (mut weights, mut moments) = (BTreeMap::new(), BTreeMap::new());
    for (name, tensor) in tensors.into_iter().collect::<BTreeMap<_, _>>() {
        match name.strip_prefix(OPTIMIZER) {
            Some(moment) => moments.insert(moment.to_owned(), tensor),
            None => weights.insert(name, tensor),
        };
    }
    Ok(Checkpoint { description, weights, moments })
}
