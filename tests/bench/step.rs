//! Time and memory of a training step, of an evaluation and of an epoch with its data, as in the program, for one
//! network and shape: `cargo bench --bench step -- --what step --model '{"name":"unet++"}' --height 200 --width 160
//! --batch 4 --threads 2` prints one line of JSON. `scripts/bench-torch.sh` compares it with PyTorch.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::{Parser, ValueEnum};
use landmark_sweep::data::augment::{AugmentSpec, Augmentation};
use landmark_sweep::data::heatmap::HeatmapSpec;
use landmark_sweep::data::loader::Loader;
use landmark_sweep::data::phantom::PhantomSpec;
use landmark_sweep::data::{Dataset, DatasetSpec, Source, Split};
use landmark_sweep::device::{self, Choice};
use landmark_sweep::engine::cuda::CudaEngine;
use landmark_sweep::engine::{self, Engine, Mode, Precision};
use landmark_sweep::error::{Error, Result};
use landmark_sweep::graph::gpu::{self, LaunchTime};
use landmark_sweep::graph::{Graph, Node, NodeId};
use landmark_sweep::loss::{Criterion, LossSpec, Targets};
use landmark_sweep::networks::ModelSpec;
use landmark_sweep::optim::{Optimizer, OptimizerSpec};
use landmark_sweep::params::ParamStore;
use landmark_sweep::tensors::TensorOperation as _;
use landmark_sweep::units::{Point, Size};

const LANDMARKS: usize = 10;
/// Calls that are not counted: they plan buffers and touch pages.
const WARM_UP: usize = 3;
/// Batches of an epoch.
const BATCHES: usize = 16;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    /// Forward, loss, backward, AdamW.
    Step,
    /// Forward only.
    Evaluation,
    /// Steps on phantoms through the loader, with augmentation, and as many bare steps after each epoch.
    Epoch,
    /// The same phantoms through the loader without steps, targets included, and as many bare steps after each epoch.
    Loader,
}

/// Augmentation of training images.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Augment {
    /// The augmentation in `experiments/`: rotation, translation, scale, brightness and contrast.
    Affine,
    /// Every augmentation.
    Full,
}

impl Augment {
    fn spec(self) -> AugmentSpec {
        match self {
            Self::Affine => AugmentSpec {
                probability: 1.0,
                rotation_degrees: 5.0,
                translate: 0.03,
                scale: [0.95, 1.05],
                brightness: 0.3,
                contrast: 0.3,
                ..AugmentSpec::default()
            },
            Self::Full => AugmentSpec { histogram_shift: 0.5, antialias: true, ..AugmentSpec::example() },
        }
    }
}

#[derive(Parser)]
struct Arguments {
    /// The operation to time.
    #[arg(long, value_enum, default_value_t = What::Step)]
    what: What,
    /// The network as in a definition, as JSON.
    #[arg(long, default_value = r#"{"name":"unet++"}"#)]
    model: String,
    /// The loss as in a definition, as JSON.
    #[arg(long, default_value = r#"{"name":"l1"}"#)]
    loss: String,
    /// `fp32`, `tf32` or `bf16`.
    #[arg(long, default_value = "fp32")]
    precision: String,
    #[arg(long, default_value_t = 200)]
    height: usize,
    #[arg(long, default_value_t = 160)]
    width: usize,
    #[arg(long, default_value = "1")]
    batch: NonZeroUsize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: Choice,
    /// Augmentation of an epoch's images.
    #[arg(long, value_enum, default_value_t = Augment::Affine)]
    augment: Augment,
    /// Writes the time of each of a step's launches on a GPU to this file, instead of timing steps: kernel, blocks, threads
    /// of a block, microseconds.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Duration of the measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// State that training keeps between steps.
struct Training {
    engine: Box<dyn Engine + Send>,
    parameters: ParamStore,
    criterion: Criterion,
    optimizer: Optimizer,
    /// Time of the last step, in milliseconds.
    loss_ms: f64,
}

impl Training {
    fn step(&mut self, images: &Tensor, targets: &Targets) -> Result<f64> {
        let heads = self.engine.forward(images, &self.parameters, Mode::Train)?;
        let start = Instant::now();
        let (loss, to_heads) = self.criterion.with_gradients(&heads, targets)?;
        self.loss_ms = start.elapsed().as_secs_f64() * 1e3;
        let gradient = self.engine.gradient(&heads, to_heads, &self.parameters)?;
        self.optimizer.step(self.parameters.trained(), &gradient, 1.0, 3e-4)?;
        Ok(loss)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build_global()
        .map_err(|e| Error::definition(e.to_string()))?;
    let model: ModelSpec = serde_json::from_str(&arguments.model).map_err(|e| Error::definition(e.to_string()))?;
    let loss: LossSpec = serde_json::from_str(&arguments.loss).map_err(|e| Error::definition(e.to_string()))?;
    loss.check()?;
    let precision =
        serde_json::from_value(arguments.precision.as_str().into()).map_err(|e| Error::definition(e.to_string()))?;
    let (batch, size) = (arguments.batch.get(), Size { height: arguments.height, width: arguments.width });
    let data = match arguments.what {
        What::Epoch | What::Loader => Some(phantoms(batch, size)?),
        What::Step | What::Evaluation => None,
    };
    let landmarks = data.as_ref().map_or(LANDMARKS, |data| data.landmarks.len());
    let graph = model.graph(1, landmarks)?;
    let (device, _) = device::open(arguments.device)?;
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &device)?;
    let spec = OptimizerSpec::Adamw { lr: 3e-4, weight_decay: 0.01, betas: [0.9, 0.999], eps: 1e-8 };
    let mut training = Training {
        engine: engine::build(&graph, DType::F32, precision, &device)?,
        optimizer: Optimizer::new(spec, parameters.trained())?,
        criterion: Criterion::new(loss),
        parameters,
        loss_ms: 0.0,
    };
    let grey: Vec<f32> = (0..batch * size.area()).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let images = Tensor::from_vec(grey, (batch, 1, size.height, size.width), &device).computed()?;
    if let Some(file) = &arguments.profile {
        return profile(&graph, precision, &images, &training.parameters, file);
    }
    let heatmap = HeatmapSpec::default();
    let landmark = |k: usize| Point { x: (7 * k + 11) as f64, y: (13 * k + 17) as f64 };
    let mut call = || -> Result<[f64; 2]> {
        if arguments.what == What::Evaluation {
            let heads = training.engine.forward(&images, &training.parameters, Mode::Evaluate)?;
            wait(&heads)?;
            return Ok([0.0; 2]);
        }
        // Targets are computed in every step, as in training.
        let image = || (0..landmarks).map(|k| Some(heatmap.profiles(landmark(k), size))).collect();
        let loss = training.step(&images, &(0..batch).map(|_| image()).collect())?;
        Ok([loss, training.loss_ms])
    };
    for _ in 0..WARM_UP {
        call()?;
    }
    if let Some(data) = data {
        return epochs(&arguments, size, &data, &mut training, &device);
    }
    let work = work(&graph, size, &arguments)?;
    let (began, mut milliseconds, mut of_loss, mut loss) = (Instant::now(), Vec::new(), Vec::new(), 0.0);
    while milliseconds.len() < 5 || began.elapsed().as_secs_f64() < arguments.seconds {
        let start = Instant::now();
        let [value, loss_ms] = call()?;
        loss = value;
        of_loss.push(loss_ms);
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    milliseconds.sort_by(f64::total_cmp);
    of_loss.sort_by(f64::total_cmp);
    let median = milliseconds[milliseconds.len() / 2];
    println!(
        "{}",
        serde_json::json!({
            "what": if arguments.what == What::Evaluation { "evaluation" } else { "step" },
            "images_per_second": batch as f64 * 1e3 / median, "median_ms": median, "least_ms": milliseconds[0],
            "flops": work[0], "bytes": work[1], "calls": milliseconds.len(), "peak_memory_mib": device::peak_memory_mib(&device).unwrap_or(f64::NAN), "loss": loss,
            "loss_ms": of_loss[of_loss.len() / 2],
        })
    );
    Ok(())
}

/// Products and sums of a call, and the bytes of every map that a convolution reads or writes, once per pass: the
/// forward pass and, in a step, the gradients to weights and to maps.
fn work(graph: &Graph, size: Size, arguments: &Arguments) -> Result<[f64; 2]> {
    let passes = if arguments.what == What::Evaluation { 1.0 } else { 3.0 };
    let number = if arguments.precision == "bf16" { 2.0 } else { 4.0 };
    let sizes = graph.sizes(size)?;
    let maps = graph.nodes().iter().zip(&sizes).enumerate().map(|(index, (node, size))| match node {
        Node::Convolution { input, .. } | Node::TransposedConvolution { input, .. } => {
            graph.channels(*input) * sizes[input.0].area() + graph.channels(NodeId(index)) * size.area()
        }
        _ => 0,
    });
    let batch = arguments.batch.get() as f64;
    let values = maps.sum::<usize>() as f64;
    Ok([passes * batch * graph.flops(size)? as f64, passes * batch * values * number])
}

/// Steps whose launches are timed; the least of their times counts.
const PROFILED: usize = 20;

/// Times the launches of a step's forward and backward pass on a GPU, and writes a line for each.
#[expect(clippy::disallowed_methods, reason = "the one file of the benchmark")]
fn profile(graph: &Graph, precision: Precision, images: &Tensor, parameters: &ParamStore, file: &Path) -> Result<()> {
    let mut engine = CudaEngine::new(graph, precision, gpu::of(images.device())?)?;
    let mut least: Vec<LaunchTime> = Vec::new();
    for _ in 0..PROFILED {
        engine.forward(images, parameters, Mode::Train)?;
        let times = engine.profile()?;
        if least.is_empty() {
            least.clone_from(&times);
        }
        for (least, now) in least.iter_mut().zip(times) {
            least.microseconds = least.microseconds.min(now.microseconds);
        }
    }
    let line =
        |time: &LaunchTime| format!("{}\t{}\t{}\t{:.2}\n", time.kernel, time.blocks, time.threads, time.microseconds);
    std::fs::write(file, least.iter().map(line).collect::<String>()).map_err(|e| Error::input(e.to_string()))?;
    let total: f64 = least.iter().map(|time| time.microseconds).sum();
    println!("{}", serde_json::json!({ "what": "profile", "launches": least.len(), "microseconds": total }));
    Ok(())
}

/// Waits until a GPU has written the heads, by reading one number of each.
fn wait(heads: &[Tensor]) -> Result<()> {
    for head in heads.iter().filter(|head| !head.device().is_cpu()) {
        head.flatten_all().and_then(|values| values.narrow(0, 0, 1)?.to_vec1::<f32>()).computed()?;
    }
    Ok(())
}

/// Phantoms for one epoch, at twice the network's input size, so that they are resized.
fn phantoms(batch: usize, size: Size) -> Result<Dataset> {
    let (height, width) = (2 * size.height, 2 * size.width);
    let spec = PhantomSpec { train: BATCHES * batch, val: 1, height, width, ..PhantomSpec::default() };
    DatasetSpec::from(Source::Phantom(spec)).load()
}

/// Epochs with their data, each compared with as many steps on a fixed batch; with steps, or the data alone.
fn epochs(arguments: &Arguments, size: Size, data: &Dataset, training: &mut Training, device: &Device) -> Result<()> {
    let augment = Augmentation::new(&arguments.augment.spec(), &data.landmarks)?;
    let heatmap = HeatmapSpec::default();
    let loader = Loader::new(data, Split::Train, size).on(device)?;
    let (began, mut rates, mut times) = (Instant::now(), Vec::new(), [0.0; 2]);
    while rates.len() < 3 || began.elapsed().as_secs_f64() < arguments.seconds {
        let (start, used) = (Instant::now(), processor_time());
        let mut last = None;
        for batch in loader.epoch(arguments.batch, &augment, 0, rates.len() as u64) {
            let batch = batch?;
            let images = batch.tensor(device)?;
            let profiles = |point: &Option<Point>| point.map(|p| heatmap.profiles(p, size));
            let targets: Targets = batch.landmarks.iter().map(|image| image.iter().map(profiles).collect()).collect();
            if arguments.what == What::Epoch {
                training.step(&images, &targets)?;
            }
            last = Some((images, targets));
        }
        let Some((images, targets)) = last else { break };
        wait(std::slice::from_ref(&images))?;
        let epoch = start.elapsed().as_secs_f64();
        times[0] += processor_time() - used;
        let (start, used) = (Instant::now(), processor_time());
        for _ in 0..BATCHES {
            training.step(&images, &targets)?;
        }
        let bare = start.elapsed().as_secs_f64();
        times[1] += processor_time() - used;
        let count = loader.len() as f64;
        rates.push([count / epoch, count / bare, bare / epoch]);
    }
    let median = |which: usize| {
        let mut values: Vec<f64> = rates.iter().map(|rates| rates[which]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let what = if arguments.what == What::Epoch { "epoch" } else { "loader" };
    let images = (rates.len() * loader.len()) as f64;
    println!(
        "{}",
        serde_json::json!({
            "what": what, "images_per_second": median(0), "bare_images_per_second": median(1), "ratio": median(2),
            "processor_time_ratio": times[1] / times[0], "processor_ms_per_image": times[0] * TICK_MS / images,
            "bare_processor_ms_per_image": times[1] * TICK_MS / images, "epochs": rates.len(),
        })
    );
    Ok(())
}

/// Unit of the system's processor times, in milliseconds: Linux reports hundredths of a second on every machine.
const TICK_MS: f64 = 10.0;

/// Processor time of all threads of this process, in the system's units; NaN if the system does not report it.
#[expect(clippy::disallowed_methods, reason = "the one place of the benchmark that asks the system")]
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the command in parentheses, the user's time is the 12th field and the system's the 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if times.len() == 2 { times[0] + times[1] } else { f64::NAN }
}
