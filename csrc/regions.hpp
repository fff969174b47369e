// A convolution of stride 1 without a padded copy. Near an image's border some taps of the kernel fall outside; what they
// would add is zero. The result is cut into regions, in each of which the same taps are inside, and each region gets
// the list of nonzeros that have those taps: a 3x3 kernel on an image makes 9, the inner one with all nonzeros.
#pragma once

#include <cstdint>
#include <vector>

#include "core.hpp"

namespace tithe {

// One axis: result i reads source i + o for the offsets o = low .. high of the taps, where that is inside.
struct Reach {
    int64_t results, sources;
    int64_t low, high;
};

// The nonzeros row by row, and the offset of each one's tap, as a tap's number counts (offset_y - low) * width + (offset_x - low).
struct Tapped {
    int64_t rows;
    const int32_t* indptr;   // [rows + 1]
    const int32_t* places;   // [nnz] in batches from the source that offset (0, 0) reads
    const float* weights;    // [nnz]
    const int32_t* taps;     // [nnz]
};

// How many regions there are.
int64_t count_regions(const Reach& vertical, const Reach& horizontal);

class Regions {
  public:
    // Results are [rows, vertical.results, horizontal.results, batch], sources alike. `all` must outlive this.
    Regions(const Tapped& all, const Reach& vertical, const Reach& horizontal, int64_t batch, const float* bias, int n_threads);

    const std::vector<Region>& list() const { return list_; }
    // Where in `all` each nonzero of a region is; null: they are all there.
    const int32_t* order(size_t region) const { return kept_[region].fewer ? kept_[region].order.get() : nullptr; }

  private:
    struct Kept {
        bool fewer = false;
        Scratch<int32_t> indptr{0}, places{0}, order{0};
        Scratch<float> weights{0};
    };
    std::vector<Kept> kept_;
    std::vector<Region> list_;
};

}  // namespace tithe
