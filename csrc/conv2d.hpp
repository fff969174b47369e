// Sparse 2-D convolution, batch innermost: x is [C, H, W, N], y is [O, Ho, Wo, N] in memory. Weights are float32, and so
// are their gradients; activations are stored as T, float or bf16.
#pragma once

#include "bf16.hpp"

namespace tithe {

// Sizes of one call. Dilation 1, one group.
struct ConvShape {
    int64_t out_channels, in_channels;
    int64_t height, width;
    int64_t kernel_h, kernel_w;
    int64_t stride_h, stride_w;
    int64_t padding_h, padding_w;
    int64_t batch;

    int64_t out_height() const { return out_size(height, kernel_h, stride_h, padding_h); }
    int64_t out_width() const { return out_size(width, kernel_w, stride_w, padding_w); }
    int64_t kernel_area() const { return kernel_h * kernel_w; }

  private:
    static int64_t out_size(int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
        const int64_t room = size + 2 * padding - kernel;
        return room < 0 ? 0 : room / stride + 1;
    }
};

// The weight is the matrix [O, C * kernel_h * kernel_w] in CSR: columns are (channel, kernel row, kernel column).
// y = x * W. Every element of y is written.
template <class T>
void conv2d_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                    const int32_t* indices, ConvShape shape, int n_threads);

// Gradient of the input. t_* is the transposed matrix: column j holds values[t_perm[q]] for q in
// t_indptr[j] .. t_indptr[j + 1], in rows t_indices[q]. Every element of dx is written.
template <class T>
void conv2d_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr, const int32_t* t_indices,
               const int32_t* t_perm, ConvShape shape, int n_threads);

// Gradient of the weights that exist. Every element of dvalues is written.
template <class T>
void conv2d_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
               ConvShape shape, int n_threads);

// Both gradients, which is faster than one after the other.
template <class T>
void conv2d_gradients(T* dx, float* dvalues, const T* dy, const T* x, const float* values, const int32_t* indptr,
                      const int32_t* indices, const int32_t* t_indptr, const int32_t* t_indices, const int32_t* t_perm,
                      ConvShape shape, int n_threads);

}  // namespace tithe
