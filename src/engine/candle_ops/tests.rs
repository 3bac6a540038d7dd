//! Values against candle's own, gradients against central differences: on tensors that are used again, on odd sizes, and on
//! tensors that are not contiguous.

use candle_core::{Device, Result, Tensor, Var};

use super::*;

type Operation = fn(&Tensor) -> Result<Tensor>;

/// Ours beside candle's, for a map of 5 × 7 pixels.
const OPERATIONS: [(&str, Operation, Operation); 9] = [
    ("max 2", |x| max_pool2d(x, 2), |x| x.max_pool2d(2)),
    ("max 3, 2", |x| max_pool2d_with_stride(x, 3, 2), |x| x.max_pool2d_with_stride(3, 2)),
    ("mean 2", |x| avg_pool2d(x, 2), |x| x.avg_pool2d(2)),
    ("mean 3", |x| avg_pool2d(x, 3), |x| x.avg_pool2d(3)),
    ("nearest 10, 14", |x| upsample_nearest2d(x, 10, 14), |x| x.upsample_nearest2d(10, 14)),
    ("nearest 8, 9", |x| upsample_nearest2d(x, 8, 9), |x| x.upsample_nearest2d(8, 9)),
    ("corners 9, 13", |x| upsample_bilinear2d(x, 9, 13, true), |x| x.upsample_bilinear2d(9, 13, true)),
    ("halves 10, 14", |x| upsample_bilinear2d(x, 10, 14, false), |x| x.upsample_bilinear2d(10, 14, false)),
    ("halves 3, 4", |x| upsample_bilinear2d(x, 3, 4, false), |x| x.upsample_bilinear2d(3, 4, false)),
];

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn map() -> Tensor {
    let values: Vec<f64> = (0..2 * 3 * 5 * 7).map(|i| f64::from(i * 37 % 101) / 50.0 - 1.0).collect();
    Tensor::from_vec(values, (2, 3, 5, 7), &Device::Cpu).unwrap()
}

#[test]
fn values_are_candles() {
    for (name, ours, candles) in OPERATIONS {
        let [ours, candles] = [ours(&map()).unwrap(), candles(&map()).unwrap()];
        assert_eq!(ours.dims(), candles.dims(), "{name}");
        let close = numbers(&ours).iter().zip(numbers(&candles)).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close, "{name}: {ours} instead of {candles}");
    }
}

/// A function of the map in which the operation's argument and result are both used twice, and the argument is not contiguous.
fn score(operation: Operation, map: &Tensor) -> Result<Tensor> {
    let turned = map.transpose(2, 3)?.transpose(2, 3)?.transpose(0, 1)?;
    let result = operation(&turned)?;
    (result.sqr()?.sum_all()? + (result.sum_all()? * map.sqr()?.sum_all()?)?)? + turned.powf(3.0)?.sum_all()?
}

#[test]
fn gradients_are_those_of_central_differences_and_candles_are_not_all() {
    let mut wrong = Vec::new();
    for (name, ours, candles) in OPERATIONS {
        let var = Var::from_tensor(&map()).unwrap();
        let gradient = |operation: Operation| -> Result<Vec<f64>> {
            Ok(numbers(score(operation, &var)?.backward()?.get(&var).unwrap()))
        };
        let found = gradient(ours).unwrap();
        let step = 1e-5;
        let differences: Vec<f64> = (0..found.len())
            .map(|index| {
                let moved = |by: f64| {
                    let mut values = numbers(&map());
                    values[index] += by;
                    let map = Tensor::from_vec(values, map().shape(), &Device::Cpu).unwrap();
                    score(ours, &map).unwrap().to_scalar::<f64>().unwrap()
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            })
            .collect();
        let is_right =
            |gradient: &[f64]| gradient.iter().zip(&differences).all(|(a, b)| (a - b).abs() < 1e-6 * (1.0 + b.abs()));
        assert!(is_right(&found), "{name}: {found:?} instead of {differences:?}");
        if !gradient(candles).is_ok_and(|gradient| is_right(&gradient)) {
            wrong.push(name);
        }
    }
    // Once candle has mended these, this module can go.
    let known = OPERATIONS.map(|(name, ..)| name);
    assert_eq!(wrong, known);
}

#[test]
fn tied_maxima_give_the_gradient_to_the_first() {
    let var = Var::from_tensor(&Tensor::ones((1, 1, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
    let gradients = max_pool2d(&var, 2).unwrap().sum_all().unwrap().backward().unwrap();
    let found: Vec<f32> = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn results_are_noted_while_asked() {
    let ((pooled, doubled), noted) = results_of(|| {
        let pooled = max_pool2d(&map(), 2).unwrap();
        let doubled = upsample_nearest2d(&pooled, 4, 6).unwrap();
        (pooled, doubled)
    });
    assert_eq!(noted, [pooled.id(), doubled.id()]);
    assert!(results_of(|| ()).1.is_empty());
}
