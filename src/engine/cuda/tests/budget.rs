//! The launches of training steps, without a GPU: `scripts/gpu_budget.py` counts their instructions in the disassembled
//! kernels, compares these with a committed budget, and predicts how long a step takes.
#![expect(unsafe_code, reason = "reads launches' parameters back")]
#![expect(
    clippy::disallowed_methods,
    reason = "calls a script with files for it, in a folder that the environment names"
)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device};
use sweep_graph::gpu::MemoryInfo;
use sweep_testing::{Need, cuda_toolkit, repository};

use super::super::choose::TILE;
use super::super::parameters::{
    Combine, Convolution, Exchange, GradientSums, Moments, NormGradient, Pool, Upsample, WeightBlocks, WeightGradient,
};
use super::super::program::WALKERS;
use super::super::*;
use crate::tests::networks::{Style, inverted_residuals, unet_plus_plus};

/// A GPU that keeps launches instead of running them, and counts the bytes that it is asked for.
#[derive(Default)]
struct Recorder(Mutex<Vec<Launch>>, AtomicUsize);

impl Recorder {
    fn keep(&self, launches: impl IntoIterator<Item = Launch>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(launches);
    }
}

#[derive(Debug)]
struct Nowhere;

impl Memory for Nowhere {
    fn address(&self) -> Address {
        1 << 20
    }
}

impl Sequence for Nowhere {
    fn run(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Gpu for Recorder {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn Memory>> {
        self.1.fetch_add(bytes, Ordering::Relaxed);
        Ok(Box::new(Nowhere))
    }
    fn write(&self, _: Address, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn read(&self, _: Address, _: &mut [u8]) -> Result<()> {
        Ok(())
    }
    fn copy(&self, _: Address, _: Address, _: usize) -> Result<()> {
        Ok(())
    }
    fn launch(&self, launch: &Launch) -> Result<()> {
        self.keep([launch.clone()]);
        Ok(())
    }
    fn sequence(&self, launches: Vec<Launch>) -> Box<dyn Sequence> {
        self.keep(launches);
        Box::new(Nowhere)
    }
    fn address(&self, _: &Tensor) -> Result<Address> {
        Ok(1 << 20)
    }
    fn tensor(&self, shape: &[usize]) -> Result<Tensor> {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).computed()
    }
    fn memory_info(&self) -> Result<MemoryInfo> {
        Ok(MemoryInfo { free: 1 << 40, total: 1 << 40, peak: 0 })
    }
}

/// What a launch does, beyond its grid.
struct Work {
    /// How often a block goes through its loops, in the order of the source.
    trips: Vec<f64>,
    /// Share of what is read that has an activation.
    active: f64,
    /// Bytes of maps that are read or written, each counted once.
    bytes: f64,
}

/// A launch's parameters.
fn parameters<P: Copy>(launch: &Launch) -> P {
    // SAFETY: the caller names the structure of the launch's kernel.
    unsafe { launch.parameters().cast::<P>().read() }
}

fn map_bytes(map: &super::super::parameters::Map, pixels: f64) -> f64 {
    pixels * f64::from(map.channels) * if map.wide == 1 { 4.0 } else { 2.0 }
}

fn is_active(activation: &super::super::parameters::Activation) -> f64 {
    if activation.scale != 0 || (activation.slope - 1.0).abs() > 0.0 { 1.0 } else { 0.0 }
}

fn in_parts(pixels: i32, of: usize) -> i32 {
    (pixels as usize).div_ceil(of) as i32
}

/// Trips of a thread along a row of pixels.
fn along(width: i32, channels: i32) -> f64 {
    let walkers = WALKERS as i32;
    let vectors = (channels / 8).clamp(1, walkers);
    (f64::from(width) / f64::from(walkers / vectors)).ceil()
}

fn work(launch: &Launch) -> Work {
    let rows = f64::from(launch.grid[0]);
    match launch.kernel {
        name if name.starts_with("convolve") => {
            let p: Convolution = parameters(launch);
            let sources = &p.sources[..p.sources_in_use as usize];
            let (read, written) = (p.images * p.in_height * p.in_width, p.images * p.height * p.width);
            let all: f64 = sources.iter().map(|s| f64::from(s.chunks)).sum();
            let active =
                sources.iter().map(|s| is_active(&s.source.activation) * f64::from(s.chunks)).sum::<f64>() / all;
            let target = |t: &super::super::parameters::WriteTarget| match (t.data, t.flags) {
                (0, _) => 0.0,
                (_, flags) => f64::from(written) * 16.0 * f64::from(2 << (flags & 1)) * f64::from(1 + (flags >> 1)),
            };
            let bytes = sources.iter().map(|s| map_bytes(&s.source.map, f64::from(read))).sum::<f64>()
                + p.targets.iter().map(target).sum::<f64>();
            // A block of a kernel for bf16 maps alone goes through its chunks once for every tile.
            let chunks = f64::from(p.chunks);
            let tiles = f64::from(in_parts(p.width, TILE[1])) / f64::from(launch.grid[0]);
            let walks = name.starts_with("convolve_bf16") && name.ends_with('3');
            Work { trips: if walks { vec![tiles, chunks] } else { vec![chunks] }, active, bytes }
        }
        name if name.starts_with("weight_gradient") => {
            let p: WeightGradient = parameters(launch);
            let sources = &p.sources[..p.sources_in_use as usize];
            let tiles = p.images * in_parts(p.height, TILE[0]) * in_parts(p.width, TILE[1]);
            let pixels = f64::from(p.images * p.in_height * p.in_width);
            let all: f64 = sources.iter().map(|s| f64::from(s.source.map.channels)).sum();
            let active: f64 =
                sources.iter().map(|s| is_active(&s.source.activation) * f64::from(s.source.map.channels)).sum();
            let bytes = sources.iter().map(|s| map_bytes(&s.source.map, pixels)).sum::<f64>()
                + map_bytes(&p.gradient, f64::from(p.images * p.height * p.width));
            Work { trips: vec![f64::from(tiles) / f64::from(p.shares)], active: active / all, bytes }
        }
        "sum_weight_blocks" => {
            let p: WeightBlocks = parameters(launch);
            let bytes = 4.0 * f64::from(p.sums) * f64::from(p.shares + 1);
            // The compiler takes four at once; what is left over is a loop before.
            Work { trips: vec![0.0, f64::from(p.shares) / 32.0], active: 0.0, bytes }
        }
        "merge_moments" => {
            let p: Moments = parameters(launch);
            let tiles = p.norm.images * in_parts(p.height, p.rows as usize) * in_parts(p.width, TILE[1]) / p.norm.rows;
            let bytes = f64::from(tiles * p.norm.rows * p.norm.channels) * 8.0;
            // The compiler takes four at once; what is left over is a loop before.
            let trips = f64::from(tiles) / 1024.0;
            Work { trips: vec![0.0, trips, 0.0, trips, 1.0, 0.0], active: 0.0, bytes }
        }
        "sum_gradients" | "sum_gradients_bf16" => {
            let p: GradientSums = parameters(launch);
            let lanes = 256 / (p.map.map.channels / 8).min(32);
            let pixels = f64::from(p.norm.images * p.norm.area);
            let bytes = map_bytes(&p.map.map, pixels) + map_bytes(&p.gradient, pixels);
            // Both sums, the steps of the tree of lanes, and the entries that a thread adds in each.
            let (pixels, steps) = (f64::from(p.pixels) / f64::from(lanes), f64::from(lanes).log2().ceil());
            Work { trips: vec![pixels, 2.0, steps, 1.0], active: 0.0, bytes }
        }
        "apply_gradient" => {
            let p: NormGradient = parameters(launch);
            let pixels = rows * f64::from(p.width);
            let bytes = map_bytes(&p.map.map, pixels) + 2.0 * map_bytes(&p.gradient, pixels);
            Work { trips: vec![along(p.width, p.gradient.channels)], active: 0.0, bytes }
        }
        "upsample" => {
            let p: Upsample = parameters(launch);
            let channels = p.from.map.channels;
            let per_pixel = map_bytes(&p.from.map, 1.0);
            let bytes = per_pixel * f64::from(p.images * (p.height * p.width + p.to_height * p.to_width));
            Work { trips: vec![along(p.to_width, channels)], active: is_active(&p.from.activation), bytes }
        }
        "upsample_gradient" => {
            let p: Upsample = parameters(launch);
            let per_pixel = map_bytes(&p.gradient, 1.0);
            let small = p.height * p.width * (1 + p.accumulate);
            let bytes = per_pixel * f64::from(p.images * (small + p.to_height * p.to_width));
            // A pixel has about as many readers along an axis as two taps for each pixel of the result give it.
            let readers = 2.0 * f64::from(p.to_width) / f64::from(p.width);
            Work { trips: vec![along(p.width, p.gradient.channels), readers], active: 0.0, bytes }
        }
        "pool" => {
            let p: Pool = parameters(launch);
            let bytes = map_bytes(&p.from.map, f64::from(p.images * p.height * p.width) * 1.25);
            let trips = vec![along(p.width / 2, p.from.map.channels), 2.0, 2.0];
            Work { trips, active: is_active(&p.from.activation), bytes }
        }
        "pool_gradient" => {
            let p: Pool = parameters(launch);
            let pixels = f64::from(p.images * p.height * p.width);
            let bytes = map_bytes(&p.from.map, pixels * (2.25 + f64::from(p.accumulate)));
            let trips = vec![along((p.width + 1) / 2, p.from.map.channels)];
            Work { trips, active: is_active(&p.from.activation), bytes }
        }
        "combine" => {
            let p: Combine = parameters(launch);
            let bytes = 3.0 * map_bytes(&p.to, rows * f64::from(p.width));
            Work { trips: vec![along(p.width, p.to.channels)], active: 1.0, bytes }
        }
        "planes_to_map" | "map_to_planes" => {
            let p: Exchange = parameters(launch);
            let pixels = f64::from(p.images * p.area);
            let wide = if p.map.map.wide == 1 { 64.0 } else { 32.0 };
            Work { trips: Vec::new(), active: 0.0, bytes: pixels * (wide + 4.0 * f64::from(p.count)) }
        }
        _ => Work { trips: Vec::new(), active: 0.0, bytes: 0.0 },
    }
}

/// The launches of a step's forward and backward pass, one a line: kernel, blocks, warps and shared memory of a block, trips,
/// share with activations, bytes.
fn step(filters: &[usize], precision: Precision, [images, height, width]: [usize; 3]) -> String {
    let graph = unet_plus_plus(Style::BILINEAR_RELU, filters, 1, 10, false);
    let recorder = Arc::new(Recorder::default());
    let mut engine = CudaEngine::new(&graph, precision, Arc::clone(&recorder) as Arc<dyn Gpu>).unwrap();
    let parameters = ParamStore::initialise(&graph, 0, DType::F32, &Device::Cpu).unwrap();
    let input = Tensor::zeros((images, 1, height, width), DType::F32, &Device::Cpu).unwrap();
    let heads = engine.forward(&input, &parameters, Mode::Train).unwrap();
    engine.gradient(&heads, &heads, &parameters).unwrap();
    let launches = recorder.0.lock().unwrap();
    let mut text = String::new();
    for launch in launches.iter() {
        let Work { trips, active, bytes } = work(launch);
        let blocks: f64 = launch.grid.iter().map(|n| f64::from(*n)).product();
        let trips: Vec<String> = trips.iter().map(|n| format!("{n:.3}")).collect();
        let (kernel, warps, shared) = (launch.kernel, launch.threads / 32, launch.shared);
        writeln!(text, "{kernel}\t{blocks}\t{warps}\t{shared}\t{}\t{active:.3}\t{bytes}", trips.join(",")).unwrap();
    }
    text
}

#[test]
fn planned_memory_is_what_is_asked_for() {
    planned_for(&unet_plus_plus(Style::BILINEAR_RELU, &[16, 32, 64], 1, 10, false));
    planned_for(&inverted_residuals(&[48, 96, 160], 10));
}

fn planned_for(graph: &Graph) {
    for precision in [Precision::Fp32, Precision::Tf32, Precision::Bf16] {
        let recorder = Arc::new(Recorder::default());
        let mut engine = CudaEngine::new(graph, precision, Arc::clone(&recorder) as Arc<dyn Gpu>).unwrap();
        // Without maps that are kept where memory is plenty.
        engine.plenty = 0;
        let parameters = ParamStore::initialise(graph, 0, DType::F32, &Device::Cpu).unwrap();
        let input = Tensor::zeros((2, 1, 160, 128), DType::F32, &Device::Cpu).unwrap();
        for mode in [Mode::Train, Mode::Evaluate] {
            engine.forward(&input, &parameters, mode).unwrap();
        }
        let size = Size { height: 160, width: 128 };
        let planned = CudaEngine::memory_bytes(graph, precision, 2, size).unwrap() as f64;
        let asked = recorder.1.load(Ordering::Relaxed) as f64;
        assert!((planned - asked).abs() < 0.03 * asked, "{precision:?}: {planned} planned, {asked} bytes asked for");
    }
}

/// The kernels compiled for a GPU, disassembled and counted: no spilled register, no more instructions in a hot loop than
/// the budget has. Prints what a step is predicted to take.
#[test]
fn kernels_keep_to_their_budget() {
    let Some(toolkit) = cuda_toolkit() else { return };
    // Kept in a folder that is named, for `gpu_budget.py --profile`.
    let (temporary, named) = (tempfile::tempdir().unwrap(), std::env::var_os("SWEEP_LAUNCHES").map(PathBuf::from));
    let folder = named.as_deref().unwrap_or(temporary.path());
    let mut sizes = vec![([4, 800, 640], Precision::Bf16), ([1, 800, 640], Precision::Bf16)];
    sizes.extend([([16, 800, 640], Precision::Bf16), ([4, 400, 320], Precision::Bf16)]);
    sizes.extend([([32, 400, 320], Precision::Bf16), ([4, 800, 640], Precision::Tf32)]);
    sizes.push(([4, 800, 640], Precision::Fp32));
    for (name, filters) in [("16-256", [16, 32, 64, 128, 256]), ("32-512", [32, 64, 128, 256, 512])] {
        for (size, precision) in &sizes {
            let [images, height, width] = size;
            let precision_name = format!("{precision:?}").to_lowercase();
            let file = format!("{name} {width}x{height} {images} {precision_name}.tsv");
            std::fs::write(folder.join(file), step(&filters, *precision, *size)).unwrap();
        }
    }
    let output = Command::new("python3")
        .arg(repository().join("scripts/gpu_budget.py"))
        .arg(toolkit)
        .arg("--launches")
        .arg(folder)
        .output();
    let Some(output) = Need::CudaCompiler.met(output.map_err(|e| format!("python3 does not start: {e}"))) else {
        return;
    };
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
