//! The transforms of Winograd's F(4×4, 3×3) with the points 0, ±1, ±2, ∞ (Lavin and Gray 2016), on vectors of channels.
//!
//! With `d` a 6×6 window of a map, `g` a 3×3 kernel and `e` a 4×4 tile of a gradient:
//! result `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`, gradient to the kernel `Gᵀ[(Bᵀ d B) ⊙ (A e Aᵀ)]G`.

use super::super::super::layout::{Block, Target};
use super::super::super::simd::{LANES, Simd};
use super::super::{Activation, Finish};
use super::Grid;
use super::layout::{POSITION_STRIDE, TILE, WINDOW};

/// `Bᵀ d`, one column.
#[inline(always)]
fn window<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
    let (two, four, five) = (s.splat(2.0), s.splat(4.0), s.splat(5.0));
    let even = s.neg_mul_add(four, d[2], d[4]);
    let odd = s.neg_mul_add(four, d[1], d[3]);
    let far_even = s.sub(d[4], d[2]);
    let far_odd = s.mul(two, s.sub(d[3], d[1]));
    [
        s.mul_add(four, d[0], s.neg_mul_add(five, d[2], d[4])),
        s.add(even, odd),
        s.sub(even, odd),
        s.add(far_even, far_odd),
        s.sub(far_even, far_odd),
        s.mul_add(four, d[1], s.neg_mul_add(five, d[3], d[5])),
    ]
}

/// `Aᵀ m`, one column.
#[inline(always)]
fn tile<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
    let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
    let (near_sum, near_difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (far_sum, far_difference) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(s.add(m[0], near_sum), far_sum),
        s.mul_add(two, far_difference, near_difference),
        s.mul_add(four, far_sum, near_sum),
        s.add(s.mul_add(eight, far_difference, near_difference), m[5]),
    ]
}

/// `A e`, one column.
#[inline(always)]
fn gradient<S: Simd>(s: S, e: [S::V; 4]) -> [S::V; 6] {
    let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
    let (near_even, near_odd) = (s.add(e[0], e[2]), s.add(e[1], e[3]));
    let (far_even, far_odd) = (s.mul_add(four, e[2], e[0]), s.mul_add(eight, e[3], s.mul(two, e[1])));
    [
        e[0],
        s.add(near_even, near_odd),
        s.sub(near_even, near_odd),
        s.add(far_even, far_odd),
        s.sub(far_even, far_odd),
        e[3],
    ]
}

/// `G g`, one column.
#[inline(always)]
pub(super) fn kernel<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 6] {
    let near_even = s.mul(s.splat(-1.0 / 6.0), s.add(g[0], g[2]));
    let near_odd = s.mul(s.splat(1.0 / 6.0), g[1]);
    let far_even = s.mul_add(s.splat(1.0 / 24.0), g[0], s.mul(s.splat(1.0 / 6.0), g[2]));
    let far_odd = s.mul(s.splat(1.0 / 12.0), g[1]);
    [
        s.mul(s.splat(0.25), g[0]),
        s.sub(near_even, near_odd),
        s.add(near_even, near_odd),
        s.add(far_even, far_odd),
        s.sub(far_even, far_odd),
        g[2],
    ]
}

/// `Gᵀ m`, one column.
#[inline(always)]
pub(super) fn kernel_gradient<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 3] {
    let (sixth, twelfth, minus_sixth) = (s.splat(1.0 / 6.0), s.splat(1.0 / 12.0), s.splat(-1.0 / 6.0));
    let (near_sum, near_difference) = (s.add(m[1], m[2]), s.sub(m[2], m[1]));
    let (far_sum, far_difference) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.mul_add(s.splat(0.25), m[0], s.mul_add(minus_sixth, near_sum, s.mul(s.splat(1.0 / 24.0), far_sum))),
        s.mul_add(sixth, near_difference, s.mul(twelfth, far_difference)),
        s.add(m[5], s.mul_add(minus_sixth, near_sum, s.mul(sixth, far_sum))),
    ]
}

/// Transforms the windows of tiles `first..end` of a block to `out[position][tile − first][16]`; positions are a unit
/// apart.
///
/// # Safety
/// The block has the grid's extent; `out` is valid for writes of a unit's block, and the tiles fit into a unit.
#[inline(always)]
pub(super) unsafe fn windows<S: Simd>(s: S, grid: Grid, block: &Block, (first, end): (usize, usize), out: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        if block.activate.is_empty() {
            windows_of::<S, true>(s, grid, block, (first, end), out);
        } else {
            windows_of::<S, false>(s, grid, block, (first, end), out);
        }
    }
}

#[inline(always)]
unsafe fn windows_of<S: Simd, const PLAIN: bool>(
    s: S,
    grid: Grid,
    block: &Block,
    (first, end): (usize, usize),
    out: *mut f32,
) {
    let mut current = grid.locate(first).0;
    let mut activation = Activation::for_image(s, block, current);
    let zero = s.splat(0.0);
    let (height, width) = (grid.extent.size.height, grid.extent.size.width);
    for index in first..end {
        let (image, row, column) = grid.locate(index);
        if image != current {
            (current, activation) = (image, Activation::for_image(s, block, image));
        }
        let (row, column) = (row * TILE, column * TILE);
        let mut half = [[zero; WINDOW]; WINDOW];
        // SAFETY: pixels read are inside the map: the window starts one pixel up and left of the tile, and either all
        // of it lies inside or every pixel is checked.
        unsafe {
            let plane = block.image(image).cast_const();
            if row > 0 && column > 0 && row + TILE < height && column + TILE < width {
                let corner = plane.add(((row - 1) * width + column - 1) * LANES);
                for x in 0..WINDOW {
                    let mut d = [zero; WINDOW];
                    for (y, d) in d.iter_mut().enumerate() {
                        *d = activation.read::<PLAIN>(s, corner.add((y * width + x) * LANES));
                    }
                    let d = window(s, d);
                    for y in 0..WINDOW {
                        half[y][x] = d[y];
                    }
                }
            } else {
                for x in 0..WINDOW {
                    let mut d = [zero; WINDOW];
                    let inside_x = column + x > 0 && column + x <= width;
                    for (y, d) in d.iter_mut().enumerate() {
                        if inside_x && row + y > 0 && row + y <= height {
                            let pixel = (row + y - 1) * width + column + x - 1;
                            *d = activation.read::<PLAIN>(s, plane.add(pixel * LANES));
                        }
                    }
                    let d = window(s, d);
                    for y in 0..WINDOW {
                        half[y][x] = d[y];
                    }
                }
            }
        }
        let out = out.wrapping_add((index - first) * LANES);
        for (y, half) in half.into_iter().enumerate() {
            for (x, v) in window(s, half).into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { s.store(out.add((y * WINDOW + x) * POSITION_STRIDE), v) };
            }
        }
    }
}

/// Transforms tiles `first..end` of a gradient block, for the gradient to the kernel, in the order of [`windows`].
///
/// # Safety
/// Same conditions as [`windows`].
#[inline(always)]
pub(super) unsafe fn gradients<S: Simd>(s: S, grid: Grid, block: &Block, (first, end): (usize, usize), out: *mut f32) {
    let zero = s.splat(0.0);
    let (height, width) = (grid.extent.size.height, grid.extent.size.width);
    for index in first..end {
        let (image, row, column) = grid.locate(index);
        let (row, column) = (row * TILE, column * TILE);
        let (rows, columns) = ((height - row).min(TILE), (width - column).min(TILE));
        let mut half = [[zero; TILE]; WINDOW];
        for x in 0..TILE {
            let mut e = [zero; TILE];
            for (y, e) in e.iter_mut().enumerate() {
                if x < columns && y < rows {
                    // SAFETY: inside the map, as just checked.
                    *e = unsafe { s.load(block.image(image).add(((row + y) * width + column + x) * LANES)) };
                }
            }
            let e = gradient(s, e);
            for y in 0..WINDOW {
                half[y][x] = e[y];
            }
        }
        let out = out.wrapping_add((index - first) * LANES);
        for (y, half) in half.into_iter().enumerate() {
            for (x, v) in gradient(s, half).into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { s.store(out.add((y * WINDOW + x) * POSITION_STRIDE), v) };
            }
        }
    }
}

/// Transforms products `from[position][tile − first][16]` of tiles `first..end` into the target's pixels.
///
/// # Safety
/// The target has the grid's extent and nobody else uses these tiles of it; `from` is valid for these reads.
#[inline(always)]
pub(super) unsafe fn tiles<S: Simd>(s: S, grid: Grid, target: &Target, (first, end): (usize, usize), from: *const f32) {
    let finish = Finish::new(s, target);
    let zero = s.splat(0.0);
    let (height, width) = (grid.extent.size.height, grid.extent.size.width);
    for index in first..end {
        let (image, row, column) = grid.locate(index);
        let (row, column) = (row * TILE, column * TILE);
        let from = from.wrapping_add((index - first) * LANES);
        let mut half = [[zero; WINDOW]; TILE];
        for x in 0..WINDOW {
            let mut m = [zero; WINDOW];
            for (y, m) in m.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *m = unsafe { s.load(from.add((y * WINDOW + x) * POSITION_STRIDE)) };
            }
            let m = tile(s, m);
            for y in 0..TILE {
                half[y][x] = m[y];
            }
        }
        let (rows, columns) = ((height - row).min(TILE), (width - column).min(TILE));
        for (y, half) in half.into_iter().enumerate() {
            let results = tile(s, half);
            if y < rows {
                for (x, v) in results.into_iter().enumerate() {
                    if x < columns {
                        // SAFETY: inside the map, as just checked.
                        unsafe {
                            let p = target.block.image(image).add(((row + y) * width + column + x) * LANES);
                            finish.write(s, p, v);
                        }
                    }
                }
            }
        }
    }
}
