#include "linear.hpp"

#include <algorithm>

#include "core.hpp"

// Row j of x, `batch` numbers long, is what column j of the matrix reads: the indices are the places.

namespace tithe {
namespace {

Runs one_run(int64_t batch) { return {1, batch, 0, 0, batch}; }

// Every block of the batch reads all weights: put them in order once.
Scratch<float> gathered(const float* values, const int32_t* t_perm, int64_t nnz, [[maybe_unused]] int n_threads) {
    Scratch<float> weights(nnz);
#pragma omp parallel for schedule(static) num_threads(nnz < (1 << 14) ? 1 : std::max(n_threads, 1))
    for (int64_t q = 0; q < nnz; ++q) weights[q] = values[t_perm[q]];
    return weights;
}

}  // namespace

template <class T>
void linear_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                    const int32_t* indices, int64_t rows, int64_t /*cols*/, int64_t batch, int n_threads) {
    multiply<T>(y, x, {{0, 0, {rows, indptr, indices, batch, values, bias}, one_run(batch)}}, n_threads);
}

template <class T>
void linear_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr, const int32_t* t_indices,
               const int32_t* t_perm, int64_t /*rows*/, int64_t cols, int64_t batch, int n_threads) {
    auto weights = gathered(values, t_perm, t_indptr[cols], n_threads);
    multiply<T>(dx, dy, {{0, 0, {cols, t_indptr, t_indices, batch, weights.get()}, one_run(batch)}}, n_threads);
}

template <class T>
void linear_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
               int64_t rows, int64_t /*cols*/, int64_t batch, int n_threads) {
    inner_products(dvalues, dy, x, {rows, indptr, indices, batch, nullptr}, one_run(batch), n_threads);
}

template <class T>
void linear_gradients(T* dx, float* dvalues, const T* dy, const T* x, const float* values, const int32_t* /*indptr*/,
                      const int32_t* /*indices*/, const int32_t* t_indptr, const int32_t* t_indices,
                      const int32_t* t_perm, int64_t /*rows*/, int64_t cols, int64_t batch, int n_threads) {
    const int64_t nnz = t_indptr[cols];
    auto weights = gathered(values, t_perm, nnz, n_threads);
    Scratch<float> in_order(nnz);
    const Terms terms{cols, t_indptr, t_indices, batch, weights.get()};
    gradients<T>(dx, {in_order.get()}, dy, x, {{0, 0, terms, one_run(batch)}}, n_threads);
    for (int64_t q = 0; q < nnz; ++q) dvalues[t_perm[q]] = in_order[q];
}

#define TITHE_INSTANTIATE(T)                                                                                      \
    template void linear_forward(T*, const T*, const float*, const float*, const int32_t*, const int32_t*, int64_t, \
                                 int64_t, int64_t, int);                                                          \
    template void linear_dx(T*, const T*, const float*, const int32_t*, const int32_t*, const int32_t*, int64_t,  \
                            int64_t, int64_t, int);                                                               \
    template void linear_dw(float*, const T*, const T*, const int32_t*, const int32_t*, int64_t, int64_t, int64_t, int); \
    template void linear_gradients(T*, float*, const T*, const T*, const float*, const int32_t*, const int32_t*,  \
                                   const int32_t*, const int32_t*, const int32_t*, int64_t, int64_t, int64_t, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
