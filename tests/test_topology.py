"""Topologies: what each way to make one guarantees, and what each refuses."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from tithe import Topology, UsageError

SIDES = st.integers(1, 12)


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    rows, cols = draw(SIDES), draw(SIDES)
    density = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.rand(rows, cols, generator=generator) < density


def assert_lawful(topology: Topology) -> None:
    """CSR sorted within rows, the transpose sorted within columns, and t_perm the way from one to the other."""
    rows, cols = topology.shape
    positions = topology.positions()
    assert topology.packed.dtype == torch.int32
    assert topology.packed.shape == (rows + 1 + cols + 1 + 3 * topology.nnz,)
    assert (positions.diff() > 0).all()
    assert topology.indptr[0] == topology.t_indptr[0] == 0
    assert topology.indptr[-1] == topology.t_indptr[-1] == topology.nnz == len(topology.indices)
    assert torch.equal(topology.indptr.diff().long(), topology.fan_in())
    t_cols = torch.repeat_interleave(torch.arange(cols), topology.t_indptr.diff().long())
    t_positions = t_cols * rows + topology.t_indices.long()
    assert (t_positions.diff() > 0).all()
    # values[t_perm] are the values in column order: here each value is its own position.
    assert torch.equal(positions[topology.t_perm.long()], topology.t_indices.long() * cols + t_cols)


@given(masks())
@example(torch.ones(1, 1, dtype=torch.bool))
@example(torch.zeros(1, 1, dtype=torch.bool))
def test_every_way_to_make_a_topology_gives_the_mask_back(mask: Tensor) -> None:
    topology = Topology.from_mask(mask)
    assert_lawful(topology)
    assert torch.equal(topology.to_mask(), mask)
    assert topology.nnz == int(mask.sum())
    assert topology.density == mask.double().mean().item()
    assert torch.equal(topology.fan_in(), mask.sum(1))
    rows, cols = mask.nonzero().unbind(1)
    shuffled = torch.randperm(len(rows))
    assert torch.equal(topology.rows(), rows)
    assert torch.equal(topology.indices.long(), cols)
    assert Topology.from_indices(rows[shuffled], cols[shuffled], topology.shape) == topology
    assert Topology.from_positions(topology.positions(), topology.shape) == topology
    assert Topology.from_csr(topology.indptr, topology.indices, topology.shape) == topology


@given(masks())
def test_transposed_order_is_column_order(mask: Tensor) -> None:
    topology = Topology.from_mask(mask)
    values = torch.randn(topology.nnz)
    dense = torch.zeros(mask.shape).masked_scatter(mask, values)
    csc = dense.t()[mask.t()]
    assert torch.equal(values[topology.t_perm.long()], csc)
    transposed = Topology.from_mask(mask.t())
    assert torch.equal(topology.t_indptr, transposed.indptr)
    assert torch.equal(topology.t_indices, transposed.indices)


def test_empty_rows_and_columns() -> None:
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[2, 3] = True
    topology = Topology.from_mask(mask)
    assert topology.indptr.tolist() == [0, 0, 0, 1, 1]
    assert topology.t_indptr.tolist() == [0, 0, 0, 0, 1, 1]
    assert topology.fan_in().tolist() == [0, 0, 1, 0]
    assert topology.positions().tolist() == [13]


def test_a_convolution_s_mask_is_flattened() -> None:
    mask = torch.rand(4, 3, 2, 5) < 0.5
    topology = Topology.from_mask(mask)
    assert topology.shape == (4, 30)
    assert torch.equal(topology.to_mask().view(mask.shape), mask)


def test_numbers_make_a_mask_too() -> None:
    assert Topology.from_mask(torch.tensor([[0.0, -2.5], [3.0, 0.0]])).positions().tolist() == [1, 2]


@given(SIDES, SIDES, st.floats(0, 1), st.integers(0, 2**31))
def test_random_has_exactly_the_count(rows: int, cols: int, density: float, seed: int) -> None:
    nnz = round(density * rows * cols)
    topology = Topology.random((rows, cols), nnz, torch.Generator().manual_seed(seed))
    assert_lawful(topology)
    assert topology.nnz == nnz == int(topology.to_mask().sum())


def test_random_is_reproducible_by_its_generator_alone() -> None:
    def draw(seed: int) -> Topology:
        return Topology.random((20, 30), 60, torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert torch.equal(torch.get_rng_state(), before), "a generator was given, so torch's own must not move"
    torch.manual_seed(7)
    first = Topology.random((20, 30), 60)
    torch.manual_seed(7)
    assert Topology.random((20, 30), 60) == first
    assert Topology.random((20, 30), 60) != first


@pytest.mark.parametrize("nnz", [2, 5])  # 5 of 6: the place left free is drawn
def test_random_sets_are_equally_likely(nnz: int) -> None:
    """Chi-square over all sets of that size, more than four standard deviations above its mean."""
    generator = torch.Generator().manual_seed(0)
    draws, seen = 500, {}
    for _ in range(draws):
        key = tuple(Topology.random((2, 3), nnz, generator).positions().tolist())
        seen[key] = seen.get(key, 0) + 1
    sets = math.comb(6, nnz)
    assert len(seen) == sets
    expected = draws / sets
    chi2 = sum((count - expected) ** 2 / expected for count in seen.values())
    degrees = sets - 1
    assert chi2 < degrees + 4 * math.sqrt(2 * degrees) + 4, f"chi-square {chi2:.1f} for {degrees} degrees of freedom"


@pytest.mark.parametrize("nnz", [300, 1500])
def test_random_places_are_equally_likely(nnz: int) -> None:
    """Every place is taken in nnz / 2000 of the draws, with the variance of a binomial."""
    generator = torch.Generator().manual_seed(1)
    taken = torch.zeros(40, 50)
    draws = 120
    for _ in range(draws):
        taken += Topology.random((40, 50), nnz, generator).to_mask()
    share = nnz / 2000
    z = (taken - draws * share) / math.sqrt(draws * share * (1 - share))
    assert z.abs().max() < 5
    assert abs(z.pow(2).mean() - 1) < 0.2
    # No drift along rows or columns.
    assert z.mean(0).abs().max() * math.sqrt(40) < 5
    assert z.mean(1).abs().max() * math.sqrt(50) < 5


def test_more_logical_positions_than_int32_counts() -> None:
    shape = (60_000, 60_000)
    topology = Topology.random(shape, 1000, torch.Generator().manual_seed(0))
    assert_lawful(topology)
    assert topology.positions().max() > 2**31
    assert Topology.from_indices(topology.rows(), topology.indices, shape) == topology
    last = Topology.from_positions(torch.tensor([0, 60_000**2 - 1]), shape)
    assert (last.rows().tolist(), last.indices.tolist()) == ([0, 59_999], [0, 59_999])
    assert (last.t_indices.tolist(), last.t_perm.tolist()) == ([0, 59_999], [0, 1])
    assert_lawful(Topology.from_csr(last.indptr, last.indices, shape))


def test_narrow_integers_do_not_wrap() -> None:
    narrow = torch.tensor([100, 120], dtype=torch.int8)
    topology = Topology.from_indices(narrow, narrow, (300, 300))
    assert topology.positions().tolist() == [100 * 301, 120 * 301]
    with pytest.raises(UsageError, match="must ascend"):
        Topology.from_positions(torch.tensor([3, 2], dtype=torch.uint8), (30, 30))


class TestImmutable:
    def test_fields_cannot_be_set(self) -> None:
        topology = Topology.random((3, 4), 5)
        for name in ("shape", "packed", "nnz", "indices"):
            with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
                setattr(topology, name, None)

    def test_shares_no_memory_with_what_it_was_made_from(self) -> None:
        topology = Topology.random((3, 4), 5)
        kept = topology.packed.clone()
        indptr, indices, positions = topology.indptr.clone(), topology.indices.clone(), topology.positions()
        for made in (
            Topology.from_csr(indptr, indices, (3, 4)),
            Topology.from_positions(positions, (3, 4)),
        ):
            for source in (indptr, indices, positions):
                source.fill_(0)
            assert torch.equal(made.packed, kept)
            indptr, indices, positions = topology.indptr.clone(), topology.indices.clone(), topology.positions()

    def test_equal_by_content_and_not_hashable(self) -> None:
        mask = torch.tensor([[True, False], [True, True]])
        assert Topology.from_mask(mask) == Topology.from_mask(mask.clone())
        assert Topology.from_mask(mask) != Topology.from_mask(~mask)
        assert Topology.from_mask(torch.zeros(2, 3)) != Topology.from_mask(torch.zeros(3, 2))  # the same numbers inside
        assert Topology.from_mask(mask) != mask.tolist()
        with pytest.raises(TypeError, match="unhashable"):
            hash(Topology.from_mask(mask))

    @pytest.mark.parametrize("remake", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t)), lambda t: t.to("cpu")])
    def test_copies_are_equal(self, remake) -> None:
        topology = Topology.random((3, 4), 5)
        assert topology.indices.shape == (5,)  # the parts are made once and kept: copies must cope with that
        twin = remake(topology)
        assert twin == topology
        assert_lawful(twin)


def test_repr_names_size_and_density() -> None:
    assert repr(Topology.random((3, 4), 6)) == "Topology(3 x 4, nnz=6, density=0.5)"


def numbers(*values: float, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


REFUSED = {
    "a mask without columns": (lambda: Topology.from_mask(torch.ones(3)), "shape (3,)"),
    "a mask without elements": (lambda: Topology.from_mask(torch.ones(0, 3)), "shape (0, 3)"),
    "a mask that is a number": (lambda: Topology.from_mask(torch.tensor(True)), "shape ()"),
    "unequal lengths": (lambda: Topology.from_indices(numbers(0), numbers(0, 1), (2, 2)), "vectors of one length"),
    "matrices": (lambda: Topology.from_indices(numbers(0)[None], numbers(0)[None], (2, 2)), "vectors"),
    "a row too far": (lambda: Topology.from_indices(numbers(2), numbers(0), (2, 3)), "row index of 2 to 2"),
    "a row below 0": (lambda: Topology.from_indices(numbers(-1), numbers(0), (2, 3)), "row index of -1"),
    "a column too far": (lambda: Topology.from_indices(numbers(0), numbers(3), (2, 3)), "allowed is 0 to 2"),
    "a column below 0": (lambda: Topology.from_indices(numbers(1), numbers(-1), (2, 3)), "column index of -1"),
    "a pair twice": (lambda: Topology.from_indices(numbers(0, 0), numbers(1, 1), (2, 3)), "twice"),
    "fractions": (lambda: Topology.from_indices(numbers(0.5, dtype=torch.float32), numbers(0), (2, 3)), "integers"),
    "positions as a matrix": (lambda: Topology.from_positions(numbers(0, 1)[None], (2, 3)), "vector of integers"),
    "bools as positions": (lambda: Topology.from_positions(numbers(1, dtype=torch.bool), (2, 3)), "integers"),
    "a position too far": (lambda: Topology.from_positions(numbers(6), (2, 3)), "allowed is 0 to 5"),
    "a position below 0": (lambda: Topology.from_positions(numbers(-1, 2), (2, 3)), "-1 to 2"),
    "positions that fall": (lambda: Topology.from_positions(numbers(0, 4, 3), (2, 3)), "weight 2 has position 3 after"),
    "a position twice": (lambda: Topology.from_positions(numbers(3, 3), (2, 3)), "position 3 after 3"),
    "too few pointers": (lambda: Topology.from_csr(numbers(0, 1), numbers(0), (2, 3)), "pointers must rise"),
    "pointers not from 0": (lambda: Topology.from_csr(numbers(1, 1, 1), numbers(0), (2, 3)), "pointers must rise"),
    "pointers not to nnz": (lambda: Topology.from_csr(numbers(0, 1, 1), numbers(0, 1), (2, 3)), "pointers must rise"),
    "pointers that fall": (lambda: Topology.from_csr(numbers(0, 3, 2), numbers(0, 1), (2, 3)), "pointers must rise"),
    "csr columns too far": (lambda: Topology.from_csr(numbers(0, 1, 1), numbers(3), (2, 3)), "column index"),
    "csr columns that fall": (lambda: Topology.from_csr(numbers(0, 2, 2), numbers(1, 0), (2, 3)), "must ascend"),
    "csr columns twice": (lambda: Topology.from_csr(numbers(0, 2, 2), numbers(1, 1), (2, 3)), "twice"),
    "csr of fractions": (lambda: Topology.from_csr(numbers(0, 1, 1), torch.ones(1), (2, 3)), "integers"),
    "more than full": (lambda: Topology.random((2, 3), 7), "7 weights were asked for; a 2 x 3 layer holds 0 to 6"),
    "less than none": (lambda: Topology.random((2, 3), -1), "-1 weights"),
    "no rows": (lambda: Topology.random((0, 3), 0), "layer of 0 x 3"),
    "no columns": (lambda: Topology.from_indices(numbers(), numbers(), (3, 0)), "layer of 3 x 0"),
    "a side beyond int32": (lambda: Topology.random((2**31, 1), 1), "each side must be 1 to"),
    "weights beyond int32": (lambda: Topology.random((2**17, 2**15), 2**31), "lower its density"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(UsageError) as error:
        make()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_random_matches_numpy_moments_of_gaps() -> None:
    """Gaps between ascending draws from a large range: their mean is logical / (nnz + 1), geometric in spread."""
    topology = Topology.random((1000, 1000), 2000, torch.Generator().manual_seed(3))
    gaps = np.diff(topology.positions().numpy())
    assert abs(gaps.mean() / (1e6 / 2001) - 1) < 0.02
    assert abs(gaps.std() / gaps.mean() - 1) < 0.1
