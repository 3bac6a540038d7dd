// Optimizers over the flat vector of trained values. One thread per value.
#pragma once
#include "common.cuh"

struct Adamw {
    u64 parameters, mean, square, gradient;
    float keep, rate, correction, epsilon;
    float betas[2], add[2];
    int count;
    float scale;
};
FIELDS(Adamw, parameters, mean, square, gradient, keep, rate, correction, epsilon, betas, add, count, scale)

KERNEL(256, adamw, Adamw) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    const float g = ((const float *)p.gradient)[i] * p.scale;
    float *value = (float *)p.parameters + i, *mean = (float *)p.mean + i, *square = (float *)p.square + i;
    const float m = *mean * p.betas[0] + g * p.add[0], v = *square * p.betas[1] + g * g * p.add[1];
    *mean = m, *square = v;
    *value = *value * p.keep - p.rate * m / (sqrtf(v) / p.correction + p.epsilon);
}

struct Sgd {
    u64 parameters, buffer, gradient;
    float rate, momentum, decay;
    int nesterov, count;
    float scale;
};
FIELDS(Sgd, parameters, buffer, gradient, rate, momentum, decay, nesterov, count, scale)

KERNEL(256, sgd, Sgd) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    float *value = (float *)p.parameters + i, *buffer = (float *)p.buffer + i;
    const float g = ((const float *)p.gradient)[i] * p.scale + *value * p.decay, b = *buffer * p.momentum + g;
    *buffer = b;
    *value -= (p.nesterov ? g + b * p.momentum : b) * p.rate;
}

// A weighted sum of two vectors, which replaces the first.
struct Blend {
    u64 to, from;
    float keep, add;
    int count;
    int unused;
};
FIELDS(Blend, to, from, keep, add, count, unused)

KERNEL(256, blend, Blend) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    float *to = (float *)p.to + i;
    *to = *to * p.keep + ((const float *)p.from)[i] * p.add;
}
