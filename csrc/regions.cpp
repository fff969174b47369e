#include "regions.hpp"

#include <algorithm>

namespace tithe {
namespace {

// Results [begin, end) for which the offsets low .. high are inside; none where high < low.
struct Span {
    int64_t begin, end;
    int64_t low, high;
};

std::vector<Span> spans(const Reach& axis) {
    std::vector<Span> found;
    for (int64_t i = 0; i < axis.results; ++i) {
        int64_t low = std::max(axis.low, -i), high = std::min(axis.high, axis.sources - 1 - i);
        if (high < low) low = 0, high = -1;
        if (!found.empty() && found.back().low == low && found.back().high == high) {
            found.back().end = i + 1;
        } else {
            found.push_back({i, i + 1, low, high});
        }
    }
    return found;
}

// Which taps are inside, by number.
std::vector<int32_t> inside(const Reach& vertical, const Reach& horizontal, const Span& v, const Span& h) {
    std::vector<int32_t> taps;
    for (int64_t y = vertical.low; y <= vertical.high; ++y) {
        for (int64_t x = horizontal.low; x <= horizontal.high; ++x) {
            taps.push_back(v.low <= y && y <= v.high && h.low <= x && x <= h.high);
        }
    }
    return taps;
}

}  // namespace

int64_t count_regions(const Reach& vertical, const Reach& horizontal) {
    return static_cast<int64_t>(spans(vertical).size() * spans(horizontal).size());
}

Regions::Regions(const Tapped& all, const Reach& vertical, const Reach& horizontal, int64_t batch, const float* bias,
                 [[maybe_unused]] int n_threads) {
    const int64_t y_line = horizontal.results * batch, x_line = horizontal.sources * batch;
    const auto down = spans(vertical), across = spans(horizontal);
    const int64_t nnz = all.indptr[all.rows], count = static_cast<int64_t>(down.size() * across.size());
    kept_.resize(count);
    list_.resize(count);
#pragma omp parallel for schedule(dynamic, 1) num_threads(nnz < (1 << 13) ? 1 : std::max(n_threads, 1))
    for (int64_t i = 0; i < count; ++i) {
        const Span &v = down[i / across.size()], &h = across[i % across.size()];
        const Runs runs{v.end - v.begin, (h.end - h.begin) * batch, x_line, y_line, vertical.results * y_line};
        const auto keep = inside(vertical, horizontal, v, h);
        Terms terms{all.rows, all.indptr, all.places, batch, all.weights, bias};
        if (std::find(keep.begin(), keep.end(), 0) != keep.end()) {
            Kept& kept = kept_[i];
            kept = {true, Scratch<int32_t>(all.rows + 1), Scratch<int32_t>(nnz), Scratch<int32_t>(nnz), Scratch<float>(nnz)};
            int32_t to = 0;
            for (int64_t row = 0; row < all.rows; ++row) {
                kept.indptr[row] = to;
                for (int32_t p = all.indptr[row]; p < all.indptr[row + 1]; ++p) {
                    // Written always, kept perhaps: quicker than a branch that nobody can foresee.
                    kept.places[to] = all.places[p], kept.weights[to] = all.weights[p], kept.order[to] = p;
                    to += keep[all.taps[p]];
                }
            }
            kept.indptr[all.rows] = to;
            terms.indptr = kept.indptr.get(), terms.places = kept.places.get(), terms.values = kept.weights.get();
        }
        list_[i] = {v.begin * y_line + h.begin * batch, v.begin * x_line + h.begin * batch, terms, runs};
    }
}

}  // namespace tithe
