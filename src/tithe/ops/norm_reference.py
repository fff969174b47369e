"""Batch normalisation by torch's operators: any device, any floating dtype, any order of derivative.

What is stored in bfloat16 is computed in float32 and rounded once, as the kernels do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tithe.ops import dispatch

DIMS = (0, 2, 3)  # over which a channel's statistics go


def _per_channel(t: Tensor) -> Tensor:
    return t.view(1, -1, 1, 1)


def apply(x, mean, var, weight, bias, residual, eps, relu):
    """y by the given mean and variance."""
    if x.dtype == torch.bfloat16:
        return dispatch.widened(apply, x, mean, var, weight, bias, residual, eps, relu).to(x.dtype)
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    y = (x - _per_channel(mean)) * _per_channel(scale)
    if bias is not None:
        y = y + _per_channel(bias)
    if residual is not None:
        y = y + residual
    return dispatch.restride(y.relu() if relu else y)


def train(x, weight, bias, residual, eps, relu):
    """y, mean and variance by the batch's own statistics."""
    mean, var = _statistics(x)
    return apply(x, mean, var, weight, bias, residual, eps, relu), mean, var


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    var, mean = torch.var_mean(x.to(dispatch.summed(x.dtype)), DIMS, correction=0)
    return mean, var


def _behind_relu(dy, x, y, mean, var, weight, bias, eps):
    """The gradient in front of the ReLU: zero where the output is not above 0."""
    y = apply(x, mean, var, weight, bias, None, eps, False) if y is None else y
    return torch.where(y <= 0, 0, dy)


def backward(dy, x, y, mean, var, weight, bias, eps, relu, batch_statistics):
    """dx, dweight, dbias."""
    if x.dtype == torch.bfloat16:
        given = (dy, x, y, mean, var, weight, bias, eps, relu, batch_statistics)
        dx, dweight, dbias = dispatch.widened(backward, *given)
        return dx.to(x.dtype), dweight, dbias
    g = _behind_relu(dy, x, y, mean, var, weight, bias, eps) if relu else dy
    inverse = _per_channel((var + eps).rsqrt())
    normal = (x - _per_channel(mean)) * inverse
    dbias, dweight = g.sum(DIMS), (g * normal).sum(DIMS)
    through = (_per_channel(dbias) + normal * _per_channel(dweight)) * (x.shape[1] / x.numel())
    dx = (g - through if batch_statistics else g) * inverse
    if weight is not None:
        dx = dx * _per_channel(weight)
    return dispatch.restride(dx), dweight, dbias


def backward_backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    """By torch, through the reference. The batch's statistics are taken again, since they depend on x."""
    dy, x, y, mean, var, weight, bias = ctx.saved_tensors
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        dy, x = _differentiable(dy, again), _differentiable(x, again)
        weight = None if weight is None else _differentiable(weight, again)
        if ctx.how[2]:
            mean, var = _statistics(x)
        found = backward(dy, x, y, mean, var, weight, bias, *ctx.how)
        wanted = [dy, x] if weight is None else [dy, x, weight]
        d_dy, d_x, *rest = torch.autograd.grad(found, wanted, grads, create_graph=again, allow_unused=True)
    return d_dy, d_x, None, None, None, rest[0] if rest else None, None, None, None, None


def _differentiable(t: Tensor, connected: bool) -> Tensor:
    """A point to differentiate at: a leaf; or, for higher derivatives, an alias, on which nothing else here depends."""
    return t.view_as(t) if connected and t.requires_grad else t.detach().requires_grad_()
