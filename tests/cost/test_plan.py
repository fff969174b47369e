"""What a plan says: sizes in closed form, prices from rates, and whether and where it fits."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import tithe
from tithe import UsageError
from tithe.budget import counts
from tithe.cost.calibrate import Loop
from tithe.cost.figure import Figure
from tithe.cost.moves import Moves
from tithe.cost.size import bytes_of

BATCH, IN, WIDTH, OUT = 8, 100, 200, 10
LOGICAL = IN * WIDTH + WIDTH * OUT


def perceptron(device: str = "meta") -> nn.Module:
    with torch.device(device):
        return nn.Sequential(nn.Linear(IN, WIDTH, bias=False), nn.ReLU(), nn.Linear(WIDTH, OUT, bias=False))


def planned(**how) -> tithe.cost.priced.Plan:
    return tithe.plan(perceptron(), (BATCH, IN), **({"examples": 1000, "epochs": 3, "density": 0.1} | how))


def test_memory_by_category_in_closed_form():
    plan = planned()
    nnz, indices = round(0.1 * LOGICAL), 4 * (IN + WIDTH + 2 + WIDTH + OUT + 2)
    sizes = {name: figure.value for name, figure in plan.sparse.memory.items()}
    activations = sizes.pop("activations")
    assert sizes == {
        "weights": 4 * nnz,
        "indices": 12 * nnz + indices,
        "gradients": 4 * nnz,
        "optimizer": 4 * nnz,
        "scouting": 4 * LOGICAL,
    }
    assert BATCH * (IN + WIDTH + OUT) * 4 < activations < BATCH * (IN + WIDTH + OUT) * 4 * 4
    assert plan.sparse.held.value == 24 * nnz + indices
    assert plan.sparse.held_peak.value == plan.sparse.held.value + 4 * LOGICAL
    assert plan.dense.held.value == 12 * LOGICAL
    assert plan.dense.memory["indices"].value == plan.dense.memory["scouting"].value == 0
    assert plan.sparse.weights == nnz
    assert plan.sparse.density == pytest.approx(0.1)


def test_adam_keeps_twice_as_much():
    assert planned(optimizer="adam").dense.memory["optimizer"].value == pytest.approx(8 * LOGICAL, abs=100)
    assert planned(optimizer="Adam").sparse.memory["scouting"].value == 8 * LOGICAL


def test_training_flop_in_closed_form():
    plan = planned()
    step = 2 * (2 * IN * WIDTH + 3 * WIDTH * OUT)
    assert plan.dense.flop.value == 3 * 1000 * step
    assert plan.dense.flop.how == "counted"
    assert plan.steps == 3 * 125
    assert plan.rewirings == 2
    assert plan.scouting_steps == 2 * 44
    extra = 2 * 44 * BATCH * 2 * LOGICAL
    stays = 375 * plan.sparse.step_flop.value + extra
    assert planned(redistribute=False).sparse.flop == Figure(stays, "FLOP", "counted", source=plan.dense.flop.source)
    assert planned(epochs=1).sparse.flop.how == "counted"


def test_weights_that_move_between_layers_change_the_flop():
    plan, stays = planned(), planned(redistribute=False).sparse.flop.value
    layers = {"0": (WIDTH, IN), "2": (OUT, WIDTH)}
    before = counts(layers, 0.1)
    after = Moves(every=125, total_steps=375).on_average(layers, before)
    assert after != before
    more = 375 * 2 * BATCH * sum((after[name] - before[name]) * passes for name, passes in (("0", 2), ("2", 3)))
    assert plan.sparse.flop.value == stays + more
    assert plan.sparse.flop.how == "modelled"
    assert plan.sparse.flop.least < stays + more < plan.sparse.flop.most


def test_workers_share_the_epoch_and_send_their_gradients():
    one, four = planned(), planned(workers=4)
    assert four.steps == 3 * 32
    assert four.dense.flop.value == pytest.approx(one.dense.flop.value, rel=0.03)
    assert four.sparse.exchanged.value == 2 * 3 / 4 * four.sparse.memory["gradients"].value
    assert four.dense.exchanged.value == 2 * 3 / 4 * 4 * LOGICAL
    assert four.sparse.exchanged_rewiring.value == 2 * 3 / 4 * 4 * LOGICAL
    assert one.sparse.exchanged.value == 0


def test_prices_follow_from_hours_on_a_named_device():
    plan = planned(
        hardware="h100", workers=2, rates={"country": "FRA", "usd_per_hour": 3, "utilisation": 0.5, "pue": 1}
    )
    hours = plan.dense.flop.value / (66.9e12 * 0.5 * 2) / 3600
    assert plan.dense.seconds.value == pytest.approx(3600 * hours)
    assert plan.dense.cost.usd.value == pytest.approx(3 * 2 * hours)
    assert plan.dense.cost.kwh.value == pytest.approx(0.7 * 2 * hours)
    assert plan.dense.cost.kg_co2.value == pytest.approx(0.056039 * 0.7 * 2 * hours)


def test_without_kernels_the_sparse_network_is_computed_densely():
    plan, here = planned(hardware="h100"), planned()
    assert not plan.kernels
    assert plan.sparse.step_flop.value == plan.dense.step_flop.value
    scouting = here.sparse.scouting_step_flop.value - here.sparse.step_flop.value
    assert plan.sparse.scouting_step_flop.value == plan.dense.step_flop.value + scouting


@pytest.mark.parametrize("hardware", [None, "h100"])
def test_a_plain_step_is_told_where_every_full_batch_scouts(hardware):
    """One full batch, which scouts, and a last one of three examples, which does not."""
    short, usual = (
        planned(examples=examples, epochs=1, rewire_every=1, scout_steps=1, hardware=hardware).sparse
        for examples in (BATCH + 3, 1000)
    )
    assert (short.step_flop, short.scouting_step_flop) == (usual.step_flop, usual.scouting_step_flop)
    assert (short.steady, short.peak) == (usual.steady, usual.peak)


def test_densities_that_fit_do_not_depend_on_which_batches_scout():
    short, usual = (
        planned(examples=examples, epochs=1, rewire_every=1, scout_steps=1, density=0.5, device_memory=200_000).fit
        for examples in (BATCH + 3, 1000)
    )
    assert short == usual


def test_without_kernels_a_layers_dense_weight_is_made_for_a_moment():
    plan, here = planned(hardware="h100"), planned()
    assert plan.sparse.memory["weights"] == here.sparse.memory["weights"]
    assert plan.sparse.steady.value - here.sparse.steady.value > 4 * IN * WIDTH / 2


class _Mixes(nn.Module):
    """Attends over the batch, so that its FLOP go with the square of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(IN, OUT)

    def forward(self, x):
        return self.fc((x @ x.T).softmax(1) @ x)


def test_the_last_batch_counts_as_what_it_is():
    per_example = 2 * 2 * IN * OUT  # two passes of fc: x needs no gradient
    flop = tithe.plan(_Mixes(), (BATCH, IN), examples=BATCH + 3, density=0.5).dense.flop.value
    assert flop == sum(n * per_example + 2 * 2 * n * n * IN for n in (BATCH, 3))
    whole, sparse = (tithe.plan(model, (8, IN), examples=11, density=0.5) for model in (perceptron(), _Mixes()))
    nnz = sparse.sparse.weights - OUT
    assert sparse.sparse.flop.value == sum(n * 2 * 2 * nnz + 2 * 2 * n * n * IN for n in (8, 3))
    assert whole.sparse.flop.value * 8 == whole.sparse.step_flop.value * 11


def test_here_without_measurement_the_seconds_have_an_interval():
    plan = planned()
    assert plan.sparse.seconds.has_interval
    assert plan.sparse.seconds.how == "modelled"
    assert not plan.measured


def test_calibrated_seconds_are_those_of_steps():
    model, state = perceptron("cpu"), torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plan = tithe.plan(model, (BATCH, IN), examples=1000, epochs=3, density=0.1, calibrate=True)
    assert plan.measured
    assert 0 < plan.sparse.seconds.least <= plan.sparse.seconds.value <= plan.sparse.seconds.most
    assert "measured steps" in plan.sparse.seconds.source
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("how", [{}, {"examples": 1003, "scout_steps": 1}], ids=["", "only last batches scout"])
def test_which_density_fits(how):
    """The largest with three digits: it fits, and the next larger one does not."""
    room = 200_000
    found = planned(density=0.5, device_memory=room, **how).fit
    assert (found.dense, found.scouting) == (False, False)
    assert planned(density=found.density, device_memory=room, **how).fit.scouting
    assert not planned(density=found.density + 0.001, device_memory=room, **how).fit.scouting
    still = found.density_without_scouting
    assert still > found.density
    assert planned(density=still, device_memory=room, **how).fit.sparse
    assert not planned(density=still + 0.001, device_memory=room, **how).fit.sparse


def test_no_scouting_is_timed_where_nothing_is_rewired(monkeypatch):
    asked = []
    monkeypatch.setattr(Loop, "rewire", lambda *given: asked.append(given))
    how = {"examples": 100, "epochs": 2, "density": 0.1, "calibrate": True}
    assert tithe.plan(perceptron("cpu"), (BATCH, IN), rewire_every=1000, **how).rewirings == 0
    assert asked == []
    assert tithe.plan(perceptron("cpu"), (BATCH, IN), **how).rewirings == 1
    assert len(asked) == 1


def test_a_budget_that_names_every_layer_leaves_no_density_to_choose():
    budget = {"0": 0.1, "2": 0.1}
    found = planned(budget=budget, device_memory="1GB").fit
    assert (found.sparse, found.density, found.density_without_scouting) == (True, 1.0, 1.0)
    found = planned(budget=budget, device_memory="10kB").fit
    assert (found.sparse, found.density, found.density_without_scouting) == (False, None, None)


def test_what_fits_and_what_does_not_is_said():
    assert "dense does too" in planned(device_memory="1GB").says
    assert "(every density does)" in planned(device_memory="1GB").says
    assert "dense does not" in planned(device_memory="250kB", density=0.1).says
    assert "would." in planned(device_memory="200kB", density=0.5).says
    # The accumulators alone take 88 kB.
    assert "no density does while scouting" in planned(device_memory="90kB", density=0.05).says
    assert "take a smaller batch" in planned(device_memory="10kB").says


def test_json_is_json():
    content = json.loads(json.dumps(planned(hardware="t4").json(), allow_nan=False))
    assert content["sparse"]["memory"]["weights"] == {
        **{"value": 4 * round(0.1 * LOGICAL), "unit": "B", "how": "counted", "low": None, "high": None},
        "source": "sizes of the tensors",
    }
    assert content["fit"]["memory"]["value"] == 16e9


class _Recurrent(nn.Module):
    """Words in, words out, the same layer at each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.recurrent = nn.Linear(64, 32)
        self.out = nn.Linear(32, 50)

    def forward(self, words):
        x = self.embedding(words)
        hidden, states = x.new_zeros(len(x), 32), []
        for word in x.unbind(1):
            hidden = torch.tanh(self.recurrent(torch.cat([word, hidden], 1)))
            states.append(hidden)
        return self.out(torch.stack(states, 1))


def test_words_and_layers_that_are_used_again_and_again():
    words = torch.empty(4, 7, dtype=torch.int64, device="meta")
    with torch.device("meta"):
        plan = tithe.plan(_Recurrent(), words, examples=100, density=0.1, optimizer="adam")
    assert plan.dense.step_flop.value == 2 * 3 * 4 * 7 * (64 * 32 + 32 * 50)
    assert plan.sparse.weights == 50 * 32 + 32 + 50 + round(0.1 * (64 * 32 + 32 * 50))


class _Peeks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(IN, OUT)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"optimizer": "adamm"}, "optimizer 'adamm' is not known: did you mean adam"),
        ({"hardware": "h10"}, "hardware 'h10' is not known: did you mean h100"),
        ({"device_memory": "24 G B"}, "size of '24 G B'.*24GB or 24GiB"),
        ({"device_memory": -1}, "size of '-1'"),
        ({"workers": 0}, "workers 0 is not possible: give 1 or more"),
        ({"examples": 0}, "examples 0 is not possible"),
        ({"epochs": 0}, "epochs 0 is not possible"),
        ({"rewire_every": 0}, "rewire every 0 is not possible"),
        ({"scout_steps": 0}, "scout steps 0 is not possible"),
        ({"density": 0}, "density 0 was given"),
        ({"budget": "erc"}, "budget 'erc' was given; allowed are"),
        ({"keep_dense": ["3"]}, "keep_dense names '3'"),
        ({"keep_dense": "no"}, "keep_dense names 'no'"),
        ({"calibrate": True, "hardware": "t4"}, "say nothing about t4: leave out one of the two"),
        ({"calibrate": True}, "meta device cannot be run: leave out one of the two"),
        ({"rates": {"country": "Frankreich"}}, "country 'frankreich' is not known: did you mean france"),
    ],
)
def test_bad_arguments_get_a_sentence(how, says):
    with pytest.raises(UsageError, match=says) as caught:
        planned(**how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (_Peeks(), "looks at numbers that a plan does not have"),
        (nn.Sequential(nn.Flatten()), "has no parameters to train"),
        (nn.Sequential(nn.BatchNorm1d(IN)), "nothing in it becomes sparse"),
        (tithe.sparsify(nn.Sequential(nn.Linear(IN, OUT)), 0.5), "sparse already"),
        (nn.Linear(IN, OUT), "a bare Linear was given"),
    ],
)
def test_models_that_cannot_be_planned_say_why(model, says):
    with pytest.raises(UsageError, match=says):
        tithe.plan(model, (BATCH, IN), examples=10)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *[("24GB", 24e9), ("24 gb", 24e9), ("24GiB", 24 * 2**30), ("1.5TB", 1.5e12), ("512MiB", 512 * 2**20)],
        *[("300e6", 300e6), ("7", 7), ("2k", 2000), (" 1 B ", 1)],
    ],
)
def test_sizes(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "24XB", "0GB", "-1GB", "1..5GB", "nan", "inf", "24GB more", "1e999"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="24GB or 24GiB"):
        bytes_of(text)
