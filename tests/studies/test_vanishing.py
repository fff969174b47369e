"""`vanishing`: what arrives of a gradient is measured rightly, and the verdicts follow from it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from studies.test_framework import Silent
from tithe.studies import vanishing
from tithe.studies.kept import Kept
from tithe.studies.study import Asked
from tithe.studies.vanishing import PLAIN, SKIPS, judged, shares, study
from tithe.studies.vanishing_network import STARTS, Case, arriving, measure, network
from tithe.train import data

CASE = Case("dense", False, depth=8, width=64, density=0.25, epochs=0, lr=0.01, batch_size=32, seed=0)


def runs(decades: dict[tuple[str, str], float], errors: dict[tuple[str, str], float]) -> Any:
    """Three seeds of each network that lose so many decades, and end with such errors."""

    def one(key: tuple[str, str], seed: int) -> dict[str, Any]:
        lost = decades.get(key, 0.0) + 0.001 * seed * len(key[1])
        sizes = [10 ** (-lost * (1 - layer / 4)) for layer in range(5)]
        return {"gradients": sizes, "error": errors.get(key, 0.1) + 0.001 * seed, "starves": False}

    return {(way, start): [one((way, start), seed) for seed in range(3)] for way in (PLAIN, SKIPS) for start in STARTS}


GONE = {(PLAIN, STARTS[1]): 9.0, (PLAIN, STARTS[3]): 12.0}
UNLEARNT = dict.fromkeys(GONE, 0.9)


def verdicts(decades: dict[tuple[str, str], float], errors: dict[tuple[str, str], float]) -> list[str]:
    return [claim.verdict for claim in judged(runs(decades, errors))]


def test_all_claims_hold_where_they_should() -> None:
    assert verdicts(GONE, UNLEARNT) == ["holds"] * 4


@pytest.mark.parametrize(
    ("claim", "decades", "errors"),
    [
        (0, GONE | {(PLAIN, "sparse, as dense"): 0.5}, UNLEARNT),
        (0, GONE | {(PLAIN, "dense"): 9.0}, UNLEARNT),
        (1, GONE | {(PLAIN, "sparse, per neuron"): 5.0}, UNLEARNT),
        (2, GONE | {(SKIPS, "sparse, as dense"): 3.0}, UNLEARNT),
        (2, GONE | {(SKIPS, "dense"): -3.0}, UNLEARNT),
        (3, GONE, {}),
        (3, GONE, UNLEARNT | {(SKIPS, "dense"): 0.9}),
    ],
)
def test_a_claim_does_not_hold_where_the_numbers_say_so(claim: int, decades: Any, errors: Any) -> None:
    assert verdicts(decades, errors)[claim] == "does not hold"


def test_where_nothing_vanishes_learning_decides_nothing() -> None:
    assert verdicts({}, {})[3] == "not decided"


def test_a_layer_drawn_as_dense_loses_the_root_of_the_density() -> None:
    """gradient(first) / gradient(last) falls by sqrt(density) in each layer between, against weights per neuron."""
    digits = data.load("digits")
    lost = {}
    for start in ("sparse, per neuron", "sparse, as dense"):
        cases = [replace(CASE, start=start, seed=seed, width=128) for seed in range(4)]
        lost[start] = sum(vanishing.decades(measure(case, digits)) for case in cases) / len(cases)
    expected = (CASE.depth - 1) * -math.log10(math.sqrt(CASE.density))
    assert lost["sparse, as dense"] - lost["sparse, per neuron"] == pytest.approx(expected, rel=0.05)


def test_arriving_is_the_gradient_of_the_loss_by_each_output() -> None:
    """Moving one hidden output a little moves the loss as its gradient says."""
    model = network(replace(CASE, depth=2, width=8, density=0.5), 6, 3).double()
    x, labels = torch.randn(5, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    found = arriving(model, x, labels)

    @torch.no_grad()
    def loss(outputs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model[-1](outputs), labels)

    last = model[:-1](x).detach()
    moved = torch.zeros_like(last)
    for place in range(last.numel()):
        step = torch.zeros(last.numel(), dtype=last.dtype)
        step[place] = 1e-6
        moved.view(-1)[place] = (loss(last + step.view_as(last)) - loss(last - step.view_as(last))) / 2e-6
    assert len(found) == 2
    assert found[-1] == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-6)


def test_shares_are_geometric_means_over_the_seeds() -> None:
    seeds = [{"gradients": [0.1, 1.0]}, {"gradients": [10.0, 1.0]}]
    assert shares(seeds) == pytest.approx([1.0, 1.0])


def test_the_study_writes_what_it_found(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(vanishing, "QUICK", replace(CASE, depth=12, width=16, epochs=1, batch_size=256))
    asked = Asked("vanishing", tmp_path, quick=True)
    found = study(asked, Kept(tmp_path, Silent()))
    assert len(found.tables[0].rows) == 8
    assert len(found.tables[1].rows) == 8 * 12
    assert found.pictures[0].stat().st_size < 150_000

    def never(*_: object) -> None:
        raise AssertionError("measured twice")

    monkeypatch.setattr(vanishing, "measure", never)
    assert study(asked, Kept(tmp_path, Silent())).tables == found.tables


def test_a_network_that_starves_is_warned_of() -> None:
    digits = data.load("digits")
    deep = replace(CASE, start="sparse, as dense", depth=20, width=32, density=0.2, epochs=1, batch_size=256)
    assert measure(deep, digits)["starves"]
    assert not measure(replace(deep, skips=True), digits)["starves"]
