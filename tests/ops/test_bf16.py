"""Activations stored in bfloat16 beside float32 values: float32 sums, rounded once where they are stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from cases import ANY_CASES, CONV, FEW, KERNEL_CASES, LAYOUTS, LINEAR, Case, dense_results, results
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tithe import ops
from tithe.ops import dispatch

ROUNDING = 2.0**-8  # |round(s) - s| <= ROUNDING |s|: bfloat16 has 8 significant bits
SUMMING = 3e-6  # what float32 sums of the cases' lengths may lose, relative to the terms' magnitudes


def representable(case: Case) -> Case:
    """The same case with x and dy rounded to bfloat16, so that storing them loses nothing."""
    twin = Case(**{name: getattr(case, name) for name in Case.__dataclass_fields__})
    twin.__dict__["x"], twin.__dict__["dy"] = case.x.bfloat16().double(), case.dy.bfloat16().double()
    return twin


def mixed_results(case: Case, x: Tensor | None = None, dy: Tensor | None = None) -> dict[str, Tensor]:
    x = case.x.bfloat16() if x is None else x
    return results(case.sparse, x, case.values.float(), case.dy.bfloat16() if dy is None else dy)


def assert_rounded_once(actual: dict[str, Tensor], case: Case) -> None:
    """y and dx: within one rounding to bfloat16 of the float32 sum; dvalues are the float32 sum."""
    exact, magnitude = dense_results(case), dense_results(case.all_positive())
    assert [t.dtype for t in actual.values()] == [torch.bfloat16, torch.bfloat16, torch.float32]
    for name, value in actual.items():
        assert value.shape == exact[name].shape
        bound = SUMMING * magnitude[name] + 1e-30
        if name != "dv":
            bound = bound + ROUNDING * (exact[name].abs() + bound)
        assert ((value.double() - exact[name]).abs() <= bound).all(), name  # NaN fails


def autocast(on: bool) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if on else nullcontext()


@given(ANY_CASES, st.booleans())
def test_results_are_rounded_once(cases: tuple[Case, ...], under_autocast: bool) -> None:
    """In the kernels and in the reference (groups, dilation), which autocast must not lower."""
    for case in map(representable, cases):
        with autocast(under_autocast):
            assert_rounded_once(mixed_results(case), case)


@given(KERNEL_CASES)
def test_past_the_dispatcher_and_through_it_are_the_same(cases: tuple[Case, ...]) -> None:
    """The counter's dispatch mode keeps the calls in the dispatcher. It counts the nonzeros, as for float32."""
    for case in map(representable, cases):
        with FlopCounterMode(display=False) as counter:
            through = mixed_results(case)
        past = mixed_results(case)
        assert all(torch.equal(past[name], value) for name, value in through.items())
        assert counter.get_total_flops() == 3 * 2 * case.topology.nnz * case.batch * math.prod(case.dy.shape[2:])


def test_groups_are_charged_as_dense() -> None:
    case = representable(FEW["grouped"])
    with FlopCounterMode(display=False) as counter:
        mixed_results(case)
    assert counter.get_total_flops() == 3 * 2 * math.prod(case.weight_shape) * case.batch * math.prod(case.dy.shape[2:])


@given(KERNEL_CASES, *[st.sampled_from(sorted(LAYOUTS))] * 2)
def test_any_memory_layout(cases: tuple[Case, ...], x_layout: str, dy_layout: str) -> None:
    for case in cases:
        x, dy = LAYOUTS[x_layout](case.x.bfloat16()), LAYOUTS[dy_layout](case.dy.bfloat16())
        plain = mixed_results(case, x.contiguous(), dy.contiguous())
        for name, value in mixed_results(case, x, dy).items():
            assert torch.equal(value, plain[name]), name


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, "GRAIN", 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


LARGE = (
    Case((300, 200), (128, 200), (), 0.1),
    Case((24, 16, 3, 3), (32, 16, 13, 11), ((2, 2), (1, 1), (1, 1), 1), 0.3),
)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("case", LARGE, ids=["linear", "conv2d"])
def test_same_bits_for_any_number_of_threads(case: Case) -> None:
    seen = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        seen.append(mixed_results(case))
    for other in seen[1:]:
        assert all(torch.equal(other[name], value) for name, value in seen[0].items())


@pytest.mark.parametrize("name", FEW)
def test_double_backward(name: str) -> None:
    """Gradients of a gradient penalty: each of its few operators rounds once, so a few roundings from double."""
    case = representable(FEW[name])

    def penalty(f, x: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        x, values = x.clone().requires_grad_(), values.clone().requires_grad_()
        dx, dv = torch.autograd.grad(f(x, values), (x, values), case.dy.to(x.dtype), create_graph=True)
        return torch.autograd.grad((dx.double() ** 2).sum() + (dv.double() ** 2).sum(), (x, values))

    exact = penalty(lambda x, values: case.dense(x, case.weight(values)), case.x, case.values)
    dx, dv = penalty(case.sparse, case.x.bfloat16(), case.values.float())
    assert (dx.dtype, dv.dtype) == (torch.bfloat16, torch.float32)
    for actual, expected in zip((dx, dv), exact, strict=True):
        assert (actual.double() - expected).norm() <= 4 * ROUNDING * expected.norm()


@pytest.mark.parametrize("case", [LINEAR, CONV], ids=["linear", "conv2d"])
@pytest.mark.parametrize("past_the_dispatcher", [True, False])
@pytest.mark.parametrize("create_graph", [True, False])
def test_bias(case: Case, past_the_dispatcher: bool, create_graph: bool) -> None:
    """It joins the float32 sum; its gradient is a float32 sum."""
    case = representable(case)
    rows, packed = case.weight_shape[0], case.topology.packed
    bias = case.random(7, rows).float().requires_grad_()
    with nullcontext() if past_the_dispatcher else FlopCounterMode(display=False):
        if case.how:
            how = (case.weight_shape[2:], *case.how)
            y = ops.conv2d(case.x.bfloat16(), case.values.float(), packed, rows, *how, bias=bias)
        else:
            y = ops.linear(case.x.bfloat16(), case.values.float(), packed, rows, bias)
        (grad,) = torch.autograd.grad(y, bias, case.dy.bfloat16(), create_graph=create_graph)
    exact = dense_results(case)["y"].movedim(1, -1) + bias.detach().double()
    roundings = 1 if past_the_dispatcher else 2  # the dispatcher adds the bias to what is rounded already
    magnitude = exact.abs() + bias.detach().double().abs()
    error = (y.detach().double().movedim(1, -1) - exact).abs()
    assert y.dtype == torch.bfloat16
    assert (error <= roundings * ROUNDING * (exact.abs() if past_the_dispatcher else magnitude) + 1e-5).all()
    assert grad.dtype == torch.float32
    torch.testing.assert_close(
        grad.detach().double(), case.dy.movedim(1, -1).reshape(-1, rows).sum(0), rtol=1e-5, atol=1e-5
    )
