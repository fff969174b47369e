#include "linear.hpp"

#include <algorithm>

#include "core.hpp"

// Row j of x, `batch` floats long, is what column j of the matrix reads: the indices are the places.

namespace tithe {
namespace {

Runs one_run(int64_t batch) { return {1, batch, 0, 0, batch}; }

}  // namespace

void linear_forward(float* y, const float* x, const float* values, const float* bias, const int32_t* indptr,
                    const int32_t* indices, int64_t rows, int64_t /*cols*/, int64_t batch, int n_threads) {
    multiply(y, x, {rows, indptr, indices, batch, values, bias}, one_run(batch), n_threads);
}

void linear_dx(float* dx, const float* dy, const float* values, const int32_t* t_indptr, const int32_t* t_indices,
               const int32_t* t_perm, int64_t /*rows*/, int64_t cols, int64_t batch, int n_threads) {
    // Every block of the batch reads all weights: put them in order once.
    const int64_t nnz = t_indptr[cols];
    Scratch<float> weights(nnz);
#pragma omp parallel for schedule(static) num_threads(nnz < (1 << 14) ? 1 : std::max(n_threads, 1))
    for (int64_t q = 0; q < nnz; ++q) weights[q] = values[t_perm[q]];
    multiply(dx, dy, {cols, t_indptr, t_indices, batch, weights.get()}, one_run(batch), n_threads);
}

void linear_dw(float* dvalues, const float* dy, const float* x, const int32_t* indptr, const int32_t* indices,
               int64_t rows, int64_t /*cols*/, int64_t batch, int n_threads) {
    inner_products(dvalues, dy, x, {rows, indptr, indices, batch, nullptr}, one_run(batch), n_threads);
}

}  // namespace tithe
