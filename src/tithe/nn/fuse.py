"""Which norms are followed by a ReLU and nothing else: those rectify in the same pass.

The model's code is only looked at, never changed. Its ReLU still runs, on what has been rectified already: a ReLU of a
ReLU is the same ReLU, in value and gradient, so a mistake here could not come from doing it twice.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torch import fx, nn

from tithe.nn.norm import BatchNorm2d, ReLU

RELUS = (nn.ReLU, ReLU)  # exact types: a function such as F.relu would run again all the same, with nothing to gain


def fuse(model: nn.Module) -> int:
    """Let each norm whose only reader is an nn.ReLU rectify, and that ReLU pass it on; answers with their number.

    Needs `torch.fx` to follow the model's forward, in training and in evaluation; where it cannot, nothing is done.
    """
    norms = [module for module in model.modules() if type(module) is BatchNorm2d]
    if not norms:
        return 0
    found = []
    for training in (True, False):
        with _mode(model, training):
            found.append(_pairs(model))
    pairs = [(norm, relu) for norm, relu in found[0].items() if found[1].get(norm) is relu]
    for norm, relu in pairs:
        relu.__class__ = ReLU
        norm.__dict__["reader"] = relu
    return len(pairs)


class _Tracer(fx.Tracer):
    """Looks into containers only: what a module without children does is its own affair."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or next(m.children(), None) is None


def _pairs(model: nn.Module) -> dict[BatchNorm2d, nn.Module]:
    """Each norm that is called once and whose output goes to one ReLU module only, with that ReLU."""
    nodes = [node for node in graph(model) if node.op == "call_module"]
    called = {node: model.get_submodule(str(node.target)) for node in nodes}
    times = Counter(called.values())
    found = {}
    for node, norm in called.items():
        if type(norm) is not BatchNorm2d or times[norm] != 1 or len(node.users) != 1:
            continue
        (reader,) = node.users
        if type(called.get(reader)) in RELUS and reader.args == (node,):
            found[norm] = called[reader]
    return found


def graph(model: nn.Module) -> list[fx.Node]:
    """What the model's forward does, one node a module or function; empty where `torch.fx` cannot follow."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(_Tracer().trace(model).nodes)
    except Exception:  # whatever a user's forward does with a stand-in for a tensor
        return []


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Every module in this mode; afterwards each in its own again."""
    before = [(module, module.training) for module in model.modules()]
    for module, _ in before:
        module.training = training
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
