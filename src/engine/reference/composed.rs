//! Every operation composed of candle's own forward operations: slow and obvious, on any device and in any float type.
//! Gradients are written by hand, because some of candle's are wrong and one is missing.

/// Convolution, stride 1, odd kernel, zero padding that keeps the size.
pub(super) mod convolution {
    use candle_core::Tensor;

    use crate::reference::ops::Window;
    use crate::reference::sampling::thin;
    use candle_core::Result;

    /// Same result as the kernel of this name.
    pub(crate) fn forward(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: Window) -> Result<Tensor> {
        let Window { dilation, depthwise } = window;
        let groups = if depthwise { weight.dim(0)? } else { 1 };
        let out = input.conv2d(weight, weight.dim(2)? / 2 * dilation, 1, dilation, groups)?;
        Ok(match bias {
            Some(bias) => out.broadcast_add(&bias.reshape((1, (), 1, 1))?)?,
            None => out,
        })
    }

    /// The convolution of the gradient with the weight turned around, its inputs and outputs swapped.
    pub(crate) fn input_gradient(gradient: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
        forward(gradient, &weight.transpose(0, 1)?.contiguous()?.flip(&[2, 3])?, None, window)
    }

    /// The correlation of input and gradient: a convolution over the whole map, with images instead of channels, of
    /// whose pixels the taps are kept.
    pub(crate) fn weight_gradient(
        input: &Tensor,
        gradient: &Tensor,
        kernel: usize,
        Window { dilation, .. }: Window,
    ) -> Result<Tensor> {
        let input = input.transpose(0, 1)?.contiguous()?;
        let gradient = gradient.transpose(0, 1)?.contiguous()?;
        let reached = input.conv2d(&gradient, kernel / 2 * dilation, 1, 1, 1)?;
        thin(&reached, dilation)?.transpose(0, 1)?.contiguous()
    }

    /// Same result as the kernel of this name.
    pub(crate) fn bias_gradient(gradient: &Tensor) -> Result<Tensor> {
        gradient.sum((0, 2, 3))
    }
}

/// Depthwise convolution, stride 1, odd kernel, zero padding that keeps the size.
pub(super) mod depthwise {
    use candle_core::Tensor;

    use super::convolution;
    pub(crate) use super::convolution::forward;
    use crate::reference::ops::Window;
    use candle_core::Result;

    /// The convolution of the gradient with the weight turned around.
    pub(crate) fn input_gradient(gradient: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
        forward(gradient, &weight.flip(&[2, 3])?, None, window)
    }

    /// Channel by channel, like that of a convolution of one channel.
    pub(crate) fn weight_gradient(input: &Tensor, gradient: &Tensor, kernel: usize, window: Window) -> Result<Tensor> {
        let of = |channel: usize| {
            let [input, gradient] = [input, gradient].map(|map| map.narrow(1, channel, 1));
            convolution::weight_gradient(&input?, &gradient?, kernel, window)
        };
        Tensor::cat(&(0..input.dim(1)?).map(of).collect::<Result<Vec<_>>>()?, 0)
    }
}

/// Normalisation and the activation after it.
pub(super) mod normalisation {
    use candle_core::Tensor;

    use crate::reference::normalisation::{Normalisation, grouped, ungrouped};
    use candle_core::Result;
    use sweep_graph::Activation;

    /// `[C]` → `[1, C, 1, 1]`.
    fn per_channel(values: &Tensor) -> Result<Tensor> {
        values.reshape((1, (), 1, 1))
    }

    /// `[C]` or `[B·C]` → `[1, C, 1, 1]` or `[B, C, 1, 1]`, for a map `[B, C, H, W]`.
    fn per_plane(values: &Tensor, map: &Tensor) -> Result<Tensor> {
        values.reshape(((), map.dim(1)?, 1, 1))
    }

    /// Mean and (biased) variance of every channel, each `[C]`.
    pub(crate) fn statistics(map: &Tensor) -> Result<(Tensor, Tensor)> {
        let mean = map.mean((0, 2, 3))?;
        let variance = map.broadcast_sub(&per_channel(&mean)?)?.sqr()?.mean((0, 2, 3))?;
        Ok((mean, variance))
    }

    /// `(map − mean) / √(variance + ε)` and the divisor's inverse, `[1, C, 1, 1]` or `[B, C, 1, 1]`.
    fn normalised(map: &Tensor, norm: &Normalisation) -> Result<(Tensor, Tensor)> {
        let inverse = per_plane(&(&norm.variance + norm.epsilon)?.sqrt()?.recip()?, map)?;
        Ok((map.broadcast_sub(&per_plane(&norm.mean, map)?)?.broadcast_mul(&inverse)?, inverse))
    }

    /// The map in front of the activation.
    fn before_activation(map: &Tensor, norm: Option<&Normalisation>) -> Result<Tensor> {
        let Some(norm) = norm else { return Ok(map.clone()) };
        let (normalised, _) = normalised(map, norm)?;
        normalised.broadcast_mul(&per_channel(&norm.scale)?)?.broadcast_add(&per_channel(&norm.shift)?)
    }

    /// Same result as the kernel of this name.
    pub(crate) fn forward(map: &Tensor, norm: Option<&Normalisation>, activation: Activation) -> Result<Tensor> {
        let before = before_activation(map, norm)?;
        let below = match activation {
            Activation::Identity => return Ok(before),
            Activation::Relu | Activation::Relu6 => before.zeros_like()?,
            Activation::LeakyRelu { slope } => (&before * slope)?,
        };
        let bent = before.le(0.0)?.where_cond(&below, &before)?;
        let ceiling = activation.ceiling();
        if ceiling.is_finite() { bent.ge(ceiling)?.where_cond(&bent.affine(0.0, ceiling)?, &bent) } else { Ok(bent) }
    }

    /// Same result as the kernel of this name.
    pub(crate) fn backward(
        map: &Tensor,
        gradient: &Tensor,
        norm: Option<&Normalisation>,
        activation: Activation,
    ) -> Result<(Tensor, Option<[Tensor; 2]>)> {
        let before = before_activation(map, norm)?;
        let above = before.gt(0.0)?;
        let gradient = match activation {
            Activation::Identity => gradient.clone(),
            Activation::Relu | Activation::Relu6 => above.where_cond(gradient, &gradient.zeros_like()?)?,
            Activation::LeakyRelu { slope } => above.where_cond(gradient, &(gradient * slope)?)?,
        };
        let ceiling = activation.ceiling();
        let gradient = if ceiling.is_finite() {
            before.lt(ceiling)?.where_cond(&gradient, &gradient.zeros_like()?)?
        } else {
            gradient
        };
        let Some(norm) = norm else { return Ok((gradient, None)) };
        let (normalised, inverse) = normalised(map, norm)?;
        let to_scale = (&gradient * &normalised)?.sum((0, 2, 3))?;
        let to_shift = gradient.sum((0, 2, 3))?;
        // With g the gradient to the normalised map and x the normalised map: (g − mean g − x · mean g·x) / σ.
        let gradient = gradient.broadcast_mul(&per_channel(&norm.scale)?)?;
        let mean = |values: &Tensor| {
            let means = grouped(values, norm.kind)?.mean((0, 2, 3))?;
            per_plane(&ungrouped(&means, map.dim(1)?, norm.kind)?, map)
        };
        let pull = normalised.broadcast_mul(&mean(&(&gradient * &normalised)?)?)?;
        let to_map = (gradient.broadcast_sub(&mean(&gradient)?)? - pull)?.broadcast_mul(&inverse)?;
        Ok((to_map, Some([to_scale, to_shift])))
    }
}

/// Maximum of windows two pixels apart.
pub(super) mod pooling {
    use candle_core::Tensor;

    use crate::reference::sampling::thin_backward;
    use candle_core::Result;

    /// `len` pixels of an axis, two apart, from `first` on; pixels outside are −∞.
    fn pixels_along(map: &Tensor, axis: usize, first: usize, len: usize, padding: usize) -> Result<Tensor> {
        let beyond = |count: usize| -> Result<Tensor> {
            let mut dims = map.dims().to_vec();
            dims[axis] = count;
            Tensor::full(f32::NEG_INFINITY, dims, map.device())?.to_dtype(map.dtype())
        };
        let padded = Tensor::cat(&[&beyond(padding.max(1))?, map, &beyond(2)?], axis)?;
        let start = padding.max(1) - padding + first;
        let indices: Vec<u32> = (0..len).map(|i| (start + 2 * i) as u32).collect();
        padded.index_select(&Tensor::new(indices, map.device())?, axis)
    }

    /// Every pixel of the windows in row order, each of the pooled map's shape.
    fn window_pixels(map: &Tensor, side: usize) -> Result<Vec<Tensor>> {
        let (_, _, height, width) = map.dims4()?;
        let (rows, columns, padding) = ((height + side - 2) / 2, (width + side - 2) / 2, side - 2);
        let each = (0..side * side).map(|i| {
            let row = pixels_along(map, 2, i / side, rows, padding)?;
            pixels_along(&row, 3, i % side, columns, padding)?.contiguous()
        });
        each.collect()
    }

    fn maximum(pixels: &[Tensor]) -> Result<Tensor> {
        pixels[1..].iter().try_fold(pixels[0].clone(), |maximum, pixel| maximum.maximum(pixel))
    }

    /// Same result as the kernel of this name.
    pub(crate) fn forward(map: &Tensor, side: usize) -> Result<Tensor> {
        maximum(&window_pixels(map, side)?)
    }

    /// Same result as the kernel of this name.
    pub(crate) fn backward(map: &Tensor, gradient: &Tensor, side: usize) -> Result<Tensor> {
        let pixels = window_pixels(map, side)?;
        let maximum = maximum(&pixels)?;
        let (_, _, height, width) = map.dims4()?;
        let (_, _, rows, columns) = gradient.dims4()?;
        // The rest of a window's gradient once its first maximum has taken its part.
        let mut left = gradient.clone();
        let zero = gradient.zeros_like()?;
        let mut sum = map.zeros_like()?;
        for (i, pixel) in pixels.iter().enumerate() {
            let hit = pixel.eq(&maximum)?;
            let share = hit.where_cond(&left, &zero)?;
            left = hit.where_cond(&zero, &left)?;
            // Back to every second pixel, shifted to this position of the window, and cut to the map.
            let spread = thin_backward(&share, [2 * rows, 2 * columns], 2)?;
            let moved = spread.pad_with_zeros(2, i / side, 2)?.pad_with_zeros(3, i % side, 2)?;
            sum = (sum + moved.narrow(2, side - 2, height)?.narrow(3, side - 2, width)?)?;
        }
        Ok(sum)
    }
}

/// Resamples a map by products with a matrix on each side.
pub(super) mod upsampling {
    use candle_core::Tensor;

    use crate::reference::sampling::Tap;
    use candle_core::Result;

    /// The matrix `[to, from]` that resamples one axis, of `like`'s type and device.
    fn matrix(taps: &[Tap], from: usize, like: &Tensor) -> Result<Tensor> {
        let mut values = vec![0.0; taps.len() * from];
        for (target, tap) in taps.iter().enumerate() {
            for (source, weight) in tap {
                values[target * from + source] += weight;
            }
        }
        let matrix = Tensor::from_vec(values, (taps.len(), from), &candle_core::Device::Cpu)?;
        matrix.to_dtype(like.dtype())?.to_device(like.device())
    }

    /// Same result as the kernel of this name.
    pub(crate) fn forward(map: &Tensor, [rows, columns]: &[Vec<Tap>; 2]) -> Result<Tensor> {
        let (_, _, height, width) = map.dims4()?;
        let [rows, columns] = [matrix(rows, height, map)?, matrix(columns, width, map)?];
        rows.broadcast_matmul(map)?.broadcast_matmul(&columns.t()?)
    }

    /// Same result as the kernel of this name.
    pub(crate) fn backward(
        gradient: &Tensor,
        [height, width]: [usize; 2],
        [rows, columns]: &[Vec<Tap>; 2],
    ) -> Result<Tensor> {
        let [rows, columns] = [matrix(rows, height, gradient)?, matrix(columns, width, gradient)?];
        rows.t()?.broadcast_matmul(gradient)?.broadcast_matmul(&columns)
    }
}
