//! Optimisers over the flat parameter vector, with state that can be saved: AdamW and SGD, step for step PyTorch's.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Tensor, Var};
use num_traits::Float;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which optimiser, with PyTorch's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`.
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
    /// Stochastic gradient descent, as `torch.optim.SGD` with dampening 0.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Decay of the running sum of gradients.
        #[serde(default)]
        momentum: f64,
        /// Added to the gradient, times the parameter.
        #[serde(default)]
        weight_decay: f64,
        /// Looks one step ahead.
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
    /// The learning rate a schedule starts from.
    #[must_use]
    pub fn lr(&self) -> f64 {
        match self {
            Self::Adamw { lr, .. } | Self::Sgd { lr, .. } => *lr,
        }
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
            return wrong("lr", self.lr(), "use a positive learning rate, as 3e-4");
        }
        match *self {
            Self::Adamw { weight_decay, .. } | Self::Sgd { weight_decay, .. }
                if !(weight_decay.is_finite() && weight_decay >= 0.0) =>
            {
                wrong("weight_decay", weight_decay, "use 0 or a small positive number, as 0.01")
            }
            Self::Adamw { eps, .. } if !positive(eps) => wrong("eps", eps, "use a small positive number, as 1e-8"),
            Self::Adamw { betas: [b, _] | [_, b], .. } if !fraction(b) => {
                wrong("betas", b, "use two numbers from 0 to below 1, as [0.9, 0.999]")
            }
            Self::Sgd { momentum, .. } if !fraction(momentum) => {
                wrong("momentum", momentum, "use a number from 0 to below 1, as 0.9")
            }
            Self::Sgd { nesterov: true, momentum: 0.0, .. } => wrong("nesterov", 1.0, "set momentum above 0"),
            Self::Adamw { .. } | Self::Sgd { .. } => Ok(()),
        }
    }
}

/// An optimiser in use: its steps so far and its moments, flat `[N]` as the parameters.
#[derive(Debug, Clone)]
pub struct Optimizer {
    spec: OptimizerSpec,
    steps: u64,
    moments: Vec<Tensor>,
}

impl Optimizer {
    /// Starts with moments of zero.
    ///
    /// # Errors
    /// When the device has no room for them.
    pub fn new(spec: OptimizerSpec, parameters: &Var) -> Result<Self> {
        let count = Self::moment_names(&spec).len();
        let moments = (0..count).map(|_| Ok(parameters.zeros_like()?.detach())).collect::<Result<_>>()?;
        Ok(Self { spec, steps: 0, moments })
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

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// When a moment is missing or has another length.
    pub fn restore(&mut self, steps: u64, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, moment) in Self::moment_names(&self.spec).iter().zip(&mut self.moments) {
            let saved = state.get(*name).filter(|t| t.dims() == moment.dims()).ok_or_else(|| {
                Error::results(format!("the checkpoint does not hold the optimiser's `{name}` of this trial"))
            })?;
            *moment = saved.to_dtype(moment.dtype())?.to_device(moment.device())?;
        }
        self.steps = steps;
        Ok(())
    }

    /// One step: moves `parameters` in place along `gradient`, both `[N]`.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self, parameters: &Var, gradient: &Tensor, lr: f64) -> Result<()> {
        self.steps += 1;
        let parameters = parameters.as_tensor();
        match self.spec {
            OptimizerSpec::Adamw { weight_decay, betas: [beta1, beta2], eps, .. } => {
                let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
                let (mean, square) = (&self.moments[0], &self.moments[1]);
                blend(mean, gradient, Blend { keep: beta1, add: 1.0 - beta1, power: 1 })?;
                blend(square, gradient, Blend { keep: beta2, add: 1.0 - beta2, power: 2 })?;
                let step = AdamStep {
                    decay: 1.0 - lr * weight_decay,
                    rate: lr / (1.0 - beta1.powi(exponent)),
                    correction: (1.0 - beta2.powi(exponent)).sqrt(),
                    eps,
                };
                Ok(parameters.inplace_op3(mean, square, &step)?)
            }
            OptimizerSpec::Sgd { momentum, weight_decay, nesterov, .. } => {
                let buffer = &self.moments[0];
                let gradient = gradient.contiguous()?.copy()?;
                blend(&gradient, parameters, Blend { keep: 1.0, add: weight_decay, power: 1 })?;
                blend(buffer, &gradient, Blend { keep: momentum, add: 1.0, power: 1 })?;
                if nesterov {
                    blend(&gradient, buffer, Blend { keep: 1.0, add: momentum, power: 1 })?;
                }
                let direction = if nesterov { &gradient } else { buffer };
                blend(parameters, direction, Blend { keep: 1.0, add: -lr, power: 1 })
            }
        }
    }
}

/// `target ← keep·target + add·source^power`, in place.
#[derive(Clone, Copy)]
struct Blend {
    keep: f64,
    add: f64,
    power: i32,
}

fn blend(target: &Tensor, source: &Tensor, blend: Blend) -> Result<()> {
    Ok(target.inplace_op2(&source.contiguous()?, &blend)?)
}

/// Values per task: a fixed split, so that no result depends on the number of threads.
const CHUNK: usize = 1 << 16;

fn range(layout: &Layout) -> candle_core::Result<std::ops::Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => candle_core::bail!("optimiser state must be contiguous"),
    }
}

fn real<T: Float>(value: f64) -> T {
    T::from(value).unwrap_or_else(T::nan)
}

impl Blend {
    fn apply<T: Float + Send + Sync>(self, target: &mut [T], source: &[T]) {
        let (keep, add) = (real::<T>(self.keep), real::<T>(self.add));
        let power = self.power;
        target.par_chunks_mut(CHUNK).zip(source.par_chunks(CHUNK)).for_each(|(target, source)| {
            for (t, s) in target.iter_mut().zip(source) {
                let s = if power == 2 { *s * *s } else { *s };
                *t = *t * keep + s * add;
            }
        });
    }
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "optimiser blend"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        layout: &Layout,
        source: &CpuStorage,
        source_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (to, from) = (range(layout)?, range(source_layout)?);
        match (target, source) {
            (CpuStorage::F32(t), CpuStorage::F32(s)) => self.apply(&mut t[to], &s[from]),
            (CpuStorage::F64(t), CpuStorage::F64(s)) => self.apply(&mut t[to], &s[from]),
            _ => candle_core::bail!("optimisers work in f32 or f64"),
        }
        Ok(())
    }
}

/// The last part of an AdamW step: `p ← p·decay − rate·m / (√v/correction + eps)`, in place.
#[derive(Clone, Copy)]
struct AdamStep {
    decay: f64,
    rate: f64,
    correction: f64,
    eps: f64,
}

impl AdamStep {
    fn apply<T: Float + Send + Sync>(self, parameters: &mut [T], mean: &[T], square: &[T]) {
        let [decay, rate, correction, eps] = [self.decay, self.rate, self.correction, self.eps].map(real::<T>);
        parameters.par_chunks_mut(CHUNK).zip(mean.par_chunks(CHUNK)).zip(square.par_chunks(CHUNK)).for_each(
            |((parameters, mean), square)| {
                for ((p, m), v) in parameters.iter_mut().zip(mean).zip(square) {
                    *p = *p * decay - rate * *m / (v.sqrt() / correction + eps);
                }
            },
        );
    }
}

impl InplaceOp3 for AdamStep {
    fn name(&self) -> &'static str {
        "AdamW step"
    }

    fn cpu_fwd(
        &self,
        parameters: &mut CpuStorage,
        layout: &Layout,
        mean: &CpuStorage,
        mean_layout: &Layout,
        square: &CpuStorage,
        square_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (to, m, v) = (range(layout)?, range(mean_layout)?, range(square_layout)?);
        match (parameters, mean, square) {
            (CpuStorage::F32(p), CpuStorage::F32(mean), CpuStorage::F32(square)) => {
                self.apply(&mut p[to], &mean[m], &square[v]);
            }
            (CpuStorage::F64(p), CpuStorage::F64(mean), CpuStorage::F64(square)) => {
                self.apply(&mut p[to], &mean[m], &square[v]);
            }
            _ => candle_core::bail!("optimisers work in f32 or f64"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Four steps on `Σ (k+1)·w·p²` from fixed parameters, as the torch 2.15 program that made the expected values.
    fn descend(spec: OptimizerSpec) -> Vec<f64> {
        let parameters = Var::from_vec(vec![1.0f64, -2.0, 0.5], 3, &Device::Cpu).unwrap();
        let weights = Tensor::from_vec(vec![1.0f64, 0.5, 3.0], 3, &Device::Cpu).unwrap();
        let mut optimizer = Optimizer::new(spec, &parameters).unwrap();
        for k in 1..=4 {
            let gradient = ((parameters.as_tensor() * &weights).unwrap() * (2.0 * f64::from(k))).unwrap();
            if k == 3 {
                // A restored optimiser goes on as if nothing had happened.
                let (steps, state) = (optimizer.steps(), optimizer.state());
                optimizer = Optimizer::new(spec, &parameters).unwrap();
                optimizer.restore(steps, &state).unwrap();
            }
            optimizer.step(&parameters, &gradient, spec.lr()).unwrap();
        }
        parameters.to_vec1().unwrap()
    }

    fn close(ours: &[f64], theirs: [f64; 3]) {
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() < 1e-12, "{ours:?} against {theirs:?}");
        }
    }

    #[test]
    fn adamw_is_pytorchs() {
        let spec = OptimizerSpec::Adamw { lr: 0.1, weight_decay: 0.02, betas: [0.8, 0.95], eps: 1e-6 };
        close(&descend(spec), [0.594_521_055_557_879, -1.588_385_412_385_9, 0.096_806_942_895_4]);
    }

    #[test]
    fn sgd_is_pytorchs() {
        let sgd = |momentum, weight_decay, nesterov| OptimizerSpec::Sgd { lr: 0.1, momentum, weight_decay, nesterov };
        close(
            &descend(sgd(0.9, 0.02, true)),
            [-0.123_430_192_864_286_43, 0.587_962_495_002_172_9, -0.689_509_317_758_543_4],
        );
        close(&descend(sgd(0.9, 0.0, false)), [-0.633, 0.54, 0.3845]);
        close(&descend(sgd(0.0, 0.02, false)), [0.037_605_584_016, -0.598_226_752_032, -0.045_198_791_992]);
    }

    #[test]
    fn impossible_values_name_their_key() {
        let spec = OptimizerSpec::Adamw { lr: 0.1, weight_decay: 0.0, betas: [0.9, 1.0], eps: 1e-8 };
        assert_eq!(spec.check().unwrap_err().place.as_deref(), Some("betas"));
        let spec = OptimizerSpec::Sgd { lr: -1.0, momentum: 0.0, weight_decay: 0.0, nesterov: false };
        assert_eq!(spec.check().unwrap_err().place.as_deref(), Some("lr"));
    }
}
