// The dense gradient of a convolution's weight, of stride 1, from activations as they lie: what scouting pays for. Small
// matrices of products, one for each tap and output line, made in registers without a copy of what the taps read.
#pragma once

#include "conv2d.hpp"

namespace tithe {

// dw [O, C, kernel_h, kernel_w] = sum over y, x, n of dy[o, y, x, n] * padded x[c, y + ky, x + kx, n]. Every element of dw
// is written; the same bits for any number of threads. The stride of the shape is 1.
void conv2d_dense_dw(float* dw, const float* dy, const float* x, ConvShape shape, int n_threads);

}  // namespace tithe
