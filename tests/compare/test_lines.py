"""Who is cheaper from when on, against looking at every number."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from tithe.compare.lines import Line, cheapest, overtakes, pareto

costs = st.integers(0, 30).map(float)
tables = st.dictionaries(st.sampled_from("abcdef"), st.builds(Line, costs, costs), min_size=1)
NUMBERS = [0, 0.5, 1, 2, 3.5, 7, 15, 29, 31, 1000]


def test_overtaking_is_where_the_lines_cross():
    train_dear, use_dear = Line(100, 1), Line(10, 4)
    assert overtakes(train_dear, use_dear) == 30
    assert overtakes(use_dear, train_dear) == math.inf
    assert overtakes(Line(1, 1), Line(2, 2)) == 0
    assert overtakes(Line(2, 1), Line(1, 1)) == math.inf
    assert overtakes(Line(1, 1), Line(2, 1)) == 0


@given(st.builds(Line, costs, costs), st.builds(Line, costs, costs))
def test_after_overtaking_it_costs_less_and_before_it_does_not(challenger, other):
    n = overtakes(challenger, other)
    if math.isinf(n):
        assert challenger.at(1e6) >= other.at(1e6)
        return
    assert challenger.at(2 * n + 1) < other.at(2 * n + 1)
    assert n == 0 or challenger.at(0.99 * n) > other.at(0.99 * n) - 1e-9


@given(tables)
def test_the_reigns_cover_all_numbers_and_the_reigning_one_is_cheapest(table):
    reigns = cheapest(table)
    assert reigns[0].start == 0
    assert reigns[-1].end == math.inf
    assert all(before.end == after.start for before, after in itertools.pairwise(reigns))
    for n in NUMBERS:
        name = next(reign.name for reign in reigns if reign.start <= n < reign.end)
        assert table[name].at(n) <= min(line.at(n) for line in table.values()) + 1e-6


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(costs, costs), min_size=1))
def test_the_front_is_what_no_other_beats(points):
    def beaten(name: str) -> bool:
        cost, error = points[name]
        return any(c <= cost and e <= error and (c, e) != (cost, error) for c, e in points.values())

    assert set(pareto(points)) == {name for name in points if not beaten(name)}
