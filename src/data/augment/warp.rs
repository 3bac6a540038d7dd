//! The one resampling: every pixel of the result is read, bilinearly, where it was in the old picture.

use super::affine::Affine;
use super::elastic::Elastic;
use sweep_core::units::Size;

/// `[C, H, W]`, each plane inside a border of one black pixel: `[C, H + 2, W + 2]`. Every value goes through `change`.
pub(super) fn bordered(pixels: &[f32], size: Size, change: impl Fn(f32) -> f32) -> Vec<f32> {
    let (stride, planes) = (size.width + 2, pixels.chunks_exact(size.area()));
    let mut all = vec![0.0; planes.len() * stride * (size.height + 2)];
    for (wide, plane) in all.chunks_exact_mut(stride * (size.height + 2)).zip(planes) {
        for (row, from) in wide[stride..].chunks_exact_mut(stride).zip(plane.chunks_exact(size.width)) {
            for (value, &old) in row[1..].iter_mut().zip(from) {
                *value = change(old);
            }
        }
    }
    all
}

/// From a picture with a border of one black pixel, `[C, H + 2, W + 2]`, to `[C, H, W]`: the affine change undone, then the
/// elastic one; what was outside is black.
pub(super) fn warp(affine: &Affine, elastic: Option<&Elastic>, from: &[f32], size: Size, to: &mut [f32]) {
    let stride = size.width + 2;
    let (right, bottom) = (size.width as f64 + 1.0, size.height as f64 + 1.0);
    let (mut xs, mut ys) = (vec![0.0; size.width], vec![0.0; size.width]);
    for y in 0..size.height {
        sources(affine, elastic, [0.0, y as f64], &mut xs, &mut ys);
        let planes = to.chunks_exact_mut(size.area()).zip(from.chunks_exact(stride * (size.height + 2)));
        for (plane, from) in planes {
            row(from, stride, [right, bottom], [&xs, &ys], &mut plane[y * size.width..][..size.width]);
        }
    }
}

/// A row of a plane, read at these places of the bordered plane.
fn row(from: &[f32], stride: usize, [right, bottom]: [f64; 2], [xs, ys]: [&[f64]; 2], row: &mut [f32]) {
    for (value, (&source_x, &source_y)) in row.iter_mut().zip(xs.iter().zip(ys)) {
        *value = if source_x >= 0.0 && source_x < right && source_y >= 0.0 && source_y < bottom {
            let (left, top) = (source_x as usize, source_y as usize);
            let (fx, fy) = ((source_x - left as f64) as f32, (source_y - top as f64) as f32);
            let at = top * stride + left;
            let (upper, lower) = (&from[at..at + 2], &from[at + stride..at + stride + 2]);
            let mix = |pair: &[f32]| pair[0] + (pair[1] - pair[0]) * fx;
            mix(upper) + (mix(lower) - mix(upper)) * fy
        } else {
            0.0
        };
    }
}

/// Where in the old picture the pixels of a row of the new one were, from the one at `(left, y)` to the right; places are
/// counted from one pixel before the old picture's first.
pub(super) fn sources(affine: &Affine, elastic: Option<&Elastic>, [left, y]: [f64; 2], xs: &mut [f64], ys: &mut [f64]) {
    let inverse = affine.inverse();
    let dy = y - affine.centre.y - affine.shift.y;
    let start = [0, 1].map(|axis| inverse[axis][1] * dy + [affine.centre.x, affine.centre.y][axis] + 1.0);
    for (x, (source_x, source_y)) in xs.iter_mut().zip(ys.iter_mut()).enumerate() {
        let dx = left + x as f64 - affine.centre.x - affine.shift.x;
        (*source_x, *source_y) = (start[0] + inverse[0][0] * dx, start[1] + inverse[1][0] * dx);
    }
    if let Some(elastic) = elastic {
        elastic.displace(xs, ys);
    }
}
