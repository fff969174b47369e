"""The scout's dense weight gradient of a convolution equals torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import grad
from torch.utils.flop_counter import FlopCounterMode

from tithe.nn import dense_gradient
from tithe.nn.dense_gradient import conv2d_dense_dw


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # each example sets what it patches
@given(data=st.data())
def test_equals_torch_in_double(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    pair = lambda low, high: (data.draw(st.integers(low, high)), data.draw(st.integers(low, high)))  # noqa: E731
    (rows, channels), kernel, stride, padding = pair(1, 4), pair(1, 5), pair(1, 3), pair(0, 3)
    size = [max(1, k - 2 * p) + data.draw(st.integers(0, 6)) for k, p in zip(kernel, padding, strict=True)]
    batch = data.draw(st.sampled_from([1, 2, 7]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    x = torch.randn(batch, channels, *size, dtype=torch.float64, generator=generator)
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, kernel, stride, strict=True)]
    dy = torch.randn(batch, rows, *out, dtype=torch.float64, generator=generator)
    expected = grad.conv2d_weight(x, (rows, channels, *kernel), dy, stride, padding).reshape(rows, -1)
    copied, least = data.draw(st.sampled_from([(dense_gradient.COPIED, dense_gradient.LEAST_LENGTH), (1, 1), (1, 20)]))
    monkeypatch.setattr(dense_gradient, "COPIED", copied)  # parts of lines, single lines, several lines at a time
    monkeypatch.setattr(dense_gradient, "LEAST_LENGTH", least)
    for innermost in (False, True):
        if innermost:
            x, dy = (t.movedim(0, -1).contiguous().movedim(-1, 0) for t in (x, dy))
        torch.testing.assert_close(conv2d_dense_dw(x, dy, kernel, stride, padding), expected)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3)])
def test_some_rows(rows: slice) -> None:
    x, dy = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 5, 5)
    all_rows = conv2d_dense_dw(x, dy, (3, 3), (1, 1), (1, 1))
    torch.testing.assert_close(conv2d_dense_dw(x, dy[:, rows], (3, 3), (1, 1), (1, 1)), all_rows[rows])


def test_bfloat16_activations_are_summed_in_the_wanted_dtype() -> None:
    x, dy = (torch.randn(shape).movedim(-1, 0).bfloat16() for shape in ((3, 9, 9, 8), (4, 9, 9, 8)))
    how = ((3, 3), (1, 1), (1, 1))
    found = conv2d_dense_dw(x, dy, *how, torch.float32)
    assert torch.equal(found, conv2d_dense_dw(x.float(), dy.float(), *how))


def test_all_its_products_are_counted() -> None:
    """They are made in place, in pieces, which torch's counter would pass over."""
    x, dy = (torch.randn(9, 9, size, 40).movedim(-1, 0).movedim(-1, 1) for size in (3, 5))
    with FlopCounterMode(display=False) as counter:
        conv2d_dense_dw(x, dy, (3, 3), (1, 1), (1, 1))
    assert counter.get_total_flops() == 2 * 40 * 9 * 9 * 5 * 3 * 9


def test_the_kernels_operator_counts_its_flop_and_has_shapes_without_memory() -> None:
    x, dy = torch.randn(3, 5, 5, 7).movedim(-1, 0), torch.randn(4, 5, 5, 7).movedim(-1, 0)
    given_to = (dy, x, [3, 3], [1, 1])
    torch.library.opcheck(torch.ops.tithe.conv2d_dense_dw, given_to, test_utils=("test_schema", "test_faketensor"))
    with FlopCounterMode(display=False) as counter:
        conv2d_dense_dw(x, dy, (3, 3), (1, 1), (1, 1))
    assert counter.get_total_flops() == 2 * (4 * 3 * 9) * 7 * (5 * 5)
    with pytest.raises(RuntimeError, match=r"expected dy \[7, 4, 5, 5\]"):
        torch.ops.tithe.conv2d_dense_dw(dy[..., :4], x, [3, 3], [1, 1])
