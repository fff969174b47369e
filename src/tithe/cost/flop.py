"""Training FLOP: counted on real steps by torch's own counter, 2 per multiply-add of matrix products and convolutions.

Ours count through the formulas beside them (`tithe.ops`): what really runs, nonzeros in the kernels, all weights in the
dense reference. Elementwise work, norms and pooling are not counted, as is usual.
"""

import contextlib
from collections.abc import Hashable, Iterator

from torch.utils.flop_counter import FlopCounterMode


class FlopCount:
    """Adds up the FLOP of every step.

    All steps of one situation (same topology sizes, same batch size, scouting or not) cost the same: they run the
    same operations on the same shapes. So the first of them runs under the counter, which slows it, and the others
    are added without it. The sum is exact.
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: dict[tuple[Hashable, Hashable], int] = {}

    @contextlib.contextmanager
    def counted(self, nnz: tuple[int, ...], shape: Hashable) -> Iterator[None]:
        """Count the step that runs in the block.

        Args:
            nnz: weights per layer; when it changes, what was known about the sizes before is forgotten.
            shape: what else decides the cost: batch size, scouting.
        """
        if any(known != nnz for known, _ in self._known):
            self._known.clear()
        if (nnz, shape) in self._known:
            yield
        else:
            with FlopCounterMode(display=False) as counter:
                yield
            self._known[nnz, shape] = counter.get_total_flops()
        self.total += self._known[nnz, shape]

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint; what is known goes along, so that a resumed run counts the very same steps.

        Shapes must be tuples of numbers here.
        """
        known = [[list(nnz), list(shape), flop] for (nnz, shape), flop in self._known.items()]  # type: ignore[call-overload]
        return {"total": self.total, "known": known}

    def load_state_dict(self, state: dict) -> None:
        """From a checkpoint."""
        self.total = state["total"]
        self._known = {(tuple(nnz), tuple(shape)): flop for nnz, shape, flop in state["known"]}
