// The slow, plain twins of the normalisation's kernels, in double.
#pragma once

#include "norm.hpp"

namespace tithe {

void naive_norm_train(float* y, float* mean, float* var, const NormRunning& running, const float* x,
                      const NormStatistics& by, const float* residual, const NormShape& shape, int n_threads);
void naive_norm_apply(float* y, const float* x, const NormStatistics& by, const float* residual,
                      const NormShape& shape, int n_threads);
void naive_norm_backward(const NormGradients& to, const float* dy, const float* x, const float* y,
                         const NormStatistics& by, bool batch_statistics, const NormShape& shape, int n_threads);

}  // namespace tithe
