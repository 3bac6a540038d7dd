//! Tests every operation separately: kernels and composed operations against central differences and each other.

use candle_core::{DType, Device, Result, Tensor};

use super::{check_gradient, deviation, projected, random, values};
use crate::reference::normalisation::{Normalisation, grouped, ungrouped};
use crate::reference::ops::Window;
use crate::reference::{composed, kernels};
use crate::reference::{ops, sampling};
use sweep_graph::{Activation, Interpolation, Norm, NormKind};

const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::LeakyRelu { slope: 0.01 }, Activation::Relu6];
const INTERPOLATIONS: [Interpolation; 2] = [Interpolation::Bilinear, Interpolation::Nearest];

/// Runs a check on the kernel and on the composed operation.
macro_rules! both {
    ($check:ident, $module:ident, [$($function:ident),+] $(, $argument:expr)*) => {
        $check("kernel", $(kernels::$module::$function::<f64>,)+ $($argument),*);
        $check("composed", $(composed::$module::$function,)+ $($argument),*);
    };
}

fn convolution(
    which: &str,
    forward: impl Fn(&Tensor, &Tensor, Option<&Tensor>, Window) -> Result<Tensor>,
    to_input: impl Fn(&Tensor, &Tensor, Window) -> Result<Tensor>,
    to_weight: impl Fn(&Tensor, &Tensor, usize, Window) -> Result<Tensor>,
    [batch, inputs, outputs, height, width, kernel]: [usize; 6],
    window: Window,
) {
    let input = random(1, &[batch, inputs, height, width]);
    let weight = random(2, &[outputs, if window.depthwise { 1 } else { inputs }, kernel, kernel]);
    let bias = random(3, &[outputs]);
    let gradient = random(4, &[batch, outputs, height, width]);
    let loss = |x: &Tensor, w: &Tensor, b: &Tensor| projected(&forward(x, w, Some(b), window)?, &gradient);
    let what = format!("{which} {height}×{width}, kernel {kernel}, {window:?}");
    check_gradient(&what, &input, &to_input(&gradient, &weight, window).unwrap(), |x| loss(x, &weight, &bias));
    check_gradient(&what, &weight, &to_weight(&input, &gradient, kernel, window).unwrap(), |w| loss(&input, w, &bias));
    for to_bias in [kernels::convolution::bias_gradient::<f64>, composed::convolution::bias_gradient] {
        check_gradient(&what, &bias, &to_bias(&gradient).unwrap(), |b| loss(&input, &weight, b));
    }
}

#[test]
fn convolution_gradients() {
    for shape in [
        [1, 1, 1, 1, 1, 3],
        [2, 2, 3, 1, 4, 3],
        [1, 3, 2, 5, 1, 3],
        [2, 2, 2, 5, 7, 3],
        [1, 2, 2, 2, 3, 5],
        [1, 1, 2, 3, 2, 7],
        [2, 3, 2, 4, 3, 1],
    ] {
        for dilation in 1..=3 {
            let window = Window { dilation, depthwise: false };
            both!(convolution, convolution, [forward, input_gradient, weight_gradient], shape, window);
            let [batch, inputs, _, height, width, kernel] = shape;
            let (shape, window) =
                ([batch, inputs, inputs, height, width, kernel], Window { dilation, depthwise: true });
            both!(convolution, depthwise, [forward, input_gradient, weight_gradient], shape, window);
        }
    }
}

/// The definition of a convolution, value by value.
fn convolution_by_hand(input: &Tensor, weight: &Tensor, bias: &Tensor, [stride, dilation]: [usize; 2]) -> Vec<f64> {
    let (batch, inputs, height, width) = input.dims4().unwrap();
    let (outputs, _, kernel, _) = weight.dims4().unwrap();
    let (input, weight, bias) = (values(input), values(weight), values(bias));
    let mut out = Vec::new();
    for (image, output, row, column) in indices([batch, outputs, (height - 1) / stride + 1, (width - 1) / stride + 1]) {
        let mut value = bias[output];
        for (channel, row_tap, column_tap, _) in indices([inputs, kernel, kernel, 1]) {
            let (y, x) = (row * stride + row_tap * dilation, column * stride + column_tap * dilation);
            let half = kernel / 2 * dilation;
            if (half..height + half).contains(&y) && (half..width + half).contains(&x) {
                let index = ((image * inputs + channel) * height + y - half) * width + x - half;
                value += input[index] * weight[((output * inputs + channel) * kernel + row_tap) * kernel + column_tap];
            }
        }
        out.push(value);
    }
    out
}

fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

#[test]
fn convolution_is_its_definition() {
    // Large enough for several blocks of rows, several groups of channels and several partial weight gradients.
    for [batch, inputs, outputs, height, width, kernel] in
        [[2, 40, 5, 53, 31, 3], [1, 3, 4, 9, 1100, 3], [3, 2, 2, 1, 1, 5], [2, 20, 3, 40, 33, 1]]
    {
        let input = random(1, &[batch, inputs, height, width]);
        let weight = random(2, &[outputs, inputs, kernel, kernel]);
        let bias = random(3, &[outputs]);
        let gradient = random(4, &[batch, outputs, height, width]);
        for dilation in [1, 2] {
            let window = Window { dilation, depthwise: false };
            let forward = kernels::convolution::forward::<f64>(&input, &weight, Some(&bias), window).unwrap();
            for stride in [1, 2] {
                let forward = sampling::thin(&forward, stride).unwrap();
                let expected = convolution_by_hand(&input, &weight, &bias, [stride, dilation]);
                let expected = Tensor::from_vec(expected, forward.dims(), &Device::Cpu).unwrap();
                assert!(deviation(&forward, &expected) < 1e-13, "stride {stride}");
            }
            let to_weight = kernels::convolution::weight_gradient::<f64>(&input, &gradient, kernel, window).unwrap();
            let obvious = composed::convolution::weight_gradient(&input, &gradient, kernel, window).unwrap();
            assert!(deviation(&to_weight, &obvious) < 1e-13);
            let to_input = kernels::convolution::input_gradient::<f64>(&gradient, &weight, window).unwrap();
            let obvious = composed::convolution::input_gradient(&gradient, &weight, window).unwrap();
            assert!(deviation(&to_input, &obvious) < 1e-13);
        }
    }
}

/// A depthwise convolution is one whose weights between different channels are zero.
#[test]
fn a_depthwise_convolution_is_its_definition() {
    for ([batch, channels, height, width, kernel], dilation) in [([2, 5, 13, 11, 3], 1), ([1, 18, 9, 21, 5], 2)] {
        let window = Window { dilation, depthwise: true };
        let input = random(1, &[batch, channels, height, width]);
        let (weight, bias) = (random(2, &[channels, 1, kernel, kernel]), random(3, &[channels]));
        let alike =
            Tensor::eye(channels, DType::F64, &Device::Cpu).unwrap().reshape((channels, channels, 1, 1)).unwrap();
        let full = alike.broadcast_mul(&weight).unwrap();
        let found = kernels::depthwise::forward::<f64>(&input, &weight, Some(&bias), window).unwrap();
        let composed = composed::depthwise::forward(&input, &weight, Some(&bias), window).unwrap();
        let expected = convolution_by_hand(&input, &full, &bias, [1, dilation]);
        let expected = Tensor::from_vec(expected, found.dims(), &Device::Cpu).unwrap();
        assert!(deviation(&found, &expected) < 1e-13 && deviation(&composed, &expected) < 1e-13);
    }
}

const NORMS: [NormKind; 4] =
    [NormKind::Batch, NormKind::Group { groups: 1 }, NormKind::Group { groups: 2 }, NormKind::Group { groups: 4 }];

/// The normalisation of a map by its own statistics.
fn norm_of(
    kind: NormKind,
    statistics: impl Fn(&Tensor) -> Result<(Tensor, Tensor)>,
    map: &Tensor,
    [scale, shift]: [&Tensor; 2],
) -> Result<Normalisation> {
    let (mean, variance) = statistics(&grouped(map, kind)?)?;
    let of_channels = |values| ungrouped(values, map.dim(1)?, kind);
    let (mean, variance) = (of_channels(&mean)?, of_channels(&variance)?);
    Ok(Normalisation { kind, epsilon: Norm::EPSILON, mean, variance, scale: scale.clone(), shift: shift.clone() })
}

fn normalisation(
    which: &str,
    statistics: impl Fn(&Tensor) -> Result<(Tensor, Tensor)>,
    forward: impl Fn(&Tensor, Option<&Normalisation>, Activation) -> Result<Tensor>,
    backward: impl Fn(&Tensor, &Tensor, Option<&Normalisation>, Activation) -> Result<(Tensor, Option<[Tensor; 2]>)>,
    shape: [usize; 4],
    kind: NormKind,
    activation: Activation,
) {
    let map = (random(5, &shape) + 0.3).unwrap();
    let (scale, shift) = (random(6, &shape[1..2]), random(7, &shape[1..2]));
    let gradient = random(8, &shape);
    let normed = |x: &Tensor, scale: &Tensor, shift: &Tensor| {
        let norm = norm_of(kind, &statistics, x, [scale, shift])?;
        projected(&forward(x, Some(&norm), activation)?, &gradient)
    };
    let norm = norm_of(kind, &statistics, &map, [&scale, &shift]).unwrap();
    let what = format!("{which} {shape:?} {kind:?} {activation:?}");
    let (to_map, parameters) = backward(&map, &gradient, Some(&norm), activation).unwrap();
    let [to_scale, to_shift] = parameters.unwrap();
    check_gradient(&what, &map, &to_map, |x| normed(x, &scale, &shift));
    check_gradient(&what, &scale, &to_scale, |s| normed(&map, s, &shift));
    check_gradient(&what, &shift, &to_shift, |s| normed(&map, &scale, s));
    let (to_map, parameters) = backward(&map, &gradient, None, activation).unwrap();
    assert!(parameters.is_none());
    check_gradient(&what, &map, &to_map, |x| projected(&forward(x, None, activation)?, &gradient));
}

#[test]
fn normalisation_and_activation_gradients() {
    for activation in ACTIVATIONS {
        for shape in [[2, 3, 3, 5], [4, 2, 1, 1], [1, 1, 2, 3]] {
            both!(normalisation, normalisation, [statistics, forward, backward], shape, NormKind::Batch, activation);
        }
        for kind in NORMS {
            both!(normalisation, normalisation, [statistics, forward, backward], [2, 4, 2, 3], kind, activation);
        }
    }
}

#[test]
fn groups_are_normalised_by_their_own_images_and_channels() {
    // Two images of two groups of two channels; within a group the values are 0, 2, 4 and 6 plus an offset of its own.
    let values: Vec<f64> = (0..16).map(|i| f64::from(i / 4) * 10.0 + [0.0, 6.0, 2.0, 4.0][i as usize % 4]).collect();
    let map = Tensor::from_vec(values, (2, 4, 1, 2), &Device::Cpu).unwrap();
    let (mean, variance) = ops::statistics(&map, NormKind::Group { groups: 2 }).unwrap();
    assert_eq!(super::values(&mean), [3.0, 3.0, 13.0, 13.0, 23.0, 23.0, 33.0, 33.0]);
    assert_eq!(super::values(&variance), [5.0; 8]);
}

#[test]
fn thinning_keeps_the_first_of_two_and_its_gradient_is_that() {
    for [height, width] in [[1, 1], [2, 3], [5, 4], [1, 7]] {
        let map = random(5, &[2, 3, height, width]);
        let thin = sampling::thin(&map, 2).unwrap();
        assert_eq!(thin.dims(), [2, 3, height.div_ceil(2), width.div_ceil(2)]);
        let expected: Vec<f64> = indices([2, 3, height, width])
            .zip(values(&map))
            .filter_map(|((_, _, y, x), value)| (y % 2 == 0 && x % 2 == 0).then_some(value))
            .collect();
        assert_eq!(values(&thin), expected);
        let gradient = random(6, thin.dims());
        let to_map = sampling::thin_backward(&gradient, [height, width], 2).unwrap();
        check_gradient(&format!("{height}×{width}"), &map, &to_map, |x| projected(&sampling::thin(x, 2)?, &gradient));
    }
}

#[test]
fn normalisation_kernels_are_the_composed_operations() {
    let map = (random(5, &[3, 4, 19, 37]) * 3.0).unwrap();
    let gradient = random(6, &[3, 4, 19, 37]);
    let parameters = [&random(7, &[4]), &random(8, &[4])];
    for (kind, activation) in NORMS.into_iter().flat_map(|kind| ACTIVATIONS.map(|activation| (kind, activation))) {
        let norm = norm_of(kind, composed::normalisation::statistics, &map, parameters).unwrap();
        let (mean, variance) = ops::statistics(&map, kind).unwrap();
        assert!(deviation(&mean, &norm.mean) < 1e-14 && deviation(&variance, &norm.variance) < 1e-14);
        let kernel = kernels::normalisation::forward::<f64>(&map, Some(&norm), activation).unwrap();
        let obvious = composed::normalisation::forward(&map, Some(&norm), activation).unwrap();
        assert!(deviation(&kernel, &obvious) < 1e-14);
        let kernel = kernels::normalisation::backward::<f64>(&map, &gradient, Some(&norm), activation).unwrap();
        let obvious = composed::normalisation::backward(&map, &gradient, Some(&norm), activation).unwrap();
        assert!(deviation(&kernel.0, &obvious.0) < 1e-13);
        for (kernel, obvious) in kernel.1.unwrap().iter().zip(&obvious.1.unwrap()) {
            assert!(deviation(kernel, obvious) < 1e-13);
        }
    }
}

#[test]
fn statistics_of_f32_do_not_lose_a_small_variance_on_a_large_mean() {
    let map = (random(5, &[2, 1, 64, 64]) + 1000.0).unwrap().to_dtype(DType::F32).unwrap();
    let exact = composed::normalisation::statistics(&map.to_dtype(DType::F64).unwrap()).unwrap();
    let (mean, variance) = kernels::normalisation::statistics::<f32>(&map).unwrap();
    assert!((values(&mean)[0] / values(&exact.0)[0] - 1.0).abs() < 1e-7);
    assert!((values(&variance)[0] / values(&exact.1)[0] - 1.0).abs() < 1e-6);
}

#[test]
fn activations_at_zero_and_beyond_numbers() {
    fn check(
        which: &str,
        forward: impl Fn(&Tensor, Option<&Normalisation>, Activation) -> Result<Tensor>,
        backward: impl Fn(&Tensor, &Tensor, Option<&Normalisation>, Activation) -> Result<(Tensor, Option<[Tensor; 2]>)>,
    ) {
        let map = Tensor::new(&[[[[0.0, f64::NAN, f64::NEG_INFINITY, f64::INFINITY]]]], &Device::Cpu).unwrap();
        let relu = values(&forward(&map, None, Activation::Relu).unwrap());
        assert!(relu[0] == 0.0 && relu[1].is_nan() && relu[2] == 0.0 && relu[3] == f64::INFINITY, "{which} {relu:?}");
        let leaky = values(&forward(&map, None, Activation::LeakyRelu { slope: 0.5 }).unwrap());
        assert!(leaky[1].is_nan() && leaky[2] == f64::NEG_INFINITY, "{which} {leaky:?}");
        let ones = map.ones_like().unwrap();
        let at_zero = |activation| values(&backward(&map, &ones, None, activation).unwrap().0)[0];
        let found = [Activation::Relu, Activation::LeakyRelu { slope: 0.5 }].map(at_zero);
        assert_eq!(found.map(f64::to_bits), [0.0, 0.5].map(f64::to_bits), "{which}");
    }
    both!(check, normalisation, [forward, backward]);
}

fn pooling(
    which: &str,
    forward: impl Fn(&Tensor, usize) -> Result<Tensor>,
    backward: impl Fn(&Tensor, &Tensor, usize) -> Result<Tensor>,
    [height, width]: [usize; 2],
) {
    for side in [2, 3] {
        let map = random(9, &[2, 3, height, width]);
        let gradient = random(10, &[2, 3, (height + side - 2) / 2, (width + side - 2) / 2]);
        let what = format!("{which} {height}×{width}, windows of {side}");
        let to_map = backward(&map, &gradient, side).unwrap();
        check_gradient(&what, &map, &to_map, |x| projected(&forward(x, side)?, &gradient));
    }
}

#[test]
fn windows_of_three_are_clipped_and_give_ties_to_the_first() {
    fn check(
        which: &str,
        forward: impl Fn(&Tensor, usize) -> Result<Tensor>,
        backward: impl Fn(&Tensor, &Tensor, usize) -> Result<Tensor>,
    ) {
        // The first two windows share their maximum; all values are negative, so zeros in the padding would show.
        let map = Tensor::new(&[[[[-5.0, -2.0, -7.0, -3.0], [-5.0, -2.0, -2.0, -4.0]]]], &Device::Cpu).unwrap();
        assert_eq!(values(&forward(&map, 3).unwrap()), [-2.0, -2.0], "{which}");
        let gradient = Tensor::new(&[[[[1.0, 2.0]]]], &Device::Cpu).unwrap();
        assert_eq!(values(&backward(&map, &gradient, 3).unwrap()), [0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "{which}");
    }
    both!(check, pooling, [forward, backward]);
}

#[test]
fn pooling_kernels_are_the_composed_operations() {
    for (side, size) in [(2, [5, 8]), (3, [5, 8]), (3, [1, 1]), (3, [2, 7])] {
        let map = random(5, &[2, 3, size[0], size[1]]);
        let found = kernels::pooling::forward::<f64>(&map, side).unwrap();
        let expected = composed::pooling::forward(&map, side).unwrap();
        assert!(deviation(&found, &expected) == 0.0, "{side} {size:?}");
        let gradient = random(6, found.dims());
        let found = kernels::pooling::backward::<f64>(&map, &gradient, side).unwrap();
        let expected = composed::pooling::backward(&map, &gradient, side).unwrap();
        assert!(deviation(&found, &expected) < 1e-15, "{side} {size:?}");
    }
}

#[test]
fn pooling_gradients() {
    for size in [[2, 2], [4, 6], [5, 7], [3, 2]] {
        both!(pooling, pooling, [forward, backward], size);
    }
}

#[test]
fn pooling_gives_a_tie_to_the_first_in_row_order() {
    fn check(
        which: &str,
        forward: impl Fn(&Tensor, usize) -> Result<Tensor>,
        backward: impl Fn(&Tensor, &Tensor, usize) -> Result<Tensor>,
    ) {
        // Blocks: all equal; the right column; the lower row; the diagonal away from the corner. Odd edges are dropped.
        let map: [[f64; 9]; 3] = [
            [5.0, 5.0, 1.0, 2.0, 0.0, 0.0, 0.0, 3.0, 9.0],
            [5.0, 5.0, 1.0, 2.0, 4.0, 4.0, 3.0, 0.0, 9.0],
            [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0],
        ];
        let map = Tensor::new(&[[map]], &Device::Cpu).unwrap();
        assert_eq!(values(&forward(&map, 2).unwrap()), [5.0, 2.0, 4.0, 3.0], "{which}");
        let gradient = Tensor::new(&[[[[1.0, 2.0, 3.0, 4.0]]]], &Device::Cpu).unwrap();
        let expected =
            [[1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0], [0.0; 9]];
        assert_eq!(values(&backward(&map, &gradient, 2).unwrap()), expected.concat(), "{which}");
    }
    both!(check, pooling, [forward, backward]);
}

#[test]
fn pooling_shows_what_is_not_a_number() {
    let map = Tensor::new(&[[[[1.0, f64::NAN], [2.0, 3.0]]]], &Device::Cpu).unwrap();
    assert!(values(&kernels::pooling::forward::<f64>(&map, 2).unwrap())[0].is_nan());
}

type Taps = [Vec<sampling::Tap>; 2];

fn upsampling(
    which: &str,
    forward: impl Fn(&Tensor, &Taps) -> Result<Tensor>,
    backward: impl Fn(&Tensor, [usize; 2], &Taps) -> Result<Tensor>,
    [small, large]: [[usize; 2]; 2],
    taps: &Taps,
) {
    let map = random(11, &[2, 2, small[0], small[1]]);
    let gradient = random(12, &[2, 2, large[0], large[1]]);
    let what = format!("{which} {small:?} to {large:?} {taps:?}");
    let to_map = backward(&gradient, small, taps).unwrap();
    check_gradient(&what, &map, &to_map, |x| projected(&forward(x, taps)?, &gradient));
}

#[test]
fn upsampling_gradients_and_values() {
    for interpolation in INTERPOLATIONS {
        for sizes in [[[1, 1], [2, 3]], [[2, 3], [4, 7]], [[3, 5], [7, 11]], [[4, 1], [9, 1]], [[2, 2], [1, 1]]] {
            let taps = [0, 1].map(|axis| sampling::taps(interpolation, sizes[0][axis], sizes[1][axis]));
            both!(upsampling, upsampling, [forward, backward], sizes, &taps);
            let map = random(13, &[2, 3, sizes[0][0], sizes[0][1]]);
            let kernel = kernels::upsampling::forward::<f64>(&map, &taps).unwrap();
            let obvious = composed::upsampling::forward(&map, &taps).unwrap();
            assert!(deviation(&kernel, &obvious) < 1e-15);
        }
    }
}
