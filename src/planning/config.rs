//! A trial's configuration: everything that its results depend on, and nothing else. The device and the trackers are
//! flags and never part of it.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::{ErrorUnit, Size};
use sweep_data::augment::AugmentSpec;
use sweep_data::decode::DecodeSpec;
use sweep_data::heatmap::HeatmapSpec;
use sweep_data::{DatasetSpec, StandardiseSpec};
use sweep_experiment::early_stop::EarlyStop;
use sweep_experiment::metric::Objective;
use sweep_experiment::store::TrialFile;
use sweep_graph::Precision;
use sweep_model::loss::LossSpec;
use sweep_model::lr_schedule::ScheduleSpec;
use sweep_model::networks::ModelSpec;
use sweep_model::optim::{Ema, OptimizerSpec, UpdateSpec};

/// Version of the training's results: raised when the same configuration on the same data would give other results than
/// before. Part of every trial's identity, so that earlier results are neither reused nor overwritten.
pub const TRAINING_SEMANTICS: u32 = 2;

/// Everything that a trial's results depend on, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialConfig {
    /// Images and landmarks.
    #[serde(default)]
    pub dataset: DatasetSpec,
    /// Size the images are resized to before the network sees them; errors stay in original millimetres.
    #[serde(default = "default_input")]
    pub input: Size,
    /// Standardises the network's input by the mean and standard deviation of each channel, after augmentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardise: Option<StandardiseSpec>,
    /// Target of a landmark: the shape of its heatmap.
    #[serde(default)]
    pub heatmap: HeatmapSpec,
    /// Random changes of training images.
    #[serde(default)]
    pub augment: AugmentSpec,
    /// The network.
    pub model: ModelSpec,
    /// The loss that training minimises.
    pub loss: LossSpec,
    /// The optimizer that minimises it.
    #[serde(default = "default_optimizer")]
    pub optimizer: OptimizerSpec,
    /// Batches whose gradients make one step of the optimizer.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: NonZeroUsize,
    /// Largest gradient norm: longer gradients are scaled down to this Euclidean norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// A running average of the weights, which is evaluated and saved instead of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<Ema>,
    /// Course of the learning rate.
    #[serde(default = "default_schedule")]
    pub schedule: ScheduleSpec,
    /// Decoder that reads a landmark's position off the network's map.
    #[serde(default)]
    pub decode: DecodeSpec,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroUsize,
    /// The least precise arithmetic convolutions may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// Requires equal numbers from repeated runs on one device. Every engine gives them anyway, at no cost: no sum
    /// depends on which thread comes first. So this key changes nothing, a trial's identity included.
    #[serde(default, skip_serializing)]
    pub deterministic: bool,
    /// Evaluate every this many epochs, and always after the last.
    #[serde(default = "default_evaluate_every")]
    pub evaluate_every: u32,
    /// Rule for stopping a training before its last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// The validation metric that selects the best epoch.
    #[serde(default)]
    pub objective: Objective,
    /// Seed of initial weights, order and augmentation, each with its own stream.
    pub seed: u64,
}

/// Whether a value is the default. Defaults are not written, so that a new key with a default changes no trial's
/// identity.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(value: &NonZeroUsize) -> bool {
    *value == NonZeroUsize::MIN
}

fn default_input() -> Size {
    Size { height: 100, width: 80 }
}
fn default_optimizer() -> OptimizerSpec {
    OptimizerSpec::Adamw { lr: 3e-4, weight_decay: 0.01, betas: [0.9, 0.999], eps: 1e-8 }
}
fn default_schedule() -> ScheduleSpec {
    ScheduleSpec::Constant { warm_up: 0 }
}
fn default_batch_size() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(3)
}
fn default_evaluate_every() -> u32 {
    1
}

impl TrialConfig {
    /// Reads the configuration in a trial's file.
    ///
    /// # Errors
    /// When this version does not know a key or value in it.
    pub fn recorded(file: &TrialFile) -> Result<Self> {
        let wrong =
            |e: toml::de::Error| Error::results(e.message().to_owned()).at(format!("trial.toml of {}", file.trial));
        file.config.clone().try_into().map_err(wrong)
    }

    /// Checks for whatever is impossible before anything is loaded.
    ///
    /// # Errors
    /// When a value is impossible; the error's location is its key, a dotted path in the trial's configuration.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: String, right: &str| Err(Error::definition(what).at(key).remedy(right));
        if self.epochs == 0 {
            return wrong("epochs", "epochs is 0: nothing would be trained".into(), "use 1 or more");
        }
        if self.evaluate_every == 0 {
            return wrong("evaluate_every", "evaluate_every is 0".into(), "use 1 to evaluate every epoch");
        }
        if self.input.area() == 0 {
            return wrong("input", "the input has no pixels".into(), "use a height and width of at least 32");
        }
        self.input.check().map_err(|e| e.at("input"))?;
        let within = |key: &str, checked: Result<()>| {
            checked.map_err(|e| Error { location: Some(join(key, e.location.as_deref())), ..e })
        };
        within("dataset", self.dataset.check())?;
        within("standardise", self.standardise.as_ref().map_or(Ok(()), |spec| spec.check(self.dataset.channels)))?;
        within("heatmap", self.heatmap.check())?;
        within("augment", self.augment.check())?;
        within("model", self.model.check())?;
        within("model", self.model.check_maps(self.loss.map_kind()))?;
        within("loss", self.loss.check())?;
        within("optimizer", self.optimizer.check())?;
        if let Some(clip) = self.gradient_clip.filter(|clip| !(clip.is_finite() && *clip > 0.0)) {
            let what = format!("gradient_clip is {clip}");
            return wrong("gradient_clip", what, "use a positive norm, for example 1.0, or leave it out");
        }
        within("ema", self.ema.map_or(Ok(()), |ema| ema.check()))?;
        within("schedule", self.schedule.check())?;
        within("decode", self.decode.check())?;
        if let Some(key) = self.trained_heatmaps().filter(|_| !matches!(self.loss, LossSpec::SumL2 { .. })) {
            let what = "learned-gaussian heatmaps are trained by the loss sum-l2 alone: others would make them vanish";
            return wrong(key, what.into(), "use loss = { name = \"sum-l2\" }, or the heatmap gaussian");
        }
        within("early_stop", self.early_stop.map_or(Ok(()), |rule| rule.check()))?;
        // The depth alone decides whether the input is too small; the number of landmarks does not matter.
        self.model.stages(self.channels(), 1, self.input).map(|_| ())
    }

    /// Whether every length is in the unit of the data set's errors.
    ///
    /// # Errors
    /// Its place is the key, as those of [`Self::check`].
    pub fn check_unit(&self, unit: ErrorUnit) -> Result<()> {
        if let Some(rule) = self.early_stop {
            let key = |e: Error| Error { location: Some(join("early_stop", e.location.as_deref())), ..e };
            rule.check_unit(self.objective).map_err(key)?;
        }
        if self.augment.elastic_mm > 0.0 && !unit.is_millimetres() {
            return Err(Error::definition(
                "the data set does not say the size of a pixel, so millimetres mean nothing",
            )
            .at("augment.elastic_mm")
            .remedy("leave it out, or state the size: spacing_mm = { x = …, y = … } in dataset.toml"));
        }
        Ok(())
    }

    /// Fills in the versions of custom components, so that a changed component gives a different trial.
    ///
    /// # Errors
    /// When the program has not registered a component.
    pub fn resolve_version(&mut self) -> Result<()> {
        self.model.resolve_version()?;
        self.loss.resolve_version()
    }

    /// Values of a pixel of the network's input: 1 in grey, 3 in colour.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.dataset.channels.count()
    }

    /// How gradients change the weights.
    #[must_use]
    pub fn update(&self) -> UpdateSpec {
        UpdateSpec {
            optimizer: self.optimizer,
            accumulate: self.accumulate,
            gradient_clip: self.gradient_clip,
            ema: self.ema,
        }
    }

    /// Checks that a GPU can train it, before anything runs.
    ///
    /// # Errors
    /// When it cannot; the error's location is the key, as for [`Self::check`].
    pub fn check_for_gpu(&self) -> Result<()> {
        if matches!(self.loss, LossSpec::Custom(_)) {
            let what = "custom losses are computed on the processor only";
            return Err(Error::definition(what).at("loss").remedy("use --device cpu"));
        }
        let Some(key) = self.trained_heatmaps() else { return Ok(()) };
        Err(Error::definition("learned-gaussian heatmaps are trained on the processor only")
            .at(key)
            .remedy("use --device cpu, or the heatmap gaussian"))
    }

    /// The key of the first heatmap whose widths are trained, if there is one.
    fn trained_heatmaps(&self) -> Option<&'static str> {
        let fine = self.model.two_stage().and_then(|spec| spec.heatmap);
        let of_stages = [("heatmap", Some(self.heatmap)), ("model.heatmap", fine)];
        let is_trained = |heatmap: &Option<HeatmapSpec>| heatmap.is_some_and(|heatmap| heatmap.trained().is_some());
        of_stages.into_iter().find(|(_, heatmap)| is_trained(heatmap)).map(|(key, _)| key)
    }

    /// A hash (hexadecimal) of how a network is trained, whatever the images, the seed and what is measured: folds and seeds
    /// share it, and a refit on all images.
    #[must_use]
    pub fn recipe(&self) -> String {
        let mut config = serde_json::to_value(self).unwrap_or_default();
        for key in ["dataset", "seed", "objective", "evaluate_every"] {
            config[key] = serde_json::Value::Null;
        }
        blake3::hash(canonical(&config).as_bytes()).to_hex().to_string()
    }

    /// A hash (hexadecimal) of everything that results depend on: BLAKE3 of the configuration as JSON with every
    /// default filled in, so that neither the TOML's spelling nor the order of its keys matters. The hash of the data
    /// set's content replaces its path. The hash of the file of initial weights, if there is one, and
    /// [`TRAINING_SEMANTICS`] are part of it.
    ///
    /// # Errors
    /// Never in practice.
    pub fn identity(&self, content: &str, weights: Option<&str>) -> Result<String> {
        let unwritable = |e: serde_json::Error| Error::definition(e.to_string());
        let mut config = serde_json::to_value(self).map_err(unwritable)?;
        config["dataset"] = content.into();
        if self.early_stop.is_some() && !self.objective.is_default() {
            // Earlier versions watched the mean radial error whatever the objective: those trainings are others.
            config["early_stop"]["watches"] = self.objective.name().into();
        }
        if matches!(self.schedule, ScheduleSpec::CosineRestarts { warm_up: 1.., .. }) {
            // Earlier versions began every cycle at `eta_min` and made later cycles too short: those trainings are others.
            config["schedule"]["climbs"] = "by steps".into();
        }
        if self.precision == Precision::Bf16 {
            // Earlier versions kept the maps of such a training in single precision on processors.
            config["precision"] = "bf16, maps too".into();
        }
        if let Some(weights) = weights {
            config["model"]["weights"]["path"] = weights.into();
        }
        let text = format!("training {TRAINING_SEMANTICS} {}", canonical(&config));
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }
}

/// JSON with sorted keys, independent of the library's order.
fn canonical(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys.iter().map(|key| format!("{key:?}:{}", canonical(&map[*key]))).collect();
            format!("{{{}}}", fields.join(","))
        }
        serde_json::Value::Array(values) => {
            format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

fn join(key: &str, inner: Option<&str>) -> String {
    match inner {
        Some(inner) => format!("{key}.{inner}"),
        None => key.to_owned(),
    }
}
