#include "naive.hpp"

namespace tithe {

template <class T>
void naive_linear_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                          const int32_t* indices, int64_t rows, int64_t /*cols*/, int64_t batch, int /*n_threads*/) {
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t n = 0; n < batch; ++n) {
            double sum = bias ? bias[row] : 0;
            for (int64_t p = indptr[row]; p < indptr[row + 1]; ++p) {
                sum += static_cast<double>(values[p]) * widen(x[indices[p] * batch + n]);
            }
            y[row * batch + n] = narrow<T>(static_cast<float>(sum));
        }
    }
}

template <class T>
void naive_linear_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr,
                     const int32_t* t_indices, const int32_t* t_perm, int64_t /*rows*/, int64_t cols, int64_t batch,
                     int /*n_threads*/) {
    for (int64_t col = 0; col < cols; ++col) {
        for (int64_t n = 0; n < batch; ++n) {
            double sum = 0;
            for (int64_t q = t_indptr[col]; q < t_indptr[col + 1]; ++q) {
                sum += static_cast<double>(values[t_perm[q]]) * widen(dy[t_indices[q] * batch + n]);
            }
            dx[col * batch + n] = narrow<T>(static_cast<float>(sum));
        }
    }
}

template <class T>
void naive_linear_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
                     int64_t rows, int64_t /*cols*/, int64_t batch, int /*n_threads*/) {
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t p = indptr[row]; p < indptr[row + 1]; ++p) {
            double sum = 0;
            for (int64_t n = 0; n < batch; ++n) {
                sum += static_cast<double>(widen(dy[row * batch + n])) * widen(x[indices[p] * batch + n]);
            }
            dvalues[p] = static_cast<float>(sum);
        }
    }
}

namespace {

// Column j of the flattened weight.
struct Tap {
    int64_t channel, ky, kx;
    Tap(int64_t column, const ConvShape& s)
        : channel(column / s.kernel_area()), ky(column / s.kernel_w % s.kernel_h), kx(column % s.kernel_w) {}
};

// x[channel, iy, ix, n], 0 in the padding.
template <class T>
double input_at(const T* x, const ConvShape& s, int64_t channel, int64_t iy, int64_t ix, int64_t n) {
    if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) return 0;
    return widen(x[((channel * s.height + iy) * s.width + ix) * s.batch + n]);
}

// dy of the output that tap (ky, kx) feeds from input (iy, ix), 0 where there is none.
template <class T>
double output_grad_at(const T* dy, const ConvShape& s, int64_t row, int64_t iy, int64_t ix, Tap tap, int64_t n) {
    const int64_t up = iy + s.padding_h - tap.ky, left = ix + s.padding_w - tap.kx;
    if (up < 0 || left < 0 || up % s.stride_h || left % s.stride_w) return 0;
    const int64_t oy = up / s.stride_h, ox = left / s.stride_w;
    if (oy >= s.out_height() || ox >= s.out_width()) return 0;
    return widen(dy[((row * s.out_height() + oy) * s.out_width() + ox) * s.batch + n]);
}

}  // namespace

template <class T>
void naive_conv2d_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                          const int32_t* indices, ConvShape s, int /*n_threads*/) {
    for (int64_t row = 0; row < s.out_channels; ++row)
        for (int64_t oy = 0; oy < s.out_height(); ++oy)
            for (int64_t ox = 0; ox < s.out_width(); ++ox)
                for (int64_t n = 0; n < s.batch; ++n) {
                    double sum = bias ? bias[row] : 0;
                    for (int64_t p = indptr[row]; p < indptr[row + 1]; ++p) {
                        const Tap tap(indices[p], s);
                        const int64_t iy = oy * s.stride_h - s.padding_h + tap.ky;
                        const int64_t ix = ox * s.stride_w - s.padding_w + tap.kx;
                        sum += values[p] * input_at(x, s, tap.channel, iy, ix, n);
                    }
                    y[((row * s.out_height() + oy) * s.out_width() + ox) * s.batch + n] = narrow<T>(static_cast<float>(sum));
                }
}

template <class T>
void naive_conv2d_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr,
                     const int32_t* t_indices, const int32_t* t_perm, ConvShape s, int /*n_threads*/) {
    for (int64_t channel = 0; channel < s.in_channels; ++channel)
        for (int64_t iy = 0; iy < s.height; ++iy)
            for (int64_t ix = 0; ix < s.width; ++ix)
                for (int64_t n = 0; n < s.batch; ++n) {
                    double sum = 0;
                    for (int64_t k = 0; k < s.kernel_area(); ++k) {
                        const int64_t col = channel * s.kernel_area() + k;
                        for (int64_t q = t_indptr[col]; q < t_indptr[col + 1]; ++q) {
                            sum += values[t_perm[q]] * output_grad_at(dy, s, t_indices[q], iy, ix, Tap(col, s), n);
                        }
                    }
                    dx[((channel * s.height + iy) * s.width + ix) * s.batch + n] = narrow<T>(static_cast<float>(sum));
                }
}

template <class T>
void naive_conv2d_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
                     ConvShape s, int /*n_threads*/) {
    for (int64_t row = 0; row < s.out_channels; ++row)
        for (int64_t p = indptr[row]; p < indptr[row + 1]; ++p) {
            const Tap tap(indices[p], s);
            const T* grad = dy + row * s.out_height() * s.out_width() * s.batch;
            double sum = 0;
            for (int64_t oy = 0; oy < s.out_height(); ++oy)
                for (int64_t ox = 0; ox < s.out_width(); ++ox)
                    for (int64_t n = 0; n < s.batch; ++n) {
                        const int64_t iy = oy * s.stride_h - s.padding_h + tap.ky;
                        const int64_t ix = ox * s.stride_w - s.padding_w + tap.kx;
                        sum += widen(*grad++) * input_at(x, s, tap.channel, iy, ix, n);
                    }
            dvalues[p] = static_cast<float>(sum);
        }
}

#define TITHE_INSTANTIATE(T)                                                                                          \
    template void naive_linear_forward(T*, const T*, const float*, const float*, const int32_t*, const int32_t*,      \
                                       int64_t, int64_t, int64_t, int);                                               \
    template void naive_linear_dx(T*, const T*, const float*, const int32_t*, const int32_t*, const int32_t*,         \
                                  int64_t, int64_t, int64_t, int);                                                    \
    template void naive_linear_dw(float*, const T*, const T*, const int32_t*, const int32_t*, int64_t, int64_t,       \
                                  int64_t, int);                                                                      \
    template void naive_conv2d_forward(T*, const T*, const float*, const float*, const int32_t*, const int32_t*,      \
                                       ConvShape, int);                                                               \
    template void naive_conv2d_dx(T*, const T*, const float*, const int32_t*, const int32_t*, const int32_t*,         \
                                  ConvShape, int);                                                                    \
    template void naive_conv2d_dw(float*, const T*, const T*, const int32_t*, const int32_t*, ConvShape, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
