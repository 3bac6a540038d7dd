//! Kinds of maps that networks output.

/// Meaning of the values of a network's map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MapKind {
    /// A heatmap: 1 at the landmark, 0 far from it.
    Heatmap,
    /// A heatmap whose landmarks are as high as this.
    Scaled {
        /// Height of the true heatmap at its landmark.
        peak: f32,
    },
    /// Logarithms of a probability per pixel, up to a constant; read as `exp(v − max)`.
    Logits,
    /// A heatmap before its sigmoid; read as `1/(1 + exp(−v))`.
    Sigmoid,
}

impl MapKind {
    /// Height of a value as a heatmap's, up to a factor for a whole map.
    pub(super) fn height(self, value: f32) -> f64 {
        match self {
            Self::Heatmap | Self::Scaled { .. } => f64::from(value),
            Self::Logits => f64::from(value).exp(),
            Self::Sigmoid => sigmoid(f64::from(value)),
        }
    }

    /// Logarithm of [`Self::height`].
    pub(super) fn logarithm(self, value: f32) -> f64 {
        let value = f64::from(value);
        match self {
            Self::Heatmap | Self::Scaled { .. } => value.ln(),
            Self::Logits => value,
            Self::Sigmoid => -(-value).exp().ln_1p(),
        }
    }

    /// The least value whose height is at least this share of that of a map's largest; where no height is above 0, the
    /// largest itself.
    pub(super) fn least(self, share: f32, highest: f32) -> f32 {
        match self {
            Self::Heatmap | Self::Scaled { .. } if highest > 0.0 => share * highest,
            Self::Heatmap | Self::Scaled { .. } => highest,
            Self::Logits => highest + share.ln(),
            Self::Sigmoid => {
                let height = f64::from(share) * sigmoid(f64::from(highest));
                // Rounding must not leave the largest out.
                ((height / (1.0 - height)).ln() as f32).min(highest)
            }
        }
    }
}

pub(super) fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}
