//! Sampling maps along their axes: every second pixel, and the pixels that an enlarged axis is interpolated from.

use candle_core::{Result, Tensor};
use sweep_graph::Interpolation;

/// The first of every `stride` pixels of the first of every `stride` rows: `[B, C, H, W]` → `[B, C, ⌈H/s⌉, ⌈W/s⌉]`.
pub(super) fn thin(map: &Tensor, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(map.clone());
    }
    let sampled = |axis: usize| -> Result<Tensor> {
        let indices: Vec<u32> = (0..map.dim(axis)? as u32).step_by(stride).collect();
        Tensor::new(indices, map.device())
    };
    map.index_select(&sampled(2)?, 2)?.index_select(&sampled(3)?, 3)
}

/// Gradient to the map `[B, C, H, W]` of `size = [H, W]` before thinning: zero where a pixel was left out.
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

/// The two source indices of a target index (they may be equal), with their weights.
pub(crate) type Tap = [(usize, f64); 2];

/// Source indices and weights of each of `to` pixels along an axis of `from` pixels.
pub(crate) fn taps(interpolation: Interpolation, from: usize, to: usize) -> Vec<Tap> {
    (0..to)
        .map(|target| match interpolation {
            Interpolation::Nearest => {
                let source = target * from / to;
                [(source, 1.0), (source, 0.0)]
            }
            Interpolation::Bilinear => {
                // Corner to corner; a single target pixel takes the first source pixel, like PyTorch.
                let step = if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
                let source = step * target as f64;
                let first = (source as usize).min(from - 1);
                let weight = source - first as f64;
                [(first, 1.0 - weight), ((first + 1).min(from - 1), weight)]
            }
        })
        .collect()
}

/// [`taps`] for bilinear interpolation in which the corners of the map stay where they are, not the centres of its corner
/// pixels: PyTorch's without `align_corners`.
pub(crate) fn half_pixel_taps(from: usize, to: usize) -> Vec<Tap> {
    let tap = |target: usize| {
        let source = ((target as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let first = (source as usize).min(from - 1);
        let weight = source - first as f64;
        [(first, 1.0 - weight), ((first + 1).min(from - 1), weight)]
    };
    (0..to).map(tap).collect()
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
    fn nearest_takes_the_pixel_at_or_before() {
        let sources = |from, to| taps(Interpolation::Nearest, from, to).iter().map(|t| t[0].0).collect::<Vec<_>>();
        assert_eq!(sources(3, 7), [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(sources(1, 3), [0, 0, 0]);
    }
}
