//! Engines run a [`Graph`]: convolution, pooling, upsampling and normalisation are reached through them only.

pub mod candle_ops;
pub mod cpu;
pub mod cuda;
mod plan;
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Tensor};
use sweep_graph::tensors::TensorOperation as _;

use cpu::CpuEngine;
use plan::Extent;
use plan::network::Network;
use reference::Reference;
use sweep_core::error::{Error, Kind, Result};
use sweep_core::units::Size;
pub use sweep_graph::Precision;
use sweep_graph::params::ParamStore;
use sweep_graph::{Graph, Node, NormKind};

/// Purpose of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, which also move the running ones; the result can be differentiated.
    Train,
    /// Running statistics; nothing is kept for a backward pass.
    Evaluate,
}

/// Precision of convolutions on a device: the requested one, or single precision if the device has no unit for it.
#[must_use]
pub fn precision_on(device: &Device, requested: Precision) -> Precision {
    match device {
        Device::Cuda(_) => requested,
        Device::Cpu if cpu::unit_for(requested).is_some() => requested,
        Device::Cpu | Device::Metal(_) => Precision::Fp32,
    }
}

/// Runs one graph. Its parameters are all parameters of a store, or consecutive ones among them. An engine keeps
/// buffers between calls, so it is `&mut`.
pub trait Engine {
    /// Tells, before a forward pass in [`Mode::Train`], what its random numbers depend on: the trial's seed, the epoch, and
    /// the images' indices in the data set. Graphs draw none.
    fn draw_from(&mut self, _seed: u64, _epoch: u64, _images: &[usize]) {}

    /// `[B, C, H, W]` → one `[B, K, H, W]` per head; the last is the prediction. In [`Mode::Train`] running statistics
    /// are updated, and the results can be differentiated with respect to [`ParamStore::trained`]: by
    /// [`Engine::gradient`] and, for graphs on the processor, by candle's `backward`.
    ///
    /// # Errors
    /// When the images do not match the graph, or a tensor operation fails.
    fn forward(&mut self, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<Vec<Tensor>>;

    /// The gradient `[N]` to [`ParamStore::trained`], from the gradients `to_heads` (of the heads' shapes) to the heads
    /// that the last forward pass in [`Mode::Train`] returned; zero for parameters of other graphs. It equals, bit for
    /// bit, the result of `backward()` for a loss with these gradients, without candle's copies of every gradient. The
    /// next call may overwrite the result: keep a copy if you need it longer.
    ///
    /// # Errors
    /// When the heads are those of another pass, shapes differ, or a tensor operation fails.
    fn gradient(&mut self, heads: &[Tensor], to_heads: &[Tensor], parameters: &ParamStore) -> Result<Tensor> {
        if heads.len() != to_heads.len() {
            return Err(Error::input(format!("{} gradients of {} heads", to_heads.len(), heads.len())));
        }
        let product = |(head, gradient): (&Tensor, &Tensor)| (head * gradient)?.sum_all();
        let products = heads.iter().zip(to_heads).map(product).collect::<candle_core::Result<Vec<_>>>().computed()?;
        let mut gradients = Tensor::stack(&products, 0).computed()?.sum_all().computed()?.backward().computed()?;
        gradients
            .remove(parameters.trained())
            .ok_or_else(|| Error::input("the heads do not depend on these parameters"))
    }
}

/// The fastest engine for a graph in this precision on a device.
///
/// # Errors
/// When no engine runs on the device.
pub fn build(graph: &Graph, dtype: DType, precision: Precision, device: &Device) -> Result<Box<dyn Engine + Send>> {
    match device {
        Device::Cpu if dtype == DType::F32 => Ok(Box::new(CpuEngine::new(graph, precision))),
        Device::Cuda(_) if dtype == DType::F32 => {
            Ok(Box::new(cuda::CudaEngine::new(graph, precision, sweep_graph::gpu::of(device)?)?))
        }
        Device::Cpu | Device::Cuda(_) => Ok(Box::new(Reference::new(graph))),
        Device::Metal(_) => {
            Err(Error::new(Kind::Device, "no engine runs on Metal").remedy("use the CPU or a CUDA device"))
        }
    }
}

/// Checks that images and parameters belong to a network, in single precision and, by `is_here`, on the engine's
/// device; `engine` and `remedy` are for the error. Returns the number and size of the images, and the start of the
/// network's parameters as given by [`ParamStore::part`].
fn check_operands(
    network: &Network,
    images: &Tensor,
    parameters: &ParamStore,
    is_here: impl Fn(&Device) -> bool,
    [engine, remedy]: [&str; 2],
) -> Result<(Extent, [usize; 2])> {
    let (count, channels, height, width) = images.dims4().computed()?;
    if network.channels != channels || count == 0 {
        return Err(Error::input(format!("images of shape {:?} do not fit the network", images.dims()))
            .remedy(format!("use at least one image with {} channels", network.channels)));
    }
    let Some(part) = parameters.part(&network.parameters) else {
        return Err(Error::input("the parameters are not those of this engine's network"));
    };
    for (what, tensor) in [("images", images), ("parameters", parameters.trained().as_tensor())] {
        if tensor.dtype() != DType::F32 || !is_here(tensor.device()) {
            return Err(
                Error::new(Kind::Device, format!("the engine for {engine} cannot use these {what}")).remedy(remedy)
            );
        }
    }
    Ok((Extent { images: count, size: Size { height, width } }, part))
}

/// Error text for a pass that cannot be differentiated.
pub const STALE: &str = "a forward pass can be differentiated once, and only before the engine's next forward pass";

/// Checks that every normalisation has more than one value to measure, because a variance needs two.
fn check_norms(graph: &Graph, sizes: &[Size], images: usize, mode: Mode) -> Result<()> {
    for (node, size) in graph.nodes().iter().zip(sizes) {
        let (Node::Convolution { channels, norm: Some(norm), .. }
        | Node::TransposedConvolution { channels, norm: Some(norm), .. }) = node
        else {
            continue;
        };
        let measured = mode == Mode::Train || norm.kind != NormKind::Batch;
        if measured && norm.values(images, *channels, size.area()) < 2 {
            let remedy = match norm.kind {
                NormKind::Batch => "use a larger batch, a larger input, or fewer filters",
                NormKind::Group { .. } => "use a larger input, fewer groups, or fewer filters",
            };
            return Err(
                Error::definition(format!("`{}` cannot normalise a single value by itself", norm.name)).remedy(remedy)
            );
        }
    }
    Ok(())
}
