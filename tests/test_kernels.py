"""The CPU kernels: fast against naive, naive against torch in double, and nothing written or read out of bounds.

Activations are stored in float32 or bfloat16, which numpy lacks: here uint16, the upper half of a float32.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from tithe import _kernels

# Floats before and after each array. 0 leaves the watch to AddressSanitizer.
GUARD = int(os.environ.get("TITHE_TEST_GUARD", "64"))
ALL_SETS = ("avx512", "avx2", "sse2", "neon", "plain")
KERNELS = ("forward", "dx", "dw", "gradients.dx", "gradients.dw")  # after the dot: which of the two outputs
BATCHES = st.sampled_from([0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100, 127, 128, 129, 300])
DENSITIES = st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0])


@dataclass(frozen=True)
class Layer:
    """Sizes, a topology and data for one layer. In memory the batch is innermost."""

    sizes: tuple[int, ...]  # as the kernels take them: (rows, cols, batch) or the eleven of a convolution
    density: float
    seed: int = 0
    bf16: bool = False  # how activations are stored

    @property
    def name(self) -> str:
        return "linear" if len(self.sizes) == 3 else "conv2d"

    @property
    def batch(self) -> int:
        return self.sizes[-1]

    @property
    def weight_shape(self) -> tuple[int, ...]:
        if self.name == "linear":
            return self.sizes[:2]
        out_channels, in_channels, _, _, kernel_h, kernel_w, *_ = self.sizes
        return out_channels, in_channels, kernel_h, kernel_w

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.sizes[1], self.batch) if self.name == "linear" else (*self.sizes[1:4], self.batch)

    @property
    def y_shape(self) -> tuple[int, ...]:
        if self.name == "linear":
            return self.sizes[0], self.batch
        rows, _, height, width, kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, batch = self.sizes
        out_height = (height + 2 * padding_h - kernel_h) // stride_h + 1
        return rows, out_height, (width + 2 * padding_w - kernel_w) // stride_w + 1, batch

    @cached_property
    def mask(self) -> np.ndarray:  # bool [rows, cols]
        rows, *cols = self.weight_shape
        return np.random.default_rng(self.seed).random((rows, int(np.prod(cols)))) < self.density

    def random(self, shape: tuple[int, ...] | int, salt: int) -> np.ndarray:
        return np.random.default_rng([self.seed, salt]).standard_normal(shape).astype(np.float32)

    @cached_property
    def x(self) -> np.ndarray:  # float32 that can be stored without a loss, as is dy
        return self.random(self.x_shape, 1) if not self.bf16 else widened(to_bf16(self.random(self.x_shape, 1)))

    @cached_property
    def dy(self) -> np.ndarray:
        return self.random(self.y_shape, 2) if not self.bf16 else widened(to_bf16(self.random(self.y_shape, 2)))

    @cached_property
    def values(self) -> np.ndarray:
        return self.random(int(self.mask.sum()), 3)

    @cached_property
    def bias(self) -> np.ndarray:
        return self.random(self.sizes[0], 4)

    @cached_property
    def csr(self) -> tuple[np.ndarray, np.ndarray]:
        """Indptr and indices."""
        return pointers(self.mask.sum(1)), self.mask.nonzero()[1].astype(np.int32)

    @cached_property
    def transposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indptr and indices of the transpose, and where its values sit in `values`."""
        rows, cols = self.mask.nonzero()
        perm = np.lexsort((rows, cols))
        return pointers(self.mask.sum(0)), rows[perm].astype(np.int32), perm.astype(np.int32)


def pointers(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def to_bf16(array: np.ndarray) -> np.ndarray:
    """float32 rounded to the nearest bfloat16, as uint16; torch's rounding is the one to meet."""
    return torch.from_numpy(array).bfloat16().view(torch.uint16).numpy()


def widened(array: np.ndarray) -> np.ndarray:
    """The float32 that each bfloat16 is."""
    return (array.astype(np.uint32) << 16).view(np.float32)


POISON = {np.dtype(np.float32): np.nan, np.dtype(np.uint16): 0x7FC0, np.dtype(np.int32): 2**30}


def guarded(array: np.ndarray, fence: float | int) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the array with fences around it, and the whole buffer."""
    buffer = np.full(array.size + 2 * GUARD, fence, array.dtype)
    inside = buffer[GUARD : GUARD + array.size]
    inside[:] = array.ravel()
    return inside, buffer


def run(
    layer: Layer,
    kernel: str,
    *,
    naive: bool = False,
    threads: int = 1,
    absolute: bool = False,
    bf16: bool | None = None,
) -> np.ndarray:
    """Call a kernel on poisoned outputs (NaN) between fences; inputs stand between NaN, so that a stray read shows.

    The answer is float32, however activations were stored: bf16, as the layer says unless told otherwise.
    """
    bf16 = layer.bf16 if bf16 is None else bf16
    x, dy, values, bias = [np.abs(a) if absolute else a for a in (layer.x, layer.dy, layer.values, layer.bias)]
    if bf16:
        x, dy = to_bf16(x), to_bf16(dy)
    name = kernel.split(".")[0]
    inputs = {
        "forward": (x, values, bias, *layer.csr),
        "dx": (dy, values, *layer.transposed),
        "dw": (dy, x, *layer.csr),
        "gradients": (dy, x, values, *layer.csr, *layer.transposed),
    }[name]
    shapes = {"forward": layer.y_shape, "dx": layer.x_shape, "dw": layer.values.shape}
    results = ("dx", "dw") if name == "gradients" else (name,)
    dtypes = [np.dtype(np.uint16 if bf16 and result != "dw" else np.float32) for result in results]
    outs = [
        guarded(np.full(shapes[result], POISON[dtype], dtype), 12345)
        for result, dtype in zip(results, dtypes, strict=True)
    ]
    kept = [guarded(array, POISON[array.dtype])[0] for array in inputs]
    function = getattr(_kernels, f"{'naive_' if naive else ''}{layer.name}_{name}{'_bf16' if bf16 else ''}")
    addresses = [array.ctypes.data for array in (*(out for out, _ in outs), *kept)]
    function(*addresses, *layer.sizes, threads)
    for out, buffer in outs:
        assert (buffer[:GUARD] == 12345).all(), "written before the output"
        assert (buffer[GUARD + out.size :] == 12345).all(), "written behind the output"
    for array, before in zip(kept, inputs, strict=True):
        np.testing.assert_array_equal(array, before.ravel(), "an input was changed")
    which = results.index(result := kernel.split(".")[-1])
    out = outs[which][0]
    return (widened(out) if out.dtype == np.uint16 else out).reshape(shapes[result])


def reference(layer: Layer, kernel: str) -> np.ndarray:
    """The same by torch on the masked dense weight, in double."""
    kernel = kernel.split(".")[-1]
    weight = torch.zeros(layer.mask.shape, dtype=torch.float64)
    weight[torch.from_numpy(layer.mask)] = torch.from_numpy(layer.values).double()
    weight.requires_grad_()
    x = torch.from_numpy(layer.x).double().requires_grad_()
    if layer.name == "linear":
        y = weight @ x
    else:
        dense = weight.reshape(layer.weight_shape)
        y = conv2d(x.permute(3, 0, 1, 2), dense, stride=layer.sizes[6:8], padding=layer.sizes[8:10]).permute(1, 2, 3, 0)
    if kernel == "forward":
        bias = torch.from_numpy(layer.bias).double().reshape(-1, *[1] * (y.dim() - 1))
        return (y.detach() + bias).numpy()
    dx, dw = torch.autograd.grad(y, (x, weight), torch.from_numpy(layer.dy).double())
    return dx.numpy() if kernel == "dx" else dw.numpy()[layer.mask]


def assert_close(actual: np.ndarray, expected: np.ndarray, magnitude: np.ndarray) -> None:
    """|actual - expected| <= 1e-5 * sum of the |terms|: what rounding can do, far below what a lost term does."""
    assert not np.isnan(actual).any(), "an element was not written, or memory outside an input was read"
    np.testing.assert_array_less(np.abs(actual - expected), 1e-5 * magnitude + 1e-30)


def assert_rounded(actual: np.ndarray, exact: np.ndarray, magnitude: np.ndarray) -> None:
    """Where bfloat16 is stored: the sum, as close as float32 comes, was rounded once and to the nearest."""
    assert not np.isnan(actual).any(), "an element was not written, or memory outside an input was read"
    slack = 1e-5 * magnitude + 1e-30
    assert (actual >= widened(to_bf16(exact - slack))).all()
    assert (actual <= widened(to_bf16(exact + slack))).all()


def check(layer: Layer, kernel: str) -> None:
    magnitude = run(layer, kernel, naive=True, absolute=True, bf16=False)
    exact = run(layer, kernel, naive=True, bf16=False)
    if layer.batch > 0:  # torch refuses empty batches in places
        assert_close(exact, reference(layer, kernel), magnitude)
    as_close_as_stored = assert_rounded if layer.bf16 and not kernel.endswith("dw") else assert_close
    fast = run(layer, kernel)
    as_close_as_stored(fast, exact, magnitude)
    as_close_as_stored(run(layer, kernel, naive=True), exact, magnitude)
    for threads in (2, 3):
        np.testing.assert_array_equal(run(layer, kernel, threads=threads), fast)


@st.composite
def linears(draw: st.DrawFn) -> Layer:
    rows, cols = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    return Layer((rows, cols, draw(BATCHES)), draw(DENSITIES), draw(st.integers(0, 99)))


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    (channels, kernel, stride, padding) = pair(1, 5), pair(1, 5), pair(1, 3), pair(0, 6)
    least = [max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True)]
    size = [draw(st.integers(low, low + 8)) for low in least]
    batch = draw(st.sampled_from([0, 1, 2, 3, 5, 7, 16, 33, 128]))
    return Layer((*channels, *size, *kernel, *stride, *padding, batch), draw(DENSITIES), draw(st.integers(0, 99)))


@pytest.fixture(params=ALL_SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """A test that uses this runs on each instruction set that the machine has."""
    if request.param not in _kernels.instruction_sets():
        pytest.skip(f"this machine has no {request.param}")
    before = _kernels.instruction_set()
    _kernels.use_instruction_set(request.param)
    assert _kernels.instruction_set() == request.param
    yield request.param
    _kernels.use_instruction_set(before)


storage = pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
battery = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("kernel", KERNELS)
@battery
@given(layer=linears())
@example(layer=Layer((1, 1, 1), 1.0))
@example(layer=Layer((0, 0, 0), 1.0))
@example(layer=Layer((3, 2, 2065), 1.0))  # a batch of many blocks
def test_linear(kernel: str, layer: Layer, bf16: bool) -> None:
    check(replace(layer, bf16=bf16), kernel)


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("kernel", KERNELS)
@battery
@given(layer=convolutions())
@example(layer=Layer((2, 3, 8, 9, 1, 1, 1, 1, 0, 0, 7), 0.5))  # pointwise: one run for the whole image
@example(layer=Layer((2, 3, 8, 9, 1, 1, 2, 3, 0, 0, 7), 0.5))  # strides that skip inputs: their gradient is 0
@example(layer=Layer((2, 2, 4, 5, 2, 3, 1, 1, 4, 5, 3), 1.0))  # padding beyond the kernel
@example(layer=Layer((2, 2, 7, 7, 2, 2, 3, 3, 0, 0, 3), 1.0))  # the last line feeds no output
@example(layer=Layer((2, 2, 1, 40, 1, 5, 1, 2, 0, 4, 130), 1.0))  # long lines of many blocks
@example(layer=Layer((5, 4, 8, 8, 3, 3, 1, 1, 1, 1, 64), 0.3))  # channels a power of two apart
@example(layer=Layer((3, 4, 4, 4, 5, 5, 1, 1, 2, 2, 32), 0.5))  # every line and column has its own taps
@example(layer=Layer((3, 4, 1, 2, 3, 3, 1, 1, 1, 1, 33), 1.0))  # an image smaller than the kernel
@example(layer=Layer((4, 4, 3, 3, 3, 3, 1, 1, 1, 1, 1), 1.0))  # one example: padded
@example(layer=Layer((2, 3, 6, 5, 3, 2, 1, 1, 4, 3, 16), 1.0))  # results that no tap reaches
def test_conv2d(kernel: str, layer: Layer, bf16: bool) -> None:
    check(replace(layer, bf16=bf16), kernel)


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "layer",
    [
        Layer((300, 200, 128), 0.1),
        Layer((50, 400, 1000), 0.3),  # dW in pieces
        Layer((20, 30, 12, 12, 5, 5, 1, 1, 0, 0, 100), 0.1),
        Layer((24, 16, 13, 11, 3, 3, 2, 2, 1, 1, 32), 0.3),
        Layer((24, 16, 16, 16, 3, 3, 1, 1, 1, 1, 32), 0.2),
    ],
    ids=lambda layer: f"{layer.name}-{'x'.join(map(str, layer.sizes))}",
)
def test_large_enough_for_threads(kernel: str, layer: Layer, bf16: bool) -> None:
    check(replace(layer, bf16=bf16), kernel)


@pytest.mark.usefixtures("instruction_set")
def test_forward_without_a_bias() -> None:
    layer = Layer((20, 30, 70), 0.3)
    y = np.full(layer.y_shape, np.nan, np.float32)
    inputs = [layer.x, layer.values, *layer.csr]
    x, values, *topology = [array.ctypes.data for array in inputs]
    _kernels.linear_forward(y.ctypes.data, x, values, 0, *topology, *layer.sizes, 1)
    assert_close(y + layer.bias[:, None], run(layer, "forward"), np.full(layer.y_shape, 10.0))


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("length", [0, 1, 3, 15, 63, 64, 65, 4095, 4097, 200_001])
def test_row_sums(length: int, bf16: bool) -> None:
    rows = np.random.default_rng(length).random((5, length), np.float32)
    stored = to_bf16(rows) if bf16 else rows
    given_rows, _ = guarded(stored, POISON[stored.dtype])
    function = _kernels.row_sums_bf16 if bf16 else _kernels.row_sums
    seen = []
    for threads in (1, 2, 3):
        sums, buffer = guarded(np.full(5, np.nan, np.float32), 12345)
        function(sums.ctypes.data, given_rows.ctypes.data, 5, length, threads)
        assert (buffer[:GUARD] == 12345).all()
        assert (buffer[GUARD + 5 :] == 12345).all()
        seen.append(sums)
    np.testing.assert_allclose(seen[0], (widened(stored) if bf16 else rows).astype(np.float64).sum(1), rtol=1e-6)
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])


@storage
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (15, 17), (16, 16), (33, 100), (500, 401)])
@pytest.mark.parametrize("threads", [1, 3])
def test_transpose(shape: tuple[int, int], threads: int, bf16: bool) -> None:
    matrix = np.random.default_rng(1).random(shape, np.float32)
    stored = to_bf16(matrix) if bf16 else matrix
    source, _ = guarded(stored, POISON[stored.dtype])
    turned, buffer = guarded(np.full(shape[::-1], POISON[stored.dtype], stored.dtype), 12345)
    function = _kernels.transpose_bf16 if bf16 else _kernels.transpose
    function(turned.ctypes.data, source.ctypes.data, *shape, threads)
    np.testing.assert_array_equal(turned.reshape(shape[::-1]), stored.T)
    assert (buffer[:GUARD] == 12345).all()
    assert (buffer[GUARD + matrix.size :] == 12345).all()


FLOAT32_BITS = [  # where rounding to bfloat16 can go wrong; the sign is added
    *(0x3F80_0000, 0x3F80_7FFF, 0x3F80_8000, 0x3F80_8001, 0x3F81_7FFF, 0x3F81_8000, 0x3F81_8001),  # ties, to even
    *(0, 1, 0x8000, 0x8001, 0x0001_8000, 0x007F_FFFF, 0x0080_0000),  # zero and what is below the normal numbers
    *(0x7F7F_7FFF, 0x7F7F_8000, 0x7F7F_FFFF, 0x7F80_0000),  # the largest, infinity
    *(0x7F80_0001, 0x7FA0_0000, 0x7FC0_0000, 0x7FFF_FFFF),  # not a number
]


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 200])
def test_rounding_is_torch_s(batch: int) -> None:
    """A bias that nothing is added to comes out as torch rounds it."""
    bits = np.array([sign | bits for bits in FLOAT32_BITS for sign in (0, 1 << 31)], np.uint32)
    bias, expected = bits.view(np.float32), widened(to_bf16(bits.view(np.float32)))
    y, indptr = np.zeros((len(bits), batch), np.uint16), np.zeros(len(bits) + 1, np.int32)
    _kernels.linear_forward_bf16(
        *(y.ctypes.data, y.ctypes.data, y.ctypes.data, bias.ctypes.data, indptr.ctypes.data, indptr.ctypes.data),
        *(len(bits), 1, batch, 1),
    )
    np.testing.assert_array_equal(widened(y), np.repeat(expected[:, None], batch, 1))


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("kernel", KERNELS)
def test_image_smaller_than_the_kernel_has_no_output(kernel: str) -> None:
    layer = Layer((2, 2, 3, 3, 5, 5, 2, 2, 0, 0, 4), 1.0)
    assert layer.y_shape == (2, 0, 0, 4)
    assert not run(layer, kernel).any()
