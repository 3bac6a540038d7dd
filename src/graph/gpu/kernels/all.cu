// Every kernel, as one module.
#include "combine.cuh"
#include "convolution.cuh"
#include "convolution_narrow.cuh"
#include "depthwise.cuh"
#include "depthwise_gradient.cuh"
#include "exchange.cuh"
#include "gates.cuh"
#include "norm.cuh"
#include "optimizer.cuh"
#include "pack.cuh"
#include "pictures.cuh"
#include "planes.cuh"
#include "resample.cuh"
#include "weight_gradient.cuh"
#include "weight_gradient_narrow.cuh"

#ifdef EMULATE

namespace emulator {
thread_local Block *now;
}

// The structure of this name, or a kernel's parameters; null if there is neither.
static const Structure *structure_of(const char *name) {
    for (Entry *e = entries; e; e = e->next)
        if (!strcmp(e->name, name)) name = e->structure;
    for (Structure *s = structures; s; s = s->next)
        if (!strcmp(s->name, name)) return s;
    return nullptr;
}

// Size of a structure or of a kernel's parameters; 0 if there is none of this name.
extern "C" size_t emulator_size(const char *name) {
    const Structure *structure = structure_of(name);
    return structure ? structure->size : 0;
}

// Name, offset and size of a field of a structure or of a kernel's parameters; null after the last field.
extern "C" const char *emulator_field(const char *name, size_t index, size_t *offset, size_t *size) {
    const Structure *structure = structure_of(name);
    if (!structure || index >= structure->count) return nullptr;
    const Field &field = structure->fields[index];
    *offset = field.offset, *size = field.size;
    return field.name;
}

extern "C" int emulator_launch(const char *name, const void *parameters, const u32 grid[3], u32 threads, size_t shared,
                               int falling) {
    Entry *entry = entries;
    while (entry && strcmp(entry->name, name)) entry = entry->next;
    if (!entry) return 1;
    // The kernel is compiled for this number: a GPU would refuse more threads, and fewer would leave work undone.
    if (threads != entry->threads) return 2;
    emulator::Block block;
    block.kernel = entry->kernel, block.parameters = parameters;
    block.grid = {grid[0], grid[1], grid[2]}, block.block = {threads, 1, 1}, block.count = threads;
    block.fibers.resize(threads);
    block.lanes.resize((threads + 31) / 32 * 64);
    std::vector<char> stacks((threads + 1) * emulator::STACK), memory(shared + 128);
    block.shared = (char *)(((u64)memory.data() + 127) & ~(u64)127);
    for (u32 z = 0; z < grid[2]; z++)
        for (u32 y = 0; y < grid[1]; y++)
            for (u32 x = 0; x < grid[0]; x++) {
                memset(memory.data(), 0xff, memory.size());
                block.block_index = {x, y, z};
                emulator::run_block(block, falling, stacks);
            }
    return 0;
}

#endif
