"""Energy of a block of code: from counters where codecarbon or zeus can read them, else watts times seconds.

    codecarbon   processor, memory and graphics cards of the machine; offline, nothing is sent or fetched
    zeus         NVIDIA cards' own energy counters; takes the place of codecarbon's share for them
    neither      the device's watts (a datasheet's or modelled) x the time, which the figure says

`pip install 'tithe[energy]'` brings codecarbon; zeus is used where it is installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from typing import Any, Protocol

from tithe.cost.figure import Figure, How
from tithe.errors import UsageError

SOURCES = ("auto", "codecarbon", "zeus", "watts")
_COUNTERS = ("intel_rapl", "intel_power_gadget", "windows_emi")  # codecarbon's modes that read a counter
_SECONDS_BETWEEN_SAMPLES = 5
_JOULES_A_KWH = 3.6e6
_WINDOW = "tithe"


class Gauge(Protocol):
    """Something that measures energy, window after window."""

    def begin(self) -> None:
        """Begin a window."""
        ...

    def end(self) -> Figure | None:
        """End it; kWh of the computers alone (no PUE) in it, None where only watts x time is known."""
        ...


def gauge(source: str) -> Gauge:
    """The gauge of this name; "auto" takes the best that is installed.

    Raises:
        UsageError: an unknown name, or one that is not installed.
    """
    if source not in SOURCES:
        raise UsageError(f"energy {source!r} was given; allowed are {', '.join(map(repr, SOURCES))}.")
    if source == "auto":
        both = [kind() for name, kind in (("zeus", Zeus), ("codecarbon", Codecarbon)) if _usable(name)]
        return Several(both) if both else Watts()
    if source != "watts" and not _usable(source):
        how = "pip install 'tithe[energy]'" if source == "codecarbon" else "pip install zeus, on a machine with NVIDIA"
        raise UsageError(f"energy {source!r} was given, but {source} cannot be used here; {how}, or choose 'watts'.")
    return {"codecarbon": Codecarbon, "zeus": Zeus, "watts": Watts}[source]()


def _usable(name: str) -> bool:
    if name == "zeus":
        return _has_nvidia() and importlib.util.find_spec("zeus") is not None
    return importlib.util.find_spec(name) is not None


def _has_nvidia() -> bool:
    import torch

    return torch.cuda.is_available() and torch.version.hip is None


class Watts:
    """No counter at all."""

    def begin(self) -> None:
        """Nothing to do."""

    def end(self) -> Figure | None:
        """Unknown: the bill multiplies watts and time."""
        return None


class Codecarbon:
    """codecarbon's offline tracker, whole machine."""

    def __init__(self, with_gpu: bool = True) -> None:
        self.with_gpu = with_gpu
        self._tracker: Any = None

    def begin(self) -> None:
        """Begin; what codecarbon says on the way is not for our user."""
        with _silence():
            self._tracker = self._tracker or _offline_tracker()
            self._tracker.start_task(_WINDOW)

    def end(self) -> Figure | None:
        """Processor + memory + graphics cards."""
        with _silence():
            spent = self._tracker.stop_task(_WINDOW)
        modes = {getattr(part, "_mode", "") for part in getattr(self._tracker, "_hardware", [])}
        how: How = "measured" if modes & set(_COUNTERS) else "modelled"
        parts = [Figure(spent.cpu_energy, "kWh", how, source=f"codecarbon, processor ({_said(modes)})")]
        parts.append(Figure(spent.ram_energy, "kWh", "modelled", source="codecarbon, memory (by its size)"))
        if self.with_gpu and spent.gpu_energy:
            parts.append(Figure(spent.gpu_energy, "kWh", "measured", source="codecarbon, graphics cards"))
        return total(parts)


class Zeus:
    """The NVIDIA cards' own energy counters; what the rest of the machine draws is not in them."""

    def __init__(self) -> None:
        self._monitor: Any = None

    def begin(self) -> None:
        """Begin, once the cards have done what they were given before."""
        if self._monitor is None:
            from zeus.monitor import ZeusMonitor  # pyright: ignore[reportMissingImports]

            self._monitor = ZeusMonitor()
        self._monitor.begin_window(_WINDOW)

    def end(self) -> Figure | None:
        """The cards' energy."""
        joules = sum(self._monitor.end_window(_WINDOW).gpu_energy.values())
        return Figure(joules / _JOULES_A_KWH, "kWh", "measured", source="zeus, NVIDIA cards alone")


class Several:
    """Zeus for the cards and codecarbon for the rest, or the one of them that is there."""

    def __init__(self, gauges: list[Zeus | Codecarbon]) -> None:
        self._gauges = gauges
        for each in gauges:
            if isinstance(each, Codecarbon):
                each.with_gpu = len(gauges) == 1

    def begin(self) -> None:
        """Begin a window."""
        for each in self._gauges:
            each.begin()

    def end(self) -> Figure | None:
        """The sum."""
        return total([part for part in [each.end() for each in self._gauges] if part is not None])


def _offline_tracker() -> Any:
    from codecarbon import OfflineEmissionsTracker  # pyright: ignore[reportMissingImports]

    return OfflineEmissionsTracker(
        country_iso_code="USA",  # codecarbon asks for one; the CO2 is worked out from `Rates`
        measure_power_secs=_SECONDS_BETWEEN_SAMPLES,
        save_to_file=False,
        log_level="critical",
        allow_multiple_runs=True,
    )


def total(parts: list[Figure]) -> Figure:
    """Their sum; it is measured only if all of it is."""
    result = parts[0]
    for part in parts[1:]:
        result = result.plus(part)
    return result


def _said(modes: set[str]) -> str:
    counter = modes & set(_COUNTERS)
    return f"counter {counter.pop()}" if counter else "by its load and type"


@contextlib.contextmanager
def _silence() -> Any:
    """Keeps from our user what a library prints, logs and warns of while it starts and stops."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        logging.disable(before)
