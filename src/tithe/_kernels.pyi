"""CPU kernels for sparse layers: float32 weights, int32 topology, batch innermost in memory.

Every array is passed as its address (`Tensor.data_ptr()`), every size as an int. Nothing is checked here: a
wrong address or size is undefined behaviour. Order: outputs, inputs, sizes, number of threads. Outputs are fully
written (rows without weights become 0) and must not overlap an input. The interpreter's lock is released. The
result has the same bits for any number of threads. `MemoryError` where a scratch buffer cannot be had.

In memory x is [cols, batch] or [in_channels, height, width, batch], y is [rows, batch] or
[out_channels, out_height, out_width, batch], where out = (size + 2 * padding - kernel) // stride + 1.
The weight is a CSR matrix: values [nnz], indptr [rows + 1], indices [nnz]. A convolution's matrix is
[out_channels, in_channels * kernel_h * kernel_w]. Its transpose: column j holds values[t_perm[q]] in row
t_indices[q] for q in t_indptr[j] .. t_indptr[j + 1].

Activations, x and y and residual and their gradients, are float32, and bfloat16 for the kernels whose names end in
`_bf16`. All else, dvalues and bias and sums and statistics among it, is float32 there too; sums are float32 and what is
stored is rounded once, to the nearest.
"""

def has_openmp() -> bool:
    """Whether the kernels were built with OpenMP; without it `n_threads` has no effect."""

def instruction_sets() -> list[str]:
    """What this machine can run, the best first: of avx512, avx2, sse2, neon, plain."""

def instruction_set() -> str:
    """The one in use: the best, until another is chosen."""

def use_instruction_set(name: str, /) -> None:
    """Use this one from now on, no kernel running; a name that is not in the list changes nothing."""

def linear_forward(
    y: int,
    x: int,
    values: int,
    bias: int,
    indptr: int,
    indices: int,
    rows: int,
    cols: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write y [rows, batch] = W x + bias, for x [cols, batch]; the bias [rows] may be absent (0)."""

def linear_dx(
    dx: int,
    dy: int,
    values: int,
    t_indptr: int,
    t_indices: int,
    t_perm: int,
    rows: int,
    cols: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write dx [cols, batch] = W^T dy, for dy [rows, batch]."""

def linear_dw(
    dvalues: int,
    dy: int,
    x: int,
    indptr: int,
    indices: int,
    rows: int,
    cols: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write dvalues [nnz]: dvalues[p] = dot(dy[row of p], x[indices[p]])."""

def linear_gradients(
    dx: int,
    dvalues: int,
    dy: int,
    x: int,
    values: int,
    indptr: int,
    indices: int,
    t_indptr: int,
    t_indices: int,
    t_perm: int,
    rows: int,
    cols: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write dx and dvalues in one pass over dy."""

def conv2d_forward(
    y: int,
    x: int,
    values: int,
    bias: int,
    indptr: int,
    indices: int,
    out_channels: int,
    in_channels: int,
    height: int,
    width: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    padding_h: int,
    padding_w: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write y = x * W + bias (cross-correlation as in torch; dilation 1, one group); the bias may be absent (0)."""

def conv2d_dx(
    dx: int,
    dy: int,
    values: int,
    t_indptr: int,
    t_indices: int,
    t_perm: int,
    out_channels: int,
    in_channels: int,
    height: int,
    width: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    padding_h: int,
    padding_w: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write the gradient of the input, [in_channels, height, width, batch]."""

def conv2d_dw(
    dvalues: int,
    dy: int,
    x: int,
    indptr: int,
    indices: int,
    out_channels: int,
    in_channels: int,
    height: int,
    width: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    padding_h: int,
    padding_w: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write the gradient of the weights that exist, [nnz]."""

def conv2d_gradients(
    dx: int,
    dvalues: int,
    dy: int,
    x: int,
    values: int,
    indptr: int,
    indices: int,
    t_indptr: int,
    t_indices: int,
    t_perm: int,
    out_channels: int,
    in_channels: int,
    height: int,
    width: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    padding_h: int,
    padding_w: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write dx and dvalues, with stride 1 in one pass over dy."""

def conv2d_dense_dw(
    dw: int,
    dy: int,
    x: int,
    out_channels: int,
    in_channels: int,
    height: int,
    width: int,
    kernel_h: int,
    kernel_w: int,
    padding_h: int,
    padding_w: int,
    batch: int,
    n_threads: int,
    /,
) -> None:
    """Write the dense gradient dw [out_channels, in_channels, kernel_h, kernel_w] of a convolution of stride 1."""

def row_sums(sums: int, y: int, rows: int, length: int, n_threads: int, /) -> None:
    """Write sums [rows] of y [rows, length]."""

def transpose(to: int, source: int, rows: int, cols: int, n_threads: int, /) -> None:
    """Write to [cols, rows] = source [rows, cols], transposed."""

def norm_train(
    y: int,
    mean: int,
    var: int,
    running_mean: int,
    running_var: int,
    x: int,
    weight: int,
    bias: int,
    residual: int,
    channels: int,
    length: int,
    eps: float,
    momentum: float,
    relu: bool,
    n_threads: int,
    /,
) -> None:
    """Write mean and var (over length) [channels] of x [channels, length], and y as `norm_apply` does by them.

    running_mean and running_var [channels] move towards mean and var (over length - 1) by momentum; 0: there are none.
    weight and bias [channels] and residual [channels, length] may be 0, meaning 1, 0 and none. length is at least 2.
    """

def norm_apply(
    y: int,
    x: int,
    mean: int,
    var: int,
    weight: int,
    bias: int,
    residual: int,
    channels: int,
    length: int,
    eps: float,
    relu: bool,
    n_threads: int,
    /,
) -> None:
    """Write y [channels, length] = (x - mean) * weight / sqrt(var + eps) + bias + residual, rectified if relu."""

def norm_backward(
    dx: int,
    dresidual: int,
    dweight: int,
    dbias: int,
    dy: int,
    x: int,
    y: int,
    mean: int,
    var: int,
    weight: int,
    bias: int,
    batch_statistics: bool,
    channels: int,
    length: int,
    eps: float,
    relu: bool,
    n_threads: int,
    /,
) -> None:
    """Write the gradients; dresidual, dweight and dbias may be 0, where they are not wanted.

    y is needed, not 0, where a residual was added before a ReLU. With batch_statistics mean and var depended on x.
    """

# The slow, plain twins with sums in double, which the tests hold the kernels against.
naive_linear_forward = linear_forward
naive_linear_dx = linear_dx
naive_linear_dw = linear_dw
naive_linear_gradients = linear_gradients
naive_conv2d_forward = conv2d_forward
naive_conv2d_dx = conv2d_dx
naive_conv2d_dw = conv2d_dw
naive_conv2d_gradients = conv2d_gradients
naive_norm_train = norm_train
naive_norm_apply = norm_apply
naive_norm_backward = norm_backward

# Activations stored in bfloat16.
linear_forward_bf16 = linear_forward
linear_dx_bf16 = linear_dx
linear_dw_bf16 = linear_dw
linear_gradients_bf16 = linear_gradients
conv2d_forward_bf16 = conv2d_forward
conv2d_dx_bf16 = conv2d_dx
conv2d_dw_bf16 = conv2d_dw
conv2d_gradients_bf16 = conv2d_gradients
row_sums_bf16 = row_sums
transpose_bf16 = transpose
naive_linear_forward_bf16 = linear_forward
naive_linear_dx_bf16 = linear_dx
naive_linear_dw_bf16 = linear_dw
naive_linear_gradients_bf16 = linear_gradients
naive_conv2d_forward_bf16 = conv2d_forward
naive_conv2d_dx_bf16 = conv2d_dx
naive_conv2d_dw_bf16 = conv2d_dw
naive_conv2d_gradients_bf16 = conv2d_gradients
norm_train_bf16 = norm_train
norm_apply_bf16 = norm_apply
norm_backward_bf16 = norm_backward
naive_norm_train_bf16 = norm_train
naive_norm_apply_bf16 = norm_apply
naive_norm_backward_bf16 = norm_backward
