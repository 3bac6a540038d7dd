//! Positions of a convolution's windows over padded rows.

use super::super::layout::Extent;
use super::super::simd::LANES;
use super::Convolution;
use sweep_core::units::Size;

/// A convolution as windows that move over padded rows. With stride 2 they skip every second pixel. In the input
/// gradient of such a convolution, and in a transposed one (a turned kernel), they move by one, and every position gives
/// 2×2 pixels, each with its own taps.
pub(super) struct Windows {
    /// Positions of windows.
    pub(super) grid: Extent,
    /// Pixels read from one window to the next.
    pub(super) advance: usize,
    /// Pixels written from one window to the next.
    pub(super) spacing: usize,
    /// Zeros around what is read.
    pub(super) border: usize,
    pub(super) phases: Vec<Phase>,
}

/// The pixels at one position within every window's output.
pub(super) struct Phase {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) taps: Vec<Tap>,
}

/// Position of a tap's input relative to the window's corner, in padded rows, and the tap of the filter.
pub(super) struct Tap {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) weight: usize,
}

/// The extent of every `stride`-th pixel of every `stride`-th row.
fn divided(extent: Extent, stride: usize) -> Extent {
    let Size { height, width } = extent.size;
    Extent { size: Size { height: height.div_ceil(stride), width: width.div_ceil(stride) }, ..extent }
}

impl Windows {
    /// The windows of a convolution, or of the adjoint of one if the kernel is turned.
    pub(super) fn new(convolution: &Convolution, turned: bool) -> Self {
        let Convolution { extent, read, kernel, stride, dilation, .. } = *convolution;
        let (grid, advance, spacing) = if turned { (divided(extent, stride), 1, stride) } else { (extent, stride, 1) };
        // The padding before the map: that of an even kernel is smaller by one before than behind, or the other way round if
        // it is turned.
        let half = if turned { kernel / 2 } else { (kernel - 1) / 2 } * dilation;
        // A result of an odd size has a window more than there are pixels.
        let border = (kernel / 2 * dilation).div_ceil(spacing) + usize::from(turned && grid != read);
        // Along one axis, position in the window and tap for each product of a pixel in this phase: imagine zeros
        // between the pixels read, and leave out the products with these zeros.
        let meeting = |phase: usize| {
            let position = move |tap: usize| phase + tap * dilation + spacing * border - half;
            (0..kernel).filter(move |tap| position(*tap) % spacing == 0).map(move |tap| (position(tap) / spacing, tap))
        };
        let phases = (0..spacing * spacing).map(|phase| {
            let (row, column) = (phase / spacing, phase % spacing);
            let taps = meeting(row).flat_map(|(row, y)| {
                meeting(column).map(move |(column, x)| Tap { row, column, weight: y * kernel + x })
            });
            Phase { row, column, taps: taps.collect() }
        });
        Self { grid, advance, spacing, border, phases: phases.collect() }
    }

    /// Number of rows read for so many rows of windows, without the border.
    pub(super) fn rows(&self, windows: usize) -> usize {
        (windows - 1) * self.advance + 1
    }

    /// Chunks of rows per image, so that the input of a task with this many source blocks stays in the cache.
    pub(super) fn chunks(&self, sources: usize) -> usize {
        // About 64 Ki numbers.
        let rows = (1 << 16) / (self.grid.size.width * self.advance * self.advance * sources * LANES).max(1);
        self.grid.size.height.div_ceil(rows.clamp(4, 32))
    }
}
