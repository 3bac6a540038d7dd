//! Compares candle's gradients of a module with central differences, before it is trained.
//!
//! The parameters are moved a little from where they start, because layers that start at zero hide what lies before them, and
//! the images are noise, because plains of one value lie on the kinks of a network. Along a few random directions per
//! parameter, the derivative of a random projection of the maps is compared with the difference of two runs. A step across a
//! kink, such as that of ReLU, makes the difference wrong, but less so the shorter the step is; so a derivative counts as
//! right if one of three steps says so. A wrong operation is wrong at every step.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::Rng as _;

use super::module::Module;
use super::pass::{Draws, Pass};
use super::suspects::{self, Mismatch, Recording};
use sweep_core::error::{Error, Kind};
use sweep_core::seed::{self, Stream};
use sweep_core::units::Size;
use sweep_graph::params::ParamStore;
use sweep_graph::tensors::TensorOperation as _;

/// Directions per parameter.
const DIRECTIONS: u64 = 2;
/// Images of a run; two, so that batches are normalised.
const IMAGES: usize = 2;
/// Side of the images: each of six halvings has the same remainder in both directions.
const SIDE: usize = 64;
/// Least scale of a parameter, for those that start at zero.
const LEAST_SCALE: f64 = 0.01;
/// Share of a parameter's scale by which it is moved from its start.
const MOVED: f64 = 0.1;

/// A number type, with the steps of the differences as shares of a parameter's scale, and the relative error that is allowed.
/// In f64, rounding and the six digits of candle's constants in the derivative of GELU stay below 1e-5; in f32 rounding alone
/// reaches some hundredths. The mistakes looked for are of the size of the gradient.
struct Arithmetic {
    dtype: DType,
    epsilon: f64,
    steps: [f64; 3],
    tolerance: f64,
}

const DOUBLE: Arithmetic =
    Arithmetic { dtype: DType::F64, epsilon: f64::EPSILON, steps: [1e-5, 1e-6, 1e-7], tolerance: 1e-4 };
const SINGLE: Arithmetic =
    Arithmetic { dtype: DType::F32, epsilon: f32::EPSILON as f64, steps: [3e-2, 1e-2, 3e-3], tolerance: 5e-2 };

/// Checks a module's gradients at these parameters, for images of this size; the seed determines the directions.
///
/// # Errors
/// When a gradient is wrong, with the parameters and the likely operation; when candle cannot differentiate the module; or
/// when two runs differ, because random numbers are drawn that no seed determines.
pub fn check_gradients(
    module: &Module,
    parameters: &ParamStore,
    size: Size,
    seed: u64,
) -> sweep_core::error::Result<()> {
    let values = values(module, parameters, seed)?;
    let square = Size { height: SIDE, width: SIDE };
    // A module may not run in double precision, or not on small images.
    let attempts = [(&DOUBLE, square), (&DOUBLE, size), (&SINGLE, square), (&SINGLE, size)];
    let runs = |(arithmetic, size)| {
        let point = Point::new(module, values.clone(), arithmetic, size, seed);
        point.projection(&point.values).map(|first| (point, first))
    };
    let mut last = Ok(());
    for attempt in attempts {
        match runs(attempt) {
            Ok((point, first)) => return point.check(first),
            Err(error) => last = Err(module.failed(&error)),
        }
    }
    last
}

/// Values of every parameter, moved from where they start.
fn values(module: &Module, parameters: &ParamStore, seed: u64) -> sweep_core::error::Result<Vec<Vec<f64>>> {
    let of = |(index, spec): (usize, &sweep_graph::ParameterSpec)| {
        let view = parameters.view(&spec.name)?.to_device(&Device::Cpu).computed()?;
        let mut values: Vec<f64> =
            view.to_dtype(DType::F64).computed()?.flatten_all().computed()?.to_vec1().computed()?;
        if spec.role.is_trained() {
            let mut rng = seed::derive(seed, Stream::GradientCheck, 0, index as u64);
            let by = MOVED * scale(&values).max(LEAST_SCALE);
            for value in &mut values {
                *value += by * rng.random_range(-1.0..1.0);
            }
        }
        Ok(values)
    };
    module.parameters().iter().enumerate().map(of).collect()
}

/// Root of the mean square.
fn scale(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// What the comparison of a parameter's gradient says.
enum Comparison {
    /// The gradient is right.
    Right,
    /// The maps do not depend on the parameter, as on a bias before a normalisation, so there is nothing to be wrong.
    Zero,
    /// It is not, as the derivative along a direction shows.
    Wrong {
        /// By candle, if it has one.
        gradient: Option<f64>,
        /// By differences.
        difference: f64,
    },
}

/// A module at some parameters, run on two images of noise, with a random projection of its maps.
struct Point<'a> {
    module: &'a Module,
    values: Vec<Vec<f64>>,
    arithmetic: &'a Arithmetic,
    size: Size,
    images: Vec<f64>,
    /// One for each value of the maps.
    weights: Vec<f64>,
    seed: u64,
}

impl<'a> Point<'a> {
    fn new(module: &'a Module, values: Vec<Vec<f64>>, arithmetic: &'a Arithmetic, size: Size, seed: u64) -> Self {
        let mut rng = seed::derive(seed, Stream::GradientCheck, 1, 0);
        let mut noise = |channels: usize, low: f64| -> Vec<f64> {
            (0..IMAGES * channels * size.area()).map(|_| rng.random_range(low..1.0)).collect()
        };
        let images = noise(module.channels(), 0.0);
        let weights = noise(module.landmarks(), -1.0);
        Self { module, values, arithmetic, size, images, weights, seed }
    }

    fn images(&self) -> Result<Tensor> {
        let shape = (IMAGES, self.module.channels(), self.size.height, self.size.width);
        Tensor::from_slice(&self.images, shape, &Device::Cpu)?.to_dtype(self.arithmetic.dtype)
    }

    fn pass(&self) -> Pass {
        Pass::training(&Draws { seed: self.seed, epoch: 0, images: (0..IMAGES).collect() })
    }

    /// Tensors of these values, by name.
    fn tensors(&self, values: &[Vec<f64>]) -> Result<BTreeMap<String, Tensor>> {
        let of = |(spec, values): (&sweep_graph::ParameterSpec, &Vec<f64>)| {
            let tensor = Tensor::from_slice(values, spec.shape.as_slice(), &Device::Cpu)?;
            Ok((spec.name.clone(), tensor.to_dtype(self.arithmetic.dtype)?))
        };
        self.module.parameters().iter().zip(values).map(of).collect()
    }

    /// The projection of the maps at these values, and the length of the vector whose sum it is.
    fn projection(&self, values: &[Vec<f64>]) -> Result<[f64; 2]> {
        let maps = self.module.run(self.tensors(values)?, &self.images()?, &self.pass())?;
        let maps: Vec<f64> = maps.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let products = || maps.iter().zip(&self.weights).map(|(map, weight)| map * weight);
        Ok([products().sum(), products().map(|product| product * product).sum::<f64>().sqrt()])
    }

    /// The gradient of the projection by every trained parameter, `None` where candle has none, and what candle recorded.
    fn gradient(&self) -> Result<(Vec<Option<Vec<f64>>>, Recording)> {
        let mut variables = Vec::new();
        let mut tensors = self.tensors(&self.values)?;
        for spec in self.module.parameters().iter().filter(|spec| spec.role.is_trained()) {
            if let Some(tensor) = tensors.get_mut(&spec.name) {
                let variable = Var::from_tensor(tensor)?;
                *tensor = variable.as_tensor().clone();
                variables.push((spec.name.clone(), variable));
            }
        }
        let (images, pass) = (self.images()?, self.pass());
        let (maps, ours) = sweep_engine::candle_ops::results_of(|| self.module.run(tensors, &images, &pass));
        let maps = maps?;
        let weights = Tensor::from_slice(&self.weights, maps.shape(), &Device::Cpu)?.to_dtype(maps.dtype())?;
        let gradients = (&maps * weights)?.sum_all()?.backward()?;
        let of = |(_, variable): &(String, Var)| {
            let gradient =
                gradients.get(variable).map(|gradient| gradient.to_dtype(DType::F64)?.flatten_all()?.to_vec1());
            gradient.transpose()
        };
        let found = variables.iter().map(of).collect::<Result<_>>()?;
        Ok((found, Recording { maps, ours, variables }))
    }

    fn check(&self, [first, _]: [f64; 2]) -> sweep_core::error::Result<()> {
        let failed = |error: candle_core::Error| self.module.failed(&error);
        let [again, length] = self.projection(&self.values).map_err(failed)?;
        if first.to_bits() != again.to_bits() {
            let what = format!("two runs of the candle network `{}` on the same images differ", self.module.kind());
            return Err(Error::new(Kind::Computation, what).remedy(
                "draw no random numbers by candle, whose generator has no seed on the processor: use Pass::dropout in the \
                 place of candle_nn::Dropout, and take initial values from the VarBuilder",
            ));
        }
        let (gradients, recording) = self.gradient().map_err(failed)?;
        let trained = self.module.parameters().iter().enumerate().filter(|(_, spec)| spec.role.is_trained());
        let (mut wrong, mut right) = (Vec::new(), BTreeSet::new());
        for ((index, spec), gradient) in trained.zip(&gradients) {
            match self.compare(index, gradient.as_deref(), length).map_err(failed)? {
                Comparison::Wrong { gradient, difference } => {
                    wrong.push(Mismatch { parameter: spec.name.clone(), gradient, difference });
                }
                Comparison::Right => {
                    right.insert(spec.name.as_str());
                }
                Comparison::Zero => {}
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(suspects::error(self.module.kind(), &wrong, &right, &recording))
    }

    /// Compares a parameter's gradient with differences.
    fn compare(&self, index: usize, gradient: Option<&[f64]>, length: f64) -> Result<Comparison> {
        let Arithmetic { epsilon, steps, tolerance, .. } = self.arithmetic;
        let scale = scale(&self.values[index]).max(LEAST_SCALE);
        // Of random signs, the derivative along a direction is about the length of the gradient.
        let norm = scale * gradient.map_or(0.0, |gradient| gradient.iter().map(|g| g * g).sum::<f64>().sqrt());
        let mut is_zero = true;
        for direction in 0..DIRECTIONS {
            let mut rng = seed::derive(self.seed, Stream::GradientCheck, 2 + direction, index as u64);
            let signs: Vec<f64> =
                self.values[index].iter().map(|_| if rng.random::<bool>() { scale } else { -scale }).collect();
            let along = |gradient: &[f64]| gradient.iter().zip(&signs).map(|(g, sign)| g * sign).sum::<f64>();
            let derivative = gradient.map_or(0.0, along);
            let mut values = self.values.clone();
            let mut moved = |by: f64| -> Result<f64> {
                let places = values[index].iter_mut().zip(&self.values[index]).zip(&signs);
                places.for_each(|((moved, value), sign)| *moved = value + by * sign);
                Ok(self.projection(&values)?[0])
            };
            let mut last = 0.0;
            let mut is_right = false;
            for step in steps {
                last = (moved(*step)? - moved(-step)?) / (2.0 * step);
                let rounding = 32.0 * epsilon * length / step;
                let allowed = tolerance * (norm + derivative.abs() + last.abs()) + rounding;
                // Not a number is never right.
                if (derivative - last).abs() <= allowed {
                    is_right = true;
                    is_zero &= last.abs() <= rounding;
                    break;
                }
            }
            if !is_right {
                return Ok(Comparison::Wrong { gradient: gradient.map(|_| derivative), difference: last });
            }
        }
        Ok(if is_zero { Comparison::Zero } else { Comparison::Right })
    }
}
