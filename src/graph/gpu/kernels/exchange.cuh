// Converts between the layouts of candle's tensors and the engine's: images, heads, weights.
#pragma once
#include "common.cuh"
#include "convolution.cuh"

// Planes [B, planes, area] of float, and sixteen channels of a map, of which `count` are used.
struct Exchange {
    Source map;
    u64 planes;
    int images, area;
    // Planes of an image, first plane, number of channels, and the map's first channel.
    int of_image, first, count, channel;
    int accumulate;
    int unused;
};
FIELDS(Exchange, map, planes, images, area, of_image, first, count, channel, accumulate, unused)

// Planes to a map; one thread per pixel.
KERNEL(256, planes_to_map, Exchange) {
    const u64 pixel = (u64)blockIdx.x * 256 + threadIdx.x;
    if (pixel >= (u64)p.images * p.area) return;
    const u64 image = pixel / p.area;
    const float *from = (const float *)p.planes + (image * p.of_image + p.first) * p.area + pixel % p.area;
    UNROLL for (int half = 0; half < 2; half++) {
        Eight e;
        UNROLL for (int k = 0; k < 8; k++) e.v[k] = 8 * half + k < p.count ? from[(u64)(8 * half + k) * p.area] : 0.0f;
        store_or_add(p.map.map, pixel, p.channel + 8 * half, e, p.accumulate);
    }
}

// A map to planes; one thread per pixel.
KERNEL(256, map_to_planes, Exchange) {
    const u64 pixel = (u64)blockIdx.x * 256 + threadIdx.x;
    if (pixel >= (u64)p.images * p.area) return;
    const int image = (int)(pixel / p.area);
    float *to = (float *)p.planes + ((u64)image * p.of_image + p.first) * p.area + pixel % p.area;
    UNROLL for (int half = 0; half < 2; half++) {
        const Eight e = read(p.map, image, pixel, p.channel + 8 * half);
        UNROLL for (int k = 0; k < 8; k++)
            if (8 * half + k < p.count) to[(u64)(8 * half + k) * p.area] = e.v[k];
    }
}

// Weights [outputs, inputs, taps] in the order that convolutions read: [group of BN][chunk][tap][BN][chunk's channels].
struct Packing {
    u64 weights;
    u64 to;
    // Factor per channel of `to`'s groups, or 0.
    u64 scale;
    // Distances in numbers between the channels of groups, and between those of chunks.
    int group_stride, chunk_stride;
    int taps, group, chunks;
    // Precision of stored weights (Arithmetic). Whether taps are turned around.
    int arithmetic, turned;
    int count;
    // First channel and number of channels of every block: (first << 8) + number.
    u32 written[MOST_TARGETS];
    u32 read[MOST_TARGETS];
};
FIELDS(Packing, weights, to, scale, group_stride, chunk_stride, taps, group, chunks, arithmetic, turned, count,
       written, read)

// One thread per weight of `to`.
KERNEL(256, pack_weights, Packing) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= p.count) return;
    const int width = p.arithmetic == BF16 ? 16 : 8;
    const int c = i % width, n = i / width % p.group, tap = i / width / p.group % p.taps;
    const int chunk = i / width / p.group / p.taps % p.chunks, group = i / width / p.group / p.taps / p.chunks;
    const int out = group * p.group + n, in = chunk * width + c;
    const u32 written = p.written[out / 16], read = p.read[in / 16];
    float value = 0.0f;
    if (out % 16 < (int)(written & 255) && in % 16 < (int)(read & 255)) {
        const int channel = (int)(written >> 8) + out % 16;
        const u64 at = (u64)channel * p.group_stride + (u64)((read >> 8) + in % 16) * p.chunk_stride;
        value = ((const float *)p.weights)[at + (p.turned ? p.taps - 1 - tap : tap)];
        if (p.scale) value *= ((const float *)p.scale)[channel];
    }
    if (p.arithmetic == BF16) ((u16 *)p.to)[i] = (u16)pack_bf16(value, 0.0f);
    else ((float *)p.to)[i] = p.arithmetic == TF32 ? round_tf32(value) : value;
}
