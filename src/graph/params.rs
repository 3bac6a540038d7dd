//! The parameters of a network: one flat vector that the optimizer updates, one of running statistics, and named views
//! of both.

use crate::tensors::{TensorOperation as _, change, read};
use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng;

use crate::{Graph, InitialValues, ParameterSpec, Role, Start};
use sweep_core::error::{Error, Result};
use sweep_core::seed::{self, Stream};

/// A parameter and its position in a flat vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name, shape and role.
    pub spec: ParameterSpec,
    /// Index of its first value in [`ParamStore::trained`] or [`ParamStore::statistics`], depending on its role.
    pub offset: usize,
}

/// All parameters of one network, in the order of its graph or graphs, followed by vectors that are trained with it.
#[derive(Debug, Clone)]
pub struct ParamStore {
    parameters: Vec<Parameter>,
    by_name: BTreeMap<String, usize>,
    trained: Var,
    statistics: Var,
}

/// Appends `count` numbers between −`bound` and `bound`.
fn uniform(to: &mut Vec<f64>, rng: &mut impl Rng, count: usize, bound: f64) {
    to.extend((0..count).map(|_| f64::from(rng.random_range(-1.0f32..1.0)) * bound));
}

/// Appends `count` normal numbers of mean 0 (Box and Muller 1958).
fn normal(to: &mut Vec<f64>, rng: &mut impl Rng, count: usize, deviation: f64) {
    to.extend((0..count).map(|_| {
        // The interval excludes 0, so that the logarithm is finite.
        let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos() * deviation
    }));
}

/// Appends `count` initial values of a module's parameter.
fn values_of_module(to: &mut Vec<f64>, rng: &mut impl Rng, count: usize, values: InitialValues) {
    let (start, shift) = (
        to.len(),
        match values {
            InitialValues::Constant(value) => value,
            InitialValues::Normal { mean, .. } => mean,
            InitialValues::Uniform { low, high } => f64::midpoint(low, high),
        },
    );
    match values {
        InitialValues::Constant(_) => to.resize(start + count, 0.0),
        InitialValues::Normal { deviation, .. } => normal(to, rng, count, deviation),
        InitialValues::Uniform { low, high } => uniform(to, rng, count, (high - low) / 2.0),
    }
    to[start..].iter_mut().for_each(|value| *value += shift);
}

/// The index of each parameter by its name.
fn by_name(parameters: &[Parameter]) -> BTreeMap<String, usize> {
    parameters.iter().enumerate().map(|(i, p)| (p.spec.name.clone(), i)).collect()
}

impl ParamStore {
    /// Initial values from PyTorch's distributions (not its generator), drawn from the weight stream of `seed`. Every
    /// parameter has its own generator, so that a network's first layers start the same whatever follows them.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn initialise(graph: &Graph, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        Self::of(graph.parameters(), seed, dtype, device)
    }

    /// Initial values of these parameters, in this order; for example those of several graphs, one after another.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn of(specs: Vec<ParameterSpec>, seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let (mut trained, mut statistics) = (Vec::<f64>::new(), Vec::<f64>::new());
        let mut parameters = Vec::new();
        for (index, spec) in specs.into_iter().enumerate() {
            let flat = if spec.role.is_trained() { &mut trained } else { &mut statistics };
            let offset = flat.len();
            let mut rng = seed::derive(seed, Stream::Weights, 0, index as u64);
            match spec.role {
                Role::Weight { start: Start::Torch, fan_in, .. } | Role::Bias { start: Start::Torch, fan_in } => {
                    uniform(flat, &mut rng, spec.len(), 1.0 / (fan_in as f64).sqrt());
                }
                Role::Weight { start: Start::He, fan_in, .. } => {
                    uniform(flat, &mut rng, spec.len(), (6.0 / fan_in as f64).sqrt());
                }
                Role::Weight { start: Start::Glorot, fan_in, fan_out } => {
                    uniform(flat, &mut rng, spec.len(), (6.0 / (fan_in + fan_out) as f64).sqrt());
                }
                Role::Weight { start: Start::HeOut, fan_out, .. } => {
                    normal(flat, &mut rng, spec.len(), (2.0 / fan_out as f64).sqrt());
                }
                Role::OfModule { values, .. } => values_of_module(flat, &mut rng, spec.len(), values),
                Role::Weight { start: Start::One, .. } | Role::Scale | Role::RunningVariance => {
                    flat.resize(offset + spec.len(), 1.0);
                }
                Role::Bias { .. } | Role::Shift | Role::RunningMean => flat.resize(offset + spec.len(), 0.0),
            }
            parameters.push(Parameter { spec, offset });
        }
        let var = |values: Vec<f64>| -> Result<Var> {
            let len = values.len();
            let tensor = || Tensor::from_vec(values, len, &Device::Cpu)?.to_dtype(dtype)?.to_device(device);
            tensor().and_then(|tensor| Var::from_tensor(&tensor)).computed()
        };
        Ok(Self { by_name: by_name(&parameters), parameters, trained: var(trained)?, statistics: var(statistics)? })
    }

    /// Zeros in place of initial values, for parameters that are [loaded](Self::load): drawing them takes longer than a
    /// small network's prediction.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn zeros(specs: Vec<ParameterSpec>, dtype: DType, device: &Device) -> Result<Self> {
        let mut lens = [0usize; 2];
        let mut parameters = Vec::with_capacity(specs.len());
        for spec in specs {
            let len = &mut lens[usize::from(!spec.role.is_trained())];
            let offset = *len;
            *len += spec.len();
            parameters.push(Parameter { spec, offset });
        }
        let [trained, statistics] = lens.map(|len| Var::zeros(len, dtype, device).computed());
        Ok(Self { by_name: by_name(&parameters), parameters, trained: trained?, statistics: statistics? })
    }

    /// A copy of the values in new memory.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn duplicate(&self) -> Result<Self> {
        let copy = |var: &Var| Var::from_tensor(&var.as_tensor().copy()?);
        Ok(Self {
            trained: copy(&self.trained).computed()?,
            statistics: copy(&self.statistics).computed()?,
            ..self.clone()
        })
    }

    /// Adds a vector that is trained with the network, for example the widths of heatmaps. The optimizer updates it,
    /// checkpoints contain it, engines ignore it, and the code that uses it writes its part of the gradient.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn beside(mut self, name: &str, start: &[f64]) -> Result<Self> {
        let (dtype, device) = (self.trained.dtype(), self.trained.device().clone());
        let spec = ParameterSpec { name: name.to_owned(), shape: vec![start.len()], role: Role::Scale };
        self.by_name.insert(name.to_owned(), self.parameters.len());
        self.parameters.push(Parameter { spec, offset: self.trained.elem_count() });
        let values = Tensor::from_slice(start, start.len(), &Device::Cpu)
            .computed()?
            .to_dtype(dtype)
            .computed()?
            .to_device(&device)
            .computed()?;
        self.trained =
            Var::from_tensor(&Tensor::cat(&[self.trained.as_tensor(), &values], 0).computed()?).computed()?;
        Ok(self)
    }

    /// Every parameter, in the order of the graphs, followed by the vectors trained with the network.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// One parameter by its PyTorch name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.by_name.get(name).map(|i| &self.parameters[*i])
    }

    /// Start of these consecutive parameters in the trained values and in the running statistics; `None` if they are
    /// not consecutive here.
    #[must_use]
    pub fn part(&self, specs: &[ParameterSpec]) -> Option<[usize; 2]> {
        let first = *self.by_name.get(&specs.first()?.name)?;
        let found = self.parameters.get(first..first + specs.len())?;
        let starts = || {
            let before = |trained: bool| {
                let lens = self.parameters[..first].iter().filter(move |p| p.spec.role.is_trained() == trained);
                lens.map(|p| p.spec.len()).sum()
            };
            [before(true), before(false)]
        };
        found.iter().map(|p| &p.spec).eq(specs).then(starts)
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

    /// The part of a flat vector that belongs to this parameter, in the parameter's shape; detached. The vector (a
    /// gradient, a moment of the optimizer) is laid out like [`ParamStore::trained`] or [`ParamStore::statistics`].
    ///
    /// # Errors
    /// When the vector is too short.
    pub fn slice_like(&self, parameter: &Parameter, flat: &Tensor) -> Result<Tensor> {
        let part = flat.detach().narrow(0, parameter.offset, parameter.spec.len());
        part.and_then(|part| part.reshape(parameter.spec.shape.as_slice())).computed()
    }

    /// [`Self::slice_like`] for the parameter with this name.
    ///
    /// # Errors
    /// When there is no such parameter, or the vector is too short.
    pub fn part_of(&self, name: &str, flat: &Tensor) -> Result<Tensor> {
        let parameter = self.parameter(name).ok_or_else(|| Error::input(format!("there is no parameter `{name}`")))?;
        self.slice_like(parameter, flat)
    }

    /// Every parameter under its PyTorch name, for saving.
    ///
    /// # Errors
    /// Never in practice; tensors are sliced.
    pub fn named(&self) -> Result<BTreeMap<String, Tensor>> {
        self.parameters.iter().map(|p| Ok((p.spec.name.clone(), self.view(&p.spec.name)?))).collect()
    }

    /// Sets every parameter from a map of named tensors (a PyTorch state dict); ignores `num_batches_tracked`.
    ///
    /// # Errors
    /// Lists names that are missing or unknown, and shapes that differ.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let mut wrong: Vec<String> = tensors
            .keys()
            .filter(|name| !self.by_name.contains_key(*name) && !name.ends_with("num_batches_tracked"))
            .map(|name| format!("unknown `{name}`"))
            .collect();
        wrong.extend(self.parameters.iter().filter_map(|parameter| difference(&parameter.spec, tensors)));
        if !wrong.is_empty() {
            return Err(foreign(&wrong));
        }
        let of = |trained: bool| {
            let parameters =
                self.parameters.iter().filter(move |parameter| parameter.spec.role.is_trained() == trained);
            parameters.filter_map(|parameter| Some((parameter.offset, tensors.get(&parameter.spec.name)?)))
        };
        set(&self.trained, of(true)).computed()?;
        set(&self.statistics, of(false)).computed()
    }
}

/// Writes tensors to their places in a vector. On the processor each is copied on its own, so that there is no second copy of all.
fn set<'a>(var: &Var, parts: impl Iterator<Item = (usize, &'a Tensor)>) -> candle_core::Result<()> {
    let converted = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(var.dtype())?.contiguous();
    if var.device().is_cpu() && var.dtype() == DType::F32 {
        for (offset, tensor) in parts {
            // A copy, because the tensor may be a part of this very vector.
            let values = read(&converted(&tensor.to_device(&Device::Cpu)?)?, |values: &[f32]| Ok(values.to_vec()))?;
            change(var, |all: &mut [f32]| {
                all[offset..offset + values.len()].copy_from_slice(&values);
                Ok(())
            })?;
        }
        return Ok(());
    }
    let parts = parts.map(|(_, tensor)| converted(tensor)?.to_device(var.device()));
    let parts = parts.collect::<candle_core::Result<Vec<Tensor>>>()?;
    if parts.is_empty() { Ok(()) } else { var.set(&Tensor::cat(&parts, 0)?) }
}

/// Checks that tensors have the shapes of these parameters, before memory is taken for them.
///
/// # Errors
/// Lists names that are missing, and shapes that differ.
pub fn check_shapes(specs: &[ParameterSpec], tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let wrong: Vec<String> = specs.iter().filter_map(|spec| difference(spec, tensors)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(foreign(&wrong)) }
}

/// Whether tensors can be laid out in this shape, which a file claims. A tensor without numbers takes no bytes of a file, however
/// large its other dimensions are, but whoever lays it out multiplies them.
#[must_use]
pub fn is_countable(shape: &[usize]) -> bool {
    /// As PyTorch.
    const MOST_DIMENSIONS: usize = 64;
    const MOST_NUMBERS: usize = 1 << 40;
    let numbers = shape.iter().try_fold(1usize, |numbers, size| numbers.checked_mul((*size).max(1)));
    shape.len() <= MOST_DIMENSIONS && numbers.is_some_and(|numbers| numbers <= MOST_NUMBERS)
}

fn difference(spec: &ParameterSpec, tensors: &BTreeMap<String, Tensor>) -> Option<String> {
    match tensors.get(&spec.name) {
        None => Some(format!("missing `{}`", spec.name)),
        // A linear layer's weight is that of a convolution of single pixels.
        Some(t) if without_ones(t.dims()) == without_ones(&spec.shape) => None,
        Some(t) => Some(format!("`{}` has shape {:?} instead of {:?}", spec.name, t.dims(), spec.shape)),
    }
}

/// A shape without the dimensions of size 1 at its end.
fn without_ones(shape: &[usize]) -> &[usize] {
    &shape[..shape.iter().rposition(|size| *size != 1).map_or(0, |last| last + 1)]
}

fn foreign(wrong: &[String]) -> Error {
    let shown = wrong.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = wrong.len().saturating_sub(5);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::input(format!("the weights do not belong to this network: {shown}{tail}"))
        .remedy("use the model, filters and input channels the weights were trained with")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Node};

    #[test]
    fn a_shape_without_numbers_is_countable_all_the_same() {
        for shape in [&[][..], &[0], &[3, 0, 5], &[64, 64, 3, 3], &[1; 64]] {
            assert!(is_countable(shape), "{shape:?}");
        }
        for shape in [&[0, usize::MAX][..], &[1 << 40, 0, 1 << 40], &[usize::MAX, usize::MAX], &[1; 65]] {
            assert!(!is_countable(shape), "{shape:?}");
        }
    }

    #[test]
    fn weights_start_as_said() {
        // 64 channels read and 32 written by 3×3 kernels: 576 inputs of an output, 288 outputs of an input. The
        // deviation of uniform numbers is their bound over √3.
        let uniform = |bound: f64| (bound / 3f64.sqrt(), bound);
        for (start, (deviation, bound)) in [
            (Start::Torch, uniform(1.0 / 24.0)),
            (Start::He, uniform((6.0f64 / 576.0).sqrt())),
            (Start::Glorot, uniform((6.0f64 / 864.0).sqrt())),
            (Start::HeOut, ((2.0f64 / 288.0).sqrt(), 6.0 * (2.0f64 / 288.0).sqrt())),
        ] {
            let mut graph = Graph::new();
            let input = graph.push(Node::Input { channels: 64 });
            let convolution = Node::Convolution {
                input,
                name: "a".to_owned(),
                channels: 32,
                kernel: 3,
                stride: 1,
                dilation: 1,
                depthwise: false,
                bias: true,
                start,
                norm: None,
                activation: Activation::Identity,
            };
            graph.push(convolution);
            let parameters = ParamStore::initialise(&graph, 1, DType::F64, &Device::Cpu).unwrap();
            let values = |name: &str| parameters.view(name).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let weights = values("a.weight");
            let count = weights.len() as f64;
            let mean = weights.iter().sum::<f64>() / count;
            let found = (weights.iter().map(|w| w * w).sum::<f64>() / count - mean * mean).sqrt();
            assert!((found / deviation - 1.0).abs() < 0.02, "{start:?}: {found} instead of {deviation}");
            assert!(mean.abs() < 4.0 * deviation / count.sqrt(), "{start:?}: {mean}");
            assert!(weights.iter().all(|w| w.abs() <= bound), "{start:?}");
            let is_zero = values("a.bias").iter().all(|b| *b == 0.0);
            assert_eq!(is_zero, start != Start::Torch, "{start:?}");
        }
    }

    #[test]
    fn a_store_loads_another_ones_values_and_its_own() {
        let mut graph = Graph::new();
        let input = graph.push(Node::Input { channels: 2 });
        graph.push(Node::convolution(input, "a", 3).normalised("n", crate::NormKind::Batch));
        for dtype in [DType::F32, DType::F64] {
            let drawn = ParamStore::initialise(&graph, 1, dtype, &Device::Cpu).unwrap();
            let blank = ParamStore::zeros(graph.parameters(), dtype, &Device::Cpu).unwrap();
            assert_eq!(blank.parameters(), drawn.parameters());
            let values = |store: &ParamStore| -> [Vec<f64>; 2] {
                [store.trained(), store.statistics()].map(|v| v.to_dtype(DType::F64).unwrap().to_vec1().unwrap())
            };
            assert!(values(&blank).iter().flatten().all(|value| value.abs() <= 0.0));
            blank.load(&drawn.named().unwrap()).unwrap();
            assert_eq!(values(&blank), values(&drawn));
            // Their storage is that which is written.
            blank.load(&blank.named().unwrap()).unwrap();
            assert_eq!(values(&blank), values(&drawn));
        }
    }
}
