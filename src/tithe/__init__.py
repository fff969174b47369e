"""tithe: train neural networks sparse from the first step to the last.

>>> import torch, tithe
>>> model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
>>> model = tithe.sparsify(model, density=0.05)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
>>> rewire = tithe.SparseMomentum(model, optimizer, every=450, total_steps=4500)
"""

from tithe.errors import Diverged, UsageError
from tithe.methods import SparseMomentum
from tithe.nn import SparseConv2d, SparseLinear, densify, sparse_layers, sparsify
from tithe.topology import Topology

__version__ = "0.1.0"

__all__ = [
    "Diverged",
    "SparseConv2d",
    "SparseLinear",
    "SparseMomentum",
    "Topology",
    "UsageError",
    "densify",
    "sparse_layers",
    "sparsify",
]
