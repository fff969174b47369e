// The slow, plain twin of each kernel: one loop per index, sums in double. Tests hold the fast kernels against them.
#pragma once

#include "conv2d.hpp"

namespace tithe {

template <class T>
void naive_linear_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                          const int32_t* indices, int64_t rows, int64_t cols, int64_t batch, int n_threads);
template <class T>
void naive_linear_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr,
                     const int32_t* t_indices, const int32_t* t_perm, int64_t rows, int64_t cols, int64_t batch,
                     int n_threads);
template <class T>
void naive_linear_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
                     int64_t rows, int64_t cols, int64_t batch, int n_threads);
template <class T>
void naive_linear_gradients(T* dx, float* dvalues, const T* dy, const T* x, const float* values, const int32_t* indptr,
                            const int32_t* indices, const int32_t* t_indptr, const int32_t* t_indices,
                            const int32_t* t_perm, int64_t rows, int64_t cols, int64_t batch, int n_threads) {
    naive_linear_dx(dx, dy, values, t_indptr, t_indices, t_perm, rows, cols, batch, n_threads);
    naive_linear_dw(dvalues, dy, x, indptr, indices, rows, cols, batch, n_threads);
}

template <class T>
void naive_conv2d_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                          const int32_t* indices, ConvShape shape, int n_threads);
template <class T>
void naive_conv2d_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr,
                     const int32_t* t_indices, const int32_t* t_perm, ConvShape shape, int n_threads);
template <class T>
void naive_conv2d_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
                     ConvShape shape, int n_threads);
template <class T>
void naive_conv2d_gradients(T* dx, float* dvalues, const T* dy, const T* x, const float* values, const int32_t* indptr,
                            const int32_t* indices, const int32_t* t_indptr, const int32_t* t_indices,
                            const int32_t* t_perm, ConvShape shape, int n_threads) {
    naive_conv2d_dx(dx, dy, values, t_indptr, t_indices, t_perm, shape, n_threads);
    naive_conv2d_dw(dvalues, dy, x, indptr, indices, shape, n_threads);
}

}  // namespace tithe
