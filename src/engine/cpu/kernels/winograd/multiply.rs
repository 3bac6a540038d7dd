//! The matrix products of Winograd's convolution at one position, in blocks of sixteen channels.

use super::super::super::simd::{LANES, Simd};
use super::layout::{BLOCK, UNIT};

/// `M[target][tile][16] = Σ V[source][tile][lane] · U[target][source][lane][16]` for one unit of tiles, at one
/// position; blocks of `V` and `M` are [`BLOCK`] apart.
///
/// # Safety
/// The arrays hold these blocks.
#[inline(always)]
pub(super) unsafe fn forward<S: Simd>(
    s: S,
    tiles: usize,
    v: *const f32,
    sources: usize,
    u: *const f32,
    m: *mut f32,
    targets: usize,
) {
    let len = sources * LANES * LANES;
    let mut target = 0;
    // SAFETY: the caller's promise; tiles are rounded up to the micro-kernel's, which divide a unit.
    unsafe {
        while target < targets {
            let (u, m) = (u.add(target * len), m.add(target * BLOCK));
            if S::MANY_REGISTERS && target + 2 <= targets {
                for tile in (0..tiles).step_by(12) {
                    product::<S, 12, 2>(s, v.add(tile * LANES), sources, u, m.add(tile * LANES));
                }
                target += 2;
            } else if S::MANY_REGISTERS {
                product::<S, 24, 1>(s, v, sources, u, m);
                target += 1;
            } else {
                for tile in (0..tiles).step_by(6) {
                    product::<S, 6, 1>(s, v.add(tile * LANES), sources, u, m.add(tile * LANES));
                }
                target += 1;
            }
        }
    }
}

/// `T` tiles by `N` target blocks, in registers.
#[inline(always)]
unsafe fn product<S: Simd, const T: usize, const N: usize>(
    s: S,
    v: *const f32,
    sources: usize,
    u: *const f32,
    m: *mut f32,
) {
    let mut sums = [[s.splat(0.0); N]; T];
    // SAFETY: the caller's promise.
    unsafe {
        for source in 0..sources {
            let v = v.add(source * BLOCK);
            let u = u.add(source * LANES * LANES);
            for lane in 0..LANES {
                let mut weights = [s.splat(0.0); N];
                for n in 0..N {
                    weights[n] = s.load(u.add((n * sources * LANES + lane) * LANES));
                }
                for t in 0..T {
                    let value = s.splat(*v.add(t * LANES + lane));
                    for n in 0..N {
                        sums[t][n] = s.mul_add(value, weights[n], sums[t][n]);
                    }
                }
            }
        }
        for t in 0..T {
            for n in 0..N {
                s.store(m.add(n * BLOCK + t * LANES), sums[t][n]);
            }
        }
    }
}

/// `H[source][target][16][16] (+)= Σ V[source][tile][16] · E[target][tile][16]ᵀ` for all pairs of blocks and all units
/// of `tiles` tiles, at one position; units of `V` and `E` are `stride` apart.
///
/// # Safety
/// `v` and `e` hold these blocks and `h` 256 numbers per pair.
#[inline(always)]
pub(super) unsafe fn outer<S: Simd>(
    s: S,
    (sources, targets): (usize, usize),
    tiles: usize,
    stride: usize,
    v: *const f32,
    e: *const f32,
    h: *mut f32,
    accumulate: bool,
) {
    let shape = (tiles, stride);
    // SAFETY: the caller's promise.
    unsafe {
        for source in 0..sources {
            let v = v.add(source * BLOCK);
            let mut target = 0;
            while target < targets {
                let e = e.add(target * BLOCK);
                let h = h.add((source * targets + target) * LANES * LANES);
                if S::MANY_REGISTERS && target + 2 <= targets {
                    for lane in (0..LANES).step_by(8) {
                        rows::<S, 8, 2>(s, shape, v.add(lane), e, h.add(lane * LANES), accumulate);
                    }
                    target += 2;
                } else if S::MANY_REGISTERS {
                    rows::<S, 16, 1>(s, shape, v, e, h, accumulate);
                    target += 1;
                } else {
                    for lane in (0..LANES).step_by(4) {
                        rows::<S, 4, 1>(s, shape, v.add(lane), e, h.add(lane * LANES), accumulate);
                    }
                    target += 1;
                }
            }
        }
    }
}

/// `R` lanes of a source by `N` targets, in registers.
#[inline(always)]
unsafe fn rows<S: Simd, const R: usize, const N: usize>(
    s: S,
    (tiles, stride): (usize, usize),
    v: *const f32,
    e: *const f32,
    h: *mut f32,
    accumulate: bool,
) {
    let mut sums = [[s.splat(0.0); N]; R];
    // SAFETY: the caller's promise.
    unsafe {
        if accumulate {
            for r in 0..R {
                for n in 0..N {
                    sums[r][n] = s.load(h.add((n * LANES + r) * LANES));
                }
            }
        }
        for unit in 0..tiles.div_ceil(UNIT) {
            let (v, e) = (v.add(unit * stride), e.add(unit * stride));
            for tile in 0..(tiles - unit * UNIT).min(UNIT) {
                let mut gradient = [s.splat(0.0); N];
                for n in 0..N {
                    gradient[n] = s.load(e.add(n * BLOCK + tile * LANES));
                }
                for r in 0..R {
                    let value = s.splat(*v.add(tile * LANES + r));
                    for n in 0..N {
                        sums[r][n] = s.mul_add(value, gradient[n], sums[r][n]);
                    }
                }
            }
        }
        for r in 0..R {
            for n in 0..N {
                s.store(h.add((n * LANES + r) * LANES), sums[r][n]);
            }
        }
    }
}
