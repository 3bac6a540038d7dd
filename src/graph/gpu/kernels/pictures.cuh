// Augmentation of images that stay on the GPU, the same as in src/data/augment: grey values, a Gaussian blur, one
// bilinear resampling, noise and a black rectangle.
#pragma once
#include "common.cuh"

const int CURVE_POINTS = 10, BLUR_RADIUS = 60;

// Changes of one plane of an image, grey or a channel of a colour. Pixel (x, y) of the result is read at q = centre + inverse·((x, y) − centre − shift), plus the
// displacement at q if there are control points.
struct Change {
    // Float [height, width] in [0, 1].
    u64 picture;
    // Displacements in pixels, float [2·reach[1] + 1, 2·reach[0] + 1, 2], the middle one at the centre; 0: none.
    u64 nodes;
    u64 noise_key;
    double inverse[4];
    double centre[2], shift[2];
    // Lattice cells per pixel.
    double cells[2];
    // `noise` is a standard deviation.
    float brightness, contrast, gamma, noise;
    float curve[CURVE_POINTS];
    // Weights of the Gaussian's centre and one side.
    float weights[BLUR_RADIUS + 1];
    int reach[2];
    // The black rectangle.
    int top, left, rows, columns;
    // Whether values are mapped by the curve.
    int curved;
    // Pixels on either side that the Gaussian reads; 0: no blur.
    int radius;
    // 0: the image is not changed.
    int applies;
};
FIELDS(Change, picture, nodes, noise_key, inverse, centre, shift, cells, brightness, contrast, gamma, noise, curve,
       weights, reach, top, left, rows, columns, curved, radius, applies)

struct Pictures {
    // Change [count].
    u64 changes;
    // Double [count][chunks]: sums of brightened pixels; float [count]: their means.
    u64 partials, means;
    // Float [count, height, width], used for blur.
    u64 grey, spare;
    // Float [count, height, width].
    u64 to;
    // `count` planes, `channels` of them an image's.
    int count, height, width, chunks, pixels;
    int channels;
};
FIELDS(Pictures, changes, partials, means, grey, spare, to, count, height, width, chunks, pixels, channels)

DEVICE float clamped(float v) { return v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v; }

// The changed grey value, given the mean of the image's brightened values.
DEVICE float changed_value(const Change &change, float mean, float value) {
    const float brighter = clamped(value * change.brightness);
    value = clamped(mean + (brighter - mean) * change.contrast);
    if (change.gamma != 1.0f) value = powf(value, change.gamma);
    if (change.curved) {
        const float position = value * (CURVE_POINTS - 1);
        const int left = least((int)position, CURVE_POINTS - 2);
        value = change.curve[left] + (change.curve[left + 1] - change.curve[left]) * (position - left);
    }
    return value;
}

// Adds the displacement at a position, by cubic B-splines. Positions count from one pixel before the first.
DEVICE void displace(const Change &change, double &x, double &y) {
    const double along[2] = {(x - 1.0 - change.centre[0]) * change.cells[0], (y - 1.0 - change.centre[1]) * change.cells[1]};
    float weights[2][4];
    int first[2];
    for (int axis = 0; axis < 2; axis++) {
        const double cell = floor(along[axis]);
        if (!(cell >= -change.reach[axis] + 1 && cell <= change.reach[axis] - 2)) return;
        first[axis] = (int)cell - 1 + change.reach[axis];
        const float t = (float)(along[axis] - cell), rest = 1.0f - t, square = t * t, cube = t * t * t;
        weights[axis][0] = rest * rest * rest / 6.0f;
        weights[axis][1] = (3.0f * cube - 6.0f * square + 4.0f) / 6.0f;
        weights[axis][2] = (-3.0f * cube + 3.0f * square + 3.0f * t + 1.0f) / 6.0f;
        weights[axis][3] = cube / 6.0f;
    }
    float sum[2] = {0.0f, 0.0f};
    for (int row = 0; row < 4; row++) {
        const u64 start = (u64)(first[1] + row) * (2 * change.reach[0] + 1) + first[0];
        for (int column = 0; column < 4; column++) {
            const float *node = (const float *)change.nodes + 2 * (start + column);
            const float weight = weights[1][row] * weights[0][column];
            sum[0] += weight * node[0];
            sum[1] += weight * node[1];
        }
    }
    x += sum[0];
    y += sum[1];
}

// The index within 0 … n − 1 that replaces one beyond: mirrored, without repeating the edge.
DEVICE int mirrored(int index, int n) {
    const int period = 2 * (n - 1);
    if (period == 0) return 0;
    index %= period;
    if (index < 0) index += period;
    return least(index, period - index);
}

// A standard normal number of a pixel of a plane, by Philox 4×32-10 and Box and Muller.
DEVICE float normal(u64 key, u32 plane, u32 pixel) {
    u32 c[4] = {pixel / 4, plane, 0, 0}, k[2] = {(u32)key, (u32)(key >> 32)};
    for (int round = 0; round < 10; round++) {
        const u64 first = (u64)c[0] * 0xd2511f53u, second = (u64)c[2] * 0xcd9e8d57u;
        const u32 next[4] = {(u32)(second >> 32) ^ c[1] ^ k[0], (u32)second, (u32)(first >> 32) ^ c[3] ^ k[1], (u32)first};
        for (int i = 0; i < 4; i++) c[i] = next[i];
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    const int pair = pixel % 4 / 2 * 2;
    const float unit = 1.0f / 8388608.0f;
    const float a = ((c[pair] >> 9) + 0.5f) * unit, angle = 6.2831853f * (((c[pair + 1] >> 9) + 0.5f) * unit);
    return sqrtf(-2.0f * logf(a)) * (pixel % 2 ? sinf(angle) : cosf(angle));
}

// Blocks: chunk, image.
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

// One thread per plane: the mean grey value of its image, of colours by the shares of ITU-R BT.601.
KERNEL(128, mean_brightened, Pictures) {
    const int plane = blockIdx.x * 128 + threadIdx.x;
    if (plane >= p.count) return;
    const double shares[3] = {p.channels == 1 ? 1.0 : 0.2989, 0.587, 0.114};
    const int first = plane / p.channels * p.channels;
    double mean = 0.0;
    for (int channel = 0; channel < p.channels; channel++) {
        double sum = 0.0;
        for (int chunk = 0; chunk < p.chunks; chunk++)
            sum += ((const double *)p.partials)[(first + channel) * p.chunks + chunk];
        mean += shares[channel] * (sum / ((double)p.height * p.width));
    }
    ((float *)p.means)[plane] = (float)mean;
}

// One thread per pixel of blurred images: their changed grey values.
KERNEL(256, change_values, Pictures) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int area = p.height * p.width, picture = (int)(i / area);
    if (picture >= p.count) return;
    const Change &change = ((const Change *)p.changes)[picture];
    if (change.radius == 0) return;
    const float value = ((const float *)change.picture)[i % area];
    ((float *)p.grey)[i] = changed_value(change, ((const float *)p.means)[picture], value);
}

// One thread per pixel of blurred images: grey to spare along rows, or spare to grey along columns.
DEVICE void blur(const Pictures &p, bool columns) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int area = p.height * p.width, picture = (int)(i / area);
    if (picture >= p.count) return;
    const Change &change = ((const Change *)p.changes)[picture];
    if (change.radius == 0) return;
    const float *from = (const float *)(columns ? p.spare : p.grey) + (u64)picture * area;
    const int y = (int)(i % area) / p.width, x = (int)(i % area) % p.width;
    auto at = [&](int distance) {
        return columns ? from[mirrored(y + distance, p.height) * p.width + x]
                       : from[y * p.width + mirrored(x + distance, p.width)];
    };
    float sum = change.weights[0] * at(0);
    for (int distance = 1; distance <= change.radius; distance++)
        sum += change.weights[distance] * (at(-distance) + at(distance));
    ((float *)(columns ? p.grey : p.spare))[i] = sum;
}
KERNEL(256, blur_rows, Pictures) { blur(p, false); }
KERNEL(256, blur_columns, Pictures) { blur(p, true); }

// One thread per pixel.
KERNEL(256, change_pictures, Pictures) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    const int area = p.height * p.width, picture = (int)(i / area);
    if (picture >= p.count) return;
    const Change &change = ((const Change *)p.changes)[picture];
    const float *from = (const float *)change.picture;
    const int pixel = (int)(i % area), row = pixel / p.width, column = pixel % p.width;
    float value;
    if (!change.applies) {
        value = from[pixel];
    } else if (row >= change.top && row < change.top + change.rows && column >= change.left &&
               column < change.left + change.columns) {
        value = 0.0f;
    } else {
        const float mean = ((const float *)p.means)[picture];
        const float *blurred = change.radius ? (const float *)p.grey + (u64)picture * area : nullptr;
        // Pixels beyond the border are black.
        auto at = [&](int y, int x) {
            if (y < 0 || x < 0 || y >= p.height || x >= p.width) return 0.0f;
            return blurred ? blurred[y * p.width + x] : changed_value(change, mean, from[y * p.width + x]);
        };
        const double dx = (double)column - change.centre[0] - change.shift[0];
        const double dy = (double)row - change.centre[1] - change.shift[1];
        // Counted from one pixel before the first, so that truncation rounds down.
        double x = change.inverse[1] * dy + change.centre[0] + 1.0 + change.inverse[0] * dx;
        double y = change.inverse[3] * dy + change.centre[1] + 1.0 + change.inverse[2] * dx;
        if (change.nodes) displace(change, x, y);
        value = 0.0f;
        if (x >= 0.0 && x < p.width + 1.0 && y >= 0.0 && y < p.height + 1.0) {
            const int left = (int)x, top = (int)y;
            const float fx = (float)(x - left), fy = (float)(y - top);
            const float a = at(top - 1, left - 1), b = at(top - 1, left), c = at(top, left - 1), d = at(top, left);
            const float upper = a + (b - a) * fx, lower = c + (d - c) * fx;
            value = upper + (lower - upper) * fy;
        }
        if (change.noise > 0.0f) value = clamped(value + change.noise * normal(change.noise_key, (u32)(picture % p.channels), (u32)pixel));
    }
    ((float *)p.to)[i] = value;
}
