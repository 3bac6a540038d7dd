//! Custom losses, which a program registers.

use std::sync::Arc;
use sweep_graph::tensors::TensorOperation as _;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::de::DeserializeOwned;

use super::Targets;
use sweep_core::error::{Error, Result};
use sweep_core::registry::{Component, Custom, Registry};
use sweep_data::decode::MapKind;
use sweep_data::heatmap::Profiles;
use sweep_graph::simd_math::Number;
use sweep_graph::tensors::{change, read};

/// A custom loss of all maps of an image together; if each map has its own loss, [`MapLoss`] is simpler. The value
/// holds the loss's options.
pub trait CustomLoss: Send + Sync + 'static {
    /// Raised whenever the same options give a different loss than before: part of a trial's identity, so that results
    /// of the old version are not mistaken for the new one's.
    fn version(&self) -> u32;

    /// Kind of maps that it teaches a network, which decides how landmarks are read off them.
    fn map_kind(&self) -> MapKind {
        MapKind::Heatmap
    }

    /// Checks that its options are possible.
    ///
    /// # Errors
    /// When one is not; its name is the error's location.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The loss of one image's maps `[K, H, W]`. The target of a missing landmark is `None`, and its map must not
    /// matter; at least one landmark is present. Writes the derivative by every value into `gradient` `[K, H, W]`,
    /// which is zero before.
    fn of_image(&self, maps: &[f32], targets: &[Option<Profiles>], gradient: Option<&mut [f32]>) -> f64;

    /// The loss of an output without any peaks: of maps that are zero.
    fn of_zeros(&self, targets: &[Option<Profiles>]) -> f64 {
        let area = targets.iter().flatten().next().map_or(0, |t| t.rows.len() * t.columns.len());
        self.of_image(&vec![0.0; area * targets.len()], targets, None)
    }
}

/// A loss of single maps; that of an image is the mean over its landmarks, as for the built-in losses.
pub trait MapLoss: Send + Sync + 'static {
    /// See [`CustomLoss::version`].
    fn version(&self) -> u32;

    /// See [`CustomLoss::map_kind`].
    fn map_kind(&self) -> MapKind {
        MapKind::Heatmap
    }

    /// See [`CustomLoss::check`].
    ///
    /// # Errors
    /// When an option is impossible; its name is the error's location.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The loss of a map `[H, W]`, row by row, given its target; [`Profiles::product`] is the target as a map. Writes
    /// the derivative by every value into `gradient` `[H, W]`, which is zero before.
    fn of_map(&self, map: &[f32], target: &Profiles, gradient: Option<&mut [f32]>) -> f64;
}

impl<L: MapLoss> CustomLoss for L {
    fn version(&self) -> u32 {
        MapLoss::version(self)
    }

    fn map_kind(&self) -> MapKind {
        MapLoss::map_kind(self)
    }

    fn check(&self) -> Result<()> {
        MapLoss::check(self)
    }

    fn of_image(&self, maps: &[f32], targets: &[Option<Profiles>], gradient: Option<&mut [f32]>) -> f64 {
        let area = (maps.len() / targets.len().max(1)).max(1);
        let share = 1.0 / targets.iter().flatten().count().max(1) as f64;
        let maps = maps.par_chunks(area).zip(targets);
        let losses: Vec<f64> = match gradient {
            None => maps.map(|(map, target)| target.as_ref().map_or(0.0, |t| self.of_map(map, t, None))).collect(),
            Some(gradient) => maps
                .zip(gradient.par_chunks_mut(area))
                .map(|((map, target), gradient)| {
                    let Some(target) = target else { return 0.0 };
                    let loss = self.of_map(map, target, Some(gradient));
                    for slope in gradient {
                        *slope *= share as f32;
                    }
                    loss
                })
                .collect(),
        };
        share * losses.iter().sum::<f64>()
    }
}

/// Registers a loss under a name; `L` is also the type of its options.
///
/// # Errors
/// When the name is taken.
pub fn add_loss<L: CustomLoss + DeserializeOwned>(kind: &str) -> Result<()> {
    <dyn CustomLoss>::registry().register(kind, |loss: L| Arc::new(loss) as Arc<dyn CustomLoss>)
}

impl Component for dyn CustomLoss {
    const NAME: &'static str = "loss";

    fn registry() -> &'static Registry<Self> {
        static REGISTRY: Registry<dyn CustomLoss> = Registry::new();
        &REGISTRY
    }

    fn check(&self) -> Result<()> {
        CustomLoss::check(self)
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(Some(CustomLoss::version(self).to_string()))
    }
}

/// `weight` times the sum over the images of a head `[B, K, H, W]` that have a landmark; writes its gradient.
pub(super) fn of_head<T: Number>(
    loss: &Custom<dyn CustomLoss>,
    head: &Tensor,
    gradient: &Tensor,
    targets: &Targets,
    weight: f64,
) -> Result<f64> {
    let loss = loss.get()?;
    let (_, landmarks, height, width) = head.dims4().computed()?;
    let of_image = |maps: &[T], out: &mut [T], targets: &[Option<Profiles>]| {
        out.fill(T::zero());
        if targets.iter().all(Option::is_none) {
            return 0.0;
        }
        let maps: Vec<f32> = maps.iter().map(|value| value.wide() as f32).collect();
        let mut slopes = vec![0.0f32; maps.len()];
        let value = loss.of_image(&maps, targets, Some(&mut slopes));
        for (out, slope) in out.iter_mut().zip(&slopes) {
            *out = T::of(weight * f64::from(*slope));
        }
        weight * value
    };
    let all = (landmarks * height * width).max(1);
    change(gradient, |gradient: &mut [T]| {
        read(head, |maps: &[T]| {
            let images = maps.par_chunks(all).zip(gradient.par_chunks_mut(all)).zip(targets);
            let losses: Vec<f64> = images.map(|((maps, out), targets)| of_image(maps, out, targets)).collect();
            Ok(losses.iter().sum())
        })
    })
    .computed()
}

/// Compares a loss's gradient with central differences of its value, on maps of several kinds and sizes. Every custom
/// loss should have a test that calls it.
///
/// # Errors
/// When they differ, when a missing landmark matters, or when the value is not finite or depends on whether a gradient
/// is requested.
pub fn check_gradient(loss: &impl CustomLoss) -> Result<()> {
    CustomLoss::check(loss)?;
    let height = if let MapKind::Scaled { peak } = loss.map_kind() { f64::from(peak) } else { 1.0 };
    let heatmap = |x: f32, y: f32| Profiles {
        rows: (0..6u8).map(|row| (-0.3 * (f32::from(row) - y).abs()).exp()).collect(),
        columns: (0..5u8).map(|column| (-0.3 * (f32::from(column) - x).abs()).exp()).collect(),
    };
    let targets = [Some(heatmap(1.2, 3.1)), None, Some(heatmap(4.0, 0.4))];
    let area = 6 * 5;
    // Irregular values on both sides of the target, none of them at a kink of common losses.
    let irregular = |i: usize, turn: f64| (i as f64 * 0.7 + turn).sin() * 1.3 * height;
    for turn in [0.1, 2.3, 4.0] {
        let maps: Vec<f32> = (0..3 * area).map(|i| irregular(i, turn) as f32).collect();
        let mut gradient = vec![0.0; maps.len()];
        let value = loss.of_image(&maps, &targets, Some(&mut gradient));
        let wrong = |what: String| Err(Error::input(what));
        if !value.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
            return wrong(format!("value {value} or its gradient is not a finite number"));
        }
        let alone = loss.of_image(&maps, &targets, None);
        if (alone - value).abs() > 1e-6 * value.abs() {
            return wrong(format!("the value is {value} with a gradient and {alone} without"));
        }
        let largest = gradient.iter().fold(0.0f32, |most, slope| most.max(slope.abs()));
        for i in 0..maps.len() {
            let (landmark, row, column) = (i / area, i % area / 5, i % 5);
            let step = 2e-3 * height;
            let moved = |by: f64| {
                let mut maps = maps.clone();
                maps[i] = (f64::from(maps[i]) + by) as f32;
                (f64::from(maps[i]), loss.of_image(&maps, &targets, None))
            };
            let [(from, low), (to, high)] = [moved(-step), moved(step)];
            let (derivative, numeric) = (f64::from(gradient[i]), (high - low) / (to - from));
            // Rounding error of the difference of two values.
            let rounding = 4.0 * f64::from(f32::EPSILON) * value.abs() / step;
            if targets[landmark].is_none() && (derivative.abs() > 0.0 || numeric.abs() > rounding) {
                return wrong(format!(
                    "landmark {landmark} is missing, and its map matters at row {row}, column {column}"
                ));
            }
            if (derivative - numeric).abs() > 0.01 * f64::from(largest) + rounding {
                return wrong(format!(
                    "at landmark {landmark}, row {row}, column {column} the derivative is {derivative}, but {numeric} by central differences"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use serde::Deserialize;

    use super::super::tests::{maps, profiles, tensor};
    use super::super::{Criterion, LossSpec};
    use super::*;

    /// Mean squared error, times a factor; the gradient has its own factor.
    #[derive(Deserialize)]
    struct Squares {
        value: f64,
        slope: f64,
    }

    impl MapLoss for Squares {
        fn version(&self) -> u32 {
            3
        }
        fn of_map(&self, map: &[f32], target: &Profiles, mut gradient: Option<&mut [f32]>) -> f64 {
            let mut sum = 0.0;
            for (pixel, (shown, wanted)) in map.iter().zip(target.product()).enumerate() {
                let d = f64::from(shown - wanted);
                sum += d * d;
                if let Some(gradient) = gradient.as_deref_mut() {
                    gradient[pixel] = (self.slope * 2.0 * d / map.len() as f64) as f32;
                }
            }
            self.value * sum / map.len() as f64
        }
    }

    /// Squared differences between neighbouring landmarks' maps: not a sum of losses of single maps.
    struct Neighbours {
        careless: bool,
    }

    impl CustomLoss for Neighbours {
        fn version(&self) -> u32 {
            1
        }
        fn of_image(&self, maps: &[f32], targets: &[Option<Profiles>], mut gradient: Option<&mut [f32]>) -> f64 {
            let area = maps.len() / targets.len();
            let present: Vec<usize> = (0..targets.len()).filter(|k| self.careless || targets[*k].is_some()).collect();
            let mut sum = 0.0;
            for pair in present.windows(2) {
                for i in 0..area {
                    let (a, b) = (pair[0] * area + i, pair[1] * area + i);
                    let d = maps[a] - maps[b];
                    sum += f64::from(d * d);
                    if let Some(gradient) = gradient.as_deref_mut() {
                        gradient[a] += 2.0 * d;
                        gradient[b] -= 2.0 * d;
                    }
                }
            }
            sum
        }
    }

    fn spec(kind: &str, options: &str) -> LossSpec {
        toml::from_str(&format!("name = 'custom'\nkind = '{kind}'\noptions = {{ {options} }}")).unwrap()
    }

    #[test]
    fn one_that_is_there_already_is_the_same() {
        add_loss::<Squares>("squares of a test").unwrap();
        let own = spec("squares of a test", "value = 1, slope = 1");
        own.check().unwrap();
        let mse = LossSpec::Mse {};
        for dtype in [DType::F32, DType::F64] {
            let heads = [tensor(maps(None, 0.0)), tensor(maps(Some(5), 3.0))].map(|head| head.to_dtype(dtype).unwrap());
            let of = |loss: &LossSpec| -> (f64, Vec<Vec<f64>>) {
                let mut criterion = Criterion::new(loss.clone());
                let (value, gradients) = criterion.with_gradients(&heads, &profiles()).unwrap();
                let wide = |g: &Tensor| g.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
                (value, gradients.iter().map(wide).collect())
            };
            let ((own, own_gradients), (built_in, gradients)) = (of(&own), of(&mse));
            assert!((own - built_in).abs() < 1e-6 * built_in, "{own} {built_in}");
            for (own, built_in) in own_gradients.iter().flatten().zip(gradients.iter().flatten()) {
                assert!((own - built_in).abs() < 1e-7, "{own} {built_in}");
            }
        }
        let planes: Vec<f32> = maps(None, 0.0)[..24].iter().map(|v| *v as f32).collect();
        for targets in profiles() {
            assert!((own.of_image(&planes, &targets) - mse.of_image(&planes, &targets)).abs() < 1e-6);
            assert!((own.of_zeros(&targets) - mse.of_zeros(&targets)).abs() < 1e-6);
        }
        let mut stamped = own.clone();
        stamped.resolve_version().unwrap();
        assert!(toml::to_string(&stamped).unwrap().contains("version = \"3\""));
    }

    #[test]
    fn one_that_this_program_has_not_got_is_an_error_and_no_number() {
        let loss = spec("of nobody", "");
        assert!(loss.check().unwrap_err().message.contains("of nobody"));
        assert!(loss.of_image(&[0.0; 24], &profiles()[1]).is_nan());
        assert!(Criterion::new(loss).with_gradients(&[tensor(maps(None, 0.0))], &profiles()).is_err());
    }

    #[test]
    fn wrong_gradients_are_found() {
        check_gradient(&Squares { value: 1.0, slope: 1.0 }).unwrap();
        check_gradient(&Neighbours { careless: false }).unwrap();
        let message = |loss: &Squares| check_gradient(loss).unwrap_err().message;
        assert!(message(&Squares { value: 1.0, slope: 1.05 }).contains("central differences"));
        assert!(message(&Squares { value: f64::NAN, slope: 1.0 }).contains("not a finite number"));
        let careless = check_gradient(&Neighbours { careless: true }).unwrap_err();
        assert!(careless.message.contains("missing"), "{careless}");
    }
}
