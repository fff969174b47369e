#include "core.hpp"

#include <algorithm>

namespace tithe {
namespace {

// Read from the middle: a mask that drops the first lanes of a register and keeps the rest.
const int32_t none_then_all[32] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                   -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

// One binary serves old and new x86-64 machines: the widest registers that this one has are chosen when the library is
// loaded. 128 bits, which every x86-64 and 64-bit arm machine has, are the floor.
namespace simd128 {
#define TITHE_TARGET
#define TITHE_LANES 4
#include "simd.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace simd128

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

struct Core {
    int lanes;
    decltype(&simd128::multiply_rows) multiply_rows;
    decltype(&simd128::dot_rows) dot_rows;
    decltype(&simd128::row_sum) row_sum;
};

Core choose(int most_lanes) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx512 = __builtin_cpu_supports("avx512f");
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (most_lanes >= 16 && has_avx512) return {16, avx512::multiply_rows, avx512::dot_rows, avx512::row_sum};
    if (most_lanes >= 8 && has_avx2) return {8, avx2::multiply_rows, avx2::dot_rows, avx2::row_sum};
#endif
    static_cast<void>(most_lanes);
    return {4, simd128::multiply_rows, simd128::dot_rows, simd128::row_sum};
}

Core core = choose(16);

// Below this many multiply-adds (a few microseconds) waking a second thread costs more than it saves.
constexpr int64_t worth_a_thread = 1 << 17;

int useful_threads(const Terms& terms, const Runs& runs, int n_threads) {
    const int64_t work = terms.indptr[terms.rows] * runs.count * runs.length;
    return work < worth_a_thread ? 1 : std::max(n_threads, 1);
}

}  // namespace

int use_lanes(int most) {
    core = choose(most);
    return core.lanes;
}

void multiply(float* y, const float* x, const Terms& terms, const Runs& apart, [[maybe_unused]] int n_threads) {
    const Runs runs = apart.merged();
    if (runs.count == 0 || runs.length == 0 || terms.rows == 0) return;
    // A stretch is cut into blocks of at most 8 registers, of nearly the same size. Blocks are the outermost loop: the
    // part of x that a block reads, one short run per column, stays in the cache while all rows pass over it.
    const int64_t units = (runs.length + core.lanes - 1) / core.lanes;
    const int64_t blocks = (units + 7) / 8;
    // Few blocks (a linear layer has one or two): cut the rows as well, so that there is work for every thread.
    const int64_t chunks = std::clamp<int64_t>(256 / (blocks * runs.count), 1, (terms.rows + 7) / 8);
    const int64_t tasks = blocks * runs.count * chunks;
#pragma omp parallel for schedule(dynamic, 1 + tasks / 256) num_threads(useful_threads(terms, runs, n_threads))
    for (int64_t task = 0; task < tasks; ++task) {
        const int64_t chunk = task % chunks, run = task / chunks % runs.count, block = task / chunks / runs.count;
        const int64_t left = units * block / blocks * core.lanes;
        const int64_t right = std::min(units * (block + 1) / blocks * core.lanes, runs.length);
        core.multiply_rows(y + run * runs.y_step + left, x + run * runs.x_step + left, terms, runs.y_row,
                           terms.rows * chunk / chunks, terms.rows * (chunk + 1) / chunks, right - left);
    }
}

void inner_products(float* dvalues, const float* dy, const float* x, const Terms& terms, const Runs& apart,
                    int n_threads) {
    const Runs runs = apart.merged();
    const int64_t nnz = terms.indptr[terms.rows];
    if (runs.count == 0 || runs.length == 0) {
        std::fill_n(dvalues, nnz, 0.0f);
        return;
    }
    // Long stretches are cut, so that a piece of dy stays in the nearest cache while a row's nonzeros pass over it.
    constexpr int64_t piece = 1024;
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
                core.dot_rows(dvalues, dy + run * runs.y_step + at, x + run * runs.x_step + at, terms, runs.y_row,
                              begin, end, std::min(piece, runs.length - at), add);
            }
        }
    }
}

void row_sums(float* sums, const float* y, int64_t rows, int64_t length, [[maybe_unused]] int n_threads) {
#pragma omp parallel for schedule(static) num_threads(rows * length < worth_a_thread ? 1 : std::max(n_threads, 1))
    for (int64_t row = 0; row < rows; ++row) sums[row] = core.row_sum(y + row * length, length);
}

void transpose(float* to, const float* from, int64_t rows, int64_t cols, [[maybe_unused]] int n_threads) {
    // Squares of 16 x 16 floats: a cache line wide on both sides.
    constexpr int64_t side = 16;
#pragma omp parallel for schedule(static) num_threads(rows * cols < worth_a_thread ? 1 : std::max(n_threads, 1))
    for (int64_t left = 0; left < cols; left += side) {
        const int64_t right = std::min(left + side, cols);
        for (int64_t top = 0; top < rows; top += side) {
            const int64_t bottom = std::min(top + side, rows);
            for (int64_t j = left; j < right; ++j) {
                for (int64_t i = top; i < bottom; ++i) to[j * rows + i] = from[i * cols + j];
            }
        }
    }
}

}  // namespace tithe
