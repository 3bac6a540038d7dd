//! Gaussian blur of a whole picture, before it is resampled.

use sweep_core::units::Size;

/// Weights of a Gaussian's centre and of one side, which with the other side sum to 1: as far as 3 σ.
pub(crate) fn weights(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as usize;
    let values: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum = 2.0 * values.iter().sum::<f64>() - values[0];
    values.iter().map(|v| (v / sum) as f32).collect()
}

/// Blurs `[H, W]` in place, along rows and then along columns; at the edges the picture is mirrored, the edge pixel once,
/// as in torchvision's `gaussian_blur`. `spare`, as large, is overwritten.
pub(super) fn blur(pixels: &mut [f32], spare: &mut [f32], size: Size, weights: &[f32]) {
    let radius = weights.len() - 1;
    let mut wide = vec![0.0; size.width + 2 * radius];
    for (row, to) in pixels.chunks_exact(size.width).zip(spare.chunks_exact_mut(size.width)) {
        for (place, value) in wide.iter_mut().enumerate() {
            *value = row[mirrored(place as isize - radius as isize, size.width)];
        }
        for (to, v) in to.iter_mut().zip(row) {
            *to = v * weights[0];
        }
        for (distance, weight) in weights.iter().enumerate().skip(1) {
            let (before, after) = (&wide[radius - distance..], &wide[radius + distance..]);
            for ((to, a), b) in to.iter_mut().zip(before).zip(after) {
                *to += weight * (a + b);
            }
        }
    }
    let row = |y: isize| &spare[mirrored(y, size.height) * size.width..][..size.width];
    for (y, to) in (0..).zip(pixels.chunks_exact_mut(size.width)) {
        for (to, v) in to.iter_mut().zip(row(y)) {
            *to = v * weights[0];
        }
        for (distance, weight) in (0..).zip(weights).skip(1) {
            for ((to, a), b) in to.iter_mut().zip(row(y - distance)).zip(row(y + distance)) {
                *to += weight * (a + b);
            }
        }
    }
}

/// The place of 0 … n − 1 that stands for one beyond them.
fn mirrored(place: isize, n: usize) -> usize {
    let last = n as isize - 1;
    if last == 0 {
        return 0;
    }
    let place = place.rem_euclid(2 * last);
    place.min(2 * last - place) as usize
}
