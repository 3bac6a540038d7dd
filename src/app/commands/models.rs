//! `sweep models`: the networks that a definition can name, what they cost, and where weights for them are found.

use serde::Serialize;

use super::{print_json, say};
use crate::cli;
use sweep_core::error::{Outcome, Result};
use sweep_core::units::Size;
use sweep_engine::cpu::CpuEngine;
use sweep_graph::Precision;
use sweep_model::networks::ModelSpec;

/// A network with its default sizes, as `sweep models --json` prints it.
#[derive(Debug, Serialize)]
struct ModelLine {
    name: String,
    trained_values: usize,
    /// Multiplications and additions of one image's forward pass.
    flops_per_image: u64,
    /// Memory for training on a processor, without parameters and optimizer; `None` where batches are too small for a
    /// normalisation.
    training_bytes: Option<usize>,
    weights: &'static str,
    prefix: &'static str,
    strip: &'static str,
}

impl ModelLine {
    fn of(model: &ModelSpec, flags: &cli::Models) -> Result<Self> {
        let graph = model.graph(flags.channels, flags.landmarks)?;
        let size = Size { height: flags.height, width: flags.width };
        let public = model.public_weights();
        let flops_per_image = graph.flops(size)?;
        Ok(Self {
            name: model.name(),
            trained_values: graph.trained_values(),
            flops_per_image,
            // A size that is too small is an error already.
            training_bytes: CpuEngine::memory_bytes(&graph, Precision::Fp32, flags.batch_size, size).ok(),
            weights: public.from,
            prefix: public.prefix,
            strip: public.strip,
        })
    }
}

pub(super) fn models(flags: &cli::Models) -> Result<Outcome> {
    let lines = ModelSpec::published().iter().map(|model| ModelLine::of(model, flags)).collect::<Result<Vec<_>>>()?;
    if flags.json {
        print_json(&lines)?;
        return Ok(Outcome::Done);
    }
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    say(&format!("{:width$}  {:>10}  {:>8}  {:>8}  public weights", "name", "parameters", "GFLOP", "memory"))?;
    for line in &lines {
        let keys = [("prefix", line.prefix), ("strip", line.strip)].into_iter().filter(|(_, value)| !value.is_empty());
        let keys: Vec<String> = keys.map(|(key, value)| format!("{key} = \"{value}\"")).collect();
        let keys = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
        let memory = line.training_bytes.map_or("–".to_owned(), |bytes| format!("{} MiB", bytes.div_ceil(1 << 20)));
        say(&format!(
            "{:width$}  {:>8.1} M  {:>8.1}  {memory:>8}  {}{keys}",
            line.name,
            line.trained_values as f64 / 1e6,
            line.flops_per_image as f64 / 1e9,
            line.weights,
        ))?;
    }
    say(&format!(
        "\nWith default sizes, for {} landmarks and batches of {}, {} × {} pixels (height × width), {}. GFLOP: a forward \
         pass of an image; memory: maps of a training on a processor, – where it needs larger batches (--batch-size).\nThe weights are files that you have: model = {{ name = \
         \"unet-resnet34\", weights = {{ path = \"resnet34.pth\", prefix = \"encoder.\" }} }}. Two-stage models consist of two of \
         these networks; a program can register networks of its own.",
        flags.landmarks,
        if flags.batch_size == 1 { "one image".to_owned() } else { format!("{} images", flags.batch_size) },
        flags.height,
        flags.width,
        if flags.channels == 1 { "grey" } else { "in colour" },
    ))?;
    Ok(Outcome::Done)
}
