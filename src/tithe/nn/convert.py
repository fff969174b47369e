"""sparsify and densify: a model's nn.Linear and nn.Conv2d become sparse, in place, and back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from torch import nn

from tithe import budget as budgets
from tithe.errors import UsageError
from tithe.nn.choice import checked
from tithe.nn.conv import SparseConv2d
from tithe.nn.explore import stop_exploring
from tithe.nn.fuse import fuse
from tithe.nn.layer import SparseLayer
from tithe.nn.layout import keep_layout, leave_layout
from tithe.nn.linear import SparseLinear
from tithe.topology import Topology, packed_length

M = TypeVar("M", bound=nn.Module)
Convertible = nn.Linear | nn.Conv2d
Kept = str | type[nn.Module] | Iterable[str | type[nn.Module]]  # what stays dense: names of modules, types of modules

CONVERT: dict[type, type[SparseLinear] | type[SparseConv2d]] = {
    nn.Linear: SparseLinear,
    nn.Conv2d: SparseConv2d,
}


FAST_PATHS: dict[type[nn.Module], str] = {
    nn.TransformerEncoderLayer: "activation_relu_or_gelu",
    nn.TransformerEncoder: "use_nested_tensor",
}
HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_is_full_backward_hook",
)


def sparsify(
    model: M,
    density: float = 0.05,
    budget: str | Mapping[str, float] = "erk",
    keep_dense: Kept = (),
    generator: torch.Generator | None = None,
    init: str = "fan_in",
    kernel: str = "auto",
) -> M:
    """Replace the model's nn.Linear and nn.Conv2d by sparse layers with randomly drawn weights, in place.

    Exact nn.BatchNorm2d and pooling modules between them become twins that keep the layout (`tithe.nn.layout`), and a
    norm whose output goes to an nn.ReLU only does its work in the same pass: so change what follows a norm before.

    Args:
        model: any module; a bare nn.Linear or nn.Conv2d must sit in a container, since it cannot replace itself.
        density: fraction of all replaced layers' weights together that will exist, above 0 and at most 1.
        budget: "erk" (Erdos-Renyi-Kernel, RigL section 3), "uniform", or {layer name: density}, where layers that
            are not named get `density`.
        keep_dense: names of modules (with all that is inside) or module types to leave alone; one, or several.
        generator: draws the topology; torch's global one if None.
        init: "fan_in" scales each kept weight by sqrt(dense fan-in / the neuron's own fan-in), so that every neuron
            starts with the variance its dense twin was given; "keep" copies the weights as they are (trained models).
        kernel: what computes the layers: "sparse", "dense", "by-density" (dense from 50 % on), or "auto", which above
            15 % density measures once for each shape which is faster; `layer.kernel` changes it, `layer.kernel_used`
            says which ran.

    Returns:
        The same model. Only exact nn.Linear and nn.Conv2d are replaced, hooks going along: subclasses, and modules
        whose weight is made of others (weight_norm, pruning), may rely on their `.weight`.

    Raises:
        UsageError: bad density, budget, name, init or kernel; a weight that two modules share.
    """
    if init not in ("fan_in", "keep"):
        raise UsageError(f"init {init!r} was given; allowed are 'fan_in' and 'keep'")
    checked(kernel)
    free = _not_kept(model, kept_entries(keep_dense))
    chosen = _convertible(model, free)
    if not chosen:
        warnings.warn("sparsify changed nothing: the model has no nn.Linear or nn.Conv2d to replace", stacklevel=2)
        return model

    def twin(module: Convertible, shape: tuple[int, int], nnz: int) -> SparseLayer:
        return _sparse_twin(module, Topology.random(shape, nnz, generator), init)

    return _with_twins(model, free, _twins(chosen, density, budget, kernel, twin))


def hollow(
    model: M,
    density: float = 0.05,
    budget: str | Mapping[str, float] = "erk",
    keep_dense: Kept = (),
) -> M:
    """What `sparsify` makes, as far as shapes go, in place: topologies have their sizes, but nothing is drawn.

    For a model of fake tensors (torch's FakeTensorMode, which must be on), to see what training it would take. A model
    that is sparse already stays as it is.

    Raises:
        UsageError: as `sparsify`; and a model in which nothing is or becomes sparse.
    """
    free = _not_kept(model, kept_entries(keep_dense))
    if sparse_layers(model):
        return model
    chosen = _convertible(model, free)
    if not chosen:
        raise UsageError("the model has no nn.Linear or nn.Conv2d, so nothing in it becomes sparse; give another one")

    def twin(module: Convertible, shape: tuple[int, int], nnz: int) -> SparseLayer:
        empty = torch.empty(packed_length(nnz, *shape), dtype=torch.int32, device=module.weight.device)
        layer = CONVERT[type(module)].on(module, Topology(shape, empty))  # type: ignore[arg-type]
        layer.values.requires_grad_(module.weight.requires_grad)
        return layer.train(module.training)

    return _with_twins(model, free, _twins(chosen, density, budget, "sparse", twin))


def densify(model: M) -> M:
    """Replace every layer of ours by the ordinary torch layer that computes the same, in place; returns the model."""
    if isinstance(model, SparseLayer):
        raise UsageError("a bare sparse layer was given; call its to_dense(), or densify the model that holds it")
    leave_layout(model.modules())
    for layer in sparse_layers(model).values():
        stop_exploring(layer)
    return _swap(model, lambda module: module.to_dense() if isinstance(module, SparseLayer) else None)


def sparse_layers(model: nn.Module) -> dict[str, SparseLayer]:
    """The model's sparse layers by name, in the order of `named_modules`."""
    return {name: module for name, module in model.named_modules() if isinstance(module, SparseLayer)}


def _twins(
    chosen: Mapping[str, Convertible],
    density: float,
    budget: str | Mapping[str, float],
    kernel: str,
    make: Callable[[Convertible, tuple[int, int], int], SparseLayer],
) -> dict[nn.Module, SparseLayer]:
    """Each module's sparse twin, made from the module, its matrix's shape and its number of weights."""
    shapes = {name: tuple(module.weight.shape) for name, module in chosen.items()}
    nnz = budgets.counts(shapes, density, budget)
    new: dict[nn.Module, SparseLayer] = {}
    for name, module in chosen.items():
        shape = (shapes[name][0], math.prod(shapes[name][1:]))
        new[module] = make(module, shape, nnz[name])
        new[module].kernel = kernel
        new[module].hold_what_is_needed()
    return new


def _with_twins(model: M, free: Mapping[str, nn.Module], new: Mapping[nn.Module, SparseLayer]) -> M:
    _swap(model, new.get)
    _leave_fast_paths(model)
    if any(isinstance(twin, SparseConv2d) for twin in new.values()):
        keep_layout(free.values())
        fuse(model)
    return model


def _sparse_twin(module: Convertible, topology: Topology, init: str) -> SparseLayer:
    mask = topology.to_mask().view(module.weight.shape)
    twin = CONVERT[type(module)].from_dense(module, mask=mask)  # type: ignore[arg-type]  # the table pairs the types
    if init == "fan_in":
        fan_in = topology.fan_in().clamp(min=1).to(twin.values)
        scale = (topology.shape[1] / fan_in).sqrt()
        with torch.no_grad():
            twin.values.mul_(scale[topology.rows().to(scale.device)])
    return twin


def kept_entries(keep_dense: Kept) -> tuple[str | type[nn.Module], ...]:
    """The names and types; a single one stands for itself, not for its letters.

    >>> kept_entries("10"), kept_entries(["1", "0"])
    (('10',), ('1', '0'))
    """
    return (keep_dense,) if isinstance(keep_dense, str | type) else tuple(keep_dense)


def _not_kept(model: nn.Module, keep: tuple[str | type[nn.Module], ...]) -> dict[str, nn.Module]:
    modules = dict(model.named_modules())
    names = [entry for entry in keep if isinstance(entry, str)]
    types = tuple(entry for entry in keep if not isinstance(entry, str))
    unknown = [name for name in names if name not in modules]
    if unknown:
        known = ", ".join(name for name in modules if name)
        raise UsageError(f"keep_dense names {unknown[0]!r}, which the model does not have; its modules are {known}")
    kept = {name for name, module in modules.items() if isinstance(module, types)} | set(names)
    inside = tuple(f"{name}." for name in kept)
    return {name: module for name, module in modules.items() if name not in kept and not name.startswith(inside)}


def _convertible(model: nn.Module, free: Mapping[str, nn.Module]) -> dict[str, Convertible]:
    if type(model) in CONVERT:
        raise UsageError(
            f"a bare {type(model).__name__} was given; use tithe.{CONVERT[type(model)].__name__}.from_dense"
        )
    chosen = {name: module for name, module in free.items() if _is_plain(module)}
    _refuse_shared_weights(model, chosen)
    return chosen  # type: ignore[return-value]


def _is_plain(module: nn.Module) -> bool:
    return type(module) in CONVERT and module._parameters.keys() == {"weight", "bias"}


def _refuse_shared_weights(model: nn.Module, chosen: Mapping[str, nn.Module]) -> None:
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is None:
                continue
            other = owners.setdefault(id(parameter), name)
            if other != name and (name in chosen or other in chosen):
                raise UsageError(
                    f"{name!r} and {other!r} share a weight, which sparse layers cannot; name both in keep_dense"
                )


def _swap(model: M, replacement: Callable[[nn.Module], nn.Module | None]) -> M:
    """Put replacement(child) where it is not None; a module that is used in several places stays one module."""
    done: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is None:
                continue
            twin = done.get(child) or replacement(child)
            if twin is not None:
                done[child] = twin
                _move_hooks(child, twin)
                setattr(parent, name, twin)
    return model


def _move_hooks(old: nn.Module, new: nn.Module) -> None:
    """The user's hooks on the passes; the very same dictionaries, so that a hook's handle still removes it."""
    for name in HOOKS:
        setattr(new, name, getattr(old, name))


def _leave_fast_paths(model: nn.Module) -> None:
    """torch's encoders, when they evaluate, hand their Linears' weights to one fused kernel; a flag turns that off."""
    for module in model.modules():
        for kind, flag in FAST_PATHS.items():
            if isinstance(module, kind) and sparse_layers(module):
                setattr(module, flag, False)
