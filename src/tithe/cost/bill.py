"""The bill of a run: what it took, what that costs, and under which assumptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tithe.cost.figure import Figure
from tithe.cost.rates import Rates

LABELS = {  # in the order in which they are shown
    "flop": "FLOP",
    "seconds": "time",
    "memory": "process memory",
    "memory_added": "  of it, added",
    "device_memory": "card memory",
    "kwh": "energy",
    "kg_co2": "CO2",
    "usd": "rent",
    "usd_electricity": "electricity",
}


@dataclass(frozen=True)
class Reading:
    """What a meter read: the physical quantities, before they are priced."""

    seconds: Figure
    flop: Figure | None  # None: not counted
    kwh: Figure | None  # of the computers alone; None: no counter was read
    memory: Figure | None  # B, highest resident set of the process
    memory_added: Figure | None  # B, of that what came since the start
    device_memory: Figure | None  # B, highest allocated on a CUDA device

    def then(self, other: Reading) -> Reading:
        """Of two readings one after the other, of parts of one run: sums and maxima."""
        return Reading(
            seconds=self.seconds.plus(other.seconds),
            flop=_plus(self.flop, other.flop),
            kwh=_plus(self.kwh, other.kwh),
            memory=_larger(self.memory, other.memory),
            memory_added=_larger(self.memory_added, other.memory_added),
            device_memory=_larger(self.device_memory, other.device_memory),
        )

    def json(self) -> dict[str, Any]:
        """{name: Figure.json or null}."""
        return {name: None if figure is None else figure.json() for name, figure in vars(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Reading:
        """What `json` wrote."""
        return cls(**{name: None if figure is None else Figure.from_json(figure) for name, figure in content.items()})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Bill:
    """What one run took and what it costs; a figure that is not known is None."""

    flop: Figure | None
    seconds: Figure
    memory: Figure | None
    memory_added: Figure | None
    device_memory: Figure | None
    kwh: Figure  # PUE included
    kg_co2: Figure
    usd: Figure | None  # rent, electricity included
    usd_electricity: Figure  # alone, for those who own the machine
    rates: Rates

    @classmethod
    def of(cls, reading: Reading, rates: Rates) -> Bill:
        """The priced reading."""
        cost = rates.of_seconds(reading.seconds, reading.kwh)
        return cls(
            flop=reading.flop,
            seconds=reading.seconds,
            memory=reading.memory,
            memory_added=reading.memory_added,
            device_memory=reading.device_memory,
            kwh=cost.kwh,
            kg_co2=cost.kg_co2,
            usd=cost.usd,
            usd_electricity=cost.usd_electricity,
            rates=rates,
        )

    def figures(self) -> dict[str, Figure]:
        """The figures that are known, in the order in which they are shown."""
        found = {name: getattr(self, name) for name in LABELS}
        return {name: figure for name, figure in found.items() if figure is not None}

    def json(self) -> dict[str, Any]:
        """{name: Figure.json or null}, and the assumptions under "rates"."""
        found = {name: getattr(self, name) for name in LABELS}
        plain = {name: None if figure is None else figure.json() for name, figure in found.items()}
        return plain | {"rates": self.rates.json()}

    def __str__(self) -> str:
        """A line a figure: 12.3 GFLOP (counted)."""
        width = max(map(len, LABELS.values()))
        return "\n".join(f"{LABELS[name]:<{width}}  {figure}" for name, figure in self.figures().items())


def _plus(first: Figure | None, second: Figure | None) -> Figure | None:
    """The sum; unknown if one part is."""
    return None if first is None or second is None else first.plus(second)


def _larger(first: Figure | None, second: Figure | None) -> Figure | None:
    known = [figure for figure in (first, second) if figure is not None]
    return max(known, key=lambda figure: figure.value, default=None)
