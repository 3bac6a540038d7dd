//! Data set and initial weights of a trial.

use sweep_core::error::Result;
use sweep_data::cache::Cache;
use sweep_data::loader::Loader;
use sweep_data::picture::GreyRange;
use sweep_data::{Coverage, Dataset, Split};
use sweep_graph::params::ParamStore;
use sweep_model::networks::weights::{self, StateDict, WeightsSpec};
use sweep_model::optim::Slowed;
use sweep_planning::config::TrialConfig;

/// Data of a trial: a data set whose splits are resized to the trial's input.
pub struct Data {
    /// The data set, without its images' original grey values.
    pub dataset: Dataset,
    /// Hash of its content: [`sweep_data::DatasetIndex::content_hash`].
    pub content: String,
    /// Values of images of more than 8 bits that become black and white, where all share them.
    pub grey: Option<GreyRange>,
    /// Landmarks that are not trained, or not measured.
    pub coverage: Coverage,
    /// Training images.
    pub train: Loader,
    /// Validation images.
    pub val: Loader,
    /// Test images, which neither train nor choose.
    pub test: Loader,
    /// Short hashes of the training images, one after the other, for checkpoints.
    pub training_image_hashes: String,
    /// Content of the file that the network's parameters start from, if there is one.
    pub weights: Option<StateDict>,
}

impl Data {
    /// Loads and resizes, or takes both from the cache; trials of the same data set and input share it.
    ///
    /// # Errors
    /// When the data set, or the file with weights, cannot be read.
    pub fn load(config: &TrialConfig) -> Result<Self> {
        Self::load_through(&Cache::of_environment(), config)
    }

    /// [`Data::load`] with a cache of the caller's choice.
    ///
    /// # Errors
    /// Same errors as [`Data::load`].
    pub fn load_through(cache: &Cache, config: &TrialConfig) -> Result<Self> {
        let mut resized = cache.load(&config.dataset, config.input)?;
        let coverage = resized.keep_trained()?;
        let mut loaders = Split::ALL.map(|split| Loader::of(&resized, split, config.input));
        if let Some(fine) = config.model.two_stage() {
            let finer = cache.load(&config.dataset, fine.size)?;
            loaders = loaders.map(|loader| loader.with_views(&finer.pictures));
        }
        let [train, val, test] = loaders;
        let trained =
            resized.dataset.indices(Split::Train).into_iter().map(|index| resized.image_hashes[index].as_str());
        let training_image_hashes = trained.collect();
        let weights = config.model.weights().map(WeightsSpec::read).transpose()?;
        Ok(Self {
            dataset: resized.dataset,
            content: resized.content,
            grey: resized.grey,
            coverage,
            train,
            val,
            test,
            training_image_hashes,
            weights,
        })
    }

    /// Copies the file's weights into the parameters, if there is one. Returns how an update trains these, if not like
    /// all others.
    pub(super) fn initialise(
        &self,
        config: &TrialConfig,
        parameters: &ParamStore,
        steps_per_epoch: u64,
    ) -> Result<Option<Slowed>> {
        let (Some(spec), Some(file)) = (config.model.weights(), &self.weights) else { return Ok(None) };
        let networks = config.model.architectures(config.channels(), self.dataset.landmarks.len())?;
        let names = weights::start(spec, file, &networks, parameters)?;
        Ok(Slowed::new(parameters, &names, spec.lr_factor, u64::from(spec.freeze) * steps_per_epoch))
    }
}
