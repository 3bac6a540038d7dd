//! Converts between candle's `[B, C, H, W]` and blocks of sixteen channels.

use super::super::layout::{Block, Extent, Pointer, Target};
use super::super::simd::{LANES, Simd};
use super::{Activation, debug_assert_hold, debug_assert_targets_hold, for_each};

fn chunks(extent: Extent) -> super::super::layout::RowChunks {
    extent.row_chunks(extent.size.area().div_ceil(4096))
}

/// Spreads planes `[B, C, H, W]` over the targets, whose channels follow one another.
///
/// # Safety
/// Targets have the extent, do not overlap, and nobody else uses them.
pub(in super::super) unsafe fn pack<S: Simd>(s: S, extent: Extent, planes: &[f32], targets: &[Target]) {
    let area = extent.size.area();
    let channels: usize = targets.iter().map(|t| t.block.channels).sum();
    assert_eq!(planes.len(), extent.images * channels * area, "planes of all images and channels");
    debug_assert_targets_hold(targets, extent);
    let chunks = chunks(extent);
    for_each(
        s,
        chunks.len(),
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task);
            let (first, end) = (first * extent.size.width, end * extent.size.width);
            let mut channel = image * channels;
            for target in targets {
                // SAFETY: rows of this target are this task's alone.
                let to = unsafe { target.block.image(image) };
                // Sixteen pixels at a time, then the rest one by one.
                let whole = first + (end - first) / LANES * LANES;
                for start in (first..whole).step_by(LANES) {
                    let mut rows = [s.splat(0.0); LANES];
                    for lane in 0..target.block.channels {
                        // SAFETY: inside the slice.
                        rows[lane] = unsafe { s.load(planes[(channel + lane) * area + start..][..LANES].as_ptr()) };
                    }
                    let rows = s.transpose(rows);
                    for i in 0..LANES {
                        // SAFETY: inside the block's plane.
                        unsafe { write(s, target, to.add((start + i) * LANES), rows[i]) };
                    }
                }
                for pixel in whole..end {
                    let mut values = [0.0f32; LANES];
                    for (lane, value) in values.iter_mut().enumerate().take(target.block.channels) {
                        *value = planes[(channel + lane) * area + pixel];
                    }
                    // SAFETY: inside the block's plane.
                    unsafe { write(s, target, to.add(pixel * LANES), s.load(values.as_ptr())) };
                }
                channel += target.block.channels;
            }
        },
    );
}

/// Stores or adds sixteen channels of a pixel.
///
/// # Safety
/// `to` is valid for reads and writes of sixteen numbers.
#[inline(always)]
unsafe fn write<S: Simd>(s: S, target: &Target, to: *mut f32, v: S::V) {
    // SAFETY: the caller's promise.
    unsafe { s.store(to, if target.accumulate { s.add(v, s.load(to)) } else { v }) };
}

/// Gathers the blocks' values as planes `[B, C, H, W]`.
///
/// # Safety
/// Blocks have the extent.
pub(in super::super) unsafe fn unpack<S: Simd>(s: S, extent: Extent, blocks: &[Block], planes: &mut [f32]) {
    let area = extent.size.area();
    let channels: usize = blocks.iter().map(|b| b.channels).sum();
    assert_eq!(planes.len(), extent.images * channels * area, "planes of all images and channels");
    debug_assert_hold(blocks, extent);
    let chunks = chunks(extent);
    let planes = Pointer::new(planes.as_mut_ptr(), planes.len());
    for_each(
        s,
        chunks.len(),
        #[inline(always)]
        |task| {
            let (image, first, end) = chunks.get(task);
            let (first, end) = (first * extent.size.width, end * extent.size.width);
            let mut channel = image * channels;
            for block in blocks {
                let activation = Activation::for_image(s, block, image);
                // Sixteen pixels at a time, then the rest one by one.
                let whole = first + (end - first) / LANES * LANES;
                // SAFETY: inside the block's plane, and inside the planes, at pixels that no other task has.
                unsafe {
                    let from = block.image(image);
                    for start in (first..whole).step_by(LANES) {
                        let mut rows = [s.splat(0.0); LANES];
                        for i in 0..LANES {
                            rows[i] = activation.apply(s, s.load(from.add((start + i) * LANES)));
                        }
                        let rows = s.transpose(rows);
                        for lane in 0..block.channels {
                            s.store(planes.add((channel + lane) * area + start).0, rows[lane]);
                        }
                    }
                    let mut values = [0.0f32; LANES];
                    for pixel in whole..end {
                        s.store(values.as_mut_ptr(), activation.apply(s, s.load(from.add(pixel * LANES))));
                        for (lane, value) in values.iter().enumerate().take(block.channels) {
                            *planes.add((channel + lane) * area + pixel).0 = *value;
                        }
                    }
                }
                channel += block.channels;
            }
        },
    );
}
