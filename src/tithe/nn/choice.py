"""Which kernel a layer runs on: the sparse one, or torch's dense one where that is faster.

Dense arithmetic is fed from registers, sparse arithmetic from the cache, so a layer with most of its weights is faster
when they are put into a dense matrix for the call. Where the border lies depends on the machine and the shape, so it is
measured, once for each shape in a process.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tithe.errors import UsageError
from tithe.ops import dispatch

if TYPE_CHECKING:
    from tithe.nn.layer import SparseLayer

KERNELS = ("auto", "sparse", "dense", "by-density")
DENSE_FROM = 0.5  # where a sparse linear layer breaks even with a dense one (docs/performance.md)
ALWAYS_SPARSE = 0.15  # up to here sparse has won on every shape and machine measured: nothing dense is ever made
ROUNDS = 3

_measured: dict[tuple[object, ...], str] = {}


def checked(kernel: str) -> str:
    """The name itself.

    Raises:
        UsageError: it is none of "auto", "sparse", "dense" and "by-density".
    """
    if kernel not in KERNELS:
        raise UsageError(f"kernel {kernel!r} was given; allowed are {', '.join(map(repr, KERNELS))}")
    return kernel


def kernel_for(layer: SparseLayer, x: Tensor) -> str:
    """What computes this input [N, ...], "sparse" or "dense": as the layer was told, the faster one if that is "auto".

    "by-density" is dense from 50 % of the weights on, whatever the machine: no clock decides.

    The choice may differ from one run to the next, and with it the last bits of the result; so where torch was asked
    for deterministic algorithms, and where there is nothing to measure (while compiling, off the CPU), it is "sparse".
    """
    if layer.kernel == "by-density":
        return "dense" if layer.density >= DENSE_FROM else "sparse"
    if layer.kernel != "auto":
        return layer.kernel
    if layer.density <= ALWAYS_SPARSE or torch.are_deterministic_algorithms_enabled():
        return "sparse"
    if not dispatch.direct(x, layer.values) or x.numel() == 0:
        return "sparse"
    # Densities within a twentieth are one: redistribution moves them a little at each rewiring.
    density, threads = round(20 * layer.density), torch.get_num_threads()
    key = (layer.geometry, density, tuple(x.shape), x.requires_grad, threads)
    if key not in _measured:
        _measured[key] = _faster(layer, x)
    return _measured[key]


def _faster(layer: SparseLayer, x: Tensor) -> str:
    """Time a training pass of each, in turn; the best time of each counts."""
    twin = _twin(layer)
    passes = {
        "sparse": _training_pass(twin.sparse_forward, twin, x),
        "dense": _training_pass(twin.dense_forward, twin, x),
    }
    seconds = {name: float("inf") for name in passes}
    for _ in range(ROUNDS):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return min(seconds, key=lambda name: seconds[name])


def _twin(layer: SparseLayer) -> SparseLayer:
    """The layer with parameters of its own on the same memory: the user's hooks on the real ones stay silent."""
    twin = copy.copy(layer)
    twin._parameters = {
        name: None if p is None else nn.Parameter(p.detach(), p.requires_grad) for name, p in layer._parameters.items()
    }
    return twin


def _training_pass(forward: Callable[[Tensor], Tensor], layer: SparseLayer, x: Tensor) -> Callable[[], None]:
    """Forward and backward, leaving nothing behind: no gradient, no hook called, no random number drawn."""
    x = x.detach().requires_grad_(x.requires_grad)
    wanted = [t for t in (x, layer.values, layer.bias) if t is not None and t.requires_grad]

    @torch.enable_grad()
    def run() -> None:
        y = forward(x)
        if wanted:
            torch.autograd.grad(y, wanted, torch.ones_like(y))

    return run
