"""Batch normalisation with activations stored in bfloat16: float32 inside, rounded once where they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
import torch
from cases import LAYOUTS
from test_batch_norm import CHANNELS, EPS, MOMENTUM, by_hand, every_how, inputs, ours, randn, results, running, theirs
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tithe import ops
from tithe.ops import dispatch, norm_kernels

ROUNDING = 2.0**-8  # |round(s) - s| <= ROUNDING |s|: bfloat16 has 8 significant bits
SHAPES = [(7, CHANNELS, 5, 3), (2, CHANNELS, 1, 1), (1, CHANNELS, 1, 2), (33, CHANNELS, 9, 8)]


def stored(shape: tuple[int, ...], with_residual: bool) -> list[Tensor]:
    """x, weight, bias and, maybe, a residual: activations in bfloat16, weights in float32."""
    return [t.bfloat16() if t.dim() == 4 else t.float() for t in inputs(shape, with_residual)]


def float_stats() -> tuple[Tensor, Tensor]:
    mean, var = running()
    return mean.float(), var.float()


@contextmanager
def reference_only() -> Iterator[None]:
    """No kernel is there, as on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "direct", lambda *_: False)
        patch.setattr(norm_kernels, "has_kernel", lambda *_: False)
        yield


WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "past the dispatcher": nullcontext,
    "through the dispatcher": lambda: FlopCounterMode(display=False),
    "reference": reference_only,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast, reference": lambda: _both(torch.autocast("cpu", torch.bfloat16), reference_only()),
}


@contextmanager
def _both(one: AbstractContextManager[object], other: AbstractContextManager[object]) -> Iterator[None]:
    with one, other:
        yield


@every_how
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch_in_double(shape, way: str, training: bool, relu: bool, with_residual: bool) -> None:
    """What float32 loses is as in test_batch_norm.py; y and dx are then rounded once, other results not at all."""
    given, dy = stored(shape, with_residual), randn(7, *shape).bfloat16()
    single, exact = float_stats(), tuple(t.double() for t in float_stats())
    with WAYS[way]():
        actual = results(ours(training, relu, single), given, dy)
    expected = results(theirs(training, relu, exact), [t.double() for t in given], dy.double())
    assert [t.dtype for t in actual] == [torch.bfloat16, *[t.dtype for t in given]]
    for place, (a, e) in enumerate(zip(actual, expected, strict=True)):
        bound = 2e-5 * (1 + e.abs().max() + e.abs())
        if a.dtype == torch.bfloat16:
            bound = bound + ROUNDING * (e.abs() + bound)
        assert ((a.double() - e).abs() <= bound).all(), place
    assert actual[0].movedim(0, -1).is_contiguous()
    for moved, should in zip(single, exact, strict=True):
        torch.testing.assert_close(moved.double(), should, rtol=1e-6, atol=1e-6)


@every_how
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout(layout: str, training: bool, relu: bool, with_residual: bool) -> None:
    shape, change = (6, CHANNELS, 5, 3), LAYOUTS[layout]
    given = [change(t) if t.dim() == 4 else t for t in stored(shape, with_residual)]
    dy = change(randn(7, *shape).bfloat16())
    actual = results(ours(training, relu, float_stats()), given, dy)
    assert actual[0].movedim(0, -1).is_contiguous()
    plain = results(ours(training, relu, float_stats()), [t.contiguous() for t in given], dy.contiguous())
    for one, two in zip(actual, plain, strict=True):
        assert torch.equal(one, two)


@every_how
def test_past_the_dispatcher_the_bits_are_the_same(training: bool, relu: bool, with_residual: bool) -> None:
    shape = (6, CHANNELS, 5, 3)
    given, dy = stored(shape, with_residual), randn(7, *shape).bfloat16()
    seen = []
    for way in ("past the dispatcher", "through the dispatcher"):
        with WAYS[way]():
            seen.append(results(ours(training, relu, float_stats()), given, dy))
    for one, two in zip(*seen, strict=True):
        assert torch.equal(one, two)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(norm_kernels, "GRAIN", 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@every_how
@pytest.mark.usefixtures("threads")
def test_same_bits_for_any_number_of_threads(training: bool, relu: bool, with_residual: bool) -> None:
    shape = (33, CHANNELS, 9, 8)
    given, dy = stored(shape, with_residual), randn(7, *shape).bfloat16()
    seen = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        seen.append(results(ours(training, relu, float_stats()), given, dy))
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


@every_how
def test_gradient_penalty(training: bool, relu: bool, with_residual: bool) -> None:
    """Second order: each of the few operators on the way rounds once."""
    given = stored((5, 2, 3, 2), with_residual)
    dy = randn(7, 5, 2, 3, 2).bfloat16()

    def penalty(make: Callable[..., Callable[..., Tensor]], dtypes: list[torch.dtype]) -> list[Tensor]:
        leaves = [t.to(dtype).requires_grad_() for t, dtype in zip(given, dtypes, strict=True)]
        stats = tuple(t.to(dtypes[1]) for t in running(2))
        y = make(training, relu, stats)(*leaves)
        gradients = torch.autograd.grad(y, leaves, dy.to(y.dtype), create_graph=True)
        value = sum(g.double().pow(2).sum() for g in gradients)
        found = torch.autograd.grad(value, leaves, allow_unused=True)
        return [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, found, strict=True)]

    expected = penalty(by_hand, [torch.float64] * len(given))
    actual = penalty(ours, [t.dtype for t in given])
    assert [t.dtype for t in actual] == [t.dtype for t in given]
    for a, e in zip(actual, expected, strict=True):
        assert (a.double() - e).norm() <= 4 * ROUNDING * e.norm() + 1e-6


@every_how
def test_opcheck(training: bool, relu: bool, with_residual: bool) -> None:
    x, weight, bias, *residual = [t.requires_grad_() for t in stored((3, CHANNELS, 5, 2), with_residual)]
    stats = float_stats()
    after = (weight, bias, residual[0] if residual else None, EPS, relu)
    if training:
        torch.library.opcheck(torch.ops.tithe.batch_norm.default, (x, *after))
    else:
        torch.library.opcheck(torch.ops.tithe.batch_norm_by.default, (x, *stats, *after))
        dy, y = torch.randn_like(x).requires_grad_(), torch.randn_like(x)
        given = (dy, x, y if with_residual else None, *stats, weight, bias, EPS, relu, False)
        torch.library.opcheck(torch.ops.tithe.batch_norm_backward.default, given)


@pytest.mark.parametrize("way", ["through the dispatcher", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_fake_is_as_the_real(way: str, dtype: torch.dtype) -> None:
    """Also where the weights are bfloat16, which no kernel takes."""
    x, weight, bias = stored((3, CHANNELS, 5, 2), False)
    given = (x, weight.to(dtype), bias.to(dtype))
    with WAYS[way]():
        real = torch.ops.tithe.batch_norm(*given, None, EPS, True)
        back = torch.ops.tithe.batch_norm_backward(x, x, None, *real[1:], *given[1:], EPS, True, True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.ops.tithe.batch_norm(*given, None, EPS, True)
        fake_back = torch.ops.tithe.batch_norm_backward(x, x, None, *fake[1:], *given[1:], EPS, True, True)
    for one, two in zip((*real, *back), (*fake, *fake_back), strict=True):
        assert (one.shape, one.stride(), one.dtype) == (two.shape, two.stride(), two.dtype)


@pytest.mark.parametrize("training", [True, False])
def test_weights_and_statistics_in_bfloat16_run_the_reference(training: bool) -> None:
    given, stats = [t.bfloat16() for t in stored((6, CHANNELS, 5, 3), True)], [t.bfloat16() for t in running()]
    exact = [t.double() for t in stats]
    y = ops.batch_norm(*given[:3], *stats, training, MOMENTUM, EPS, True, given[3])
    expected = theirs(training, True, (exact[0], exact[1]))(*[t.double() for t in given])
    assert y.dtype == stats[0].dtype == torch.bfloat16
    for a, e in zip((y, *stats), (expected, *exact), strict=True):
        torch.testing.assert_close(a.double(), e, rtol=2 * ROUNDING, atol=2 * ROUNDING)


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_of_another_dtype_is_not_read_as_x_is(training: bool) -> None:
    """The kernels read by address: the reference takes such a pair. The output is stored as x is."""
    x, weight, bias, residual = inputs((6, CHANNELS, 5, 3), True)
    for x_dtype, other in ((torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)):
        given = [x.to(x_dtype), weight.float(), bias.float(), residual.to(other)]
        y, *gradients = results(ours(training, True, float_stats()), given, randn(7, *x.shape).to(x_dtype))
        expected = theirs(training, True, running())(*[t.double() for t in given])
        assert [t.dtype for t in (y, *gradients)] == [x_dtype, *[t.dtype for t in given]]
        assert (y.double() - expected).norm() <= ROUNDING * expected.norm()
