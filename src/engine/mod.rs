//! The only door to convolution, pooling, upsampling and normalisation: an engine runs a
//! [`Graph`](crate::graph::Graph).

pub mod cpu;

use candle_core::Tensor;

use crate::error::Result;
use crate::params::ParamStore;

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, which also move the running ones; the result can be differentiated.
    Train,
    /// Running statistics; nothing is kept for a backward pass.
    Evaluate,
}

/// Runs one graph. An engine keeps buffers between calls, so it is `&mut`.
pub trait Engine {
    /// `[B, C, H, W]` → one `[B, K, H, W]` per head; the last is the prediction. In [`Mode::Train`] the results can
    /// be differentiated with respect to [`ParamStore::trained`], and running statistics are updated.
    ///
    /// # Errors
    /// When the images do not fit the graph, or a tensor operation fails.
    fn forward(&mut self, images: &Tensor, parameters: &ParamStore, mode: Mode) -> Result<Vec<Tensor>>;
}
