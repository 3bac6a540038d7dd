//! `sweep export weights`: a checkpoint without the tensors that only training needs.

use std::collections::BTreeMap;
use std::path::Path;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{DType, Tensor};

use crate::cli::WeightType;
use sweep_core::error::{Error, Outcome, Result};
use sweep_data::Source;
use sweep_experiment::store;
use sweep_graph::tensors;
use sweep_training::checkpoint::{self, Description};
use sweep_training::predict;

use super::super::say;

pub(super) fn write(checkpoint: &Path, output: &Path, dtype: WeightType) -> Result<Outcome> {
    let read = predict::read(checkpoint)?;
    let weights: BTreeMap<String, Tensor> = read
        .weights
        .into_iter()
        .map(|(name, weights)| Ok((name.clone(), converted(&weights, dtype).map_err(|e| e.at(&name))?)))
        .collect::<Result<_>>()?;
    // The file cannot be resumed, and paths on this machine are private.
    let mut description = Description { mid_epoch: None, ..read.description };
    if let Source::Folder { path } = &mut description.config.dataset.source
        && let Some(name) = path.file_name()
    {
        *path = name.into();
    }
    let bytes = checkpoint::encode_tensors(&description, &weights)?;
    store::write(output, &bytes)?;
    let values: usize = weights.values().map(Tensor::elem_count).sum();
    say(&format!("{}: {values} numbers, {:.1} MB", output.display(), bytes.len() as f64 / 1e6))?;
    Ok(Outcome::Done)
}

/// Converts weights of convolutions to another type. Scales, shifts and running statistics stay as they are: they are few,
/// and half precision lacks their range.
fn converted(weights: &Tensor, dtype: WeightType) -> Result<Tensor> {
    if dtype == WeightType::F32 || weights.rank() < 2 {
        return weights.to_dtype(DType::F32).computed();
    }
    let half = weights.to_dtype(DType::F16).computed()?;
    let back = half.to_dtype(DType::F32).computed()?.flatten_all().computed()?;
    if !tensors::read(&back, |values: &[f32]| Ok(values.iter().all(|v| v.is_finite()))).computed()? {
        return Err(Error::input("a weight is too large for half precision").remedy("use --dtype f32"));
    }
    Ok(half)
}
