// Combines two maps value by value, forward and backward, row by row.
#pragma once
#include "rows.cuh"

struct Combine {
    Source a;
    Source b;
    Map to;
    // 1 for a product, 0 for a sum; factor of results below zero; the largest result.
    int product;
    float slope;
    int height, width;
    float ceiling;
    int unused;
};
FIELDS(Combine, a, b, to, product, slope, height, width, ceiling, unused)

template <bool NARROW, bool CEILING = false>
DEVICE void combine_row(const Combine &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.to.channels);
    const Applied of_a = applied(p.a.activation, w.image, w.channel), of_b = applied(p.b.activation, w.image, w.channel);
    const V from_a = V::of(p.a.map, w.row, p.width, w.channel), from_b = V::of(p.b.map, w.row, p.width, w.channel);
    const V to = V::of(p.to, w.row, p.width, w.channel);
    for (int x = w.first; x < p.width; x += w.step) {
        Eight a = apply<CEILING>(of_a, V::load(from_a, x));
        const Eight b = apply<CEILING>(of_b, V::load(from_b, x));
        UNROLL for (int k = 0; k < 8; k++) a.v[k] = bend_below<CEILING>(p.product ? a.v[k] * b.v[k] : a.v[k] + b.v[k], p.slope, p.ceiling);
        V::store(to, x, a);
    }
}

ROW_KERNELS(combine, Combine, !p.a.map.wide && !p.b.map.wide && !p.to.wide, combine_row)

struct CombineGradient {
    // The result, without data if the slope is 1; the other map of a product, without data for a sum.
    Map result;
    Source other;
    Map gradient;
    Map to;
    float slope;
    int height, width;
    int accumulate;
    float ceiling;
    int unused;
};
FIELDS(CombineGradient, result, other, gradient, to, slope, height, width, accumulate, ceiling, unused)

template <bool NARROW, bool CEILING = false>
DEVICE void combine_gradient_row(const CombineGradient &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.to.channels);
    const bool bends = p.result.data, multiplies = p.other.map.data;
    const Applied of_other = applied(p.other.activation, w.image, w.channel);
    const V result = V::of(p.result, w.row, p.width, w.channel), other = V::of(p.other.map, w.row, p.width, w.channel);
    const V gradient = V::of(p.gradient, w.row, p.width, w.channel), to = V::of(p.to, w.row, p.width, w.channel);
    for (int x = w.first; x < p.width; x += w.step) {
        Eight g = V::load(gradient, x);
        if (bends) {
            const Eight y = V::load(result, x);
            UNROLL for (int k = 0; k < 8; k++) g.v[k] = bend_gradient<CEILING>(y.v[k], g.v[k], p.slope, p.ceiling);
        }
        if (multiplies) {
            const Eight factor = apply<CEILING>(of_other, V::load(other, x));
            UNROLL for (int k = 0; k < 8; k++) g.v[k] *= factor.v[k];
        }
        V::store_or_add(to, x, g, p.accumulate);
    }
}

ROW_KERNELS(combine_gradient, CombineGradient, !p.result.wide && !p.other.map.wide && !p.gradient.wide && !p.to.wide,
            combine_gradient_row)
