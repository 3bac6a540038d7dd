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
                let zero = [0.0f32; LANES];
                for pixel in first..end {
                    let mut values = zero;
                    for (lane, value) in values.iter_mut().enumerate().take(target.block.channels) {
                        *value = planes[(channel + lane) * area + pixel];
                    }
                    // SAFETY: inside the block's plane.
                    unsafe {
                        let to = to.add(pixel * LANES);
                        let v = s.load(values.as_ptr());
                        s.store(to, if target.accumulate { s.add(v, s.load(to)) } else { v });
                    }
                }
                channel += target.block.channels;
            }
        },
    );
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
                let mut values = [0.0f32; LANES];
                // SAFETY: inside the block's plane, and inside the planes, at pixels that no other task has.
                unsafe {
                    let from = block.image(image);
                    for pixel in first..end {
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
