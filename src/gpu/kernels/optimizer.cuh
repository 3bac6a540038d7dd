// Optimisers over the flat vector of trained values. A thread a value.
#pragma once
#include "common.cuh"

struct Adamw {
    u64 parameters, mean, square, gradient;
    float keep, rate, correction, epsilon;
    float betas[2], add[2];
    int count;
    int unused;
};

KERNEL(256, adamw, Adamw) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    const float g = ((const float *)p.gradient)[i];
    float *value = (float *)p.parameters + i, *mean = (float *)p.mean + i, *square = (float *)p.square + i;
    const float m = *mean * p.betas[0] + g * p.add[0], v = *square * p.betas[1] + g * g * p.add[1];
    *mean = m, *square = v;
    *value = *value * p.keep - p.rate * m / (sqrtf(v) / p.correction + p.epsilon);
}

struct Sgd {
    u64 parameters, buffer, gradient;
    float rate, momentum, decay;
    int nesterov, count;
    int unused;
};

KERNEL(256, sgd, Sgd) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    float *value = (float *)p.parameters + i, *buffer = (float *)p.buffer + i;
    const float g = ((const float *)p.gradient)[i] + *value * p.decay, b = *buffer * p.momentum + g;
    *buffer = b;
    *value -= (p.nesterov ? g + b * p.momentum : b) * p.rate;
}
