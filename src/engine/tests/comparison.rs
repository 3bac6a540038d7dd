//! Compares an engine's results with the reference engine's in double precision.

use candle_core::{DType, Device, Tensor};
use rand::Rng;

use crate::reference::Reference;
use crate::{Engine, Mode};
use sweep_core::seed::{self, Stream};
use sweep_graph::params::ParamStore;
use sweep_graph::{Graph, Node, Role};

pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = seed::derive(seed, Stream::Weights, 1, 0);
    (0..len).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// Parameters with scales, shifts and running statistics away from their initial values.
pub(crate) fn parameters(graph: &Graph, seed: u64) -> ParamStore {
    let parameters = ParamStore::initialise(graph, seed, DType::F32, &Device::Cpu).unwrap();
    let mut statistics = random(seed + 100, parameters.statistics().elem_count());
    for p in parameters.parameters().iter().filter(|p| !p.spec.role.is_trained()) {
        for v in &mut statistics[p.offset..p.offset + p.spec.len()] {
            // Close to real batches, so that activations do not vanish.
            *v = if p.spec.role == Role::RunningMean { 0.1 * *v } else { 0.2 + 0.1 * *v };
        }
    }
    let has_ceiling = |node: &Node| match node {
        Node::Convolution { activation, .. }
        | Node::TransposedConvolution { activation, .. }
        | Node::Combine { activation, .. } => activation.ceiling().is_finite(),
        _ => false,
    };
    // Values that reach a ceiling of 6 after their normalisation.
    let spread = if graph.nodes().iter().any(has_ceiling) { 2.5 } else { 1.0 };
    let mut trained = parameters.trained().to_vec1::<f32>().unwrap();
    for p in parameters.parameters().iter().filter(|p| p.spec.shape.len() == 1 && p.spec.role.is_trained()) {
        for (v, noise) in trained[p.offset..].iter_mut().zip(random(seed + p.offset as u64, p.spec.len())) {
            *v = spread * (*v + 0.3 * noise);
        }
    }
    let set = |var: &candle_core::Var, values: Vec<f32>| {
        let len = values.len();
        var.set(&Tensor::from_vec(values, len, &Device::Cpu).unwrap()).unwrap();
    };
    set(parameters.trained(), trained);
    set(parameters.statistics(), statistics);
    parameters
}

/// The same parameters on a device.
pub(crate) fn parameters_on(graph: &Graph, seed: u64, device: &Device) -> ParamStore {
    let (on_device, on_cpu) = (ParamStore::initialise(graph, 0, DType::F32, device).unwrap(), parameters(graph, seed));
    for (to, from) in [(on_device.trained(), on_cpu.trained()), (on_device.statistics(), on_cpu.statistics())] {
        to.set(&from.to_device(device).unwrap()).unwrap();
    }
    on_device
}

/// Everything a pass computes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Results {
    pub(crate) heads: Vec<Vec<f64>>,
    pub(crate) gradient: Vec<f64>,
    pub(crate) statistics: Vec<f64>,
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f64> {
    // A GPU rejects launches without numbers.
    if tensor.elem_count() == 0 {
        return Vec::new();
    }
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Random numbers in the parameters' precision.
pub(crate) fn noise(parameters: &ParamStore, seed: u64, shape: &[usize]) -> Tensor {
    let values = random(seed, shape.iter().product());
    let values = Tensor::from_vec(values, shape, parameters.trained().device()).unwrap();
    values.to_dtype(parameters.trained().dtype()).unwrap()
}

/// The weights of the heads' values in the loss.
pub(crate) fn loss_weights(parameters: &ParamStore, heads: &[Tensor]) -> Vec<Tensor> {
    heads.iter().zip(50..).map(|(head, seed)| noise(parameters, seed, head.dims())).collect()
}

/// One pass on random images, in the parameters' precision; the loss weights every value of every head at random.
pub(crate) fn run(engine: &mut dyn Engine, parameters: &ParamStore, shape: [usize; 4], mode: Mode) -> Results {
    let heads = engine.forward(&noise(parameters, 7, &shape), parameters, mode).unwrap();
    let gradient = match mode {
        Mode::Train => flat(&engine.gradient(&heads, &loss_weights(parameters, &heads), parameters).unwrap()),
        Mode::Evaluate => Vec::new(),
    };
    Results { heads: heads.iter().map(flat).collect(), gradient, statistics: flat(parameters.statistics()) }
}

/// Deviation of single from double precision, relative to the largest value.
pub(crate) fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|v| v.is_finite()));
    let largest = expected.iter().fold(1e-12, |m: f64, v| m.max(v.abs()));
    found.iter().zip(expected).fold(0.0, |m: f64, (f, e)| m.max((f - e).abs())) / largest
}

/// Largest [`error`] of any parameter's gradient; a gradient that is tiny compared with the others need not have more
/// correct digits than the sums it comes from.
pub(crate) fn error_of_each(parameters: &ParamStore, found: &[f64], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let trained = parameters.parameters().iter().filter(|p| p.spec.role.is_trained() && !expected.is_empty());
    trained.fold(0.0, |worst, p| {
        let part = |values: &[f64]| [&values[p.offset..p.offset + p.spec.len()], &[0.01 * largest]].concat();
        worst.max(error(&part(found), &part(expected)))
    })
}

/// Bounds on the errors of the heads' values, of the gradient relative to its largest value, and of each parameter's
/// relative to its own. If an activation has a kink at zero, rounding decides the direction of a gradient at a few
/// pixels, and these matter much in the small gradients of early layers.
pub(crate) const KINKS: [f64; 3] = [3e-5, 3e-3, 3e-2];
pub(crate) const SMOOTH: [f64; 3] = [3e-5, 2e-5, 2e-4];

/// The same parameters in double precision.
pub(crate) fn doubled(graph: &Graph, parameters: &ParamStore) -> ParamStore {
    let double = ParamStore::initialise(graph, 0, DType::F64, &Device::Cpu).unwrap();
    for (to, from) in [(double.trained(), parameters.trained()), (double.statistics(), parameters.statistics())] {
        to.set(&from.to_dtype(DType::F64).unwrap()).unwrap();
    }
    double
}

/// The reference engine's results in double precision.
pub(crate) fn expected(graph: &Graph, parameters: &ParamStore, shape: [usize; 4], mode: Mode) -> Results {
    run(&mut Reference::new(graph), &doubled(graph, parameters), shape, mode)
}

/// Errors of the heads' values, of the gradient, of each parameter's gradient, and of the statistics.
pub(crate) fn errors(parameters: &ParamStore, found: &Results, expected: &Results) -> ([f64; 3], f64) {
    let heads = found.heads.iter().zip(&expected.heads).map(|(f, e)| error(f, e)).fold(0.0, f64::max);
    let gradient = error(&found.gradient, &expected.gradient);
    let each = error_of_each(parameters, &found.gradient, &expected.gradient);
    ([heads, gradient, each], error(&found.statistics, &expected.statistics))
}
