//! Losses between a network's maps and the heatmaps of the true landmarks, averaged **per image**.
//!
//! Targets are never stored: a heatmap is the outer product of a row and a column profile. A missing landmark has no
//! influence. Value and gradient come from one pass in closed form, with PyTorch's derivatives at the kinks.

pub mod custom;
pub mod gpu;
mod plane;
mod robust;
mod softmax;
mod spec;
#[cfg(test)]
mod tests;
pub mod width;

use candle_core::{DType, Tensor};
use rayon::prelude::*;
use sweep_graph::tensors::TensorOperation as _;

pub use custom::{CustomLoss, MapLoss};
pub use spec::LossSpec;
use sweep_core::error::{Error, Result};
use sweep_data::heatmap::Profiles;
use sweep_graph::simd_math::Number;
use sweep_graph::tensors::{change, read};

/// The target heatmaps of a batch: one row per image, one entry per landmark, `None` if it is missing.
pub type Targets = Vec<Vec<Option<Profiles>>>;

/// A loss as training uses it: its value, and its gradient to every head in buffers that are kept.
#[derive(Debug)]
pub struct Criterion {
    loss: LossSpec,
    gradients: Vec<Tensor>,
    /// For heads on a GPU, created when the first one comes.
    gpu: Option<gpu::PlaneLosses>,
}

impl Criterion {
    /// Creates it without buffers.
    #[must_use]
    pub fn new(loss: LossSpec) -> Self {
        Self { loss, gradients: Vec::new(), gpu: None }
    }

    /// Like [`Criterion::new`], on this GPU: a test's emulator has tensors on the CPU.
    #[must_use]
    pub fn with_gpu(loss: LossSpec, gpu: std::sync::Arc<dyn sweep_graph::gpu::Gpu>) -> Self {
        Self { gpu: Some(gpu::PlaneLosses::new(gpu)), ..Self::new(loss) }
    }

    /// The loss of heads `[B, K, H, W]` and its gradient to each head, in the head's shape. The loss is the mean over
    /// heads of [`LossSpec::of_image`]'s mean over the images that have a landmark; 0 if none has. The next call
    /// overwrites the gradients.
    ///
    /// # Errors
    /// When heads and targets do not match, or heads are not contiguous, in f32 or, on the processor, f64.
    pub fn with_gradients(&mut self, heads: &[Tensor], targets: &Targets) -> Result<(f64, &[Tensor])> {
        let images = targets.iter().filter(|image| image.iter().any(Option::is_some)).count();
        let weight = 1.0 / (images.max(1) * heads.len().max(1)) as f64;
        self.gradients.truncate(heads.len());
        let mut value = 0.0;
        for (index, head) in heads.iter().enumerate() {
            check(head, targets)?;
            let fits = |old: &Tensor| old.dims() == head.dims() && old.dtype() == head.dtype();
            if !self.gradients.get(index).is_some_and(fits) {
                self.gradients.truncate(index);
                self.gradients.push(head.zeros_like().computed()?.detach());
            }
            let gradient = &self.gradients[index];
            if head.device().is_cuda() || self.gpu.is_some() {
                if self.gpu.is_none() {
                    self.gpu = Some(gpu::PlaneLosses::new(sweep_graph::gpu::of(head.device())?));
                }
                let Some(gpu) = &mut self.gpu else { continue };
                if let LossSpec::Custom(loss) = &self.loss {
                    value += gpu.through_processor(head, gradient, |head, gradient| {
                        custom::of_head::<f32>(loss, head, gradient, targets, weight)
                    })?;
                    continue;
                }
                let scales = scales(targets, weight);
                let losses = gpu.of(&self.loss, head, targets, Some((gradient, &scales)))?;
                let of_image = losses.chunks(head.dim(1).computed()?.max(1)).map(|planes| planes.iter().sum::<f64>());
                value += of_image.zip(&scales).map(|(loss, scale)| loss * scale).sum::<f64>();
                continue;
            }
            if let LossSpec::Custom(loss) = &self.loss {
                value += match head.dtype() {
                    DType::F64 => custom::of_head::<f64>(loss, head, gradient, targets, weight)?,
                    _ => custom::of_head::<f32>(loss, head, gradient, targets, weight)?,
                };
                continue;
            }
            value += match head.dtype() {
                DType::F64 => self.of_head::<f64>(head, gradient, targets, weight).computed()?,
                _ => self.of_head::<f32>(head, gradient, targets, weight).computed()?,
            };
        }
        Ok((value, &self.gradients))
    }

    /// `weight` times the sum over a head's images; writes its gradient.
    fn of_head<T: Number>(
        &self,
        head: &Tensor,
        gradient: &Tensor,
        targets: &Targets,
        weight: f64,
    ) -> candle_core::Result<f64> {
        let (_, landmarks, height, width) = head.dims4()?;
        let (loss, weights) = (&self.loss, scales(targets, weight));
        change(gradient, |gradient: &mut [T]| {
            read(head, |maps: &[T]| {
                let planes = maps.par_chunks(height * width).zip(gradient.par_chunks_mut(height * width)).enumerate();
                let losses: Vec<f64> = planes
                    .map(|(index, (plane, gradient))| {
                        let (image, landmark) = (index / landmarks, index % landmarks);
                        let Some(target) = &targets[image][landmark] else {
                            gradient.fill(T::zero());
                            return 0.0;
                        };
                        weights[image] * loss.plane(plane, target, weights[image], Some(gradient))
                    })
                    .collect();
                Ok(losses.iter().sum())
            })
        })
    }
}

/// Weight of every plane of an image in the loss: the image's weight, shared equally among its landmarks.
fn scales(targets: &[Vec<Option<Profiles>>], weight: f64) -> Vec<f64> {
    targets.iter().map(|image| weight / image.iter().flatten().count().max(1) as f64).collect()
}

/// Checks that every plane of the maps has a target of its size, or none.
fn check(maps: &Tensor, targets: &Targets) -> Result<()> {
    let (images, landmarks, height, width) = maps.dims4().computed()?;
    let fits = targets.len() == images
        && targets.iter().all(|image| image.len() == landmarks)
        && targets.iter().flatten().flatten().all(|t| t.rows.len() == height && t.columns.len() == width);
    if fits { Ok(()) } else { Err(Error::input(format!("maps of shape {:?} do not fit their targets", maps.dims()))) }
}
