//! The matrix products of Winograd's convolution at one point, in blocks of sixteen channels.

use super::super::super::simd::{LANES, Simd};

/// `M[target][tile][16] = Σ V[source][tile][lane] · U[target][source][lane][16]` for targets `first..end`; `room` tiles
/// lie between blocks of `V` and `M`.
///
/// # Safety
/// The arrays hold these blocks, `room` tiles each, and `room` is a multiple of 12 not below `tiles`.
#[inline(always)]
pub(super) unsafe fn forward<S: Simd>(
    s: S,
    tiles: usize,
    room: usize,
    v: *const f32,
    sources: usize,
    u: *const f32,
    m: *mut f32,
    (first, end): (usize, usize),
) {
    let block = sources * LANES * LANES;
    let mut target = first;
    // SAFETY: the caller's promise; tiles are rounded up to the micro-kernel's, which `room` holds.
    unsafe {
        if S::MANY_REGISTERS {
            while target + 2 <= end {
                for tile in (0..tiles).step_by(12) {
                    let m = m.add((target * room + tile) * LANES);
                    product::<S, 12, 2>(s, v.add(tile * LANES), room, sources, u.add(target * block), block, m);
                }
                target += 2;
            }
            if target < end {
                for tile in (0..tiles).step_by(12) {
                    let m = m.add((target * room + tile) * LANES);
                    product::<S, 12, 1>(s, v.add(tile * LANES), room, sources, u.add(target * block), block, m);
                }
            }
        } else {
            for target in first..end {
                for tile in (0..tiles).step_by(6) {
                    let m = m.add((target * room + tile) * LANES);
                    product::<S, 6, 1>(s, v.add(tile * LANES), room, sources, u.add(target * block), block, m);
                }
            }
        }
    }
}

/// `T` tiles by `N` target blocks, in registers.
#[inline(always)]
unsafe fn product<S: Simd, const T: usize, const N: usize>(
    s: S,
    v: *const f32,
    room: usize,
    sources: usize,
    u: *const f32,
    block: usize,
    m: *mut f32,
) {
    let mut sums = [[s.splat(0.0); N]; T];
    // SAFETY: the caller's promise.
    unsafe {
        for source in 0..sources {
            let v = v.add(source * room * LANES);
            let u = u.add(source * LANES * LANES);
            for lane in 0..LANES {
                let mut weights = [s.splat(0.0); N];
                for (n, weight) in weights.iter_mut().enumerate() {
                    *weight = s.load(u.add(n * block + lane * LANES));
                }
                for (t, sums) in sums.iter_mut().enumerate() {
                    let value = s.splat(*v.add(t * LANES + lane));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = s.mul_add(value, weight, *sum);
                    }
                }
            }
        }
        for (t, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                s.store(m.add((n * room + t) * LANES), sum);
            }
        }
    }
}

/// `H[16][16] = (H +) Σ V[tile][16] · E[tile][16]ᵀ` for one pair of blocks.
///
/// # Safety
/// `v` and `e` hold `tiles` tiles and `h` 256 numbers.
#[inline(always)]
pub(super) unsafe fn outer<S: Simd>(s: S, tiles: usize, v: *const f32, e: *const f32, h: *mut f32, accumulate: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        if S::MANY_REGISTERS {
            outer_rows::<S, 16>(s, tiles, v, e, h, accumulate);
        } else {
            for lane in (0..LANES).step_by(4) {
                outer_rows::<S, 4>(s, tiles, v.add(lane), e, h.add(lane * LANES), accumulate);
            }
        }
    }
}

#[inline(always)]
unsafe fn outer_rows<S: Simd, const R: usize>(
    s: S,
    tiles: usize,
    v: *const f32,
    e: *const f32,
    h: *mut f32,
    accumulate: bool,
) {
    let mut sums = [s.splat(0.0); R];
    // SAFETY: the caller's promise.
    unsafe {
        if accumulate {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = s.load(h.add(row * LANES));
            }
        }
        for tile in 0..tiles {
            let gradient = s.load(e.add(tile * LANES));
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = s.mul_add(s.splat(*v.add(tile * LANES + row)), gradient, *sum);
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            s.store(h.add(row * LANES), sum);
        }
    }
}
