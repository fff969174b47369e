"""Which tensors of a model have the same channels: what has to change together when a channel goes.

A *space* is a set of channels: the outputs of a layer, and of every other layer that is added to them. Its writers make
it, its readers take it as input, its norms scale it. `torch.fx` follows the model's forward; where it meets something
that it does not know, the spaces it touches are left alone.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from tithe.nn.conv import SparseConv2d
from tithe.nn.fuse import graph
from tithe.nn.linear import SparseLinear
from tithe.nn.norm import BatchNorm1d, BatchNorm2d, ReLU
from tithe.nn.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

# [N, ..., F], channels last, perhaps a sequence; [N, F], perhaps several features of each channel; [N, C, H, W]
FEATURES, FLAT, MAPS = "features", "flat", "maps"

LINEAR, CONV = (nn.Linear, SparseLinear), (nn.Conv2d, SparseConv2d)
NORMS = (nn.BatchNorm1d, BatchNorm1d, nn.BatchNorm2d, BatchNorm2d)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d)
# What works on each element by itself and leaves zero zero.
ELEMENTWISE = (nn.ReLU, ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.ELU, nn.Identity, nn.Dropout, nn.Dropout2d)
STATELESS = (*ELEMENTWISE, *POOLS, nn.Flatten)  # may be called again and again: no channel is theirs
FUNCTIONS = {functional.relu, functional.gelu, functional.silu, functional.dropout, torch.relu, torch.tanh}
FUNCTIONS |= {functional.leaky_relu, functional.elu, functional.dropout2d}
POOLING = {functional.max_pool2d, torch.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d}
ADDITIONS = {operator.add, operator.iadd, torch.add}
METHODS = {"relu", "relu_", "tanh", "contiguous"}


@dataclass(eq=False)
class Space:
    """Channels that go together."""

    size: int
    writers: dict[str, Any] = field(default_factory=dict)  # modules by name
    readers: dict[str, Any] = field(default_factory=dict)
    norms: dict[str, Any] = field(default_factory=dict)
    presumed: set[Any] = field(default_factory=set)  # of the norms: over these channels if the input is no sequence
    free: bool = True  # whether channels may go

    @property
    def name(self) -> str:
        """Of the first writer."""
        return next(iter(self.writers))


def spaces(model: nn.Module) -> list[Space]:
    """The spaces of which channels may be removed, in the order of the forward pass."""
    found = _Walk(model).spaces()
    return [space for space in found if space.free and space.writers and space.readers and space.size > 1]


class _Walk:
    """Goes over the graph once."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.at: dict[fx.Node, tuple[Space, str]] = {}  # each tensor's space, and where its channels are
        self.merged: dict[Space, Space] = {}
        self.all: list[Space] = []
        self.lengths: dict[fx.Node, fx.Node] = {}  # a number: how many examples that tensor has
        self.seen: set[nn.Module] = set()
        self.shared = _shared(model)

    def spaces(self) -> list[Space]:
        for node in graph(self.model):
            self._visit(node)
        return [space for space in self.all if self._root(space) is space]

    def _visit(self, node: fx.Node) -> None:
        counted = _counts_examples(node)
        if counted is not None:
            self.lengths[node] = counted
            return
        inputs = [arg for arg in node.all_input_nodes if arg in self.at]
        if node.op == "call_module" and inputs:
            module = self.model.get_submodule(str(node.target))
            again = type(module) not in STATELESS and (module in self.seen or module in self.shared)
            self.seen.add(module)
            if not again and self._module(node, str(node.target), module, inputs):
                return
            if again:
                for space in self.all:
                    if module in [*space.writers.values(), *space.readers.values(), *space.norms.values()]:
                        self._root(space).free = False
        elif node.op in ("call_function", "call_method") and inputs and self._call(node, inputs):
            return
        for arg in inputs:
            self._space(arg).free = False
        if node.op != "output":
            self.at[node] = (self._new(0, free=False), FEATURES)

    def _module(self, node: fx.Node, name: str, module: Any, inputs: list[fx.Node]) -> bool:
        """Take in what the module does; False where that is not known."""
        space, where = self._space(inputs[0]), self.at[inputs[0]][1]
        if type(module) in (*LINEAR, *CONV) and len(inputs) == 1:
            if type(module) in CONV and module.groups != 1:
                return False
            convolves = type(module) in CONV
            if convolves != (where == MAPS) and space.free:
                return False
            made = MAPS if convolves else FLAT if where == FLAT else FEATURES
            return self._layer(node, name, module, space, made)
        if type(module) in NORMS and all(self.at[arg][1] == where for arg in inputs):
            space = self._union(inputs)
            if space.free and not _fits(module, space, where):
                return False
            space.norms[name] = module
            space.presumed |= {module} if where == FEATURES else set()
        elif not (type(module) in ELEMENTWISE or (type(module) in POOLS and where == MAPS)):
            flattens = type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)
            if not flattens or (where == FEATURES and space.free):
                return False
            where = FLAT
        self.at[node] = (space, where)
        return True

    def _layer(self, node: fx.Node, name: str, module: Any, space: Space, where: str) -> bool:
        rows, columns = weight_shape(module)[:2]
        if space.free and columns % space.size:
            return False
        space.readers[name] = module
        made = self._new(rows, free=True)
        made.writers[name] = module
        self.at[node] = (made, where)
        return True

    def _call(self, node: fx.Node, inputs: list[fx.Node]) -> bool:
        wheres = {self.at[arg][1] for arg in inputs}
        wheres -= {FLAT} if FEATURES in wheres else set()
        (where,) = wheres if len(wheres) == 1 else (None,)
        if node.target in ADDITIONS and len(inputs) == 2 and where is not None:
            self.at[node] = (self._union(inputs), where)
            return True
        where = self._after(node, where) if len(inputs) == 1 else None
        if where is not None:
            self.at[node] = (self._space(inputs[0]), where)
        return where is not None

    def _after(self, node: fx.Node, where: str | None) -> str | None:
        """Where the channels are after a function or method of one tensor; None where that is not known."""
        if node.target in (METHODS if node.op == "call_method" else FUNCTIONS):
            return where
        if where != MAPS:
            return None
        if node.target in POOLING:
            return MAPS
        if node.target in ("mean", torch.mean):
            return _after_mean(node)
        flattens = node.target in ("flatten", torch.flatten) and _from_one(node)
        return FLAT if flattens or self._is_flat_view(node) else None

    def _is_flat_view(self, node: fx.Node) -> bool:
        """Whether this is x.view(x.size(0), -1)."""
        sizes = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], tuple | list) else node.args[1:]
        if node.target not in ("view", "reshape", torch.reshape) or len(sizes) != 2 or sizes[1] != -1:
            return False
        return isinstance(sizes[0], fx.Node) and self.lengths.get(sizes[0]) is node.args[0]

    def _new(self, size: int, free: bool) -> Space:
        self.all.append(Space(size, free=free))
        return self.all[-1]

    def _space(self, node: fx.Node) -> Space:
        return self._root(self.at[node][0])

    def _root(self, space: Space) -> Space:
        while space in self.merged:
            space = self.merged[space]
        return space

    def _union(self, nodes: list[fx.Node]) -> Space:
        first, *others = (self._space(node) for node in nodes)
        for other in others:
            if other is first:
                continue
            first.free = first.free and other.free and first.size == other.size
            for mine, theirs in ((first.writers, other.writers), (first.readers, other.readers)):
                mine |= theirs
            first.norms |= other.norms
            first.presumed |= other.presumed
            self.merged[other] = first
        return first


def weight_shape(module: Any) -> tuple[int, ...]:
    """[out, in] or [out, in, kh, kw] of a linear or convolution layer, sparse or not."""
    return tuple(module.weight_shape if isinstance(module, SparseLinear | SparseConv2d) else module.weight.shape)


def width_names(module: Any) -> tuple[str, str]:
    """What a linear or convolution layer calls its inputs and its outputs."""
    return ("in_features", "out_features") if isinstance(module, LINEAR) else ("in_channels", "out_channels")


def _fits(norm: Any, space: Space, where: str) -> bool:
    """Whether a norm can be one over these channels; what is presumed to be one has as many features."""
    return norm.num_features == space.size if where == FEATURES else norm.num_features % space.size == 0


def _from_one(node: fx.Node) -> bool:
    """Whether this flatten starts at dimension 1 and goes to the end."""
    return (node.args[1:] == (1,) and not node.kwargs) or (len(node.args) == 1 and node.kwargs == {"start_dim": 1})


def _after_mean(node: fx.Node) -> str | None:
    """Where the channels are after a mean over height and width; None where it is over others."""
    how: dict[str, Any] = dict(zip(("dim", "keepdim"), node.args[1:], strict=False)) | node.kwargs
    dims, kept = how.pop("dim", None), how.pop("keepdim", False)
    if how or not isinstance(dims, tuple | list) or not all(isinstance(dim, int) for dim in dims):
        return None
    return (MAPS if kept else FLAT) if {dim % 4 for dim in dims} == {2, 3} and kept in (True, False) else None


def _counts_examples(node: fx.Node) -> fx.Node | None:
    """The tensor whose first size this number is, or this shape of which nothing but the first size is used."""
    if _is_first_size(node):
        return _shape_of(node.args[0])
    if node.op == "call_method" and node.target == "size" and node.args[1:] == (0,):
        return node.args[0]  # type: ignore[return-value]
    return _shape_of(node) if all(map(_is_first_size, node.users)) else None


def _is_first_size(node: fx.Node) -> bool:
    return node.target is operator.getitem and node.args[1:] == (0,)


def _shape_of(node: Any) -> fx.Node | None:
    """The tensor whose shape this is."""
    if not isinstance(node, fx.Node):
        return None
    is_size = node.op == "call_method" and node.target == "size" and len(node.args) == 1 and not node.kwargs
    is_shape = node.op == "call_function" and node.target is getattr and node.args[1:] == ("shape",)
    return node.args[0] if is_size or is_shape else None  # type: ignore[return-value]


def _shared(model: nn.Module) -> set[nn.Module]:
    """Modules of which a parameter belongs to another one too."""
    owners: dict[int, nn.Module] = {}
    found = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            other = owners.setdefault(id(parameter), module)
            if other is not module:
                found |= {other, module}
    return found
