"""What the operators share: which implementation runs, the layout, and the dense weight of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tithe.errors import UsageError
from tithe.topology import nnz_of, unpack

NAMESPACE = "tithe"
GRAIN = 2**19  # multiply-adds a thread should have, some 30 microseconds of work


def define(name: str, arguments: str) -> str:
    """Declare operator `tithe::name`; answers with its qualified name."""
    qualified = f"{NAMESPACE}::{name}"
    torch.library.define(qualified, f"({arguments}) -> Tensor")
    return qualified


def register(
    name: str,
    reference: Callable[..., Tensor],
    kernel: Callable[..., Tensor],
    fake: Callable[..., Tensor],
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
    """The C++ kernels take float32 on the CPU; all else goes to the reference."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def threads(weights: int, batch: int, positions: int = 1) -> int:
    """How many threads a kernel call is worth: on small layers waiting for each other costs more than the work."""
    return max(1, min(torch.get_num_threads(), weights * batch * positions // GRAIN))


def batch_innermost(x: Tensor) -> Tensor:
    """x [N, ...] as [..., N], contiguous; copies only if N was not innermost already."""
    return x.movedim(0, -1).contiguous()


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


def addresses(topology: Tensor, rows: int, cols: int) -> tuple[int, int, int, int, int]:
    """Memory addresses of indptr, indices, t_indptr, t_indices and t_perm, for the kernels."""
    start = topology.data_ptr()
    nnz = nnz_of(topology.shape[0], rows, cols)
    lengths = (rows + 1, nnz, cols + 1, nnz)
    result = [start]
    for length in lengths:
        result.append(result[-1] + 4 * length)
    return tuple(result)  # type: ignore[return-value]
