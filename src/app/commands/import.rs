//! `sweep import`: converts weights that were trained elsewhere to a checkpoint.

use std::path::Path;

use candle_core::Device;

use crate::cli::{self, Changes};
use sweep_core::error::{Error, Outcome, Result};
use sweep_core::note;
use sweep_model::networks::weights::{self, Mismatched, Prefix, WeightsSpec};
use sweep_planning::config::TrialConfig;
use sweep_planning::plan;
use sweep_training::checkpoint::{self, Description};
use sweep_training::model_runner::Network;
use sweep_training::predict;

use super::say;

pub(super) fn import(flags: &cli::Import) -> Result<Outcome> {
    let description = description(flags)?;
    let spec = WeightsSpec {
        path: flags.weights.clone(),
        prefix: Prefix::One(flags.prefix.clone()),
        strip: flags.strip.clone(),
        mismatched: Mismatched::Refuse,
        freeze: 0,
        lr_factor: 1.0,
    };
    let file = spec.read()?;
    let config = &description.config;
    let landmarks = description.landmarks.len();
    let networks = config.model.architectures(config.channels(), landmarks)?;
    let named = |error: Error| {
        Error { remedy: None, ..error }.remedy(
        "name the network that was trained, with its sizes and number of landmarks, with --like and --set; --prefix and \
         --strip change the file's names",
    )
    };
    let matching = weights::matching(&spec, &file, &networks).map_err(named)?;
    if let [first, ..] = matching.missing.as_slice() {
        let what = format!("{} parameters are not in the file, as `{first}`", matching.missing.len());
        return Err(named(Error::input(what).at(flags.weights.display())));
    }
    let parameters = Network::new(config, landmarks, &Device::Cpu)?.parameters(config.seed)?;
    weights::start(&spec, &file, &networks, &parameters)?;
    checkpoint::save(&flags.output, &description, &parameters)?;
    let unused = matching.unused.iter().filter(|name| !name.ends_with("num_batches_tracked")).collect::<Vec<_>>();
    if let [first, ..] = unused.as_slice() {
        note!("{}: {} tensors of the file are not used, as `{first}`", flags.weights.display(), unused.len());
    }
    say(&format!("{}: {} tensors, {landmarks} landmarks", flags.output.display(), matching.matched.len()))?;
    Ok(Outcome::Done)
}

/// Description of the imported weights as a checkpoint before the first step.
fn description(flags: &cli::Import) -> Result<Description> {
    let is_definition = flags.like.extension().is_some_and(|extension| extension == "toml");
    if !is_definition {
        if let Some(flag) =
            [("--set", !flags.set.is_empty()), ("--dataset", flags.dataset.is_some())].iter().find(|f| f.1)
        {
            return Err(Error::input("a checkpoint says itself what it is")
                .at(flag.0)
                .remedy("leave it out, or name a definition with --like"));
        }
        let like = predict::read(&flags.like)?;
        like.check_network().map_err(|e| e.at(flags.like.display()))?;
        return Ok(Description {
            mid_epoch: None,
            split: None,
            training_images: None,
            training_image_hashes: String::new(),
            trial: stem(&flags.weights),
            ..like.description
        });
    }
    let changes = Changes { file: flags.like.clone(), set: flags.set.clone(), dataset: flags.dataset.clone() };
    let definition = super::definition(&changes)?;
    let mut configs = plan::plan(&definition)?.into_iter().map(|trial| trial.config);
    let first = configs.next().ok_or_else(|| Error::definition("the plan is empty"))?;
    if configs.any(|other| !is_like(&first, &other)) {
        return Err(Error::definition(
            "its trials use weights in different ways: they differ in network, input, channels, heatmap, loss or decoder",
        )
        .at(flags.like.display())
        .remedy("name a definition of one network, or a checkpoint of it, with --like"));
    }
    let opened = first.dataset.open()?;
    let start = Description::start(&stem(&flags.weights), &first, &opened.landmarks());
    Ok(Description { grey: opened.grey(), ..start })
}

/// Whether weights have the same meaning in both configurations.
fn is_like(a: &TrialConfig, b: &TrialConfig) -> bool {
    let of =
        |config: &TrialConfig| (config.input, config.channels(), config.heatmap, config.loss.map_kind(), config.decode);
    a.model == b.model && a.standardise == b.standardise && of(a) == of(b)
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
