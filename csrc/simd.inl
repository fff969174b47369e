// The core loops for one instruction set. core.cpp includes this file once for each, in a namespace of its own, with
// TITHE_TARGET (function attribute) and TITHE_LANES (floats in a register) defined. Each function carries the attribute
// itself: vector code that is inlined from a function without it has already been split for the oldest machine.

#define TITHE_INLINE TITHE_TARGET __attribute__((always_inline)) inline

#include "unit.inl"

typedef float Eight __attribute__((vector_size(32)));
typedef float Four __attribute__((vector_size(16)));
typedef float Two __attribute__((vector_size(8)));
typedef int32_t Mask4 __attribute__((vector_size(16)));

// How many nonzeros ahead the runs of x are asked for. They come from the second-level cache, and a row is too short for
// the processor to get far ahead by itself: 8 is what it needs to hide the way there (4 to 16 measure the same).
constexpr int64_t ahead = 8;

template <class T>
TITHE_INLINE void prefetch(const T* from, int64_t count) {
#pragma GCC unroll 8
    for (int64_t i = 0; i < count; i += cache_line / sizeof(T)) __builtin_prefetch(from + i);
}

// `width` columns of the result for rows [begin, end), in `count` units that stay put while the row's nonzeros pass by.
// The last unit ends at the last column, so it overlaps the one before it unless width = count * size: the columns in
// common are computed twice, with the same bits.
template <class T, class V, int count>
TITHE_INLINE void multiply_block(T* y, const T* x, const Terms& terms, int64_t y_row, int64_t begin, int64_t end,
                                 int64_t width) {
    using U = Unit<T, V>;
    const int64_t last = width - U::size;
    const int64_t last_p = terms.indptr[terms.rows] - 1;
    for (int64_t row = begin; row < end; ++row) {
        const float start = terms.bias ? terms.bias[row] : 0.0f;
        U sum[count];
#pragma GCC unroll 8
        for (int i = 0; i < count; ++i) sum[i] = U::of(start);
        for (int64_t p = terms.indptr[row]; p < terms.indptr[row + 1]; ++p) {
            const float weight = terms.values[p];
            const T* run = x + terms.places[p] * terms.batch;
            prefetch(x + terms.places[p + ahead < last_p ? p + ahead : last_p] * terms.batch, count * U::size);
#pragma GCC unroll 8
            for (int i = 0; i < count - 1; ++i) sum[i].add(weight, U::at(run + i * U::size));
            sum[count - 1].add(weight, U::at(run + last));
        }
        T* to = y + row * y_row;
#pragma GCC unroll 8
        for (int i = 0; i < count - 1; ++i) sum[i].put(to + i * U::size);
        sum[count - 1].put(to + last);
    }
}

// Picks the block that covers `width` columns, 1 <= width <= 8 registers of floats.
template <class T>
TITHE_TARGET void multiply_rows(T* y, const T* x, const Terms& terms, int64_t y_row, int64_t begin, int64_t end,
                                int64_t width) {
#define TITHE_BLOCK(V, count) return multiply_block<T, V, count>(y, x, terms, y_row, begin, end, width)
    constexpr int size = Unit<T, Wide>::size;
    if (width >= size) {
        const int64_t units = (width + size - 1) / size;
        if constexpr (size == TITHE_LANES) {  // one register a unit: there is room for 8
            if (units == 8) TITHE_BLOCK(Wide, 8);
            if (units == 7) TITHE_BLOCK(Wide, 7);
            if (units == 6) TITHE_BLOCK(Wide, 6);
            if (units == 5) TITHE_BLOCK(Wide, 5);
        }
        if (units == 4) TITHE_BLOCK(Wide, 4);
        if (units == 3) TITHE_BLOCK(Wide, 3);
        if (units == 2) TITHE_BLOCK(Wide, 2);
        TITHE_BLOCK(Wide, 1);
    }
#if TITHE_LANES > 8
    if (width >= Unit<T, Eight>::size) TITHE_BLOCK(Eight, 2);
#endif
#if TITHE_LANES > 4
    if (width >= Unit<T, Four>::size) TITHE_BLOCK(Four, 2);
#endif
#if TITHE_LANES > 2
    if (width >= 4) TITHE_BLOCK(Two, 2);  // of bf16: floats have gone
#endif
    if (width == 3) TITHE_BLOCK(float, 3);
    if (width == 2) TITHE_BLOCK(float, 2);
    TITHE_BLOCK(float, 1);
#undef TITHE_BLOCK
}

// A register's floats folded into four, by halves; and the sum of four.
#if TITHE_LANES == 1
TITHE_INLINE Four fold(Wide v) { return Four{v[0], 0, 0, 0}; }
#endif
TITHE_INLINE Four fold(float v) { return Four{v, 0, 0, 0}; }
TITHE_INLINE Four fold(Two v) { return Four{v[0], v[1], 0, 0}; }
TITHE_INLINE Four fold(Four v) { return v; }
#if TITHE_LANES >= 8
TITHE_INLINE Four fold(Eight v) {
    Four half[2];
    __builtin_memcpy(half, &v, sizeof(v));
    return half[0] + half[1];
}
#endif
#if TITHE_LANES >= 16
TITHE_INLINE Four fold(Wide v) {
    Eight half[2];
    __builtin_memcpy(half, &v, sizeof(v));
    return fold(half[0] + half[1]);
}
#endif
template <class V>
TITHE_INLINE float total(V v) {
    const Four four = fold(v);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

#ifdef __clang__
#define TITHE_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define TITHE_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, Mask4{i, j, k, l})
#endif

// The totals of four registers at once, each in the order of `total`.
template <class V>
TITHE_INLINE Four totals(V a, V b, V c, V d) {
    const Four fa = fold(a), fb = fold(b), fc = fold(c), fd = fold(d);
    const Four ab = TITHE_SHUFFLE(fa, fb, 0, 4, 1, 5) + TITHE_SHUFFLE(fa, fb, 2, 6, 3, 7);
    const Four cd = TITHE_SHUFFLE(fc, fd, 0, 4, 1, 5) + TITHE_SHUFFLE(fc, fd, 2, 6, 3, 7);
    return TITHE_SHUFFLE(ab, cd, 0, 1, 4, 5) + TITHE_SHUFFLE(ab, cd, 2, 3, 6, 7);
}
#undef TITHE_SHUFFLE

// Inner products of one stretch of dy with the stretches of x at `count` places, at most 4, side by side so that dy is
// loaded once. Meanwhile the stretches at the places in `next` are asked for.
template <int count, class T>
TITHE_INLINE void dots(float* out, const T* dy, const T* x, const int32_t* places, const int32_t* next, int64_t batch,
                       int64_t length, bool add) {
    using U = Unit<T, Wide>;
    constexpr int64_t line = cache_line / sizeof(T);
    const T *runs[count], *coming[count];
    for (int k = 0; k < count; ++k) runs[k] = x + places[k] * batch, coming[k] = x + next[k] * batch;
    U sum[4] = {};
    float product[4] = {};
    int64_t i = 0;
    for (; i + line <= length; i += line) {
#pragma GCC unroll 4
        for (int k = 0; k < count; ++k) __builtin_prefetch(coming[k] + i);
#pragma GCC unroll 4
        for (int64_t j = i; j < i + line; j += U::size) {
            const U d = U::at(dy + j);
#pragma GCC unroll 4
            for (int k = 0; k < count; ++k) sum[k].add(d, U::at(runs[k] + j));
        }
    }
    for (; i + U::size <= length; i += U::size) {
        const U d = U::at(dy + i);
#pragma GCC unroll 4
        for (int k = 0; k < count; ++k) sum[k].add(d, U::at(runs[k] + i));
    }
    if (length >= U::size && i < length) {  // the rest ends a last unit, whose front has been summed already
        const char* mask = reinterpret_cast<const char*>(none_then_all) + cache_line - sizeof(Wide);
        const auto keep = load<Words<Wide>>(mask + (length - i) * sizeof(T));
        const U d = U::at(dy + length - U::size, keep);
#pragma GCC unroll 4
        for (int k = 0; k < count; ++k) sum[k].add(d, U::at(runs[k] + length - U::size, keep));
    }
    const Four four = totals(sum[0].folded(), sum[1].folded(), sum[2].folded(), sum[3].folded());
    __builtin_memcpy(product, &four, sizeof(four));
    if (length < U::size) {
        for (int k = 0; k < count; ++k) {
            for (i = 0; i < length; ++i) product[k] += widen(dy[i]) * widen(runs[k][i]);
        }
    }
    for (int k = 0; k < count; ++k) out[k] = add ? out[k] + product[k] : product[k];
}

// One stretch's share of dvalues for rows [begin, end): added to what is there, or (add = false) in place of it.
template <class T>
TITHE_TARGET void dot_rows(float* dvalues, const T* dy, const T* x, const Terms& terms, int64_t y_row, int64_t begin,
                           int64_t end, int64_t length, bool add) {
    const int64_t nnz = terms.indptr[terms.rows];
    for (int64_t row = begin; row < end; ++row) {
        const T* d = dy + row * y_row;
        for (int64_t p = terms.indptr[row]; p < terms.indptr[row + 1]; p += 4) {
            float* out = dvalues + p;
            const int32_t* places = terms.places + p;
            const int64_t left = terms.indptr[row + 1] - p;
            const int32_t* next = p + 8 <= nnz ? places + 4 : places;
            if (left >= 4) dots<4>(out, d, x, places, next, terms.batch, length, add);
            if (left == 3) dots<3>(out, d, x, places, places, terms.batch, length, add);
            if (left == 2) dots<2>(out, d, x, places, places, terms.batch, length, add);
            if (left == 1) dots<1>(out, d, x, places, places, terms.batch, length, add);
        }
    }
}

// The unit that ends at column `width`, zero where the unit before it has been.
template <class T, class V, int count>
TITHE_INLINE Unit<T, V> rest(const T* from, int64_t width) {
    using U = Unit<T, V>;
    if constexpr (std::is_same_v<V, float>) {
        return U::at(from + width - 1);
    } else {
        const char* mask = reinterpret_cast<const char*>(none_then_all) + cache_line - sizeof(V);
        const auto keep = load<Words<V>>(mask + (width - (count - 1) * U::size) * sizeof(T));
        return U::at(from + width - U::size, keep);
    }
}

// One nonzero of the block below: adds its share to dx, and returns its gradient, which is still to be folded.
template <class T, class V, int count>
TITHE_INLINE V gradient(Unit<T, V>* sum, const Unit<T, V>* mine, const T* dy, const Terms& terms, int64_t p,
                        int64_t last_p, int64_t last) {
    using U = Unit<T, V>;
    const float weight = terms.values[p];
    const T* run = dy + terms.places[p] * terms.batch;
    prefetch(dy + terms.places[p + ahead < last_p ? p + ahead : last_p] * terms.batch, count * U::size);
    U product[2] = {U::of(0.0f), U::of(0.0f)};  // two, so that one need not wait for the other
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
        U d = U::at(i < count - 1 ? run + i * U::size : run + last);
        d.hold();
        sum[i].add(weight, d);
        product[i % 2].add(mine[i], d);
    }
    return product[0].folded() + product[1].folded();
}

// Both gradients for rows [begin, end) of the transposed matrix, `width` columns of them, in `count` units. A row's stretches of
// x and dx stay put while the runs of dy that its nonzeros read pass by, each loaded once for two multiply-adds. dx is
// written; each nonzero's gradient is added to its place in `dvalues`, or (add = false) put there.
template <class T, class V, int count>
TITHE_INLINE void gradients_block(T* dx, float* dvalues, const T* dy, const T* x, const Terms& terms, int64_t x_row,
                                  int64_t begin, int64_t end, int64_t width, bool add) {
    using U = Unit<T, V>;
    const int64_t last = width - U::size;
    const int64_t last_p = terms.indptr[terms.rows] - 1;
    for (int64_t row = begin; row < end; ++row) {
        const T* from = x + row * x_row;
        U mine[count], sum[count];
#pragma GCC unroll 8
        for (int i = 0; i < count - 1; ++i) mine[i] = U::at(from + i * U::size);
        mine[count - 1] = rest<T, V, count>(from, width);
#pragma GCC unroll 8
        for (int i = 0; i < count; ++i) sum[i] = U::of(0.0f);
        const int64_t end_p = terms.indptr[row + 1];
        int64_t p = terms.indptr[row];
        for (; p + 4 <= end_p; p += 4) {
            const V a = gradient<T, V, count>(sum, mine, dy, terms, p, last_p, last);
            const V b = gradient<T, V, count>(sum, mine, dy, terms, p + 1, last_p, last);
            const V c = gradient<T, V, count>(sum, mine, dy, terms, p + 2, last_p, last);
            const V d = gradient<T, V, count>(sum, mine, dy, terms, p + 3, last_p, last);
            Four four = totals(a, b, c, d);
            if (add) four += load<Four>(dvalues + p);
            __builtin_memcpy(dvalues + p, &four, sizeof(four));
        }
        for (; p < end_p; ++p) {
            const float one = total(gradient<T, V, count>(sum, mine, dy, terms, p, last_p, last));
            dvalues[p] = add ? dvalues[p] + one : one;
        }
        T* to = dx + row * x_row;
#pragma GCC unroll 8
        for (int i = 0; i < count - 1; ++i) sum[i].put(to + i * U::size);
        sum[count - 1].put(to + last);
    }
}

// How many registers of floats a block of gradients has: as many again hold x.
#if TITHE_LANES > 8
constexpr int gradient_registers = 8;
#else
constexpr int gradient_registers = 4;
#endif

// Picks the block that covers `width` columns, 1 <= width <= gradient_registers registers of floats.
template <class T>
TITHE_TARGET void gradient_rows(T* dx, float* dvalues, const T* dy, const T* x, const Terms& terms, int64_t x_row,
                                int64_t begin, int64_t end, int64_t width, bool add) {
#define TITHE_BLOCK(V, count) \
    return gradients_block<T, V, count>(dx, dvalues, dy, x, terms, x_row, begin, end, width, add)
    constexpr int size = Unit<T, Wide>::size;
    if (width >= size) {
        const int64_t units = (width + size - 1) / size;
        if constexpr (gradient_registers * TITHE_LANES >= 8 * size) {
            if (units == 8) TITHE_BLOCK(Wide, 8);
            if (units == 7) TITHE_BLOCK(Wide, 7);
            if (units == 6) TITHE_BLOCK(Wide, 6);
            if (units == 5) TITHE_BLOCK(Wide, 5);
        }
        if constexpr (gradient_registers * TITHE_LANES >= 4 * size) {
            if (units == 4) TITHE_BLOCK(Wide, 4);
            if (units == 3) TITHE_BLOCK(Wide, 3);
        }
        if (units == 2) TITHE_BLOCK(Wide, 2);
        TITHE_BLOCK(Wide, 1);
    }
#if TITHE_LANES > 8
    if (width >= Unit<T, Eight>::size) TITHE_BLOCK(Eight, 2);
#endif
#if TITHE_LANES > 4
    if (width >= Unit<T, Four>::size) TITHE_BLOCK(Four, 2);
#endif
#if TITHE_LANES > 2
    if (width >= 4) TITHE_BLOCK(Two, 2);  // of bf16: floats have gone
#endif
    if (width == 3) TITHE_BLOCK(float, 3);
    if (width == 2) TITHE_BLOCK(float, 2);
    TITHE_BLOCK(float, 1);
#undef TITHE_BLOCK
}

// The sum of `length` numbers: in pieces, so that rounding does not grow with the length.
template <class T>
TITHE_TARGET float row_sum(const T* y, int64_t length) {
    using U = Unit<T, Wide>;
    double sum = 0;
    for (int64_t from = 0; from < length; from += 4096) {
        const int64_t to = from + 4096 < length ? from + 4096 : length;
        U part[4] = {};
        int64_t i = from;
        for (; i + 4 * U::size <= to; i += 4 * U::size) {
#pragma GCC unroll 4
            for (int k = 0; k < 4; ++k) part[k].add(U::at(y + i + k * U::size));
        }
        sum += total((part[0].folded() + part[1].folded()) + (part[2].folded() + part[3].folded()));
        for (; i < to; ++i) sum += widen(y[i]);
    }
    return static_cast<float>(sum);
}

// Of a tile of products: rows of dy by rows of x whose sums stay in registers, beside one row of dy each and one of x.
#if TITHE_LANES > 8
constexpr int tile_rows = 4, tile_columns = 5;
#else
constexpr int tile_rows = 3, tile_columns = 3;
#endif

// out[a * out_row + b * out_column] += sum over i of dy[a * dy_row + i] * x[b * x_row + i], for a < rows, b < columns.
// Whatever the tile, each sum is made in the same order.
template <int rows, int columns>
TITHE_INLINE void products_tile(const Products& of, float* out, const float* dy, const float* x) {
    using U = Unit<float, Wide>;
    U sum[rows][columns] = {};
    int64_t i = 0;
    for (; i + U::size <= of.length; i += U::size) {
        U mine[rows];
#pragma GCC unroll 4
        for (int a = 0; a < rows; ++a) {
            mine[a] = U::at(dy + a * of.dy_row + i);
            mine[a].hold();
        }
#pragma GCC unroll 5
        for (int b = 0; b < columns; ++b) {
            U theirs = U::at(x + b * of.x_row + i);
            theirs.hold();
#pragma GCC unroll 4
            for (int a = 0; a < rows; ++a) sum[a][b].add(mine[a], theirs);
        }
    }
    for (int a = 0; a < rows; ++a) {
        for (int b = 0; b < columns; ++b) {
            float one = total(sum[a][b].all);
            for (int64_t j = i; j < of.length; ++j) one += dy[a * of.dy_row + j] * x[b * of.x_row + j];
            out[a * of.out_row + b * of.out_column] += one;
        }
    }
}

// The tile for what is left at an edge.
template <int rows, int columns>
TITHE_TARGET void products_of(const Products& of, float* out, const float* dy, const float* x, int64_t high, int64_t wide) {
    if constexpr (rows > 1) {
        if (high < rows) return products_of<rows - 1, columns>(of, out, dy, x, high, wide);
    }
    if constexpr (columns > 1) {
        if (wide < columns) return products_of<rows, columns - 1>(of, out, dy, x, high, wide);
    }
    products_tile<rows, columns>(of, out, dy, x);
}

// All products of `rows` rows of dy with `columns` rows of x.
TITHE_TARGET inline void products(const Products& of, float* out, const float* dy, const float* x, int64_t rows,
                                  int64_t columns) {
    for (int64_t a = 0; a < rows; a += tile_rows) {
        for (int64_t b = 0; b < columns; b += tile_columns) {
            products_of<tile_rows, tile_columns>(of, out + a * of.out_row + b * of.out_column, dy + a * of.dy_row,
                                                 x + b * of.x_row, rows - a, columns - b);
        }
    }
}

#undef TITHE_INLINE
