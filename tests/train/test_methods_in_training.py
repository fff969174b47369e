"""Every method under `tithe train`: resumed training equals uninterrupted training, and what is dense is counted so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tithe.methods import METHODS
from tithe.train import data
from tithe.train.defaults import complete
from tithe.train.loop import Tick, Training
from tithe.train.network import sparse_network
from tithe.train.recipe import Recipe
from tithe.train.results import half_report
from tithe.train.run import identity

LOGICAL = 64 * 40 + 40 * 30 + 30 * 10
N_TRAIN = 1437
DENSE_STEP = 2 * (2 * 64 * 40 + 3 * (40 * 30 + 30 * 10))  # FLOP an example; nobody needs the gradient of the pixels


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def recipe_for(name: str, **changes) -> Recipe:
    """Three epochs of 45 steps."""
    given = {"model": "mlp:40-30", "method": name, "density": 0.1, "epochs": 3, "batch_size": 32, "lr": 0.1}
    if "every" in METHODS[name].defaults():
        given["rewire_every"] = 1 if name == "deepr" else 30
    if name == "sparse-momentum":
        given |= {"rewire_every": 90, "scout_steps": 10}
    return replace(complete("digits", given), **changes)


def training(folder: Path, recipe: Recipe, digits: data.Dataset, watch=lambda tick: None) -> Training:
    folder.mkdir(exist_ok=True)
    network = sparse_network(recipe, digits)
    return Training("sparse", network, digits, recipe, folder, identity("sparse", recipe, digits), watch)


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_resumed_training_equals_uninterrupted_training(tmp_path, digits, name):
    recipe = recipe_for(name)
    whole = training(tmp_path / "whole", recipe, digits)
    whole.run()
    for epoch in (2, 3):  # killed twice

        def stop(tick: Tick, epoch=epoch) -> None:
            if tick.epoch == epoch:
                raise Stop

        with pytest.raises(Stop):
            training(tmp_path / "parts", recipe, digits, stop).run()
    resumed = training(tmp_path / "parts", recipe, digits)
    resumed.run()
    files = [next(folder.glob("*.safetensors")).read_bytes() for folder in (tmp_path / "whole", tmp_path / "parts")]
    assert files[0] == files[1]
    forget_time = [[{k: v for k, v in row.items() if k != "seconds"} for row in t.history] for t in (whole, resumed)]
    assert forget_time[0] == forget_time[1]
    assert (resumed.peaks.state_dict(), resumed.flop.total) == (whole.peaks.state_dict(), whole.flop.total)
    assert resumed.network.method.history == whole.network.method.history
    assert whole.history[-1]["accuracy"] > 0.3, "it learns; guessing gives 0.1"
    assert whole.history[-1]["nnz"] <= round(0.1 * LOGICAL) or name == "dense"


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.start != "ordinary"])
def test_flop_say_which_part_is_dense(tmp_path, digits, name):
    run = training(tmp_path, recipe_for(name), digits)
    run.run()
    dense = N_TRAIN * DENSE_STEP
    epochs = [row["training_flop"] for row in run.history]
    entry = METHODS[name]
    if entry.family == "sparse from scratch":
        assert epochs[-1] < 0.25 * 3 * dense
    if name in ("one-shot", "l1", "lottery-ticket"):
        assert epochs[0] >= dense, "dense from the first step"
        assert epochs[2] - epochs[1] < 0.25 * dense, "and sparse in the end"
    if name in ("snip", "grasp", "l1"):
        start = 32 * DENSE_STEP
        quiet = training(tmp_path / "again", recipe_for(name), digits)
        quiet._prepare()
        passes = quiet.flop.total / start
        # L1 only looks at the loss; GraSP differentiates a gradient.
        assert (passes < 0.5) if name == "l1" else (passes == 1 if name == "snip" else passes > 1.5)


@pytest.mark.parametrize("name", ["one-shot", "gradual-magnitude", "granet"])
def test_dense_phases_take_the_memory_of_dense_training(tmp_path, digits, name):
    run = training(tmp_path, recipe_for(name), digits)
    run.run()
    size = 4 * (LOGICAL + 40 + 30 + 10)
    steady = run.peaks.steady
    if name == "one-shot":
        assert (steady.weights, steady.gradients, steady.optimizer, steady.indices) == (size, size, size, 0)
    else:
        assert steady.total >= 3 * size


def test_the_learning_rate_starts_again_where_training_does(tmp_path, digits):
    recipe = recipe_for("lottery-ticket", epochs=4, lr_drops=(0.5,))
    rates = []
    run = training(tmp_path, recipe, digits)
    for step in range(1, 181):
        run.step = step
        rates.append(run._lr())
    falls = [step for step in range(1, 180) if rates[step] < rates[step - 1]]
    rises = [step for step in range(1, 180) if rates[step] > rates[step - 1]]
    (end,) = run.network.method._ends
    assert rises == [end]
    assert len(falls) == 2
    assert falls[0] < end < falls[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "rigel"}, "did you mean rigl"),
        ({"method": "snip", "budget": "erk"}, "no budget to choose"),
        ({"method": "static", "rate": 0.5}, "method static has no rate"),
        ({"method": "set", "scout_steps": 4}, "method set has no scout steps"),
        ({"method": "snip", "density": 1.0}, "nothing to prune"),
        ({"method": "rigl", "budget": "global"}, "budget 'global'"),
    ],
)
def test_what_a_method_has_not_is_refused(digits, given, words):
    with pytest.raises(ValueError, match=words):
        sparse_network(complete("digits", {"model": "mlp:40-30"} | given), digits)


def test_each_method_brings_its_papers_budget_and_interval():
    assert (complete("digits", {"method": "gradual-magnitude"}).budget) == "uniform"
    assert (complete("digits", {"method": "rigl"}).rewire_every) == 100
    assert complete("digits", {}).rewire_every is None
    assert complete("digits", {"method": "rigl", "budget": "uniform", "rewire_every": 7}).budget == "uniform"


def test_dead_channels_go_once_the_topology_stays(tmp_path, digits):
    """At 1 % of an mlp of 300 and 200 units many units are read by nobody."""
    changes = {"model": "mlp:300-200", "density": 0.01, "epochs": 2}
    with_dead = training(tmp_path / "with", recipe_for("static", **changes), digits)
    with_dead.run()
    recipe = recipe_for("static", remove_dead=True, **changes)
    without = training(tmp_path / "without", recipe, digits)
    without.run()
    assert without.network.nnz() < with_dead.network.nnz()
    sizes = [layer["shape"] for layer in half_report(without)["layers"]]
    assert sizes[0][0] < 300
    assert sizes[1] == [sizes[2][1], sizes[0][0]]
    assert half_report(without)["logical_weights"] == 64 * 300 + 300 * 200 + 200 * 10
    for one, other in zip(with_dead.history, without.history, strict=True):
        assert one["accuracy"] == pytest.approx(other["accuracy"], abs=0.01)
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)

    def stop(tick: Tick) -> None:
        if tick.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        training(tmp_path / "parts", recipe, digits, stop).run()
    resumed = training(tmp_path / "parts", recipe, digits)
    resumed.run()
    files = [next(folder.glob("*.safetensors")).read_bytes() for folder in (tmp_path / "without", tmp_path / "parts")]
    assert files[0] == files[1]
