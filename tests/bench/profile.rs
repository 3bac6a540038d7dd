//! Time of a training step, layer by layer: `cargo bench --bench profile -- --model '{"name":"unet"}' --threads 1`
//! prints every step of the forward and backward pass with its GFLOP/s (of the definition: Winograd's saving shows as
//! speed), beside the processor's own peak of fused multiply-adds, measured first.

use std::collections::BTreeMap;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use landmark_sweep::engine::cpu::{CpuEngine, StepTime};
use landmark_sweep::engine::{Engine, Mode};
use landmark_sweep::error::{Error, Result};
use landmark_sweep::networks::ModelSpec;
use landmark_sweep::params::ParamStore;
use landmark_sweep::tensors::TensorOperation as _;

#[derive(Parser)]
struct Arguments {
    /// The network as in a definition, as JSON.
    #[arg(long, default_value = r#"{"name":"unet++"}"#)]
    model: String,
    /// `fp32`, `tf32` or `bf16`.
    #[arg(long, default_value = "fp32")]
    precision: String,
    #[arg(long, default_value_t = 200)]
    height: usize,
    #[arg(long, default_value_t = 160)]
    width: usize,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Training steps; the least of their times counts.
    #[arg(long, default_value_t = 20)]
    repeat: usize,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()
        .map_err(|e| Error::definition(e.to_string()))?;
    let json = |e: serde_json::Error| Error::definition(e.to_string());
    let model: ModelSpec = serde_json::from_str(&arguments.model).map_err(json)?;
    let precision = serde_json::from_value(arguments.precision.as_str().into()).map_err(json)?;
    let graph = model.graph(1, 10)?;
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu)?;
    let mut engine = CpuEngine::new(&graph, precision);
    let images =
        Tensor::ones((arguments.batch, 1, arguments.height, arguments.width), DType::F32, &Device::Cpu).computed()?;
    println!(
        "{}, {} threads, FMA peak {:.0} GFLOP/s",
        engine.instructions(),
        arguments.threads,
        engine.fma_peak() / 1e9
    );

    let mut least: Vec<StepTime> = Vec::new();
    for _ in 0..arguments.repeat {
        engine.start_profile();
        let heads = engine.forward(&images, &parameters, Mode::Train)?;
        let to_heads = heads.iter().map(Tensor::ones_like).collect::<candle_core::Result<Vec<_>>>().computed()?;
        engine.gradient(&heads, &to_heads, &parameters)?;
        let times = engine.take_profile();
        if least.is_empty() {
            least = times;
        } else {
            for (least, now) in least.iter_mut().zip(times) {
                least.time = least.time.min(now.time);
            }
        }
    }
    let mut kinds: BTreeMap<(&str, &str), (Duration, u64)> = BTreeMap::new();
    println!("{:<18}{:<10}{:>16}{:>11}{:>10}{:>10}", "step", "algorithm", "convolution", "size", "ms", "GFLOP/s");
    for step in &least {
        let convolution = step.convolution.map_or(String::new(), |[i, o, k]| format!("{i}→{o} {k}×{k}"));
        let size = format!("{}×{}", step.size.height, step.size.width);
        print(step.step, step.algorithm, &convolution, &size, step.time, step.flops);
        let kind = kinds.entry((step.step, step.algorithm)).or_default();
        *kind = (kind.0 + step.time, kind.1 + step.flops);
    }
    println!();
    for ((step, algorithm), (time, flops)) in kinds {
        print(step, algorithm, "all", "", time, flops);
    }
    let (time, flops) = least.iter().fold((Duration::ZERO, 0), |(t, f), step| (t + step.time, f + step.flops));
    print("all", "", "", "", time, flops);
    Ok(())
}

fn print(step: &str, algorithm: &str, convolution: &str, size: &str, time: Duration, flops: u64) {
    let rate = if flops == 0 { String::new() } else { format!("{:.0}", flops as f64 / time.as_secs_f64() / 1e9) };
    let milliseconds = time.as_secs_f64() * 1e3;
    println!("{step:<18}{algorithm:<10}{convolution:>16}{size:>11}{milliseconds:>10.3}{rate:>10}");
}
