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

}  // namespace

void naive_norm_train(float* y, float* mean, float* var, const NormRunning& running, const float* x,
                      const NormStatistics& by, const float* residual, const NormShape& shape, int n_threads) {
    for (int64_t c = 0; c < shape.channels; ++c) {
        const float* run = x + c * shape.length;
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < shape.length; ++i) sum += run[i];
        const double centre = sum / shape.length;
        for (int64_t i = 0; i < shape.length; ++i) squares += (run[i] - centre) * (run[i] - centre);
        mean[c] = centre;
        var[c] = squares / shape.length;
        if (running.mean) running.mean[c] += running.momentum * (centre - running.mean[c]);
        if (running.var) running.var[c] += running.momentum * (squares / (shape.length - 1) - running.var[c]);
    }
    naive_norm_apply(y, x, {mean, var, by.weight, by.bias}, residual, shape, n_threads);
}

void naive_norm_apply(float* y, const float* x, const NormStatistics& by, const float* residual,
                      const NormShape& shape, int /*n_threads*/) {
    for (int64_t i = 0; i < shape.channels * shape.length; ++i) {
        const double v = before_relu(x[i], by, i / shape.length, shape.eps) + (residual ? residual[i] : 0);
        y[i] = shape.relu && v < 0 ? 0 : v;
    }
}

void naive_norm_backward(const NormGradients& to, const float* dy, const float* x, const float* y,
                         const NormStatistics& by, bool batch_statistics, const NormShape& shape, int /*n_threads*/) {
    for (int64_t c = 0; c < shape.channels; ++c) {
        const int64_t from = c * shape.length;
        const auto gradient = [&](int64_t i) -> double {
            const double out = y ? y[i] : before_relu(x[i], by, c, shape.eps);
            return shape.relu && out <= 0 ? 0 : dy[i];
        };
        double dbias = 0, dweight = 0;
        for (int64_t i = from; i < from + shape.length; ++i) {
            dbias += gradient(i);
            dweight += gradient(i) * normal(x[i], by, c, shape.eps);
        }
        if (to.dbias) to.dbias[c] = dbias;
        if (to.dweight) to.dweight[c] = dweight;
        const double scale = weight_of(by, c) / std::sqrt(by.var[c] + shape.eps);
        for (int64_t i = from; i < from + shape.length; ++i) {
            const double through = (dbias + normal(x[i], by, c, shape.eps) * dweight) / shape.length;
            to.dx[i] = scale * (gradient(i) - (batch_statistics ? through : 0));
            if (to.dresidual) to.dresidual[i] = gradient(i);
        }
    }
}

}  // namespace tithe
