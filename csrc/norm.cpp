#include "norm.hpp"

#include <algorithm>
#include <cmath>

#include "core.hpp"
#include "words.hpp"

namespace tithe {
namespace {

struct Moments {
    double count, mean, m2;  // m2: sum of squared deviations from the mean
};

// One channel's y = (x - mean) * scale + shift.
struct Affine {
    float mean, scale, shift;
};

// One channel's dx = scale * g + slope * (x - mean) + offset.
struct Slope {
    float slope, offset;
};

struct Sums {
    double g, g_centred;  // of g and of g * (x - mean)
};

// How the gradient knows what the ReLU let through: there is none; the output is computed from x again (so that it need
// not be kept, and may be changed in place); it is read.
enum class Mask { none, from_x, from_y };

// The same table of instruction sets as in core.cpp, which chooses.
namespace plain {
#define TITHE_TARGET
#define TITHE_LANES 1
#include "norm.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace plain

#if defined(__x86_64__) || defined(__aarch64__)
namespace vector128 {
#define TITHE_TARGET
#define TITHE_LANES 4
#include "norm.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace vector128
#endif

#if defined(__x86_64__)
namespace avx2 {
#define TITHE_TARGET __attribute__((target("avx2,fma")))
#define TITHE_LANES 8
#include "norm.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace avx2

namespace avx512 {
#define TITHE_TARGET __attribute__((target("avx512f,avx2,fma")))
#define TITHE_LANES 16
#include "norm.inl"
#undef TITHE_TARGET
#undef TITHE_LANES
}  // namespace avx512
#endif

// The loops for one way of storing activations.
template <class T>
struct Loops {
    decltype(&plain::moments<T>) moments;
    decltype(&plain::apply<T>) apply;
    decltype(&plain::sums<T>) sums;
    decltype(&plain::gradient<T>) gradient;
};

template <class T>
Loops<T> chosen() {
#define TITHE_LOOPS(space) {space::moments<T>, space::apply<T>, space::sums<T>, space::gradient<T>}
    const std::string name = instruction_set();
#if defined(__x86_64__)
    if (name == "avx512") return TITHE_LOOPS(avx512);
    if (name == "avx2") return TITHE_LOOPS(avx2);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
    if (name == "sse2" || name == "neon") return TITHE_LOOPS(vector128);
#endif
    return TITHE_LOOPS(plain);
#undef TITHE_LOOPS
}

// 1 / sqrt(var + eps), from the var that was kept: forward and backward must agree to the last bit.
double inverse_deviation(const NormStatistics& by, int64_t c, double eps) {
    return 1 / std::sqrt(static_cast<double>(by.var[c]) + eps);
}

Affine affine_of(const NormStatistics& by, int64_t c, double eps) {
    const double weight = by.weight ? by.weight[c] : 1;
    return {by.mean[c], static_cast<float>(weight * inverse_deviation(by, c, eps)), by.bias ? by.bias[c] : 0.0f};
}

void move(float* running, int64_t c, double to, double momentum) {
    if (running) running[c] = static_cast<float>((1 - momentum) * running[c] + momentum * to);
}

void channel_statistics(float* mean, float* var, const NormRunning& running, const Moments& m, int64_t c) {
    mean[c] = static_cast<float>(m.mean);
    var[c] = static_cast<float>(m.m2 / m.count);
    move(running.mean, c, m.mean, running.momentum);
    move(running.var, c, m.m2 / (m.count - 1), running.momentum);
}

// Channel c of an array that may be absent.
template <class T>
T* channel(T* all, int64_t c, const NormShape& shape) {
    return all ? all + c * shape.length : nullptr;
}

template <class T>
void channel_backward(const Loops<T>& loops, const NormGradients<T>& to, const T* dy, const T* x, const T* y,
                      const NormStatistics& by, bool batch_statistics, const NormShape& shape, int64_t c) {
    dy = channel(dy, c, shape), x = channel(x, c, shape), y = channel(y, c, shape);
    const Affine affine = affine_of(by, c, shape.eps);
    const Mask mask = !shape.relu ? Mask::none : y ? Mask::from_y : Mask::from_x;
    const double inverse = inverse_deviation(by, c, shape.eps);
    Slope slope{0, 0};
    if (batch_statistics || to.dweight || to.dbias) {
        const Sums sums = loops.sums(dy, x, y, shape.length, affine, mask);
        if (to.dweight) to.dweight[c] = static_cast<float>(sums.g_centred * inverse);
        if (to.dbias) to.dbias[c] = static_cast<float>(sums.g);
        if (batch_statistics) {
            // dx = scale * (g - mean of g - xhat * mean of (g * xhat)), xhat = (x - mean) * inverse
            const double each = -static_cast<double>(affine.scale) / static_cast<double>(shape.length);
            slope = {static_cast<float>(each * sums.g_centred * inverse * inverse), static_cast<float>(each * sums.g)};
        }
    }
    loops.gradient(channel(to.dx, c, shape), channel(to.dresidual, c, shape), dy, x, y, shape.length, affine, slope,
                   mask);
}

}  // namespace

template <class T>
void norm_train(T* y, float* mean, float* var, const NormRunning& running, const T* x, const NormStatistics& by,
                const T* residual, const NormShape& shape, [[maybe_unused]] int n_threads) {
    const auto loops = chosen<T>();
    const NormStatistics own{mean, var, by.weight, by.bias};
#pragma omp parallel for schedule(static) num_threads(std::max(n_threads, 1))
    for (int64_t c = 0; c < shape.channels; ++c) {
        const T* run = channel(x, c, shape);
        channel_statistics(mean, var, running, loops.moments(run, shape.length), c);
        loops.apply(channel(y, c, shape), run, channel(residual, c, shape), shape.length, affine_of(own, c, shape.eps),
                    shape.relu);
    }
}

template <class T>
void norm_apply(T* y, const T* x, const NormStatistics& by, const T* residual, const NormShape& shape,
                [[maybe_unused]] int n_threads) {
    const auto loops = chosen<T>();
#pragma omp parallel for schedule(static) num_threads(std::max(n_threads, 1))
    for (int64_t c = 0; c < shape.channels; ++c) {
        loops.apply(channel(y, c, shape), channel(x, c, shape), channel(residual, c, shape), shape.length,
                    affine_of(by, c, shape.eps), shape.relu);
    }
}

template <class T>
void norm_backward(const NormGradients<T>& to, const T* dy, const T* x, const T* y, const NormStatistics& by,
                   bool batch_statistics, const NormShape& shape, [[maybe_unused]] int n_threads) {
    const auto loops = chosen<T>();
#pragma omp parallel for schedule(static) num_threads(std::max(n_threads, 1))
    for (int64_t c = 0; c < shape.channels; ++c) {
        channel_backward(loops, to, dy, x, y, by, batch_statistics, shape, c);
    }
}

#define TITHE_INSTANTIATE(T)                                                                                       \
    template void norm_train(T*, float*, float*, const NormRunning&, const T*, const NormStatistics&, const T*,    \
                             const NormShape&, int);                                                               \
    template void norm_apply(T*, const T*, const NormStatistics&, const T*, const NormShape&, int);                \
    template void norm_backward(const NormGradients<T>&, const T*, const T*, const T*, const NormStatistics&, bool, \
                                const NormShape&, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
