// The gradient to the weights of a 3×3 convolution at stride 1 between bf16 maps: the same sums in the same order as
// gradient_of_weights, with the next tile on its way while one is multiplied.
//
// There are two buffers of tiles: while the tensor cores work on one, the other is filled. Pixels of the map are activated
// in place when they have arrived.
#pragma once
#include "narrow.cuh"
#include "weight_gradient.cuh"

template <int OW>
DEVICE void gradient_of_narrow_weights(const WeightGradient &p) {
    const int KS = 3, TAPS = KS * KS, RX = COLUMNS + KS - 1, RY = ROWS + KS - 1, REACHED = RX * RY;
    const int HELD = (REACHED * 2 + THREADS - 1) / THREADS, PARTS = WARPS / OW, STEP = THREADS / 2 * ROW_BYTES;
    const int PIXELS_BYTES = REACHED * ROW_BYTES, BUFFER = PIXELS_BYTES + OW * PIXELS * ROW_BYTES;
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int own = warp % OW, part = warp / OW, out = blockIdx.z * 16 * OW;
    int source = 0, block = blockIdx.y;
    while (block >= p.sources[source].source.map.channels / 16) block -= p.sources[source++].source.map.channels / 16;
    const Source &from = p.sources[source].source;
    const u16 *map = (const u16 *)from.map.data, *gradient = (const u16 *)p.gradient.data;
    const int in_channels = from.map.channels, out_channels = p.gradient.channels;
    const int channel = block * 16 + thread % 2 * 8;
    char *shared = shared_memory(), *const staged = shared + thread / 2 * ROW_BYTES + thread % 2 * 16;

    // Where this thread's halves of pixels lie within a tile's reach: row and column.
    u32 places[HELD];
    UNROLL for (int i = 0; i < HELD; i++) {
        const int pixel = (thread + i * THREADS) / 2;
        places[i] = pixel / RX << 8 | pixel % RX;
    }
    // The gradient's eight channels that this thread copies, the same in all its turns, and the pixel of its first turn.
    const int g_channel = thread % (2 * OW) * 8, g_pixel = thread / (2 * OW);
    const bool g_used = out + g_channel < out_channels;
    const int across = (p.width + COLUMNS - 1) / COLUMNS, down = (p.height + ROWS - 1) / ROWS;
    const int tiles = across * down * p.images;

    float sums[TAPS][2][4];
    UNROLL for (int i = 0; i < TAPS; i++)
        UNROLL for (int n = 0; n < 2; n++)
            UNROLL for (int e = 0; e < 4; e++) sums[i][n][e] = 0.0f;

    u32 inside = 0;
    auto is_inside = [&](int i) { return inside >> i & 1; };
    int image = 0;
    // Starts copying a tile to shared memory.
    auto fetch = [&](int tile, int buffer) {
        const int row = tile / across, left = (tile - row * across) * COLUMNS;
        image = row / down;
        const int top = (row - image * down) * ROWS;
        inside = 0;
        UNROLL for (int i = 0; i < HELD; i++) {
            if ((i + 1) * THREADS > REACHED * 2 && thread + i * THREADS >= REACHED * 2) continue;
            const int y = top - KS / 2 + (int)(places[i] >> 8), x = left - KS / 2 + (int)(places[i] & 255);
            const bool there = (u32)y < (u32)p.height && (u32)x < (u32)p.width;
            if (there) inside |= 1u << i;
            const u32 pixel = (image * p.height + y) * p.width + x;
            copy_16_or_zero(staged + buffer * BUFFER + i * STEP, map + (u64)pixel * (u32)in_channels + channel, there);
        }
        char *to = shared + buffer * BUFFER + PIXELS_BYTES + g_channel / 16 * PIXELS * ROW_BYTES + g_channel % 16 * 2;
        UNROLL for (int i = 0; i < 2 * OW; i++) {
            const int at = g_pixel + i * (THREADS / (2 * OW)), y = top + at / COLUMNS, x = left + at % COLUMNS;
            const bool there = g_used && y < p.height && x < p.width;
            const u32 pixel = (image * p.height + y) * p.width + x;
            const u16 *vector = gradient + (u64)pixel * (u32)out_channels + out + g_channel;
            copy_16_or_zero(to + at * ROW_BYTES, vector, there);
        }
    };
    const int a_lane = (lane % 8 + lane / 16 * 8) * ROW_BYTES + lane / 8 % 2 * 16;
    const int b_lane = (lane % 8 + lane / 8 % 2 * 8) * ROW_BYTES + lane / 16 * 16;
    int buffer = 0;
    if ((int)blockIdx.x < tiles) fetch(blockIdx.x, 0);
    for (int tile = blockIdx.x; tile < tiles; tile += p.shares, buffer ^= 1) {
        char *pixels = shared + buffer * BUFFER;
        copies_arrive();
        activate_staged<HELD>(staged + buffer * BUFFER, STEP, is_inside, from.activation, image, channel);
        // The buffer written from here on was last read before all threads arrived here.
        __syncthreads();
        if (tile + p.shares < tiles) fetch(tile + p.shares, buffer ^ 1);
        const char *a_from = pixels + PIXELS_BYTES + own * PIXELS * ROW_BYTES + a_lane, *b_from = pixels + b_lane;
        // Rows of pixels stay in registers as long as taps read them: row r in place r % 3.
        u32 window[KS][KS][4];
        UNROLL for (int k = 0; k < ROWS / PARTS; k++) {
            const int y = k * PARTS + part;
            u32 a[4];
            load_matrices_turned(a, a_from + y * COLUMNS * ROW_BYTES);
            UNROLL for (int j = 0; j < KS; j++)
                if (k == 0 || j >= KS - PARTS)
                    UNROLL for (int x = 0; x < KS; x++)
                        load_matrices_turned(window[(k * PARTS + j) % KS][x], b_from + ((y + j) * RX + x) * ROW_BYTES);
            UNROLL for (int i = 0; i < TAPS; i++) {
                const u32(&b)[4] = window[(k * PARTS + i / KS) % KS][i % KS];
                multiply_bf16(sums[i][0], a, b[0], b[1]);
                multiply_bf16(sums[i][1], a, b[2], b[3]);
            }
        }
    }
    write_weights<OW>(p, sums, out, 0, TAPS, TAPS);
}

// So few registers that three blocks fit on a multiprocessor: one waits for its tile, others multiply.
#define NARROW_WEIGHT_GRADIENT(OW) \
    DENSE_KERNEL(THREADS, 3, weight_gradient_bf16_##OW##_3, WeightGradient) { gradient_of_narrow_weights<OW>(p); }

NARROW_WEIGHT_GRADIENT(1)
NARROW_WEIGHT_GRADIENT(2)
NARROW_WEIGHT_GRADIENT(4)
