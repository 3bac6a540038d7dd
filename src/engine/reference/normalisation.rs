//! A normalisation's statistics and parameters, and the shapes in which groups are measured.

use candle_core::{Result, Tensor};
use sweep_graph::NormKind;

/// Added to a variance before its root is taken.
pub(super) const EPSILON: f64 = NormKind::EPSILON;

/// A normalisation: what it measured (or the running statistics), and its parameters.
#[derive(Debug, Clone)]
pub(super) struct Normalisation {
    pub(super) kind: NormKind,
    /// What every channel is centred on, `[C]`; for groups every image's, `[B·C]`.
    pub(super) mean: Tensor,
    /// Of the shape of the mean; divided by n, not n − 1.
    pub(super) variance: Tensor,
    /// `[C]`.
    pub(super) scale: Tensor,
    /// `[C]`.
    pub(super) shift: Tensor,
}

/// The map as one in which what is normalised together is a channel: `[B, C, H, W]` itself for a batch,
/// `[1, B·G, C/G·H, W]` for groups.
pub(super) fn grouped(map: &Tensor, kind: NormKind) -> Result<Tensor> {
    let (images, channels, height, width) = map.dims4()?;
    match kind {
        NormKind::Batch => Ok(map.clone()),
        NormKind::Group { groups } => Ok(map.reshape((1, images * groups, channels / groups * height, width))?),
    }
}

/// One value per channel of [`grouped`] as one per channel of the map, `[C]`, or of every image, `[B·C]`.
pub(super) fn ungrouped(values: &Tensor, channels: usize, kind: NormKind) -> Result<Tensor> {
    match kind {
        NormKind::Batch => Ok(values.clone()),
        NormKind::Group { groups } => {
            let shape = (values.elem_count(), channels / groups);
            Ok(values.unsqueeze(1)?.broadcast_as(shape)?.flatten_all()?)
        }
    }
}
