"""Who takes part in a row: systems at densities, each checked against dense before it is timed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tithe.bench.agreement import TOLERANCE, TOLERANCE_BFLOAT16, disagreement
from tithe.bench.contestants import SYSTEMS, System, applies, mask_weights, random_masks, refusal
from tithe.bench.measure import HOPELESS, Turns
from tithe.bench.probe import pass_seconds
from tithe.bench.results import LeftOut
from tithe.bench.rows import Row
from tithe.bench.trial import Trial, trial


@dataclass
class Entry:
    """A system at a density (None: dense), and its turns."""

    system: System
    density: float | None
    turns: Turns


class Entries:
    """The contestants of one row and number of threads, and who was left out, with the reason."""

    def __init__(self, row: Row, threads: int, seconds: float, budget: str, bfloat16: bool = True) -> None:
        self.taken: dict[tuple[str, float | None], Entry] = {}
        self.left_out: list[LeftOut] = []
        self._row, self._threads, self._seconds = row, threads, seconds
        self._budget, self._bfloat16 = budget, bfloat16
        self._x = torch.randn(row.input_shape, generator=torch.Generator().manual_seed(0))

    def fill(self, densities: Sequence[float]) -> Iterator[None]:
        """Make the contestants one by one: dense, then each density's."""
        model = self._model()
        wanted = [system for system in SYSTEMS if self._bfloat16 or not system.autocast]
        systems = [system for system in wanted if applies(system, self._row.kind, model) and self._can(system, model)]
        for system in systems:
            if system.dense:
                self._enter_dense(system, model)
                yield
        for density in densities:
            masks = random_masks(self._model(), density, self._budget, seed=0)
            masked = mask_weights(self._model(), masks)
            expected = trial(SYSTEMS[0], self._row, masked, masks, self._x).results(masks)
            rounded = self._rounded(masked, masks)
            for system in systems:
                if not system.dense:
                    compared = expected, rounded if system.autocast else None
                    self._enter_sparse(system, density, masked, masks, *compared)
                    yield

    def _rounded(self, masked: nn.Module, masks: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """The results of dense bfloat16, where that takes part."""
        lowered = [entry.system for entry in self.taken.values() if entry.system.dense and entry.system.autocast]
        return trial(lowered[0], self._row, masked, masks, self._x).results(masks) if lowered else None

    def _model(self) -> nn.Module:
        """The row's dense model, with the same weights each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self._row.make()

    def _can(self, system: System, model: nn.Module) -> bool:
        reason = refusal(system, model)
        if reason is not None:
            self._leave_out(system, None, reason)
        return reason is None

    def _enter_dense(self, system: System, model: nn.Module) -> None:
        if system.autocast:  # where a processor has no bfloat16 arithmetic, one pass may take a minute
            cost, quick = (pass_seconds(one, self._row, model, self._x) for one in (system, SYSTEMS[0]))
            if cost > max(self._seconds / 2, HOPELESS * quick):
                reason = f"one pass would take about {cost:.0f} s, {cost / quick:.0f}x dense float32 (a part of the "
                self._leave_out(system, None, reason + "batch was measured, the whole one is modelled)")
                return
        self._take(system, None, trial(system, self._row, model, {}, self._x))

    def _enter_sparse(
        self,
        system: System,
        density: float,
        masked: nn.Module,
        masks: dict[str, Tensor],
        wanted: dict[str, Tensor],
        rounded: dict[str, Tensor] | None,
    ) -> None:
        if system.autocast and self._row.kind == "step" and rounded is None:
            self._leave_out(system, density, "dense bfloat16, which it is held against, is too slow here")
            return
        tolerance = (TOLERANCE_BFLOAT16 if system.autocast else TOLERANCE)[self._row.kind]
        try:
            made = trial(system, self._row, masked, masks, self._x)
            made.set_threads(self._threads)
            reason = disagreement(made.results(masks), wanted, tolerance, rounded)
            made.forget()
        except Exception as error:
            if system.package is None:  # torch's or ours: that is for us to hear of
                raise
            self._leave_out(system, density, f"failed: {type(error).__name__}: {error}")
            return
        if reason is None:
            self._take(system, density, made)
        else:
            self._leave_out(system, density, reason)

    def _take(self, system: System, density: float | None, made: Trial) -> None:
        made.set_threads(self._threads)
        settle = system.settle if self._threads > 1 else 0.0
        turns = Turns(made.run, yardstick=system.dense and not system.autocast, settle=settle)
        self.taken[system.label, density] = Entry(system, density, turns)

    def _leave_out(self, system: System, density: float | None, reason: str) -> None:
        self.left_out.append(LeftOut(system.name, system.variant, density, reason))
