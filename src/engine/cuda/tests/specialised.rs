//! Kernels that are compiled for one side give the bits of those for any side.
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

/// A GPU that runs the kernels for any side where launches name those for one, and counts them.
struct AnySide(Arc<dyn Gpu>, AtomicUsize);

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

impl Gpu for AnySide {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn Memory>> {
        self.0.allocate(bytes)
    }
    fn write(&self, to: Address, bytes: &[u8]) -> Result<()> {
        self.0.write(to, bytes)
    }
    fn read(&self, from: Address, bytes: &mut [u8]) -> Result<()> {
        self.0.read(from, bytes)
    }
    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        self.0.copy(from, to, bytes)
    }
    fn launch(&self, launch: &Launch) -> Result<()> {
        self.0.launch(launch)
    }
    fn sequence(&self, launches: Vec<Launch>) -> Box<dyn Sequence> {
        self.1.fetch_add(launches.iter().filter_map(for_any_side).count(), Ordering::Relaxed);
        self.0.sequence(launches.into_iter().map(|launch| for_any_side(&launch).unwrap_or(launch)).collect())
    }
    fn address(&self, tensor: &Tensor) -> Result<Address> {
        self.0.address(tensor)
    }
    fn tensor(&self, shape: &[usize]) -> Result<Tensor> {
        self.0.tensor(shape)
    }
    fn memory_info(&self) -> Result<MemoryInfo> {
        self.0.memory_info()
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
            let any_side = Arc::new(AnySide(Arc::clone(&gpu), AtomicUsize::new(0)));
            let (found, expected) = (result(Arc::clone(&gpu)), result(Arc::clone(&any_side) as Arc<dyn Gpu>));
            // The weight gradients of three layers of side 3, or of two where maps of the head's layer are wide.
            assert!(any_side.1.load(Ordering::Relaxed) >= 2, "nothing is compared");
            assert!(found == expected, "{channels} channels, slope {slope}, {precision:?}, falling: {falling}");
        }
    }
}
