"""The dense weight gradient of a convolution against torch in double, on each instruction set, with guarded memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import BATCHES, GUARD, guarded, instruction_set  # noqa: F401  # a fixture
from torch.nn import grad

from tithe import _kernels

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
CHANNELS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 9, 11])  # tiles of 4 x 5 or 3 x 3, whole and cut


@pytest.mark.usefixtures("instruction_set")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=CHANNELS,
    channels=CHANNELS,
    kernel=PAIRS,
    padding=st.tuples(*[st.integers(0, 3)] * 2),
    size=PAIRS,
    batch=BATCHES,
)
def test_conv2d_dense_dw(
    rows: int, channels: int, kernel: tuple[int, int], padding: tuple[int, int], size: tuple[int, int], batch: int
) -> None:
    image = [max(1, k - 2 * p) + s - 1 for k, p, s in zip(kernel, padding, size, strict=True)]
    out = [i + 2 * p - k + 1 for i, p, k in zip(image, padding, kernel, strict=True)]
    dice = np.random.default_rng(rows * 100 + channels)
    x, dy = (dice.standard_normal(shape, np.float32) for shape in ((channels, *image, batch), (rows, *out, batch)))
    shape = (rows, channels, *kernel)
    seen = []
    for threads in (1, 2, 5):
        (given_x, _), (given_dy, _) = guarded(x, np.nan), guarded(dy, np.nan)
        dw, buffer = guarded(np.full(shape, np.nan, np.float32), 12345)
        _kernels.conv2d_dense_dw(
            *(dw.ctypes.data, given_dy.ctypes.data, given_x.ctypes.data),
            *(rows, channels, *image, *kernel, *padding, batch, threads),
        )
        assert (buffer[:GUARD] == 12345).all()
        assert (buffer[GUARD + dw.size :] == 12345).all()
        seen.append(dw.reshape(shape).copy())
    wide_x, wide_dy = (torch.from_numpy(t).double().movedim(-1, 0) for t in (x, dy))
    expected = grad.conv2d_weight(wide_x, shape, wide_dy, 1, padding) if batch else torch.zeros(shape).double()
    np.testing.assert_allclose(seen[0], expected.numpy(), rtol=1e-4, atol=1e-4)
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])


@pytest.mark.usefixtures("instruction_set")
def test_lines_longer_than_a_piece() -> None:
    dice = np.random.default_rng(0)
    x, dy = dice.standard_normal((2, 3, 40, 129), np.float32), dice.standard_normal((3, 3, 40, 129), np.float32)
    dw = np.empty((3, 2, 3, 3), np.float32)
    _kernels.conv2d_dense_dw(dw.ctypes.data, dy.ctypes.data, x.ctypes.data, 3, 2, 3, 40, 3, 3, 1, 1, 129, 2)
    wide_x, wide_dy = (torch.from_numpy(t).double().movedim(-1, 0) for t in (x, dy))
    np.testing.assert_allclose(dw, grad.conv2d_weight(wide_x, dw.shape, wide_dy, 1, 1).numpy(), rtol=1e-4, atol=1e-3)
