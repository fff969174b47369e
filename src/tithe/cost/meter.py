"""`with tithe.Meter() as meter:` around any PyTorch code: FLOP, seconds, memory, energy, CO2 and money."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tithe.cost.bill import Bill, Reading
from tithe.cost.energy import Watts, gauge, total
from tithe.cost.figure import Figure
from tithe.cost.flop import FlopCount
from tithe.cost.rates import Rates
from tithe.cost.rss import PeakRss
from tithe.errors import UsageError
from tithe.nn import sparse_layers

FLOP = ("all", "steps", "off")
_FLOP_SOURCES = {
    "all": "torch.utils.flop_counter, every operation of the block",
    "steps": "torch.utils.flop_counter on one step of each shape, times their number",
}


class Meter:
    """Measures what the block takes; `bill` says what that costs.

    Args:
        flop: "all" counts every operation, exactly, which slows small ones (a counter sits under each); "steps" counts
            only what runs in `step`, the first of each shape, and adds the others without the counter; "off".
        rates: prices and assumptions; by default `Rates.on()`, this machine.
        energy: "auto" takes codecarbon or zeus where they are installed; "codecarbon", "zeus", "watts".

    Raises:
        UsageError: an argument that is not one of these.

    >>> import torch, tithe
    >>> layer = torch.nn.Linear(20, 10)
    >>> with tithe.Meter() as meter:
    ...     layer(torch.ones(5, 20)).sum().backward()
    >>> print(meter.bill.flop)
    4.00 kFLOP (counted)
    """

    def __init__(self, *, flop: str = "all", rates: Rates | None = None, energy: str = "auto") -> None:
        if flop not in FLOP:
            raise UsageError(f"flop {flop!r} was given; allowed are {', '.join(map(repr, FLOP))}.")
        self.rates = rates or Rates.on()
        self._flop = flop
        self._counter = FlopCounterMode(display=False)
        self._steps = FlopCount()
        self._gauge = gauge(energy)
        self._kwh: list[Figure | None] = []  # of each window that ended
        self._memory = PeakRss()
        self._device_memory: int | None = None
        self._began: float | None = None
        self._ended: float | None = None

    def __enter__(self) -> Meter:
        """Begin. A meter measures one block."""
        assert self._began is None, "a Meter measures one block; make another for the next"
        self._begin_window()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._memory.start()
        if self._flop == "all":
            self._counter.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exception: Any) -> None:
        """End; after an error too, so that what was spent until then has its bill."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self._device_memory = torch.cuda.max_memory_allocated()
        self._ended = time.perf_counter()
        if self._flop == "all":
            self._counter.__exit__(*exception)
        self._memory.stop()
        self._end_window()

    @contextlib.contextmanager
    def step(self, shape: Hashable = (), model: nn.Module | None = None) -> Iterator[None]:
        """One training step, counted once for each shape: all steps of one shape must run the same operations.

        Args:
            shape: what decides the cost of the step, such as the batch's `x.shape`.
            model: how many weights its sparse layers have, which rewiring changes, and whether they are scouted, counts
                as part of the shape.
        """
        if self._flop != "steps":
            yield
            return
        layers = list(sparse_layers(model).values()) if model is not None else []
        scouted = any(layer.record is not None for layer in layers)
        with self._steps.counted(tuple(layer.nnz for layer in layers), (shape, scouted)):
            yield

    @property
    def flop(self) -> int | None:
        """FLOP so far; None where they are not counted."""
        return {"all": self._counter.get_total_flops(), "steps": self._steps.total}.get(self._flop)

    @property
    def reading(self) -> Reading:
        """What the block took, or took so far, before it is priced."""
        assert self._began is not None, "a Meter reads nothing before its block has begun"
        if self._ended is None:
            self._end_window()
            self._begin_window()
        memory = self._memory.peak if self._ended else self._memory.read()
        seconds = (self._ended or time.perf_counter()) - self._began
        flop, resident = self.flop, "resident set of the process" + ("" if self._memory.exact else ", since it began")
        return Reading(
            seconds=Figure(seconds, "s", "measured", source="a clock"),
            flop=None if flop is None else Figure(flop, "FLOP", "counted", source=_FLOP_SOURCES[self._flop]),
            kwh=_sum(self._kwh),
            memory=Figure(memory, "B", "measured", source=f"highest {resident}"),
            memory_added=Figure(
                max(memory - self._memory.before, 0), "B", "measured", source=f"growth of the {resident}"
            ),
            device_memory=_on_device(self._device_memory),
        )

    @property
    def bill(self) -> Bill:
        """The reading, priced."""
        return Bill.of(self.reading, self.rates)

    # No trouble with a counter of energy may stop what is measured.

    def _begin_window(self) -> None:
        try:
            self._gauge.begin()
        except Exception as error:
            self._without_counter(error)

    def _end_window(self) -> None:
        try:
            self._kwh.append(self._gauge.end())
        except Exception as error:
            self._without_counter(error)

    def _without_counter(self, error: Exception) -> None:
        warnings.warn(f"energy is modelled from watts: its counter failed ({error})", stacklevel=4)
        self._gauge = Watts()
        self._kwh.append(None)


def _sum(windows: list[Figure | None]) -> Figure | None:
    """None if one of them is not known: then all is modelled from watts."""
    known = [window for window in windows if window is not None]
    return total(known) if known and len(known) == len(windows) else None


def _on_device(memory: int | None) -> Figure | None:
    return None if memory is None else Figure(memory, "B", "measured", source="torch.cuda.max_memory_allocated")
