//! Contrasts between configurations: how far trainings and images scatter, kept apart.
//!
//! Each configuration's trainings are independent of the others', so the training noise of a contrast is the weighted sum
//! of the configurations' own variances between seeds (Welch 1947), which has more degrees of freedom than the scatter of
//! paired differences. Images are shared by all configurations, so their part is that of the paired difference per image.
//! The two parts are joined by Banerjee's rule (1960): the half-width is √(Σ tᵢ² Vᵢ), each part with Student's quantile of
//! its own degrees of freedom. Its coverage is never below the nominal one, also with two seeds.

use super::{Count, Crossed, Estimate, Method, mean, student_quantile, variance_of};

/// One independent part of a variance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct VariancePart {
    variance: f64,
    degrees: f64,
}

/// A weighted sum of the mean errors of configurations, with the parts of its variance.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    point: f64,
    /// Between trainings; `None` where nothing tells it.
    training: Option<VariancePart>,
    images: VariancePart,
    count: Count,
    /// Sum of the squared weights.
    squares: f64,
    /// Sum of the terms' mean errors, each in units of its weight, whatever its sign.
    extent: f64,
}

/// The least p-value that is told from zero.
const LEAST_P: f64 = 1e-12;

impl Contrast {
    /// From the weight and the table of each configuration, all on the same seeds, images and landmarks. `None` where no
    /// scatter can be measured: with a single image, or none.
    #[must_use]
    pub fn of(terms: &[(f64, Crossed)]) -> Option<Self> {
        let whole = Crossed::weighted(terms)?;
        let count = whole.count();
        let (_, by_image, rest) = whole.mean_squares()?;
        let (seeds, images) = (count.seeds as f64, count.images as f64);
        if count.images < 2 {
            return None;
        }
        // The remainder of single cells is part of the training noise below, and may not count twice.
        let of_images = (by_image / images - rest / (seeds * images)).max(0.0);
        let parts: Vec<f64> =
            terms.iter().map(|(weight, table)| weight * weight * variance_of(&table.by_seed()) / seeds).collect();
        let variance: f64 = parts.iter().sum();
        let doubt: f64 = parts.iter().map(|part| part * part / (seeds - 1.0)).sum();
        let degrees = if doubt > 0.0 { variance * variance / doubt } else { seeds - 1.0 };
        Some(Self {
            point: whole.mean(),
            training: (count.seeds > 1).then_some(VariancePart { variance, degrees }),
            images: VariancePart { variance: of_images, degrees: images - 1.0 },
            count,
            squares: terms.iter().map(|(weight, _)| weight * weight).sum(),
            extent: terms.iter().map(|(weight, table)| (weight * table.mean()).abs()).sum(),
        })
    }

    /// The difference between two sets of images, `a` less `b`, of one training each: the sets scatter independently (Welch 1947).
    /// `None` where the scatter of one cannot be measured: with a single image, or none.
    #[must_use]
    pub fn between(a: &Crossed, b: &Crossed) -> Option<Self> {
        let parts = [a, b].map(Crossed::uncertainty);
        let [of_a, of_b] = [parts[0]?, parts[1]?];
        let variance = of_a.variance + of_b.variance;
        let doubt = of_a.variance.powi(2) / of_a.degrees + of_b.variance.powi(2) / of_b.degrees;
        let degrees = if doubt > 0.0 { variance.powi(2) / doubt } else { of_a.degrees.min(of_b.degrees) };
        Some(Self {
            point: a.mean() - b.mean(),
            training: None,
            images: VariancePart { variance, degrees },
            count: a.count(),
            squares: 2.0,
            extent: a.mean().abs() + b.mean().abs(),
        })
    }

    /// With one seed: takes the variance of a single training from elsewhere, known to so many degrees of freedom.
    #[must_use]
    pub fn with_training_noise(mut self, variance: f64, degrees: f64) -> Self {
        if self.training.is_none() {
            self.training = Some(VariancePart { variance: self.squares * variance, degrees });
        }
        self
    }

    /// The point estimate.
    #[must_use]
    pub fn point(&self) -> f64 {
        self.point
    }

    /// The greatest difference that errors of this size can have: one is all of them, and the other nothing.
    #[must_use]
    pub fn extent(&self) -> f64 {
        self.extent
    }

    /// Sample size.
    #[must_use]
    pub fn count(&self) -> Count {
        self.count
    }

    /// Whether training again is covered: without it, a difference is one of these trained networks alone.
    #[must_use]
    pub fn knows_training_noise(&self) -> bool {
        self.training.is_some()
    }

    fn parts(&self) -> impl Iterator<Item = VariancePart> {
        self.training.into_iter().chain([self.images]).filter(|part| part.variance > 0.0)
    }

    /// Half the width of the two-sided interval of level 1 − `alpha`.
    #[must_use]
    pub fn half_width(&self, alpha: f64) -> f64 {
        self.parts()
            .map(|part| part.variance * student_quantile(1.0 - alpha / 2.0, part.degrees).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    /// Two-sided p-value of the hypothesis that the truth is `null`: the level at which the interval just reaches it.
    ///
    /// Where nothing scatters, as among counts of epochs, no test of n units is surer than the sign test: 2/2ⁿ.
    #[must_use]
    pub fn p_value(&self, null: f64) -> f64 {
        let distance = (self.point - null).abs();
        if !distance.is_finite() {
            return f64::NAN;
        }
        if self.parts().next().is_none() {
            let units = if self.count.seeds > 1 { self.count.seeds } else { self.count.images };
            return if distance > 0.0 { least_p(units) } else { 1.0 };
        }
        let (mut low, mut high) = (LEAST_P.ln(), 0.0);
        if self.half_width(LEAST_P) <= distance {
            return LEAST_P;
        }
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.half_width(middle.exp()) > distance { low = middle } else { high = middle }
        }
        high.exp()
    }

    /// One-sided p-value of the hypothesis that the truth is at least `null`: small where it is below.
    #[must_use]
    pub fn p_below(&self, null: f64) -> f64 {
        let both = self.p_value(null);
        if self.point < null { both / 2.0 } else { 1.0 - both / 2.0 }
    }

    /// The estimate with its interval of level 1 − `alpha`; without one where nothing scatters and the units are too few.
    #[must_use]
    pub fn estimate(&self, alpha: f64) -> Estimate {
        let half = self.half_width(alpha);
        let is_known = half > 0.0 || self.p_value(self.point + 1.0) < alpha;
        let variance: f64 = self.parts().map(|part| part.variance).sum();
        let doubt: f64 = self.parts().map(|part| part.variance.powi(2) / part.degrees).sum();
        let method = if self.training.is_some() { Method::Contrast } else { Method::ContrastOfImages };
        Estimate {
            point: self.point,
            interval: if is_known { [self.point - half, self.point + half] } else { [f64::NAN; 2] },
            standard_error: variance.sqrt(),
            degrees: if doubt > 0.0 { variance * variance / doubt } else { f64::NAN },
            n: self.count,
            method,
        }
    }

    /// The true difference that a repetition of this study finds four times in five at level `alpha`, simulated through this
    /// very test; the variances are only as well known as their degrees of freedom say, and drawn accordingly. With another
    /// number of seeds, the training noise shrinks or grows; that of images stays. `nan` without training noise.
    #[must_use]
    pub fn detectable(&self, alpha: f64, seeds: usize, key: u64) -> f64 {
        super::detection::detectable(
            &self.training.map_or_else(Vec::new, |training| {
                let ratio = self.count.seeds as f64 / seeds as f64;
                let degrees =
                    training.degrees * (seeds as f64 - 1.0).max(1.0) / (self.count.seeds as f64 - 1.0).max(1.0);
                vec![
                    [training.variance * ratio, training.degrees, degrees],
                    [self.images.variance, self.images.degrees, self.images.degrees],
                ]
            }),
            alpha,
            key,
        )
    }
}

/// The least p-value of a two-sided sign test of `units` units.
#[must_use]
pub fn least_p(units: usize) -> f64 {
    2f64.powi(1 - i32::try_from(units).unwrap_or(i32::MAX)).min(1.0)
}

/// Variance of a single training from a complete grid of one training each: the mean square of all interactions of three
/// and more axes, and its degrees of freedom. `sizes` are the numbers of values on the axes, `values` the mean errors with
/// the last axis running fastest. `None` with fewer than [`FEWEST_DEGREES`] degrees of freedom.
#[must_use]
pub fn noise_of_interactions(values: &[f64], sizes: &[usize]) -> Option<(f64, f64)> {
    if sizes.len() < 3 || sizes.iter().product::<usize>() != values.len() || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let centre = mean(values);
    let total: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    let between = |kept: &[usize]| -> f64 {
        let mut sums: std::collections::BTreeMap<Vec<usize>, (f64, f64)> = std::collections::BTreeMap::new();
        for (at, value) in values.iter().enumerate() {
            let mut rest = at;
            let mut place = vec![0; sizes.len()];
            for axis in (0..sizes.len()).rev() {
                place[axis] = rest % sizes[axis];
                rest /= sizes[axis];
            }
            let (sum, count) = sums.entry(kept.iter().map(|axis| place[*axis]).collect()).or_default();
            *sum += value - centre;
            *count += 1.0;
        }
        sums.values().map(|(sum, count)| sum * sum / count).sum()
    };
    let (mut explained, mut degrees) = (0.0, values.len() as f64 - 1.0);
    let main: Vec<f64> = (0..sizes.len()).map(|axis| between(&[axis])).collect();
    for a in 0..sizes.len() {
        explained += main[a];
        degrees -= sizes[a] as f64 - 1.0;
        for b in a + 1..sizes.len() {
            explained += between(&[a, b]) - main[a] - main[b];
            degrees -= (sizes[a] as f64 - 1.0) * (sizes[b] as f64 - 1.0);
        }
    }
    (degrees >= FEWEST_DEGREES).then(|| ((total - explained).max(0.0) / degrees, degrees))
}

/// Fewest degrees of freedom from which training noise is estimated.
pub const FEWEST_DEGREES: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[f64]]) -> Crossed {
        Crossed::new(&rows.iter().map(|row| row.iter().map(|v| (*v, 1)).collect()).collect::<Vec<Vec<(f64, usize)>>>())
    }

    #[test]
    fn one_seed_is_the_paired_t_test() {
        // scipy 1.17: ttest_rel of these.
        let (a, b) = (table(&[&[1.0, 2.0, 4.0, 3.0, 5.5]]), table(&[&[1.5, 2.2, 4.9, 3.1, 6.5]]));
        let contrast = Contrast::of(&[(1.0, b), (-1.0, a)]).unwrap();
        assert!(!contrast.knows_training_noise());
        assert!((contrast.p_value(0.0) - 0.040_306_920_6).abs() < 1e-8, "{}", contrast.p_value(0.0));
        let [low, high] = contrast.estimate(0.05).interval;
        assert!((low - 0.038_699_784_8).abs() < 1e-8 && (high - 1.041_300_215_2).abs() < 1e-8, "{low} {high}");
    }

    #[test]
    fn without_image_scatter_it_is_welchs_t_test() {
        // Every image alike: only seeds scatter. scipy: ttest_ind(equal_var=False) of 1, 1.3, 0.9 and 2, 2.9, 2.2.
        let of = |seeds: [f64; 3]| {
            table(&seeds.iter().map(|s| vec![*s; 4]).collect::<Vec<_>>().iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let contrast = Contrast::of(&[(1.0, of([2.0, 2.9, 2.2])), (-1.0, of([1.0, 1.3, 0.9]))]).unwrap();
        assert!((contrast.p_value(0.0) - 0.026_647_236_9).abs() < 1e-8, "{}", contrast.p_value(0.0));
    }

    #[test]
    fn sets_of_images_differ_as_welch_says() {
        // t = 4.174632 with 5.966411 degrees of freedom; the density integrated by Simpson's rule.
        let (a, b) = (table(&[&[3.1, 2.7, 4.4, 3.9, 5.0]]), table(&[&[1.2, 2.1, 1.9]]));
        let contrast = Contrast::between(&a, &b).unwrap();
        assert!((contrast.point() - 2.086_666_666_7).abs() < 1e-9 && !contrast.knows_training_noise());
        assert!((contrast.p_value(0.0) - 0.005_920_786_2).abs() < 1e-8, "{}", contrast.p_value(0.0));
        assert!(Contrast::between(&a, &table(&[&[1.0]])).is_none());
    }

    #[test]
    fn p_value_and_interval_never_disagree() {
        for shift in 0..40 {
            let d = f64::from(shift) * 0.05;
            let a = table(&[&[1.0, 2.0, 4.0], &[1.1, 2.3, 3.6]]);
            let b = table(&[&[1.0 + d, 2.1 + d, 4.4 + d], &[0.9 + d, 2.0 + d, 3.9 + d]]);
            let contrast = Contrast::of(&[(1.0, b), (-1.0, a)]).unwrap();
            for alpha in [0.05, 0.01, 0.001] {
                assert_eq!(contrast.p_value(0.0) < alpha, contrast.estimate(alpha).excludes(0.0), "{d} {alpha}");
            }
        }
    }

    #[test]
    fn where_nothing_scatters_there_is_no_certainty() {
        let of = |v: f64| table(&[&[v, v, v], &[v, v, v]]);
        let contrast = Contrast::of(&[(1.0, of(6.0)), (-1.0, of(5.0))]).unwrap();
        assert!((contrast.p_value(0.0) - 0.5).abs() < 1e-12);
        assert!(contrast.estimate(0.05).interval[0].is_nan());
    }

    #[test]
    fn noise_of_high_interactions_is_that_of_the_grid() {
        // Main effects and pairs of axes explain all but ±0.5 in a 2⁴ grid: +1, −1 in turn by the product of all signs.
        let value = |at: usize| {
            let sign = |bit: usize| if at >> bit & 1 == 1 { 1.0 } else { -1.0 };
            3.0 + sign(0) + 2.0 * sign(1) * sign(2) + 0.5 * sign(0) * sign(1) * sign(2) * sign(3)
        };
        let values: Vec<f64> = (0..16).map(value).collect();
        let (variance, degrees) = noise_of_interactions(&values, &[2, 2, 2, 2]).unwrap();
        assert!((degrees - 5.0).abs() < 1e-12 && (variance - 16.0 * 0.25 / 5.0).abs() < 1e-9, "{variance} {degrees}");
        assert!(noise_of_interactions(&values[..8], &[2, 2, 2]).is_none(), "one degree of freedom is too few");
    }
}
