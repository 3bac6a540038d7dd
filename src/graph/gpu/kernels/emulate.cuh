// Runs kernels on the processor, so that tests can compare them with the other engines without a GPU.
//
// A block's threads are fibers of one thread of the processor. Each runs until it waits for others, in rising or, by
// choice, falling order, so that a dependence on the order of threads shows. Instructions of a whole warp are computed
// from a table of the lanes' operands, lane by lane, by PTX's definition of the fragments. Shared memory starts as NaN.
// A deadlock of threads stops the program.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#define DEVICE static inline __attribute__((unused))
#define UNROLL
#define UNROLL_BY(times)
#define __syncthreads() emulator::wait_for_block()
#define threadIdx (emulator::now->thread_index)
#define blockIdx (emulator::now->block_index)
#define gridDim (emulator::now->grid)
#define blockDim (emulator::now->block)

struct Index {
    u32 x, y, z;
};
struct uint4 {
    u32 x, y, z, w;
} __attribute__((aligned(16)));
struct float4 {
    float x, y, z, w;
} __attribute__((aligned(16)));
struct float2 {
    float x, y;
} __attribute__((aligned(8)));
DEVICE uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
DEVICE float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
DEVICE float2 make_float2(float x, float y) { return {x, y}; }

namespace emulator {

// Saves the registers that a call preserves and the stack, and continues at the state saved in `load`.
extern "C" void sweep_emulator_switch(void **save, void *load) __attribute__((visibility("hidden")));
#if defined(__x86_64__)
asm(R"(
.text
.hidden sweep_emulator_switch
.globl sweep_emulator_switch
sweep_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#else
#error "the emulator switches stacks on x86-64 only"
#endif

const int WARP = 32;
const size_t STACK = 64 << 10;

struct Lane {
    u64 words[8];
};

struct Fiber {
    void *stack;
    enum { READY, IN_WARP, IN_BLOCK, ENDED } state;
    int exchanges;
};

struct Block {
    Index thread_index, block_index, grid, block;
    void (*kernel)(const void *);
    const void *parameters;
    char *shared;
    int count, current;
    void *scheduler;
    std::vector<Fiber> fibers;
    // Two tables per warp, used in turn: a lane may be one exchange ahead of the others.
    std::vector<Lane> lanes;
};

extern thread_local Block *now;

inline void yield() { sweep_emulator_switch(&now->fibers[now->current].stack, now->scheduler); }

inline void wait_for_block() {
    now->fibers[now->current].state = Fiber::IN_BLOCK;
    yield();
}

// Puts this lane's words into the warp's table and returns the table once all lanes have done so.
inline const Lane *exchange(const Lane &mine) {
    Fiber &fiber = now->fibers[now->current];
    int warp = now->current / WARP, turn = fiber.exchanges++ & 1;
    Lane *table = &now->lanes[(2 * warp + turn) * WARP];
    table[now->current % WARP] = mine;
    fiber.state = Fiber::IN_WARP;
    yield();
    return table;
}

inline void begin() {
    now->kernel(now->parameters);
    now->fibers[now->current].state = Fiber::ENDED;
    yield();
    abort();
}

inline bool all(int first, int count, int state) {
    for (int i = first; i < first + count; i++)
        if (now->fibers[i].state != state && now->fibers[i].state != Fiber::ENDED) return false;
    return true;
}

inline void run_block(Block &block, bool falling, std::vector<char> &stacks) {
    now = &block;
    for (int i = 0; i < block.count; i++) {
        u64 top = ((u64)(stacks.data() + (i + 1) * STACK)) & ~(u64)63;
        void **stack = (void **)top;
        *--stack = nullptr;
        *--stack = (void *)begin;
        stack -= 6;
        block.fibers[i] = {stack, Fiber::READY, 0};
    }
    for (;;) {
        bool progress = false, ended = true;
        for (int k = 0; k < block.count; k++) {
            int i = falling ? block.count - 1 - k : k;
            Fiber &fiber = block.fibers[i];
            ended = ended && fiber.state == Fiber::ENDED;
            if (fiber.state == Fiber::READY) {
                block.current = i;
                block.thread_index = {(u32)i, 0, 0};
                sweep_emulator_switch(&block.scheduler, fiber.stack);
                progress = true;
            }
        }
        if (ended) return;
        for (int first = 0; first < block.count; first += WARP) {
            int count = block.count - first < WARP ? block.count - first : WARP;
            if (!all(first, count, Fiber::IN_WARP)) continue;
            for (int i = first; i < first + count; i++)
                if (block.fibers[i].state == Fiber::IN_WARP) block.fibers[i].state = Fiber::READY, progress = true;
        }
        if (all(0, block.count, Fiber::IN_BLOCK))
            for (Fiber &fiber : block.fibers)
                if (fiber.state == Fiber::IN_BLOCK) fiber.state = Fiber::READY, progress = true;
        if (!progress) {
            fprintf(stderr, "a kernel's threads wait for each other for ever\n");
            abort();
        }
    }
}

}  // namespace emulator

DEVICE char *shared_memory() { return emulator::now->shared; }
DEVICE u32 bits_of(float v) {
    u32 bits;
    memcpy(&bits, &v, 4);
    return bits;
}
DEVICE float of_bits(u32 bits) {
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

DEVICE u32 round_bf16(float v) {
    u32 bits = bits_of(v);
    if (v != v) return 0x7fff;
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
DEVICE u32 pack_bf16(float low, float high) { return round_bf16(low) | round_bf16(high) << 16; }
DEVICE float round_tf32(float v) { return v != v ? v : of_bits((bits_of(v) + 0x1000) & ~0x1fffu); }

DEVICE void matrices(u32 (&to)[4], const void *row, bool turned) {
    const emulator::Lane *lanes = emulator::exchange({{(u64)row}});
    int lane = emulator::now->current % emulator::WARP;
    for (int m = 0; m < 4; m++) {
        u32 both = 0;
        for (int i = 0; i < 2; i++) {
            int a = lane / 4, b = 2 * (lane % 4) + i;
            const u16 *from = (const u16 *)lanes[8 * m + (turned ? b : a)].words[0];
            if ((u64)from % 16) fprintf(stderr, "a matrix row that is not aligned\n"), abort();
            both |= (u32)from[turned ? a : b] << (16 * i);
        }
        to[m] = both;
    }
}
DEVICE void load_matrices(u32 (&to)[4], const void *row) { matrices(to, row, false); }
DEVICE void load_matrices_turned(u32 (&to)[4], const void *row) { matrices(to, row, true); }

// Factor a of row i and column k, and b of row k and column j, in the lanes' layout.
DEVICE void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, bool halves) {
    const emulator::Lane *lanes = emulator::exchange({{a[0], a[1], a[2], a[3], b0, b1}});
    int lane = emulator::now->current % emulator::WARP, per = halves ? 2 : 1, depth = 8 * per;
    auto value = [&](const emulator::Lane &from, int word, int k) {
        u32 bits = (u32)from.words[word];
        return halves ? of_bits((bits >> (16 * (k % 2))) << 16) : of_bits(bits & ~0x1fffu);
    };
    for (int e = 0; e < 4; e++) {
        int i = lane / 4 + 8 * (e / 2), j = 2 * (lane % 4) + e % 2;
        float sum = c[e];
        for (int k = 0; k < depth; k++) {
            int t = k % (depth / 2) / per, upper = k / (depth / 2);
            sum += value(lanes[i % 8 * 4 + t], 2 * upper + i / 8, k) * value(lanes[j * 4 + t], 4 + upper, k);
        }
        c[e] = sum;
    }
}
DEVICE void multiply_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) { multiply(c, a, b0, b1, true); }
DEVICE void multiply_tf32(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) { multiply(c, a, b0, b1, false); }

DEVICE float at_most(float v, float ceiling) { return v >= ceiling ? ceiling : v; }

DEVICE float shuffle_xor(float v, int other) {
    const emulator::Lane *lanes = emulator::exchange({{bits_of(v)}});
    return of_bits((u32)lanes[emulator::now->current % emulator::WARP ^ other].words[0]);
}

DEVICE void copy_16(void *to, const void *from) {
    if ((u64)to % 16 || (u64)from % 16) fprintf(stderr, "a copy that is not aligned\n"), abort();
    memcpy(to, from, 16);
}
DEVICE float positive(float v) { return v > 0.0f || v != v ? v : 0.0f; }
DEVICE int unknown(int v) { return v; }
DEVICE void copies_arrive() {}

// Kernels by name.
struct Entry {
    const char *name;
    // Structure of the parameters.
    const char *structure;
    void (*kernel)(const void *);
    u32 threads;
    Entry *next;
};
inline Entry *entries = nullptr;

#define KERNEL(threads, name, Parameters)                                                              \
    static void name(const Parameters &p);                                                             \
    static Entry entry_##name = {#name, #Parameters, [](const void *p) { name(*(const Parameters *)p); }, \
                                 threads, entries};                                                    \
    static bool added_##name = (entries = &entry_##name, true);                                        \
    static void name(const Parameters &p)
#define DENSE_KERNEL(threads, blocks, name, Parameters) KERNEL(threads, name, Parameters)
