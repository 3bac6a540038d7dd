//! Where products of tiles by vectors are worth it.

use super::super::super::choose::Pass;
use super::super::super::layout::Extent;

/// Whether products by vectors are faster than the best algorithm in single precision, which takes this many nanoseconds
/// by its model ([`PRODUCT`](super::super::PRODUCT)). They multiply twice as many numbers at once, where Winograd's transform
/// saves three of four multiplications: they win where there is little or nothing to transform for. Measured on Zen 5.
pub(in super::super::super) fn is_faster(
    pass: Pass,
    extent: Extent,
    [sources, targets]: [usize; 2],
    kernel: usize,
    nanoseconds: f64,
) -> bool {
    /// A product of two blocks at a pixel and tap.
    const PRODUCT: f64 = 1.1;
    /// A tap of a filter between two blocks.
    const FILTER: f64 = 20.0;
    /// A pixel of a block, read or written.
    const PIXEL: f64 = 2.0;
    /// Time of the gradient to the weights, by that of a convolution: it packs one factor anew for every group of the other.
    const GRADIENT: f64 = 1.3;
    let (pixels, taps) = ((extent.images * extent.size.area()) as f64, (kernel * kernel) as f64);
    let products = (sources * targets) as f64 * taps * (pixels * PRODUCT + FILTER);
    let own = products + (sources + targets) as f64 * pixels * PIXEL;
    match pass {
        // Winograd's transform does not apply.
        _ if kernel == 1 => true,
        // All sources are transformed for a single target.
        Pass::Forward => targets == 1 || own < nanoseconds,
        Pass::WeightGradient => targets == 1 && sources > 1 || GRADIENT * own < nanoseconds,
        // Nothing is activated on the way to Winograd's transform, and a turned filter takes longer to lay out.
        Pass::InputGradient => false,
    }
}
