//! Normalisation and the activation after it, in one pass over the map.

use candle_core::{Device, Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values, sum};
use crate::reference::normalisation::Normalisation;
use candle_core::Result;
use sweep_graph::{Activation, NormKind};

/// Factor and shift of a channel's values, before the activation.
#[derive(Clone, Copy)]
struct Affine<T> {
    scale: T,
    shift: T,
}

impl<T: WithDType> Affine<T> {
    fn at(self, value: T) -> T {
        value * self.scale + self.shift
    }
}

/// An activation: a factor below zero (a plain ReLU has 0) and a largest value.
#[derive(Clone, Copy)]
struct Bend<T> {
    slope: T,
    ceiling: T,
}

impl<T: WithDType> Bend<T> {
    fn new(activation: Activation) -> Self {
        Self { slope: T::from_f64(activation.slope()), ceiling: T::from_f64(activation.ceiling()) }
    }

    /// The activation's value; written so that NaN stays NaN, and 0 · ∞ does not create one.
    fn at(self, value: T) -> T {
        if value <= T::zero() {
            if self.slope == T::zero() { T::zero() } else { value * self.slope }
        } else if value >= self.ceiling {
            self.ceiling
        } else {
            value
        }
    }

    /// The activation's derivative.
    fn derivative(self, value: T) -> T {
        if value >= self.ceiling {
            T::zero()
        } else if value > T::zero() {
            T::one()
        } else {
            self.slope
        }
    }
}

/// Mean and (biased) variance of every channel over images and pixels, each `[C]`.
pub(crate) fn statistics<T: WithDType>(map: &Tensor) -> Result<(Tensor, Tensor)> {
    let dims = Dims::new(map)?;
    let values = Values::<T>::of(map)?;
    let values: &[T] = &values;
    let (area, count) = (dims.area(), (dims.batch * dims.area()) as f64);
    let (mean, variance): (Vec<T>, Vec<T>) = (0..dims.channels)
        .into_par_iter()
        .map(|channel| {
            let planes =
                || (0..dims.batch).map(move |image| &values[(image * dims.channels + channel) * area..][..area]);
            let mean = planes().map(|plane| sum(area, |i| plane[i])).sum::<f64>() / count;
            let centre = T::from_f64(mean);
            let squares = |plane: &[T]| sum(area, |i| (plane[i] - centre) * (plane[i] - centre));
            // Corrects for the rounding error of the centre.
            let variance = planes().map(squares).sum::<f64>() / count - (mean - centre.to_f64()).powi(2);
            (T::from_f64(mean), T::from_f64(variance.max(0.0)))
        })
        .unzip();
    Ok((Tensor::from_vec(mean, dims.channels, &Device::Cpu)?, Tensor::from_vec(variance, dims.channels, &Device::Cpu)?))
}

/// Factor and shift of each channel, or of each image and channel, of the normalisation; `y = x` without one.
fn affines<T: WithDType>(channels: usize, norm: Option<&Normalisation>) -> Result<Vec<Affine<T>>> {
    let Some(norm) = norm else {
        return Ok(vec![Affine { scale: T::one(), shift: T::zero() }; channels]);
    };
    let values = |tensor| Ok::<_, candle_core::Error>(Values::<T>::of(tensor)?.to_vec());
    let (mean, variance) = (values(&norm.mean)?, values(&norm.variance)?);
    let (scale, shift) = (values(&norm.scale)?, values(&norm.shift)?);
    Ok((0..mean.len())
        .map(|plane| {
            let channel = plane % channels;
            let factor = scale[channel].to_f64() / (variance[plane].to_f64() + norm.epsilon).sqrt();
            let shift = shift[channel].to_f64() - mean[plane].to_f64() * factor;
            Affine { scale: T::from_f64(factor), shift: T::from_f64(shift) }
        })
        .collect())
}

/// `activation(normalise(map))`, of the map's shape.
pub(crate) fn forward<T: WithDType>(
    map: &Tensor,
    norm: Option<&Normalisation>,
    activation: Activation,
) -> Result<Tensor> {
    let dims = Dims::new(map)?;
    let (affines, bend) = (affines::<T>(dims.channels, norm)?, Bend::<T>::new(activation));
    let values = Values::<T>::of(map)?;
    let values: &[T] = &values;
    let mut out = vec![T::zero(); dims.len()];
    let planes = out.par_chunks_mut(dims.area()).zip(values.par_chunks(dims.area())).enumerate();
    planes.for_each(|(plane, (out, values))| {
        let affine = affines[plane % affines.len()];
        for (out, value) in out.iter_mut().zip(values) {
            *out = bend.at(affine.at(*value));
        }
    });
    dims.tensor(out)
}

/// The planes (image and channel) that are normalised together, set by set.
fn together(kind: NormKind, dims: Dims) -> Vec<Vec<usize>> {
    match kind {
        NormKind::Batch => {
            (0..dims.channels).map(|c| (0..dims.batch).map(|image| image * dims.channels + c).collect()).collect()
        }
        NormKind::Group { groups } => {
            let planes: Vec<usize> = (0..dims.batch * dims.channels).collect();
            planes.chunks(dims.channels / groups).map(<[usize]>::to_vec).collect()
        }
    }
}

/// Gradients to the map and, with a normalisation by the map's own statistics, to its scale and shift, from the
/// gradient to the result.
pub(crate) fn backward<T: WithDType>(
    map: &Tensor,
    gradient: &Tensor,
    norm: Option<&Normalisation>,
    activation: Activation,
) -> Result<(Tensor, Option<[Tensor; 2]>)> {
    let dims = Dims::new(map)?;
    let (area, channels) = (dims.area(), dims.channels);
    let (affines, bend) = (affines::<T>(channels, norm)?, Bend::<T>::new(activation));
    let (values, gradient) = (Values::<T>::of(map)?, Values::<T>::of(gradient)?);
    let (values, gradient): (&[T], &[T]) = (&values, &gradient);

    // With x̂ = (x − mean)/σ, g the gradient before the activation, and s the scale: the gradient to the shift is Σg,
    // to the scale Σg·x̂, over all images; to the map (s·g − Σ(s·g)/n − x̂·Σ(s·g·x̂)/n)/σ, with sums over the values
    // normalised together. That is a·g + b·(x − mean) + c in every plane.
    let mut coefficients = vec![[T::one(), T::zero(), T::zero(), T::zero()]; dims.batch * channels];
    let mut parameters = None;
    if let Some(norm) = norm {
        let (mean, variance) = (Values::<T>::of(&norm.mean)?, Values::<T>::of(&norm.variance)?);
        let (mean, variance): (&[T], &[T]) = (&mean, &variance);
        let scale = Values::<T>::of(&norm.scale)?.to_vec();
        let sums: Vec<[f64; 2]> = (0..dims.batch * channels)
            .into_par_iter()
            .map(|plane| {
                let (affine, mean) = (affines[plane % affines.len()], mean[plane % mean.len()]);
                let (x, g) = (&values[plane * area..][..area], &gradient[plane * area..][..area]);
                let behind = |i: usize| g[i] * bend.derivative(affine.at(x[i]));
                [sum(area, behind), sum(area, |i| behind(i) * (x[i] - mean))]
            })
            .collect();
        let (mut to_scale, mut to_shift) = (vec![0.0; channels], vec![0.0; channels]);
        for planes in together(norm.kind, dims) {
            let count = (planes.len() * area) as f64;
            let inverse = 1.0 / (variance[planes[0] % variance.len()].to_f64() + norm.epsilon).sqrt();
            let mean = mean[planes[0] % mean.len()];
            let scale = |plane: usize| scale[plane % channels].to_f64();
            let [plain, product] = [0, 1].map(|i| planes.iter().map(|p| scale(*p) * sums[*p][i]).sum::<f64>());
            let constant = -inverse * plain / count;
            let per_value = -inverse.powi(3) * product / count;
            for plane in planes {
                to_shift[plane % channels] += sums[plane][0];
                to_scale[plane % channels] += sums[plane][1] * inverse;
                let factor = scale(plane) * inverse;
                coefficients[plane] = [factor, per_value, mean.to_f64(), constant].map(T::from_f64);
            }
        }
        let vector =
            |values: Vec<f64>| Tensor::from_vec(values.into_iter().map(T::from_f64).collect(), channels, &Device::Cpu);
        parameters = Some([vector(to_scale)?, vector(to_shift)?]);
    }

    let mut out = vec![T::zero(); dims.len()];
    let planes = out.par_chunks_mut(area).zip(values.par_chunks(area).zip(gradient.par_chunks(area))).enumerate();
    planes.for_each(|(plane, (out, (values, gradient)))| {
        let (affine, [a, b, mean, c]) = (affines[plane % affines.len()], coefficients[plane]);
        for ((out, x), g) in out.iter_mut().zip(values).zip(gradient) {
            *out = a * (*g * bend.derivative(affine.at(*x))) + b * (*x - mean) + c;
        }
    });
    Ok((dims.tensor(out)?, parameters))
}
