//! A landmark as a heatmap: the picture a network is taught to draw.
//!
//! All shapes are products of a function of x and one of y, so a heatmap of `H×W` costs `H + W` exponentials.

mod width;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use sweep_core::error::{Error, Result};
use sweep_core::units::{Point, Size};
pub use width::Widths;

/// Shape of the heatmaps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HeatmapSpec {
    /// `exp(−power·decay·(|dx|+|dy|))` in pixels of a picture `reference_height` pixels high: whatever size the
    /// network takes, the heatmap covers the same anatomy.
    Laplace {
        /// Fall of the logarithm per pixel.
        #[serde(default = "decay")]
        decay: f64,
        /// Exponent: the higher, the narrower.
        #[serde(default = "power")]
        power: f64,
        /// Height, in pixels, of the picture whose pixels `decay` counts.
        #[serde(default = "reference_height")]
        reference_height: u32,
    },
    /// `exp(−(dx²+dy²)/2σ²)`.
    Gaussian {
        /// Standard deviation, in pixels of the network's input.
        sigma: f64,
    },
    /// A Gaussian per landmark whose σ is trained with the network (Payer et al. 2019):
    /// `(σ₀/σ)²·exp(−(dx²+dy²)/2σ²)`, so that narrower ones are higher, and a penalty on σ². For the loss `sum-l2` alone.
    LearnedGaussian {
        /// Where every σ starts, in pixels of the network's input.
        sigma: f64,
        /// Weight α of the penalty `½·α·σ²` where heatmaps are `1000/2πσ²` high, as published; for others it is scaled.
        #[serde(default = "penalty")]
        penalty: f64,
    },
}

fn penalty() -> f64 {
    100.0
}

fn decay() -> f64 {
    0.004_83
}

fn power() -> f64 {
    3.0
}

fn reference_height() -> u32 {
    800
}

impl Default for HeatmapSpec {
    fn default() -> Self {
        Self::Laplace { decay: decay(), power: power(), reference_height: reference_height() }
    }
}

/// A heatmap taken apart: the value of pixel (x, y) is `rows[y] · columns[x]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiles {
    /// One factor per row.
    pub rows: Vec<f32>,
    /// One factor per column.
    pub columns: Vec<f32>,
}

impl Profiles {
    /// The heatmap, row by row.
    #[must_use]
    pub fn product(&self) -> Vec<f32> {
        self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| row * column)).collect()
    }
}

impl HeatmapSpec {
    /// Whether every number is possible.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        let numbers = match *self {
            Self::Laplace { decay, power, reference_height } => {
                vec![("decay", decay), ("power", power), ("reference_height", f64::from(reference_height))]
            }
            Self::Gaussian { sigma } => vec![("sigma", sigma)],
            Self::LearnedGaussian { sigma, penalty } => vec![("sigma", sigma), ("penalty", penalty)],
        };
        match numbers.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((key, value)) => {
                Err(Error::definition(format!("{value} is not possible")).at(key).remedy("a number above 0"))
            }
            None => Ok(()),
        }
    }

    /// The widths that are trained, as they are, of heatmaps that a loss takes `height` times; none where they are not
    /// trained.
    #[must_use]
    pub fn widths(&self, sigmas: Vec<f64>, height: f64) -> Option<Widths> {
        match *self {
            Self::LearnedGaussian { sigma, penalty } => Some(Widths::new(sigmas, sigma, penalty, height)),
            Self::Laplace { .. } | Self::Gaussian { .. } => None,
        }
    }

    /// The σ that every trained width starts from; none where they are not trained.
    #[must_use]
    pub fn trained(&self) -> Option<f64> {
        match *self {
            Self::LearnedGaussian { sigma, .. } => Some(sigma),
            Self::Laplace { .. } | Self::Gaussian { .. } => None,
        }
    }

    /// The heatmap of a landmark (in pixels of the input) on an input of this size. Its peak is 1 at the landmark
    /// itself; pixels are samples of it, so the brightest is 1 only where the landmark is a pixel's centre.
    #[must_use]
    pub fn profiles(&self, landmark: Point, input: Size) -> Profiles {
        self.profiles_of_part(landmark, input, input)
    }

    /// The same on a part, so large, of a picture of size `whole`; the landmark is in pixels of the part.
    #[must_use]
    pub fn profiles_of_part(&self, landmark: Point, whole: Size, part: Size) -> Profiles {
        let axis = |centre: f64, len: usize, value: &dyn Fn(f64) -> f64| -> Vec<f32> {
            (0..len).map(|i| value(i as f64 - centre) as f32).collect()
        };
        let both = |value: &dyn Fn(f64) -> f64| Profiles {
            rows: axis(landmark.y, part.height, value),
            columns: axis(landmark.x, part.width, value),
        };
        match *self {
            Self::Laplace { decay, power, reference_height } => {
                let rate = power * decay * f64::from(reference_height) / whole.height as f64;
                both(&|d| (-rate * d.abs()).exp())
            }
            Self::Gaussian { sigma } | Self::LearnedGaussian { sigma, .. } => {
                both(&|d| (-d * d / (2.0 * sigma * sigma)).exp())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: Size = Size { height: 800, width: 640 };

    #[test]
    fn laplace_is_the_published_heatmap_to_a_power() {
        let heatmap = HeatmapSpec::default().profiles(Point { x: 100.25, y: 300.5 }, INPUT).product();
        let at = |x: usize, y: usize| f64::from(heatmap[y * INPUT.width + x]);
        let expected = |x: f64, y: f64| (-0.004_83 * ((x - 100.25).abs() + (y - 300.5).abs())).exp().powi(3);
        for (x, y) in [(100, 300), (101, 301), (0, 0), (639, 799), (100, 500)] {
            assert!((at(x, y) - expected(x as f64, y as f64)).abs() < 1e-6, "{x}, {y}");
        }
    }

    #[test]
    fn a_definition_covers_the_same_anatomy_at_every_input_size() {
        let quarter = Size { height: 200, width: 160 };
        let landmark = Point { x: 80.0, y: 120.0 };
        let large = HeatmapSpec::default().profiles(landmark, INPUT);
        let small = HeatmapSpec::default().profiles(landmark.rescale(INPUT, quarter), quarter);
        // The pixel's centre on the small picture lies between four pixels of the large one.
        for y in [0usize, 50, 199] {
            let between = (large.rows[4 * y + 1] * large.rows[4 * y + 2]).sqrt();
            assert!((small.rows[y] - between).abs() < 1e-5, "row {y}: {} {between}", small.rows[y]);
        }
    }

    #[test]
    fn gaussian_has_its_standard_deviation() {
        let Profiles { columns, .. } = HeatmapSpec::Gaussian { sigma: 2.5 }.profiles(Point { x: 20.3, y: 9.0 }, INPUT);
        let sum: f64 = columns.iter().map(|&v| f64::from(v)).sum();
        let moment = |power| {
            columns.iter().enumerate().map(|(i, &v)| f64::from(v) * (i as f64 - 20.3).powi(power)).sum::<f64>() / sum
        };
        assert!(moment(1).abs() < 1e-6 && (moment(2).sqrt() - 2.5).abs() < 1e-5);
    }

    #[test]
    fn definitions_have_the_stated_defaults_and_refuse_nonsense() {
        assert_eq!(toml::from_str::<HeatmapSpec>("name = 'laplace'").unwrap(), HeatmapSpec::default());
        assert!(toml::from_str::<HeatmapSpec>("name = 'gaussian'").unwrap_err().message().contains("sigma"));
        assert!(toml::from_str::<HeatmapSpec>("name = 'gaussian'\nsigma = 1\npower = 2").is_err());
        assert_eq!(HeatmapSpec::Gaussian { sigma: 0.0 }.check().unwrap_err().location.as_deref(), Some("sigma"));
        assert_eq!(HeatmapSpec::default().check(), Ok(()));
    }
}
