// The loops of batch normalisation over one channel, for one instruction set. norm.cpp includes this file once for
// each, with TITHE_TARGET and TITHE_LANES defined as for simd.inl.

#define TITHE_INLINE TITHE_TARGET __attribute__((always_inline)) inline

typedef float Wide __attribute__((vector_size(4 * TITHE_LANES)));

// Sums are taken in blocks, in 4 registers of which each takes up 64 terms, and blocks are added in double: rounding
// does not grow with the length of a channel.
constexpr int64_t step = 4 * TITHE_LANES, block = 64 * step;

template <class V>
TITHE_INLINE V load(const float* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof(V));
    return v;
}

template <class V>
TITHE_INLINE void store(float* to, V v) {
    __builtin_memcpy(to, &v, sizeof(V));
}

TITHE_INLINE double total(const Wide* part) {
    const Wide sum = (part[0] + part[1]) + (part[2] + part[3]);
    double all = 0;
    for (int i = 0; i < TITHE_LANES; ++i) all += sum[i];
    return all;
}

// Adds a block's mean and squared deviations (m2) to those of `count` floats before it. Chan, Golub, LeVeque 1983,
// "Algorithms for computing the sample variance", equations 2.1.
TITHE_INLINE void merge(Moments& all, double n, double mean, double m2) {
    const double delta = mean - all.mean, both = all.count + n;
    all.mean += delta * (n / both);
    all.m2 += m2 + delta * delta * (all.count * n / both);
    all.count = both;
}

// Mean and squared deviations of a channel. Each block is passed twice, the second time in the nearest cache: the
// deviations are from its own mean, so a mean that is large beside them does no harm.
TITHE_TARGET Moments moments(const float* x, int64_t length) {
    Moments all{0, 0, 0};
    for (int64_t from = 0; from < length; from += block) {
        const int64_t n = length - from < block ? length - from : block, wide = n / step * step;
        const float* run = x + from;
        Wide sum[4] = {};
        double rest = 0;
        for (int64_t i = 0; i < wide; i += step) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) sum[k] += load<Wide>(run + i + k * TITHE_LANES);
        }
        for (int64_t i = wide; i < n; ++i) rest += run[i];
        const float near = static_cast<float>((total(sum) + rest) / static_cast<double>(n));
        // `near` is the mean but for rounding; the sum of the deviations from it says how much that was.
        Wide first[4] = {}, second[4] = {};
        double rest1 = 0, rest2 = 0;
        for (int64_t i = 0; i < wide; i += step) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) {
                const Wide d = load<Wide>(run + i + k * TITHE_LANES) - near;
                first[k] += d;
                second[k] += d * d;
            }
        }
        for (int64_t i = wide; i < n; ++i) {
            const double d = run[i] - static_cast<double>(near);
            rest1 += d;
            rest2 += d * d;
        }
        const double off = (total(first) + rest1) / static_cast<double>(n);
        merge(all, static_cast<double>(n), near + off, total(second) + rest2 - off * off * static_cast<double>(n));
    }
    return all;
}

// The value before the ReLU. Forward and backward share it: the gradient's mask must be the output's to the last bit.
template <class V>
TITHE_INLINE V affine(V x, const Affine& by) {
    return (x - by.mean) * by.scale + by.shift;
}

template <class V>
TITHE_INLINE V rectified(V v) {
    return V{} > v ? V{} : v;  // NaN stays NaN, as in torch
}

template <class V, bool relu, bool added>
TITHE_INLINE void apply_one(float* y, const float* x, const float* residual, const Affine& by) {
    V v = affine(load<V>(x), by);
    if (added) v += load<V>(residual);
    store(y, relu ? rectified(v) : v);
}

template <bool relu, bool added>
TITHE_INLINE void apply_all(float* y, const float* x, const float* residual, int64_t length, const Affine& by) {
    int64_t i = 0;
    for (; i + step <= length; i += step) {
#pragma GCC unroll 4
        for (int64_t j = i; j < i + step; j += TITHE_LANES) {
            apply_one<Wide, relu, added>(y + j, x + j, residual + j, by);
        }
    }
    for (; i < length; ++i) apply_one<float, relu, added>(y + i, x + i, residual + i, by);
}

TITHE_TARGET void apply(float* y, const float* x, const float* residual, int64_t length, const Affine& by, bool relu) {
    const float* r = residual ? residual : x;  // an address that may be counted on from; it is not read
    if (relu && residual) return apply_all<true, true>(y, x, r, length, by);
    if (relu) return apply_all<true, false>(y, x, r, length, by);
    if (residual) return apply_all<false, true>(y, x, r, length, by);
    apply_all<false, false>(y, x, r, length, by);
}

// The gradient behind the ReLU: dy where the output was above 0 (or NaN, as in torch), else 0.
template <class V, Mask mask>
TITHE_INLINE V behind_relu(const float* dy, const float* x, const float* y, const Affine& by) {
    const V d = load<V>(dy);
    if (mask == Mask::none) return d;
    const V out = mask == Mask::from_x ? affine(load<V>(x), by) : load<V>(y);
    return out <= V{} ? V{} : d;
}

// Sums over a channel of g and of g * (x - mean), g = the gradient behind the ReLU.
template <Mask mask>
TITHE_INLINE Sums sum_all(const float* dy, const float* x, const float* y, int64_t length, const Affine& by) {
    Sums all{0, 0};
    for (int64_t from = 0; from < length; from += block) {
        const int64_t to = length - from < block ? length : from + block;
        Wide first[4] = {}, second[4] = {};
        int64_t i = from;
        for (; i + step <= to; i += step) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) {
                const int64_t j = i + k * TITHE_LANES;
                const Wide g = behind_relu<Wide, mask>(dy + j, x + j, y + j, by);
                first[k] += g;
                second[k] += g * (load<Wide>(x + j) - by.mean);
            }
        }
        all.g += total(first);
        all.g_centred += total(second);
        for (; i < to; ++i) {
            const float g = behind_relu<float, mask>(dy + i, x + i, y + i, by);
            all.g += g;
            all.g_centred += static_cast<double>(g) * (x[i] - by.mean);
        }
    }
    return all;
}

TITHE_TARGET Sums sums(const float* dy, const float* x, const float* y, int64_t length, const Affine& by, Mask mask) {
    if (mask == Mask::none) return sum_all<Mask::none>(dy, x, dy, length, by);
    if (mask == Mask::from_x) return sum_all<Mask::from_x>(dy, x, dy, length, by);
    return sum_all<Mask::from_y>(dy, x, y, length, by);
}

// dx = scale * g + slope * (x - mean) + offset
template <class V, Mask mask, bool added>
TITHE_INLINE void gradient_one(float* dx, float* dresidual, const float* dy, const float* x, const float* y,
                               const Affine& by, const Slope& slope) {
    const V g = behind_relu<V, mask>(dy, x, y, by);
    if (added) store(dresidual, g);
    store(dx, g * by.scale + ((load<V>(x) - by.mean) * slope.slope + slope.offset));
}

template <Mask mask, bool added>
TITHE_INLINE void gradient_all(float* dx, float* dresidual, const float* dy, const float* x, const float* y,
                               int64_t length, const Affine& by, const Slope& slope) {
    int64_t i = 0;
    for (; i + step <= length; i += step) {
#pragma GCC unroll 4
        for (int64_t j = i; j < i + step; j += TITHE_LANES) {
            gradient_one<Wide, mask, added>(dx + j, dresidual + j, dy + j, x + j, y + j, by, slope);
        }
    }
    for (; i < length; ++i) {
        gradient_one<float, mask, added>(dx + i, dresidual + i, dy + i, x + i, y + i, by, slope);
    }
}

TITHE_TARGET void gradient(float* dx, float* dresidual, const float* dy, const float* x, const float* y,
                           int64_t length, const Affine& by, const Slope& slope, Mask mask) {
    float* dr = dresidual ? dresidual : dx;  // as above: not written
    if (mask == Mask::none) return gradient_all<Mask::none, false>(dx, dr, dy, x, dy, length, by, slope);
    if (mask == Mask::from_x) return gradient_all<Mask::from_x, false>(dx, dr, dy, x, dy, length, by, slope);
    if (dresidual) return gradient_all<Mask::from_y, true>(dx, dr, dy, x, y, length, by, slope);
    gradient_all<Mask::from_y, false>(dx, dr, dy, x, y, length, by, slope);
}

#undef TITHE_INLINE
