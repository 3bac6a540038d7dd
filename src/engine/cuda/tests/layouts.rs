//! Compares the layouts of parameters with those that the kernels have.

use super::super::gates::parameters::{Gated, LayerNorm, Smooth, Sums};
use super::super::parameters::{
    Activation as KernelActivation, Combine, CombineGradient, Convolution, ConvolutionSource, Depthwise,
    DepthwiseGradient, Exchange, GradientSums, Map, Moments, Norm, NormGradient, Packing, Packings, Pool, Reader,
    Source, Tap, Upsample, WeightBlocks, WeightGradient, WeightSum, WriteTarget,
};
use sweep_emulator::{Emulator, assert_layout};

#[test]
#[expect(clippy::too_many_lines, reason = "a line per kernel structure")]
fn parameters_are_laid_out_as_the_kernels_have_them() {
    let Some(emulator) = Emulator::new(false) else { return };
    assert_layout!(
        emulator,
        "convolve_fp32_16_3",
        Convolution {
            sources,
            targets,
            weights,
            shift,
            partials,
            images,
            in_height,
            in_width,
            height,
            width,
            kernel,
            stride,
            dilation,
            padding,
            input_dilation,
            sources_in_use,
            chunks,
            tap_rows,
            slope,
            ceiling,
            tiles
        }
    );
    assert_layout!(
        emulator,
        "depthwise_3_1",
        Depthwise {
            source,
            to,
            weights,
            scale,
            shift,
            partials,
            images,
            in_height,
            in_width,
            height,
            width,
            kernel,
            stride,
            dilation,
            padding,
            input_dilation,
            turned,
            outputs,
            accumulate,
            slope,
            ceiling,
            span
        }
    );
    assert_layout!(
        emulator,
        "depthwise_gradient_3_1",
        DepthwiseGradient {
            source,
            gradient,
            partials,
            images,
            in_height,
            in_width,
            height,
            width,
            kernel,
            stride,
            dilation,
            padding,
            outputs,
            shares,
            span
        }
    );
    assert_layout!(
        emulator,
        "weight_gradient_bf16_1_3",
        WeightGradient {
            sources,
            gradient,
            partials,
            images,
            in_height,
            in_width,
            height,
            width,
            kernel,
            stride,
            dilation,
            padding,
            at_once,
            outputs,
            sources_in_use,
            shares,
            step_images,
            step_down,
            step_across
        }
    );
    assert_layout!(emulator, "sum_weights", WeightSum { partials, to, shares, weights });
    assert_layout!(
        emulator,
        "sum_weight_blocks",
        WeightBlocks { partials, to, shares, sums, outputs, inputs, taps, unused, blocks }
    );
    assert_layout!(
        emulator,
        "finish_norms",
        Norm {
            gamma,
            beta,
            bias,
            running_mean,
            running_variance,
            moments,
            scale,
            shift,
            mean,
            inverse,
            channels,
            outputs,
            rows,
            group,
            images,
            area,
            epsilon
        }
    );
    assert_layout!(emulator, "merge_moments", Moments { norm, partials, height, width, rows, unused });
    assert_layout!(
        emulator,
        "sum_gradients",
        GradientSums {
            norm,
            map,
            gradient,
            partials,
            sums,
            to_gamma,
            to_beta,
            to_bias,
            factor,
            offset,
            drift,
            chunks,
            pixels
        }
    );
    assert_layout!(
        emulator,
        "apply_gradient",
        NormGradient { map, gradient, factor, offset, drift, per_image, height, width, unused }
    );
    assert_layout!(emulator, "pool", Pool { from, to, channel, images, height, width, gradient, accumulate, side });
    assert_layout!(emulator, "combine", Combine { a, b, to, product, slope, height, width, ceiling, unused });
    assert_layout!(
        emulator,
        "combine_gradient",
        CombineGradient { result, other, gradient, to, slope, height, width, accumulate, ceiling, unused }
    );
    assert_layout!(
        emulator,
        "upsample",
        Upsample {
            from,
            to,
            channel,
            images,
            height,
            width,
            to_height,
            to_width,
            rows,
            columns,
            row_readers,
            column_readers,
            gradient,
            accumulate,
            unused
        }
    );
    assert_layout!(
        emulator,
        "planes_to_map",
        Exchange { map, planes, images, area, of_image, first, count, channel, accumulate, unused }
    );
    assert_layout!(
        emulator,
        "smooth",
        Smooth { from, to, gradient, from_channel, to_channel, span, used, height, width, function, accumulate }
    );
    assert_layout!(
        emulator,
        "layer_norm",
        LayerNorm { from, to, gradient, span, used, height, width, accumulate, epsilon }
    );
    assert_layout!(
        emulator,
        "gate",
        Gated {
            from,
            gate,
            to,
            from_channel,
            gate_channel,
            to_channel,
            span,
            height,
            width,
            by_pixel,
            accumulate,
            factor,
            unused
        }
    );
    assert_layout!(
        emulator,
        "sum_pixels",
        Sums { from, times, to, from_channel, times_channel, to_channel, span, height, width, accumulate, factor }
    );
    assert_layout!(emulator, "pack_weights", Packings { table, count, unused });
    assert_layout!(
        emulator,
        "Packing",
        Packing {
            weights,
            to,
            scale,
            group_stride,
            chunk_stride,
            taps,
            group,
            chunks,
            arithmetic,
            turned,
            rows,
            first,
            unused,
            written,
            read
        }
    );
    // Parts of parameters, and entries of tables.
    assert_layout!(emulator, "Map", Map { data, channels, wide });
    assert_layout!(emulator, "Activation", KernelActivation { scale, shift, per_image, slope, ceiling, unused });
    assert_layout!(emulator, "Source", Source { map, activation });
    assert_layout!(emulator, "ConvolutionSource", ConvolutionSource { source, chunks, unused });
    assert_layout!(emulator, "WriteTarget", WriteTarget { data, channels, flags });
    assert_layout!(emulator, "Tap", Tap { low, high, fraction });
    assert_layout!(emulator, "Reader", Reader { output, weight });
    // The limit of a launch's parameters on every GPU.
    assert!(size_of::<Convolution>().max(size_of::<WeightGradient>()) <= 4096);
}
