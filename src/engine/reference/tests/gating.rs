//! Tests gates, smooth activations and global pooling against central differences and their definitions.

use super::graphs::check;
use super::{check_gradient, deviation, projected, random, values};
use crate::reference::gating;
use crate::tests::gates::gated;
use candle_core::{DType, Device, Tensor};
use sweep_graph::{Gating, SmoothActivation};

const SMOOTH: [SmoothActivation; 3] = [SmoothActivation::Sigmoid, SmoothActivation::Silu, SmoothActivation::Gelu];

#[test]
fn gradients_of_global_pooling_and_of_smooth_activations() {
    for [height, width] in [[1, 1], [2, 3], [5, 1]] {
        let map = random(1, &[2, 3, height, width]);
        let gradient = random(2, &[2, 3, 1, 1]);
        let to_map = gating::global_average_pool_backward(&gradient, [height, width]).unwrap();
        check_gradient("mean", &map, &to_map, |x| projected(&gating::global_average_pool(x)?, &gradient));
        let (map, gradient) = ((map * 4.0).unwrap(), random(3, &[2, 3, height, width]));
        for activation in SMOOTH {
            let to_map = gating::smooth_backward(&map, &gradient, activation).unwrap();
            let value = |x: &Tensor| projected(&gating::smooth(x, activation)?, &gradient);
            check_gradient("smooth", &map, &to_map, value);
        }
    }
}

#[test]
fn gradients_of_gates() {
    for (gating, shape) in [(Gating::Pixel, [2, 1, 3, 4]), (Gating::Channel, [2, 3, 1, 1])] {
        let (map, gate, gradient) = (random(4, &[2, 3, 3, 4]), random(5, &shape), random(6, &[2, 3, 3, 4]));
        let [to_map, to_gate] = gating::gate_backward([&map, &gate], &gradient, gating).unwrap();
        check_gradient("map", &map, &to_map, |x| projected(&gating::gate(x, &gate)?, &gradient));
        check_gradient("gate", &gate, &to_gate, |x| projected(&gating::gate(&map, x)?, &gradient));
    }
}

#[test]
fn values_are_those_of_the_definitions() {
    let map = Tensor::new(&[[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]], &Device::Cpu).unwrap();
    assert_eq!(values(&gating::global_average_pool(&map).unwrap()), [3.0, -1.0]);
    let gate = Tensor::new(&[[[[2.0, 0.0], [1.0, -1.0]]]], &Device::Cpu).unwrap();
    assert_eq!(values(&gating::gate(&map, &gate).unwrap()), [2.0, 0.0, 3.0, -6.0, 0.0, 0.0, 0.0, 4.0]);
    let gate = Tensor::new(&[[[[2.0]], [[0.5]]]], &Device::Cpu).unwrap();
    assert_eq!(values(&gating::gate(&map, &gate).unwrap()), [2.0, 4.0, 6.0, 12.0, 0.0, 0.0, 0.0, -2.0]);
    let expected = Tensor::new(&[1.0 / (1.0 + 1f64.exp()), 0.5, 1.0, 0.0], &Device::Cpu).unwrap();
    let far = Tensor::new(&[-1.0, 0.0, 800.0, -800.0], &Device::Cpu).unwrap();
    let [sigmoid, silu, _] = SMOOTH;
    assert!(deviation(&gating::smooth(&far, sigmoid).unwrap(), &expected) < 1e-15);
    let half = gating::smooth(&far.to_dtype(DType::F16).unwrap(), sigmoid).unwrap();
    assert!(deviation(&half.to_dtype(DType::F64).unwrap(), &expected) < 1e-3);
    assert!(deviation(&gating::smooth(&far, silu).unwrap(), &(expected * far.clone()).unwrap()) < 1e-15);
}

#[test]
fn gradients_of_graphs_with_gates() {
    for seed in 0..6 {
        let (graph, [images, channels, ..]) = gated(seed);
        check(&format!("graph {seed}"), &graph, &[images.max(2), channels, 5, 4]);
    }
}

/// Numbers of torch 2.11 in double precision: `gelu`, its derivative, and `layer_norm` over channels.
#[test]
fn values_are_those_of_pytorch() {
    let x = Tensor::new(&[-9.0, -3.0, -1.0, -0.25, 0.0, 0.5, 2.0, 7.0], &Device::Cpu).unwrap();
    let of = |numbers: [f64; 8]| Tensor::new(&numbers, &Device::Cpu).unwrap();
    let gelu = of([
        0.0,
        -0.004_049_694_094_890_31,
        -0.158_655_253_931_457_02,
        -0.100_323_418_579_269_07,
        0.0,
        0.345_731_230_637_006_56,
        1.954_499_736_103_641_6,
        6.999_999_999_991_041,
    ]);
    let slope = of([
        0.0,
        -0.011_945_647_204_183_92,
        -0.083_315_470_587_686_35,
        0.304_626_645_116_364,
        0.5,
        0.867_495_124_656_162_9,
        1.085_231_801_078_197,
        1.000_000_000_062_663_2,
    ]);
    assert!(deviation(&gating::smooth(&x, SmoothActivation::Gelu).unwrap(), &gelu) < 1e-14);
    let ones = x.ones_like().unwrap();
    assert!(deviation(&gating::smooth_backward(&x, &ones, SmoothActivation::Gelu).unwrap(), &slope) < 1e-14);
    let map = Tensor::new(&[1.0, -2.0, 3.0, 0.5, -1.0, 0.25], &Device::Cpu).unwrap().reshape((1, 3, 1, 2)).unwrap();
    let expected = [
        0.0,
        -1.408_373_144_497_596,
        1.224_744_641_751_990_3,
        0.815_373_925_761_766_1,
        -1.224_744_641_751_990_3,
        0.592_999_218_735_83,
    ];
    let expected = Tensor::new(&expected, &Device::Cpu).unwrap().reshape((1, 3, 1, 2)).unwrap();
    let [normal, _] = gating::layer_norm(&map, 1e-6).unwrap();
    assert!(deviation(&normal, &expected) < 1e-14);
}

#[test]
fn gradients_of_layer_normalisation() {
    for (channels, epsilon) in [(1, 0.1), (3, 1e-6), (5, 0.1)] {
        let (map, gradient) = (random(7, &[2, channels, 2, 3]), random(8, &[2, channels, 2, 3]));
        let to_map = gating::layer_norm_backward(&map, &gradient, epsilon).unwrap();
        check_gradient("map", &map, &to_map, |x| {
            let [normal, _] = gating::layer_norm(x, epsilon)?;
            projected(&normal, &gradient)
        });
    }
}
