// The two loops that every kernel is made of. With the batch innermost, a nonzero is one weight times a contiguous
// run of numbers, and a kernel is a list of places: where in x the run of each nonzero begins. T is how x and y, or their
// gradients, are stored: float or bf16; sums are float32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bf16.hpp"
#include "scratch.hpp"

namespace tithe {

// A sparse matrix: row r has the nonzeros indptr[r] .. indptr[r + 1].
struct Terms {
    int64_t rows;
    const int32_t* indptr;   // [rows + 1]
    const int32_t* places;   // [nnz] where the run of each nonzero begins, counted in batches from x's first run
    int64_t batch;           // numbers from one place to the next
    const float* values;     // [nnz], or null where only places matter
    const float* bias = nullptr;  // [rows] what each row's sum starts from; null: 0
};

// The runs of one row of the result: `count` stretches of `length` contiguous floats. For a linear layer one stretch,
// the batch; for a convolution one for each output line, out_width * batch long.
struct Runs {
    int64_t count, length;
    int64_t x_step, y_step;  // numbers from one stretch to the next in x, in y
    int64_t y_row;           // numbers from one row to the next in y

    // Stretches that follow each other without a gap, in x and y, are one.
    Runs merged() const {
        const bool gapless = x_step == length && y_step == length;
        return gapless ? Runs{1, count * length, 0, 0, y_row} : *this;
    }
};

// A part of the result that has its own terms: where it begins in y (or x, dx), where what it reads begins in x (dy).
struct Region {
    int64_t y, x;
    Terms terms;
    Runs runs;
};

// y[r, i] = bias[r] + sum over p in row r of weight p * x[places[p] * batch + i], for each i of each run of each region.
template <class T>
void multiply(T* y, const T* x, const std::vector<Region>& regions, int n_threads);

// dvalues[p] = sum over all i of dy[row of p, i] * x[places[p] * batch + i].
template <class T>
void inner_products(float* dvalues, const T* dy, const T* x, const Terms& terms, const Runs& runs, int n_threads);

// Both gradients at once. The terms are the transposed matrix, with a place in dy for each nonzero: row j of dx is what
// `multiply` would make of dy, and dvalues[k][p] = sum over all i of region k of x[row of p, i] * dy[places[p] * batch + i], in the
// order of that region's terms. x and dx lie as y does in `multiply`. Both are written; a run of dy is read once for both.
template <class T>
void gradients(T* dx, const std::vector<float*>& dvalues, const T* dy, const T* x, const std::vector<Region>& regions,
               int n_threads);

// Products of every row of one matrix with every row of another, where the rows of each lie so many numbers apart.
struct Products {
    int64_t length;                // of a row
    int64_t dy_row, x_row;         // from one row to the next
    int64_t out_row, out_column;   // and in the result, from one product to the next
};

// out[a * out_row + b * out_column] += sum over i of dy[a * dy_row + i] * x[b * x_row + i], for a < rows, b < columns.
// Each sum is made in the same order, whatever rows and columns.
void add_products(const Products& of, float* out, const float* dy, const float* x, int64_t rows, int64_t columns);

// sums[r] = sum over i of y[r, i], rows of `length` contiguous numbers: the gradient of a bias.
template <class T>
void row_sums(float* sums, const T* y, int64_t rows, int64_t length, int n_threads);

// to[j, i] = from[i, j], for from [rows, cols]: a change of layout.
template <class T>
void transpose(T* to, const T* from, int64_t rows, int64_t cols, int n_threads);

// The instruction sets that this machine can run, the best first; the one in use; and a choice, which must not be made
// while a kernel runs (a name that is not in the list changes nothing).
std::vector<std::string> instruction_sets();
std::string instruction_set();
void use_instruction_set(const std::string& name);

}  // namespace tithe
