"""A plan: both halves of a training, priced, and whether they fit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch._subclasses import fake_tensor

from tithe import human
from tithe.cost import hardware as machines
from tithe.cost.calibrate import Stepper, StepTimes, step_times
from tithe.cost.figure import Figure
from tithe.cost.fit import ON_CHIP, Fit, Peaks, fit
from tithe.cost.half import Half, Work, half, rehearsed
from tithe.cost.hardware import Hardware
from tithe.cost.rates import Rates
from tithe.cost.rehearsal import Sparse
from tithe.cost.size import bytes_of
from tithe.errors import UsageError


@dataclass(frozen=True)
class Times:
    """Measured steps of both halves."""

    sparse: StepTimes
    dense: StepTimes

    @classmethod
    def measured(cls, begin: Callable[[Sparse | None], Stepper], work: Work) -> Times:
        """Time a few steps of either half of this work, as `step_times` does.

        Args:
            begin: a training of a network that is made sparse so; dense for None.
            work: what is to be trained.
        """
        calendar, sparse = work.calendar, work.on_average
        return cls(
            sparse=step_times(lambda: begin(sparse), scouting=calendar.rewirings > 0, total_steps=calendar.total),
            dense=step_times(lambda: begin(None), scouting=False, total_steps=calendar.total),
        )


@dataclass(frozen=True)
class Plan:
    """What training would take; `print(plan.says)`, `plan.json()`."""

    sparse: Half
    dense: Half
    fit: Fit | None  # None: no memory is known
    on_chip: Fit | None  # None: not asked
    steps: int  # of each worker
    scouting_steps: int  # of them
    rewirings: int
    rates: Rates
    kernels: bool  # whether tithe's sparse kernels run there; else the sparse network is computed densely
    measured: bool  # whether seconds rest on measured steps

    @property
    def says(self) -> str:
        """In a sentence or two."""
        sparse, dense = self.sparse, self.dense
        first = (
            f"At {human.density(sparse.density)} density training takes {sparse.peak.number()} of memory at its peak "
            f"(dense: {dense.peak.number()}) and {sparse.flop.number()} (dense: {dense.flop.number()})."
        )
        return f"{first} {_fits(self.fit, sparse)}" if self.fit else first

    def json(self) -> dict[str, Any]:
        """All of it, figures as `Figure.json` has them."""
        return {
            "sparse": self.sparse.json(),
            "dense": self.dense.json(),
            "fit": self.fit.json() if self.fit else None,
            "on_chip": self.on_chip.json() if self.on_chip else None,
            "steps": self.steps,
            "scouting_steps": self.scouting_steps,
            "rewirings": self.rewirings,
            "rates": self.rates.json(),
            "kernels": self.kernels,
            "measured": self.measured,
            "says": self.says,
        }


def _fits(found: Fit, sparse: Half) -> str:
    room, still = found.memory.number(), found.density_without_scouting
    if found.scouting:
        others = "every density does" if found.density == 1 else f"up to {human.density(found.density or 0)} does"
        return f"It fits in {room} ({others}); dense {'does too' if found.dense else 'does not'}."
    if found.density is not None:
        return f"It does not fit in {room}; {human.density(found.density)} would."
    if still is None:
        return (
            f"No density fits in {room}: {sparse.memory['activations'].number()} are activations; take a smaller batch."
        )
    scouting = sparse.memory["scouting"].number()
    return (
        f"It {'fits' if found.sparse else 'does not fit'} in {room} outside scouting, but no density does while "
        f"scouting, whose dense accumulators take {scouting}; without rewiring, up to {human.density(still)} fits."
    )


def priced(
    work: Work,
    hardware: str | Hardware | None = None,
    times: Times | None = None,
    *,
    workers: int = 1,
    device_memory: str | float | None = None,
    rates: Mapping[str, Any] | None = None,
    fits: bool = True,
) -> Plan:
    """The plan of this work.

    Args:
        work: what is to be trained.
        hardware: one device, or its name in the table; by default this machine's processor.
        times: measured steps, of this machine.
        workers: how many devices share each epoch.
        device_memory: of one device, "24GB" or bytes; by default the hardware's.
        rates: arguments of `Rates.on`.
        fits: whether to look for the densities that fit, which takes most of the time.

    Raises:
        UsageError: an unknown name, a number out of range, or a model whose code cannot be followed without numbers.
    """
    device = hardware if isinstance(hardware, Hardware) else machines.find(hardware or machines.PROCESSOR)
    memory = _memory(device_memory, device)
    if work.kernels != device.kernels:
        work = replace(work, kernels=device.kernels)
    known = Rates.on(device, devices=workers, dtype=_dtype(device, work.bf16), **(rates or {}))
    with _followed():
        dense_steps = rehearsed(work, None)
        sparse_steps = rehearsed(work, work.sparse.density, dense_steps)
        dense = half(work, dense_steps, known, times.dense if times else None)
        computed_densely = None if device.kernels else dense_steps
        sparse = half(work, sparse_steps, known, times.sparse if times else None, computed_densely)
        peaks = Peaks(work, sparse_steps)
        return Plan(
            sparse=sparse,
            dense=dense,
            fit=fit(peaks, memory, sparse, dense) if memory and fits else None,
            on_chip=fit(peaks, ON_CHIP, sparse, dense) if fits else None,
            steps=work.calendar.total,
            scouting_steps=work.calendar.scouting,
            rewirings=work.calendar.rewirings,
            rates=known,
            kernels=device.kernels,
            measured=times is not None,
        )


def _memory(given: str | float | None, device: Hardware) -> Figure | None:
    if given is None:
        return device.memory
    size = bytes_of(given) if isinstance(given, str) else bytes_of(f"{given:.17g}")
    return Figure(size, "B", "assumed", source="given by the user")


def _dtype(device: Hardware, bf16: bool) -> str:
    """In which numbers the device would compute: what is asked for, or else what it has a peak for."""
    wanted = "bfloat16" if bf16 else "float32"
    return wanted if wanted in device.peaks or not device.peaks else next(iter(device.peaks))


@contextlib.contextmanager
def _followed() -> Iterator[None]:
    """A model may ask for a number that tensors without memory do not have."""
    try:
        yield
    except (
        fake_tensor.DataDependentOutputException,
        fake_tensor.DynamicOutputShapeException,
        fake_tensor.UnsupportedFakeTensorException,
        NotImplementedError,
    ) as error:
        raise UsageError(
            f"the model's code looks at numbers that a plan does not have ({str(error).splitlines()[0]}); plan a model "
            "whose shapes alone decide what it does."
        ) from error
