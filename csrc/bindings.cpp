// The only file that knows Python. Arrays arrive as raw addresses, so that building needs no torch and a call costs
// little; who calls has checked dtypes, shapes and layout (src/tithe/_kernels.pyi says what is expected).

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "conv2d.hpp"
#include "core.hpp"
#include "dense_dw.hpp"
#include "linear.hpp"
#include "naive.hpp"
#include "naive_norm.hpp"
#include "norm.hpp"

namespace nb = nanobind;
using namespace tithe;

namespace {

using Address = uintptr_t;

float* out(Address a) { return reinterpret_cast<float*>(a); }
const float* real(Address a) { return reinterpret_cast<const float*>(a); }
const int32_t* index(Address a) { return reinterpret_cast<const int32_t*>(a); }

// Activations: as the kernel that is called takes them.
struct Stored {
    Address at;
    template <class T>
    operator T*() const {
        return reinterpret_cast<T*>(at);
    }
};

template <auto kernel>
void linear_forward_at(Address y, Address x, Address values, Address bias, Address indptr, Address indices, int64_t rows,
                       int64_t cols, int64_t batch, int n_threads) {
    kernel(Stored{y}, Stored{x}, real(values), real(bias), index(indptr), index(indices), rows, cols, batch, n_threads);
}

template <auto kernel>
void linear_dx_at(Address dx, Address dy, Address values, Address t_indptr, Address t_indices, Address t_perm,
                  int64_t rows, int64_t cols, int64_t batch, int n_threads) {
    kernel(Stored{dx}, Stored{dy}, real(values), index(t_indptr), index(t_indices), index(t_perm), rows, cols, batch,
           n_threads);
}

template <auto kernel>
void linear_dw_at(Address dvalues, Address dy, Address x, Address indptr, Address indices, int64_t rows,
                  int64_t cols, int64_t batch, int n_threads) {
    kernel(out(dvalues), Stored{dy}, Stored{x}, index(indptr), index(indices), rows, cols, batch, n_threads);
}

template <auto kernel>
void linear_gradients_at(Address dx, Address dvalues, Address dy, Address x, Address values, Address indptr,
                         Address indices, Address t_indptr, Address t_indices, Address t_perm, int64_t rows,
                         int64_t cols, int64_t batch, int n_threads) {
    kernel(Stored{dx}, out(dvalues), Stored{dy}, Stored{x}, real(values), index(indptr), index(indices),
           index(t_indptr), index(t_indices), index(t_perm), rows, cols, batch, n_threads);
}

template <auto kernel>
void conv2d_forward_at(Address y, Address x, Address values, Address bias, Address indptr, Address indices, int64_t out_channels,
                       int64_t in_channels, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
                       int64_t stride_h, int64_t stride_w, int64_t padding_h, int64_t padding_w, int64_t batch,
                       int n_threads) {
    const ConvShape shape{out_channels, in_channels, height,    width,     kernel_h, kernel_w,
                          stride_h,     stride_w,    padding_h, padding_w, batch};
    kernel(Stored{y}, Stored{x}, real(values), real(bias), index(indptr), index(indices), shape, n_threads);
}

template <auto kernel>
void conv2d_dx_at(Address dx, Address dy, Address values, Address t_indptr, Address t_indices, Address t_perm,
                  int64_t out_channels, int64_t in_channels, int64_t height, int64_t width, int64_t kernel_h,
                  int64_t kernel_w, int64_t stride_h, int64_t stride_w, int64_t padding_h, int64_t padding_w,
                  int64_t batch, int n_threads) {
    const ConvShape shape{out_channels, in_channels, height,    width,     kernel_h, kernel_w,
                          stride_h,     stride_w,    padding_h, padding_w, batch};
    kernel(Stored{dx}, Stored{dy}, real(values), index(t_indptr), index(t_indices), index(t_perm), shape, n_threads);
}

template <auto kernel>
void conv2d_dw_at(Address dvalues, Address dy, Address x, Address indptr, Address indices, int64_t out_channels,
                  int64_t in_channels, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
                  int64_t stride_h, int64_t stride_w, int64_t padding_h, int64_t padding_w, int64_t batch,
                  int n_threads) {
    const ConvShape shape{out_channels, in_channels, height,    width,     kernel_h, kernel_w,
                          stride_h,     stride_w,    padding_h, padding_w, batch};
    kernel(out(dvalues), Stored{dy}, Stored{x}, index(indptr), index(indices), shape, n_threads);
}

template <auto kernel>
void conv2d_gradients_at(Address dx, Address dvalues, Address dy, Address x, Address values, Address indptr,
                         Address indices, Address t_indptr, Address t_indices, Address t_perm, int64_t out_channels,
                         int64_t in_channels, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
                         int64_t stride_h, int64_t stride_w, int64_t padding_h, int64_t padding_w, int64_t batch,
                         int n_threads) {
    const ConvShape shape{out_channels, in_channels, height,    width,     kernel_h, kernel_w,
                          stride_h,     stride_w,    padding_h, padding_w, batch};
    kernel(Stored{dx}, out(dvalues), Stored{dy}, Stored{x}, real(values), index(indptr), index(indices),
           index(t_indptr), index(t_indices), index(t_perm), shape, n_threads);
}

template <auto kernel>
void norm_train_at(Address y, Address mean, Address var, Address running_mean, Address running_var, Address x,
                   Address weight, Address bias, Address residual, int64_t channels, int64_t length, double eps,
                   double momentum, bool relu, int n_threads) {
    kernel(Stored{y}, out(mean), out(var), NormRunning{out(running_mean), out(running_var), momentum}, Stored{x},
           NormStatistics{nullptr, nullptr, real(weight), real(bias)}, Stored{residual},
           NormShape{channels, length, eps, relu}, n_threads);
}

template <auto kernel>
void norm_apply_at(Address y, Address x, Address mean, Address var, Address weight, Address bias, Address residual,
                   int64_t channels, int64_t length, double eps, bool relu, int n_threads) {
    kernel(Stored{y}, Stored{x}, NormStatistics{real(mean), real(var), real(weight), real(bias)}, Stored{residual},
           NormShape{channels, length, eps, relu}, n_threads);
}

template <class T, auto kernel>
void norm_backward_at(Address dx, Address dresidual, Address dweight, Address dbias, Address dy, Address x, Address y,
                      Address mean, Address var, Address weight, Address bias, bool batch_statistics,
                      int64_t channels, int64_t length, double eps, bool relu, int n_threads) {
    kernel(NormGradients<T>{Stored{dx}, Stored{dresidual}, out(dweight), out(dbias)}, Stored{dy}, Stored{x}, Stored{y},
           NormStatistics{real(mean), real(var), real(weight), real(bias)}, batch_statistics,
           NormShape{channels, length, eps, relu}, n_threads);
}

void conv2d_dense_dw_at(Address dw, Address dy, Address x, int64_t out_channels, int64_t in_channels, int64_t height,
                        int64_t width, int64_t kernel_h, int64_t kernel_w, int64_t padding_h, int64_t padding_w,
                        int64_t batch, int n_threads) {
    const ConvShape shape{out_channels, in_channels, height, width, kernel_h, kernel_w, 1, 1, padding_h, padding_w, batch};
    conv2d_dense_dw(out(dw), real(dy), real(x), shape, n_threads);
}

template <auto kernel>
void row_sums_at(Address sums, Address y, int64_t rows, int64_t length, int n_threads) {
    kernel(out(sums), Stored{y}, rows, length, n_threads);
}

template <auto kernel>
void transpose_at(Address to, Address from, int64_t rows, int64_t cols, int n_threads) {
    kernel(Stored{to}, Stored{from}, rows, cols, n_threads);
}

// The kernels for activations that are stored as T.
template <class T>
void bind_all(nb::module_& m, const std::string& suffix) {
    const auto bind = [&](const std::string& name, auto function) {
        m.def((name + suffix).c_str(), function, nb::call_guard<nb::gil_scoped_release>());
    };
    bind("linear_forward", &linear_forward_at<&linear_forward<T>>);
    bind("linear_dx", &linear_dx_at<&linear_dx<T>>);
    bind("linear_dw", &linear_dw_at<&linear_dw<T>>);
    bind("linear_gradients", &linear_gradients_at<&linear_gradients<T>>);
    bind("conv2d_forward", &conv2d_forward_at<&conv2d_forward<T>>);
    bind("conv2d_dx", &conv2d_dx_at<&conv2d_dx<T>>);
    bind("conv2d_dw", &conv2d_dw_at<&conv2d_dw<T>>);
    bind("conv2d_gradients", &conv2d_gradients_at<&conv2d_gradients<T>>);
    bind("naive_linear_forward", &linear_forward_at<&naive_linear_forward<T>>);
    bind("naive_linear_dx", &linear_dx_at<&naive_linear_dx<T>>);
    bind("naive_linear_dw", &linear_dw_at<&naive_linear_dw<T>>);
    bind("naive_conv2d_forward", &conv2d_forward_at<&naive_conv2d_forward<T>>);
    bind("naive_conv2d_dx", &conv2d_dx_at<&naive_conv2d_dx<T>>);
    bind("naive_conv2d_dw", &conv2d_dw_at<&naive_conv2d_dw<T>>);
    bind("naive_linear_gradients", &linear_gradients_at<&naive_linear_gradients<T>>);
    bind("naive_conv2d_gradients", &conv2d_gradients_at<&naive_conv2d_gradients<T>>);
    bind("norm_train", &norm_train_at<&norm_train<T>>);
    bind("norm_apply", &norm_apply_at<&norm_apply<T>>);
    bind("norm_backward", &norm_backward_at<T, &norm_backward<T>>);
    bind("naive_norm_train", &norm_train_at<&naive_norm_train<T>>);
    bind("naive_norm_apply", &norm_apply_at<&naive_norm_apply<T>>);
    bind("naive_norm_backward", &norm_backward_at<T, &naive_norm_backward<T>>);
    bind("row_sums", &row_sums_at<&row_sums<T>>);
    bind("transpose", &transpose_at<&transpose<T>>);
}

bool has_openmp() {
#ifdef TITHE_OPENMP
    return true;
#else
    return false;
#endif
}

}  // namespace

NB_MODULE(_kernels, m) {
    bind_all<float>(m, "");
    bind_all<bf16>(m, "_bf16");
    m.def("conv2d_dense_dw", &conv2d_dense_dw_at, nb::call_guard<nb::gil_scoped_release>());
    m.def("has_openmp", &has_openmp);
    m.def("instruction_sets", &instruction_sets);
    m.def("instruction_set", &instruction_set);
    m.def("use_instruction_set", &use_instruction_set);
}
