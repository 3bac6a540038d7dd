//! Checkpoints: safetensors files of weights under PyTorch's names, with all that training needs to resume exactly.
//!
//! Checkpoints hold no random state: every generator is derived from the seed, the epoch and the image, so that epoch and
//! step determine the position in every random stream and in the learning rate's schedule.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::out_of_distribution::TrainingImages;
use sweep_core::error::{Error, Kind, Result};
use sweep_data::picture::GreyRange;
use sweep_experiment::provenance;
use sweep_experiment::store::{self, TrialStore};
use sweep_graph::params::{ParamStore, check_shapes, is_countable};
use sweep_model::networks::Stage;
use sweep_planning::config::TrialConfig;

/// Description of a checkpoint, stored as JSON in the file's metadata.
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
    /// Progress within the next epoch.
    #[serde(default, rename = "within", skip_serializing_if = "Option::is_none")]
    pub mid_epoch: Option<MidEpoch>,
    /// Landmark names in the order of the network's maps.
    pub landmarks: Vec<String>,
    /// Landmarks that no training image had; the network's predictions of them mean nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<String>,
    /// Hash of the split that was trained on, [`sweep_data::split_hash`]; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Values of images of more than 8 bits that were black and white in training; absent where each image had its own range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grey: Option<GreyRange>,
    /// Statistics of the training's images; absent in files of earlier versions and of other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_images: Option<TrainingImages>,
    /// Short hashes of the images that were trained on, one after the other
    /// ([`sweep_data::DatasetIndex::image_hashes`]); empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub training_image_hashes: String,
    /// Everything else needed to use or continue the network.
    pub config: TrialConfig,
}

impl Description {
    /// Description of a trial before its first step.
    #[must_use]
    pub fn start(trial: &str, config: &TrialConfig, landmarks: &[String]) -> Self {
        Self {
            version: 2,
            trial: trial.to_owned(),
            epoch: 0,
            steps: 0,
            mid_epoch: None,
            landmarks: landmarks.to_vec(),
            untrained: Vec::new(),
            split: None,
            grey: None,
            training_images: None,
            training_image_hashes: String::new(),
            config: config.clone(),
        }
    }

    /// Landmarks that the network predicts: those that it was trained on.
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        let untrained: BTreeSet<&String> = self.untrained.iter().collect();
        self.landmarks.iter().filter(|name| !untrained.contains(name)).cloned().collect()
    }
}

/// Progress within an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MidEpoch {
    /// Batches trained on.
    pub batches: usize,
    /// Bits of the sum of their losses, because decimal digits may round.
    loss_bits: u64,
    /// Images in that sum.
    pub images: usize,
}

impl MidEpoch {
    /// Progress after these numbers of batches and images, whose losses have this sum.
    #[must_use]
    pub fn new(batches: usize, loss: f64, images: usize) -> Self {
        Self { batches, loss_bits: loss.to_bits(), images }
    }

    /// Sum of losses.
    #[must_use]
    pub fn loss(self) -> f64 {
        f64::from_bits(self.loss_bits)
    }
}

/// The metadata: the description, and the hash of the whole file with [`BLANK`] instead of the hash.
#[derive(Serialize, Deserialize)]
struct Metadata {
    blake3: String,
    description: Description,
}

/// The only key of the metadata: a map of several keys would be written in random order.
const METADATA: &str = "landmark-sweep";
/// Prefix of the names of tensors that only training needs.
const OPTIMIZER: &str = "optimizer.";
/// As long as a hash.
const BLANK: [u8; 64] = [b'-'; 64];

/// Encodes a checkpoint from the weights that predict, and in `state` the tensors that resuming needs beside them.
///
/// # Errors
/// Never in practice; tensors are sliced and serialised.
pub fn encode(description: &Description, parameters: &ParamStore, state: BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let mut tensors = parameters.named()?;
    tensors.extend(state.into_iter().map(|(name, values)| (format!("{OPTIMIZER}{name}"), values)));
    encode_tensors(description, &tensors)
}

/// Encodes weights of any number type as a checkpoint that can predict but not resume.
///
/// # Errors
/// Same errors as [`encode`].
pub fn encode_tensors(description: &Description, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let unwritable = |what: String| Error::results(format!("cannot make a checkpoint: {what}"));
    let blank = String::from_utf8_lossy(&BLANK).into_owned();
    let metadata = Metadata { blake3: blank, description: description.clone() };
    let json = serde_json::to_string(&metadata).map_err(|e| unwritable(e.to_string()))?;
    let metadata = HashMap::from([(METADATA.to_owned(), json)]);
    let mut bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
    let hash = blake3::hash(&bytes).to_hex();
    let start =
        find(header(&bytes), &BLANK).ok_or_else(|| unwritable("its metadata has no space for the hash".into()))?;
    bytes[start..start + BLANK.len()].copy_from_slice(hash.as_bytes());
    Ok(bytes)
}

/// A checkpoint under another trial's name and configuration.
///
/// # Errors
/// Same errors as [`encode`].
pub(crate) fn renamed(checkpoint: Checkpoint, trial: &str, config: &TrialConfig) -> Result<Vec<u8>> {
    let description = Description { trial: trial.to_owned(), config: config.clone(), ..checkpoint.description };
    let state = checkpoint.state.into_iter().map(|(name, values)| (format!("{OPTIMIZER}{name}"), values));
    let tensors: BTreeMap<String, Tensor> = checkpoint.weights.into_iter().chain(state).collect();
    encode_tensors(&description, &tensors)
}

/// Writes a checkpoint of weights alone to a file that the user named, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save(path: &Path, description: &Description, parameters: &ParamStore) -> Result<()> {
    store::replace(path, &encode(description, parameters, BTreeMap::new())?)
}

/// Writes a trial's checkpoint of weights alone, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save_best(trial: &TrialStore, description: &Description, parameters: &ParamStore) -> Result<()> {
    trial.replace_best(&encode(description, parameters, BTreeMap::new())?)
}

/// A checkpoint as read from a file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its description.
    pub description: Description,
    /// Weights by name.
    pub weights: BTreeMap<String, Tensor>,
    /// Tensors that only training needs, by name: the optimiser's moments and, if the weights are averages, the trained
    /// weights; empty in a file of weights only.
    pub state: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Checks, before a network is made, that the file holds its parameters, and that it can run on one image: a short file
    /// may describe a network of any size.
    ///
    /// # Errors
    /// When weights are missing or have other shapes, or the network needs more memory than there is.
    pub fn check_network(&self) -> Result<()> {
        for stage in self.description.stages()? {
            check_shapes(&stage.architecture.parameters(), &self.weights)?;
        }
        self.description.check_memory(1)
    }
}

impl Description {
    /// The trial and its epoch, as users read them: `l1-seed0-3f9a2c1b after epoch 40`.
    #[must_use]
    pub fn at_epoch(&self) -> String {
        format!("{} after epoch {}", self.trial, self.epoch)
    }

    fn stages(&self) -> Result<Vec<Stage>> {
        self.config.model.stages(self.config.channels(), self.landmarks.len(), self.config.input)
    }

    /// Checks that there is memory for the network's pass over so many images at once.
    ///
    /// # Errors
    /// When there is not; the place is the key that asks for most of it.
    pub(crate) fn check_memory(&self, images: usize) -> Result<()> {
        let product = |numbers: [usize; 5]| numbers.into_iter().fold(size_of::<f32>(), usize::saturating_mul);
        let channels = self.config.channels();
        // The input twice, as images are joined to a batch, and the pictures that crops are cut from.
        let mut needed = product([2, images, channels, self.config.input.area(), 1]);
        if let Some(fine) = self.config.model.two_stage() {
            needed = needed.saturating_add(product([1, images, channels, fine.size.area(), 1]));
        }
        for Stage { architecture, size, per_image } in self.stages()? {
            let runs = per_image.saturating_mul(images);
            // The plan of a pass multiplies these, and a plan for one image has the answer if it is too many.
            let one = architecture.evaluation_bytes(self.config.precision, per_image, size)?;
            let pass = match one.saturating_mul(images) {
                many if many as f64 / MIB > MOST_MIB => many,
                _ => architecture.evaluation_bytes(self.config.precision, runs, size)?,
            };
            let maps = product([architecture.heads(), per_image, images, self.landmarks.len(), size.area()]);
            needed = needed.saturating_add(pass).saturating_add(maps);
        }
        let (needed, free) = (needed as f64 / MIB, provenance::own_memory_mib());
        let Some(free) = free.filter(|free| needed > *free) else { return Ok(()) };
        let (key, of) = match images {
            1 => ("input", "an image".to_owned()),
            _ => ("batch_size", format!("{images} images at once")),
        };
        let what = format!("its network needs {needed:.0} MiB of memory for {of}, and {free:.0} MiB are free");
        Err(Error::input(what).at(key).remedy("use a machine with more memory, if the file is one that you trust"))
    }
}

/// A pass that needs more is not planned to know it.
const MOST_MIB: f64 = 1e9;

/// Most bytes of a checkpoint: a network of a thousand million parameters with all that resuming needs.
pub const LARGEST: u64 = 16 << 30;
/// Largest number in a model's settings that need not be matched by the size of the file: a side of crops, a seed.
const LARGEST_SETTING: u64 = 1 << 13;
const MIB: f64 = 1_048_576.0;

/// Reads a checkpoint.
///
/// # Errors
/// When the file cannot be read, is larger than the memory, is damaged, or is not a checkpoint of this program.
pub fn load(path: &Path) -> Result<Checkpoint> {
    // The bytes, the tensors and the network's own copy of them.
    let free = provenance::own_memory_mib().map_or(LARGEST, |free| (free * MIB) as u64 / 3);
    decode(&store::read_up_to(path, LARGEST.min(free))?).map_err(|e| e.at(path.display()))
}

/// Decodes a checkpoint.
///
/// # Errors
/// When the bytes are cut off or changed, or are not a checkpoint of this program.
pub fn decode(bytes: &[u8]) -> Result<Checkpoint> {
    let unreadable = |what: String| Error::results(format!("not a readable checkpoint: {what}"));
    let (_, described) = safetensors::SafeTensors::read_metadata(bytes).map_err(|e| unreadable(e.to_string()))?;
    let json = described
        .metadata()
        .as_ref()
        .and_then(|m| m.get(METADATA))
        .ok_or_else(|| unreadable("no description".into()))?;
    let metadata: Metadata = serde_json::from_str(json).map_err(|e| unreadable(e.to_string()))?;
    if let Some((name, _)) = described.tensors().into_iter().find(|(_, about)| !is_countable(&about.shape)) {
        return Err(unreadable(format!("the tensor {name:?} has dimensions beyond what is stored")));
    }
    if hash_of(bytes, &metadata.blake3).is_none_or(|hash| hash != metadata.blake3) {
        return Err(unreadable("its content is not what was written".into()));
    }
    plausible(&metadata.description, bytes.len() as u64 / 2).map_err(|e| Error { kind: Kind::Results, ..e })?;
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|e| unreadable(e.to_string()))?;
    let (mut weights, mut state) = (BTreeMap::new(), BTreeMap::new());
    for (name, tensor) in tensors.into_iter().collect::<BTreeMap<_, _>>() {
        match name.strip_prefix(OPTIMIZER) {
            Some(name) => state.insert(name.to_owned(), tensor),
            None => weights.insert(name, tensor),
        };
    }
    Ok(Checkpoint { description: metadata.description, weights, state })
}

/// Checks that a description can be that of a file with this many numbers. Whoever wrote the file also wrote its hash.
fn plausible(description: &Description, numbers: u64) -> Result<()> {
    let wrong = |what: String| Error::input(format!("not a readable checkpoint: {what}"));
    let Description { landmarks, config, .. } = description;
    if landmarks.len() as u64 > numbers {
        return Err(wrong(format!("{} landmarks, more than it has numbers", landmarks.len())));
    }
    if description.trial.chars().any(char::is_control) {
        return Err(wrong(format!("the trial {:?} has a control character in its name", description.trial)));
    }
    let mut seen = BTreeSet::new();
    for name in landmarks {
        if name.chars().any(char::is_control) {
            return Err(wrong(format!("the landmark {name:?} has a control character in its name")));
        }
        if !seen.insert(name) {
            return Err(wrong(format!("the landmark `{name}` is there twice")));
        }
    }
    // Every channel of a network has weights, so none of its numbers is larger than the file.
    let model = serde_json::to_value(&config.model).map_err(|e| wrong(e.to_string()))?;
    let most = largest(&model);
    if most > numbers.max(LARGEST_SETTING) {
        return Err(wrong(format!("its model has {most} channels or pixels, more than the file has numbers")));
    }
    let within = |key: &'static str, checked: Result<()>| checked.map_err(|e| e.at(key));
    within("input", config.input.check())?;
    within("model", config.model.check())?;
    within("heatmap", config.heatmap.check())?;
    let channels = config.dataset.channels;
    within("standardise", config.standardise.as_ref().map_or(Ok(()), |spec| spec.check(channels)))?;
    within("decode", config.decode.check())
}

/// The largest whole number in JSON.
fn largest(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(values) => values.iter().map(largest).max().unwrap_or(0),
        // Options of a custom network mean what its author says.
        serde_json::Value::Object(fields) => {
            fields.iter().filter(|(key, _)| *key != "options").map(|(_, value)| largest(value)).max().unwrap_or(0)
        }
        other => other.as_u64().unwrap_or(0),
    }
}

/// The part of a file before its tensors.
fn header(bytes: &[u8]) -> &[u8] {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(8).min(bytes.len());
    &bytes[..end]
}

/// The hash of a file in which `claimed` is recorded as its hash.
fn hash_of(bytes: &[u8], claimed: &str) -> Option<String> {
    if claimed.len() != BLANK.len() {
        return None;
    }
    let start = find(header(bytes), claimed.as_bytes())?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..start]).update(&BLANK).update(&bytes[start + BLANK.len()..]);
    Some(hasher.finalize().to_hex().to_string())
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;
    use sweep_experiment::definition::SweepDefinition;
    use sweep_model::optim::Optimizer;

    #[test]
    fn a_checkpoint_is_read_back_and_damage_is_noticed() {
        let definition = "name = \"c\"\n[trial]\nepochs = 2\nloss = { name = \"l1\" }\nmodel = { name = \"unet\", filters = [2, 4] }";
        let config =
            sweep_planning::plan::plan(&SweepDefinition::parse("c", definition).unwrap()).unwrap().remove(0).config;
        let parameters =
            ParamStore::initialise(&config.model.graph(1, 2).unwrap(), 3, DType::F32, &Device::Cpu).unwrap();
        let optimizer = Optimizer::new(config.optimizer, parameters.trained()).unwrap();
        let mid_epoch = Some(MidEpoch::new(3, 0.1 + 0.2, 5));
        let start = Description::start("c", &config, &["a".into(), "b".into()]);
        let description = Description { epoch: 1, steps: 7, mid_epoch, ..start };
        let bytes = encode(&description, &parameters, optimizer.state()).unwrap();
        assert_eq!(bytes, encode(&description, &parameters, optimizer.state()).unwrap(), "the same bytes every time");
        let back = decode(&bytes).unwrap();
        assert_eq!(back.description, description);
        assert_eq!(back.description.mid_epoch.unwrap().loss().to_bits(), (0.1f64 + 0.2).to_bits());
        assert_eq!(back.state.len(), 2);
        // Cut off anywhere, or one bit of another value anywhere: noticed.
        for index in (0..bytes.len()).step_by(bytes.len() / 97 + 1) {
            assert!(decode(&bytes[..index]).is_err(), "cut off at {index}");
            let mut changed = bytes.clone();
            changed[index] ^= 4;
            assert!(decode(&changed).is_err(), "changed at {index}");
        }
    }
}
