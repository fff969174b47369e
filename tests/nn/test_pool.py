"""Pooling keeps the batch innermost, forward and backward, and is torch's in all else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tithe.nn import layout
from tithe.ops import dispatch

MODULES = [
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, stride=2, padding=1),
    nn.MaxPool2d((3, 2), stride=(1, 2), padding=(1, 0)),
    nn.MaxPool2d(2, ceil_mode=True),
    nn.MaxPool2d(2, dilation=2),
    nn.AvgPool2d(2),
    nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
    nn.AvgPool2d((2, 3), padding=1, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=3),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((1, 1)),
    nn.AdaptiveAvgPool2d((2, None)),
]
SHAPES = [(6, 4, 7, 8), (1, 4, 7, 8), (6, 1, 7, 8), (5, 3, 3, 3)]


def twin(module: nn.Module) -> nn.Module:
    ours = type(module)(**{name: getattr(module, name) for name in module.__constants__})
    layout.keep_layout([ours])
    assert type(ours) is layout.TWINS[type(module)]
    assert repr(ours) == repr(module)
    return ours


def run(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, list[bool]]:
    """The output, the gradient of x, and whether the output and the gradient on its way had the batch innermost."""
    leaf = x.detach().requires_grad_()
    between, kept = leaf * 1, []
    between.register_hook(lambda g: kept.append(is_innermost(g)))
    y = module(between)
    kept.append(is_innermost(y))
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    (y * dispatch.restride(weights)).sum().backward()
    return y.detach(), leaf.grad, kept


def is_innermost(x: Tensor) -> bool:
    return x.movedim(0, -1).is_contiguous()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("module", MODULES, ids=str)
def test_as_torch_s_in_our_layout(module: nn.Module, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    y, dx, kept = run(twin(module), dispatch.restride(x))
    expected = run(module, x)
    torch.testing.assert_close((y, dx), expected[:2])  # dtypes too
    # With one example or one channel torch may lay out the gradient of a mean otherwise, having no stride to go by.
    assert kept == [True, True] or (1 in shape[:2] and kept[0])


@pytest.mark.parametrize("module", MODULES, ids=str)
@pytest.mark.parametrize("shape", [(6, 4, 7, 8), (4, 7, 8)], ids=str)
def test_other_layouts_and_no_batch(module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(twin(module)(x), module(x))


def test_indices_for_unpooling() -> None:
    module, x = nn.MaxPool2d(2, return_indices=True), torch.randn(6, 4, 8, 8)
    ours = twin(module)
    ours.return_indices = True
    for actual, expected in zip(ours(dispatch.restride(x)), module(x), strict=True):
        assert torch.equal(actual, expected)


def test_nan_is_the_maximum() -> None:
    x = torch.zeros(3, 2, 4, 4)
    x[1, 0, 2, 3] = torch.nan
    assert twin(nn.MaxPool2d(2))(dispatch.restride(x)).isnan().nonzero().tolist() == [[1, 0, 1, 1]]


def test_flatten_behind_it_is_a_view() -> None:
    """[N, C, H, W] with N innermost becomes [N, F] with N innermost, which a sparse linear layer takes as it is."""
    y = twin(nn.MaxPool2d(2))(dispatch.restride(torch.randn(6, 4, 8, 8)))
    flat = y.flatten(1)
    assert flat.data_ptr() == y.data_ptr()
    assert flat.stride() == (1, 6)
