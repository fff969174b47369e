r"""Batch normalisation over [N, C, H, W] with what usually follows it: a shortcut's addition and a ReLU, in one pass.

    y = relu?(weight * (x - mean) / sqrt(var + eps) + bias (+ residual))

Ioffe, Szegedy 2015 (arXiv 1502.03167). Mean and variance are the batch's own or a network's running ones.

Activations x, y, residual and their gradients may be stored in bfloat16: each is rounded once, and mean, variance,
dweight and dbias come out in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tithe.ops import dispatch
from tithe.ops import norm_kernels as kernels
from tithe.ops import norm_reference as reference

_TRAIN, _APPLY, _BACKWARD = (f"{dispatch.NAMESPACE}::batch_norm{which}" for which in ("", "_by", "_backward"))
_AFTER = "Tensor? weight, Tensor? bias, Tensor? residual, float eps, bool relu"
torch.library.define(_TRAIN, f"(Tensor x, {_AFTER}) -> (Tensor, Tensor, Tensor)")
torch.library.define(_APPLY, f"(Tensor x, Tensor mean, Tensor var, {_AFTER}) -> Tensor")
torch.library.define(
    _BACKWARD,
    "(Tensor dy, Tensor x, Tensor? y, Tensor mean, Tensor var, Tensor? weight, Tensor? bias, float eps, bool relu, "
    "bool batch_statistics) -> (Tensor, Tensor, Tensor)",
)


def batch_norm(
    x: Tensor,  # [N, C, H, W]
    weight: Tensor | None,  # [C]; None: 1
    bias: Tensor | None,  # [C]; None: 0
    running_mean: Tensor | None,  # [C]
    running_var: Tensor | None,  # [C]
    training: bool,
    momentum: float,
    eps: float,
    relu: bool = False,
    residual: Tensor | None = None,  # [N, C, H, W]
) -> Tensor:
    """y [N, C, H, W], batch-innermost in memory, by the batch's statistics (training) or the running ones.

    In training the running statistics, where there are any, move by momentum towards the batch's, as in torch.

    Raises:
        UsageError: sizes that do not fit, or a single value per channel in training.
    """
    kernels.check(x, training, (weight, bias, running_mean, running_var), residual)
    own = running_mean, running_var
    if dispatch.direct_stored(x, weight, bias, *own, beside=residual) and all(
        t is None or t.is_contiguous() for t in own
    ):
        return _Direct.apply(  # type: ignore[no-any-return]
            x, weight, bias, residual, running_mean, running_var, training, momentum, eps, relu
        )
    if not training:
        return torch.ops.tithe.batch_norm_by(x, running_mean, running_var, weight, bias, residual, eps, relu)
    y, mean, var = torch.ops.tithe.batch_norm(x, weight, bias, residual, eps, relu)
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1]
        running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
        running_var.lerp_((var.detach() * (count / (count - 1))).to(running_var.dtype), momentum)
    return y


class _Direct(torch.autograd.Function):
    """The layer without the dispatcher. A gradient of the gradient, or a listener, gets the operators instead."""

    @staticmethod
    def forward(ctx, x, weight, bias, residual, running_mean, running_var, training, momentum, eps, relu):
        inner, more = dispatch.innermost(x), kernels.innermost(residual)
        if training:
            y, mean, var = kernels.train(inner, weight, bias, more, running_mean, running_var, momentum, eps, relu)
        else:
            mean, var = running_mean, running_var
            y = kernels.apply(inner, mean, var, weight, bias, more, eps, relu)
        keep = y if relu and residual is not None else None  # else the ReLU's mask follows from x
        ctx.save_for_backward(x, inner, keep, mean, var, weight, bias)
        ctx.how = (eps, relu, training)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, inner, y, *by = ctx.saved_tensors
        need_x, need_weight, need_bias, need_residual, *_ = ctx.needs_input_grad
        if torch.is_grad_enabled() or dy.dtype is not inner.dtype or not dispatch.direct_stored(dy):
            dx, dweight, dbias, dresidual = _gradients((dy, x, y, *by, *ctx.how), need_residual)
        else:
            dy = dispatch.innermost(dy)
            given = (dy, inner, y, *by, *ctx.how)
            dx, dweight, dbias, dresidual = kernels.backward(given, need_residual)
            if inner is not x:
                dx = dispatch.outermost(dx)  # who gave x in another layout wants its gradient in that
        return (
            *(dx if need_x else None, dweight if need_weight else None, dbias if need_bias else None),
            *(dresidual if need_residual else None, *[None] * 6),
        )


# Fake: shapes and strides only.


def _train_fake(x, weight, bias, residual, eps, relu):
    return _like(x), *_per_channel(x)


def _apply_fake(x, mean, var, weight, bias, residual, eps, relu):
    return _like(x)


def _backward_fake(dy, x, y, mean, var, weight, bias, eps, relu, batch_statistics):
    return _like(x), *_per_channel(x)


def _per_channel(x: Tensor) -> tuple[Tensor, Tensor]:
    dtype = dispatch.summed(x.dtype)
    return x.new_empty(x.shape[1], dtype=dtype), x.new_empty(x.shape[1], dtype=dtype)


def _like(x: Tensor) -> Tensor:
    batch, *features = x.shape
    return dispatch.batch_first(x.new_empty(*features, batch))


# Gradients. Mean and variance are no outputs to differentiate: the gradient of x has their share.


def _gradients(given: tuple[Any, ...], need_residual: bool) -> tuple[Tensor, ...]:
    """Of x, weight, bias and residual; `given` are the arguments of the operator batch_norm_backward."""
    dx, dweight, dbias = torch.ops.tithe.batch_norm_backward(*given)
    dy, _, y, *_, relu, _ = given
    return dx, dweight, dbias, torch.where(y <= 0, 0, dy) if need_residual and relu else dy


def _train_save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, residual, eps, relu = inputs
    y, mean, var = output
    ctx.mark_non_differentiable(mean, var)
    ctx.save_for_backward(x, y if relu and residual is not None else None, mean, var, weight, bias)
    ctx.how = (eps, relu, True)


def _train_backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    needs = [ctx.needs_input_grad[i] for i in range(4)]
    found = _gradients((dy, *ctx.saved_tensors, *ctx.how), needs[3])
    return *[gradient if need else None for gradient, need in zip(found, needs, strict=True)], None, None


def _apply_save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mean, var, weight, bias, residual, eps, relu = inputs
    ctx.save_for_backward(x, output if relu and residual is not None else None, mean, var, weight, bias)
    ctx.how = (eps, relu, False)


def _apply_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    needs = [ctx.needs_input_grad[i] for i in (0, 3, 4, 5)]
    found = _gradients((dy, *ctx.saved_tensors, *ctx.how), needs[3])
    dx, *others = [gradient if need else None for gradient, need in zip(found, needs, strict=True)]
    return dx, None, None, *others, None, None


def _backward_save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:7])
    ctx.how = inputs[7:]


dispatch.register(_TRAIN, reference.train, kernels.train_cpu, _train_fake, _train_backward, _train_save)
dispatch.register(_APPLY, reference.apply, kernels.apply_cpu, _apply_fake, _apply_backward, _apply_save)
dispatch.register(
    _BACKWARD, reference.backward, kernels.backward_cpu, _backward_fake, reference.backward_backward, _backward_save
)
