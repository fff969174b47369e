// The slow, plain twins of the normalisation's kernels, in double.
#pragma once

#include "norm.hpp"

namespace tithe {

template <class T>
void naive_norm_train(T* y, float* mean, float* var, const NormRunning& running, const T* x, const NormStatistics& by,
                      const T* residual, const NormShape& shape, int n_threads);
template <class T>
void naive_norm_apply(T* y, const T* x, const NormStatistics& by, const T* residual, const NormShape& shape,
                      int n_threads);
template <class T>
void naive_norm_backward(const NormGradients<T>& to, const T* dy, const T* x, const T* y, const NormStatistics& by,
                         bool batch_statistics, const NormShape& shape, int n_threads);

}  // namespace tithe
