"""Training FLOP: counted on real steps by torch's own counter, 2 per multiply-add of linear and convolution layers."""

from collections.abc import Callable
from typing import TypeVar

from torch.utils.flop_counter import FlopCounterMode

T = TypeVar("T")
Situation = tuple[int, ...]


class FlopCount:
    """Adds up the FLOP of every step.

    All steps of one situation (same topology sizes, same batch size, scouting or not) cost the same: they run the
    same operations on the same shapes. So the first of them runs under the counter, which slows it, and the others
    are added without it. The sum is exact.
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: dict[tuple[Situation, Situation], int] = {}

    def step(self, nnz: Situation, shape: Situation, run: Callable[[], T]) -> T:
        """Run one step and count it.

        Args:
            nnz: weights per layer; when it changes, what was known about the sizes before is forgotten.
            shape: what else decides the cost: batch size, scouting.
            run: the step.
        """
        if any(known != nnz for known, _ in self._known):
            self._known.clear()
        if (nnz, shape) in self._known:
            result = run()
        else:
            with FlopCounterMode(display=False) as counter:
                result = run()
            self._known[nnz, shape] = counter.get_total_flops()
        self.total += self._known[nnz, shape]
        return result

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint; what is known goes along, so that a resumed run counts the very same steps."""
        known = [[list(nnz), list(shape), flop] for (nnz, shape), flop in self._known.items()]
        return {"total": self.total, "known": known}

    def load_state_dict(self, state: dict) -> None:
        """From a checkpoint."""
        self.total = state["total"]
        self._known = {(tuple(nnz), tuple(shape)): flop for nnz, shape, flop in state["known"]}
