"""torch.utils.flop_counter counts what really runs: nonzeros in the kernels, all weights in the dense reference."""

from __future__ import annotations

import math

import pytest
import torch
from cases import ANY_CASES, CONV, GROUPED, KERNEL_CASES, LINEAR, Case, results
from hypothesis import given
from torch.utils.flop_counter import FlopCounterMode


def counted(case: Case, dtype: torch.dtype) -> dict[str, int]:
    """FLOP by operator, forward and backward."""
    tensors = [t.to(dtype) for t in (case.x, case.values, case.dy)]
    with FlopCounterMode(display=False) as counter:
        results(case.sparse, *tensors)
    return {str(op): flop for op, flop in counter.get_flop_counts()["Global"].items()}


def closed_form(case: Case, weights: int) -> dict[str, int]:
    """2 FLOP a weight, an example and an output position, in each of the three passes."""
    flop = 2 * weights * case.batch * math.prod(case.dy.shape[2:])
    return {f"tithe.{case.name}": flop, f"tithe.{case.name}_gradients": 2 * flop}


@given(KERNEL_CASES)
def test_kernels_are_charged_for_the_nonzeros(cases: tuple[Case, ...]) -> None:
    for case in cases:
        assert counted(case, torch.float32) == closed_form(case, case.topology.nnz)


@given(ANY_CASES)
def test_the_reference_is_charged_as_dense(cases: tuple[Case, ...]) -> None:
    for case in cases:
        assert counted(case, torch.float64) == closed_form(case, math.prod(case.weight_shape))


@pytest.mark.parametrize("case", [LINEAR, CONV], ids=["linear", "conv2d"])
@pytest.mark.parametrize(("wanted", "suffix"), [("x", "_dx"), ("values", "_dw")])
def test_one_gradient_is_charged_once(case: Case, wanted: str, suffix: str) -> None:
    x, values, dy = case.x.float(), case.values.float(), case.dy.float()
    {"x": x, "values": values}[wanted].requires_grad_()
    with FlopCounterMode(display=False) as counter:
        case.sparse(x, values).backward(dy)
    forward = closed_form(case, case.topology.nnz)[f"tithe.{case.name}"]
    counts = {str(op): flop for op, flop in counter.get_flop_counts()["Global"].items()}
    assert counts == {f"tithe.{case.name}": forward, f"tithe.{case.name}{suffix}": forward}


def test_groups_and_dilation_are_charged_as_dense() -> None:
    assert counted(GROUPED, torch.float32) == closed_form(GROUPED, math.prod(GROUPED.weight_shape))


@pytest.mark.parametrize("case", [LINEAR, CONV], ids=["linear", "conv2d"])  # torch counts a grouped dW twice over
def test_at_full_density_the_count_is_torch_s_own_for_dense(case: Case) -> None:
    full = Case(case.weight_shape, case.x_shape, case.how, density=1.0)
    weight, x, dy = full.weight(full.values).requires_grad_(), full.x.clone().requires_grad_(), full.dy
    with FlopCounterMode(display=False) as dense:
        torch.autograd.grad(full.dense(x, weight), (x, weight), dy)
    assert sum(counted(full, torch.float32).values()) == dense.get_total_flops()
