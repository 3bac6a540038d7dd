//! The parameters of a network: one flat vector the optimiser moves, one of running statistics, named views on both.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng;

use crate::error::{Error, Result};
use crate::graph::{Graph, ParameterSpec, Role};
use crate::seed::{self, Stream};

/// A parameter and where it lies in its flat vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name, shape and role.
    pub spec: ParameterSpec,
    /// First value's place in [`ParamStore::trained`] or [`ParamStore::statistics`], by its role.
    pub offset: usize,
}

/// All parameters of one network, in the order of its graph.
#[derive(Debug, Clone)]
pub struct ParamStore {
    parameters: Vec<Parameter>,
    by_name: BTreeMap<String, usize>,
    trained: Var,
    statistics: Var,
}

impl ParamStore {
    /// Initial values as PyTorch draws them (the distributions, not its generator), from `seed`'s weight stream:
    /// one generator per parameter, so that a network's first layers start alike whatever follows them.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn initialise(graph: &Graph, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let (mut trained, mut statistics) = (Vec::<f64>::new(), Vec::<f64>::new());
        let mut parameters = Vec::new();
        for (index, spec) in graph.parameters().into_iter().enumerate() {
            let flat = if spec.role.is_trained() { &mut trained } else { &mut statistics };
            let offset = flat.len();
            match spec.role {
                Role::Weight { fan_in } | Role::Bias { fan_in } => {
                    let bound = 1.0 / (fan_in as f64).sqrt();
                    let mut rng = seed::derive(seed, Stream::Weights, 0, index as u64);
                    flat.extend((0..spec.len()).map(|_| f64::from(rng.random_range(-1.0f32..1.0)) * bound));
                }
                Role::Scale | Role::RunningVariance => flat.resize(offset + spec.len(), 1.0),
                Role::Shift | Role::RunningMean => flat.resize(offset + spec.len(), 0.0),
            }
            parameters.push(Parameter { spec, offset });
        }
        let by_name = parameters.iter().enumerate().map(|(i, p)| (p.spec.name.clone(), i)).collect();
        let var = |values: Vec<f64>| -> Result<Var> {
            let len = values.len();
            Ok(Var::from_tensor(&Tensor::from_vec(values, len, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)?)
        };
        Ok(Self { parameters, by_name, trained: var(trained)?, statistics: var(statistics)? })
    }

    /// Every parameter, in the order of the graph.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// One parameter by its PyTorch name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.by_name.get(name).map(|i| &self.parameters[*i])
    }

    /// All trained values, `[N]`.
    #[must_use]
    pub fn trained(&self) -> &Var {
        &self.trained
    }

    /// All running statistics, `[M]`.
    #[must_use]
    pub fn statistics(&self) -> &Var {
        &self.statistics
    }

    /// A copy-free, detached view of one parameter, in its own shape.
    ///
    /// # Errors
    /// When there is no parameter of that name.
    pub fn view(&self, name: &str) -> Result<Tensor> {
        let parameter =
            self.parameter(name).ok_or_else(|| Error::input(format!("the network has no parameter `{name}`")))?;
        self.slice_like(parameter, if parameter.spec.role.is_trained() { &self.trained } else { &self.statistics })
    }

    /// This parameter's part of a flat vector laid out as [`ParamStore::trained`] or [`ParamStore::statistics`]
    /// (a gradient, a moment of the optimiser), in the parameter's shape; detached.
    ///
    /// # Errors
    /// When the vector is too short.
    pub fn slice_like(&self, parameter: &Parameter, flat: &Tensor) -> Result<Tensor> {
        Ok(flat.detach().narrow(0, parameter.offset, parameter.spec.len())?.reshape(parameter.spec.shape.as_slice())?)
    }

    /// Every parameter under its PyTorch name, for saving.
    ///
    /// # Errors
    /// Never in practice; tensors are sliced.
    pub fn named(&self) -> Result<BTreeMap<String, Tensor>> {
        self.parameters.iter().map(|p| Ok((p.spec.name.clone(), self.view(&p.spec.name)?))).collect()
    }

    /// Takes every parameter from a map of named tensors (a PyTorch state dict); `num_batches_tracked` is ignored.
    ///
    /// # Errors
    /// Lists names that are missing or unknown, and shapes that differ.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let mut wrong: Vec<String> = tensors
            .keys()
            .filter(|name| !self.by_name.contains_key(*name) && !name.ends_with("num_batches_tracked"))
            .map(|name| format!("unknown `{name}`"))
            .collect();
        let (mut trained, mut statistics) = (Vec::new(), Vec::new());
        for parameter in &self.parameters {
            let spec = &parameter.spec;
            match tensors.get(&spec.name) {
                None => wrong.push(format!("missing `{}`", spec.name)),
                Some(t) if t.dims() != spec.shape => {
                    wrong.push(format!("`{}` has shape {:?} instead of {:?}", spec.name, t.dims(), spec.shape));
                }
                Some(t) => {
                    let flat = if spec.role.is_trained() { &mut trained } else { &mut statistics };
                    flat.push(t.flatten_all()?.to_dtype(self.trained.dtype())?.to_device(self.trained.device())?);
                }
            }
        }
        if !wrong.is_empty() {
            let shown = wrong.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let more = wrong.len().saturating_sub(5);
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            return Err(Error::input(format!("the weights are not this network's: {shown}{tail}"))
                .remedy("use the model, filters and input channels the weights were trained with"));
        }
        self.trained.set(&Tensor::cat(&trained, 0)?)?;
        if !statistics.is_empty() {
            self.statistics.set(&Tensor::cat(&statistics, 0)?)?;
        }
        Ok(())
    }
}
