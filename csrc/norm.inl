// The loops of batch normalisation over one channel, for one instruction set. norm.cpp includes this file once for
// each, with TITHE_TARGET and TITHE_LANES defined as for simd.inl. T is how activations are stored.

#define TITHE_INLINE TITHE_TARGET __attribute__((always_inline)) inline
#define TITHE_LAMBDA TITHE_TARGET __attribute__((always_inline))

#include "unit.inl"

// Sums are taken in blocks, in 4 registers of which each takes up 64 terms, and blocks are added in double: rounding
// does not grow with the length of a channel.
constexpr int64_t step = 4 * TITHE_LANES, block = 64 * step;

// A step's 4 registers: so many units.
template <class T>
constexpr int units = step / Unit<T, Wide>::size;

template <class U>
TITHE_INLINE double total(const U* part) {
    Wide sum = part[0].folded() + part[1].folded();
    if constexpr (step / U::size == 4) sum += part[2].folded() + part[3].folded();
    double all = 0;
    for (int i = 0; i < TITHE_LANES; ++i) all += sum[i];
    return all;
}

template <class U>
TITHE_INLINE U minus(const U& x, float mean) {
    return x.with([mean](auto v) TITHE_LAMBDA { return v - mean; });
}

// Adds a block's mean and squared deviations (m2) to those of `count` numbers before it. Chan, Golub, LeVeque 1983,
// "Algorithms for computing the sample variance", equations 2.1.
TITHE_INLINE void merge(Moments& all, double n, double mean, double m2) {
    const double delta = mean - all.mean, both = all.count + n;
    all.mean += delta * (n / both);
    all.m2 += m2 + delta * delta * (all.count * n / both);
    all.count = both;
}

// Mean and squared deviations of a channel. Each block is passed twice, the second time in the nearest cache: the
// deviations are from its own mean, so a mean that is large beside them does no harm.
template <class T>
TITHE_TARGET Moments moments(const T* x, int64_t length) {
    using U = Unit<T, Wide>;
    Moments all{0, 0, 0};
    for (int64_t from = 0; from < length; from += block) {
        const int64_t n = length - from < block ? length - from : block, wide = n / step * step;
        const T* run = x + from;
        U sum[units<T>] = {};
        double rest = 0;
        for (int64_t i = 0; i < wide; i += step) {
#pragma GCC unroll 4
            for (int k = 0; k < units<T>; ++k) sum[k].add(U::at(run + i + k * U::size));
        }
        for (int64_t i = wide; i < n; ++i) rest += widen(run[i]);
        const float near = static_cast<float>((total(sum) + rest) / static_cast<double>(n));
        // `near` is the mean but for rounding; the sum of the deviations from it says how much that was.
        U first[units<T>] = {}, second[units<T>] = {};
        double rest1 = 0, rest2 = 0;
        for (int64_t i = 0; i < wide; i += step) {
#pragma GCC unroll 4
            for (int k = 0; k < units<T>; ++k) {
                const U d = minus(U::at(run + i + k * U::size), near);
                first[k].add(d);
                second[k].add(d, d);
            }
        }
        for (int64_t i = wide; i < n; ++i) {
            const double d = widen(run[i]) - static_cast<double>(near);
            rest1 += d;
            rest2 += d * d;
        }
        const double off = (total(first) + rest1) / static_cast<double>(n);
        merge(all, static_cast<double>(n), near + off, total(second) + rest2 - off * off * static_cast<double>(n));
    }
    return all;
}

// The value before the ReLU. Forward and backward share it: the gradient's mask must be the output's to the last bit.
// (In bfloat16, which has float32's range, what is above 0 is stored above 0, but for numbers below 2^-133.)
template <class V>
TITHE_INLINE V affine(V x, const Affine& by) {
    return (x - by.mean) * by.scale + by.shift;
}

template <class V>
TITHE_INLINE V rectified(V v) {
    return V{} > v ? V{} : v;  // NaN stays NaN, as in torch
}

template <class V, bool relu, bool added, class T>
TITHE_INLINE void apply_one(T* y, const T* x, const T* residual, const Affine& by) {
    using U = Unit<T, V>;
    const auto f = [&by](V v, V more) TITHE_LAMBDA {
        v = affine(v, by);
        if (added) v += more;
        return relu ? rectified(v) : v;
    };
    U::at(x).with(f, added ? U::at(residual) : U{}).put(y);
}

template <bool relu, bool added, class T>
TITHE_INLINE void apply_all(T* y, const T* x, const T* residual, int64_t length, const Affine& by) {
    int64_t i = 0;
    for (; i + step <= length; i += step) {
#pragma GCC unroll 4
        for (int64_t j = i; j < i + step; j += Unit<T, Wide>::size) {
            apply_one<Wide, relu, added>(y + j, x + j, residual + j, by);
        }
    }
    for (; i < length; ++i) apply_one<float, relu, added>(y + i, x + i, residual + i, by);
}

template <class T>
TITHE_TARGET void apply(T* y, const T* x, const T* residual, int64_t length, const Affine& by, bool relu) {
    const T* r = residual ? residual : x;  // an address that may be counted on from; it is not read
    if (relu && residual) return apply_all<true, true>(y, x, r, length, by);
    if (relu) return apply_all<true, false>(y, x, r, length, by);
    if (residual) return apply_all<false, true>(y, x, r, length, by);
    apply_all<false, false>(y, x, r, length, by);
}

// The gradient behind the ReLU: dy where the output was above 0 (or NaN, as in torch), else 0.
template <class V, Mask mask, class T>
TITHE_INLINE Unit<T, V> behind_relu(const T* dy, const T* x, const T* y, const Affine& by) {
    using U = Unit<T, V>;
    const U d = U::at(dy);
    if (mask == Mask::none) return d;
    const auto f = [&by](V d, V from) TITHE_LAMBDA {
        const V out = mask == Mask::from_x ? affine(from, by) : from;
        return out <= V{} ? V{} : d;
    };
    return d.with(f, U::at(mask == Mask::from_x ? x : y));
}

// Sums over a channel of g and of g * (x - mean), g = the gradient behind the ReLU.
template <Mask mask, class T>
TITHE_INLINE Sums sum_all(const T* dy, const T* x, const T* y, int64_t length, const Affine& by) {
    using U = Unit<T, Wide>;
    Sums all{0, 0};
    for (int64_t from = 0; from < length; from += block) {
        const int64_t to = length - from < block ? length : from + block;
        U first[units<T>] = {}, second[units<T>] = {};
        int64_t i = from;
        for (; i + step <= to; i += step) {
#pragma GCC unroll 4
            for (int k = 0; k < units<T>; ++k) {
                const int64_t j = i + k * U::size;
                const U g = behind_relu<Wide, mask>(dy + j, x + j, y + j, by);
                first[k].add(g);
                second[k].add(g, minus(U::at(x + j), by.mean));
            }
        }
        all.g += total(first);
        all.g_centred += total(second);
        for (; i < to; ++i) {
            const float g = behind_relu<float, mask>(dy + i, x + i, y + i, by).all;
            all.g += g;
            all.g_centred += static_cast<double>(g) * (widen(x[i]) - by.mean);
        }
    }
    return all;
}

template <class T>
TITHE_TARGET Sums sums(const T* dy, const T* x, const T* y, int64_t length, const Affine& by, Mask mask) {
    if (mask == Mask::none) return sum_all<Mask::none>(dy, x, dy, length, by);
    if (mask == Mask::from_x) return sum_all<Mask::from_x>(dy, x, dy, length, by);
    return sum_all<Mask::from_y>(dy, x, y, length, by);
}

// dx = scale * g + slope * (x - mean) + offset
template <class V, Mask mask, bool added, class T>
TITHE_INLINE void gradient_one(T* dx, T* dresidual, const T* dy, const T* x, const T* y, const Affine& by,
                               const Slope& slope) {
    const auto f = [&by, &slope](V g, V x) TITHE_LAMBDA {
        return g * by.scale + ((x - by.mean) * slope.slope + slope.offset);
    };
    const auto g = behind_relu<V, mask>(dy, x, y, by);
    if (added) g.put(dresidual);
    g.with(f, Unit<T, V>::at(x)).put(dx);
}

template <Mask mask, bool added, class T>
TITHE_INLINE void gradient_all(T* dx, T* dresidual, const T* dy, const T* x, const T* y, int64_t length,
                               const Affine& by, const Slope& slope) {
    int64_t i = 0;
    for (; i + step <= length; i += step) {
#pragma GCC unroll 4
        for (int64_t j = i; j < i + step; j += Unit<T, Wide>::size) {
            gradient_one<Wide, mask, added>(dx + j, dresidual + j, dy + j, x + j, y + j, by, slope);
        }
    }
    for (; i < length; ++i) {
        gradient_one<float, mask, added>(dx + i, dresidual + i, dy + i, x + i, y + i, by, slope);
    }
}

template <class T>
TITHE_TARGET void gradient(T* dx, T* dresidual, const T* dy, const T* x, const T* y, int64_t length, const Affine& by,
                           const Slope& slope, Mask mask) {
    T* dr = dresidual ? dresidual : dx;  // as above: not written
    if (mask == Mask::none) return gradient_all<Mask::none, false>(dx, dr, dy, x, dy, length, by, slope);
    if (mask == Mask::from_x) return gradient_all<Mask::from_x, false>(dx, dr, dy, x, dy, length, by, slope);
    if (dresidual) return gradient_all<Mask::from_y, true>(dx, dr, dy, x, y, length, by, slope);
    gradient_all<Mask::from_y, false>(dx, dr, dy, x, y, length, by, slope);
}

#undef TITHE_LAMBDA
#undef TITHE_INLINE
