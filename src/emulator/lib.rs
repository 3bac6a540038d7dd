//! Runs the GPU kernels on the CPU, for tests: thread by thread, from the same CUDA sources.
//!
//! [`gpus`] lists the devices on which tests run kernels: the emulator, or, if the variable `LANDMARK_SWEEP_TEST_GPU` is
//! set, the first GPU (scripts/gpu-check.sh). Without a GPU, each such test is recorded as not run on one.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot go on fails")]

mod kernels;
mod layout;

use std::sync::{Arc, OnceLock};

use candle_core::Device;
use sweep_graph::gpu::{self, Gpu};
use sweep_testing::Need;

pub use kernels::Emulator;
pub use layout::{Field, Layout, field_size};

/// A GPU, real or emulated, and the device of its tensors.
pub struct TestGpu {
    /// Name for messages of failed tests.
    pub name: &'static str,
    /// Runs kernels.
    pub gpu: Arc<dyn Gpu>,
    /// Device of candle's tensors.
    pub device: Device,
}

/// The devices to run kernels on: none if there is neither a GPU to use nor a C++ compiler for the emulator.
///
/// # Panics
///
/// If a GPU, or without one a C++ compiler, is missing and [required](Need::variable).
#[must_use]
#[track_caller]
pub fn gpus() -> Vec<TestGpu> {
    if let Some(gpu) = real() {
        return vec![gpu];
    }
    Need::Gpu.missing("LANDMARK_SWEEP_TEST_GPU is not set: the kernels ran in the emulator only");
    let emulated = [("emulator", false), ("emulator, threads from last to first", true)]
        .into_iter()
        .filter_map(|(name, falling)| Some(TestGpu { name, gpu: Emulator::gpu(falling)?, device: Device::Cpu }));
    emulated.collect()
}

/// The first GPU, if `LANDMARK_SWEEP_TEST_GPU` selects it.
#[expect(clippy::disallowed_methods, reason = "a switch for tests")]
fn real() -> Option<TestGpu> {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    std::env::var_os("LANDMARK_SWEEP_TEST_GPU")?;
    let device = DEVICE.get_or_init(|| gpu::devices::open(0).unwrap()).clone();
    Some(TestGpu { name: "GPU", gpu: gpu::of(&device).unwrap(), device })
}
