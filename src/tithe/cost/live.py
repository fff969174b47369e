"""What code does while it runs: how many bytes are alive, and how many FLOP its operators do.

Every tensor's storage is noted when an operator makes it and when it goes. Works on fake tensors too, which have sizes
but no memory. What an operator allocates for itself and frees before it returns is not seen.

FLOP are counted by torch's formulas (`torch.utils.flop_counter`), but not by its FlopCounterMode: that watches
modules, and norms that are watched do not rectify (`tithe.nn.norm`), so that other tensors are alive than in training.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Live(TorchDispatchMode):
    """Counts the bytes of all storages that were made while it is on and are still there.

    Args:
        rose: called after an operator with which more is alive than ever since `restart`, with those bytes.
    """

    def __init__(self, rose: Callable[[int], None] = lambda alive: None) -> None:
        super().__init__()
        self.alive = 0  # bytes
        self.peak = 0  # bytes, since `restart`
        self.flop = 0  # since `restart`
        self._rose = rose
        self._known: dict[int, int] = {}  # storage -> bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator; note what it made."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flop += formula(*args, **(kwargs or {}), out_val=result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.note(leaf)
        return result

    def restart(self) -> None:
        """The peak is looked for, and FLOP are counted, from here on."""
        self.peak, self.flop = self.alive, 0

    def note(self, tensor: Tensor) -> None:
        """Take a tensor's storage into account; once, however many tensors share it."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self.alive += self._known[key]
        weakref.finalize(storage, self._forget, key).atexit = False
        if self.alive > self.peak:
            self.peak = self.alive
            self._rose(self.alive)

    def _forget(self, key: int) -> None:
        self.alive -= self._known.pop(key)
