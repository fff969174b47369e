"""Energy of a block of code: from counters where codecarbon or zeus can read them, else watts times seconds.

    codecarbon   processor, memory and graphics cards of the machine; offline, nothing is sent or fetched
    zeus         NVIDIA cards' own energy counters; takes the place of codecarbon's share for them
    neither      the device's watts (a datasheet's or modelled) x the time, which the figure says

`pip install 'tithe[energy]'` brings codecarbon; zeus is used where it is installed. TITHE_ENERGY chooses one for all.
codecarbon itself measures only where it can read a counter (RAPL on Linux: readable for root alone since 2020);
elsewhere it multiplies the processor's rated watts with the load, and the figure is labelled modelled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import time
import warnings
from typing import Any, Protocol

from tithe.cost.figure import Figure, How
from tithe.errors import UsageError

SOURCES = ("auto", "codecarbon", "zeus", "watts")
ENVIRONMENT = "TITHE_ENERGY"  # what "auto" means, if it is set and not empty
_COUNTERS = {  # codecarbon's modes and parts that read a counter
    "intel_rapl": "the RAPL counter",
    "intel_power_gadget": "the Intel Power Gadget",
    "windows_emi": "the Windows energy meter",
    "AppleSiliconChip": "powermetrics",
    "Raspberry": "the Raspberry Pi's power chip",
}
_STUCK_SECONDS = 1.0  # a counter that has not moved in so long is none: some virtual machines show one of zeros
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
    if source == "auto":
        source = os.environ.get(ENVIRONMENT, "").strip().lower() or source
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
    """codecarbon's offline tracker, whole machine: what else runs on it is in the figure."""

    def __init__(self, with_gpu: bool = True) -> None:
        self.with_gpu = with_gpu
        self._tracker: Any = None
        self._began = 0.0

    def begin(self) -> None:
        """Begin; what codecarbon says on the way is not for our user.

        Raises:
            RuntimeError: codecarbon found nothing to track.
        """
        with _silence():
            if self._tracker is None:
                self._tracker = _offline_tracker()
                self._tracker.start_task()  # what it sets up on its first task is not our user's energy
                self._tracker.stop_task()
            self._tracker.start_task()
        if not getattr(self._tracker, "_hardware", None):  # it keeps its errors to itself
            raise RuntimeError("codecarbon did not start")
        self._began = time.perf_counter()

    def end(self) -> Figure | None:
        """Processor + memory + graphics cards; None where the processor's counter stands still."""
        seconds = time.perf_counter() - self._began
        with _silence():
            spent = self._tracker.stop_task()
        how, said = _processor(self._tracker._hardware)
        if how == "measured" and spent.cpu_energy <= 0 and seconds > _STUCK_SECONDS:
            return None
        parts = [Figure(spent.cpu_energy, "kWh", how, source=f"codecarbon, processor: {said}")]
        parts.append(Figure(spent.ram_energy, "kWh", "modelled", source=f"memory: {_memory(self._tracker._hardware)}"))
        if self.with_gpu and spent.gpu_energy:
            parts.append(Figure(spent.gpu_energy, "kWh", "measured", source="graphics cards: their drivers"))
        return total(parts)


def _processor(hardware: list[Any]) -> tuple[How, str]:
    """How codecarbon knows the processor's energy, and in words."""
    for part in hardware:
        name = getattr(part, "_mode", type(part).__name__)
        if name in _COUNTERS and getattr(part, "chip_part", "CPU") == "CPU":
            return "measured", _COUNTERS[name]
    watts = next((part._tdp for part in hardware if getattr(part, "_tdp", None)), None)
    rated = "its rated watts" if watts is None else f"{watts:.3g} W at full load"
    return "modelled", f"{rated} x the machine's load, no counter could be read"


def _memory(hardware: list[Any]) -> str:
    for part in hardware:
        if type(part).__name__ == "RAM":
            return f"{part.total_power().W:.3g} W by its size"
    return "by its size"


class Zeus:
    """The NVIDIA cards' own energy counters; what the rest of the machine draws is not in them."""

    def __init__(self) -> None:
        self._monitor: Any = None

    def begin(self) -> None:
        """Begin, once the cards have done what they were given before."""
        if self._monitor is None:
            from zeus.monitor import ZeusMonitor  # pyright: ignore[reportMissingImports]

            self._monitor = ZeusMonitor(cpu_indices=[])
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
        """Begin a window, of zeus last: codecarbon's start takes seconds."""
        for each in reversed(self._gauges):
            each.begin()

    def end(self) -> Figure | None:
        """The sum of what was read; None if nothing was."""
        read = [part for part in [each.end() for each in self._gauges] if part is not None]
        return total(read) if read else None


def _offline_tracker() -> Any:
    """A tracker that sends, fetches and writes nothing, whatever the user's own codecarbon configuration says.

    What that says of the hardware (force_cpu_power, gpu_ids ...) is kept. CO2 and PUE are worked out by `Rates`.
    """
    from codecarbon import OfflineEmissionsTracker  # pyright: ignore[reportMissingImports]

    return OfflineEmissionsTracker(
        country_iso_code="USA",  # it asks for one
        force_carbon_intensity_g_co2e_kwh=0,  # or a configured token would make it ask the network
        pue=1,
        wue=0,
        tracking_mode="machine",
        measure_power_secs=_SECONDS_BETWEEN_SAMPLES,
        output_methods=[],
        output_handlers=[],
        emissions_endpoint=None,
        output_dir=".",
        log_level="critical",
        allow_multiple_runs=True,
    )


def total(parts: list[Figure]) -> Figure:
    """Their sum; it is measured only if all of it is."""
    result = parts[0]
    for part in parts[1:]:
        result = result.plus(part)
    return result


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
