"""A number that a user sees: with its unit, how it is known, between what it may lie, and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from tithe import human
from tithe.errors import UsageError

How = Literal["measured", "counted", "modelled", "assumed"]
HOW = get_args(How)
INFINITE = "inf"  # how JSON, which has no infinity, writes it; Python's float() reads it

_PREFIXED = ("FLOP", "FLOP/s", "B", "byte", "Wh", "W", "J", "weights")
_PLURAL = {"byte": "B"}
_SMALLER = {"kWh": "Wh", "kg": "g"}  # below one of the first, a thousand of the second


@dataclass(frozen=True)
class Figure:
    """A number with its unit and its provenance.

    Raises UsageError where it is not a number, has no unit, or lies outside its own interval.
    """

    value: float  # in `unit`; infinite where nothing finite would do
    unit: str  # "FLOP", "h", "kWh", "kg", "USD", "B", "1" for a ratio ...
    how: How
    low: float | None = None  # the value lies between low and high, if everything it rests on does
    high: float | None = None
    source: str = ""  # what was measured, what was multiplied, who published it

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise UsageError(f"a figure known as {self.how!r} was given; allowed are {', '.join(HOW)}.")
        if not self.unit:
            raise UsageError(f"the figure {self.value:g} was given without a unit; '1' is the unit of a ratio.")
        for number in (self.value, self.low, self.high):
            if number is not None and math.isnan(number):
                raise UsageError(f"a figure in {self.unit} that is not a number was given ({self.source}).")
        if not self.least <= self.value <= self.most:
            raise UsageError(
                f"the figure {self.value:g} {self.unit} was given with an interval from {self.least:g} to "
                f"{self.most:g} that does not hold it."
            )

    @property
    def least(self) -> float:
        """The lower end of the interval; the value itself where there is none."""
        return self.value if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end."""
        return self.value if self.high is None else self.high

    @property
    def has_interval(self) -> bool:
        """Whether it says between what it lies."""
        return self.low is not None or self.high is not None

    def times(self, factor: Figure | float, unit: str, source: str = "") -> Figure:
        """Multiplied, both intervals carried through: [a, b] * [c, d] = [ac, bd], none of them negative."""
        other = factor if isinstance(factor, Figure) else self._exactly(factor)
        return self._derived(
            other, self.value * other.value, self.least * other.least, self.most * other.most, unit, source
        )

    def over(self, divisor: Figure | float, unit: str, source: str = "") -> Figure:
        """Divided: [a, b] / [c, d] = [a/d, b/c], the divisor above zero."""
        other = divisor if isinstance(divisor, Figure) else self._exactly(divisor)
        return self._derived(
            other, self.value / other.value, self.least / other.most, self.most / other.least, unit, source
        )

    def plus(self, other: Figure) -> Figure:
        """Added to another of the same unit: [a, b] + [c, d] = [a + c, b + d]; known as the weaker of the two is."""
        assert self.unit == other.unit, (self.unit, other.unit)
        how = _weaker(self.how, other.how)
        source = self.source if other.source == self.source else "; ".join(filter(None, (self.source, other.source)))
        bounded = self.has_interval or other.has_interval
        low, high = (self.least + other.least, self.most + other.most) if bounded else (None, None)
        return Figure(self.value + other.value, self.unit, how, low, high, source)

    def saying(self, source: str) -> Figure:
        """The same figure with another source."""
        return replace(self, source=source)

    def json(self) -> dict[str, Any]:
        """As JSON holds it: {"value", "unit", "how", "low", "high", "source"}; infinity is the string "inf"."""
        return {
            "value": _plain(self.value),
            "unit": self.unit,
            "how": self.how,
            "low": _plain(self.low),
            "high": _plain(self.high),
            "source": self.source,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Figure:
        """What `json` wrote."""
        numbers = {name: _number(content.get(name)) for name in ("value", "low", "high")}
        assert numbers["value"] is not None
        return cls(**numbers, unit=content["unit"], how=content["how"], source=content.get("source", ""))  # type: ignore[arg-type]

    def number(self) -> str:
        """Value and unit, as people read them: 3.21 kWh."""
        return show(self.value, self.unit)

    def interval(self) -> str:
        """2.1 to 4.9 kWh; empty where there is none."""
        return f"{show(self.least, self.unit)} to {show(self.most, self.unit)}" if self.has_interval else ""

    def __str__(self) -> str:
        """Value, interval and how it is known on one line."""
        between = f" [{self.interval()}]" if self.has_interval else ""
        return f"{self.number()}{between} ({self.how})"

    def _exactly(self, number: float) -> Figure:
        """A plain number, such as 3600 seconds an hour, takes nothing away from what it multiplies."""
        return Figure(number, "1", self.how)

    def _derived(self, other: Figure, value: float, low: float, high: float, unit: str, source: str) -> Figure:
        bounded = self.has_interval or other.has_interval
        return Figure(
            value,
            unit,
            _together(self.how, other.how),
            min(low, value) if bounded else None,  # rounding must not put the value outside
            max(high, value) if bounded else None,
            source or self.source,
        )


def show(value: float, unit: str) -> str:
    """A number with its unit, as people read it: 4.09 GFLOP, 3 min 05 s, 0.217 kWh, 1.20 USD, infinite h."""
    if math.isinf(value):
        return f"infinite {unit}"
    if unit == "s":
        return human.duration(value)
    if unit == "1":
        return human.three_digits(value)
    if unit in _SMALLER and abs(value) < 1:
        return human.small(1000 * value, _SMALLER[unit])
    if unit == "USD":
        return f"{human.money(value)} USD"
    if unit in _PREFIXED:
        return human.si(value, _PLURAL.get(unit, unit))
    return f"{human.counted_out(value)} {unit}"


def show_in_brief(value: float, unit: str) -> str:
    """As `show`, but small sums of money with a prefix, for narrow columns: 167 µUSD."""
    return human.small(value, unit) if unit == "USD" and abs(value) < 0.01 else show(value, unit)


def _together(first: How, second: How) -> How:
    """How a product is known: from measurements and counts it is measured; from anything weaker, modelled."""
    known = {first, second}
    if len(known) == 1:
        return first
    return "measured" if known == {"measured", "counted"} else "modelled"


def _weaker(first: How, second: How) -> How:
    """How a sum is known."""
    for how in ("modelled", "assumed", "measured"):
        if how in (first, second):
            return how
    return "counted"


def _plain(number: float | None) -> float | str | None:
    return INFINITE if number is not None and math.isinf(number) else number


def _number(content: float | str | None) -> float | None:
    return None if content is None else float(content)
