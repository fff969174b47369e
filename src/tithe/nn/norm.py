"""BatchNorm2d and ReLU that keep the batch innermost, in one pass where one follows the other; and a BatchNorm1d."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from tithe import ops
from tithe.errors import UsageError
from tithe.ops import dispatch, norm_kernels

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d, same arguments, buffers and state_dict; x [N, C, H, W], y batch-innermost in memory.

    x may be float32 or bfloat16, under autocast or not, and y is what x is; parameters and statistics stay float32.
    What the kernels cannot take (other devices and dtypes, wrong shapes) goes to nn.BatchNorm2d, its errors with it.

    >>> import torch, tithe
    >>> norm = tithe.nn.BatchNorm2d(3)
    >>> norm.relu = True
    >>> norm(torch.randn(8, 3, 5, 5)).min().item()
    0.0
    """

    relu: bool = False  # rectify the output: part of this module
    # The model's only reader of the output, a ReLU: its work is done here, unless a hook looks on. Set by
    # `tithe.nn.fuse` past nn.Module's own attributes, since it is no part of this module.
    reader: nn.Module | None = None

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:  # noqa: A002  # torch's name
        """relu?(normalised x + residual), [N, C, H, W]; residual, of the same shape, is added before the ReLU."""
        relu = self.relu or (self.reader is not None and not _watched(self, self.reader))
        y = self._fused(input, residual, relu) if self._fits(input, residual) else self._plain(input, residual, relu)
        return _mark(y) if relu else y

    def _fits(self, x: Tensor, residual: Tensor | None) -> bool:
        """Whether x is what the kernels take; values to normalise by included: torch refuses one per channel."""
        each = (self.weight, self.bias, self.running_mean, self.running_var)
        return (
            x.dim() == 4
            and x.shape[1] == self.num_features
            and x.numel() > self.num_features
            and (residual is None or residual.shape == x.shape)
            and (dispatch.direct_stored(x, *each, beside=residual) or _listened_to((x, residual), each))
        )

    def _fused(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        momentum = self._count()
        training = self.training or (self.running_mean is None and self.running_var is None)
        moving = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if moving else (None, None)
        return ops.batch_norm(x, self.weight, self.bias, mean, var, training, momentum, self.eps, relu, residual)

    def _count(self) -> float:
        """Counts a training pass; how far the running statistics move in it. As in nn.BatchNorm2d."""
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1.0 / float(self.num_batches_tracked)
        return 0.0 if self.momentum is None else self.momentum

    def _plain(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        y = super().forward(x)
        if residual is not None:
            y = y + residual
        return y.relu() if relu else y


class ReLU(nn.ReLU):
    """nn.ReLU that passes on what a `BatchNorm2d` has rectified already."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """The input itself if it is known to have no negative element, else as nn.ReLU."""
        return input if _is_marked(input) else super().forward(input)


def norm_plus(norm: nn.Module, x: Tensor, shortcut: Tensor) -> Tensor:
    """shortcut + norm(x), [N, C, H, W], in one pass where the norm is ours."""
    return norm(x, shortcut) if isinstance(norm, BatchNorm2d) else shortcut + norm(x)


def _watched(*modules: nn.Module) -> bool:
    """Whether a hook sees what stands between the two modules, or its gradient."""
    return bool(torch_module._has_any_global_hook()) or any(getattr(m, hooks) for m in modules for hooks in HOOKS)


def _listened_to(stored: tuple[Tensor | None, ...], each: tuple[Tensor | None, ...]) -> bool:
    """What the kernels take, under a compiler or a dispatch mode: it is for the operator, which vmap does not know."""
    if not norm_kernels.has_kernel(stored, each):
        return False
    return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is None  # type: ignore


# A mark is the tensor's version when it was rectified: an in-place change since then makes the mark void.


def _mark(y: Any) -> Any:
    if not torch.compiler.is_compiling() and not y.is_inference():
        y._tithe_rectified = y._version
    return y


def _is_marked(x: Any) -> bool:
    if torch.compiler.is_compiling():
        return False
    version = getattr(x, "_tithe_rectified", None)
    return version is not None and version == x._version


class BatchNorm1d(nn.BatchNorm1d):
    """One of which features were removed: it computes as before, but no longer takes a sequence.

    Over [N, L, F] it would be a norm over positions, and only an input tells whether it is where L = F.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  # torch's name
        if input.dim() != 2:
            raise UsageError(
                f"an input of shape {tuple(input.shape)} was given to a BatchNorm1d of which features were removed, as "
                "if its input were [N, F]; over the positions of a sequence it cannot follow, so make the model anew "
                "and take a method that prunes weights"
            )
