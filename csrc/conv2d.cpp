#include "conv2d.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core.hpp"
#include "regions.hpp"

namespace tithe {
namespace {

// An image [channels, height, width, N] laid out so that each tap of a kernel reads contiguous runs: zeros around it,
// and with a stride s the columns sorted by their number modulo s, so that neighbours in the output are neighbours
// here too. In memory [channel, line, phase, column / s, N]; `phases` is s, or less where no tap reads the others.
struct Layout {
    int64_t channels, height, width, batch;  // of the image
    int64_t top, left;                       // zeros before it
    int64_t lines, columns;                  // of the padded image
    int64_t stride, phases;

    // Sizes in batches.
    int64_t phase_size() const { return (columns + stride - 1) / stride; }
    int64_t line_size() const { return phases * phase_size(); }
    int64_t plane_size() const { return lines * line_size(); }
    int64_t size() const { return channels * plane_size(); }
    bool is_plain() const { return lines == height && columns == width && stride == 1; }
};

template <class T>
void copy_line(T* to, const T* from, const Layout& at) {
    const int64_t n = at.batch;
    if (at.stride == 1) {
        std::fill_n(to, at.left * n, T{});
        std::memcpy(to + at.left * n, from, at.width * n * sizeof(T));
        std::fill_n(to + (at.left + at.width) * n, (at.columns - at.left - at.width) * n, T{});
        return;
    }
    for (int64_t phase = 0; phase < at.phases; ++phase) {
        for (int64_t q = 0; q < at.phase_size(); ++q, to += n) {
            const int64_t column = q * at.stride + phase - at.left;
            if (column < 0 || column >= at.width) {
                std::fill_n(to, n, T{});
            } else {
                std::memcpy(to, from + column * n, n * sizeof(T));
            }
        }
    }
}

// The image in its layout: itself where nothing has to be moved, else a copy.
template <class T>
class Image {
  public:
    Image(const T* image, const Layout& at, [[maybe_unused]] int n_threads)
        : copy_(at.is_plain() ? 0 : at.size() * at.batch) {
        if (at.size() > std::numeric_limits<int32_t>::max()) {
            throw std::overflow_error("one padded example has more than 2^31 - 1 elements; use a smaller image");
        }
        data_ = at.is_plain() ? image : copy_.get();
        if (at.is_plain() || at.batch == 0) return;
#pragma omp parallel for schedule(static) num_threads(std::max(n_threads, 1))
        for (int64_t i = 0; i < at.channels * at.lines; ++i) {
            const int64_t channel = i / at.lines, line = i % at.lines - at.top;
            T* to = copy_.get() + i * at.line_size() * at.batch;
            if (line < 0 || line >= at.height) {
                std::fill_n(to, at.line_size() * at.batch, T{});
            } else {
                copy_line(to, image + (channel * at.height + line) * at.width * at.batch, at);
            }
        }
    }
    const T* data() const { return data_; }

  private:
    Scratch<T> copy_;
    const T* data_;
};

Layout input_layout(const ConvShape& s) {
    const int64_t lines = s.height + 2 * s.padding_h, columns = s.width + 2 * s.padding_w;
    const int64_t phases = std::min(s.stride_w, s.kernel_w);
    return {s.in_channels, s.height, s.width, s.batch, s.padding_h, s.padding_w, lines, columns, s.stride_w, phases};
}

// Where in the input's layout the run of each nonzero begins, in batches.
Scratch<int32_t> input_places(const int32_t* indices, int64_t nnz, const ConvShape& s, const Layout& at) {
    const int64_t area = s.kernel_area();
    Scratch<int32_t> of_column(s.in_channels * area);
    for (int64_t j = 0; j < s.in_channels * area; ++j) {
        const int64_t channel = j / area, ky = j / s.kernel_w % s.kernel_h, kx = j % s.kernel_w;
        of_column[j] = static_cast<int32_t>(channel * at.plane_size() + ky * at.line_size() +
                                            kx % s.stride_w * at.phase_size() + kx / s.stride_w);
    }
    Scratch<int32_t> places(nnz);
    for (int64_t p = 0; p < nnz; ++p) places[p] = of_column[indices[p]];
    return places;
}

Runs output_lines(const ConvShape& s, const Layout& at) {
    const int64_t length = s.out_width() * s.batch;
    return {s.out_height(), length, s.stride_h * at.line_size() * s.batch, length, s.out_height() * length};
}

// One axis of the input's gradient. Input i, counted from the start of the padding u = i + padding, takes from output
// o through tap k where u = o * stride + k. With u = uq * stride + phase and k = kq * stride + phase that is
// o = uq - kq: taps and inputs of one phase make a convolution of stride 1.
struct Axis {
    int64_t size, out, kernel, stride, padding;

    // Zeros that dy needs in front and behind so that uq - kq is always inside; 0 where padding exceeds the kernel.
    int64_t before() const { return std::max<int64_t>((kernel - 1) / stride - padding / stride, 0); }
    int64_t after() const { return std::max<int64_t>((padding + size - 1) / stride + 1 - out, 0); }
    // The first input of a phase, how many there are, and the first's uq.
    int64_t first(int64_t phase) const { return ((phase - padding) % stride + stride) % stride; }
    int64_t count(int64_t phase) const { return std::max<int64_t>((size - first(phase) + stride - 1) / stride, 0); }
    int64_t first_q(int64_t phase) const { return (first(phase) + padding) / stride; }
};

// The transposed weight in the order that the phases of dx need: for one phase, row by row (row = input channel).
class PhaseTerms {
  public:
    PhaseTerms(const float* values, const int32_t* t_indptr, const int32_t* t_indices, const int32_t* t_perm,
               const ConvShape& s)
        : values_(values), t_indptr_(t_indptr), t_indices_(t_indices), t_perm_(t_perm), s_(s),
          indptr_(s.in_channels + 1), places_(t_indptr[s.in_channels * s.kernel_area()]),
          weights_(t_indptr[s.in_channels * s.kernel_area()]) {}

    // The nonzeros whose kernel row and column are in phase; places count from where uq = 0 is in dy's layout.
    Terms of(int64_t phase_h, int64_t phase_w, const Layout& at) {
        int32_t p = 0;
        for (int64_t channel = 0; channel < s_.in_channels; ++channel) {
            indptr_[channel] = p;
            for (int64_t ky = phase_h; ky < s_.kernel_h; ky += s_.stride_h) {
                for (int64_t kx = phase_w; kx < s_.kernel_w; kx += s_.stride_w) {
                    const int64_t tap = ky / s_.stride_h * at.line_size() + kx / s_.stride_w;
                    const int64_t column = (channel * s_.kernel_h + ky) * s_.kernel_w + kx;
                    for (int64_t q = t_indptr_[column]; q < t_indptr_[column + 1]; ++q, ++p) {
                        places_[p] = static_cast<int32_t>(t_indices_[q] * at.plane_size() - tap);
                        weights_[p] = values_[t_perm_[q]];
                    }
                }
            }
        }
        indptr_[s_.in_channels] = p;
        return {s_.in_channels, indptr_.get(), places_.get(), s_.batch, weights_.get()};
    }

  private:
    const float* values_;
    const int32_t *t_indptr_, *t_indices_, *t_perm_;
    const ConvShape& s_;
    Scratch<int32_t> indptr_, places_;
    Scratch<float> weights_;
};

// Spreads the columns of one phase, [lines, count, N], over the lines of dx: every stride-th from the first on.
template <class T>
void spread(T* dx, const T* strip, int64_t lines, int64_t width, int64_t batch, const Axis& axis, int64_t phase,
            [[maybe_unused]] int n_threads) {
    const int64_t count = axis.count(phase), first = axis.first(phase);
#pragma omp parallel for schedule(static) num_threads(std::max(n_threads, 1))
    for (int64_t line = 0; line < lines; ++line) {
        for (int64_t q = 0; q < count; ++q) {
            std::memcpy(dx + (line * width + first + q * axis.stride) * batch, strip + (line * count + q) * batch,
                        batch * sizeof(T));
        }
    }
}

// The two convolutions of stride 1 that need no padded copy: the result, and the gradient of the input, where the taps
// count backwards.
Reach forward_reach(int64_t size, int64_t out, int64_t kernel, int64_t padding) {
    return {out, size, -padding, kernel - 1 - padding};
}
Reach backward_reach(int64_t size, int64_t out, int64_t kernel, int64_t padding) {
    return {size, out, padding + 1 - kernel, padding};
}

// Whether to take regions: not where making a list of nonzeros for each is a large part of the work, as for a batch of one.
bool is_regional(const ConvShape& s, int64_t nnz, int64_t sources) {
    if (s.stride_h != 1 || s.stride_w != 1) return false;
    const int64_t regions = count_regions(forward_reach(s.height, s.out_height(), s.kernel_h, s.padding_h),
                                          forward_reach(s.width, s.out_width(), s.kernel_w, s.padding_w));
    return regions == 1 || regions * nnz <= 8 * sources * s.batch;
}

// Channels that lie a large power of two apart compete for the same few places of the cache. Where they do, a copy with
// a gap after each: it is made in less time than it saves.
template <class T>
class Spaced {
  public:
    Spaced(const T* image, int64_t channels, int64_t area, int64_t batch, [[maybe_unused]] int n_threads)
        : plane_(area + gap(area, batch)), copy_(plane_ == area ? 0 : channels * plane_ * batch),
          data_(plane_ == area ? image : copy_.get()) {
        if (channels * plane_ > std::numeric_limits<int32_t>::max()) {
            throw std::overflow_error("one example has more than 2^31 - 1 elements; use a smaller image");
        }
        if (plane_ == area) return;
#pragma omp parallel for schedule(static) num_threads(std::max(n_threads, 1))
        for (int64_t c = 0; c < channels; ++c) {
            std::memcpy(copy_.get() + c * plane_ * batch, image + c * area * batch, area * batch * sizeof(T));
        }
    }
    const T* data() const { return data_; }
    int64_t plane() const { return plane_; }  // from one channel to the next, in batches

  private:
    static int64_t gap(int64_t area, int64_t batch) {
        constexpr int64_t conflict = 2048, enough = 768;  // bytes
        const int64_t bytes = batch * sizeof(T);
        return area * bytes > bytes && area * bytes % conflict == 0 ? (enough + bytes - 1) / bytes : 0;
    }

    int64_t plane_;
    Scratch<T> copy_;
    const T* data_;
};

// The nonzeros of W, row by row, with the taps' offsets.
struct ForwardTaps {
    Scratch<int32_t> places, taps;

    ForwardTaps(const int32_t* indices, int64_t nnz, const ConvShape& s, int64_t plane) : places(nnz), taps(nnz) {
        const int32_t area = static_cast<int32_t>(s.kernel_area()), kernel_w = static_cast<int32_t>(s.kernel_w);
        Scratch<int32_t> of_column(s.in_channels * area);
        for (int64_t j = 0; j < s.in_channels * area; ++j) {
            const int64_t y = j % area / kernel_w - s.padding_h, x = j % kernel_w - s.padding_w;
            of_column[j] = static_cast<int32_t>(j / area * plane + y * s.width + x);
        }
        for (int64_t p = 0; p < nnz; ++p) {
            places[p] = of_column[indices[p]];
            taps[p] = indices[p] % area;
        }
    }
};

// The nonzeros of the transposed matrix, channel by channel: a tap's offset is the opposite one, so its number counts from the end.
struct BackwardTaps {
    Scratch<int32_t> indptr, places, taps;
    Scratch<float> weights;

    BackwardTaps(const float* values, const int32_t* t_indptr, const int32_t* t_indices, const int32_t* t_perm,
                 const ConvShape& s, int64_t plane)
        : indptr(s.in_channels + 1), places(t_indptr[s.in_channels * s.kernel_area()]),
          taps(t_indptr[s.in_channels * s.kernel_area()]), weights(t_indptr[s.in_channels * s.kernel_area()]) {
        const int64_t area = s.kernel_area();
        for (int64_t j = 0; j < s.in_channels * area; ++j) {
            const int64_t y = s.padding_h - j % area / s.kernel_w, x = s.padding_w - j % s.kernel_w;
            if (j % area == 0) indptr[j / area] = t_indptr[j];
            for (int32_t q = t_indptr[j]; q < t_indptr[j + 1]; ++q) {
                places[q] = static_cast<int32_t>(t_indices[q] * plane + y * s.out_width() + x);
                taps[q] = static_cast<int32_t>(area - 1 - j % area);
                weights[q] = values[t_perm[q]];
            }
        }
        indptr[s.in_channels] = t_indptr[s.in_channels * area];
    }
};

}  // namespace

template <class T>
void conv2d_forward(T* y, const T* x, const float* values, const float* bias, const int32_t* indptr,
                    const int32_t* indices, ConvShape s, int n_threads) {
    const int64_t nnz = indptr[s.out_channels];
    if (is_regional(s, nnz, s.in_channels * s.height * s.width)) {
        const Spaced<T> input(x, s.in_channels, s.height * s.width, s.batch, n_threads);
        ForwardTaps taps(indices, nnz, s, input.plane());
        const Regions regions({s.out_channels, indptr, taps.places.get(), values, taps.taps.get()},
                              forward_reach(s.height, s.out_height(), s.kernel_h, s.padding_h),
                              forward_reach(s.width, s.out_width(), s.kernel_w, s.padding_w), s.batch, bias, n_threads);
        return multiply(y, input.data(), regions.list(), n_threads);
    }
    const Layout at = input_layout(s);
    const Image<T> input(x, at, n_threads);
    auto places = input_places(indices, nnz, s, at);
    const Terms terms{s.out_channels, indptr, places.get(), s.batch, values, bias};
    multiply<T>(y, input.data(), {{0, 0, terms, output_lines(s, at)}}, n_threads);
}

template <class T>
void conv2d_dx(T* dx, const T* dy, const float* values, const int32_t* t_indptr, const int32_t* t_indices,
               const int32_t* t_perm, ConvShape s, int n_threads) {
    const int64_t n = s.batch, lines = s.in_channels * s.height;
    if (lines * s.width * n == 0) return;
    const Axis vertical{s.height, s.out_height(), s.kernel_h, s.stride_h, s.padding_h};
    const Axis horizontal{s.width, s.out_width(), s.kernel_w, s.stride_w, s.padding_w};
    const int64_t top = vertical.before(), left = horizontal.before();
    const int64_t padded_h = top + vertical.out + vertical.after();
    const int64_t padded_w = left + horizontal.out + horizontal.after();
    const Layout at{s.out_channels, vertical.out, horizontal.out, n, top, left, padded_h, padded_w, 1, 1};
    const Image<T> grad(dy, at, n_threads);
    PhaseTerms terms(values, t_indptr, t_indices, t_perm, s);
    // With a stride, the columns of a phase are not neighbours in dx: they are made side by side, then spread.
    Scratch<T> strip(s.stride_w == 1 ? 0 : lines * ((s.width + s.stride_w - 1) / s.stride_w) * n);
    for (int64_t phase_w = 0; phase_w < s.stride_w; ++phase_w) {
        const int64_t length = horizontal.count(phase_w) * n;
        T* to = s.stride_w == 1 ? dx : strip.get();
        for (int64_t phase_h = 0; phase_h < s.stride_h; ++phase_h) {
            const int64_t from =
                (vertical.first_q(phase_h) + top) * at.line_size() + horizontal.first_q(phase_w) + left;
            const Runs lines_of_phase{vertical.count(phase_h), length, at.line_size() * n, s.stride_h * length,
                                      s.height * length};
            multiply<T>(to + vertical.first(phase_h) * length, grad.data() + from * n,
                        {{0, 0, terms.of(phase_h, phase_w, at), lines_of_phase}}, n_threads);
        }
        if (s.stride_w > 1) spread(dx, to, lines, s.width, n, horizontal, phase_w, n_threads);
    }
}

template <class T>
void conv2d_dw(float* dvalues, const T* dy, const T* x, const int32_t* indptr, const int32_t* indices,
               ConvShape s, int n_threads) {
    const Layout at = input_layout(s);
    const Image<T> input(x, at, n_threads);
    auto places = input_places(indices, indptr[s.out_channels], s, at);
    const Terms terms{s.out_channels, indptr, places.get(), s.batch, nullptr};
    inner_products(dvalues, dy, input.data(), terms, output_lines(s, at), n_threads);
}

template <class T>
void conv2d_gradients(T* dx, float* dvalues, const T* dy, const T* x, const float* values, const int32_t* indptr,
                      const int32_t* indices, const int32_t* t_indptr, const int32_t* t_indices, const int32_t* t_perm,
                      ConvShape s, int n_threads) {
    const int64_t nnz = indptr[s.out_channels];
    if (!is_regional(s, nnz, s.out_channels * s.out_height() * s.out_width())) {
        conv2d_dx(dx, dy, values, t_indptr, t_indices, t_perm, s, n_threads);
        conv2d_dw(dvalues, dy, x, indptr, indices, s, n_threads);
        return;
    }
    const Spaced<T> grad(dy, s.out_channels, s.out_height() * s.out_width(), s.batch, n_threads);
    BackwardTaps taps(values, t_indptr, t_indices, t_perm, s, grad.plane());
    const Regions regions({s.in_channels, taps.indptr.get(), taps.places.get(), taps.weights.get(), taps.taps.get()},
                          backward_reach(s.height, s.out_height(), s.kernel_h, s.padding_h),
                          backward_reach(s.width, s.out_width(), s.kernel_w, s.padding_w), s.batch, nullptr, n_threads);
    // Every region has its own sums; a nonzero's gradient is the sum of those of the regions that have it.
    const size_t count = regions.list().size();
    Scratch<float> sums(static_cast<int64_t>(count) * nnz);
    std::vector<float*> of_region;
    for (size_t k = 0; k < count; ++k) of_region.push_back(sums.get() + k * nnz);
    gradients(dx, of_region, grad.data(), x, regions.list(), n_threads);
    std::fill_n(dvalues, nnz, 0.0f);
    for (size_t k = 0; k < count; ++k) {
        const Region& region = regions.list()[k];
        const int32_t* order = regions.order(k);
        for (int64_t p = 0; p < region.terms.indptr[s.in_channels]; ++p) {
            dvalues[t_perm[order ? order[p] : p]] += of_region[k][p];
        }
    }
}

#define TITHE_INSTANTIATE(T)                                                                                        \
    template void conv2d_forward(T*, const T*, const float*, const float*, const int32_t*, const int32_t*, ConvShape, \
                                 int);                                                                              \
    template void conv2d_dx(T*, const T*, const float*, const int32_t*, const int32_t*, const int32_t*, ConvShape,  \
                            int);                                                                                   \
    template void conv2d_dw(float*, const T*, const T*, const int32_t*, const int32_t*, ConvShape, int);            \
    template void conv2d_gradients(T*, float*, const T*, const T*, const float*, const int32_t*, const int32_t*,    \
                                   const int32_t*, const int32_t*, const int32_t*, ConvShape, int)
TITHE_INSTANTIATE(float);
TITHE_INSTANTIATE(bf16);
#undef TITHE_INSTANTIATE

}  // namespace tithe
