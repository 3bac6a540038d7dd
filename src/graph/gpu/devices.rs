//! The GPUs of this machine, if the program was built for them.

#[cfg(feature = "cuda")]
pub use super::cuda::{check, list, of, open};

#[cfg(not(feature = "cuda"))]
pub use without::{check, list, of, open};

/// Whether the program was built for GPUs.
#[must_use]
pub const fn is_built_in() -> bool {
    cfg!(feature = "cuda")
}

/// A GPU, for `sweep devices`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceInfo {
    /// The manufacturer's name for it.
    pub name: String,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Memory, bytes.
    pub memory: usize,
}

/// The answers of a program that was built without CUDA.
#[cfg(not(feature = "cuda"))]
mod without {
    use std::sync::Arc;

    use candle_core::Device;
    use sweep_core::error::{Error, Kind, Result};

    use super::super::Gpu;
    use super::DeviceInfo;

    fn refused() -> Error {
        Error::new(Kind::Device, "this program was built without CUDA")
            .remedy("build it with scripts/build-cuda, or use --device cpu")
    }

    /// The GPUs of this machine.
    ///
    /// # Errors
    /// Always: this program was built without CUDA.
    pub fn list() -> Result<Vec<DeviceInfo>> {
        Err(refused())
    }

    /// Checks that a GPU can be opened.
    ///
    /// # Errors
    /// Always: this program was built without CUDA.
    pub fn check(_ordinal: usize) -> Result<DeviceInfo> {
        Err(refused())
    }

    /// Opens a GPU for candle and for [`of`].
    ///
    /// # Errors
    /// Always: this program was built without CUDA.
    pub fn open(_ordinal: usize) -> Result<Device> {
        Err(refused())
    }

    /// The GPU behind a candle device.
    ///
    /// # Errors
    /// Always: this program was built without CUDA.
    pub fn of(device: &Device) -> Result<Arc<dyn Gpu>> {
        Err(Error::new(Kind::Device, format!("{device:?} is not a GPU of this program")))
    }
}
