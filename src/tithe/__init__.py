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
from tithe.methods.registry import METHODS

if TYPE_CHECKING:
    from tithe.cost.meter import Meter
    from tithe.cost.plan import plan
    from tithe.methods.deepr import DeepR
    from tithe.methods.dense import Dense
    from tithe.methods.dsr import DSR
    from tithe.methods.gradual_magnitude import GradualMagnitude
    from tithe.methods.granet import GraNet
    from tithe.methods.grasp import GraSP
    from tithe.methods.group_lasso import GroupLasso
    from tithe.methods.l1 import L1
    from tithe.methods.lottery_ticket import LotteryTicket
    from tithe.methods.one_shot import OneShot
    from tithe.methods.rigl import RigL
    from tithe.methods.set import SET
    from tithe.methods.small_dense import SmallDense
    from tithe.methods.snip import SNIP
    from tithe.methods.sparse_momentum import SparseMomentum
    from tithe.methods.static import Static
    from tithe.methods.top_kast import TopKAST
    from tithe.nn import SparseConv2d, SparseLinear, densify, sparse_layers, sparsify
    from tithe.nn.supar import supar
    from tithe.resize import fit_channels, remove_dead_channels
    from tithe.topology import Topology

__version__ = "0.1.0"

__all__ = [
    "DSR",
    "L1",
    "SET",
    "SNIP",
    "DeepR",
    "Dense",
    "Diverged",
    "GraNet",
    "GraSP",
    "GradualMagnitude",
    "GroupLasso",
    "LotteryTicket",
    "Meter",
    "OneShot",
    "RigL",
    "SmallDense",
    "SparseConv2d",
    "SparseLinear",
    "SparseMomentum",
    "Static",
    "TopKAST",
    "Topology",
    "UsageError",
    "densify",
    "fit_channels",
    "plan",
    "remove_dead_channels",
    "sparse_layers",
    "sparsify",
    "supar",
]

# Imported at first use, since each brings torch: `tithe --help` answers at once.
_HOMES = {entry.home.split(":")[1]: "tithe.methods" for entry in METHODS.values()} | {
    "Meter": "tithe.cost.meter",
    "SparseConv2d": "tithe.nn",
    "SparseLinear": "tithe.nn",
    "Topology": "tithe.topology",
    "densify": "tithe.nn",
    "plan": "tithe.cost.plan",
    "fit_channels": "tithe.resize",
    "remove_dead_channels": "tithe.resize",
    "sparse_layers": "tithe.nn",
    "sparsify": "tithe.nn",
    "supar": "tithe.nn.supar",
}
_MODULES = ("forecast",)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tithe.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'tithe' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
