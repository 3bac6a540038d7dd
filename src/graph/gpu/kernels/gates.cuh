// Smooth activations, means of a channel's pixels, and products with gates, forward and backward. Each kernel works on `span`
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
    // 0: sigmoid, 1: SiLU.
    int function;
    int accumulate;
};
FIELDS(Smooth, from, to, gradient, from_channel, to_channel, span, used, height, width, function, accumulate)

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

DEVICE float smooth_value(int function, float x) {
    const float s = sigmoid(x);
    return function ? x * s : s;
}

// (x·s)' = s + x·s', and s' = s·(1 − s).
DEVICE float smooth_derivative(int function, float x) {
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
