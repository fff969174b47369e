"""How much memory the process has held: its resident set, now and at its highest since a block began."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the high-water mark of the resident set

_open: list[PeakRss] = []  # blocks that are measuring now: whoever resets the mark tells the others first


class PeakRss:
    """The highest resident set between `start` and `stop`, bytes. Blocks may lie inside each other.

    On Linux the kernel keeps the mark. Elsewhere it cannot be reset, and what is known is the mark since the process
    began: the peak of the block where it rose in it, an upper bound where it did not (`exact` says which).
    """

    def __init__(self) -> None:
        self.before = 0  # at the start
        self.peak = 0
        self.exact = True

    def start(self) -> None:
        """Begin."""
        self.before, lifetime = now(), _mark()
        for block in _open:
            block._see(lifetime)
        if not _reset():
            self.exact, self._lifetime = False, lifetime
        _open.append(self)

    def read(self) -> int:
        """The peak so far."""
        self._see(_mark())
        return self.peak

    def stop(self) -> int:
        """End; the peak."""
        self.read()
        _open.remove(self)
        for block in _open:
            block._see(self.peak)
        if not self.exact and self.peak > self._lifetime:
            self.exact = True
        return self.peak

    def _see(self, mark: int) -> None:
        self.peak = max(self.peak, mark)


def now() -> int:
    """Resident bytes of this process."""
    return _status("VmRSS") or _lifetime_mark()


def _mark() -> int:
    """Highest resident bytes since the mark was reset."""
    return _status("VmHWM") or _lifetime_mark()


def _lifetime_mark() -> int:
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def _status(field: str) -> int | None:
    """A field of /proc/self/status, kB there, bytes here; None where there is none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(values[0]) * 1024 if values else None


def _reset() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True
