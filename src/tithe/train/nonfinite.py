"""Which layer first turned a finite batch into something that is not: asked once, when the loss is not finite."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def blame(model: nn.Module, x: Tensor) -> str:
    """Run the batch again and name the first layer, in order of execution, with a non-finite weight or output.

    Returns:
        A clause such as "layer 'conv1' is the first with a non-finite weight".
    """
    found: list[str] = []
    handles = [
        module.register_forward_hook(_judge(name or type(model).__name__, found))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "every layer's output is finite, the loss itself overflowed"


def _judge(name: str, found: list[str]) -> Callable[[nn.Module, object, object], None]:
    def hook(module: nn.Module, _inputs: object, output: object) -> None:
        if any(not _finite(parameter) for parameter in module.parameters(recurse=False)):
            found.append(f"layer {name!r} is the first with a non-finite weight")
        elif isinstance(output, Tensor) and not _finite(output):
            found.append(f"layer {name!r} is the first with a non-finite output")

    return hook


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
