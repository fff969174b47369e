"""Budgets: exact totals within bounds, and the law that Erdos-Renyi-Kernel follows, held against published figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tithe import UsageError
from tithe.budget import BUDGETS, apportion, counts, erdos_renyi_kernel, uniform

LENET = {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}


def resnet50() -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Weight shapes and output positions of every layer at 224 x 224 (He et al. 2015, table 1; stride in the 3 x 3)."""
    shapes: dict[str, tuple[int, ...]] = {"stem": (64, 3, 7, 7)}
    positions = {"stem": 112 * 112}
    channels, side = 64, 56
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            after = side // 2 if stage and not block else side
            layers = {
                "reduce": ((width, channels, 1, 1), side),
                "middle": ((width, width, 3, 3), after),
                "expand": ((4 * width, width, 1, 1), after),
            }
            if not block:
                layers["shortcut"] = ((4 * width, channels, 1, 1), after)
            for name, (shape, size) in layers.items():
                shapes[f"{stage}.{block}.{name}"], positions[f"{stage}.{block}.{name}"] = shape, size**2
            channels, side = 4 * width, after
    return shapes | {"fc": (1000, channels)}, positions | {"fc": 1}


def multiplications(nnz: dict[str, int], positions: dict[str, int]) -> int:
    return sum(nnz[name] * positions[name] for name in nnz)


class TestAgainstPublishedFigures:
    def test_resnet50_dense(self) -> None:
        shapes, positions = resnet50()
        full = counts(shapes, 1.0)
        assert full == {name: math.prod(shape) for name, shape in shapes.items()}
        assert sum(full.values()) == 25_502_912  # 25,557,032 parameters less norms and the last bias
        assert round(multiplications(full, positions) / 1e9, 2) == 4.09

    @pytest.mark.parametrize(("density", "published"), [(0.2, 0.42), (0.1, 0.24), (0.05, 0.12)])
    def test_training_flop_of_erk(self, density: float, published: float) -> None:
        """RigL (arXiv 1911.11134), figure 2: ResNet-50 under ERK, training FLOP relative to dense.

        All three passes cost in proportion to the weights, so the forward ratio is the training ratio.
        """
        shapes, positions = resnet50()
        sparse = multiplications(counts(shapes, density, "erk"), positions)
        assert sparse / multiplications(counts(shapes, 1.0), positions) == pytest.approx(published, abs=0.01)

    @pytest.mark.parametrize("density", [0.2, 0.1, 0.05])
    def test_training_flop_of_uniform_is_the_density(self, density: float) -> None:
        shapes, positions = resnet50()
        sparse = multiplications(counts(shapes, density, "uniform"), positions)
        assert sparse / multiplications(counts(shapes, 1.0), positions) == pytest.approx(density, rel=1e-3)


sizes = st.integers(1, 40)
shape_lists = st.lists(
    st.one_of(st.tuples(sizes, sizes), st.tuples(sizes, sizes, *[st.integers(1, 5)] * 2)), min_size=1
)


@given(shape_lists, st.floats(1e-3, 1), st.sampled_from(sorted(BUDGETS)))
def test_total_is_exact_and_no_layer_empty_or_overfull(shapes: list[tuple[int, ...]], density: float, budget) -> None:
    named = {str(i): shape for i, shape in enumerate(shapes)}
    total = round(density * sum(map(math.prod, shapes)))
    assume(total >= len(shapes))
    nnz = counts(named, density, budget)
    assert list(nnz) == list(named)
    assert sum(nnz.values()) == total
    assert all(1 <= nnz[name] <= math.prod(shape) for name, shape in named.items())
    assert all(type(count) is int for count in nnz.values())


def test_erk_is_proportional_to_the_sum_of_the_dimensions() -> None:
    """density_l = scale * (out + in + kh + kw) / (out * in * kh * kw) wherever that is below 1."""
    shapes = {"a": (64, 64, 3, 3), "b": (128, 64, 3, 3), "c": (100, 2000)}
    nnz = counts(shapes, 0.05, "erk")
    scales = [nnz[name] / sum(shape) for name, shape in shapes.items()]
    assert max(scales) / min(scales) == pytest.approx(1, rel=0.01)
    assert erdos_renyi_kernel({"a": (64, 32, 3, 5)}) == {"a": 104}


def test_erk_fills_small_layers_and_gives_the_rest_away() -> None:
    nnz = counts(LENET, 0.05)
    assert nnz["fc3"] < 1000
    assert sum(nnz.values()) == round(0.05 * 266_200)
    dense_last = counts(LENET, 0.5)
    assert dense_last["fc3"] == 1000
    assert sum(dense_last.values()) == 133_100


def test_uniform_is_one_density_for_all() -> None:
    assert counts(LENET, 0.1, "uniform") == {"fc1": 23_520, "fc2": 3000, "fc3": 100}
    assert uniform({"a": (3, 4), "b": (2, 3, 4, 5)}) == {"a": 12, "b": 120}


def test_the_default_is_erk() -> None:
    assert counts(LENET, 0.1) == counts(LENET, 0.1, "erk") != counts(LENET, 0.1, "uniform")


def test_densities_by_name_and_the_rest_at_the_common_one() -> None:
    assert counts(LENET, 0.1, {"fc3": 1.0, "fc1": 0.01}) == {"fc1": 2352, "fc2": 3000, "fc3": 1000}


def test_no_layers_take_no_weights() -> None:
    assert counts({}, 0.5) == {}


@pytest.mark.parametrize("density", [0, -0.1, 1.0001, math.nan, math.inf])
def test_density_out_of_range(density: float) -> None:
    with pytest.raises(UsageError, match=r"allowed is above 0 and at most 1"):
        counts(LENET, density)
    with pytest.raises(UsageError, match=r"density of layer 'fc1'.*allowed is above 0 and at most 1"):
        counts(LENET, 0.5, {"fc1": density})


def test_density_so_small_that_a_layer_gets_nothing() -> None:
    with pytest.raises(UsageError, match=r"gives 1 weights to 3 layers.*at least 1.1e-05"):
        counts(LENET, 5e-6)
    with pytest.raises(UsageError, match=r"leaves layer 'fc3' of 1000 weights with none; use at least 0.001"):
        counts(LENET, 0.5, {"fc3": 1e-5})
    assert counts(LENET, 1.2e-5) == {"fc1": 1, "fc2": 1, "fc3": 1}


def test_unknown_budget_and_unknown_name() -> None:
    with pytest.raises(UsageError, match="budget 'even' was given; allowed are 'erk', 'uniform' or a density by name"):
        counts(LENET, 0.5, "even")
    with pytest.raises(UsageError, match="names layer 'fc9'; the sparse layers are fc1, fc2, fc3"):
        counts(LENET, 0.5, {"fc9": 0.5})


@st.composite
def problems(draw: st.DrawFn) -> tuple[int, list[float], list[int], list[int]]:
    """A total that the bounds allow, and shares with zeros among them."""
    parts = draw(st.integers(1, 8))
    share = st.one_of(st.just(0.0), st.floats(0.01, 1), st.floats(1e-9, 1e9))
    shares = [draw(share) for _ in range(parts)]
    least = [draw(st.integers(0, 50)) for _ in range(parts)]
    most = [low + draw(st.integers(0, 200)) for low in least]
    return draw(st.integers(sum(least), sum(most))), shares, least, most


class TestApportion:
    @given(problems())
    @example((3, [1e-320, 0.0], [0, 0], [2, 2]))  # the smallest numbers there are
    @example((3, [1e308, 1e308], [0, 0], [2, 2]))  # and the largest
    @example((0, [0.0], [0], [0]))
    @example((10**9 + 1, [1.0, 0.0], [0, 0], [10**9, 10**9]))
    def test_sum_and_bounds_are_exact(self, problem: tuple[int, list[float], list[int], list[int]]) -> None:
        total, shares, least, most = problem
        parts = apportion(total, shares, least, most)
        assert sum(parts) == total
        assert all(low <= part <= high for low, part, high in zip(least, parts, most, strict=True))

    @given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(0, 10_000))
    def test_proportional_to_within_one_where_no_bound_binds(self, shares: list[float], total: int) -> None:
        parts = apportion(total, shares, [0] * len(shares), [total] * len(shares))
        for part, share in zip(parts, shares, strict=True):
            assert abs(part - total * share / sum(shares)) < 1 + 1e-6

    @given(problems())
    def test_parts_between_their_bounds_keep_their_ratio(self, problem) -> None:
        total, shares, least, most = problem
        parts = apportion(total, shares, least, most)
        largest = max(shares)
        free = [
            part / (share / largest)
            for low, part, high, share in zip(least, parts, most, shares, strict=True)
            if low + 1 < part < high - 1 and share > 1e-3 * largest
        ]
        slack = [
            2 / (share / largest)
            for low, part, high, share in zip(least, parts, most, shares, strict=True)
            if low + 1 < part < high - 1 and share > 1e-3 * largest
        ]
        assert not free or max(free) - min(free) <= max(slack)

    @given(problems())
    def test_a_larger_share_never_gets_less(self, problem) -> None:
        total, shares, _, most = problem
        least, most = [0] * len(shares), [max(most)] * len(shares)
        parts = apportion(min(total, sum(most)), shares, least, most)
        for one, share in zip(parts, shares, strict=True):
            for other, other_share in zip(parts, shares, strict=True):
                assert one >= other or share <= other_share

    @given(problems(), st.integers(0, 7))
    def test_raising_a_share_never_takes_from_it(self, problem, index: int) -> None:
        total, shares, least, most = problem
        index %= len(shares)
        raised = [share * (2 if i == index else 1) for i, share in enumerate(shares)]
        assert apportion(total, raised, least, most)[index] >= apportion(total, shares, least, most)[index]

    def test_what_a_full_part_cannot_take_goes_to_the_others_by_share(self) -> None:
        assert apportion(100, [8, 1, 1], [0, 0, 0], [20, 100, 100]) == [20, 40, 40]
        assert apportion(100, [1, 1, 8], [30, 0, 0], [100, 100, 100]) == [30, 8, 62]

    def test_the_last_units_go_to_the_largest_remainders_and_ties_to_the_earlier(self) -> None:
        assert apportion(10, [0.26, 0.49, 0.25], [0] * 3, [10] * 3) == [3, 5, 2]
        assert apportion(4, [1, 1, 1], [0] * 3, [4] * 3) == [2, 1, 1]

    def test_zero_shares_stay_at_their_least_while_others_can_take_more(self) -> None:
        assert apportion(10, [0, 1, 0], [2, 0, 0], [9, 9, 9]) == [2, 8, 0]
        assert apportion(10, [0, 1, 0], [2, 0, 0], [9, 5, 9])[1] == 5
        assert apportion(2, [0, 1e-9, 1e9], [0, 0, 0], [1, 1, 1]) == [0, 1, 1]
        assert apportion(6, [0, 0, 0], [0, 0, 0], [9, 9, 9]) == [2, 2, 2]

    @pytest.mark.parametrize("total", [2, 12])
    def test_impossible_totals(self, total: int) -> None:
        with pytest.raises(UsageError, match=f"{total} weights were to be spread; these layers take 3 to 11"):
            apportion(total, [1, 1], [1, 2], [5, 6])

    @pytest.mark.parametrize("share", [-1.0, math.nan, math.inf])
    def test_shares_that_are_no_shares(self, share: float) -> None:
        with pytest.raises(UsageError, match="finite number of at least 0"):
            apportion(3, [1.0, share], [0, 0], [5, 5])
