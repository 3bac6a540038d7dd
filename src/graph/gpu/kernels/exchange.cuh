// Converts between the layouts of candle's tensors and the engine's: images and heads.
#pragma once
#include "common.cuh"

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

// Planes to a map; one thread per pixel. Blocks: 256 pixels of an image, image.
KERNEL(256, planes_to_map, Exchange) {
    const u32 at = blockIdx.x * 256 + threadIdx.x, image = blockIdx.y, area = p.area;
    if (at >= area) return;
    const float *from = (const float *)p.planes + ((u64)image * p.of_image + p.first) * area + at;
    const u64 pixel = (u64)image * area + at;
    UNROLL for (int half = 0; half < 2; half++) {
        Eight e;
        UNROLL for (int k = 0; k < 8; k++) e.v[k] = 8 * half + k < p.count ? from[(u64)(8 * half + k) * area] : 0.0f;
        store_or_add(p.map.map, pixel, p.channel + 8 * half, e, p.accumulate);
    }
}

template <bool CEILING>
DEVICE void planes_of_map(const Exchange &p) {
    const u32 at = blockIdx.x * 256 + threadIdx.x, image = blockIdx.y, area = p.area;
    if (at >= area) return;
    float *to = (float *)p.planes + ((u64)image * p.of_image + p.first) * area + at;
    const u64 pixel = (u64)image * area + at;
    UNROLL for (int half = 0; half < 2; half++) {
        if (8 * half >= p.count) break;
        const Eight e = read<CEILING>(p.map, image, pixel, p.channel + 8 * half);
        UNROLL for (int k = 0; k < 8; k++)
            if (8 * half + k < p.count) to[(u64)(8 * half + k) * area] = e.v[k];
    }
}

// A map to planes; one thread per pixel. Blocks: 256 pixels of an image, image.
KERNEL(256, map_to_planes, Exchange) { planes_of_map<false>(p); }
KERNEL(256, map_to_planes_ceiling, Exchange) { planes_of_map<true>(p); }
