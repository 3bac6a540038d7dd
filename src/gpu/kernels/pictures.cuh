// Pictures that stay on the GPU, changed for training: brightness and contrast, then one bilinear resampling.
#pragma once
#include "common.cuh"

// What becomes of one picture. A place (x, y) of the result is read at centre + inverse·((x, y) − centre − shift).
struct Change {
    // Float [height, width] in [0, 1].
    u64 picture;
    double inverse[4];
    double centre[2], shift[2];
    float brightness, contrast;
    // 0: stays as it is.
    int applies;
    int unused;
};

struct Pictures {
    // Change [count].
    u64 changes;
    // Double [count][chunks]: sums of brightened pixels; float [count]: their means.
    u64 partials, means;
    // Float [count, height, width].
    u64 to;
    int count, height, width, chunks, pixels;
    int unused;
};

DEVICE float clamped(float v) { return v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v; }

// Blocks: chunk, picture.
KERNEL(256, sum_brightened, Pictures) {
    const Change &change = ((const Change *)p.changes)[blockIdx.y];
    const float *from = (const float *)change.picture;
    const int first = blockIdx.x * p.pixels, end = least(p.height * p.width, first + p.pixels);
    double sum = 0.0;
    if (change.applies)
        for (int i = first + threadIdx.x; i < end; i += 256) sum += clamped(from[i] * change.brightness);
    double *table = (double *)shared_memory();
    table[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) table[threadIdx.x] += table[threadIdx.x + half];
    }
    if (threadIdx.x == 0) ((double *)p.partials)[blockIdx.y * p.chunks + blockIdx.x] = table[0];
}

// A thread a picture.
KERNEL(128, mean_brightened, Pictures) {
    const int picture = blockIdx.x * 128 + threadIdx.x;
    if (picture >= p.count) return;
    double sum = 0.0;
    for (int chunk = 0; chunk < p.chunks; chunk++) sum += ((const double *)p.partials)[picture * p.chunks + chunk];
    ((float *)p.means)[picture] = (float)(sum / ((double)p.height * p.width));
}

// A thread a pixel.
KERNEL(256, change_pictures, Pictures) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int area = p.height * p.width, picture = (int)(i / area);
    if (picture >= p.count) return;
    const Change &change = ((const Change *)p.changes)[picture];
    const float *from = (const float *)change.picture;
    float value;
    if (!change.applies) {
        value = from[i % area];
    } else {
        const float mean = ((const float *)p.means)[picture];
        // Beyond the border it is black.
        auto at = [&](int y, int x) {
            if (y < 0 || x < 0 || y >= p.height || x >= p.width) return 0.0f;
            const float brighter = clamped(from[y * p.width + x] * change.brightness);
            return clamped(mean + (brighter - mean) * change.contrast);
        };
        const double dx = (double)(i % p.width) - change.centre[0] - change.shift[0];
        const double dy = (double)(i % area / p.width) - change.centre[1] - change.shift[1];
        // Counted from one pixel before the first, so that what is cut off is rounded down.
        const double x = change.inverse[1] * dy + change.centre[0] + 1.0 + change.inverse[0] * dx;
        const double y = change.inverse[3] * dy + change.centre[1] + 1.0 + change.inverse[2] * dx;
        value = 0.0f;
        if (x >= 0.0 && x < p.width + 1.0 && y >= 0.0 && y < p.height + 1.0) {
            const int left = (int)x, top = (int)y;
            const float fx = (float)(x - left), fy = (float)(y - top);
            const float a = at(top - 1, left - 1), b = at(top - 1, left), c = at(top, left - 1), d = at(top, left);
            const float upper = a + (b - a) * fx, lower = c + (d - c) * fx;
            value = upper + (lower - upper) * fy;
        }
    }
    ((float *)p.to)[i] = value;
}
