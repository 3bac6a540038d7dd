//! `sweep export onnx`: trained networks for other runtimes. The file includes all properties needed to use it.

use std::path::{Path, PathBuf};

use candle_core::Device;

use crate::cli;
use sweep_core::error::{Error, Kind, Outcome, Result};
use sweep_data::decode::MapKind;
use sweep_experiment::store;
use sweep_model::networks::Stage;
use sweep_model::networks::two_stage::{COARSE, FINE};
use sweep_model::onnx::{self, INPUT, OUTPUT, Options};
use sweep_training::checkpoint::{Checkpoint, Description};
use sweep_training::model_runner::Network;
use sweep_training::predict;

use super::super::say;

pub(super) fn export(flags: &cli::Onnx) -> Result<Outcome> {
    let checkpoint = predict::read(&flags.checkpoint)?;
    checkpoint.check_network().map_err(|e| Error { kind: Kind::Input, ..e }.at(flags.checkpoint.display()))?;
    let Checkpoint { description, weights, .. } = checkpoint;
    let config = &description.config;
    let landmarks = description.landmarks.len();
    let parameters = Network::new(config, landmarks, &Device::Cpu)?.loaded(&weights);
    let parameters = parameters.map_err(|e| Error { kind: Kind::Input, ..e }.at(flags.checkpoint.display()))?;
    let stages = config.model.stages(config.channels(), landmarks, config.input)?;
    let names: &[&str] = if stages.len() > 1 { &[COARSE, FINE] } else { &[""] };
    for (stage, name) in stages.iter().zip(names) {
        let graph = stage.architecture.graph().map_err(|e| e.at(flags.checkpoint.display()))?;
        let output = named(&flags.output, name);
        let mut properties = properties(&description, stage)?;
        properties.extend(crops(&description, name).into_iter().flatten());
        let standardise = config.standardise.as_ref().map(|spec| [spec.mean(), spec.deviation()]);
        let options = Options { batch: flags.batch, keep_norms: flags.keep_norms, standardise, properties };
        let bytes = onnx::encode(&description.trial, graph, stage.size, &parameters, &options)?;
        store::write(&output, &bytes)?;
        let batch = flags.batch.map_or_else(|| "batch".to_owned(), |batch| batch.to_string());
        say(&format!(
            "{}: {INPUT} [{batch}, {channels}, {height}, {width}] to {OUTPUT} [{batch}, {landmarks}, {height}, {width}], {:.1} MB",
            output.display(),
            bytes.len() as f64 / 1e6,
            channels = config.channels(),
            height = stage.size.height,
            width = stage.size.width,
        ))?;
    }
    Ok(Outcome::Done)
}

/// File of a stage: `net.coarse.onnx` for `net.onnx`.
fn named(output: &Path, stage: &str) -> PathBuf {
    let stage = stage.trim_end_matches('.');
    if stage.is_empty() {
        return output.to_owned();
    }
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}.{stage}.onnx"))
}

/// Properties for users of the file by name, each text or JSON.
fn properties(description: &Description, stage: &Stage) -> Result<Vec<(String, String)>> {
    let config = &description.config;
    let json = |value: serde_json::Result<String>| {
        value.map_err(|e| Error::new(Kind::Computation, format!("cannot describe the network: {e}")))
    };
    let maps = match config.loss.map_kind() {
        MapKind::Heatmap => "heatmap: 1 at the landmark, 0 far from it".to_owned(),
        MapKind::Scaled { peak } => format!("heatmap: {peak} at the landmark, 0 far from it"),
        MapKind::Logits => "logits: a softmax over all pixels of a map is the landmark's probability".to_owned(),
        MapKind::Sigmoid => "logits: their sigmoid is 1 at the landmark, 0 far from it".to_owned(),
    };
    let values = if config.dataset.channels.is_grey() { "grey values" } else { "red, green and blue" };
    let standardised = match &config.standardise {
        None => "without normalisation".to_owned(),
        Some(spec) => format!(
            "not standardised: the file itself subtracts {:?} and divides by {:?}",
            spec.mean(),
            spec.deviation()
        ),
    };
    let input = format!(
        "{values} from 0 (black) to 1 (white), [batch, {}, {}, {}]: the image resized by a triangle filter as wide as \
         the reduction (Pillow's BILINEAR, PyTorch's bilinear with antialias), {standardised}",
        config.channels(),
        stage.size.height,
        stage.size.width
    );
    let coordinates = "pixel centres are whole numbers, x right, y down; a position p of a map of n pixels lies at \
                       (p + 0.5) * N / n - 0.5 in an image of N pixels; millimetres are that times the image's own spacing";
    let mut all = vec![
        ("landmarks", json(serde_json::to_string(&description.landmarks))?),
        ("input_height", stage.size.height.to_string()),
        ("input_width", stage.size.width.to_string()),
        ("input", input),
        ("maps", maps),
        ("decode", json(serde_json::to_string(&config.decode))?),
        ("coordinates", coordinates.to_owned()),
        ("model", json(serde_json::to_string(&config.model))?),
        ("trial", description.trial.clone()),
        ("epoch", description.epoch.to_string()),
    ];
    if !description.untrained.is_empty() {
        all.push(("untrained", json(serde_json::to_string(&description.untrained))?));
    }
    Ok(all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The crops that connect two stages, for the file of each.
fn crops(description: &Description, stage: &str) -> Option<[(String, String); 2]> {
    let spec = description.config.model.two_stage()?;
    let about = format!(
        "crops of {0} by {0} pixels around every landmark that the coarse network finds, cut from the image resized to \
         {1} by {2} (height by width); of the fine network's maps of a crop only that of the crop's landmark counts",
        spec.crop, spec.size.height, spec.size.width
    );
    Some([("stage".to_owned(), stage.trim_end_matches('.').to_owned()), ("stages".to_owned(), about)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_files_of_their_own() {
        assert_eq!(named(Path::new("a/net.onnx"), ""), Path::new("a/net.onnx"));
        assert_eq!(named(Path::new("a/net.onnx"), FINE), Path::new("a/net.fine.onnx"));
        assert_eq!(named(Path::new("net"), COARSE), Path::new("net.coarse.onnx"));
    }
}
