//! A normalisation's statistics and parameters, and the shapes for measuring groups.

use candle_core::{Result, Tensor};
use sweep_graph::NormKind;

/// A normalisation: its measured or running statistics, and its parameters.
#[derive(Debug, Clone)]
pub(super) struct Normalisation {
    pub(super) kind: NormKind,
    /// Added to a variance before its root is taken.
    pub(super) epsilon: f64,
    /// Mean of every channel, `[C]`; for groups, of every image and channel, `[B·C]`.
    pub(super) mean: Tensor,
    /// Variance, in the shape of the mean; divided by n, not n − 1.
    pub(super) variance: Tensor,
    /// Scale, `[C]`.
    pub(super) scale: Tensor,
    /// Shift, `[C]`.
    pub(super) shift: Tensor,
}

/// Reshapes the map so that the values normalised together are a channel: `[B, C, H, W]` itself for a batch, `[1, B·G,
/// C/G·H, W]` for groups.
pub(super) fn grouped(map: &Tensor, kind: NormKind) -> Result<Tensor> {
    let (images, channels, height, width) = map.dims4()?;
    match kind {
        NormKind::Batch => Ok(map.clone()),
        NormKind::Group { groups } => Ok(map.reshape((1, images * groups, channels / groups * height, width))?),
    }
}

/// Expands one value per channel of [`grouped`] to one per channel of the map, `[C]`, or of every image, `[B·C]`.
pub(super) fn ungrouped(values: &Tensor, channels: usize, kind: NormKind) -> Result<Tensor> {
    match kind {
        NormKind::Batch => Ok(values.clone()),
        NormKind::Group { groups } => {
            let shape = (values.elem_count(), channels / groups);
            Ok(values.unsqueeze(1)?.broadcast_as(shape)?.flatten_all()?)
        }
    }
}
