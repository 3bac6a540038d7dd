//! Where tests run kernels: on the emulator, or, where the variable `LANDMARK_SWEEP_TEST_GPU` is set to anything, on the
//! first GPU (scripts/gpu-check.sh).

use std::sync::Arc;

use candle_core::Device;

use super::Gpu;
use super::emulator::Emulator;

/// A GPU, real or emulated, and where its tensors are.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) gpu: Arc<dyn Gpu>,
    pub(crate) device: Device,
}

/// All there are; none, said aloud, where there is neither a GPU to use nor a C++ compiler for the emulator.
pub(crate) fn places() -> Vec<Place> {
    if let Some(gpu) = on_gpu() {
        return vec![gpu];
    }
    let emulated = [("emulator", false), ("emulator, threads from last to first", true)]
        .into_iter()
        .filter_map(|(name, falling)| Some(Place { name, gpu: Emulator::gpu(falling)?, device: Device::Cpu }));
    emulated.collect()
}

/// The GPU, if it is to be tested on.
#[cfg(feature = "cuda")]
#[expect(clippy::disallowed_methods, reason = "a switch for tests")]
fn on_gpu() -> Option<Place> {
    static DEVICE: std::sync::OnceLock<Device> = std::sync::OnceLock::new();
    std::env::var_os("LANDMARK_SWEEP_TEST_GPU")?;
    let device = DEVICE.get_or_init(|| super::cuda::open(0).unwrap()).clone();
    Some(Place { name: "GPU", gpu: super::of(&device).unwrap(), device })
}

#[cfg(not(feature = "cuda"))]
fn on_gpu() -> Option<Place> {
    None
}
