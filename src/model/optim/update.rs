//! From the gradients of batches to better weights: summed over batches, cut to a length, one step of the optimiser, and
//! the running average that predicts.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{Tensor, Var};

use super::average::Average;
use super::vectors::{Place, length};
use super::{Ema, Optimizer, OptimizerSpec};
use sweep_core::error::{Error, Result};
use sweep_graph::params::ParamStore;

/// What an update does beside the optimiser's step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateSpec {
    /// The optimiser.
    pub optimizer: OptimizerSpec,
    /// Batches whose gradients make one step.
    pub accumulate: NonZeroUsize,
    /// Longest gradient, by its Euclidean norm over all parameters, as `torch.nn.utils.clip_grad_norm_`.
    pub gradient_clip: Option<f64>,
    /// The running average.
    pub ema: Option<Ema>,
}

impl UpdateSpec {
    /// Values that a checkpoint holds for every parameter: the one that predicts, moments, and beside an average the one
    /// that is trained.
    #[must_use]
    pub fn kept(&self) -> usize {
        1 + self.optimizer.moments() + usize::from(self.ema.is_some())
    }
}

/// Names, in a checkpoint, of what an average leaves to be saved: the weights that training goes on from.
const TRAINED: &str = "trained";
const STATISTICS: &str = "statistics";

/// Updates in progress.
pub struct Update {
    spec: UpdateSpec,
    optimizer: Optimizer,
    place: Place,
    /// Gradients times images of the batches since the last step, where several make one.
    sum: Option<Tensor>,
    images: usize,
    average: Option<Average>,
}

impl Update {
    /// Of these parameters.
    ///
    /// # Errors
    /// When the device has no room for moments.
    pub fn new(spec: UpdateSpec, parameters: &ParamStore) -> Result<Self> {
        let trained = parameters.trained();
        let sum = if spec.accumulate.get() > 1 { Some(trained.zeros_like().computed()?.detach()) } else { None };
        Ok(Self {
            spec,
            optimizer: Optimizer::new(spec.optimizer, trained)?,
            place: Place::of(trained)?,
            sum,
            images: 0,
            average: spec.ema.map(|ema| Average::new(ema, parameters)).transpose()?,
        })
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Takes in the gradient `[N]` of a mean over so many images, and steps if `complete`: along the mean over all
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
                self.place.blend(sum, keep, gradient, images as f64)?;
                self.images += images;
                (sum, 1.0 / self.images.max(1) as f64)
            }
        };
        if !complete {
            return Ok(());
        }
        let scale = match self.spec.gradient_clip {
            // The small number is PyTorch's.
            Some(longest) => scale * (longest / (scale * length(gradient)? + 1e-6)).min(1.0),
            None => scale,
        };
        self.optimizer.step(parameters.trained(), gradient, scale, lr)?;
        self.images = 0;
        if let Some(average) = &self.average {
            average.add(&self.place, parameters, self.optimizer.steps())?;
        }
        Ok(())
    }

    /// The weights that predict: the average, where there is one.
    #[must_use]
    pub fn predicting<'a>(&'a self, parameters: &'a ParamStore) -> &'a ParamStore {
        self.average.as_ref().map_or(parameters, |average| &average.parameters)
    }

    /// What going on needs beside the weights that predict, by name; flat. To be asked between steps.
    #[must_use]
    pub fn state(&self, parameters: &ParamStore) -> BTreeMap<String, Tensor> {
        let mut state = self.optimizer.state();
        if self.average.is_some() {
            state.extend(both(parameters).map(|(name, var)| (name.to_owned(), var.as_detached_tensor())));
        }
        state
    }

    /// Goes on from what [`Update::state`] and [`Update::predicting`] gave after so many steps.
    ///
    /// # Errors
    /// When something is missing or does not fit.
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

/// The vectors of a network that hold anything, by name: a GPU copies nothing that is nothing.
fn both(parameters: &ParamStore) -> impl Iterator<Item = (&'static str, &Var)> {
    let both = [(TRAINED, parameters.trained()), (STATISTICS, parameters.statistics())];
    both.into_iter().filter(|(_, var)| var.elem_count() > 0)
}

#[cfg(test)]
mod tests;
