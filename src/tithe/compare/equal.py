"""The same for all: epochs of each tactic, tried out where the budget is FLOP or seconds.

Two short pilots give a first guess. What methods do with the length of a training, such as pruning by its half, no
pilot shows; so the first seed's run is a trial: where it ends too far from the budget, another with more or fewer
epochs takes its place. The trial that came closest is the run that counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from tithe.compare import pilot
from tithe.compare.cells import Comparison
from tithe.compare.execute import DIVERGED, Spec, execute, read
from tithe.compare.tactics import Tactic
from tithe.errors import UsageError
from tithe.train.recipe import timetable
from tithe.train.watch import Watch

_SPENT = {"flop": "training_flop", "seconds": "seconds"}  # what a run's report calls it


def epochs(comparison: Comparison, watch: Watch) -> tuple[dict[Tactic, int], dict[str, str]]:
    """Epochs of each tactic; and those that not one epoch fits the budget of, by name, with that reason.

    Raises:
        UsageError: it fits none.
    """
    budget, tactics = comparison.budget, comparison.plan.tactics
    if budget.kind == "epochs":
        assert budget.amount is not None
        return dict.fromkeys(tactics, int(budget.amount)), {}
    guesses = _piloted(comparison, watch)
    too_dear = f"one epoch takes more than twice {budget.says()}: give a larger budget"
    left_out = {tactic.name: too_dear for tactic, guess in guesses.items() if not guess}
    if len(left_out) == len(guesses):
        raise UsageError(f"for every method {too_dear}.")
    return _tried(comparison, {t: guess for t, guess in guesses.items() if guess}, watch), left_out


def _piloted(comparison: Comparison, watch: Watch) -> dict[Tactic, int]:
    """Epochs by two short trainings of each."""
    examples = len(comparison.dataset.y_train)
    found: dict[Tactic, int] = {}
    specs: dict[Tactic, list[Spec]] = {}
    for tactic in comparison.plan.tactics:
        both = pilot.lengths(comparison.recipe(tactic), examples)
        specs[tactic] = [comparison.pilot(tactic, length) for length in both]
    execute("pilots", [spec for pair in specs.values() for spec in pair], comparison.asked.processes, watch)
    for tactic, pair in specs.items():
        spent = [(spec.recipe["epochs"], amount) for spec in pair if (amount := _spent(comparison, spec)) is not None]
        if len(spent) < len(pair):
            found[tactic] = pair[-1].recipe["epochs"]  # its runs will most likely diverge, too, and say so
            continue
        times = timetable(comparison.recipe(tactic), examples)
        found[tactic] = pilot.epochs_for(comparison.budget, spent, times)
    return found


def _tried(comparison: Comparison, guesses: Mapping[Tactic, int], watch: Watch) -> dict[Tactic, int]:
    """Epochs whose run was seen to come as close to the budget as whole epochs allow, or as the tries did."""
    tried: dict[Tactic, dict[int, float]] = {tactic: {} for tactic in guesses}
    found, ahead = dict(guesses), dict(guesses)
    while ahead:
        specs = {tactic: comparison.run(tactic, epochs, 0) for tactic, epochs in ahead.items()}
        execute("trials", list(specs.values()), comparison.asked.processes, watch)
        ahead = {}
        for tactic, spec in specs.items():
            epochs, amount = spec.recipe["epochs"], _spent(comparison, spec)
            if amount is None:
                found[tactic] = epochs  # as its other seeds will be told
                continue
            tried[tactic][epochs] = amount
            found[tactic], after = pilot.closer(comparison.budget, tried[tactic])
            if after is not None:
                ahead[tactic] = after
    return found


def _spent(comparison: Comparison, spec: Spec) -> float | None:
    """What a finished run took of what the budget counts; None where it diverged."""
    if (spec.folder / DIVERGED).exists():
        return None
    return read(spec)["sparse"][_SPENT[comparison.budget.kind]]
