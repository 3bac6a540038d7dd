// Smooth activations, means of a channel's pixels, products with gates, and layer normalisation, forward and backward. Each kernel works on `span`
// neighbouring channels, padding included; where several maps make one, there are several launches.
#pragma once
#include "depthwise.cuh"
#include "rows.cuh"

struct Smooth {
    Source from;
    // The result, or, backward, the gradient to it.
    Map to;
    // Backward: gradient to the map.
    Map gradient;
    // First channel in `from` and `gradient`, and in `to`; channels, and those of them that are not padding.
    int from_channel, to_channel, span, used;
    int height, width;
    // 0: sigmoid, 1: SiLU, 2: GELU; 3: none, for a copy of what readers see.
    int function;
    int accumulate;
};
FIELDS(Smooth, from, to, gradient, from_channel, to_channel, span, used, height, width, function, accumulate)

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The normal distribution function.
DEVICE float normal_distribution(float x) { return 0.5f * erfcf(x * -0.70710678f); }

DEVICE float smooth_value(int function, float x) {
    if (function == 3) return x;
    if (function == 2) return x * normal_distribution(x);
    const float s = sigmoid(x);
    return function ? x * s : s;
}

// (x·s)' = s + x·s', and s' = s·(1 − s); (x·Φ)' = Φ + x·φ with the normal density φ.
DEVICE float smooth_derivative(int function, float x) {
    if (function == 2) return fmaf(x, 0.39894228f * expf(-0.5f * x * x), normal_distribution(x));
    const float s = sigmoid(x), slope = s - s * s;
    return function ? fmaf(x, slope, s) : slope;
}

template <bool NARROW>
DEVICE void smooth_row(const Smooth &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.span);
    const int channel = p.from_channel + w.channel;
    const Applied a = applied(p.from.activation, w.image, channel);
    const V from = V::of(p.from.map, w.row, p.width, channel), to = V::of(p.to, w.row, p.width, p.to_channel + w.channel);
    for (int x = w.first; x < p.width; x += w.step) {
        Eight e = apply<true>(a, V::load(from, x));
        // The padding stays zero, though the sigmoid of zero is a half.
        UNROLL for (int k = 0; k < 8; k++) e.v[k] = w.channel + k < p.used ? smooth_value(p.function, e.v[k]) : 0.0f;
        V::store(to, x, e);
    }
}

template <bool NARROW>
DEVICE void smooth_gradient_row(const Smooth &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.span);
    const int channel = p.from_channel + w.channel;
    const Applied a = applied(p.from.activation, w.image, channel);
    const V from = V::of(p.from.map, w.row, p.width, channel), to = V::of(p.to, w.row, p.width, p.to_channel + w.channel);
    const V gradient = V::of(p.gradient, w.row, p.width, channel);
    for (int x = w.first; x < p.width; x += w.step) {
        const Eight e = apply<true>(a, V::load(from, x));
        Eight g = V::load(to, x);
        UNROLL for (int k = 0; k < 8; k++) g.v[k] *= smooth_derivative(p.function, e.v[k]);
        V::store_or_add(gradient, x, g, p.accumulate);
    }
}

KERNEL(WALKERS, smooth, Smooth) { FOR_MAPS(!p.from.map.wide && !p.to.wide, smooth_row, p); }
KERNEL(WALKERS, smooth_gradient, Smooth) {
    FOR_MAPS(!p.from.map.wide && !p.to.wide && !p.gradient.wide, smooth_gradient_row, p);
}

struct Gated {
    // The map; without data, products are the gate's own values.
    Source from;
    // [B, 1, 1, C], or, by pixel, [B, H, W, 1].
    Source gate;
    Map to;
    int from_channel, gate_channel, to_channel, span;
    int height, width;
    int by_pixel, accumulate;
    // Factor of every product.
    float factor;
    int unused;
};
FIELDS(Gated, from, gate, to, from_channel, gate_channel, to_channel, span, height, width, by_pixel, accumulate, factor, unused)

template <bool NARROW>
DEVICE void gate_row(const Gated &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.span);
    const int channel = p.from_channel + w.channel, of_gate = p.by_pixel ? 0 : p.gate_channel + w.channel;
    const bool multiplies = p.from.map.data;
    const Applied a = applied(p.from.activation, w.image, channel), g = applied(p.gate.activation, w.image, of_gate);
    const V from = V::of(p.from.map, w.row, p.width, channel), to = V::of(p.to, w.row, p.width, p.to_channel + w.channel);
    const V gate = p.by_pixel ? V::of(p.gate.map, w.row, p.width, 0) : V::of(p.gate.map, w.image, 1, of_gate);
    Eight factor = {{0, 0, 0, 0, 0, 0, 0, 0}};
    if (!p.by_pixel) factor = apply<true>(g, V::load(gate, 0));
    for (int x = w.first; x < p.width; x += w.step) {
        if (p.by_pixel) {
            const float of_pixel = apply<true>(g, V::load(gate, x)).v[0];
            UNROLL for (int k = 0; k < 8; k++) factor.v[k] = of_pixel;
        }
        Eight e = {{1, 1, 1, 1, 1, 1, 1, 1}};
        if (multiplies) e = apply<true>(a, V::load(from, x));
        UNROLL for (int k = 0; k < 8; k++) e.v[k] *= factor.v[k] * p.factor;
        V::store_or_add(to, x, e, p.accumulate);
    }
}

KERNEL(WALKERS, gate, Gated) { FOR_MAPS(!p.from.map.wide && !p.gate.map.wide && !p.to.wide, gate_row, p); }

struct Sums {
    Source from;
    // The map that it is multiplied with; without data if there is none.
    Map times;
    // [B, 1, 1, C], or, over channels, [B, H, W, 1].
    Map to;
    int from_channel, times_channel, to_channel, span;
    int height, width;
    int accumulate;
    // Factor of every sum.
    float factor;
};
FIELDS(Sums, from, times, to, from_channel, times_channel, to_channel, span, height, width, accumulate, factor)

// Blocks: groups of channels, images.
template <bool NARROW>
DEVICE void sum_of_pixels(const Sums &p) {
    typedef Vectors<NARROW> V;
    // Pixels whose sum is added to the total at once: a single long sum would round every addition at the size of the total.
    const int STEP = THREADS / ACROSS, RUN = 32 * STEP;
    const int image = blockIdx.y, offset = blockIdx.x * GROUP + threadIdx.x % ACROSS * 8, area = p.height * p.width;
    const bool used = offset < p.span, multiplies = p.times.data;
    const int channel = p.from_channel + offset;
    const Applied a = applied(p.from.activation, image, used ? channel : 0);
    const V from = V::of(p.from.map, image * p.height, p.width, channel);
    const V times = V::of(p.times, image * p.height, p.width, p.times_channel + offset);
    Eight total = {{0, 0, 0, 0, 0, 0, 0, 0}};
    for (int first = threadIdx.x / ACROSS; used && first < area; first += RUN) {
        Eight sum = {{0, 0, 0, 0, 0, 0, 0, 0}};
        for (int pixel = first; pixel < least(area, first + RUN); pixel += STEP) {
            const Eight e = apply<true>(a, V::load(from, pixel));
            Eight by = {{1, 1, 1, 1, 1, 1, 1, 1}};
            if (multiplies) by = V::load(times, pixel);
            multiply_add(sum, e, by);
        }
        UNROLL for (int k = 0; k < 8; k++) total.v[k] += sum.v[k];
    }
    total = over_block(total, (float *)shared_memory());
    if (threadIdx.x >= ACROSS || !used) return;
    UNROLL for (int k = 0; k < 8; k++) total.v[k] *= p.factor;
    V::store_or_add(V::of(p.to, image, 1, p.to_channel + offset), 0, total, p.accumulate);
}

// A thread per pixel. Blocks: rows of all images, parts of a row.
template <bool NARROW>
DEVICE void sum_of_channels(const Sums &p) {
    typedef Vectors<NARROW> V;
    const int x = blockIdx.y * WALKERS + threadIdx.x, image = blockIdx.x / (u32)p.height;
    if (x >= p.width) return;
    float sum = 0.0f;
    for (int offset = 0; offset < p.span; offset += 8) {
        const int channel = p.from_channel + offset;
        const Applied a = applied(p.from.activation, image, channel);
        const Eight e = apply<true>(a, V::load(V::of(p.from.map, blockIdx.x, p.width, channel), x));
        const Eight by = V::load(V::of(p.times, blockIdx.x, p.width, p.times_channel + offset), x);
        UNROLL for (int k = 0; k < 8; k++) sum = fmaf(e.v[k], by.v[k], sum);
    }
    const Eight zero = {{0, 0, 0, 0, 0, 0, 0, 0}};
    Eight first = zero;
    first.v[0] = sum * p.factor;
    V::store_or_add(V::of(p.to, blockIdx.x, p.width, 0), x, first, p.accumulate);
    if (!p.accumulate) V::store(V::of(p.to, blockIdx.x, p.width, 8), x, zero);
}

KERNEL(THREADS, sum_pixels, Sums) { FOR_MAPS(!p.from.map.wide && !p.times.wide && !p.to.wide, sum_of_pixels, p); }
KERNEL(WALKERS, sum_channels, Sums) { FOR_MAPS(!p.from.map.wide && !p.times.wide && !p.to.wide, sum_of_channels, p); }

struct LayerNorm {
    // One map, all of whose channels make a pixel's values.
    Source from;
    // The result, or, backward, the gradient to it.
    Map to;
    // Backward: gradient to the map.
    Map gradient;
    // Channels, and those of them that are not padding.
    int span, used;
    int height, width;
    int accumulate;
    float epsilon;
};
FIELDS(LayerNorm, from, to, gradient, span, used, height, width, accumulate, epsilon)

// A pixel: its column, its image, and mean and inverse deviation of its channels.
struct Pixel {
    int x, image;
    float mean, factor;
};

// Eight channels of a map at a pixel.
template <bool NARROW>
DEVICE Eight at_pixel(const Map &map, const LayerNorm &p, const Pixel &pixel, int channel) {
    return Vectors<NARROW>::load(Vectors<NARROW>::of(map, blockIdx.x, p.width, channel), pixel.x);
}

template <bool NARROW>
DEVICE Eight value_at_pixel(const LayerNorm &p, const Pixel &pixel, int channel) {
    return apply<true>(applied(p.from.activation, pixel.image, channel), at_pixel<NARROW>(p.from.map, p, pixel, channel));
}

// This thread's pixel. Blocks: rows of all images, parts of a row.
template <bool NARROW>
DEVICE Pixel measured_pixel(const LayerNorm &p) {
    Pixel pixel = {(int)(blockIdx.y * WALKERS + threadIdx.x), (int)(blockIdx.x / (u32)p.height), 0.0f, 0.0f};
    if (pixel.x >= p.width) return pixel;
    float sum = 0.0f, squares = 0.0f;
    for (int channel = 0; channel < p.span; channel += 8) {
        const Eight e = value_at_pixel<NARROW>(p, pixel, channel);
        UNROLL for (int k = 0; k < 8; k++) sum += channel + k < p.used ? e.v[k] : 0.0f;
    }
    pixel.mean = sum / p.used;
    for (int channel = 0; channel < p.span; channel += 8) {
        const Eight e = value_at_pixel<NARROW>(p, pixel, channel);
        UNROLL for (int k = 0; k < 8; k++) {
            const float centred = channel + k < p.used ? e.v[k] - pixel.mean : 0.0f;
            squares = fmaf(centred, centred, squares);
        }
    }
    pixel.factor = 1.0f / sqrtf(squares / p.used + p.epsilon);
    return pixel;
}

// The normalised values, zero in the padding.
template <bool NARROW>
DEVICE Eight normal_at_pixel(const LayerNorm &p, const Pixel &pixel, int channel) {
    Eight e = value_at_pixel<NARROW>(p, pixel, channel);
    UNROLL for (int k = 0; k < 8; k++) e.v[k] = channel + k < p.used ? (e.v[k] - pixel.mean) * pixel.factor : 0.0f;
    return e;
}

template <bool NARROW>
DEVICE void layer_norm_pixel(const LayerNorm &p) {
    typedef Vectors<NARROW> V;
    const Pixel pixel = measured_pixel<NARROW>(p);
    if (pixel.x >= p.width) return;
    for (int channel = 0; channel < p.span; channel += 8)
        V::store(V::of(p.to, blockIdx.x, p.width, channel), pixel.x, normal_at_pixel<NARROW>(p, pixel, channel));
}

// What of the gradient is a multiple of 1 or of the normalised values cancels.
template <bool NARROW>
DEVICE void layer_norm_gradient_pixel(const LayerNorm &p) {
    typedef Vectors<NARROW> V;
    const Pixel pixel = measured_pixel<NARROW>(p);
    if (pixel.x >= p.width) return;
    float even = 0.0f, along = 0.0f;
    for (int channel = 0; channel < p.span; channel += 8) {
        const Eight g = at_pixel<NARROW>(p.to, p, pixel, channel), normal = normal_at_pixel<NARROW>(p, pixel, channel);
        UNROLL for (int k = 0; k < 8; k++) even += g.v[k], along = fmaf(g.v[k], normal.v[k], along);
    }
    even /= p.used, along /= p.used;
    for (int channel = 0; channel < p.span; channel += 8) {
        Eight g = at_pixel<NARROW>(p.to, p, pixel, channel);
        const Eight normal = normal_at_pixel<NARROW>(p, pixel, channel);
        UNROLL for (int k = 0; k < 8; k++) {
            const float rest = fmaf(-along, normal.v[k], g.v[k]) - even;
            g.v[k] = channel + k < p.used ? rest * pixel.factor : 0.0f;
        }
        V::store_or_add(V::of(p.gradient, blockIdx.x, p.width, channel), pixel.x, g, p.accumulate);
    }
}

KERNEL(WALKERS, layer_norm, LayerNorm) { FOR_MAPS(!p.from.map.wide && !p.to.wide, layer_norm_pixel, p); }
KERNEL(WALKERS, layer_norm_gradient, LayerNorm) {
    FOR_MAPS(!p.from.map.wide && !p.to.wide && !p.gradient.wide, layer_norm_gradient_pixel, p);
}
