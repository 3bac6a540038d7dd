//! Batch normalisation and the activation after it, in one pass over the map.

use candle_core::{Device, Tensor, WithDType};
use rayon::prelude::*;

use super::{Dims, Values, sum};
use crate::engine::reference::ops::{EPSILON, Normalisation};
use crate::error::Result;
use crate::graph::Activation;

/// What one channel's values are multiplied by and shifted by, before the activation.
#[derive(Clone, Copy)]
struct Line<T> {
    scale: T,
    shift: T,
}

impl<T: WithDType> Line<T> {
    fn at(self, value: T) -> T {
        value * self.scale + self.shift
    }
}

/// Slope below zero; a plain ReLU has 0.
fn negative_slope<T: WithDType>(activation: Activation) -> T {
    T::from_f64(match activation {
        Activation::Identity => 1.0,
        Activation::Relu => 0.0,
        Activation::LeakyRelu { slope } => slope,
    })
}

/// The activation's value; written so that "not a number" stays one, and 0 · ∞ does not make one.
fn activate<T: WithDType>(value: T, slope: T) -> T {
    if value <= T::zero() { if slope == T::zero() { T::zero() } else { value * slope } } else { value }
}

/// The activation's derivative.
fn derivative<T: WithDType>(value: T, slope: T) -> T {
    if value > T::zero() { T::one() } else { slope }
}

/// Mean and (biased) variance of every channel over images and pixels, each `[C]`.
pub(crate) fn statistics<T: WithDType>(map: &Tensor) -> Result<(Tensor, Tensor)> {
    let dims = Dims::of(map)?;
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
            // What the centre lost by rounding is taken off again.
            let variance = planes().map(squares).sum::<f64>() / count - (mean - centre.to_f64()).powi(2);
            (T::from_f64(mean), T::from_f64(variance.max(0.0)))
        })
        .unzip();
    Ok((Tensor::from_vec(mean, dims.channels, &Device::Cpu)?, Tensor::from_vec(variance, dims.channels, &Device::Cpu)?))
}

/// Each channel's line, from the normalisation, or `y = x` without one.
fn lines<T: WithDType>(channels: usize, norm: Option<&Normalisation>) -> Result<Vec<Line<T>>> {
    let Some(norm) = norm else {
        return Ok(vec![Line { scale: T::one(), shift: T::zero() }; channels]);
    };
    let values = |tensor| Ok::<_, crate::error::Error>(Values::<T>::of(tensor)?.to_vec());
    let (mean, variance) = (values(&norm.mean)?, values(&norm.variance)?);
    let (scale, shift) = (values(&norm.scale)?, values(&norm.shift)?);
    Ok((0..channels)
        .map(|c| {
            let factor = scale[c].to_f64() / (variance[c].to_f64() + EPSILON).sqrt();
            Line { scale: T::from_f64(factor), shift: T::from_f64(shift[c].to_f64() - mean[c].to_f64() * factor) }
        })
        .collect())
}

/// `activation(normalise(map))`, of the map's shape.
pub(crate) fn forward<T: WithDType>(
    map: &Tensor,
    norm: Option<&Normalisation>,
    activation: Activation,
) -> Result<Tensor> {
    let dims = Dims::of(map)?;
    let (lines, slope) = (lines::<T>(dims.channels, norm)?, negative_slope::<T>(activation));
    let values = Values::<T>::of(map)?;
    let values: &[T] = &values;
    let mut out = vec![T::zero(); dims.len()];
    let planes = out.par_chunks_mut(dims.area()).zip(values.par_chunks(dims.area())).enumerate();
    planes.for_each(|(plane, (out, values))| {
        let line = lines[plane % dims.channels];
        for (out, value) in out.iter_mut().zip(values) {
            *out = activate(line.at(*value), slope);
        }
    });
    dims.tensor(out)
}

/// Gradients to the map and, with a normalisation by the map's own statistics, to its scale and shift, from the
/// gradient to the result.
pub(crate) fn backward<T: WithDType>(
    map: &Tensor,
    gradient: &Tensor,
    norm: Option<&Normalisation>,
    activation: Activation,
) -> Result<(Tensor, Option<[Tensor; 2]>)> {
    let dims = Dims::of(map)?;
    let (area, channels) = (dims.area(), dims.channels);
    let (lines, slope) = (lines::<T>(channels, norm)?, negative_slope::<T>(activation));
    let (values, gradient) = (Values::<T>::of(map)?, Values::<T>::of(gradient)?);
    let (values, gradient): (&[T], &[T]) = (&values, &gradient);

    // With x̂ = (x − mean)/σ and g the gradient behind the activation: to the shift Σg, to the scale Σg·x̂, and to
    // the map scale/σ · (g − Σg/n − x̂·Σ(g·x̂)/n), which is a·g + b·(x − mean) + c per channel.
    let mut coefficients = vec![[T::one(), T::zero(), T::zero(), T::zero()]; channels];
    let mut parameters = None;
    if let Some(norm) = norm {
        let (mean, variance) = (Values::<T>::of(&norm.mean)?, Values::<T>::of(&norm.variance)?);
        let (mean, variance): (&[T], &[T]) = (&mean, &variance);
        let sums: Vec<[f64; 2]> = (0..channels)
            .into_par_iter()
            .map(|channel| {
                let (line, mean) = (lines[channel], mean[channel]);
                let mut sums = [0.0; 2];
                for image in 0..dims.batch {
                    let at = (image * channels + channel) * area;
                    let (x, g) = (&values[at..at + area], &gradient[at..at + area]);
                    let behind = |i: usize| g[i] * derivative(line.at(x[i]), slope);
                    sums[0] += sum(area, behind);
                    sums[1] += sum(area, |i| behind(i) * (x[i] - mean));
                }
                sums
            })
            .collect();
        let count = (dims.batch * area) as f64;
        let (mut to_scale, mut to_shift) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
        for (channel, [shift, product]) in sums.into_iter().enumerate() {
            let inverse = 1.0 / (variance[channel].to_f64() + EPSILON).sqrt();
            let (factor, scale) = (lines[channel].scale.to_f64(), product * inverse);
            let per_value = -factor * inverse * scale / count;
            let constant = -factor * shift / count;
            coefficients[channel] = [factor, per_value, mean[channel].to_f64(), constant].map(T::from_f64);
            to_scale.push(T::from_f64(scale));
            to_shift.push(T::from_f64(shift));
        }
        let vector = |values| Tensor::from_vec(values, channels, &Device::Cpu);
        parameters = Some([vector(to_scale)?, vector(to_shift)?]);
    }

    let mut out = vec![T::zero(); dims.len()];
    let planes = out.par_chunks_mut(area).zip(values.par_chunks(area).zip(gradient.par_chunks(area))).enumerate();
    planes.for_each(|(plane, (out, (values, gradient)))| {
        let (line, [a, b, mean, c]) = (lines[plane % channels], coefficients[plane % channels]);
        for ((out, x), g) in out.iter_mut().zip(values).zip(gradient) {
            *out = a * (*g * derivative(line.at(*x), slope)) + b * (*x - mean) + c;
        }
    });
    Ok((dims.tensor(out)?, parameters))
}
