//! Updates of the weights from the gradients of batches: gradients are accumulated and clipped, the optimizer makes a
//! step, and the running average follows.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{Tensor, Var};

use super::average::Average;
use super::vectors::{VectorDevice, length};
use super::{Ema, Optimizer, OptimizerSpec, Slowed};
use sweep_core::error::{Error, Result};
use sweep_graph::params::ParamStore;

/// Settings of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateSpec {
    /// The optimizer.
    pub optimizer: OptimizerSpec,
    /// Batches whose gradients make one step.
    pub accumulate: NonZeroUsize,
    /// Largest gradient, by its Euclidean norm over all parameters, like `torch.nn.utils.clip_grad_norm_`.
    pub gradient_clip: Option<f64>,
    /// The running average.
    pub ema: Option<Ema>,
}

impl UpdateSpec {
    /// Values that a checkpoint holds for every parameter: the one that predicts, the moments, and with an average also
    /// the trained one.
    #[must_use]
    pub fn kept(&self) -> usize {
        1 + self.optimizer.moments() + usize::from(self.ema.is_some())
    }
}

/// Names in a checkpoint of the trained weights, if an average predicts instead.
const TRAINED: &str = "trained";
const STATISTICS: &str = "statistics";

/// The state of updates during a training.
pub struct Update {
    spec: UpdateSpec,
    optimizer: Optimizer,
    device: VectorDevice,
    /// Sum of gradients times images of the batches since the last step, if several make one.
    sum: Option<Tensor>,
    images: usize,
    average: Option<Average>,
}

impl Update {
    /// Starts updates of these parameters.
    ///
    /// # Errors
    /// When the device has not enough memory for moments.
    pub fn new(spec: UpdateSpec, parameters: &ParamStore) -> Result<Self> {
        let trained = parameters.trained();
        let sum = if spec.accumulate.get() > 1 { Some(trained.zeros_like().computed()?.detach()) } else { None };
        Ok(Self {
            spec,
            optimizer: Optimizer::new(spec.optimizer, trained)?,
            device: VectorDevice::new(trained)?,
            sum,
            images: 0,
            average: spec.ema.map(|ema| Average::new(ema, parameters)).transpose()?,
        })
    }

    /// Trains these parameters later or more slowly than the others. Clipping measures the gradient of all.
    pub fn slow(&mut self, slowed: Option<Slowed>) {
        self.optimizer.slow(slowed);
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Adds the gradient `[N]` of a mean over so many images. If `complete`, makes a step along the mean over all
    /// images since the last step.
    ///
    /// # Errors
    /// When the gradient does not fit the parameters.
    pub fn add(
        &mut self,
        parameters: &ParamStore,
        gradient: &Tensor,
        images: usize,
        complete: bool,
        lr: f64,
    ) -> Result<()> {
        let (gradient, scale) = match &self.sum {
            None => (gradient, 1.0),
            Some(sum) => {
                let keep = if self.images == 0 { 0.0 } else { 1.0 };
                self.device.blend(sum, keep, gradient, images as f64)?;
                self.images += images;
                (sum, 1.0 / self.images.max(1) as f64)
            }
        };
        if !complete {
            return Ok(());
        }
        let scale = match self.spec.gradient_clip {
            // PyTorch adds the same small number.
            Some(longest) => scale * (longest / (scale * length(gradient)? + 1e-6)).min(1.0),
            None => scale,
        };
        self.optimizer.step(parameters.trained(), gradient, scale, lr)?;
        self.images = 0;
        if let Some(average) = &self.average {
            average.add(&self.device, parameters, self.optimizer.steps())?;
        }
        Ok(())
    }

    /// The weights that predict: the average if there is one.
    #[must_use]
    pub fn predicting<'a>(&'a self, parameters: &'a ParamStore) -> &'a ParamStore {
        self.average.as_ref().map_or(parameters, |average| &average.parameters)
    }

    /// State needed to resume besides the weights that predict, by name; flat. Valid between steps only.
    #[must_use]
    pub fn state(&self, parameters: &ParamStore) -> BTreeMap<String, Tensor> {
        let mut state = self.optimizer.state();
        if self.average.is_some() {
            state.extend(both(parameters).map(|(name, var)| (name.to_owned(), var.as_detached_tensor())));
        }
        state
    }

    /// Continues from the results of [`Update::state`] and [`Update::predicting`] after so many steps.
    ///
    /// # Errors
    /// When something is missing or does not match.
    pub fn restore(
        &mut self,
        steps: u64,
        predicting: &BTreeMap<String, Tensor>,
        state: &BTreeMap<String, Tensor>,
        parameters: &ParamStore,
    ) -> Result<()> {
        parameters.load(predicting)?;
        self.optimizer.restore(steps, state)?;
        let Some(average) = &self.average else { return Ok(()) };
        average.parameters.load(predicting)?;
        for (name, var) in both(parameters) {
            let saved = state.get(name).filter(|t| t.dims() == var.dims()).ok_or_else(|| {
                Error::results(format!("the checkpoint does not hold this trial's `{name}` beside the average"))
            })?;
            var.set(&saved.to_dtype(var.dtype()).computed()?.to_device(var.device()).computed()?).computed()?;
        }
        Ok(())
    }
}

/// The non-empty vectors of a network by name: a GPU cannot copy an empty one.
fn both(parameters: &ParamStore) -> impl Iterator<Item = (&'static str, &Var)> {
    let both = [(TRAINED, parameters.trained()), (STATISTICS, parameters.statistics())];
    both.into_iter().filter(|(_, var)| var.elem_count() > 0)
}

#[cfg(test)]
mod tests;
