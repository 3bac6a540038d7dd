//! Every operation of a graph, forward and backward, on whatever device its tensors are: on the CPU in f32 and f64
//! by this engine's own kernels, else composed of candle's operations. Nothing here is recorded for candle's autograd.

use candle_core::{DType, Device, Tensor};

use super::{composed, kernels};
use candle_core::Result;
use sweep_graph::{Activation, Interpolation, NormKind, Operation};

pub(super) const EPSILON: f64 = NormKind::EPSILON;

/// A normalisation: what it measured (or the running statistics), and its parameters.
#[derive(Debug, Clone)]
pub(super) struct Normalisation {
    pub(super) kind: NormKind,
    /// What every channel is centred on, `[C]`; for groups every image's, `[B·C]`.
    pub(super) mean: Tensor,
    /// As the mean; divided by n, not n − 1.
    pub(super) variance: Tensor,
    /// `[C]`.
    pub(super) scale: Tensor,
    /// `[C]`.
    pub(super) shift: Tensor,
}

/// Calls the kernel of the tensor's type on the CPU, and the composed operation everywhere else.
macro_rules! dispatch {
    ($map:expr, $module:ident :: $function:ident ( $($argument:expr),* )) => {
        match ($map.device(), $map.dtype()) {
            (Device::Cpu, DType::F32) => kernels::$module::$function::<f32>($($argument),*),
            (Device::Cpu, DType::F64) => kernels::$module::$function::<f64>($($argument),*),
            _ => composed::$module::$function($($argument),*),
        }
    };
}

/// `[B, C, H, W]`, weight `[O, C, k, k]`, perhaps a bias `[O]` → `[B, O, H, W]`, stride 1. A larger stride is [`thin`] after it:
/// with a padding of ⌊k/2⌋ it keeps some of the pixels and changes none.
pub(super) fn convolution(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    dispatch!(input, convolution::forward(input, weight, bias))
}

/// The first of every `stride` pixels of the first of every `stride` rows: `[B, C, H, W]` → `[B, C, ⌈H/s⌉, ⌈W/s⌉]`.
pub(super) fn thin(map: &Tensor, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(map.clone());
    }
    let kept = |axis: usize| -> Result<Tensor> {
        let places: Vec<u32> = (0..map.dim(axis)? as u32).step_by(stride).collect();
        Ok(Tensor::new(places, map.device())?)
    };
    Ok(map.index_select(&kept(2)?, 2)?.index_select(&kept(3)?, 3)?)
}

/// Gradient to the map `[B, C, H, W]` of `size = [H, W]` that was thinned: zero where a pixel was left out.
pub(super) fn thin_backward(gradient: &Tensor, [height, width]: [usize; 2], stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(gradient.clone());
    }
    let mut out = gradient.clone();
    for (axis, len) in [(2, height), (3, width)] {
        let between = vec![out.zeros_like()?; stride - 1];
        let spread = Tensor::stack(&[vec![out.clone()], between].concat(), axis + 1)?;
        let mut dims = out.dims().to_vec();
        dims[axis] *= stride;
        out = spread.reshape(dims)?.narrow(axis, 0, len)?.contiguous()?;
    }
    Ok(out)
}

/// Gradient to the convolution's input, `[B, C, H, W]`.
pub(super) fn convolution_to_input(gradient: &Tensor, weight: &Tensor) -> Result<Tensor> {
    dispatch!(gradient, convolution::input_gradient(gradient, weight))
}

/// Gradients to the convolution's weight `[O, C, k, k]` and bias `[O]`.
pub(super) fn convolution_to_parameters(input: &Tensor, gradient: &Tensor, kernel: usize) -> Result<[Tensor; 2]> {
    let weight = dispatch!(gradient, convolution::weight_gradient(input, gradient, kernel))?;
    let bias = dispatch!(gradient, convolution::bias_gradient(gradient))?;
    Ok([weight, bias])
}

/// The map as one in which what is normalised together is a channel: `[B, C, H, W]` itself for a batch,
/// `[1, B·G, C/G·H, W]` for groups.
pub(super) fn grouped(map: &Tensor, kind: NormKind) -> Result<Tensor> {
    let (images, channels, height, width) = map.dims4()?;
    match kind {
        NormKind::Batch => Ok(map.clone()),
        NormKind::Group { groups } => Ok(map.reshape((1, images * groups, channels / groups * height, width))?),
    }
}

/// One value per channel of [`grouped`] as one per channel of the map, `[C]`, or of every image, `[B·C]`.
pub(super) fn ungrouped(values: &Tensor, channels: usize, kind: NormKind) -> Result<Tensor> {
    match kind {
        NormKind::Batch => Ok(values.clone()),
        NormKind::Group { groups } => {
            let shape = (values.elem_count(), channels / groups);
            Ok(values.unsqueeze(1)?.broadcast_as(shape)?.flatten_all()?)
        }
    }
}

/// Mean and (biased) variance of what is normalised together, as [`Normalisation`] has them.
pub(super) fn statistics(map: &Tensor, kind: NormKind) -> Result<(Tensor, Tensor)> {
    let grouped = grouped(map, kind)?;
    let (mean, variance) = dispatch!(grouped, normalisation::statistics(&grouped))?;
    let channels = map.dim(1)?;
    Ok((ungrouped(&mean, channels, kind)?, ungrouped(&variance, channels, kind)?))
}

/// `activation(normalise(map))`, of the map's shape.
pub(super) fn activate(map: &Tensor, norm: Option<&Normalisation>, activation: Activation) -> Result<Tensor> {
    match (norm, activation) {
        (None, Activation::Identity) => Ok(map.clone()),
        _ => dispatch!(map, normalisation::forward(map, norm, activation)),
    }
}

/// Gradients to the map and, with a normalisation by the map's own statistics, to its scale and shift.
pub(super) fn activate_backward(
    map: &Tensor,
    gradient: &Tensor,
    norm: Option<&Normalisation>,
    activation: Activation,
) -> Result<(Tensor, Option<[Tensor; 2]>)> {
    match (norm, activation) {
        (None, Activation::Identity) => Ok((gradient.clone(), None)),
        _ => dispatch!(map, normalisation::backward(map, gradient, norm, activation)),
    }
}

/// `[B, C, H, W]` → `[B, C, ⌊H/2⌋, ⌊W/2⌋]`, the maximum of every 2×2 block; for a `side` of 3 → `[B, C, ⌈H/2⌉, ⌈W/2⌉]`,
/// that of the 3×3 pixels around every second one.
pub(super) fn max_pool(map: &Tensor, side: usize) -> Result<Tensor> {
    dispatch!(map, pooling::forward(map, side))
}

/// Gradient to the pooled map; to the first maximum of every window in row order.
pub(super) fn max_pool_backward(map: &Tensor, gradient: &Tensor, side: usize) -> Result<Tensor> {
    dispatch!(map, pooling::backward(map, gradient, side))
}

/// `[B, C, h, w]` → `[B, C, H, W]` for `size = [H, W]`.
pub(super) fn upsample(map: &Tensor, size: [usize; 2], interpolation: Interpolation) -> Result<Tensor> {
    dispatch!(map, upsampling::forward(map, size, interpolation))
}

/// Gradient to the map `[B, C, h, w]` for `size = [h, w]`.
pub(super) fn upsample_backward(gradient: &Tensor, size: [usize; 2], interpolation: Interpolation) -> Result<Tensor> {
    dispatch!(gradient, upsampling::backward(gradient, size, interpolation))
}

/// `a` and `b`, of one shape, as one.
pub(super) fn combine(a: &Tensor, b: &Tensor, operation: Operation) -> Result<Tensor> {
    match (a.device(), a.dtype()) {
        (Device::Cpu, DType::F32) => kernels::combine::<f32>(a, b, operation),
        (Device::Cpu, DType::F64) => kernels::combine::<f64>(a, b, operation),
        _ if operation == Operation::Sum => Ok((a + b)?),
        _ => Ok((a * b)?),
    }
}

/// The two source places (which may be one) of a target place, with their weights.
pub(super) type Tap = [(usize, f64); 2];

/// Where each of `to` places along an axis takes its value from, among `from` places.
pub(super) fn taps(interpolation: Interpolation, from: usize, to: usize) -> Vec<Tap> {
    (0..to)
        .map(|target| match interpolation {
            Interpolation::Nearest => {
                let place = target * from / to;
                [(place, 1.0), (place, 0.0)]
            }
            Interpolation::Bilinear => {
                // Corner to corner; a single target place takes the first source place, as PyTorch does.
                let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
                let source = step * target as f64;
                let first = (source as usize).min(from - 1);
                let weight = source - first as f64;
                [(first, 1.0 - weight), ((first + 1).min(from - 1), weight)]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bilinear_maps_corners_to_corners() {
        let taps = taps(Interpolation::Bilinear, 3, 5);
        let expected = [[(0, 1.0), (1, 0.0)], [(0, 0.5), (1, 0.5)], [(1, 1.0), (2, 0.0)], [(1, 0.5), (2, 0.5)]];
        assert_eq!(taps[..4], expected);
        assert_eq!(taps[4], [(2, 1.0), (2, 0.0)]);
        assert_eq!(super::taps(Interpolation::Bilinear, 3, 1), [[(0, 1.0), (1, 0.0)]]);
        assert_eq!(super::taps(Interpolation::Bilinear, 1, 2), [[(0, 1.0), (0, 0.0)]; 2]);
    }

    #[test]
    fn nearest_takes_the_place_at_or_before() {
        let places = |from, to| taps(Interpolation::Nearest, from, to).iter().map(|t| t[0].0).collect::<Vec<_>>();
        assert_eq!(places(3, 7), [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(places(1, 3), [0, 0, 0]);
    }
}
