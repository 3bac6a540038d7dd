//! A running average of the weights, which predicts instead of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vectors::VectorDevice;
use sweep_core::error::{Error, Result};
use sweep_graph::params::ParamStore;

/// Exponential moving average of weights and running statistics (Polyak averaging; `ModelEmaV2` of timm).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ema {
    /// Factor of the average at each step; in the first steps it is at most `(1 + step) / (10 + step)`, so that the
    /// average forgets the initial weights (like TensorFlow's `num_updates`).
    pub decay: f64,
}

impl Ema {
    /// # Errors
    /// Names the key whose value is impossible.
    pub fn check(&self) -> Result<()> {
        if self.decay > 0.0 && self.decay < 1.0 {
            return Ok(());
        }
        Err(Error::definition(format!("decay is {}", self.decay))
            .at("decay")
            .remedy("use a number between 0 and 1, for example 0.998, which averages over about 1 / (1 − decay) steps"))
    }

    /// Factor of the average at step `step`, counted from 1.
    fn keep(self, step: u64) -> f64 {
        let step = step as f64;
        self.decay.min((1.0 + step) / (10.0 + step))
    }
}

/// The average of a training.
pub(super) struct Average {
    ema: Ema,
    pub(super) parameters: ParamStore,
}

impl Average {
    /// Starts at the current weights.
    pub(super) fn new(ema: Ema, parameters: &ParamStore) -> Result<Self> {
        Ok(Self { ema, parameters: parameters.duplicate()? })
    }

    /// Adds the weights after step `step`, counted from 1.
    pub(super) fn add(&self, device: &VectorDevice, parameters: &ParamStore, step: u64) -> Result<()> {
        let keep = self.ema.keep(step);
        device.blend(self.parameters.trained(), keep, parameters.trained(), 1.0 - keep)?;
        if parameters.statistics().elem_count() > 0 {
            device.blend(self.parameters.statistics(), keep, parameters.statistics(), 1.0 - keep)?;
        }
        Ok(())
    }
}
