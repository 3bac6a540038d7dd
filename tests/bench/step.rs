//! Time and memory of a training step and of an evaluation, as the program does them, for one network and shape:
//! `cargo bench --bench step -- --what step --model '{"name":"unet++"}' --height 200 --width 160 --batch 4 --threads 2`
//! prints one line of JSON. `scripts/bench-torch.sh` holds it against PyTorch.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use landmark_sweep::data::heatmap::HeatmapSpec;
use landmark_sweep::engine::{self, Mode};
use landmark_sweep::error::{Error, Result};
use landmark_sweep::loss::{LossSpec, Targets, mean_over_images};
use landmark_sweep::models::ModelSpec;
use landmark_sweep::optim::{Optimizer, OptimizerSpec};
use landmark_sweep::params::ParamStore;
use landmark_sweep::provenance::peak_memory_mib;
use landmark_sweep::units::{Point, Size};

const LANDMARKS: usize = 10;
/// Calls that are not counted: buffers are planned and pages touched in them.
const WARM_UP: usize = 3;

#[derive(Parser)]
struct Arguments {
    /// `step`: forward, L1 loss, backward, AdamW; or `evaluation`: forward only.
    #[arg(long, default_value = "step")]
    what: String,
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
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()
        .map_err(|e| Error::definition(e.to_string()))?;
    let model: ModelSpec = serde_json::from_str(&arguments.model).map_err(|e| Error::definition(e.to_string()))?;
    let precision =
        serde_json::from_value(arguments.precision.as_str().into()).map_err(|e| Error::definition(e.to_string()))?;
    let size = Size { height: arguments.height, width: arguments.width };
    let graph = model.graph(1, LANDMARKS)?;
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu)?;
    let mut engine = engine::build(&graph, DType::F32, precision, &Device::Cpu)?;
    let grey: Vec<f32> = (0..arguments.batch * size.area()).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let images = Tensor::from_vec(grey, (arguments.batch, 1, size.height, size.width), &Device::Cpu)?;
    let spec = OptimizerSpec::Adamw { lr: 3e-4, weight_decay: 0.01, betas: [0.9, 0.999], eps: 1e-8 };
    let mut optimizer = Optimizer::new(spec, parameters.trained())?;
    let heatmap = HeatmapSpec::default();
    let landmark = |k: usize| Point { x: (7 * k + 11) as f64, y: (13 * k + 17) as f64 };

    let mut step = || -> Result<f32> {
        if arguments.what == "evaluation" {
            engine.forward(&images, &parameters, Mode::Evaluate)?;
            return Ok(0.0);
        }
        // Targets are made anew in every step, as training does.
        let image = || (0..LANDMARKS).map(|k| Some(heatmap.profiles(landmark(k), size))).collect();
        let targets: Targets = (0..arguments.batch).map(|_| image()).collect();
        let heads = engine.forward(&images, &parameters, Mode::Train)?;
        let last = &heads[heads.len() - 1];
        let loss = mean_over_images(&LossSpec::L1 {}.per_image(last, targets)?, arguments.batch)?;
        let gradients = loss.backward()?;
        if let Some(gradient) = gradients.get(parameters.trained()) {
            optimizer.step(parameters.trained(), gradient, spec.lr())?;
        }
        Ok(loss.to_scalar()?)
    };
    for _ in 0..WARM_UP {
        step()?;
    }
    let (began, mut milliseconds, mut loss) = (Instant::now(), Vec::new(), 0.0);
    while milliseconds.len() < 5 || began.elapsed().as_secs_f64() < arguments.seconds {
        let start = Instant::now();
        loss = step()?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds[milliseconds.len() / 2];
    let rate = arguments.batch as f64 * 1e3 / median;
    let peak = peak_memory_mib().unwrap_or(f64::NAN);
    println!(
        "{}",
        serde_json::json!({
            "what": arguments.what, "images_per_second": rate, "median_ms": median, "least_ms": milliseconds[0],
            "calls": milliseconds.len(), "peak_memory_mib": peak, "loss": loss,
        })
    );
    Ok(())
}
