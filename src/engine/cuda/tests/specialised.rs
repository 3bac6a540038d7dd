//! Kernels that are compiled for one side give the bits of those for any side, however many tiles a block computes.
#![expect(unsafe_code, reason = "reads launches' parameters back")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::choose::{ROW, TILE};
use super::super::parameters::{Convolution, WeightGradient};
use super::super::*;
use crate::tests::comparison::{parameters, run};
use crate::tests::networks::{Style, head};
use sweep_emulator::Emulator;
use sweep_graph::gpu::MemoryInfo;
use sweep_graph::{Activation, Node};

/// A GPU that runs other launches in place of some, and counts them.
struct Changed {
    gpu: Arc<dyn Gpu>,
    by: fn(&Launch) -> Option<Launch>,
    count: AtomicUsize,
}

impl Changed {
    fn new(gpu: &Arc<dyn Gpu>, by: fn(&Launch) -> Option<Launch>) -> Arc<Self> {
        Arc::new(Self { gpu: Arc::clone(gpu), by, count: AtomicUsize::new(0) })
    }
}

/// The launch of a convolution whose blocks compute so many tiles; `None` for other kernels.
fn walking<const TILES: usize>(launch: &Launch) -> Option<Launch> {
    if !launch.kernel.starts_with("convolve_bf16") || !launch.kernel.ends_with("_3") {
        return None;
    }
    // SAFETY: the structure of the kernel's parameters.
    let mut p: Convolution = unsafe { launch.parameters().cast::<Convolution>().read() };
    p.tiles = TILES as i32;
    let [_, y, z] = launch.grid.map(|n| n as usize);
    let grid = [(p.width as usize).div_ceil(TILE[1]).div_ceil(TILES), y, z];
    Some(Launch::new(launch.kernel, grid, launch.threads, &p).shared(launch.shared as usize))
}

/// The launch of the kernel for any side; `None` if there is none that reads the same weights.
fn for_any_side(launch: &Launch) -> Option<Launch> {
    let reach = |kernel: i32, stride: i32| -> usize {
        TILE.iter().map(|side| (side - 1) * stride as usize + kernel as usize).product()
    };
    if launch.kernel == "convolve_bf16_16_3" {
        // SAFETY: the structure of the kernel's parameters.
        let p: Convolution = unsafe { launch.parameters().cast::<Convolution>().read() };
        let grid =
            [(p.width as usize).div_ceil(TILE[1]), (p.height as usize).div_ceil(TILE[0]), launch.grid[2] as usize];
        let shared = 2 * (reach(3, 1) + 9 * 16) * ROW;
        return Some(Launch::new("convolve_bf16_16_0", grid, 128, &p).shared(shared));
    }
    let (kernel, across) = match launch.kernel {
        "weight_gradient_bf16_1_1" | "weight_gradient_bf16_1_3" => ("weight_gradient_bf16_1_0", 1),
        "weight_gradient_bf16_2_3" => ("weight_gradient_bf16_2_0", 2),
        "weight_gradient_bf16_4_3" => ("weight_gradient_bf16_4_0", 4),
        "weight_gradient_tf32_1_3" => ("weight_gradient_tf32_1_0", 1),
        "weight_gradient_tf32_2_3" => ("weight_gradient_tf32_2_0", 2),
        "weight_gradient_fp32_1_3" => ("weight_gradient_fp32_1_0", 1),
        "weight_gradient_fp32_4_3" => ("weight_gradient_fp32_4_0", 4),
        _ => return None,
    };
    // SAFETY: the structure of the kernel's parameters.
    let p: WeightGradient = unsafe { launch.parameters().cast::<WeightGradient>().read() };
    let staged = (reach(p.kernel, p.stride) + across * TILE[0] * TILE[1]) * 3 * ROW;
    let shared = staged.max(across * 32 * 9 * 8 * 4);
    Some(Launch::new(kernel, launch.grid.map(|n| n as usize), 128, &p).shared(shared))
}

impl Gpu for Changed {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn Memory>> {
        self.gpu.allocate(bytes)
    }
    fn write(&self, to: Address, bytes: &[u8]) -> Result<()> {
        self.gpu.write(to, bytes)
    }
    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.gpu.read(from, bytes)
    }
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.gpu.copy(from, to, bytes)
    }
    fn launch(&self, launch: &Launch) -> Result<()> {
        self.gpu.launch(launch)
    }
    fn sequence(&self, launches: Vec<Launch>) -> Box<dyn Sequence> {
        self.count.fetch_add(launches.iter().filter_map(self.by).count(), Ordering::Relaxed);
        self.gpu.sequence(launches.into_iter().map(|launch| (self.by)(&launch).unwrap_or(launch)).collect())
    }
    fn address(&self, tensor: &Tensor) -> Result<Address> {
        self.gpu.address(tensor)
    }
    fn tensor(&self, shape: &[usize]) -> Result<Tensor> {
        self.gpu.tensor(shape)
    }
    fn memory_info(&self) -> Result<MemoryInfo> {
        self.gpu.memory_info()
    }
}

#[test]
fn a_known_side_changes_no_bit() {
    for falling in [false, true] {
        let Some(gpu) = Emulator::gpu(falling) else { return };
        for (channels, slope, precision) in [
            (16, 0.0, Precision::Bf16),
            (40, -0.2, Precision::Bf16),
            (21, 0.1, Precision::Bf16),
            (16, 0.0, Precision::Tf32),
            (16, 0.3, Precision::Fp32),
        ] {
            // Statistics of other blocks would differ in their last bits.
            let style = Style { norm: None, activation: Activation::LeakyRelu { slope }, ..Style::BILINEAR_RELU };
            let mut graph = Graph::new();
            let images = graph.push(Node::Input { channels: 3 });
            let first = style.conv(&mut graph, images, "first", 16, 3);
            let second = style.conv(&mut graph, first, "second", channels, 3);
            let third = style.conv(&mut graph, second, "third", 16, 3);
            head(&mut graph, third, "head", 4);
            let result = |gpu: Arc<dyn Gpu>| {
                let mut engine = CudaEngine::new(&graph, precision, gpu).unwrap();
                run(&mut engine, &parameters(&graph, 7), [2, 3, 37, 21], Mode::Train)
            };
            let any_side = Changed::new(&gpu, for_any_side);
            let (found, expected) = (result(Arc::clone(&gpu)), result(Arc::clone(&any_side) as Arc<dyn Gpu>));
            // The weight gradients of three layers of side 3, or of two where maps of the head's layer are wide.
            assert!(any_side.count.load(Ordering::Relaxed) >= 2, "nothing is compared");
            assert!(found == expected, "{channels} channels, slope {slope}, {precision:?}, falling: {falling}");
        }
    }
}

#[test]
fn the_number_of_tiles_of_a_block_changes_no_bit() {
    for falling in [false, true] {
        let Some(gpu) = Emulator::gpu(falling) else { return };
        // Convolutions of 1, 2 and 3 chunks and more, to 16, 32 and 64 channels; 5 tiles side by side, the last one narrow.
        for channels in [16, 48] {
            let mut graph = Graph::new();
            let style = Style::BILINEAR_RELU;
            let images = graph.push(Node::Input { channels: 3 });
            let first = style.conv(&mut graph, images, "first", channels, 3);
            let second = style.conv(&mut graph, first, "second", 16, 3);
            let both = graph.push(Node::Concatenate { inputs: vec![first, second] });
            let third = style.conv(&mut graph, both, "third", 64, 3);
            let fourth = style.conv(&mut graph, third, "fourth", 16, 3);
            head(&mut graph, fourth, "head", 4);
            let result = |gpu: Arc<dyn Gpu>| {
                let mut engine = CudaEngine::new(&graph, Precision::Bf16, gpu).unwrap();
                run(&mut engine, &parameters(&graph, 7), [2, 3, 19, 69], Mode::Train)
            };
            let expected = result(Arc::clone(&gpu));
            for by in [walking::<2> as fn(&Launch) -> Option<Launch>, walking::<3>] {
                let changed = Changed::new(&gpu, by);
                let found = result(Arc::clone(&changed) as Arc<dyn Gpu>);
                assert!(changed.count.load(Ordering::Relaxed) >= 6, "nothing is compared");
                assert!(found == expected, "{channels} channels, falling: {falling}");
            }
        }
    }
}
