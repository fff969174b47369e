"""Sparse operators beside dense ones on the masked weight: cases, memory layouts and what torch says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tithe import Topology, ops

BATCHES = (0, 1, 7, 128)


@dataclass(frozen=True)
class Case:
    """One layer's sizes; `how` is () for linear and (stride, padding, dilation, groups) for a convolution."""

    weight_shape: tuple[int, ...]
    x_shape: tuple[int, ...]
    how: tuple[Any, ...] = ()
    density: float = 0.5
    seed: int = 0

    @property
    def name(self) -> str:
        return "conv2d" if self.how else "linear"

    @property
    def batch(self) -> int:
        return self.x_shape[0]

    @property
    def has_kernel(self) -> bool:
        return not self.how or self.how[2:] == ((1, 1), 1)

    def random(self, salt: int, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(8 * self.seed + salt))

    @cached_property
    def topology(self) -> Topology:
        rows, cols = self.weight_shape[0], math.prod(self.weight_shape[1:])
        nnz = max(1, round(self.density * rows * cols))
        return Topology.random((rows, cols), nnz, torch.Generator().manual_seed(self.seed))

    @cached_property
    def values(self) -> Tensor:
        return self.random(1, self.topology.nnz)

    @cached_property
    def x(self) -> Tensor:
        return self.random(2, *self.x_shape)

    @cached_property
    def dy(self) -> Tensor:
        return self.random(3, *self.dense(self.x, self.weight(self.values)).shape)

    def weight(self, values: Tensor) -> Tensor:
        """The masked dense weight, differentiable in the values."""
        flat = torch.zeros(self.topology.shape, dtype=values.dtype)
        index = (self.topology.rows(), self.topology.indices.long())
        return flat.index_put(index, values).view(self.weight_shape)

    def dense(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.conv2d(x, weight, None, *self.how) if self.how else functional.linear(x, weight)

    def sparse(self, x: Tensor, values: Tensor) -> Tensor:
        packed, rows = self.topology.packed, self.weight_shape[0]
        if self.how:
            return ops.conv2d(x, values, packed, rows, self.weight_shape[2:], *self.how)
        return ops.linear(x, values, packed, rows)

    def calls(
        self, dtype: torch.dtype, stored: torch.dtype | None = None
    ) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
        """The four operators with their arguments; activations may be stored in another dtype than the values."""
        x, dy = (t.to(stored or dtype, copy=True) for t in (self.x, self.dy))
        values = self.values.to(dtype, copy=True)
        packed, nnz = self.topology.packed, self.topology.nnz
        how = (self.weight_shape[2:], *self.how) if self.how else ()
        image = self.x_shape[1:] if self.how else self.x_shape[1]
        library = torch.ops.tithe
        forward, dx, dw, both = (getattr(library, self.name + suffix) for suffix in ("", "_dx", "_dw", "_gradients"))
        return {
            "forward": (forward, (x, values, packed, self.weight_shape[0], *how)),
            "dx": (dx, (dy, values, packed, image, *how)),
            "dw": (dw, (dy, x, packed, nnz, *how)),
            "gradients": (both, (dy, x, values, packed, *how)),
        }

    def all_positive(self) -> Case:
        """The same with |x|, |values|, |dy|: its results are the sums of the terms' magnitudes."""
        twin = replace(self)
        for name in ("x", "values", "dy"):
            twin.__dict__[name] = getattr(self, name).abs()
        return twin


def results(f: Callable[[Tensor, Tensor], Tensor], x: Tensor, values: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """The output of f and its gradients with respect to x and the values."""
    x, values = x.detach().requires_grad_(), values.detach().requires_grad_()
    y = f(x, values)
    dx, dv = torch.autograd.grad(y, (x, values), dy)
    return {"y": y.detach(), "dx": dx, "dv": dv}


def dense_results(case: Case) -> dict[str, Tensor]:
    """What torch's dense operator gives on the masked weight, in double."""
    return results(lambda x, values: case.dense(x, case.weight(values)), case.x, case.values, case.dy)


def _reversed(x: Tensor) -> Tensor:
    backwards = tuple(reversed(range(x.dim())))
    return x.permute(backwards).contiguous().permute(backwards)


def _strided(x: Tensor) -> Tensor:
    """Every second element of a larger tensor, with NaN between them."""
    room = torch.full([2 * size + 1 for size in x.shape], torch.nan, dtype=x.dtype)
    inside = room[tuple(slice(1, None, 2) for _ in x.shape)]
    inside.copy_(x)
    return inside


# The same numbers in different memory; "expanded" repeats the first example, so it changes the numbers too.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "batch innermost": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x,
    "reversed dimensions": _reversed,
    "strided": _strided,
    "expanded": lambda x: x[:1].expand(x.shape) if len(x) else x,
    "one number": lambda x: x.reshape(-1)[:1].reshape([1] * x.dim()).expand(x.shape) if x.numel() else x,
}

densities = st.sampled_from([1e-9, 0.05, 0.3, 0.9, 1.0])
seeds = st.integers(0, 10_000)


@st.composite
def linears(draw: st.DrawFn) -> Case:
    rows, cols = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    batch = draw(st.sampled_from(BATCHES))
    return Case((rows, cols), (batch, cols), (), draw(densities), draw(seeds))


@st.composite
def convolutions(draw: st.DrawFn, plain: bool = False) -> Case:
    """plain: only what the C++ kernels do, without groups and dilation."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    groups = 1 if plain else draw(st.sampled_from([1, 1, 2, 3]))
    rows, channels = (groups * n for n in pair(1, 3))
    kernel, stride, padding = pair(1, 4), pair(1, 3), pair(0, 3)
    dilation = (1, 1) if plain else pair(1, 2)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    height, width = (low + draw(st.integers(0, 5)) for low in least)
    batch = draw(st.sampled_from(BATCHES))
    weight_shape, x_shape = (rows, channels // groups, *kernel), (batch, channels, height, width)
    return Case(weight_shape, x_shape, (stride, padding, dilation, groups), draw(densities), draw(seeds))


# One of each kind at a time: drawn from a choice of kinds, the simpler one would hardly ever come up.
ANY_CASES = st.tuples(linears(), convolutions())
KERNEL_CASES = st.tuples(linears(), convolutions(plain=True))

PLAIN = ((1, 1), (0, 0), (1, 1), 1)
LINEAR = Case((5, 7), (6, 7))
CONV = Case((4, 3, 3, 2), (6, 3, 7, 6), ((2, 1), (1, 2), (1, 1), 1))
GROUPED = Case((4, 3, 3, 2), (2, 6, 7, 6), ((1, 2), (1, 0), (2, 1), 2))
FEW = {"linear": LINEAR, "conv2d": CONV, "grouped": GROUPED}
