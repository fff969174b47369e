"""What one half of a run takes, over interruptions: read after every epoch, kept in its checkpoint."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tithe.cost.bill import Bill, Reading
from tithe.cost.figure import Figure
from tithe.cost.hardware import PROCESSOR
from tithe.cost.meter import Meter
from tithe.cost.rates import Rates

_FLOP_SOURCE = "one step of each shape under torch's counter, times their number; evaluation is not in it"


class Spending:
    """Time, memory and energy until the last checkpoint; what a kill lost after it is not in it."""

    def __init__(self, rates: Rates | None = None) -> None:
        self.rates = rates or Rates.on(PROCESSOR)
        self.reading: Reading | None = None
        self._before: Reading | None = None
        self._meter: Meter | None = None
        self._complete = True  # unless a checkpoint from before bills is gone on from

    @contextlib.contextmanager
    def metered(self) -> Iterator[None]:
        """The meter runs in the block. FLOP are the loop's own count, which costs nothing."""
        self._before = self.reading
        with Meter(flop="off", rates=self.rates) as self._meter:
            yield

    def note(self, flop: int) -> None:
        """Read the meter; `flop` is the count since the run began."""
        if not self._complete or self._meter is None:
            return
        now = self._meter.reading
        whole = now if self._before is None else self._before.then(now)
        self.reading = replace(whole, flop=Figure(flop, "FLOP", "counted", source=_FLOP_SOURCE))

    def bill(self) -> Bill | None:
        """The bill; None where not all of the run was metered."""
        return None if self.reading is None else Bill.of(self.reading, self.rates)

    def state_dict(self) -> dict[str, Any] | None:
        """For a checkpoint."""
        return None if self.reading is None else self.reading.json()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """From a checkpoint."""
        self._complete = state is not None
        self.reading = None if state is None else Reading.from_json(state)
