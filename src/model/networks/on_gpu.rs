//! Every network on an emulated GPU, or on a real one, against the reference engine in double precision.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rand::Rng;
use sweep_core::seed::{self, Stream};
use sweep_emulator::gpus;
use sweep_engine::cuda::CudaEngine;
use sweep_engine::reference::Reference;
use sweep_engine::{Engine, Mode, Precision};
use sweep_graph::params::ParamStore;

use super::ModelSpec;

/// Random numbers in the parameters' precision, on their device.
fn noise(parameters: &ParamStore, seed: u64, shape: &[usize]) -> Tensor {
    let mut rng = seed::derive(seed, Stream::Weights, 1, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let values = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(parameters.trained().dtype()).unwrap();
    values.to_device(parameters.trained().device()).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The head's values in training, the gradient for a random loss, and the values in an evaluation after it.
fn run(engine: &mut dyn Engine, parameters: &ParamStore) -> [Vec<f64>; 3] {
    let images = noise(parameters, 7, &[2, 3, 96, 72]);
    let heads = engine.forward(&images, parameters, Mode::Train).unwrap();
    let weights: Vec<Tensor> = heads.iter().map(|head| noise(parameters, 8, head.dims())).collect();
    let gradient = flat(&engine.gradient(&heads, &weights, parameters).unwrap());
    let evaluated = engine.forward(&images, parameters, Mode::Evaluate).unwrap();
    [flat(heads.last().unwrap()), gradient, flat(evaluated.last().unwrap())]
}

/// Largest difference, relative to the largest number.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    assert!(largest > 0.0 && found.iter().all(|value| value.is_finite()));
    found.iter().zip(expected).fold(0.0, |most: f64, (f, e)| most.max((f - e).abs())) / largest
}

#[test]
fn every_network_computes_the_same_on_a_gpu() {
    let mut compared = Vec::new();
    for spec in ModelSpec::examples() {
        let Ok(graph) = spec.graph(3, 4) else { continue };
        // Small examples of one network with several published sizes are the same graph.
        if compared.contains(&graph) {
            continue;
        }
        let store = |dtype, device: &Device| ParamStore::initialise(&graph, 3, dtype, device).unwrap();
        let expected = run(&mut Reference::new(&graph), &store(DType::F64, &Device::Cpu));
        for test_gpu in gpus() {
            let mut engine = CudaEngine::new(&graph, Precision::Fp32, Arc::clone(&test_gpu.gpu)).unwrap();
            let found = run(&mut engine, &store(DType::F32, &test_gpu.device));
            let errors = [0, 1, 2].map(|of| error(&found[of], &expected[of]));
            let what = format!("{} on {}: {errors:?}", spec.name(), test_gpu.name);
            // Rounding decides the direction of a gradient at a few kinks of activations.
            assert!(errors.iter().zip([1e-4, 5e-2, 1e-4]).all(|(error, bound)| *error < bound), "{what}");
        }
        compared.push(graph);
    }
    assert!(compared.len() >= 6, "{} networks", compared.len());
}
