//! Compares gradients with central differences and kernels with composed operations, and tests an engine's guarantees.

mod gating;
mod graphs;
mod operations;
mod promises;
mod transposed;

use candle_core::{DType, Device, Result, Tensor};
use rand::Rng;

use sweep_core::seed::{self, Stream};

/// Values between −1 and 1 from a seed, f64.
fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut rng = seed::derive(seed, Stream::Phantom, 0, 0);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the larger of 1 and the largest expected value.
fn deviation(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (values(found), values(expected));
    let scale = expected.iter().fold(1.0f64, |scale, value| scale.max(value.abs()));
    found.iter().zip(&expected).fold(0.0f64, |worst, (a, b)| {
        let difference = (a - b).abs() / scale;
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    })
}

/// `tensor` with `step` added at one index.
fn nudged(tensor: &Tensor, index: usize, step: f64) -> Tensor {
    let mut moved = values(tensor);
    moved[index] += step;
    Tensor::from_vec(moved, tensor.dims(), &Device::Cpu).unwrap()
}

/// The gradient of `f` at `tensor` by central differences, for the indices `at`.
fn central_differences(tensor: &Tensor, at: &[usize], f: impl Fn(&Tensor) -> Result<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    at.iter()
        .map(|index| {
            let ahead = f(&nudged(tensor, *index, STEP)).unwrap();
            let behind = f(&nudged(tensor, *index, -STEP)).unwrap();
            (ahead - behind) / (2.0 * STEP)
        })
        .collect()
}

/// Compares a gradient with central differences of `f`, at every index.
#[track_caller]
fn check_gradient(what: &str, tensor: &Tensor, gradient: &Tensor, f: impl Fn(&Tensor) -> Result<f64>) {
    assert_eq!(tensor.dims(), gradient.dims(), "{what}");
    let indices: Vec<usize> = (0..tensor.elem_count()).collect();
    let expected = central_differences(tensor, &indices, f);
    for (index, (found, expected)) in values(gradient).into_iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= 1e-7 * expected.abs().max(1.0);
        assert!(close, "{what}, index {index}: {found} instead of {expected}");
    }
}

/// `Σ map · weights`: a loss whose gradient to the map is `weights`.
fn projected(map: &Tensor, weights: &Tensor) -> Result<f64> {
    (map * weights)?.sum_all()?.to_scalar::<f64>()
}
