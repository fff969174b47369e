"""What training runs on: peak FLOP a second, watts, price; named devices from a table with sources, or this machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from tithe.cost import table
from tithe.cost.figure import Figure
from tithe.errors import UsageError

DTYPES = ("float32", "tf32", "bfloat16", "float16")
THIS_MACHINE = "this-machine"
PROCESSOR = "processor"

# Of one processor core, where nothing better is known.
_FLOP_A_CYCLE = {  # float32, from the width of the vectors and one or two fused multiply-adds a cycle
    "avx512f": (32, 32, 64),  # value, low, high; Zen 4 does 32, server Xeons 64
    "avx2": (32, 16, 32),
    "sse2": (8, 4, 16),
    "asimd": (16, 8, 32),
}
_CLOCK_GHZ = (2.5, 1.5, 4.5)
_WATTS_A_CORE = (6.0, 3.0, 12.0)
_WATTS_SOURCE = (
    "6 W a core (3 to 12: AMD EPYC 7763 280 W for 64 cores, Xeon 8490H 350 W for 60, desktop processors about 10 a "
    "core) and 0.375 W a GB of memory, as codecarbon 2 assumed; no counter was read"
)
_CARD_WATTS = (300.0, "W", "assumed", 70.0, 700.0)
_WATTS_A_GB = 0.375  # codecarbon 2, methodology: 3 W for 8 GB; version 3 says 5 W a module
_USD_A_CORE_HOUR = (0.041, 0.02, 0.06)
_PRICE_SOURCE = "a rented virtual core: AWS m7g.large, us-east-1, June 2026, 0.0816 USD for two; half to one and a half"


@dataclass(frozen=True)
class Hardware:
    """One device, or one machine."""

    name: str
    peaks: dict[str, Figure]  # dtype -> FLOP/s, dense
    watts: Figure
    usd_per_hour: Figure | None  # rent, the electricity included; None where no price is known
    memory: Figure | None  # B
    year: int | None = None
    kernels: bool = False  # whether tithe's sparse kernels run on it; elsewhere the reference computes densely

    def peak(self, dtype: str = "float32") -> Figure:
        """Peak FLOP/s in a dtype.

        Raises:
            UsageError: no such peak is known.
        """
        if dtype not in self.peaks:
            known = ", ".join(self.peaks) or "none"
            raise UsageError(f"{self.name} has no known peak in {dtype}; known are: {known}. Choose another device.")
        return self.peaks[dtype]


def names() -> list[str]:
    """Names of the devices in the table."""
    return [row["name"] for row in table.rows("hardware")]


def find(name: str) -> Hardware:
    """The device of this name (or alias) in the table; "this-machine" is the one at hand, "processor" its CPU.

    Raises:
        UsageError: it is not there; the message has the nearest names.
    """
    wanted = name.strip().lower()
    if wanted in (THIS_MACHINE, PROCESSOR):
        return this_machine() if wanted == THIS_MACHINE else processor()
    for row in table.rows("hardware"):
        if wanted in (row["name"], *row["aliases"].split("|")):
            return _device(row)
    raise table.unknown(
        "hardware", name, [*names(), THIS_MACHINE, PROCESSOR], "Names are those of one device, e.g. h100-sxm."
    )


def this_machine() -> Hardware:
    """The device that training would use here: the first CUDA device, else the processor."""
    return _cuda() or processor()


def processor_name() -> str:
    """The processor's name; on Linux from /proc, elsewhere whatever Python knows."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """The machine's memory; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _device(row: dict[str, str]) -> Hardware:
    sheet = row["source_device"]
    peaks = {
        dtype: Figure(float(row[dtype]) * 1e12, "FLOP/s", "assumed", source=f"{sheet}, peak in {dtype}")
        for dtype in DTYPES
        if row[dtype]
    }
    return Hardware(
        row["name"],
        peaks,
        watts=Figure(float(row["watts"]), "W", "assumed", source=f"{sheet}, thermal design power"),
        usd_per_hour=_price(row),
        memory=Figure(float(row["memory_gb"]) * 1e9, "B", "assumed", source=sheet),
        year=int(row["year"]),
    )


def _price(row: dict[str, str]) -> Figure | None:
    if not row["usd_per_hour"]:
        return None
    low, high = (float(row[name]) if row[name] else None for name in ("usd_low", "usd_high"))
    return Figure(float(row["usd_per_hour"]), "USD/h", "assumed", low, high, f"{row['source_price']}, on demand")


def _cuda() -> Hardware | None:
    import torch

    if not torch.cuda.is_available():
        return None
    card = torch.cuda.get_device_properties(0)
    try:
        return find(card.name)
    except UsageError:
        watts = Figure(*_CARD_WATTS, source=f"{card.name} is not in the table; most cards lie between")
        memory = Figure(card.total_memory, "B", "measured", source="the driver")
        return Hardware(card.name, {}, watts, usd_per_hour=None, memory=memory)


def processor() -> Hardware:
    """The processor of this machine, modelled from what the system says of it."""
    count, memory = cores(), memory_bytes()
    ram = _WATTS_A_GB * (memory or 0) / 1e9
    watts, low, high = (each * count + ram for each in _WATTS_A_CORE)
    price, cheap, dear = (each * count for each in _USD_A_CORE_HOUR)
    return Hardware(
        f"{processor_name()}, {count} cores",
        {"float32": _peak(count)},
        watts=Figure(watts, "W", "modelled", low, high, _WATTS_SOURCE),
        usd_per_hour=Figure(price, "USD/h", "assumed", cheap, dear, _PRICE_SOURCE),
        memory=None if memory is None else Figure(memory, "B", "measured", source="the system's memory"),
        kernels=True,
    )


def _peak(count: int) -> Figure:
    """Cores x clock x FLOP a cycle."""
    info = _cpuinfo()
    flags = (info.get("flags") or info.get("Features") or "").split()
    width = next((name for name in _FLOP_A_CYCLE if name in flags), "asimd" if "arm" in platform.machine() else "sse2")
    clock = _clock(info)
    value, low, high = (count * flop * ghz * 1e9 for flop, ghz in zip(_FLOP_A_CYCLE[width], clock, strict=True))
    said = "as the system says" if "cpu MHz" in info else "assumed"
    source = f"{count} cores x {_FLOP_A_CYCLE[width][0]} FLOP a cycle ({width}) x {clock[0]:.2f} GHz ({said})"
    return Figure(value, "FLOP/s", "modelled", low, high, source)


def _clock(info: dict[str, str]) -> tuple[float, float, float]:
    """GHz: what the system says, else what is usual; it rises and falls with load, so the interval is wide anyway."""
    try:
        ghz = float(info["cpu MHz"]) / 1000
    except (KeyError, ValueError):
        return _CLOCK_GHZ
    return ghz, min(ghz, _CLOCK_GHZ[1]), max(ghz, _CLOCK_GHZ[2])


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0].splitlines()
    pairs = (line.split(":", 1) for line in first if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
