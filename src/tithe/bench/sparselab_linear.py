"""SparseLab (github.com/DarshanFofadiya/sparselab, 0.2.2): linear layers on its PaddedCSR, if it is installed."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def convert(layer: nn.Linear | nn.Conv2d, mask: Tensor) -> nn.Module:
    """The masked layer as a sparselab.SparseLinear.

    SparseLab keeps the transposes of its backward pass under id(matrix), and a new matrix that gets the id of a dead
    one gets its transpose too, so wrong gradients: its cache is emptied here, before anything can be mistaken.
    """
    import sparselab.ops  # pyright: ignore[reportMissingImports]

    assert isinstance(layer, nn.Linear)
    sparselab.ops._clear_transpose_cache()
    density = float(mask.float().mean())
    sparse: Any = sparselab.SparseLinear(
        layer.in_features, layer.out_features, bias=layer.bias is not None, sparsity=1 - density
    )
    # Its constructor draws weights; these are ours. The parameter shares its memory with the matrix.
    sparse._csr = sparselab.PaddedCSR.from_dense(layer.weight.detach() * mask)
    sparse._values = nn.Parameter(torch.from_numpy(np.asarray(sparse._csr.values)))
    if layer.bias is not None:
        sparse.bias = nn.Parameter(layer.bias.detach().clone())
    return sparse


def gradient(module: nn.Module) -> Tensor:
    """Of the values, [nnz], without the padding between the rows."""
    sparse: Any = module
    return sparse._values.grad[torch.from_numpy(np.array(sparse._csr.col_indices)) >= 0]


def set_threads(threads: int) -> None:
    """Tell the OpenMP runtime that SparseLab brings along, which does not hear torch.set_num_threads."""
    import sparselab  # pyright: ignore[reportMissingImports]

    assert sparselab.__file__ is not None
    for library in (Path(sparselab.__file__).parents[1] / "sparselab.libs").glob("libgomp*"):
        ctypes.CDLL(str(library)).omp_set_num_threads(threads)
