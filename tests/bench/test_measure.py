"""Rounds, medians and budgets, on a clock that only the contestants move."""

import pytest

from tithe.bench.measure import Figures, Turns, figures, measure


class Clock:
    """Seconds that pass only while somebody runs or sleeps."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.log.append("sleep")

    def contestant(self, name: str, *costs: float, **how) -> Turns:
        """Whose passes cost so many seconds one after the other, the last cost for ever."""
        left = list(costs)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            self.log.append(name)

        return Turns(run, **how)


def test_median_and_quartiles():
    assert figures([4.0, 1.0, 2.0, 3.0, 5.0]) == Figures(5, 3.0, 2.0, 4.0)
    assert figures([7.0]) == Figures(1, 7.0, 7.0, 7.0)


def test_rounds_fill_the_time_and_each_gives_everybody_one_turn():
    clock = Clock()
    contestants = {name: clock.contestant(name, 0.1, yardstick=name == "a") for name in "abc"}
    told = []
    measure(contestants, 3.0, told.append, clock, clock.sleep)
    assert {len(turn.times) for turn in contestants.values()} == {8}  # warming up is in the time
    assert contestants["b"].times == pytest.approx([100.0] * 8)
    turns = clock.log[3:]
    # A pass after the first, of a contestant this slow, is not warmed up again.
    rounds = [turns[place : place + 3] for place in range(6, len(turns), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # in another order
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_three_rounds_are_finished_whatever_the_time():
    clock = Clock()
    contestants = {"a": clock.contestant("a", 1.0, yardstick=True)}
    measure(contestants, 0.01, clock=clock, sleep=clock.sleep)
    assert contestants["a"].times == [1000.0] * 3


def test_a_quick_pass_is_measured_after_one_that_is_not():
    clock = Clock()
    turn = clock.contestant("a", 0.5, 0.02, 0.01, 0.02, 0.01, 0.02, 0.01, yardstick=True)
    measure({"a": turn}, 0.1, clock=clock, sleep=clock.sleep)
    assert turn.times == pytest.approx([10.0] * 3)


def test_the_hopeless_get_three_rounds_or_one():
    clock = Clock()
    contestants = {
        "dense": clock.contestant("dense", 0.01, yardstick=True),
        "sparse": clock.contestant("sparse", 0.0001),  # that dense is slower than this makes nobody hopeless
        "slow": clock.contestant("slow", 0.3),
        "slowest": clock.contestant("slowest", 5.0),
    }
    measure(contestants, 10.0, clock=clock, sleep=clock.sleep)
    assert contestants["slow"].times == pytest.approx([300.0] * 3)
    assert contestants["slowest"].times == [5000.0]
    assert clock.log.count("slowest") == 1
    assert len(contestants["dense"].times) == len(contestants["sparse"].times) > 100


def test_another_runtimes_turns_stand_alone():
    clock = Clock()
    turn = clock.contestant("a", 1.0, yardstick=True, settle=0.25)
    measure({"a": turn}, 0.1, clock=clock, sleep=clock.sleep)
    assert clock.log[:6] == ["sleep", "a", "sleep", "sleep", "a", "a"]
    assert turn.times == [1000.0] * 3  # the rest is not in the figures


def test_an_interruption_leaves_what_was_measured():
    clock = Clock()
    contestants = {name: clock.contestant(name, 1.0, yardstick=True) for name in "ab"}

    def interrupt(fraction: float) -> None:
        if fraction > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(contestants, 10.0, interrupt, clock, clock.sleep)
    assert sum(len(turn.times) for turn in contestants.values()) >= 2
