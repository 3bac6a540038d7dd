//! Losses that a definition can name, and the loss of a map for each.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::custom::CustomLoss;
use super::plane::{differences, nll, sign};
use super::robust::{Wing, adaptive_wing, focal, focal_of_nothing};
use super::softmax::{distance_of_means, through_marginals, wasserstein};
use sweep_core::error::{Error, Result};
use sweep_core::registry::Custom;
use sweep_data::decode::MapKind;
use sweep_data::heatmap::Profiles;
use sweep_graph::simd_math::Number;

/// A loss. `o` is a network's map and `t` the heatmap; means and sums run over a map's pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LossSpec {
    /// Mean absolute difference of the maps (`L1Loss`).
    L1 {},
    /// `SmoothL1Loss`: squared below `beta` (`d²/2β`), absolute above (`|d| − β/2`).
    SmoothL1 {
        /// Difference at which the two meet.
        #[serde(default = "one")]
        beta: f64,
    },
    /// Mean squared difference of the maps (`MSELoss`).
    Mse {},
    /// Negative log-likelihood: cross-entropy between a softmax over all positions of a map and the heatmap
    /// normalised to sum 1. The network's maps are logits.
    Nll {},
    /// `½·Σ(o − scale·t)²`: a sum and not a mean, of heatmaps that are `scale` high (Payer et al. 2019).
    SumL2 {
        /// Height of the heatmaps at their landmark.
        #[serde(default = "hundred")]
        scale: f64,
    },
    /// Mean of `(1 + weight·t)·|o − t|`: pixels near the landmark count more.
    WeightedL1 {
        /// Additional weight of a pixel at the landmark.
        #[serde(default = "ten")]
        weight: f64,
    },
    /// Mean of `(1 + weight·t)·(o − t)²`.
    WeightedMse {
        /// Additional weight of a pixel at the landmark.
        #[serde(default = "ten")]
        weight: f64,
    },
    /// Adaptive Wing loss with its map of weights (Wang et al. 2019): the mean of `w·ω·ln(1 + |d/ε|^(α−t))` for `|d| =
    /// |o − t|` below `θ`, and of `w·(A·|d| − C)` above. `A` and `C` make value and derivative continuous. `w = 1 +
    /// weight` if a pixel or one of its eight neighbours has `t ≥ 0.2`, else 1.
    AdaptiveWing {
        /// ω, size of the loss.
        #[serde(default = "omega")]
        omega: f64,
        /// θ, difference from which it is linear.
        #[serde(default = "theta")]
        theta: f64,
        /// ε, curvature near zero: smaller values bend more sharply.
        #[serde(default = "one")]
        epsilon: f64,
        /// α, exponent far from the landmark; at the landmark it is one less.
        #[serde(default = "alpha")]
        alpha: f64,
        /// Additional weight of a pixel near the landmark; 0 for no map of weights.
        #[serde(default = "ten")]
        weight: f64,
    },
    /// Penalty-reduced focal loss (Law & Deng 2018, Zhou et al. 2019, `CenterNet`): with `p` the sigmoid of `o`, the
    /// sum of `−(1−p)^α·ln p` at the pixel nearest to the landmark and `−(1−t)^β·p^α·ln(1−p)` elsewhere.
    Focal {
        /// α, how much less pixels count that are already right.
        #[serde(default = "two")]
        alpha: f64,
        /// β, how much less pixels near the landmark count as wrong.
        #[serde(default = "four")]
        beta: f64,
    },
    /// Differentiable spatial-to-numerical transform (Nibali et al. 2018): the distance between the mean positions of a
    /// softmax over all positions and of the normalised heatmap, in images from −1 to 1, plus `regularizer` times the
    /// Jensen–Shannon divergence between the two.
    Dsnt {
        /// λ.
        #[serde(default = "one")]
        regularizer: f64,
    },
    /// 1-Wasserstein distance, in pixels, between the marginals (sums over rows and over columns) of the softmax and of
    /// the normalised heatmap, summed over both axes, plus `regularizer` times the Jensen–Shannon divergence. It is
    /// exact, whereas entropic transport in two dimensions is iterative; differences that marginals do not show are
    /// left to the divergence.
    Wasserstein {
        /// λ.
        #[serde(default = "one")]
        regularizer: f64,
    },
    /// A custom loss, see [`CustomLoss`].
    Custom(Custom<dyn CustomLoss>),
}

fn one() -> f64 {
    1.0
}
fn two() -> f64 {
    2.0
}
fn four() -> f64 {
    4.0
}
fn ten() -> f64 {
    10.0
}
fn hundred() -> f64 {
    100.0
}
fn omega() -> f64 {
    14.0
}
fn theta() -> f64 {
    0.5
}
fn alpha() -> f64 {
    2.1
}

impl LossSpec {
    /// # Errors
    /// Names the key whose value is impossible.
    pub fn check(&self) -> Result<()> {
        // Key, value, its bounds, and a usual value.
        let within = |numbers: &[(&str, f64, [f64; 2], &str)]| match numbers
            .iter()
            .find(|(_, value, [least, most], _)| !(value >= least && value <= most))
        {
            None => Ok(()),
            Some((key, value, [least, most], usual)) => Err(Error::definition(format!("{key} is {value}"))
                .at(*key)
                .remedy(format!("use a number from {least} to {most}, for example {usual}"))),
        };
        match *self {
            Self::SmoothL1 { beta } if !(beta.is_finite() && beta > 0.0) => {
                Err(Error::definition(format!("beta is {beta}"))
                    .at("beta")
                    .remedy("use a positive number, for example 1.0"))
            }
            Self::L1 {} | Self::SmoothL1 { .. } | Self::Mse {} | Self::Nll {} => Ok(()),
            Self::SumL2 { scale } => within(&[("scale", scale, [1e-3, 1e6], "100")]),
            Self::WeightedL1 { weight } | Self::WeightedMse { weight } => {
                within(&[("weight", weight, [0.0, 1e6], "10")])
            }
            Self::AdaptiveWing { omega, theta, epsilon, alpha, weight } => within(&[
                ("omega", omega, [1e-3, 1e6], "14"),
                ("theta", theta, [1e-3, 10.0], "0.5"),
                ("epsilon", epsilon, [1e-3, 10.0], "1"),
                // Below 2 the derivative is discontinuous where a heatmap is 1.
                ("alpha", alpha, [2.0, 4.0], "2.1"),
                ("weight", weight, [0.0, 1e6], "10"),
            ]),
            Self::Focal { alpha, beta } => {
                within(&[("alpha", alpha, [0.0, 10.0], "2"), ("beta", beta, [0.0, 100.0], "4")])
            }
            Self::Dsnt { regularizer } | Self::Wasserstein { regularizer } => {
                within(&[("regularizer", regularizer, [0.0, 1e6], "1")])
            }
            Self::Custom(ref own) => own.check(),
        }
    }

    /// Fills in the version of a custom loss.
    ///
    /// # Errors
    /// When the program has not registered the loss.
    pub fn resolve_version(&mut self) -> Result<()> {
        if let Self::Custom(own) = self { own.resolve_version() } else { Ok(()) }
    }

    /// Kind of maps that this loss teaches a network; `Heatmap` if a custom loss is not registered, which
    /// [`LossSpec::check`] reports.
    #[must_use]
    pub fn map_kind(&self) -> MapKind {
        match *self {
            Self::L1 {}
            | Self::SmoothL1 { .. }
            | Self::Mse {}
            | Self::WeightedL1 { .. }
            | Self::WeightedMse { .. }
            | Self::AdaptiveWing { .. } => MapKind::Heatmap,
            Self::SumL2 { scale } => MapKind::Scaled { peak: scale as f32 },
            Self::Nll {} | Self::Dsnt { .. } | Self::Wasserstein { .. } => MapKind::Logits,
            Self::Focal { .. } => MapKind::Sigmoid,
            Self::Custom(ref own) => own.get().map_or(MapKind::Heatmap, |loss| loss.map_kind()),
        }
    }

    /// Loss of one image's maps `[K, H, W]`: the mean over its present landmarks of the loss of a map, as described at
    /// the variants. It is 0 for an image without landmarks, NaN for a custom loss that is not registered.
    #[must_use]
    pub fn of_image(&self, planes: &[f32], targets: &[Option<Profiles>]) -> f64 {
        if let Self::Custom(own) = self {
            let is_any = targets.iter().any(Option::is_some);
            return own.get().map_or(f64::NAN, |loss| if is_any { loss.of_image(planes, targets, None) } else { 0.0 });
        }
        let size = planes.len() / targets.len().max(1);
        let of = |(plane, target): (&[f32], &Option<Profiles>)| {
            target.as_ref().map_or(0.0, |t| self.plane(plane, t, 1.0, None))
        };
        mean(&planes.par_chunks(size.max(1)).zip(targets).map(of).collect::<Vec<_>>(), targets)
    }

    /// Loss of an output without any peaks for one image: zero everywhere, which as logits makes all positions equally
    /// likely. For the focal loss, where zero is a probability of one half everywhere, it is the constant map of least
    /// loss.
    #[must_use]
    pub fn of_zeros(&self, targets: &[Option<Profiles>]) -> f64 {
        if let Self::Custom(own) = self {
            let is_any = targets.iter().any(Option::is_some);
            return own.get().map_or(f64::NAN, |loss| if is_any { loss.of_zeros(targets) } else { 0.0 });
        }
        if let Self::Focal { alpha, beta } = *self {
            let of = |target: &Option<Profiles>| {
                target.as_ref().map_or(0.0, |target| focal_of_nothing([alpha, beta], target))
            };
            return mean(&targets.par_iter().map(of).collect::<Vec<_>>(), targets);
        }
        let area = targets.iter().flatten().next().map_or(0, |t| t.rows.len() * t.columns.len());
        self.of_image(&vec![0.0; area * targets.len()], targets)
    }

    /// Divisor of the sum over a map's pixels.
    pub(super) fn divisor(&self, pixels: usize) -> f64 {
        match self {
            Self::L1 {}
            | Self::SmoothL1 { .. }
            | Self::Mse {}
            | Self::WeightedL1 { .. }
            | Self::WeightedMse { .. }
            | Self::AdaptiveWing { .. } => pixels as f64,
            Self::SumL2 { .. }
            | Self::Nll {}
            | Self::Focal { .. }
            | Self::Dsnt { .. }
            | Self::Wasserstein { .. }
            | Self::Custom(_) => 1.0,
        }
    }

    /// Loss of one plane; writes its gradient times `scale`. Custom losses apply to whole images and are computed by
    /// [`super::custom`].
    pub(super) fn plane<T: Number>(
        &self,
        plane: &[T],
        target: &Profiles,
        scale: f64,
        gradient: Option<&mut [T]>,
    ) -> f64 {
        let divisor = self.divisor(plane.len());
        let scale = scale / divisor;
        let (two, half) = (T::of(2.0), T::of(0.5));
        let sum = match *self {
            Self::L1 {} => differences(plane, target, scale, gradient, |d, _| (d.abs(), sign(d))),
            Self::Mse {} => differences(plane, target, scale, gradient, |d, _| (d * d, two * d)),
            Self::SmoothL1 { beta } => {
                let (threshold, inverse) = (T::of(beta), T::of(1.0 / beta));
                differences(plane, target, scale, gradient, |d, _| {
                    let (size, slope) = (d.abs(), d * inverse);
                    let near = size < threshold;
                    let loss = if near { half * d * slope } else { size - half * threshold };
                    (loss, if near { slope } else { sign(d) })
                })
            }
            Self::SumL2 { scale: peak } => {
                let rest = T::of(peak - 1.0);
                differences(plane, target, scale, gradient, |d, t| {
                    let d = d - rest * t;
                    (half * d * d, d)
                })
            }
            Self::WeightedL1 { weight } => {
                let weight = T::of(weight);
                differences(plane, target, scale, gradient, |d, t| {
                    let weight = T::one() + weight * t;
                    (weight * d.abs(), weight * sign(d))
                })
            }
            Self::WeightedMse { weight } => {
                let weight = T::of(weight);
                differences(plane, target, scale, gradient, |d, t| {
                    let weighted = (T::one() + weight * t) * d;
                    (weighted * d, two * weighted)
                })
            }
            Self::AdaptiveWing { omega, theta, epsilon, alpha, weight } => {
                let wing = Wing { omega, theta, epsilon, alpha, weight };
                adaptive_wing(wing, plane, target, scale, gradient)
            }
            Self::Focal { alpha, beta } => focal([alpha, beta], plane, target, scale, gradient),
            Self::Nll {} => nll(plane, target, scale, gradient),
            Self::Dsnt { regularizer } => {
                through_marginals(plane, target, regularizer, scale, gradient, distance_of_means)
            }
            Self::Wasserstein { regularizer } => {
                through_marginals(plane, target, regularizer, scale, gradient, wasserstein)
            }
            Self::Custom(_) => f64::NAN,
        };
        sum / divisor
    }
}

/// Mean of planes' losses over the landmarks that are present.
fn mean(losses: &[f64], targets: &[Option<Profiles>]) -> f64 {
    losses.iter().sum::<f64>() / targets.iter().flatten().count().max(1) as f64
}

examples!(LossSpec {
    Self::L1 {} => Self::L1 {},
    Self::SmoothL1 { .. } => Self::SmoothL1 { beta: one() },
    Self::Mse {} => Self::Mse {},
    Self::Nll {} => Self::Nll {},
    Self::SumL2 { .. } => Self::SumL2 { scale: hundred() },
    Self::WeightedL1 { .. } => Self::WeightedL1 { weight: ten() },
    Self::WeightedMse { .. } => Self::WeightedMse { weight: ten() },
    Self::AdaptiveWing { .. } => {
        Self::AdaptiveWing { omega: omega(), theta: theta(), epsilon: one(), alpha: alpha(), weight: ten() }
    },
    Self::Focal { .. } => Self::Focal { alpha: two(), beta: four() },
    Self::Dsnt { .. } => Self::Dsnt { regularizer: one() },
    Self::Wasserstein { .. } => Self::Wasserstein { regularizer: one() },
    Self::Custom(_) => Self::Custom(Custom::example()),
});
