//! Operations for modules of candle, with the names and arguments of candle's own and right gradients.
//!
//! candle 0.11 differentiates some of its operations wrongly, and some not at all:
//!
//! | of candle | its gradient | in its place |
//! |---|---|---|
//! | `max_pool2d` | a fraction of the right one | [`max_pool2d`], [`max_pool2d_with_stride`] |
//! | `avg_pool2d` of sides that the window does not divide | wrong at the border and near it | [`avg_pool2d`] |
//! | `upsample_nearest2d` | overwrites that of the input's other uses; only for whole, equal factors | [`upsample_nearest2d`] |
//! | `upsample_bilinear2d` | none: an error | [`upsample_bilinear2d`] |
//! | `candle_nn::ops::softmax_last_dim`, `layer_norm`, `rms_norm` | none, and no error: as if detached | `softmax`, `layer_norm_slow`, `rms_norm_slow` of the same module |
//!
//! These functions compute the same values. On the processor they run kernels of this crate, on a GPU they are composed of
//! operations that candle differentiates rightly. Each adds its gradient to what is there, so an input may be used again.
//!
//! ```
//! # extern crate sweep_engine as landmark_sweep;
//! use candle_core::{Device, Tensor, Var};
//! use landmark_sweep::candle_ops::max_pool2d;
//!
//! let map = Var::from_tensor(&Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((1, 1, 4, 4))?)?;
//! let gradient = |pooled: Tensor| -> candle_core::Result<f32> {
//!     pooled.sum_all()?.backward()?.get(&map).unwrap().sum_all()?.to_scalar()
//! };
//! // Four windows, each of which passes on a gradient of 1.
//! assert_eq!(gradient(max_pool2d(&map, 2)?)?, 4.0);
//! assert_eq!(gradient(map.max_pool2d(2)?)?, 1.0);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod pooling;
#[cfg(test)]
mod tests;
mod upsampling;

use std::cell::RefCell;

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, TensorId, bail};

pub use pooling::{avg_pool2d, max_pool2d, max_pool2d_with_stride};
pub use upsampling::{upsample_bilinear2d, upsample_nearest2d};

thread_local! {
    /// Results of this module's operations, while [`results_of`] runs.
    static RESULTS: RefCell<Option<Vec<TensorId>>> = const { RefCell::new(None) };
}

/// Calls a function; returns its result, and the tensors that operations of this module made meanwhile on this thread. So who
/// looks for a wrong operation can tell them from candle's own, which have the same values.
pub fn results_of<R>(f: impl FnOnce() -> R) -> (R, Vec<TensorId>) {
    let before = RESULTS.replace(Some(Vec::new()));
    let result = f();
    (result, RESULTS.replace(before).unwrap_or_default())
}

/// Notes a result for [`results_of`].
fn noted(result: Tensor) -> Tensor {
    RESULTS.with_borrow_mut(|results| {
        if let Some(results) = results {
            results.push(result.id());
        }
    });
    result
}

/// A result that was computed outside candle's autograd, as an operation on one tensor; `backward` makes the gradient to that
/// tensor from it and the gradient to the result.
struct Computed<B> {
    name: &'static str,
    result: Tensor,
    backward: B,
}

impl<B: Fn(&Tensor, &Tensor) -> Result<Tensor>> CustomOp1 for Computed<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &*self.result.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.try_clone(self.result.layout())?, self.result.shape().clone())),
            Storage::Cuda(_) | Storage::Metal(_) => bail!("the result is not on the CPU"),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        match &*self.result.storage_and_layout().0 {
            Storage::Cuda(storage) => Ok((storage.try_clone(self.result.layout())?, self.result.shape().clone())),
            Storage::Cpu(_) | Storage::Metal(_) => bail!("the result is not on the GPU"),
        }
    }

    fn bwd(&self, argument: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        (self.backward)(argument, &gradient.contiguous()?).map(Some)
    }
}

/// Makes `result` the value of an operation on `argument`. Without autograd the result is the value itself.
fn operation(
    name: &'static str,
    argument: &Tensor,
    result: Tensor,
    backward: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !argument.track_op() {
        return Ok(noted(result));
    }
    argument.apply_op1(Computed { name, result, backward }).map(noted)
}
