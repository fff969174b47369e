"""Times of several contestants, taken in turns, so that whatever disturbs the machine disturbs all of them."""

import contextlib
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

WARM_PASS_SECONDS = 0.05
"""A contestant quicker than this runs once unmeasured in each of its turns: it finds its data and its threads as a
training loop would, and not as the contestant before left them. In a longer pass that no longer shows."""
HOPELESS = 20  # times slower than the yardstick: three rounds at most, so that it cannot eat everybody's time
HOPELESS_ROUNDS = 3
LEAST_ROUNDS = 3
Key = TypeVar("Key")


@dataclass
class Turns:
    """Whose turn it is: what is run, and the milliseconds of each measured pass so far."""

    run: Callable[[], object]
    yardstick: bool = False  # the quickest of these says what is hopeless
    settle: float = 0.0  # s to wait before and after a turn: another OpenMP runtime's threads spin for a while
    times: list[float] = field(default_factory=list)  # ms
    most_rounds: int | None = None


@dataclass(frozen=True)
class Figures:
    """Median and middle half of the rounds, ms."""

    rounds: int
    median_ms: float
    low_quartile_ms: float
    high_quartile_ms: float


def figures(times: list[float]) -> Figures:
    """Of at least one measured pass; a single one is its own quartiles."""
    if len(times) == 1:
        return Figures(1, times[0], times[0], times[0])
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return Figures(len(times), middle, low, high)


def measure(
    contestants: Mapping[Key, Turns],
    seconds: float,
    watch: Callable[[float], None] = lambda fraction: None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fill in every contestant's times: rounds of one turn each, in an order drawn anew, until the time is over.

    Args:
        contestants: who takes part. What was measured before an interruption stays in their `times`.
        seconds: for all rounds together; the first three are finished in any case.
        watch: told the fraction of the time that is over.
        clock: seconds, for tests.
        sleep: waits that many seconds, for tests.
    """
    start = clock()
    _warm_up(contestants, seconds, clock, sleep)
    order, dice, done = list(contestants), random.Random(0), 0
    while done < LEAST_ROUNDS or clock() - start < seconds:
        dice.shuffle(order)
        turns = [contestants[name] for name in order]
        turns = [turn for turn in turns if turn.most_rounds is None or len(turn.times) < turn.most_rounds]
        if not turns:
            break
        for turn in turns:
            _take(turn, clock, sleep)
            watch(min(1.0, (clock() - start) / seconds))
        done += 1


def _warm_up(
    contestants: Mapping[Key, Turns], seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """One pass of each, and from its time how many rounds the hopeless ones get; that pass may have been all."""
    costs: dict[Key, float] = {}  # ms
    for name, turn in contestants.items():
        with _settled(turn, sleep):
            costs[name] = _timed(turn.run, clock)
    quickest = min((costs[name] for name, turn in contestants.items() if turn.yardstick), default=math.inf)
    for name, turn in contestants.items():
        if costs[name] > HOPELESS * quickest:
            turn.most_rounds = HOPELESS_ROUNDS
            if costs[name] > 1e3 * seconds / 10:
                turn.most_rounds, turn.times[:] = 1, [costs[name]]


def _take(turn: Turns, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    with _settled(turn, sleep):
        if not turn.times or turn.times[-1] < 1e3 * WARM_PASS_SECONDS:
            turn.run()
        turn.times.append(_timed(turn.run, clock))


@contextlib.contextmanager
def _settled(turn: Turns, sleep: Callable[[float], None]) -> Iterator[None]:
    """Between two OpenMP runtimes: the threads of one no longer spin when the other's begin."""
    if turn.settle:
        sleep(turn.settle)
    yield
    if turn.settle:
        sleep(turn.settle)


def _timed(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Milliseconds of one pass."""
    start = clock()
    run()
    return 1e3 * (clock() - start)
