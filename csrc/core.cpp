#include "core.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "words.hpp"

namespace tithe {
namespace {

constexpr int64_t cache_line = 64;  // bytes; also the widest register

// Read from the middle: a mask that drops the first lanes of a register and keeps the rest.
const int32_t none_then_all[32] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                   -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

// One binary serves old and new machines: the best instruction set that this one has is chosen when the library is
// loaded. `vector128` is SSE2 or NEON, which every x86-64 and 64-bit arm machine has; `plain` is for all others.
namespace plain {
#define TITHE_TARGET
#define TITHE_LANES 1
#include "simd.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace plain

#if defined(__x86_64__) || defined(__aarch64__)
#define TITHE_VECTOR128
namespace vector128 {
#define TITHE_TARGET
#define TITHE_LANES 4
#include "simd.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace vector128
#endif

#if defined(__x86_64__)
namespace avx2 {
#define TITHE_TARGET __attribute__((target("avx2,fma")))
#define TITHE_LANES 8
#include "simd.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace avx2

namespace avx512 {
#define TITHE_TARGET __attribute__((target("avx512f,avx2,fma")))
#define TITHE_LANES 16
#include "simd.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace avx512
#endif

// The loops for one way of storing activations.
template <class T>
struct Loops {
    decltype(&plain::multiply_rows<T>) multiply_rows;
    decltype(&plain::dot_rows<T>) dot_rows;
    decltype(&plain::gradient_rows<T>) gradient_rows;
    decltype(&plain::row_sum<T>) row_sum;
};

struct Core {
    const char* name;
    int lanes;  // floats in a register
    int gradient_registers;
    Loops<float> float_loops;
    Loops<bf16> bf16_loops;
    decltype(&plain::products) products;

    template <class T>
    const Loops<T>& loops() const {
        if constexpr (std::is_same_v<T, bf16>) {
            return bf16_loops;
        } else {
            return float_loops;
        }
    }
};

// What this machine can run, the best first.
std::vector<Core> available() {
    std::vector<Core> found;
#define TITHE_LOOPS(space, T) {space::multiply_rows<T>, space::dot_rows<T>, space::gradient_rows<T>, space::row_sum<T>}
#define TITHE_CORE(space, name, lanes) \
    found.push_back({name, lanes, space::gradient_registers, TITHE_LOOPS(space, float), TITHE_LOOPS(space, bf16), space::products})
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) TITHE_CORE(avx512, "avx512", 16);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) TITHE_CORE(avx2, "avx2", 8);
    TITHE_CORE(vector128, "sse2", 4);
#elif defined(__aarch64__)
    TITHE_CORE(vector128, "neon", 4);
#endif
    TITHE_CORE(plain, "plain", 1);
#undef TITHE_CORE
#undef TITHE_LOOPS
    return found;
}

const std::vector<Core> cores = available();
Core core = cores.front();

// Below this many multiply-adds (a few microseconds) waking a second thread costs more than it saves.
constexpr int64_t worth_a_thread = 1 << 17;

int useful_threads(int64_t work, int n_threads) { return work < worth_a_thread ? 1 : std::max(n_threads, 1); }

int64_t work(const Terms& terms, const Runs& runs) { return terms.indptr[terms.rows] * runs.count * runs.length; }

int64_t work(const std::vector<Region>& regions) {
    int64_t sum = 0;
    for (const Region& region : regions) sum += work(region.terms, region.runs);
    return sum;
}

// A stretch cut into blocks of at most `most` units of `size` numbers, of nearly the same size.
struct Blocks {
    int64_t length, size, units, count;

    Blocks(int64_t length, int64_t size, int64_t most)
        : length(length), size(size), units((length + size - 1) / size), count((units + most - 1) / most) {}
    int64_t begin(int64_t block) const { return units * block / count * size; }
    int64_t end(int64_t block) const { return std::min(units * (block + 1) / count * size, length); }
};

// Rows [begin, end) of part `part` of `parts`: whole rows, with about the same number of nonzeros in each part.
struct Part {
    int64_t begin, end;

    Part(const Terms& terms, int64_t part, int64_t parts)
        : begin(row_at(terms, part, parts)), end(row_at(terms, part + 1, parts)) {}

  private:
    static int64_t row_at(const Terms& terms, int64_t part, int64_t parts) {
        if (part == 0) return 0;
        if (part == parts) return terms.rows;
        const auto p = static_cast<int32_t>(terms.indptr[terms.rows] * part / parts);
        return std::lower_bound(terms.indptr, terms.indptr + terms.rows, p) - terms.indptr;
    }
};

}  // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Core& one : cores) names.push_back(one.name);
    return names;
}

std::string instruction_set() { return core.name; }

void use_instruction_set(const std::string& name) {
    for (const Core& one : cores) {
        if (name == one.name) core = one;
    }
}

template <class T>
void multiply(T* y, const T* x, const std::vector<Region>& regions, [[maybe_unused]] int n_threads) {
    // Blocks are the outermost loop: the part of x that a block reads, one short run per column, stays in the cache while all
    // rows pass over it. Where blocks are few (a linear layer has one or two), rows are cut as well, for every thread's sake.
    struct Cut {
        const Region& region;
        Runs runs;
        Blocks blocks;
        int64_t chunks, begin;
    };
    constexpr int64_t registers = sizeof(float) / sizeof(T);  // that the numbers of one load take, as floats
    const auto& loops = core.loops<T>();
    std::vector<Cut> cuts;
    int64_t tasks = 0;
    for (const Region& region : regions) {
        const Runs runs = region.runs.merged();
        const int64_t rows = region.terms.rows;
        if (runs.count == 0 || runs.length == 0 || rows == 0) continue;
        const Blocks blocks(runs.length, core.lanes * registers, 8 / registers);
        const int64_t chunks = std::clamp<int64_t>(256 / (blocks.count * runs.count), 1, (rows + 7) / 8);
        cuts.push_back({region, runs, blocks, chunks, tasks});
        tasks += blocks.count * runs.count * chunks;
    }
#pragma omp parallel for schedule(dynamic, 1 + tasks / 256) num_threads(useful_threads(work(regions), n_threads))
    for (int64_t task = 0; task < tasks; ++task) {
        size_t at = cuts.size() - 1;
        while (cuts[at].begin > task) --at;
        const auto& [region, runs, blocks, chunks, begin] = cuts[at];
        const int64_t i = task - begin;
        const int64_t chunk = i % chunks, run = i / chunks % runs.count, block = i / chunks / runs.count;
        const int64_t left = blocks.begin(block), rows = region.terms.rows;
        loops.multiply_rows(y + region.y + run * runs.y_step + left, x + region.x + run * runs.x_step + left, region.terms,
                            runs.y_row, rows * chunk / chunks, rows * (chunk + 1) / chunks, blocks.end(block) - left);
    }
}

template <class T>
void inner_products(float* dvalues, const T* dy, const T* x, const Terms& terms, const Runs& apart, int n_threads) {
    const Runs runs = apart.merged();
    const int64_t nnz = terms.indptr[terms.rows];
    if (runs.count == 0 || runs.length == 0) {
        std::fill_n(dvalues, nnz, 0.0f);
        return;
    }
    // Long stretches are cut, so that a piece of dy stays in the nearest cache while a row's nonzeros pass over it.
    constexpr int64_t piece = 512;
    const int parts = useful_threads(work(terms, runs), n_threads);
#pragma omp parallel for schedule(static, 1) num_threads(parts)
    for (int part = 0; part < parts; ++part) {
        // How rows are parted changes no bit: every element of dvalues is a sum over pieces in the same order.
        const Part mine(terms, part, parts);
        for (int64_t run = 0; run < runs.count; ++run) {
            for (int64_t at = 0; at < runs.length; at += piece) {
                const bool add = run + at > 0;  // the first piece writes, the others add
                core.loops<T>().dot_rows(dvalues, dy + run * runs.y_step + at, x + run * runs.x_step + at, terms,
                                         runs.y_row, mine.begin, mine.end, std::min(piece, runs.length - at), add);
            }
        }
    }
}

template <class T>
void gradients(T* dx, const std::vector<float*>& dvalues, const T* dy, const T* x, const std::vector<Region>& regions,
               int n_threads) {
    constexpr int64_t registers = sizeof(float) / sizeof(T);
    const auto& loops = core.loops<T>();
    for (size_t k = 0; k < regions.size(); ++k) {
        const Terms& terms = regions[k].terms;
        if (regions[k].runs.count * regions[k].runs.length == 0) std::fill_n(dvalues[k], terms.indptr[terms.rows], 0.0f);
    }
    const int parts = useful_threads(work(regions), n_threads);
#pragma omp parallel for schedule(static, 1) num_threads(parts)
    for (int part = 0; part < parts; ++part) {
        // No part writes what another writes, and sums over blocks keep their order, however many parts there are.
        for (size_t k = 0; k < regions.size(); ++k) {
            const Region& region = regions[k];
            const Runs runs = region.runs.merged();
            const Part mine(region.terms, part, parts);
            const Blocks blocks(runs.length, core.lanes * registers, core.gradient_registers / registers);
            for (int64_t i = 0; i < blocks.count * runs.count; ++i) {
                const int64_t block = i / runs.count, run = i % runs.count, left = blocks.begin(block);
                const int64_t at = region.y + run * runs.y_step + left;
                loops.gradient_rows(dx + at, dvalues[k], dy + region.x + run * runs.x_step + left, x + at, region.terms,
                                    runs.y_row, mine.begin, mine.end, blocks.end(block) - left, i > 0);
            }
        }
    }
}

void add_products(const Products& of, float* out, const float* dy, const float* x, int64_t rows, int64_t columns) {
    core.products(of, out, dy, x, rows, columns);
}

template <class T>
void row_sums(float* sums, const T* y, int64_t rows, int64_t length, [[maybe_unused]] int n_threads) {
#pragma omp parallel for schedule(static) num_threads(rows * length < worth_a_thread ? 1 : std::max(n_threads, 1))
    for (int64_t row = 0; row < rows; ++row) sums[row] = core.loops<T>().row_sum(y + row * length, length);
}

template <class T>
void transpose(T* to, const T* from, int64_t rows, int64_t cols, [[maybe_unused]] int n_threads) {
    // In tiles of 16 rows by 512 bytes, of which a column makes a cache line of floats. A tile is copied first: its lines may compete for one place in the cache,
    // where the rows are a power of two apart, and would be lost before all that they hold is used.
    constexpr int64_t high = 16, wide = 512 / sizeof(T);
    const int64_t strips = (cols + wide - 1) / wide;
#pragma omp parallel for schedule(static) num_threads(rows * cols < worth_a_thread ? 1 : std::max(n_threads, 1))
    for (int64_t strip = 0; strip < strips; ++strip) {
        const int64_t left = strip * wide, width = std::min(wide, cols - left);
        for (int64_t top = 0; top < rows; top += high) {
            const int64_t height = std::min(high, rows - top);
            alignas(64) T tile[high][wide];
            for (int64_t i = 0; i < height; ++i) {
                std::memcpy(tile[i], from + (top + i) * cols + left, static_cast<size_t>(width) * sizeof(T));
            }
            T* out = to + left * rows + top;
            if (height == high) {
                for (int64_t j = 0; j < width; ++j, out += rows) {
                    for (int64_t i = 0; i < high; ++i) out[i] = tile[i][j];
                }
            } else {
                for (int64_t j = 0; j < width; ++j, out += rows) {
                    for (int64_t i = 0; i < height; ++i) out[i] = tile[i][j];
                }
            }
        }
    }
}

#define TITHE_INSTANTIATE(T)                                                               \
    template void multiply(T*, const T*, const std::vector<Region>&, int);                 \
    template void inner_products(float*, const T*, const T*, const Terms&, const Runs&, int); \
    template void gradients(T*, const std::vector<float*>&, const T*, const T*, const std::vector<Region>&, int); \
    template void row_sums(float*, const T*, int64_t, int64_t, int);                       \
    template void transpose(T*, const T*, int64_t, int64_t, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
