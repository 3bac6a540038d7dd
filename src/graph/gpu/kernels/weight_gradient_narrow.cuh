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
    const int KS = 3, TAPS = KS * KS, REACHED = ROWS + KS - 1, PARTS = WARPS / OW;
    typedef Reach<REACHED> Rows;
    const int PIXELS_BYTES = REACHED * ROW_BYTES, BUFFER = PIXELS_BYTES + OW * PIXELS * 32;
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int own = warp % OW, part = warp / OW, out = blockIdx.z * 16 * OW;
    int source = 0, block = blockIdx.y;
    while (block >= p.sources[source].source.map.channels / 16) block -= p.sources[source++].source.map.channels / 16;
    const Source &from = p.sources[source].source;
    const u16 *map = (const u16 *)from.map.data + block * 16, *gradient = (const u16 *)p.gradient.data;
    const int out_channels = p.gradient.channels;
    char *shared = shared_memory();
    const Rows rows = Rows::of(thread);

    const int G_STEP = THREADS / (2 * OW);
    static_assert(G_STEP % COLUMNS == 0, "a thread copies one column of the gradient");
    const int across = (p.width + COLUMNS - 1) / COLUMNS, down = (p.height + ROWS - 1) / ROWS;
    const int tiles = across * down * p.images;

    float sums[TAPS][2][4];
    UNROLL for (int i = 0; i < TAPS; i++)
        UNROLL for (int n = 0; n < 2; n++)
            UNROLL for (int e = 0; e < 4; e++) sums[i][n][e] = 0.0f;

    u32 inside = 0;
    // The tile that is copied next: its image, and its place there in tiles.
    const int first_row = blockIdx.x / across;
    int image = first_row / down, tile_y = first_row - image * down, tile_x = blockIdx.x - first_row * across;
    // Starts copying it to shared memory.
    auto fetch = [&](int buffer) {
        const int top = tile_y * ROWS, left = tile_x * COLUMNS, y = top - KS / 2 + rows.row, x = left - KS / 2 + rows.x;
        inside = (u32)x < (u32)p.width ? Rows::rows_inside(rows, top - KS / 2, p.height) : 0;
        char *to = shared + buffer * BUFFER;
        Rows::copy(rows, to, map, from.map.channels, (image * p.height + y) * p.width + x, p.width, inside);
        // The gradient's eight channels that this thread copies, the same in all its turns, and the pixel of its first turn.
        const int thread = unknown(threadIdx.x), g_channel = thread % (2 * OW) * 8, g_pixel = thread / (2 * OW);
        const int g_offset = PIXELS_BYTES + g_channel / 16 * PIXELS * 32 + half_at(g_pixel, g_channel / 8 % 2);
        const bool g_used = out + g_channel < out_channels;
        UNROLL for (int i = 0; i < 2 * OW; i++) {
            const int g_y = top + g_pixel / COLUMNS + i * (G_STEP / COLUMNS), g_x = left + g_pixel % COLUMNS;
            const bool there = g_used && g_y < p.height && g_x < p.width;
            const u32 pixel = (image * p.height + g_y) * p.width + g_x;
            copy_16_or_zero(to + g_offset + i * G_STEP * 32, gradient + (u64)pixel * (u32)out_channels + out + g_channel, there);
        }
    };
    const int a_lane = half_at(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    int b_lane[KS];
    UNROLL for (int tap = 0; tap < KS; tap++) b_lane[tap] = half_at(lane % 8 + lane / 8 % 2 * 8 + tap, lane / 16);
    int buffer = 0;
    if ((int)blockIdx.x < tiles) fetch(0);
    for (int tile = blockIdx.x; tile < tiles; tile += p.shares, buffer ^= 1) {
        char *pixels = shared + buffer * BUFFER;
        // What has to be read for it arrives with the copies.
        const Applied applied_to = applied(from.activation, image, block * 16 + rows.channel);
        copies_arrive();
        Rows::activate_copied(rows, pixels, applied_to, inside);
        // The buffer written from here on was last read before all threads arrived here.
        __syncthreads();
        if (tile + p.shares < tiles) {
            image += p.step_images, tile_y += p.step_down, tile_x += p.step_across;
            if (tile_x >= across) tile_x -= across, tile_y++;
            if (tile_y >= down) tile_y -= down, image++;
            fetch(buffer ^ 1);
        }
        const char *a_from = pixels + PIXELS_BYTES + own * PIXELS * 32 + a_lane;
        // Rows of pixels stay in registers as long as taps read them: row r in place r % 3. Those of the last column are read
        // again, from addresses that the compiler does not know to be the same: there are too few registers.
        const int zero = p.padding - KS / 2;
        u32 window[KS][KS][4];
        UNROLL for (int k = 0; k < ROWS / PARTS; k++) {
            const int y = k * PARTS + part;
            u32 a[4];
            load_matrices_turned(a, a_from + y * COLUMNS * 32);
            UNROLL for (int j = 0; j < KS; j++)
                UNROLL for (int x = 0; x < KS; x++)
                    if (k == 0 || j >= KS - PARTS || x == KS - 1)
                        load_matrices_turned(window[(k * PARTS + j) % KS][x], pixels + zero * k + b_lane[x] + (y + j) * ROW_BYTES);
            UNROLL for (int i = 0; i < TAPS; i++) {
                const u32(&b)[4] = window[(k * PARTS + i / KS) % KS][i % KS];
                multiply_bf16(sums[i][0], a, b[0], b[1]);
                multiply_bf16(sums[i][1], a, b[2], b[3]);
            }
        }
    }
    write_weights<OW>(p, sums, out, 0, TAPS, TAPS);
}

// So few registers that four blocks fit on a multiprocessor: one waits for its tile, others multiply.
#define NARROW_WEIGHT_GRADIENT(OW) \
    DENSE_KERNEL(THREADS, 4, weight_gradient_bf16_##OW##_3, WeightGradient) { gradient_of_narrow_weights<OW>(p); }

NARROW_WEIGHT_GRADIENT(1)
NARROW_WEIGHT_GRADIENT(2)
NARROW_WEIGHT_GRADIENT(4)
