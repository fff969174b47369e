// Sparse matrix times dense matrix, batch innermost: x is [cols, batch], y is [rows, batch] in memory. Weights are
// float32, and so are their gradients; activations are stored as T, float or bf16.
#pragma once

#include "bf16.hpp"

namespace tithe {

// y = W x, W [rows, cols] in CSR. Every element of y is written.
template <class T>
void linear_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                    const int32_t* indices, int64_t rows, int64_t cols, int64_t batch, int n_threads);

// dx = W^T dy. Column j of W holds values[t_perm[q]] for q in t_indptr[j] .. t_indptr[j + 1], in rows t_indices[q].
// Every element of dx is written.
template <class T>
void linear_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr, const int32_t* t_indices,
               const int32_t* t_perm, int64_t rows, int64_t cols, int64_t batch, int n_threads);

// dvalues[p] = dot(dy[row of p], x[column of p]). Every element of dvalues is written.
template <class T>
void linear_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
               int64_t rows, int64_t cols, int64_t batch, int n_threads);

// Both gradients in one pass over dy, which is faster than one after the other.
template <class T>
void linear_gradients(T* dx, float* dvalues, const T* dy, const T* x, const float* values, const int32_t* indptr,
                      const int32_t* indices, const int32_t* t_indptr, const int32_t* t_indices, const int32_t* t_perm,
                      int64_t rows, int64_t cols, int64_t batch, int n_threads);

}  // namespace tithe
