// The two loops that every kernel is made of. With the batch innermost, a nonzero is one weight times a contiguous
// run of floats, and a kernel is a list of places: where in x the run of each nonzero begins.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace tithe {

// A sparse matrix: row r has the nonzeros indptr[r] .. indptr[r + 1].
struct Terms {
    int64_t rows;
    const int32_t* indptr;   // [rows + 1]
    const int32_t* places;   // [nnz] where the run of each nonzero begins, counted in batches from x's first run
    int64_t batch;           // floats from one place to the next
    const float* values;     // [nnz], or null where only places matter
    const float* bias = nullptr;  // [rows] what each row's sum starts from; null: 0
};

// The runs of one row of the result: `count` stretches of `length` contiguous floats. For a linear layer one stretch,
// the batch; for a convolution one for each output line, out_width * batch long.
struct Runs {
    int64_t count, length;
    int64_t x_step, y_step;  // floats from one stretch to the next in x, in y
    int64_t y_row;           // floats from one row to the next in y

    // Stretches that follow each other without a gap, in x and y, are one.
    Runs merged() const {
        const bool gapless = x_step == length && y_step == length;
        return gapless ? Runs{1, count * length, 0, 0, y_row} : *this;
    }
};

// y[r, i] = bias[r] + sum over p in row r of weight p * x[places[p] * batch + i], for each i of each run.
void multiply(float* y, const float* x, const Terms& terms, const Runs& runs, int n_threads);

// dvalues[p] = sum over all i of dy[row of p, i] * x[places[p] * batch + i].
void inner_products(float* dvalues, const float* dy, const float* x, const Terms& terms, const Runs& runs,
                    int n_threads);

// sums[r] = sum over i of y[r, i], rows of `length` contiguous floats: the gradient of a bias.
void row_sums(float* sums, const float* y, int64_t rows, int64_t length, int n_threads);

// to[j, i] = from[i, j], for from [rows, cols]: a change of layout.
void transpose(float* to, const float* from, int64_t rows, int64_t cols, int n_threads);

// The instruction sets that this machine can run, the best first; the one in use; and a choice, which must not be made
// while a kernel runs (a name that is not in the list changes nothing).
std::vector<std::string> instruction_sets();
std::string instruction_set();
void use_instruction_set(const std::string& name);

// An uninitialised array on cache-line borders, for one call.
template <class T>
class Scratch {
  public:
    explicit Scratch(int64_t size) : data_(allocate(size)) {}
    T* get() { return data_.get(); }
    T& operator[](int64_t i) { return data_.get()[i]; }

  private:
    static constexpr std::align_val_t line{64};
    struct Free {
        void operator()(T* data) const { ::operator delete(data, line); }
    };
    static T* allocate(int64_t size) {
        return static_cast<T*>(::operator new(static_cast<size_t>(size) * sizeof(T), line));
    }
    std::unique_ptr<T, Free> data_;
};

}  // namespace tithe
