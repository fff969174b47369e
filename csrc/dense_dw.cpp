#include "dense_dw.hpp"

#include <algorithm>

#include "core.hpp"

namespace tithe {
namespace {

// Numbers of a line at a time: what all rows of dy and x hold of them stays in the second-level cache for the taps, and
// is long enough that adding a sum to the result takes little.
constexpr int64_t piece = 4096;

// Output columns whose source under a tap, `tap` - padding further right, is inside.
struct Inside {
    int64_t begin, end;

    Inside(int64_t outputs, int64_t sources, int64_t tap, int64_t padding)
        : begin(std::max<int64_t>(0, padding - tap)), end(std::min(outputs, sources + padding - tap)) {}
};

}  // namespace

void conv2d_dense_dw(float* dw, const float* dy, const float* x, ConvShape s, [[maybe_unused]] int n_threads) {
    const int64_t area = s.kernel_area(), n = s.batch, y_line = s.out_width() * n, x_line = s.width * n;
    const int64_t y_row = s.out_height() * y_line, x_row = s.height * x_line;
    const int parts = std::max(n_threads, 1);
#pragma omp parallel for schedule(static, 1) num_threads(parts)
    for (int part = 0; part < parts; ++part) {
        const int64_t first = s.out_channels * part / parts, rows = s.out_channels * (part + 1) / parts - first;
        float* out = dw + first * s.in_channels * area;
        std::fill_n(out, rows * s.in_channels * area, 0.0f);
        for (int64_t line = 0; line < s.out_height(); ++line) {
            for (int64_t from = 0; from < y_line; from += piece) {
                for (int64_t tap = 0; tap < area; ++tap) {
                    const int64_t ky = tap / s.kernel_w, kx = tap % s.kernel_w, source = line + ky - s.padding_h;
                    if (source < 0 || source >= s.height) continue;
                    const Inside inside(s.out_width(), s.width, kx, s.padding_w);
                    const int64_t begin = std::max(inside.begin * n, from), end = std::min(inside.end * n, from + piece);
                    if (begin >= end) continue;
                    const Products of{end - begin, y_row, x_row, s.in_channels * area, area};
                    add_products(of, out + tap, dy + first * y_row + line * y_line + begin,
                                 x + source * x_line + (kx - s.padding_w) * n + begin, rows, s.in_channels);
                }
            }
        }
    }
}

}  // namespace tithe
