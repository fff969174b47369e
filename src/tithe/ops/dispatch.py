"""What the operators share: which implementation runs, the layout, and the dense weight of the reference."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from tithe import _kernels
from tithe.errors import UsageError
from tithe.topology import unpack

NAMESPACE = "tithe"
_PLAIN = (Tensor, torch.nn.Parameter)  # subclasses may mean anything by their storage
STORED = (torch.float32, torch.bfloat16)  # how the kernels take activations; weights are float32
GRAIN = 2**19  # multiply-adds a thread should have, some 30 microseconds of work


def define(name: str, arguments: str, returns: str = "Tensor") -> str:
    """Declare operator `tithe::name`; answers with its qualified name."""
    qualified = f"{NAMESPACE}::{name}"
    torch.library.define(qualified, f"({arguments}) -> {returns}")
    return qualified


def register(
    name: str,
    reference: Callable[..., Any],
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    backward: Callable[..., Any],
    save: Callable[..., None],
) -> None:
    """Give an operator its implementations: any device; CPU; shapes only; and its gradient."""
    torch.library.impl(name, "CompositeExplicitAutograd", reference)
    torch.library.impl(name, "CPU", kernel)
    torch.library.register_fake(name, fake)
    torch.library.register_autograd(name, backward, setup_context=save)


def check(topology: Tensor, rows: int, cols: int, nnz: int, *pairs: tuple[Any, Any]) -> None:
    """See that the topology is one of a [rows, cols] matrix with nnz weights, and that the sizes in each pair agree.

    The kernels read and write by address: a size that does not fit would be read from someone else's memory.

    Raises:
        UsageError: they do not fit.
    """
    if topology.dtype != torch.int32 or topology.shape != (rows + cols + 2 + 3 * nnz,):
        raise UsageError(
            f"a topology of {topology.dtype} {tuple(topology.shape)} was given for {nnz} weights of a {rows} x {cols} "
            "matrix, which it does not describe; the input's features or channels must be those of the layer"
        )
    for first, second in pairs:
        if first != second:
            raise UsageError(f"sizes {first} and {second} were given where one size was due; see the operator's shapes")


def has_kernel(*tensors: Tensor) -> bool:
    """Whether these are float32 on the CPU, as the kernels take what is not an activation; else the reference runs."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def has_stored_kernel(*activations: Tensor, values: Tensor | None = None) -> bool:
    """The kernels can take these: activations all in float32 or all in bfloat16, and float32 values."""
    dtype = activations[0].dtype
    return (
        dtype in STORED
        and all(x.device.type == "cpu" and x.dtype == dtype for x in activations)
        and (values is None or has_kernel(values))
    )


def direct(*tensors: Tensor | None) -> bool:
    """Whether these tensors may go to the kernels past torch's dispatcher, which costs more than a small layer's work.

    They may when they are plain float32 tensors on the CPU and nobody listens in between: no compiler, tracer, function
    transform or dispatch mode (FLOP counter, fake tensors).
    """
    return (
        all(t is None or (type(t) in _PLAIN and t.dtype is torch.float32 and t.is_cpu) for t in tensors)
        and not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.peek_interpreter_stack() is None  # type: ignore[attr-defined]
        and not torch._C._is_tracing()
    )


def direct_stored(x: Tensor, *weights: Tensor | None, beside: Tensor | None = None) -> bool:
    """`direct` for the activations x, which may be stored in bfloat16, others stored as x is, and float32 weights."""
    return _is_stored(x, x.dtype) and (beside is None or _is_stored(beside, x.dtype)) and direct(*weights)


def _is_stored(x: Tensor, dtype: torch.dtype) -> bool:
    return type(x) in _PLAIN and x.dtype is dtype and dtype in STORED and x.is_cpu


def kernels(name: str) -> dict[torch.dtype, Callable[..., None]]:
    """The kernel of this name for each dtype of the activations."""
    return {torch.float32: getattr(_kernels, name), torch.bfloat16: getattr(_kernels, f"{name}_bf16")}


_TRANSPOSE, _ROW_SUMS = kernels("transpose"), kernels("row_sums")


def summed(dtype: torch.dtype) -> torch.dtype:
    """In what sums of activations come out: bfloat16 is for storing only, its gradients of weights are float32."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def is_mixed(x: Tensor, values: Tensor) -> bool:
    """Whether activations stored in bfloat16 meet float32 values: the one pair of dtypes that the operators widen.

    Raises:
        RuntimeError: any other pair, as torch's own operators refuse it.
    """
    if (x.dtype, values.dtype) == (torch.bfloat16, torch.float32):
        return True
    _refuse_unlike(x, values)
    return False


def are_bfloat16(dy: Tensor, x: Tensor) -> bool:
    """Whether both activations are; their gradient of the values is then a float32 sum.

    Raises:
        RuntimeError: they have different dtypes.
    """
    _refuse_unlike(dy, x)
    return x.dtype == torch.bfloat16


def _refuse_unlike(first: Tensor, second: Tensor) -> None:
    if first.dtype != second.dtype:
        raise RuntimeError(
            f"expected one dtype, or bfloat16 activations beside float32 values, but got {first.dtype} and "
            f"{second.dtype}; convert one of them"
        )


def widened(reference: Callable[..., Any], *arguments: Any) -> Any:
    """The reference in float32, for arguments of which some are bfloat16."""
    return reference(*[a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments])


def without_autocast(reference: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The reference in its arguments' dtypes, where autocast would lower torch's operators inside it."""

    @functools.wraps(reference)
    def run(first: Tensor, *rest: Any) -> Tensor:
        device = first.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            return reference(first, *rest)

    return run


def threads(weights: int, batch: int, positions: int = 1) -> int:
    """How many threads a kernel call is worth: on small layers waiting for each other costs more than the work."""
    return team(weights * batch * positions // GRAIN)


def team(wanted: int) -> int:
    """All of torch's threads, or one where not even a quarter of them is wanted.

    Nothing in between: GNU's OpenMP ends the threads that a smaller team leaves over, and the next operator of torch's,
    which asks for all, has to start new ones. One thread is no team, it leaves the others waiting.
    """
    everyone = torch.get_num_threads()
    return everyone if wanted >= max(2, everyone / 4) else 1


def batch_innermost(x: Tensor) -> Tensor:
    """x [N, ...] as [..., N], contiguous; copies only if N was not innermost already."""
    return x.movedim(0, -1).contiguous()


def is_innermost(x: Tensor) -> bool:
    """Whether N of x [N, ...] is innermost in memory, and nothing lies between the numbers."""
    return x.movedim(0, -1).is_contiguous()


def innermost(x: Tensor) -> Tensor:
    """x [N, ...], of a dtype that the kernels take, itself if N is innermost in memory, else a copy in which it is."""
    shape, stride = x.shape, x.stride()
    if stride[0] == 1 and stride[1:] == _strides(shape)[1:]:
        return x
    if x.numel() == 0 or is_innermost(x):  # strides over one element mean nothing
        return x
    copy = empty_innermost(shape, x)
    if not x.is_contiguous():
        return copy.copy_(x)
    batch, features = shape[0], x.numel() // shape[0]
    _TRANSPOSE[x.dtype](copy.data_ptr(), x.data_ptr(), batch, features, threads(features, batch))
    return copy


def outermost(x: Tensor) -> Tensor:
    """A contiguous copy of x [N, ...], stored as the kernels take it, with N innermost in memory."""
    copy = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if x.numel():
        batch, features = x.shape[0], x.numel() // x.shape[0]
        _TRANSPOSE[x.dtype](copy.data_ptr(), x.data_ptr(), features, batch, threads(features, batch))
    return copy


def empty_innermost(shape: Sequence[int], like: Tensor) -> Tensor:
    """Uninitialised [N, ...] with N innermost in memory."""
    return torch.empty_strided(shape, _strides(shape), dtype=like.dtype, device=like.device)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) == 2:
        return (1, shape[0])
    batch, _, height, width = shape
    return (1, height * width * batch, width * batch, batch)


def channel_sums(dy: Tensor) -> Tensor:
    """[F], the gradient of a bias, from dy [N, F, ...] with N innermost in memory."""
    features = dy.shape[1]
    sums, each = dy.new_empty(features, dtype=torch.float32), dy.numel() // max(features, 1)
    _ROW_SUMS[dy.dtype](sums.data_ptr(), dy.data_ptr(), features, each, threads(features, each))
    return sums


def batch_first(x: Tensor) -> Tensor:
    """The logical view [N, ...] of memory [..., N]."""
    return x.movedim(-1, 0)


def restride(x: Tensor) -> Tensor:
    """x [N, ...] with the strides that every operator's output has."""
    return batch_first(batch_innermost(x))


def dense_weight(values: Tensor, topology: Tensor, rows: int, cols: int) -> Tensor:
    """[rows, cols] with the values in place and zeros elsewhere: the reference's, gone when its call returns."""
    weight = values.new_zeros(rows, cols)
    weight[row_index(topology, rows, cols), column_index(topology, rows, cols)] = values
    return weight


def row_index(topology: Tensor, rows: int, cols: int) -> Tensor:
    """int64 [nnz]: the row of each weight of a packed topology."""
    indptr, indices, *_ = unpack(topology, rows, cols)
    return torch.repeat_interleave(indptr.diff().long(), output_size=indices.shape[0])


def column_index(topology: Tensor, rows: int, cols: int) -> Tensor:
    """int64 [nnz]: the column of each weight of a packed topology."""
    return unpack(topology, rows, cols)[1].long()


def addresses(topology: Tensor, rows: int, cols: int, nnz: int) -> tuple[int, int, int, int, int]:
    """Memory addresses of indptr, indices, t_indptr, t_indices and t_perm, for the kernels."""
    indptr = topology.data_ptr()
    indices = indptr + 4 * (rows + 1)
    t_indptr = indices + 4 * nnz
    t_indices = t_indptr + 4 * (cols + 1)
    return indptr, indices, t_indptr, t_indices, t_indices + 4 * nnz
