//! State dicts as files.
#![expect(clippy::disallowed_methods, reason = "one of the places that read files")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use sweep_graph::params::is_countable;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use super::pth;
use sweep_core::error::{Error, Result};

/// Tensors by name, in single precision.
#[derive(Debug, Clone)]
pub struct StateDict {
    /// Tensors of floating-point numbers.
    pub tensors: BTreeMap<String, Tensor>,
    /// Names of all other entries: tensors of other types, and in pickles objects that are not tensors.
    pub others: Vec<String>,
    /// A hash (hexadecimal) of the file's bytes.
    pub content: String,
}

impl StateDict {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is not a state dict; the error's location is the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::decode(&bytes(path)?).map_err(|e| e.at(path.display()))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are damaged or not a state dict.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let (tensors, others) = match bytes {
            [b'P', b'K', ..] => pth::decode(bytes)?,
            _ if bytes.starts_with(&pth::MAGIC) => pth::decode(bytes)?,
            _ => safetensors(bytes)?,
        };
        Ok(Self { tensors, others, content: blake3::hash(bytes).to_hex().to_string() })
    }
}

/// Most bytes of a file of weights.
const LARGEST: u64 = 16 << 30;
/// Most bytes of what has no length, as a pipe or a device.
const LARGEST_STREAM: u64 = 1 << 28;

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let remedy = "name a .safetensors or .pth file; a relative path starts where sweep is run";
    let failed = |e: io::Error| Error::input(format!("cannot read weights: {e}")).at(path.display()).remedy(remedy);
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let most = if about.is_file() { LARGEST } else { LARGEST_STREAM };
    let mut bytes = Vec::new();
    if about.len() <= most {
        file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if about.len() > most || bytes.len() as u64 > most {
        let what = format!("larger than {} MiB, which no file of weights is", most >> 20);
        return Err(Error::input(what).at(path.display()).remedy(remedy));
    }
    Ok(bytes)
}

fn safetensors(bytes: &[u8]) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| {
        Error::input(format!("neither a safetensors file nor one of torch.save: {e}"))
            .remedy("it may be damaged: fetch it anew, or save it again")
    })?;
    let (mut tensors, mut others) = (BTreeMap::new(), Vec::new());
    for (name, view) in file.tensors() {
        let Ok(dtype) = DType::try_from(view.dtype()) else {
            others.push(name);
            continue;
        };
        if !is_countable(view.shape()) {
            return Err(Error::input("its dimensions are beyond what is stored").at(format!("tensor `{name}`")));
        }
        if dtype.is_float() {
            let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu).computed()?;
            tensors.insert(name, tensor.to_dtype(DType::F32).computed()?);
        } else {
            others.push(name);
        }
    }
    others.sort();
    Ok((tensors, others))
}
