"""Who takes part: each system is the way in which a layer is made and called."""

import contextlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import tithe
from tithe.bench import csr_linear, sparselab_linear, sparseprop_layers
from tithe.nn import SparseConv2d, SparseLayer
from tithe.nn.convert import CONVERT
from tithe.nn.fuse import fuse
from tithe.nn.layout import keep_layout

Layer = nn.Linear | nn.Conv2d
SPARSE, INSIDE, SPARSE_BF16 = "sparse", "sparse, inside a network", "sparse, bfloat16 autocast"
DENSE, DENSE_BF16 = "dense float32", "dense bfloat16"


@dataclass(frozen=True)
class System:
    """One way to train a layer or a network. Systems of one name are variants: the best of them counts."""

    name: str
    variant: str = ""
    layout: str = "contiguous"  # of the input: what LAYOUTS has
    autocast: bool = False  # bfloat16
    kinds: tuple[str, ...] = ("linear", "conv")  # of layers that it can compute
    for_images: bool = False  # a variant that means nothing without a convolution
    rows: tuple[str, ...] = ("layer", "step")
    package: str | None = None  # that must be installed
    install: str = ""  # how
    settle: float = 0.0  # s, see measure.Turns
    convert: Callable[[Layer, Tensor], nn.Module] | None = None  # (masked layer, its mask) -> sparse; None: dense
    between: Callable[[nn.Module], None] = lambda model: None  # to the model: what its modules between layers become
    gradient: Callable[[nn.Module], Tensor] | None = None  # [nnz], row by row, of what `convert` made
    set_threads: Callable[[int], None] | None = None  # where torch's number of threads is not heard
    says: Callable[[Layer], str | None] = lambda layer: None  # why this very layer cannot be had; None: it can

    @property
    def label(self) -> str:
        """Name and variant, unique."""
        return f"{self.name}, {self.variant}" if self.variant else self.name

    @property
    def dense(self) -> bool:
        """Whether it computes all weights."""
        return self.convert is None

    def version(self) -> str | None:
        """Of the package; None: not installed."""
        if self.package is None or importlib.util.find_spec(self.package) is None:
            return None
        return importlib.metadata.version(self.package)


def _tithe(layer: Layer, mask: Tensor) -> nn.Module:
    return CONVERT[type(layer)].from_dense(layer, mask=mask)  # type: ignore[arg-type]  # the table pairs the types


def _tithe_gradient(module: nn.Module) -> Tensor:
    assert isinstance(module, SparseLayer)
    assert module.values.grad is not None
    return module.values.grad


def _as_sparsify(model: nn.Module) -> None:
    """`tithe.sparsify` replaces norms and pools too; here the masks are given, so it is done by hand."""
    if any(isinstance(layer, SparseConv2d) for layer in tithe.sparse_layers(model).values()):
        keep_layout(model.modules())
        fuse(model)


def _ours(name: str, **how: object) -> System:
    return System(name, convert=_tithe, between=_as_sparsify, gradient=_tithe_gradient, **how)  # type: ignore[arg-type]


def _dense(name: str, variant: str, **how: object) -> System:
    return System(name, variant, **how)  # type: ignore[arg-type]


def _sparseprop(variant: str, over_width: bool) -> System:
    return System(
        "SparseProp",
        variant,
        for_images=over_width,
        package="sparseprop",
        install="pip install --no-deps sparseprop, with pybind11 and a compiler",
        convert=lambda layer, mask: sparseprop_layers.convert(layer, mask, over_width),
        gradient=sparseprop_layers.gradient,
        says=sparseprop_layers.cannot,
    )


_LAST = {"layout": "channels_last", "for_images": True}
SYSTEMS = (
    _dense(DENSE, "contiguous"),
    _dense(DENSE, "channels_last", **_LAST),
    _dense(DENSE_BF16, "contiguous", autocast=True),
    _dense(DENSE_BF16, "channels_last", autocast=True, **_LAST),
    _ours(SPARSE),
    _ours(INSIDE, layout="batch_innermost", rows=("layer",)),
    _ours(SPARSE_BF16, autocast=True),
    System(
        "SparseLab",
        kinds=("linear",),
        package="sparselab",
        install="pip install 'tithe[bench]'",
        settle=0.01,
        convert=sparselab_linear.convert,
        gradient=sparselab_linear.gradient,
        set_threads=sparselab_linear.set_threads,
    ),
    _sparseprop("", over_width=False),
    _sparseprop("over the width", over_width=True),
    System("torch CSR", kinds=("linear",), convert=csr_linear.convert, gradient=csr_linear.gradient),
)
"""All systems; the order is that of the tables."""

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    # What one sparse layer hands to the next.
    "batch_innermost": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
}


def layers(model: nn.Module) -> dict[str, Layer]:
    """The linear and convolution layers by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}


def kind(layer: Layer) -> str:
    """What `System.kinds` calls it."""
    return "linear" if isinstance(layer, nn.Linear) else "conv"


def random_masks(model: nn.Module, density: float, budget: str, seed: int) -> dict[str, Tensor]:
    """Which weights exist, as `tithe.sparsify` draws it; bool, of each weight's shape. The model becomes sparse.

    Raises:
        UsageError: the density leaves some layer without a weight.
    """
    tithe.sparsify(model, density, budget, init="keep", generator=torch.Generator().manual_seed(seed))
    return {
        name: layer.topology.to_mask().view(layer.weight_shape) for name, layer in tithe.sparse_layers(model).items()
    }


def mask_weights(model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """Set the weights that do not exist to zero; the model, still dense."""
    with torch.no_grad():
        for name, layer in layers(model).items():
            layer.weight.mul_(masks[name])
    return model


def applies(system: System, kind_of_row: str, model: nn.Module) -> bool:
    """Whether the system means anything for such a row and model."""
    has_images = any(kind(layer) == "conv" for layer in layers(model).values())
    return kind_of_row in system.rows and (has_images or not system.for_images)


def refusal(system: System, model: nn.Module) -> str | None:
    """Why the system cannot train this dense model; None: it can."""
    if system.package is not None and system.version() is None:
        return f"not installed: {system.install}"
    for layer in layers(model).values():
        if kind(layer) not in system.kinds:
            return "has no convolution"
        reason = system.says(layer)
        if reason is not None:
            return reason
    return None


def converted(system: System, model: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    """The masked dense model with the system's layers in the place of its own, in place."""
    assert system.convert is not None
    for name, layer in layers(model).items():
        parent, _, child = name.rpartition(".")
        with _no_warnings(system):
            setattr(model.get_submodule(parent), child, system.convert(layer, masks[name]))
    system.between(model)
    return model


@contextlib.contextmanager
def _no_warnings(system: System) -> Iterator[None]:
    """What another library warns of in its own constructors is not this run's news."""
    with warnings.catch_warnings():
        if system.package is not None:
            warnings.simplefilter("ignore")
        yield
