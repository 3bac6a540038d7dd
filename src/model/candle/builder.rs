//! What a module's `VarBuilder` reads from: a list that notes what the module asks for, or the parameters themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::network::AnyCandleNetwork;
use sweep_graph::params::is_countable;
use sweep_graph::{InitialValues, ParameterSpec, Role};

/// The parameters that a network asks for, for these numbers of channels and landmarks, in its order.
pub(super) fn parameters(network: &dyn AnyCandleNetwork, size: [usize; 2]) -> Result<Vec<ParameterSpec>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let backend: Box<dyn SimpleBackend> = Box::new(Recorder(Arc::clone(&asked)));
    network.run(VarBuilder::new_with_args(backend, DType::F32, &Device::Cpu), size, None)?;
    let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
    let with_role = |(name, shape, init): Asked| {
        let role = match name.rsplit('.').next() {
            Some("running_mean") => Role::RunningMean,
            Some("running_var") => Role::RunningVariance,
            _ => Role::OfModule { values: values(init, &shape), trained: network.is_trained(&name) },
        };
        ParameterSpec { name, shape, role }
    };
    let parameters: Vec<ParameterSpec> = asked.into_iter().map(with_role).collect();
    if !parameters.iter().any(|parameter| parameter.role.is_trained()) {
        bail!("it has no parameter to train");
    }
    Ok(parameters)
}

/// A `VarBuilder` that serves these tensors, by name.
pub(super) fn serve(tensors: BTreeMap<String, Tensor>, dtype: DType, device: &Device) -> VarBuilder<'static> {
    let backend: Box<dyn SimpleBackend> = Box::new(Served(tensors));
    VarBuilder::new_with_args(backend, dtype, device)
}

/// Initial values by a hint of candle's.
fn values(init: Init, shape: &[usize]) -> InitialValues {
    match init {
        Init::Const(value) => InitialValues::Constant(value),
        Init::Randn { mean, stdev } => InitialValues::Normal { mean, deviation: stdev },
        Init::Uniform { lo, up } => InitialValues::Uniform { low: lo, high: up },
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan.for_shape(&Shape::from(shape)) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => InitialValues::Normal { mean: 0.0, deviation },
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * deviation;
                    InitialValues::Uniform { low: -bound, high: bound }
                }
            }
        }
    }
}

/// Name, shape and hint of a parameter.
type Asked = (String, Vec<usize>, Init);

/// Notes what is asked for, and answers with zeros that take no memory.
struct Recorder(Arc<Mutex<Vec<Asked>>>);

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        if !is_countable(shape.dims()) || shape.elem_count() == 0 {
            bail!("the parameter `{name}` has the shape {:?}", shape.dims());
        }
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.iter().find(|(known, ..)| known == name) {
            // A shared parameter.
            Some((_, known, _)) if known == shape.dims() => {}
            Some((_, known, _)) => bail!("two parameters are called `{name}`, of {known:?} and {:?}", shape.dims()),
            None => asked.push((name.to_owned(), shape.dims().to_vec(), init)),
        }
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        bail!("the parameter `{name}` is asked for without a shape: use VarBuilder::get with one")
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}

/// Answers with the parameters.
struct Served(BTreeMap<String, Tensor>);

impl SimpleBackend for Served {
    fn get(&self, shape: Shape, name: &str, _init: Init, dtype: DType, _device: &Device) -> Result<Tensor> {
        let Some(tensor) = self.0.get(name).filter(|tensor| tensor.shape() == &shape) else {
            bail!(
                "the network asks for `{name}` {:?}, which it did not when its parameters were listed: what it asks for \
                 may depend on its options, channels and landmarks alone",
                shape.dims()
            )
        };
        tensor.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        bail!("the parameter `{name}` is asked for without a shape")
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}
