// Combines two maps value by value, forward and backward. One thread per eight channels of a pixel.
#pragma once
#include "common.cuh"

struct Combine {
    Source a;
    Source b;
    Map to;
    // 1 for a product, 0 for a sum; factor of results below zero.
    int product;
    float slope;
    // Images, and pixels of each.
    int images, area;
};
FIELDS(Combine, a, b, to, product, slope, images, area)

KERNEL(256, combine, Combine) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.to.channels / 8;
    const u64 pixel = i / vectors;
    if (pixel >= (u64)p.images * p.area) return;
    const int channel = (int)(i % vectors) * 8, image = (int)(pixel / p.area);
    Eight a = read(p.a, image, pixel, channel);
    const Eight b = read(p.b, image, pixel, channel);
    UNROLL for (int k = 0; k < 8; k++) a.v[k] = bend(p.product ? a.v[k] * b.v[k] : a.v[k] + b.v[k], p.slope);
    store(p.to, pixel, channel, a);
}

struct CombineGradient {
    // The result, without data if the slope is 1; the other map of a product, without data for a sum.
    Map result;
    Source other;
    Map gradient;
    Map to;
    float slope;
    int images, area;
    int accumulate;
};
FIELDS(CombineGradient, result, other, gradient, to, slope, images, area, accumulate)

KERNEL(256, combine_gradient, CombineGradient) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int vectors = p.to.channels / 8;
    const u64 pixel = i / vectors;
    if (pixel >= (u64)p.images * p.area) return;
    const int channel = (int)(i % vectors) * 8, image = (int)(pixel / p.area);
    Eight g = load(p.gradient, pixel, channel);
    if (p.result.data) {
        const Eight y = load(p.result, pixel, channel);
        UNROLL for (int k = 0; k < 8; k++) g.v[k] = y.v[k] > 0.0f ? g.v[k] : p.slope * g.v[k];
    }
    if (p.other.map.data) {
        const Eight other = read(p.other, image, pixel, channel);
        UNROLL for (int k = 0; k < 8; k++) g.v[k] *= other.v[k];
    }
    store_or_add(p.to, pixel, channel, g, p.accumulate);
}
