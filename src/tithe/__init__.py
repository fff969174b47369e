"""tithe: train neural networks sparse from the first step to the last.

>>> import torch, tithe
>>> model = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
>>> model = tithe.sparsify(model, density=0.05)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
>>> rewire = tithe.SparseMomentum(model, optimizer, every=450, total_steps=4500)
"""

import importlib
from typing import TYPE_CHECKING, Any

from tithe.errors import Diverged, UsageError

if TYPE_CHECKING:
    from tithe.cost.meter import Meter
    from tithe.cost.plan import plan
    from tithe.methods import SparseMomentum
    from tithe.nn import SparseConv2d, SparseLinear, densify, sparse_layers, sparsify
    from tithe.topology import Topology

__version__ = "0.1.0"

__all__ = [
    "Diverged",
    "Meter",
    "SparseConv2d",
    "SparseLinear",
    "SparseMomentum",
    "Topology",
    "UsageError",
    "densify",
    "plan",
    "sparse_layers",
    "sparsify",
]

# Imported at first use, since each brings torch: `tithe --help` answers at once.
_HOMES = {
    "Meter": "tithe.cost.meter",
    "SparseConv2d": "tithe.nn",
    "SparseLinear": "tithe.nn",
    "SparseMomentum": "tithe.methods",
    "Topology": "tithe.topology",
    "densify": "tithe.nn",
    "plan": "tithe.cost.plan",
    "sparse_layers": "tithe.nn",
    "sparsify": "tithe.nn",
}
_MODULES = ("forecast",)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tithe.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tithe' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
