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
    decltype(&plain::row_sum<T>) row_sum;
};

struct Core {
    const char* name;
    int lanes;  // floats in a register
    Loops<float> float_loops;
    Loops<bf16> bf16_loops;

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
#define TITHE_LOOPS(space, T) {space::multiply_rows<T>, space::dot_rows<T>, space::row_sum<T>}
#define TITHE_CORE(space, name, lanes) \
    found.push_back({name, lanes, TITHE_LOOPS(space, float), TITHE_LOOPS(space, bf16)})
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

int useful_threads(const Terms& terms, const Runs& runs, int n_threads) {
    const int64_t work = terms.indptr[terms.rows] * runs.count * runs.length;
    return work < worth_a_thread ? 1 : std::max(n_threads, 1);
}

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
void multiply(T* y, const T* x, const Terms& terms, const Runs& apart, [[maybe_unused]] int n_threads) {
    const Runs runs = apart.merged();
    if (runs.count == 0 || runs.length == 0 || terms.rows == 0) return;
    const auto& loops = core.loops<T>();
    // A stretch is cut into blocks of at most 8 registers, of nearly the same size. Blocks are the outermost loop: the
    // part of x that a block reads, one short run per column, stays in the cache while all rows pass over it.
    constexpr int64_t registers = sizeof(float) / sizeof(T);  // that the numbers of one load take, as floats
    const int64_t size = core.lanes * registers, most = 8 / registers;
    const int64_t units = (runs.length + size - 1) / size;
    const int64_t blocks = (units + most - 1) / most;
    // Few blocks (a linear layer has one or two): cut the rows as well, so that there is work for every thread.
    const int64_t chunks = std::clamp<int64_t>(256 / (blocks * runs.count), 1, (terms.rows + 7) / 8);
    const int64_t tasks = blocks * runs.count * chunks;
#pragma omp parallel for schedule(dynamic, 1 + tasks / 256) num_threads(useful_threads(terms, runs, n_threads))
    for (int64_t task = 0; task < tasks; ++task) {
        const int64_t chunk = task % chunks, run = task / chunks % runs.count, block = task / chunks / runs.count;
        const int64_t left = units * block / blocks * size;
        const int64_t right = std::min(units * (block + 1) / blocks * size, runs.length);
        loops.multiply_rows(y + run * runs.y_step + left, x + run * runs.x_step + left, terms, runs.y_row,
                            terms.rows * chunk / chunks, terms.rows * (chunk + 1) / chunks, right - left);
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
    const int parts = useful_threads(terms, runs, n_threads);
#pragma omp parallel for schedule(static, 1) num_threads(parts)
    for (int part = 0; part < parts; ++part) {
        // Each part has whole rows with about the same number of nonzeros. How rows are parted changes no bit: every
        // element of dvalues is a sum over pieces in the same order.
        const auto row_at = [&](int64_t p) {
            return std::lower_bound(terms.indptr, terms.indptr + terms.rows, static_cast<int32_t>(p)) - terms.indptr;
        };
        const int64_t begin = part == 0 ? 0 : row_at(nnz * part / parts);
        const int64_t end = part + 1 == parts ? terms.rows : row_at(nnz * (part + 1) / parts);
        for (int64_t run = 0; run < runs.count; ++run) {
            for (int64_t at = 0; at < runs.length; at += piece) {
                const bool add = run + at > 0;  // the first piece writes, the others add
                core.loops<T>().dot_rows(dvalues, dy + run * runs.y_step + at, x + run * runs.x_step + at, terms,
                                         runs.y_row, begin, end, std::min(piece, runs.length - at), add);
            }
        }
    }
}

template <class T>
void row_sums(float* sums, const T* y, int64_t rows, int64_t length, [[maybe_unused]] int n_threads) {
#pragma omp parallel for schedule(static) num_threads(rows * length < worth_a_thread ? 1 : std::max(n_threads, 1))
    for (int64_t row = 0; row < rows; ++row) sums[row] = core.loops<T>().row_sum(y + row * length, length);
}

template <class T>
void transpose(T* to, const T* from, int64_t rows, int64_t cols, [[maybe_unused]] int n_threads) {
    // In tiles of 32 by 512 bytes. A tile is copied first: its lines may compete for one place in the cache,
    // where the rows are a power of two apart, and would be lost before all that they hold is used.
    constexpr int64_t high = 32 / sizeof(T), wide = 512 / sizeof(T);
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
    template void multiply(T*, const T*, const Terms&, const Runs&, int);                  \
    template void inner_products(float*, const T*, const T*, const Terms&, const Runs&, int); \
    template void row_sums(float*, const T*, int64_t, int64_t, int);                       \
    template void transpose(T*, const T*, int64_t, int64_t, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
