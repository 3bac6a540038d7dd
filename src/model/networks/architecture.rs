//! A network that can be trained: a graph, which the engines run, or a module, which candle runs.

use candle_core::{DType, Device};

use crate::candle::{CandleEngine, Module};
use sweep_core::error::{Error, Result};
use sweep_core::units::Size;
use sweep_engine::cpu::CpuEngine;
use sweep_engine::cuda::CudaEngine;
use sweep_engine::{self as engine, Engine, Precision};
use sweep_graph::{Graph, ParameterSpec};

/// A network that can be trained.
#[derive(Debug, Clone)]
pub enum Architecture {
    /// A network as data.
    Graph(Graph),
    /// A module of candle.
    Module(Module),
}

impl Architecture {
    /// The graph, for what reads networks as data.
    ///
    /// # Errors
    /// When it is a module.
    pub fn graph(&self) -> Result<&Graph> {
        match self {
            Self::Graph(graph) => Ok(graph),
            Self::Module(module) => {
                let what = format!("`{}` is a module of candle, whose operations only candle knows", module.kind());
                Err(Error::input(what).remedy("write it as a graph, see CustomNetwork, if it must be read as data"))
            }
        }
    }

    /// Every parameter, in the network's order.
    #[must_use]
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        match self {
            Self::Graph(graph) => graph.parameters(),
            Self::Module(module) => module.parameters().to_vec(),
        }
    }

    /// Number of values that the optimizer trains.
    #[must_use]
    pub fn trained_values(&self) -> usize {
        self.parameters().iter().filter(|p| p.role.is_trained()).map(ParameterSpec::len).sum()
    }

    /// Number of its outputs.
    #[must_use]
    pub fn heads(&self) -> usize {
        match self {
            Self::Graph(graph) => graph.heads().len(),
            Self::Module(_) => 1,
        }
    }

    /// The same network with a prefix before every parameter's name.
    pub(super) fn prefixed(self, prefix: &str) -> Self {
        match self {
            Self::Graph(graph) => Self::Graph(graph.prefixed(prefix)),
            Self::Module(module) => Self::Module(module.prefixed(prefix)),
        }
    }

    /// Checks that images are large enough. Of a module only its run shows that.
    ///
    /// # Errors
    /// When they are not.
    pub(super) fn check_size(&self, images: Size) -> Result<()> {
        match self {
            Self::Graph(graph) => graph.sizes(images).map(|_| ()),
            Self::Module(_) => Ok(()),
        }
    }

    /// [`Graph::flops`]; `None` for a module, whose operations are not known.
    ///
    /// # Errors
    /// Same errors as [`Graph::flops`].
    pub fn flops(&self, images: Size) -> Result<Option<u64>> {
        match self {
            Self::Graph(graph) => graph.flops(images).map(Some),
            Self::Module(_) => Ok(None),
        }
    }

    /// The fastest engine for it on a device, in single precision but for convolutions.
    ///
    /// # Errors
    /// When no engine runs on the device.
    pub fn engine(&self, precision: Precision, device: &Device) -> Result<Box<dyn Engine + Send>> {
        match self {
            Self::Graph(graph) => engine::build(graph, DType::F32, precision, device),
            Self::Module(module) => Ok(Box::new(CandleEngine::new(module.clone()))),
        }
    }

    /// Bytes that a training step takes on the processor, without parameters. A module is run once to measure its tensors.
    ///
    /// # Errors
    /// When the network does not run on such images.
    pub fn memory_bytes(&self, precision: Precision, images: usize, size: Size) -> Result<usize> {
        match self {
            Self::Graph(graph) => CpuEngine::memory_bytes(graph, precision, images, size),
            Self::Module(module) => module_bytes(module, images, size),
        }
    }

    /// [`Self::memory_bytes`] on a GPU.
    ///
    /// # Errors
    /// Same errors as [`Self::memory_bytes`].
    pub fn gpu_memory_bytes(&self, precision: Precision, images: usize, size: Size) -> Result<usize> {
        match self {
            Self::Graph(graph) => CudaEngine::memory_bytes(graph, precision, images, size),
            Self::Module(module) => module_bytes(module, images, size),
        }
    }

    /// Bytes that a pass of an evaluation takes on the processor, without parameters; zero for a module, which is not run to
    /// know it.
    ///
    /// # Errors
    /// When the images are too small.
    pub fn evaluation_bytes(&self, precision: Precision, images: usize, size: Size) -> Result<usize> {
        match self {
            Self::Graph(graph) => CpuEngine::evaluation_bytes(graph, precision, images, size),
            Self::Module(_) => Ok(0),
        }
    }
}

/// The tensors of a module's pass, with what candle takes beside them for gradients and unfolded convolutions, and for the check
/// of gradients in double precision. The whole estimate was 16 to 34 % above the measured peak for six trainings of 62 to
/// 508 MiB.
fn module_bytes(module: &Module, images: usize, size: Size) -> Result<usize> {
    const PASSES: usize = 4;
    const CHECK: usize = 24 << 20;
    let variables = module.parameters().iter().map(ParameterSpec::len).sum::<usize>() * size_of::<f32>();
    let tensors = module.bytes_per_image(size)?.saturating_mul(PASSES * images);
    Ok(tensors.saturating_add(2 * variables).saturating_add(CHECK))
}
