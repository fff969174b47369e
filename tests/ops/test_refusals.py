"""Sizes that do not fit are refused before a kernel reads by address; nothing is silently repaired."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import CONV, FEW, LINEAR, Case
from torch import Tensor

from tithe import UsageError, ops

DTYPES = [torch.float32, torch.float64]  # the kernels and the reference


def changed(case: Case, op: str, dtype: torch.dtype, index: int, value: Any) -> Tensor:
    """Call the operator with one argument replaced."""
    function, arguments = case.calls(dtype)[op]
    arguments = list(arguments)
    arguments[index] = value(arguments[index])
    return function(*arguments)


def wider(t: Tensor) -> Tensor:
    """One more feature or channel."""
    return torch.cat([t, t[:, :1]], 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize(
    ("op", "index", "value"),
    [
        ("forward", 0, wider),
        ("forward", 1, lambda values: values[:-1]),
        ("forward", 2, lambda packed: packed[:-3]),
        ("forward", 2, lambda packed: packed.long()),
        ("forward", 3, lambda rows: rows + 1),
        ("dx", 0, wider),
        ("dx", 1, lambda values: torch.cat([values, values])),
        ("dx", 2, lambda packed: packed[3:]),
        ("dw", 0, wider),
        ("dw", 0, lambda dy: dy[:-1]),
        ("dw", 2, lambda packed: packed[1:]),
        ("dw", 3, lambda nnz: nnz + 1),
    ],
)
def test_sizes_that_do_not_fit(name: str, op: str, index: int, value: Any, dtype: torch.dtype) -> None:
    with pytest.raises((UsageError, RuntimeError)):  # torch's own refusal, where the dense operator comes first
        changed(FEW[name], op, dtype, index, value)


@pytest.mark.parametrize("op", ["dx", "dw"])
def test_an_output_gradient_of_another_image(op: str) -> None:
    with pytest.raises(UsageError, match="sizes"):
        changed(CONV, op, torch.float32, 0, lambda dy: dy[..., 1:])


def test_dx_wants_the_layer_s_own_features() -> None:
    with pytest.raises(UsageError, match="does not describe"):
        changed(LINEAR, "dx", torch.float32, 3, lambda features: features - 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_image_smaller_than_the_kernel(dtype: torch.dtype) -> None:
    values, packed = torch.ones(CONV.topology.nnz, dtype=dtype), CONV.topology.packed
    with pytest.raises((UsageError, RuntimeError), match=r"smaller|greater"):
        ops.conv2d(torch.ones(2, 3, 2, 2, dtype=dtype), values, packed, 4, (3, 2), (1, 1), (0, 0))


@pytest.mark.parametrize("dtypes", ["double float", "half float", "float bfloat16", "float double", "bfloat16 double"])
@pytest.mark.parametrize("name", FEW)
def test_mixed_dtypes_are_refused_as_torch_refuses_them(name: str, dtypes: str) -> None:
    """All but bfloat16 activations beside float32 values."""
    stored, dtype = (getattr(torch, word) for word in dtypes.split())
    calls = FEW[name].calls(dtype, stored)
    for op in ("forward", "dx"):
        with pytest.raises(RuntimeError, match="expected one dtype"):
            calls[op][0](*calls[op][1])


@pytest.mark.parametrize("name", FEW)
def test_both_activations_have_one_dtype(name: str) -> None:
    dw, (dy, x, *rest) = FEW[name].calls(torch.float32)["dw"]
    for pair in ((dy.bfloat16(), x), (dy, x.bfloat16()), (dy.double(), x)):
        with pytest.raises(RuntimeError, match="expected one dtype"):
            dw(*pair, *rest)
