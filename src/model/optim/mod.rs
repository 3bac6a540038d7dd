//! Optimizers over the flat parameter vector, with state that can be saved: AdamW and SGD, step for step like
//! PyTorch's.

mod average;
mod gpu;
mod slowed;
mod update;
mod vectors;

pub use average::Ema;
pub use slowed::Slowed;
pub use update::{Update, UpdateSpec};

use slowed::Part;
use std::collections::BTreeMap;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::{DType, Tensor, Var};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_graph::tensors::{Real, change, read};

/// An optimizer, with PyTorch's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019), like `torch.optim.AdamW`.
    Adamw {
        /// Learning rate.
        lr: f64,
        /// Decoupled weight decay.
        #[serde(default = "adamw_decay")]
        weight_decay: f64,
        /// Decay of the mean and of the mean square of the gradient.
        #[serde(default = "adamw_betas")]
        betas: [f64; 2],
        /// Added to the root of the mean square.
        #[serde(default = "adamw_eps")]
        eps: f64,
    },
    /// Stochastic gradient descent, like `torch.optim.SGD` with dampening 0.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Decay of the running sum of gradients.
        #[serde(default)]
        momentum: f64,
        /// Weight decay: this factor times the parameter is added to the gradient.
        #[serde(default)]
        weight_decay: f64,
        /// Nesterov momentum: the gradient is taken one step ahead.
        #[serde(default)]
        nesterov: bool,
    },
}

fn adamw_decay() -> f64 {
    0.01
}
fn adamw_betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn adamw_eps() -> f64 {
    1e-8
}

impl OptimizerSpec {
    /// The learning rate that a schedule starts from.
    #[must_use]
    pub fn lr(&self) -> f64 {
        match self {
            Self::Adamw { lr, .. } | Self::Sgd { lr, .. } => *lr,
        }
    }

    /// Number of values kept for every parameter.
    #[must_use]
    pub fn moments(&self) -> usize {
        Optimizer::moment_names(self).len()
    }

    /// # Errors
    /// Names the key whose value is impossible.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, value: f64, right: &str| {
            Err(Error::definition(format!("{key} is {value}")).at(key).remedy(right))
        };
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let fraction = |v: f64| (0.0..1.0).contains(&v);
        if !positive(self.lr()) {
            return wrong("lr", self.lr(), "use a positive learning rate, for example 3e-4");
        }
        match *self {
            Self::Adamw { weight_decay, .. } | Self::Sgd { weight_decay, .. }
                if !(weight_decay.is_finite() && weight_decay >= 0.0) =>
            {
                wrong("weight_decay", weight_decay, "use 0 or a small positive number, for example 0.01")
            }
            Self::Adamw { eps, .. } if !positive(eps) => {
                wrong("eps", eps, "use a small positive number, for example 1e-8")
            }
            Self::Adamw { betas: [b, _] | [_, b], .. } if !fraction(b) => {
                wrong("betas", b, "use two numbers from 0 to below 1, for example [0.9, 0.999]")
            }
            Self::Sgd { momentum, .. } if !fraction(momentum) => {
                wrong("momentum", momentum, "use a number from 0 to below 1, for example 0.9")
            }
            Self::Sgd { nesterov: true, momentum: 0.0, .. } => wrong("nesterov", 1.0, "set momentum above 0"),
            Self::Adamw { .. } | Self::Sgd { .. } => Ok(()),
        }
    }
}

examples!(OptimizerSpec {
    Self::Adamw { .. } => {
        Self::Adamw { lr: 0.01, weight_decay: adamw_decay(), betas: adamw_betas(), eps: adamw_eps() }
    },
    Self::Sgd { .. } => Self::Sgd { lr: 0.01, momentum: 0.9, weight_decay: 1e-4, nesterov: true },
});

/// An optimizer in use: its steps so far and its moments, flat `[N]` like the parameters.
#[derive(Clone)]
pub struct Optimizer {
    spec: OptimizerSpec,
    steps: u64,
    moments: Vec<Tensor>,
    slowed: Option<Slowed>,
    /// The GPU of the parameters; `None` on the processor.
    gpu: Option<std::sync::Arc<dyn sweep_graph::gpu::Gpu>>,
}

impl std::fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Optimizer").field("spec", &self.spec).field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl Optimizer {
    /// Starts with moments of zero.
    ///
    /// # Errors
    /// When the device has not enough memory for them.
    pub fn new(spec: OptimizerSpec, parameters: &Var) -> Result<Self> {
        let count = Self::moment_names(&spec).len();
        let moments = (0..count).map(|_| Ok(parameters.zeros_like().computed()?.detach())).collect::<Result<_>>()?;
        Ok(Self {
            spec,
            steps: 0,
            moments,
            slowed: None,
            gpu: if parameters.device().is_cuda() { Some(sweep_graph::gpu::of(parameters.device())?) } else { None },
        })
    }

    /// Updates vectors on this GPU: a test's emulator has tensors on the CPU.
    #[must_use]
    pub fn on_gpu(self, gpu: std::sync::Arc<dyn sweep_graph::gpu::Gpu>) -> Self {
        Self { gpu: Some(gpu), ..self }
    }

    /// Trains these parameters later or more slowly than the others.
    pub fn slow(&mut self, slowed: Option<Slowed>) {
        self.slowed = slowed;
    }

    /// PyTorch's names of the moments.
    fn moment_names(spec: &OptimizerSpec) -> &'static [&'static str] {
        match spec {
            OptimizerSpec::Adamw { .. } => &["exp_avg", "exp_avg_sq"],
            OptimizerSpec::Sgd { .. } => &["momentum_buffer"],
        }
    }

    /// Steps taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments under PyTorch's names, for saving; flat.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        Self::moment_names(&self.spec).iter().map(|n| (*n).to_owned()).zip(self.moments.iter().cloned()).collect()
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// When a moment is missing or has another length.
    pub fn restore(&mut self, steps: u64, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, moment) in Self::moment_names(&self.spec).iter().zip(&mut self.moments) {
            let saved = state.get(*name).filter(|t| t.dims() == moment.dims()).ok_or_else(|| {
                Error::results(format!("the checkpoint does not hold the optimizer's `{name}` of this trial"))
            })?;
            *moment = saved.to_dtype(moment.dtype()).computed()?.to_device(moment.device()).computed()?;
        }
        self.steps = steps;
        Ok(())
    }

    /// One step: updates `parameters` in place by `scale` times `gradient`, both contiguous `[N]` on the moments'
    /// device.
    ///
    /// # Errors
    /// When they are not, or of another type or length than the moments.
    pub fn step(&mut self, parameters: &Var, gradient: &Tensor, scale: f64, lr: f64) -> Result<()> {
        self.steps += 1;
        self.check_lengths(parameters, gradient).computed()?;
        let len = parameters.elem_count();
        let whole = || vec![Part { range: 0..len, lr, steps: self.steps }];
        let parts = self.slowed.as_ref().map_or_else(whole, |slowed| slowed.parts(len, lr, self.steps));
        for Part { range, lr, steps } in parts {
            // For the whole range, `narrow` returns the tensor itself.
            let of = |tensor: &Tensor| tensor.narrow(0, range.start, range.len());
            let moments = self.moments.iter().map(of).collect::<candle_core::Result<Vec<_>>>().computed()?;
            let vectors = Vectors {
                parameters: &of(parameters).computed()?,
                moments: &moments,
                gradient: &of(gradient).computed()?,
                scale,
            };
            match &self.gpu {
                Some(gpu) => vectors.launch(gpu.as_ref(), self.spec, lr, steps)?,
                None if parameters.dtype() == DType::F64 => vectors.step::<f64>(self.spec, lr, steps).computed()?,
                None => vectors.step::<f32>(self.spec, lr, steps).computed()?,
            }
        }
        Ok(())
    }

    fn check_lengths(&self, parameters: &Tensor, gradient: &Tensor) -> candle_core::Result<()> {
        if self.moments.iter().chain([gradient]).all(|tensor| tensor.dims() == parameters.dims()) {
            Ok(())
        } else {
            candle_core::bail!("parameters, gradient and moments differ in length")
        }
    }
}

/// Parameters with their gradient and moments, all `[N]`.
struct Vectors<'a> {
    parameters: &'a Tensor,
    moments: &'a [Tensor],
    gradient: &'a Tensor,
    /// Factor of the gradient.
    scale: f64,
}

impl Vectors<'_> {
    fn launch(&self, gpu: &dyn sweep_graph::gpu::Gpu, spec: OptimizerSpec, lr: f64, steps: u64) -> Result<()> {
        let Self { parameters, moments, gradient, scale } = *self;
        match spec {
            OptimizerSpec::Adamw { weight_decay, betas, eps, .. } => {
                let step = AdamwStep::<f32>::new(lr, weight_decay, betas, eps, steps);
                step.launch(gpu, parameters, moments, gradient, scale as f32)
            }
            OptimizerSpec::Sgd { momentum, weight_decay, nesterov, .. } => {
                let [rate, momentum, decay] = [lr, momentum, weight_decay].map(|v| v as f32);
                let step = SgdStep { rate, momentum, decay, nesterov };
                step.launch(gpu, parameters, &moments[0], gradient, scale as f32)
            }
        }
    }

    fn step<T: Real>(&self, spec: OptimizerSpec, lr: f64, steps: u64) -> candle_core::Result<()> {
        let Self { parameters, moments, gradient, .. } = *self;
        let scale = T::of(self.scale);
        match spec {
            OptimizerSpec::Adamw { weight_decay, betas, eps, .. } => {
                let step = AdamwStep::<T>::new(lr, weight_decay, betas, eps, steps);
                change(parameters, |p| {
                    change(&moments[0], |m| {
                        change(&moments[1], |v| {
                            read(gradient, |g| {
                                step.apply(p, m, v, g, scale);
                                Ok(())
                            })
                        })
                    })
                })
            }
            OptimizerSpec::Sgd { momentum, weight_decay, nesterov, .. } => {
                let step = SgdStep { rate: T::of(lr), momentum: T::of(momentum), decay: T::of(weight_decay), nesterov };
                change(parameters, |p| {
                    change(&moments[0], |buffer| {
                        read(gradient, |g| {
                            step.apply(p, buffer, g, scale);
                            Ok(())
                        })
                    })
                })
            }
        }
    }
}

/// Values per task: a fixed split, so that no result depends on the number of threads. A task's data fits a nearby
/// cache.
const CHUNK: usize = 1 << 15;

/// AdamW in one pass over parameters, gradient and moments.
#[derive(Clone, Copy)]
struct AdamwStep<T> {
    keep: T,
    betas: [T; 2],
    add: [T; 2],
    rate: T,
    correction: T,
    eps: T,
}

impl<T: Real> AdamwStep<T> {
    fn new(lr: f64, weight_decay: f64, betas: [f64; 2], eps: f64, steps: u64) -> Self {
        let exponent = i32::try_from(steps).unwrap_or(i32::MAX);
        Self {
            keep: T::of(1.0 - lr * weight_decay),
            betas: betas.map(T::of),
            add: betas.map(|beta| T::of(1.0 - beta)),
            rate: T::of(lr / (1.0 - betas[0].powi(exponent))),
            correction: T::of((1.0 - betas[1].powi(exponent)).sqrt()),
            eps: T::of(eps),
        }
    }

    fn apply(self, parameters: &mut [T], mean: &mut [T], square: &mut [T], gradient: &[T], scale: T) {
        let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
        let chunks = parameters.par_chunks_mut(CHUNK).zip(moments).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|((parameters, (mean, square)), gradient)| {
            for (((p, m), v), g) in parameters.iter_mut().zip(mean).zip(square).zip(gradient) {
                let g = *g * scale;
                *m = *m * self.betas[0] + g * self.add[0];
                *v = *v * self.betas[1] + g * g * self.add[1];
                *p = *p * self.keep - self.rate * *m / (v.sqrt() / self.correction + self.eps);
            }
        });
    }
}

/// Gradient descent in one pass over parameters, gradient and momentum buffer.
#[derive(Clone, Copy)]
struct SgdStep<T> {
    rate: T,
    momentum: T,
    decay: T,
    nesterov: bool,
}

impl<T: Real> SgdStep<T> {
    fn apply(self, parameters: &mut [T], buffer: &mut [T], gradient: &[T], scale: T) {
        let chunks = parameters.par_chunks_mut(CHUNK).zip(buffer.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|((parameters, buffer), gradient)| {
            for ((p, b), g) in parameters.iter_mut().zip(buffer).zip(gradient) {
                let gradient = *g * scale + *p * self.decay;
                *b = *b * self.momentum + gradient;
                let direction = if self.nesterov { gradient + *b * self.momentum } else { *b };
                *p -= direction * self.rate;
            }
        });
    }
}

#[cfg(test)]
mod tests;
