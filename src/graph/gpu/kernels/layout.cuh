// The layout of every structure that has a mirror in Rust, so that tests can compare the two field by field.
//
// FIELDS(Structure, a, b, ...) after a structure's definition lists all its fields. The compiler computes offsets and
// sizes, and rejects a list that misses a field. On a GPU the list expands to nothing.
#pragma once

#ifdef EMULATE

#include <stddef.h>

struct Field {
    const char *name;
    size_t offset, size;
};

// Structures by name.
struct Structure {
    const char *name;
    const Field *fields;
    size_t count, size;
    Structure *next;
};
inline Structure *structures = nullptr;

template <size_t N>
constexpr size_t total_size(const Field (&fields)[N]) {
    size_t total = 0;
    for (const Field &field : fields) total += field.size;
    return total;
}

// One entry for each name: the expansion of a list asks for its rest again until none is left.
#define EXPAND(...) EXPAND_4(EXPAND_4(EXPAND_4(EXPAND_4(__VA_ARGS__))))
#define EXPAND_4(...) EXPAND_16(EXPAND_16(EXPAND_16(EXPAND_16(__VA_ARGS__))))
#define EXPAND_16(...) EXPAND_64(EXPAND_64(EXPAND_64(EXPAND_64(__VA_ARGS__))))
#define EXPAND_64(...) __VA_ARGS__
#define NOTHING
#define ENTRIES(Name, field, ...)                         \
    {#field, offsetof(Name, field), sizeof(Name::field)}, \
    __VA_OPT__(ENTRIES_AGAIN NOTHING()(Name, __VA_ARGS__))
#define ENTRIES_AGAIN() ENTRIES

#define FIELDS(Name, ...)                                                                                   \
    static constexpr Field fields_of_##Name[] = {EXPAND(ENTRIES(Name, __VA_ARGS__))};                       \
    static_assert(total_size(fields_of_##Name) == sizeof(Name), "FIELDS misses a field of " #Name);         \
    static Structure structure_##Name = {#Name, fields_of_##Name, sizeof(fields_of_##Name) / sizeof(Field), \
                                         sizeof(Name), structures};                                         \
    static bool listed_##Name = (structures = &structure_##Name, true);

#else

#define FIELDS(...)

#endif
