// Batch normalisation with what usually follows it, the addition of a shortcut and a ReLU, in one go. With the batch
// innermost a channel is one run of height * width * batch numbers, and a task of its own. Activations are stored as T,
// float or bf16; what belongs to a channel is float32.
#pragma once

#include <cstdint>

#include "bf16.hpp"

namespace tithe {

struct NormShape {
    int64_t channels, length;  // length: numbers in a channel
    double eps;
    bool relu;
};

// What normalises: y = relu?((x - mean) * weight / sqrt(var + eps) + bias (+ residual)). All arrays [channels].
struct NormStatistics {
    const float *mean, *var;      // var: over the length, not length - 1
    const float *weight, *bias;   // null: 1, 0
};

// Arrays of a network's state that each training pass moves: running += momentum * (new - running), where the new
// variance is over length - 1. Null: there are none.
struct NormRunning {
    float *mean, *var;
    double momentum;
};

// Writes y [channels, length]; residual [channels, length] may be null.
template <class T>
void norm_apply(T* y, const T* x, const NormStatistics& by, const T* residual, const NormShape& shape, int n_threads);

// The same by x's own statistics, which it writes to mean and var [channels] and moves the running ones by; `by` holds
// weight and bias only. The length is at least 2.
template <class T>
void norm_train(T* y, float* mean, float* var, const NormRunning& running, const T* x, const NormStatistics& by,
                const T* residual, const NormShape& shape, int n_threads);

// Gradients. dresidual, dweight and dbias may be null; y is needed where a residual was added before a ReLU, else null.
// With batch_statistics mean and var were those of x and so depend on it; without, they were constants.
template <class T>
struct NormGradients {
    T *dx, *dresidual;
    float *dweight, *dbias;
};
template <class T>
void norm_backward(const NormGradients<T>& to, const T* dy, const T* x, const T* y, const NormStatistics& by,
                   bool batch_statistics, const NormShape& shape, int n_threads);

}  // namespace tithe
