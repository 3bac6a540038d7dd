//! Runs the GPU kernels on the CPU, for tests: thread by thread, from the same CUDA sources.
//!
//! [`gpus`] lists what tests run kernels on: the emulator, or, if the variable `LANDMARK_SWEEP_TEST_GPU` is set, the
//! first GPU (scripts/gpu-check.sh).
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot go on fails")]

mod kernels;
mod layout;

use std::sync::{Arc, OnceLock};

use candle_core::Device;
use sweep_graph::gpu::{self, Gpu};

pub use kernels::Emulator;
pub use layout::{Field, Layout, field_size};

/// A GPU, real or emulated, and the device its tensors are on.
pub struct TestGpu {
    /// For messages of failed tests.
    pub name: &'static str,
    /// Runs kernels.
    pub gpu: Arc<dyn Gpu>,
    /// Where candle's tensors are.
    pub device: Device,
}

/// What to run kernels on; nothing, with a word on standard output, if there is neither a GPU to use nor a C++ compiler for
/// the emulator.
#[must_use]
pub fn gpus() -> Vec<TestGpu> {
    if let Some(gpu) = real() {
        return vec![gpu];
    }
    let emulated = [("emulator", false), ("emulator, threads from last to first", true)]
        .into_iter()
        .filter_map(|(name, falling)| Some(TestGpu { name, gpu: Emulator::gpu(falling)?, device: Device::Cpu }));
    emulated.collect()
}

/// The GPU, if it is to be tested on.
#[expect(clippy::disallowed_methods, reason = "a switch for tests")]
fn real() -> Option<TestGpu> {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    std::env::var_os("LANDMARK_SWEEP_TEST_GPU")?;
    let device = DEVICE.get_or_init(|| gpu::devices::open(0).unwrap()).clone();
    Some(TestGpu { name: "GPU", gpu: gpu::of(&device).unwrap(), device })
}
