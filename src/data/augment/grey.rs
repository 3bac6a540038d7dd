//! Changes of values, each a function of the value alone: brightness, contrast, gamma, and a random monotone curve. All
//! channels of a colour go through the same function, as in torchvision and MONAI.

/// Control points of the random curve, as many as MONAI's `RandHistogramShift` has by default.
pub(crate) const POINTS: usize = 10;

/// Shares of red, green and blue in a grey value: ITU-R BT.601, as in torchvision's `adjust_contrast`.
pub(crate) const LUMA: [f64; 3] = [0.2989, 0.587, 0.114];

/// Parameters of a change of grey values in [0, 1]; each step ends in [0, 1].
#[derive(Debug, Clone)]
pub(crate) struct GreyTransform {
    /// They are multiplied by it.
    pub(crate) brightness: f32,
    /// Distances from the mean of the brightened picture are.
    pub(crate) contrast: f32,
    /// They are raised to this power.
    pub(crate) gamma: f32,
    /// They go through a curve: `curve[i]` is what `i / (POINTS − 1)` becomes, linearly between.
    pub(crate) curve: Option<[f32; POINTS]>,
}

impl GreyTransform {
    /// The change for one picture of planes of `area` pixels, which contributes the mean of its grey values: brightness, contrast
    /// and gamma as torchvision's `adjust_brightness`, `adjust_contrast` and `adjust_gamma`, then the curve.
    pub(super) fn fit(&self, pixels: &[f32], area: usize) -> ImageGreyTransform {
        let mean = |plane: &[f32]| plane.iter().map(|&v| f64::from(self.brighter(v))).sum::<f64>() / area as f64;
        let means = pixels.chunks_exact(area).map(mean);
        let mean = if pixels.len() > area {
            means.zip(LUMA).map(|(mean, share)| share * mean).sum()
        } else {
            means.sum::<f64>()
        };
        ImageGreyTransform { mean: mean as f32, values: self.clone() }
    }

    fn brighter(&self, value: f32) -> f32 {
        (value * self.brightness).clamp(0.0, 1.0)
    }

    #[expect(clippy::float_cmp, reason = "exactly 1 is what no gamma draws")]
    fn beyond_contrast(&self, value: f32) -> f32 {
        let value = if self.gamma == 1.0 { value } else { value.powf(self.gamma) };
        self.curve.as_ref().map_or(value, |curve| {
            let position = value * (POINTS - 1) as f32;
            let left = (position as usize).min(POINTS - 2);
            curve[left] + (curve[left + 1] - curve[left]) * (position - left as f32)
        })
    }
}

/// A [`GreyTransform`] with the mean of one picture.
#[derive(Debug, Clone)]
pub(crate) struct ImageGreyTransform {
    values: GreyTransform,
    /// Mean grey value of the brightened picture.
    mean: f32,
}

impl ImageGreyTransform {
    /// The changed value.
    pub(crate) fn apply(&self, value: f32) -> f32 {
        let brighter = self.values.brighter(value);
        let value = (self.mean + (brighter - self.mean) * self.values.contrast).clamp(0.0, 1.0);
        self.values.beyond_contrast(value)
    }
}

/// A random monotone curve from 0 to 1: MONAI's histogram shift, in which each inner control point in turn is drawn
/// between the one before it and the next one's first place, mixed with the identity: 0 leaves values as they are, 1 is
/// MONAI's. `units` are uniform in [0, 1).
pub(super) fn curve(strength: f64, units: [f64; POINTS - 2]) -> [f32; POINTS] {
    let identity = |i: usize| i as f64 / (POINTS - 1) as f64;
    let mut curve: [f64; POINTS] = std::array::from_fn(identity);
    for (i, unit) in (1..).zip(units) {
        let drawn = curve[i - 1] + (identity(i + 1) - curve[i - 1]) * unit;
        curve[i] = identity(i) + strength * (drawn - identity(i));
    }
    curve.map(|v| v as f32)
}
