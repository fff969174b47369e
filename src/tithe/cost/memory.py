"""How many bytes training holds: added up over the storages of the tensors that exist, at the moments of the peaks."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from tithe.nn import sparse_layers


@dataclass(frozen=True)
class Footprint:
    """Live bytes at one moment. Activations and the data are not in it."""

    weights: int = 0  # values, biases, norms and their running statistics
    indices: int = 0  # topologies, their transposes and permutations
    gradients: int = 0
    optimizer: int = 0  # with what the method keeps over many steps
    scouting: int = 0  # dense accumulators

    @property
    def total(self) -> int:
        """Bytes of all five together."""
        return self.weights + self.indices + self.gradients + self.optimizer + self.scouting


def footprint(model: nn.Module, optimizer: Optimizer, scout_bytes: int, held_bytes: int = 0) -> Footprint:
    """What is alive now. Memory that two tensors share is counted once, for the first of the categories."""
    seen: set[int] = set()
    parameters = list(model.parameters())
    indices = _bytes((layer.packed for layer in sparse_layers(model).values()), seen)
    return Footprint(
        indices=indices,
        weights=_bytes([*parameters, *model.buffers()], seen),
        gradients=_bytes((p.grad for p in parameters if p.grad is not None), seen),
        optimizer=held_bytes + _bytes((t for state in optimizer.state.values() for t in state.values()), seen),
        scouting=scout_bytes,
    )


def _bytes(tensors: Iterable[Any], seen: set[int]) -> int:
    """Bytes of the storages behind `tensors` that are not in `seen` yet; numbers among them weigh nothing."""
    total = 0
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            continue
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:  # no address: fake tensors have none
            seen.add(storage._cdata)
            total += storage.nbytes()
    return total


class Peaks:
    """The largest footprints seen so far: outside scouting, and at all."""

    def __init__(self) -> None:
        self.steady = Footprint()
        self.highest = Footprint()

    def note(self, now: Footprint) -> None:
        """Take a sample into account."""
        if now.scouting == 0 and now.total > self.steady.total:
            self.steady = now
        if now.total > self.highest.total:
            self.highest = now

    def state_dict(self) -> dict[str, dict[str, int]]:
        """For a checkpoint."""
        return {"steady": asdict(self.steady), "highest": asdict(self.highest)}

    def load_state_dict(self, state: dict[str, dict[str, int]]) -> None:
        """From a checkpoint."""
        self.steady = Footprint(**state["steady"])
        self.highest = Footprint(**state["highest"])
