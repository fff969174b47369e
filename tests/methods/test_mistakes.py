"""What goes wrong in a user's own loop is told, or does no harm."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import tithe
from tithe.methods import METHODS

from .table import DENSITY, EVERY, STEPS, trial

REWIRING = [name for name, entry in METHODS.items() if entry.start != "ordinary"]
PREPARED = ["snip", "grasp", "l1", "group-lasso"]
OFFERED = {"total_steps": STEPS, "density": DENSITY, "every": EVERY}


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("name", [*REWIRING, "group-lasso"])
def test_a_frozen_layer_is_refused(name: str, held: bool) -> None:
    model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4))
    start = METHODS[name].start
    if start != "ordinary":
        tithe.sparsify(model, DENSITY if start == "sparse" else 1.0)
    for parameter in model[2].parameters():
        parameter.requires_grad_(False)
    parameters = [p for p in model.parameters() if held or p.requires_grad]
    with pytest.raises(tithe.UsageError, match=r"layer '2' is frozen.*keep_dense"):
        METHODS[name].make(model, torch.optim.SGD(parameters, 0.1), OFFERED, {})


@pytest.mark.parametrize("name", PREPARED)
def test_a_forgotten_prepare_is_told(name: str) -> None:
    run = trial(name, **({"strength": None} if name == "group-lasso" else {}))
    run.optimizer.zero_grad()
    run.loss(1).backward()
    run.optimizer.step()
    with pytest.raises(tithe.UsageError, match=r"call prepare\(loss\) once before the first step"):
        run.method.step()


@pytest.mark.parametrize("name", PREPARED)
def test_prepare_takes_a_function(name: str) -> None:
    run = trial(name, **({"strength": None} if name == "group-lasso" else {}))
    with pytest.raises(tithe.UsageError, match=r"prepare was given a Tensor; it takes a function"):
        run.method.prepare(run.loss(0))


@pytest.mark.parametrize("name", METHODS)
def test_the_optimizer_before_the_model_is_told(name: str) -> None:
    model = nn.Sequential(nn.Linear(12, 4))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(tithe.UsageError, match="give the model, then its optimizer"):
        METHODS[name].make(optimizer, model, OFFERED, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "other"), [("set", "rigl"), ("rigl", "static"), ("dense", "l1"), ("l1", "one-shot")])
def test_the_state_of_another_method_is_refused(name: str, other: str) -> None:
    with pytest.raises(tithe.UsageError, match=r"the saved state is that of .*; make the method that was saved"):
        trial(name).method.load_state_dict(trial(other).method.state_dict())


@pytest.mark.parametrize("name", PREPARED)
def test_running_statistics_do_not_remember_the_batch_of_prepare(name: str) -> None:
    run = trial(name, "cnn", **({"strength": None} if name == "group-lasso" else {}))
    before = {key: value.clone() for key, value in run.model[1].state_dict().items()}
    run.prepare()
    after = run.model[1].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_granet_that_would_never_prune_is_refused() -> None:
    with pytest.raises(tithe.UsageError, match="every=50 was given, so in 50 steps nothing would be pruned"):
        trial("granet", every=STEPS)


def test_granet_makes_up_for_a_last_pruning_that_was_skipped() -> None:
    run = trial("granet", end=1.0)
    last = STEPS // EVERY * EVERY
    run.train(1, last - 1)
    run.optimizer.zero_grad()
    (run.loss(last) * math.nan).backward()
    run.method.step()  # the optimizer skips such steps, as a GradScaler does
    assert run.method.history[-1].skipped
    assert not run.method.settled
    run.train(last + 1, STEPS)
    assert sum(run.nnz()) == round(DENSITY * 624)
    assert run.method.settled


@pytest.mark.parametrize("name", ["set", "rigl", "sparse-momentum", "dsr"])
def test_rewirings_that_never_come_are_told(name: str) -> None:
    with pytest.warns(UserWarning, match=r"every=60 was given, so in \d+ steps there will be no rewiring"):
        trial(name, every=60)


def test_who_rewires_often_is_told_of_a_cut_network() -> None:
    run = trial("deepr", every=1, noise=0.0)

    def train() -> None:
        for step in range(1, 8):
            run.optimizer.zero_grad()
            run.loss(step).backward()
            run.method.step()

    with torch.no_grad():
        run.model[4].values.zero_()  # nothing passes back
    with pytest.warns(UserWarning, match="no gradient reaches layer '0', '2'"):
        train()


def test_a_penalty_that_leaves_one_channel_is_told() -> None:
    run = trial("group-lasso", strength=0.5, prune_at=0.8)
    with pytest.warns(UserWarning, match="the penalty has left one channel after layer '0'.*smaller strength"):
        run.train(1, 2 * EVERY)


@pytest.mark.filterwarnings("ignore:step 8. the penalty has left one channel")
def test_group_lasso_goes_on_where_one_channel_of_a_space_is_left() -> None:
    through = trial("group-lasso", strength=0.5, prune_at=0.8)
    through.train(1, 2 * EVERY)
    assert 1 in [space.size for space in through.method.spaces.values()], "the case that is meant"
    resumed = trial("group-lasso", strength=0.5, prune_at=0.8)
    saved = copy.deepcopy([part.state_dict() for part in (through.model, through.optimizer, through.method)])
    tithe.fit_channels(resumed.model, saved[0], resumed.optimizer)
    for part, state in zip((resumed.model, resumed.optimizer, resumed.method), saved, strict=True):
        part.load_state_dict(state)
    for run in (through, resumed):
        with torch.no_grad():
            for weight in run.model.parameters():
                weight.add_(0.1)  # the penalty has something to shrink
        run.train(2 * EVERY + 1, 2 * EVERY + 5)
    wanted, found = through.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)
