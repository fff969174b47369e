"""Batch normalisation by the C++ kernels: on the CPU, activations in float32 or bfloat16, all else in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tithe.errors import UsageError
from tithe.ops import dispatch
from tithe.ops import norm_reference as reference

GRAIN = 2**16  # numbers a thread should have, some 15 microseconds of work
_TRAIN, _APPLY, _BACKWARD = map(dispatch.kernels, ("norm_train", "norm_apply", "norm_backward"))


def check(x: Tensor, training: bool, each: tuple[Tensor | None, ...], *others: Tensor | None) -> None:
    """See that weight, bias, mean and var ("each") and what is as large as x fit: the kernels read by address.

    Raises:
        UsageError: they do not fit; a single value per channel in training; no statistics without.
    """
    channels = x.shape[1] if x.dim() == 4 else -1
    if channels < 0 or any(t is not None and t.shape != (channels,) for t in each):
        raise UsageError(
            f"an input of shape {tuple(x.shape)} was given with weight, bias, mean and variance of shapes "
            f"{[t if t is None else tuple(t.shape) for t in each]}; it must be [N, C, H, W], and each of them [C]"
        )
    for other in others:
        if other is not None and other.shape != x.shape:
            raise UsageError(f"{tuple(other.shape)} and {tuple(x.shape)} were given, where one shape was due")
    if training and x.numel() <= channels:
        raise UsageError(f"an input of shape {tuple(x.shape)} was given; training needs 2 values per channel or more")
    if not training and (each[2] is None or each[3] is None):
        raise UsageError("no running statistics were given; without them, normalise with training=True")


def train_cpu(x, weight, bias, residual, eps, relu):
    """The operator `batch_norm` on the CPU."""
    if not has_kernel((x, residual), (weight, bias)):
        return reference.train(x, weight, bias, residual, eps, relu)
    check(x, True, (weight, bias), residual)
    return train(innermost(x), weight, bias, innermost(residual), None, None, 0.0, eps, relu)


def apply_cpu(x, mean, var, weight, bias, residual, eps, relu):
    """The operator `batch_norm_by` on the CPU."""
    if not has_kernel((x, residual), (mean, var, weight, bias)):
        return reference.apply(x, mean, var, weight, bias, residual, eps, relu)
    check(x, False, (weight, bias, mean, var), residual)
    return apply(innermost(x), mean, var, weight, bias, innermost(residual), eps, relu)


def backward_cpu(dy, x, y, mean, var, weight, bias, eps, relu, batch_statistics):
    """The operator `batch_norm_backward` on the CPU."""
    if not has_kernel((x, dy, y), (mean, var, weight, bias)):
        return reference.backward(dy, x, y, mean, var, weight, bias, eps, relu, batch_statistics)
    check(x, False, (weight, bias, mean, var), dy, y)
    by = (mean, var, weight, bias, eps, relu, batch_statistics)
    return backward((innermost(dy), innermost(x), innermost(y), *by), False)[:3]


def has_kernel(stored: tuple[Tensor | None, ...], each: tuple[Tensor | None, ...]) -> bool:
    """Whether the kernels take these activations and these numbers per channel."""
    activations = [t for t in stored if t is not None]
    return dispatch.has_stored_kernel(*activations) and dispatch.has_kernel(*[t for t in each if t is not None])


def innermost(x: Any) -> Any:
    """As `dispatch.innermost`; None stays None."""
    return None if x is None else dispatch.innermost(x)


# These take activations whose batch is innermost in memory.


def _sizes(x: Tensor) -> tuple[int, int, int]:
    """Channels, numbers in each, threads."""
    channels, numel = x.shape[1], x.numel()
    return channels, numel // max(channels, 1), dispatch.team(numel // GRAIN)


def _at(t: Tensor | None) -> int:
    return 0 if t is None else t.data_ptr()


def _per_channel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two uninitialised [C], in float32 however x is stored."""
    return x.new_empty(x.shape[1], dtype=torch.float32), x.new_empty(x.shape[1], dtype=torch.float32)


def _one_run(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.contiguous() for t in tensors]


def train(x, weight, bias, residual, running_mean, running_var, momentum, eps, relu):
    """y, and x's mean and variance [C]; the running ones, if any, are moved."""
    y = dispatch.empty_innermost(x.shape, x)
    channels, length, threads = _sizes(x)
    mean, var = _per_channel(x)
    weight, bias = _one_run(weight, bias)
    _TRAIN[x.dtype](
        *(_at(y), _at(mean), _at(var), _at(running_mean), _at(running_var)),
        *(_at(x), _at(weight), _at(bias), _at(residual), channels, length, eps, momentum, relu, threads),
    )
    if running_mean is not None:  # written to behind torch's back: autograd must know, as after an in-place operator
        torch.autograd.graph.increment_version((running_mean, running_var))
    return y, mean, var


def apply(x, mean, var, weight, bias, residual, eps, relu):
    """y by the given mean and variance."""
    y = dispatch.empty_innermost(x.shape, x)
    channels, length, threads = _sizes(x)
    mean, var, weight, bias = _one_run(mean, var, weight, bias)
    _APPLY[x.dtype](
        *(_at(y), _at(x), _at(mean), _at(var), _at(weight), _at(bias), _at(residual)),
        *(channels, length, eps, relu, threads),
    )
    return y


def backward(given: tuple[Any, ...], need_residual: bool) -> tuple[Tensor, ...]:
    """dx, dweight, dbias and the residual's gradient, which is dy unless a ReLU followed; `given` as the operator's."""
    dy, x, y, mean, var, weight, bias, eps, relu, batch_statistics = given
    dx = dispatch.empty_innermost(x.shape, x)
    dresidual = dispatch.empty_innermost(x.shape, x) if need_residual and relu else None
    channels, length, threads = _sizes(x)
    dweight, dbias = _per_channel(x)
    mean, var, weight, bias = _one_run(mean, var, weight, bias)
    _BACKWARD[x.dtype](
        *(_at(dx), _at(dresidual), _at(dweight), _at(dbias), _at(dy), _at(x), _at(y)),
        *(_at(mean), _at(var), _at(weight), _at(bias), batch_statistics, channels, length, eps, relu, threads),
    )
    return dx, dweight, dbias, dy if dresidual is None else dresidual
