#include "naive_norm.hpp"

#include <cmath>

namespace tithe {
namespace {

double weight_of(const NormStatistics& by, int64_t c) { return by.weight ? by.weight[c] : 1; }

double normal(double x, const NormStatistics& by, int64_t c, double eps) {
    return (x - by.mean[c]) / std::sqrt(by.var[c] + eps);
}

double before_relu(double x, const NormStatistics& by, int64_t c, double eps) {
    return weight_of(by, c) * normal(x, by, c, eps) + (by.bias ? by.bias[c] : 0);
}

template <class T>
T stored(double x) {
    return narrow<T>(static_cast<float>(x));
}

}  // namespace

template <class T>
void naive_norm_train(T* y, float* mean, float* var, const NormRunning& running, const T* x, const NormStatistics& by,
                      const T* residual, const NormShape& shape, int n_threads) {
    for (int64_t c = 0; c < shape.channels; ++c) {
        const T* run = x + c * shape.length;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < shape.length; ++i) sum += widen(run[i]);
        const double centre = sum / shape.length;
        for (int64_t i = 0; i < shape.length; ++i) squares += (widen(run[i]) - centre) * (widen(run[i]) - centre);
        mean[c] = centre;
        var[c] = squares / shape.length;
        if (running.mean) running.mean[c] += running.momentum * (centre - running.mean[c]);
        if (running.var) running.var[c] += running.momentum * (squares / (shape.length - 1) - running.var[c]);
    }
    naive_norm_apply(y, x, {mean, var, by.weight, by.bias}, residual, shape, n_threads);
}

template <class T>
void naive_norm_apply(T* y, const T* x, const NormStatistics& by, const T* residual, const NormShape& shape,
                      int /*n_threads*/) {
    for (int64_t i = 0; i < shape.channels * shape.length; ++i) {
        const double v =
            before_relu(widen(x[i]), by, i / shape.length, shape.eps) + (residual ? widen(residual[i]) : 0);
        y[i] = stored<T>(shape.relu && v < 0 ? 0 : v);
    }
}

template <class T>
void naive_norm_backward(const NormGradients<T>& to, const T* dy, const T* x, const T* y, const NormStatistics& by,
                         bool batch_statistics, const NormShape& shape, int /*n_threads*/) {
    for (int64_t c = 0; c < shape.channels; ++c) {
        const int64_t from = c * shape.length;
        const auto gradient = [&](int64_t i) -> double {
            const double out = y ? widen(y[i]) : before_relu(widen(x[i]), by, c, shape.eps);
            return shape.relu && out <= 0 ? 0 : widen(dy[i]);
        };
        double dbias = 0, dweight = 0;
        for (int64_t i = from; i < from + shape.length; ++i) {
            dbias += gradient(i);
            dweight += gradient(i) * normal(widen(x[i]), by, c, shape.eps);
        }
        if (to.dbias) to.dbias[c] = dbias;
        if (to.dweight) to.dweight[c] = dweight;
        const double scale = weight_of(by, c) / std::sqrt(by.var[c] + shape.eps);
        for (int64_t i = from; i < from + shape.length; ++i) {
            const double through = (dbias + normal(widen(x[i]), by, c, shape.eps) * dweight) / shape.length;
            to.dx[i] = stored<T>(scale * (gradient(i) - (batch_statistics ? through : 0)));
            if (to.dresidual) to.dresidual[i] = stored<T>(gradient(i));
        }
    }
}

#define TITHE_INSTANTIATE(T)                                                                                          \
    template void naive_norm_train(T*, float*, float*, const NormRunning&, const T*, const NormStatistics&, const T*, \
                                   const NormShape&, int);                                                            \
    template void naive_norm_apply(T*, const T*, const NormStatistics&, const T*, const NormShape&, int);             \
    template void naive_norm_backward(const NormGradients<T>&, const T*, const T*, const T*, const NormStatistics&,   \
                                      bool, const NormShape&, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
