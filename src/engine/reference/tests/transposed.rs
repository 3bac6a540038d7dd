//! Tests transposed convolutions against their definition and central differences.

use super::graphs::check;
use super::{check_gradient, deviation, projected, random, values};
use crate::reference::transposed;
use crate::tests::transposed::transposed as random_graph;
use candle_core::{Device, Tensor};
use sweep_graph::Activation;

/// Kernel, and the rows and columns of the map and of the result: of an even number, and rounded up and down.
const CASES: [(usize, [usize; 2], [usize; 2]); 7] = [
    (2, [3, 2], [6, 4]),
    (2, [2, 3], [3, 7]),
    (3, [3, 2], [5, 4]),
    (3, [1, 2], [3, 5]),
    (4, [2, 3], [4, 6]),
    (4, [3, 1], [7, 1]),
    (5, [2, 2], [5, 3]),
];

/// PyTorch's definition of `ConvTranspose2d` with stride 2: every pixel adds its multiple of the kernel.
fn by_hand(map: &Tensor, weight: &Tensor, bias: &Tensor, [height, width]: [usize; 2]) -> Tensor {
    let (images, inputs, rows, columns) = map.dims4().unwrap();
    let (_, outputs, kernel, _) = weight.dims4().unwrap();
    let (map, weight, bias) = (values(map), values(weight), values(bias));
    let padding = (kernel - 1) / 2;
    let mut out: Vec<f64> = Vec::new();
    for _ in 0..images {
        for value in &bias {
            out.extend(vec![*value; height * width]);
        }
    }
    for (at, value) in map.iter().enumerate() {
        let (image, input, row, column) =
            (at / (inputs * rows * columns), at / (rows * columns) % inputs, at / columns % rows, at % columns);
        for tap in 0..outputs * kernel * kernel {
            let (output, down, across) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
            let (y, x) = (2 * row + down, 2 * column + across);
            if (padding..height + padding).contains(&y) && (padding..width + padding).contains(&x) {
                let to = ((image * outputs + output) * height + y - padding) * width + x - padding;
                out[to] += value * weight[input * outputs * kernel * kernel + tap];
            }
        }
    }
    Tensor::from_vec(out, (images, outputs, height, width), &Device::Cpu).unwrap()
}

#[test]
fn a_transposed_convolution_is_its_definition() {
    for (kernel, [rows, columns], size) in CASES {
        let (map, weight) = (random(1, &[2, 3, rows, columns]), random(2, &[3, 2, kernel, kernel]));
        let bias = random(3, &[2]);
        let found = transposed::forward(&map, &weight, Some(&bias), size).unwrap();
        assert!(deviation(&found, &by_hand(&map, &weight, &bias, size)) < 1e-14, "kernel {kernel} to {size:?}");
    }
}

#[test]
fn gradients_of_transposed_convolutions() {
    for (kernel, [rows, columns], size) in CASES {
        let (map, weight) = (random(1, &[2, 3, rows, columns]), random(2, &[3, 2, kernel, kernel]));
        let (bias, gradient) = (random(3, &[2]), random(4, &[2, 2, size[0], size[1]]));
        let [to_weight, to_bias] = transposed::to_parameters(&map, &gradient, kernel).unwrap();
        let to_map = transposed::to_input(&gradient, &weight, [rows, columns]).unwrap();
        let value = |map: &Tensor, weight: &Tensor, bias: &Tensor| {
            projected(&transposed::forward(map, weight, Some(bias), size)?, &gradient)
        };
        check_gradient("map", &map, &to_map, |x| value(x, &weight, &bias));
        check_gradient("weight", &weight, &to_weight, |x| value(&map, x, &bias));
        check_gradient("bias", &bias, &to_bias, |x| value(&map, &weight, x));
    }
}

#[test]
fn gradients_of_graphs_with_transposed_convolutions() {
    for seed in 0..8 {
        let (graph, [images, channels, ..]) = random_graph(seed, Activation::Identity);
        check(&format!("graph {seed}"), &graph, &[images.max(2), channels, 6, 5]);
    }
}
