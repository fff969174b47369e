"""One battery over all methods: each is a row of `table.py`."""

from __future__ import annotations

import copy
import doctest
import inspect
import itertools
import math
import subprocess
import sys

import pytest
import torch
from torch import nn

import tithe
from tithe.methods import METHODS, find
from tithe.methods.registry import lines

from .table import DENSITY, MODELS, ROWS, STEPS, trial

REWIRING = [name for name, row in ROWS.items() if METHODS[name].start != "ordinary"]


def test_every_method_is_a_row() -> None:
    assert list(ROWS) == list(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_says_of_itself(name: str) -> None:
    entry = METHODS[name]
    kind = entry.load()
    assert getattr(tithe, kind.__name__) is kind
    assert kind.__name__ in tithe.__all__
    source = inspect.getdoc(sys.modules[kind.__module__])
    assert source is not None
    source = " ".join(source.split())
    assert "iffers from" in source, "what is not as in the paper is listed"
    arxiv = [word for word in entry.paper.replace(",", " ").split() if word[:4].isdigit() and "." in word]
    assert all(number in source for number in arxiv), "the paper is cited where the code is"
    assert arxiv or name == "dense"
    assert entry.line in lines()
    parameters = list(inspect.signature(kind.__init__).parameters)
    assert parameters[1:3] == ["model", "optimizer"]


@pytest.mark.parametrize("name", METHODS)
def test_the_example_of_each_class_runs(name: str) -> None:
    kind = METHODS[name].load()
    (example,) = doctest.DocTestFinder(recurse=False).find(kind, kind.__name__)
    result = doctest.DocTestRunner(verbose=False).run(example)
    assert result.attempted >= 4, "there is one"
    assert result.failed == 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", REWIRING)
def test_density_is_exact_and_every_rewiring_is_counted(name: str, model: str) -> None:
    row = ROWS[name]
    run = trial(name, model)
    logical = sum(math.prod(layer.weight_shape) for layer in tithe.sparse_layers(run.model).values())
    run.prepare()
    sizes = run.nnz()
    seen = [sum(sizes)]
    for step in range(1, STEPS + 1):
        run.train(step, step)
        seen.append(sum(run.nnz()))
        assert all(count >= 1 for count in run.nnz())
    assert seen[-1] == round(DENSITY * logical)
    assert all(later <= earlier for earlier, later in itertools.pairwise(seen)), "density never rises"
    if METHODS[name].start == "sparse":
        assert set(seen) == {round(DENSITY * logical)}
    if row.fixed_layers:
        assert run.nnz() == sizes
    done = [rewiring for rewiring in run.method.history if rewiring.skipped is None]
    assert row.rewirings in (None, len(done))
    assert any(rewiring.grown for rewiring in done) == row.grows
    if METHODS[name].start == "sparse":
        assert all(rewiring.dropped == rewiring.grown for rewiring in done)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", REWIRING)
def test_fifty_steps_equal_those_of_the_masked_dense_twin(name: str, model: str) -> None:
    """Same topology and values in double; the twin computes with dense weights that are zero where none exists."""
    sparse = trial(name, model, kernel="sparse", dtype=torch.float64)
    twin = trial(name, model, kernel="dense", dtype=torch.float64)
    for run in (sparse, twin):
        run.prepare()
        run.train(1, STEPS)
    for one, other in zip(
        tithe.sparse_layers(sparse.model).values(), tithe.sparse_layers(twin.model).values(), strict=True
    ):
        assert (one.kernel_used, other.kernel_used) == ("sparse", "dense")
        assert one.topology == other.topology
        torch.testing.assert_close(one.dense_weight(), other.dense_weight(), rtol=1e-9, atol=1e-11)
    assert sparse.method.history == twin.method.history


@pytest.mark.parametrize("stop", [5, 20, 41])
@pytest.mark.parametrize("name", METHODS)
def test_stopped_and_resumed_equals_trained_through(name: str, stop: int) -> None:
    through = trial(name, "cnn")
    through.prepare()
    through.train(1, STEPS)
    stopped = trial(name, "cnn")
    stopped.prepare()
    stopped.train(1, stop)
    saved = copy.deepcopy([part.state_dict() for part in (stopped.model, stopped.optimizer, stopped.method)])
    resumed = trial(name, "cnn")
    tithe.fit_channels(resumed.model, saved[0], resumed.optimizer)
    for part, state in zip((resumed.model, resumed.optimizer, resumed.method), saved, strict=True):
        part.load_state_dict(state)
    assert not resumed.method.needs_loss
    resumed.train(stop + 1, STEPS)
    wanted, found = through.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    assert through.method.history == resumed.method.history


@pytest.mark.parametrize("name", REWIRING)
def test_a_step_that_is_not_finite_changes_no_topology(name: str) -> None:
    run = trial(name)
    run.prepare()
    before = [layer.topology for layer in tithe.sparse_layers(run.model).values()]
    for step in range(1, STEPS + 1):
        run.optimizer.zero_grad()
        (run.loss(step) * math.nan).backward()
        run.method.step()  # the optimizer skips such steps, as a GradScaler does
    assert all(a == b.topology for a, b in zip(before, tithe.sparse_layers(run.model).values(), strict=True))
    assert all(rewiring.skipped for rewiring in run.method.history[len(run.method.history) > 0 and name in AT_START :])


AT_START = {"snip", "grasp"}


@pytest.mark.parametrize("name", REWIRING)
def test_a_model_without_sparse_layers_is_refused(name: str) -> None:
    model = nn.Sequential(nn.Linear(12, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(tithe.UsageError, match="sparsify"):
        METHODS[name].make(model, optimizer, {"total_steps": STEPS, "density": DENSITY, "every": 5}, {})


NEEDS = {"total_steps": STEPS, "density": DENSITY, "every": 5}


@pytest.mark.parametrize("make", [lambda: nn.LSTM(4, 4), lambda: nn.Sequential(nn.Embedding(8, 3), nn.Flatten())])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "dense"])
def test_a_model_with_nothing_to_prune_is_refused(name: str, make) -> None:
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    words = "nothing to prune; train it with tithe.Dense" if name in REWIRING else "no channels to remove"
    with pytest.raises(tithe.UsageError, match=words) as refused:
        METHODS[name].make(model, optimizer, NEEDS, {})
    assert "\n" not in str(refused.value), "one sentence"


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].start == "ordinary" and name != "dense"])
def test_a_sparse_model_is_refused_where_an_ordinary_one_is_needed(name: str) -> None:
    model = tithe.sparsify(MODELS["mlp"][0](), 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(tithe.UsageError, match=r"has sparse layers.*before tithe\.sparsify"):
        METHODS[name].make(model, optimizer, NEEDS, {})


@pytest.mark.parametrize("name", [name for name in REWIRING if METHODS[name].start == "dense"])
def test_full_density_leaves_nothing_to_prune(name: str) -> None:
    with pytest.raises(tithe.UsageError, match="density=1 was given, so there is nothing to prune; give less"):
        trial(name, density=1.0)


@pytest.mark.parametrize("name", [name for name in REWIRING if METHODS[name].start == "dense"])
def test_nothing_to_prune_is_refused(name: str) -> None:
    model = tithe.sparsify(MODELS["mlp"][0](), 0.1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(tithe.UsageError, match=r"nothing to prune; start with tithe.sparsify\(model, density=1.0\)"):
        METHODS[name].make(model, optimizer, {"total_steps": STEPS, "density": DENSITY, "every": 5}, {})


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("every", 0),
        ("total_steps", 0),
        ("rate", 0.0),
        ("rate", math.nan),
        ("schedule", "step"),
        ("density", 0.0),
        ("density", 1.5),
        ("budget", "fair"),
        ("prune_at", 1.0),
        ("begin", -0.1),
        ("rounds", 0),
        ("rewind", 1.0),
        ("share", 1.0),
        ("strength", -1.0),
        ("threshold", 0.0),
        ("penalty", -1.0),
        ("noise", math.inf),
    ],
)
def test_bad_arguments_are_named(name: str, option: str, value: object) -> None:
    if option not in METHODS[name].defaults():
        with pytest.raises(tithe.UsageError, match=f"method {name} has no {option.replace('_', ' ')}"):
            trial(name, **{option: value})
        return
    with pytest.raises(tithe.UsageError, match=f"{option}[= ]|{option}"):
        trial(name, **{option: value})


@pytest.mark.parametrize(("given", "nearest"), [("rig", "rigl"), ("SET", "set"), ("one_shot", "one-shot")])
def test_an_unknown_name_gets_the_nearest(given: str, nearest: str) -> None:
    with pytest.raises(tithe.UsageError, match=f"did you mean {nearest}"):
        find(given)


def test_help_needs_no_torch() -> None:
    code = "import sys, tithe.methods.registry as r; r.lines(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
