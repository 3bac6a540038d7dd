// Normalisation per channel, over a batch or over groups of an image's channels, forward and backward.
//
// All values per channel are per row too: a batch normalisation has one row for all images, a group normalisation one
// per image. Rows have as many entries as the map has channels, including the padding of blocks, whose entries are
// zero.
#pragma once
#include "rows.cuh"

const int SUMMERS = 256;
const double MOMENTUM = 0.1;

struct Pair {
    double first;
    double second;
};

// A layer's normalisation: its measurements and their results.
struct Norm {
    // Trained, [outputs]: scale and shift, or 0 without normalisation; bias or 0.
    u64 gamma, beta, bias;
    // [outputs] each, or 0.
    u64 running_mean, running_variance;
    // Mean and squared deviations of every channel alone: Pair [rows][channels].
    u64 moments;
    // float [rows][channels]: scale and shift for readers; mean and 1/√(variance + ε) of the values normalised
    // together.
    u64 scale, shift, mean, inverse;
    int channels, outputs, rows, group;
    // Images, and pixels of each.
    int images, area;
    // Added to a variance before its root is taken.
    double epsilon;
};
FIELDS(Norm, gamma, beta, bias, running_mean, running_variance, moments, scale, shift, mean, inverse, channels,
       outputs, rows, group, images, area, epsilon)

// Statistics written by convolutions: float2 [channel][image][tile], of tiles of `rows` × 16 pixels.
struct Moments {
    Norm norm;
    u64 partials;
    int height, width, rows;
    int unused;
};
FIELDS(Moments, norm, partials, height, width, rows, unused)

struct Set {
    double count, mean, squares;
};

// The moments of both sets of values together (Chan, Golub and LeVeque 1979).
DEVICE Set merge(Set a, Set b) {
    if (b.count == 0.0) return a;
    const double count = a.count + b.count, delta = b.mean - a.mean;
    return {count, a.mean + delta * b.count / count, a.squares + b.squares + delta * delta * a.count * b.count / count};
}

DEVICE float bias_of(const Norm &p, int channel) { return p.bias ? ((const float *)p.bias)[channel] : 0.0f; }

// Scale and shift for a channel's readers, from the moments of all channels normalised with it.
DEVICE void finish_norm(const Norm &p, int row, int channel) {
    const Pair *moments = (const Pair *)p.moments + (u64)row * p.channels;
    const u64 at = (u64)row * p.channels + channel;
    float scale = 0.0f, shift = 0.0f, mean = 0.0f, inverse = 0.0f;
    if (channel < p.outputs) {
        const double count = (double)p.area * (p.images / p.rows);
        Set all = {0, 0, 0};
        const int first = channel / p.group * p.group;
        for (int c = first; c < first + p.group; c++) all = merge(all, {count, moments[c].first, moments[c].second});
        const double inverted = 1.0 / sqrt(all.squares / all.count + p.epsilon);
        scale = (float)(((const float *)p.gamma)[channel] * inverted);
        shift = (float)(((const float *)p.beta)[channel] - all.mean * scale);
        mean = (float)all.mean, inverse = (float)inverted;
        if (p.running_mean) {
            float *to = (float *)p.running_mean + channel;
            *to = (float)((1.0 - MOMENTUM) * *to + MOMENTUM * (all.mean + bias_of(p, channel)));
            to = (float *)p.running_variance + channel;
            *to = (float)((1.0 - MOMENTUM) * *to + MOMENTUM * (all.squares / (all.count - 1.0)));
        }
    }
    ((float *)p.scale)[at] = scale, ((float *)p.shift)[at] = shift;
    ((float *)p.mean)[at] = mean, ((float *)p.inverse)[at] = inverse;
}

// Adds up the threads' numbers, in a tree; every thread gets the sum.
DEVICE double add_up_threads(double mine) {
    double *table = (double *)shared_memory();
    __syncthreads();
    table[threadIdx.x] = mine;
    for (int half = SUMMERS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) table[threadIdx.x] += table[threadIdx.x + half];
    }
    __syncthreads();
    return table[0];
}

// Merges the tiles' moments: first their mean, then deviations from it, so that no step waits for a division. Blocks:
// channel, row.
KERNEL(SUMMERS, merge_moments, Moments) {
    const Norm &norm = p.norm;
    const int channel = blockIdx.x, row = blockIdx.y, thread = threadIdx.x;
    const u32 across = (p.width + 15) / 16, down = (p.height + p.rows - 1) / p.rows, tiles = across * down;
    const int per_row = norm.images / norm.rows * tiles;
    const float2 *from = (const float2 *)p.partials + (u64)channel * norm.images * tiles + (u64)row * per_row;
    // Where tiles fill the map they are alike, and none need be counted.
    const bool whole = p.height % p.rows == 0 && p.width % 16 == 0;
    USUALLY(ALWAYS, whole);
    auto pixels = [&](u32 i) {
        if (whole) return (double)(p.rows * 16);
        const u32 y = i % tiles / across, x = i % tiles % across;
        return (double)(least(p.rows, p.height - y * p.rows) * least(16, p.width - x * 16));
    };
    double sum = 0.0, squares = 0.0;
    for (int i = thread; i < per_row; i += SUMMERS) sum += pixels(i) * from[i].x;
    const double mean = add_up_threads(sum) / ((double)norm.area * (norm.images / norm.rows));
    for (int i = thread; i < per_row; i += SUMMERS) {
        const double delta = from[i].x - mean;
        squares += from[i].y + pixels(i) * delta * delta;
    }
    squares = add_up_threads(squares);
    if (thread > 0) return;
    ((Pair *)norm.moments)[(u64)row * norm.channels + channel] = {mean, squares};
    if (norm.rows == 1 && norm.group == 1) finish_norm(norm, row, channel);
}

// One thread per channel of a row.
KERNEL(128, finish_norms, Norm) {
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i < p.rows * p.channels) finish_norm(p, i / p.channels, i % p.channels);
}

// Scale and shift equivalent to bias and batch normalisation with running statistics: float [channels] each. One thread
// per channel.
KERNEL(128, fix_norm, Norm) {
    const int c = blockIdx.x * 128 + threadIdx.x;
    if (c >= p.channels) return;
    float scale = 0.0f, shift = 0.0f;
    if (c < p.outputs) {
        const float bias = bias_of(p, c);
        scale = 1.0f, shift = bias;
        if (p.running_mean) {
            const double factor =
                ((const float *)p.gamma)[c] / sqrt((double)((const float *)p.running_variance)[c] + p.epsilon);
            scale = (float)factor;
            shift = (float)(((const float *)p.beta)[c] + ((double)bias - ((const float *)p.running_mean)[c]) * factor);
        }
    }
    ((float *)p.scale)[c] = scale, ((float *)p.shift)[c] = shift;
}

// The backward pass: sums over every channel and row of Σ g·act'(x) and Σ g·act'(x)·(y − mean).
struct GradientSums {
    Norm norm;
    Source map;
    Map gradient;
    // float2 [channel][image][chunk].
    u64 partials;
    // Pair [rows][channels].
    u64 sums;
    // Gradients to gamma, beta and bias: [outputs] each, or 0.
    u64 to_gamma, to_beta, to_bias;
    // float [rows][channels]: the gradient to y is factor·act'(x)·g + offset − drift·y.
    u64 factor, offset, drift;
    int chunks, pixels;
};
FIELDS(GradientSums, norm, map, gradient, partials, sums, to_gamma, to_beta, to_bias, factor, offset, drift, chunks,
       pixels)

template <bool NARROW, bool CEILING>
DEVICE void sum_chunk(const GradientSums &p) {
    typedef Vectors<NARROW> V;
    const Norm &norm = p.norm;
    const int image = blockIdx.y, thread = threadIdx.x, start = blockIdx.z * 256;
    const int vectors = least(256, norm.channels - start) / 8, lanes = SUMMERS / vectors;
    const int channel = start + thread % vectors * 8, lane = thread / vectors;
    const int first = blockIdx.x * p.pixels, end = least(norm.area, first + p.pixels);
    const int row = norm.rows == 1 ? 0 : image;
    Eight plain = {{0, 0, 0, 0, 0, 0, 0, 0}}, deviations = plain;
    // What readers apply and the means stay in shared memory, so that a thread's registers leave room for four blocks.
    float *table = (float *)shared_memory();
    const int width = vectors * 8;
    const Activation &activation = p.map.activation;
    if (thread < width) {
        const u64 at = (u64)image * activation.per_image + start + thread;
        table[thread] = norm.gamma ? ((const float *)norm.mean)[(u64)row * norm.channels + start + thread] : 0.0f;
        table[256 + thread] = activation.scale ? ((const float *)activation.scale)[at] : 1.0f;
        table[512 + thread] = activation.scale ? ((const float *)activation.shift)[at] : 0.0f;
    }
    __syncthreads();
    const float *mean = table + thread % vectors * 8, *scale = mean + 256, *shift = mean + 512;
    const float slope = activation.slope, ceiling = activation.ceiling;
    // Images follow one another like rows.
    const V map = V::of(p.map.map, image, norm.area, channel), gradient = V::of(p.gradient, image, norm.area, channel);
    if (lane < lanes)
        for (int i = first + lane; i < end; i += lanes) {
            // So that the compiler reads them in every round, and does not keep them in registers after all.
            asm volatile("" ::: "memory");
            const Eight y = V::load(map, i), g = V::load(gradient, i);
            UNROLL for (int k = 0; k < 8; k++) {
                const float x = fmaf(scale[k], y.v[k], shift[k]);
                const float v = bend_gradient<CEILING>(x, g.v[k], slope, ceiling);
                plain.v[k] += v, deviations.v[k] = fmaf(v, y.v[k] - mean[k], deviations.v[k]);
            }
        }
    for (int what = 0; what < 2; what++) {
        __syncthreads();
        if (lane < lanes)
            UNROLL for (int k = 0; k < 8; k++)
                table[lane * width + thread % vectors * 8 + k] = what ? deviations.v[k] : plain.v[k];
        // In a tree, which all threads climb together.
        for (int left = lanes; left > 1; left = (left + 1) / 2) {
            const int half = (left + 1) / 2;
            __syncthreads();
            for (int i = thread; i < (left - half) * width; i += SUMMERS) table[i] += table[half * width + i];
        }
        __syncthreads();
        if (thread < width) {
            float *to = (float *)p.partials + 2 * (((u64)(start + thread) * norm.images + image) * p.chunks + blockIdx.x);
            to[what] = table[thread];
        }
    }
}

// Blocks: chunk of an image's pixels, image, 256 channels. Of maps in bf16 all 512 blocks are there at once.
KERNEL(SUMMERS, sum_gradients, GradientSums) { sum_chunk<false, false>(p); }
KERNEL(SUMMERS, sum_gradients_ceiling, GradientSums) { sum_chunk<false, true>(p); }
DENSE_KERNEL(SUMMERS, 4, sum_gradients_bf16, GradientSums) { sum_chunk<true, false>(p); }
DENSE_KERNEL(SUMMERS, 4, sum_gradients_bf16_ceiling, GradientSums) { sum_chunk<true, true>(p); }

// Scale of a channel; 1 without normalisation.
DEVICE double gamma_of(const Norm &p, int channel) { return p.gamma ? (double)((const float *)p.gamma)[channel] : 1.0; }

// With scales s, n values normalised together and x the normalised ones, the gradient to y is
// (s·g − Σ(s·g)/n − x·Σ(s·g·x)/n)/σ.
DEVICE void finish_gradient(const GradientSums &p, int row, int channel) {
    const Norm &norm = p.norm;
    const bool used = channel < norm.outputs;
    const int last = row == 0 ? norm.rows : row + 1;
    double to_gamma = 0.0, to_beta = 0.0, to_bias = 0.0;
    // The first row's thread computes the sums over all rows.
    for (int r = row; r < last; r++) {
        const u64 start = (u64)r * norm.channels, at = start + channel;
        const Pair *sums = (const Pair *)p.sums + start;
        double factor = used ? 1.0 : 0.0, offset = 0.0, drift = 0.0;
        if (used && !norm.gamma) to_bias += sums[channel].first;
        if (used && norm.gamma) {
            const double inverse = ((const float *)norm.inverse)[at], mean = ((const float *)norm.mean)[at];
            const int first = channel / norm.group * norm.group;
            double plain = 0.0, product = 0.0;
            for (int c = first; c < first + norm.group; c++) {
                plain += gamma_of(norm, c) * sums[c].first;
                product += gamma_of(norm, c) * sums[c].second * inverse;
            }
            const double count = (double)norm.area * (norm.images / norm.rows) * norm.group;
            const double pull = inverse * plain / count;
            drift = inverse * inverse * product / count;
            factor = gamma_of(norm, channel) * inverse, offset = mean * drift - pull;
            to_beta += sums[channel].first, to_gamma += sums[channel].second * inverse;
            // If each channel is normalised by itself, a bias has no effect.
            if (norm.group > 1) {
                const double own = ((const Pair *)norm.moments)[at].first - mean;
                to_bias += factor * sums[channel].first - norm.area * (pull + drift * own);
            }
        }
        if (r == row) {
            ((float *)p.factor)[at] = (float)factor;
            ((float *)p.offset)[at] = (float)offset, ((float *)p.drift)[at] = (float)drift;
        }
    }
    if (row > 0 || !used) return;
    if (p.to_bias) ((float *)p.to_bias)[channel] = (float)to_bias;
    if (norm.gamma) ((float *)p.to_gamma)[channel] = (float)to_gamma, ((float *)p.to_beta)[channel] = (float)to_beta;
}

// Blocks: channel, row.
KERNEL(SUMMERS, merge_gradients, GradientSums) {
    const Norm &norm = p.norm;
    const int channel = blockIdx.x, row = blockIdx.y, thread = threadIdx.x;
    const int per_row = norm.images / norm.rows * p.chunks;
    const float2 *from = (const float2 *)p.partials + (u64)channel * norm.images * p.chunks + (u64)row * per_row;
    Pair all = {0, 0};
    for (int i = thread; i < per_row; i += SUMMERS) all.first += from[i].x, all.second += from[i].y;
    Pair *table = (Pair *)shared_memory();
    table[thread] = all;
    for (int half = SUMMERS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half)
            table[thread].first += table[thread + half].first, table[thread].second += table[thread + half].second;
    }
    if (thread > 0) return;
    ((Pair *)p.sums)[(u64)row * norm.channels + channel] = table[0];
    if (norm.rows == 1 && norm.group == 1) finish_gradient(p, row, channel);
}

// One thread per channel of a row.
KERNEL(128, finish_gradients, GradientSums) {
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i < p.norm.rows * p.norm.channels) finish_gradient(p, i / p.norm.channels, i % p.norm.channels);
}

struct NormGradient {
    Source map;
    Map gradient;
    u64 factor, offset, drift;
    // Distance in channels between rows, or 0.
    int per_image, height, width;
    int unused;
};
FIELDS(NormGradient, map, gradient, factor, offset, drift, per_image, height, width, unused)

template <bool NARROW, bool CEILING = false>
DEVICE void apply_gradient_to_row(const NormGradient &p) {
    typedef Vectors<NARROW> V;
    const Walk w = walk(p.height, p.gradient.channels);
    const u64 at = (u64)w.image * p.per_image + w.channel;
    const Eight factor = load_wide((const float *)p.factor + at), offset = load_wide((const float *)p.offset + at);
    const Eight drift = load_wide((const float *)p.drift + at);
    const Affine affine_of = affine(p.map.activation, w.image, w.channel);
    const V map = V::of(p.map.map, w.row, p.width, w.channel), gradient = V::of(p.gradient, w.row, p.width, w.channel);
    for (int i = w.first; i < p.width; i += w.step) {
        const Eight y = V::load(map, i);
        Eight g = V::load(gradient, i);
        UNROLL for (int k = 0; k < 8; k++) {
            const float x = fmaf(affine_of.scale.v[k], y.v[k], affine_of.shift.v[k]);
            const float v = bend_gradient<CEILING>(x, g.v[k], p.map.activation.slope, p.map.activation.ceiling);
            g.v[k] = fmaf(factor.v[k], v, fmaf(-drift.v[k], y.v[k], offset.v[k]));
        }
        V::store(gradient, i, g);
    }
}

// In place: the gradient to x becomes the gradient to y.
ROW_KERNELS(apply_gradient, NormGradient, !p.map.map.wide && !p.gradient.wide, apply_gradient_to_row)
