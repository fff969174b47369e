"""The loop: what it counts and measures is what happens, and a loss that is not finite stops it."""

import gc
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tithe
from tithe.cost.memory import footprint
from tithe.errors import Diverged
from tithe.nn import sparse_layers
from tithe.train import checkpoint, data
from tithe.train.batches import epoch_batches
from tithe.train.loop import Tick, Training
from tithe.train.network import Network, dense_network, sparse_network
from tithe.train.recipe import Recipe
from tithe.train.run import identity

_RECIPE = Recipe(model="mlp:40-30", density=0.1, epochs=2, batch_size=16, lr=0.05, rewire_every=60, scout_steps=10)


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny layers gain nothing from threads, and lose much where other tests run beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def _training(
    folder: Path, network: Network, digits: data.Dataset, recipe=_RECIPE, watch=lambda tick: None
) -> Training:
    folder.mkdir(exist_ok=True)
    return Training("sparse", network, digits, recipe, folder, identity("sparse", recipe, digits), watch)


def _weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.model.state_dict().items()}


def test_training_learns_keeps_its_density_and_rewires(tmp_path, digits):
    training = _training(tmp_path, sparse_network(_RECIPE, digits), digits)
    training.run()
    assert training.history[-1]["accuracy"] > 0.5
    assert [row["nnz"] for row in training.history] == [round(0.1 * (64 * 40 + 40 * 30 + 30 * 10))] * 2
    assert training.rewirings() == 2
    assert training.step == 2 * 90


@pytest.mark.parametrize("build", [sparse_network, dense_network])
def test_in_bfloat16_it_learns_as_well_and_counts_the_same(tmp_path, digits, build):
    runs = {}
    for bf16 in (False, True):
        recipe = replace(_RECIPE, bf16=bf16)
        network = build(recipe, digits)
        outputs = []
        network.model.register_forward_hook(lambda module, inputs, y, seen=outputs: seen.append(y.dtype))
        runs[bf16] = _training(tmp_path / str(bf16), network, digits, recipe)
        runs[bf16].run()
        assert set(outputs) == {torch.bfloat16 if bf16 else torch.float32}, "in evaluation too"
        assert all(p.dtype == torch.float32 for p in network.model.parameters())
    full, half = (runs[bf16].history[-1] for bf16 in (False, True))
    assert half["accuracy"] > full["accuracy"] - 0.05
    assert half["training_flop"] == full["training_flop"]
    assert runs[True].peaks.state_dict() == runs[False].peaks.state_dict(), "weights and all that belongs to them"


def _convolutional_network(recipe: Recipe, _digits: data.Dataset) -> Network:
    """Sparse convolution, running statistics and dropout: what else a checkpoint must bring back."""
    torch.manual_seed(recipe.seed)
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(512, 10)
    model = tithe.sparsify(nn.Sequential(*layers), 0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=0.9)
    return Network(model, optimizer, tithe.SparseMomentum(model, optimizer, every=60, total_steps=180, scout_steps=10))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("build", [sparse_network, dense_network, _convolutional_network])
def test_resumed_training_equals_uninterrupted_training(tmp_path, digits, build, bf16):
    recipe = replace(_RECIPE, augment="crop-flip", bf16=bf16)
    whole = _training(tmp_path / "whole", build(recipe, digits), digits, recipe)
    whole.run()

    class Stop(Exception):
        pass

    def stop_in_epoch_two(tick: Tick) -> None:
        if tick.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        _training(tmp_path / "parts", build(recipe, digits), digits, recipe, stop_in_epoch_two).run()
    resumed = _training(tmp_path / "parts", build(recipe, digits), digits, recipe)
    resumed.run()
    wanted, found = _weights(whole.network), _weights(resumed.network)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    forget_time = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history] == forget_time
    assert (resumed.peaks.steady, resumed.flop.total) == (whole.peaks.steady, whole.flop.total)
    assert resumed.rewirings() == whole.rewirings()
    files = [next(folder.glob("*.safetensors")).read_bytes() for folder in (tmp_path / "whole", tmp_path / "parts")]
    assert files[0] == files[1]


@pytest.mark.parametrize("build", [sparse_network, dense_network])
def test_flop_equals_counting_every_step(tmp_path, digits, build):
    recipe = replace(_RECIPE, epochs=1, lr_drops=())
    training = _training(tmp_path, build(recipe, digits), digits, recipe)
    training.run()
    network = build(recipe, digits)
    total = 0
    for raw, labels in epoch_batches(digits.x_train, digits.y_train, recipe, 1):
        with FlopCounterMode(display=False) as counter:
            loss = nn.functional.cross_entropy(network.model(training.normalise(raw)), labels)
            loss.backward()
            network.optimizer.step()
            if network.method is not None:
                network.method.step()
            network.optimizer.zero_grad()
        total += counter.get_total_flops()
    assert training.flop.total == total


def test_dense_flop_is_the_closed_form(tmp_path, digits):
    recipe = replace(_RECIPE, epochs=1)
    training = _training(tmp_path, dense_network(recipe, digits), digits, recipe)
    training.run()
    n, first, others = len(digits.y_train), 64 * 40, 40 * 30 + 30 * 10
    assert training.flop.total == 2 * n * (2 * first + 3 * others)  # nobody needs the gradient of the pixels


def test_dense_bytes_are_three_times_the_parameters(tmp_path, digits):
    training = _training(tmp_path, dense_network(_RECIPE, digits), digits)
    training.run()
    size = 4 * (64 * 40 + 40 + 40 * 30 + 30 + 30 * 10 + 10)
    steady = training.peaks.steady
    assert (steady.weights, steady.gradients, steady.optimizer, steady.indices) == (size, size, size, 0)
    assert training.peaks.highest == steady


def test_sparse_bytes_are_those_of_values_and_topologies_and_accumulators(tmp_path, digits):
    network = sparse_network(_RECIPE, digits)
    training = _training(tmp_path, network, digits)
    training.run()
    logical = 64 * 40 + 40 * 30 + 30 * 10
    size = 4 * (round(0.1 * logical) + 40 + 30 + 10)
    pointers = (40 + 1 + 64 + 1) + (30 + 1 + 40 + 1) + (10 + 1 + 30 + 1)
    steady = training.peaks.steady
    assert (steady.weights, steady.gradients, steady.optimizer) == (size, size, size)
    assert (steady.indices, steady.scouting) == (4 * (3 * round(0.1 * logical) + pointers), 0)
    assert training.peaks.highest.scouting == 4 * logical
    assert training.peaks.highest.total == steady.total + 4 * logical


def test_shared_memory_is_counted_once():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    assert footprint(model, optimizer, 0).weights == 4 * (64 + 8 + 8)


def test_no_dense_tensor_is_alive_outside_scouting(tmp_path, digits):
    """A search of the interpreter's heap, so that no bookkeeping can hide one."""
    recipe = replace(_RECIPE, model="mlp:300-310", density=0.02, epochs=1)
    large = 300 * 310
    seen: dict[bool, int] = {}

    def search(_grad: torch.Tensor) -> None:
        if training.step % 5:
            return
        tensors = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, nn.Parameter)]
        count = sum(tensor.numel() == large for tensor in tensors)
        seen[network.scouting] = max(count, seen.get(network.scouting, 0))

    network = sparse_network(recipe, digits)
    next(iter(sparse_layers(network.model).values())).values.register_hook(search)
    training = _training(tmp_path, network, digits, recipe)
    training.run()
    assert seen[False] == 0
    assert seen[True] > 0  # the search does find what is there


def test_a_weight_that_is_not_finite_stops_training_and_keeps_the_checkpoint(tmp_path, digits):
    network = sparse_network(_RECIPE, digits)

    def poison(tick: Tick) -> None:
        if tick.epoch_ended:
            network.model.get_submodule("fc2").values.data[3] = math.nan

    with pytest.raises(Diverged, match=r"loss became nan at step 91 \(epoch 2\): layer 'fc2' .* non-finite weight"):
        _training(tmp_path, network, digits, watch=poison).run()
    state = checkpoint.load(tmp_path, identity("sparse", _RECIPE, digits))
    assert state is not None
    assert state["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_an_output_that_overflows_names_its_layer(tmp_path, digits):
    recipe = replace(_RECIPE, lr=1e-30)
    network = dense_network(recipe, digits)
    network.model.get_submodule("fc2").weight.data.fill_(3e38)
    with pytest.raises(Diverged, match=r"step 1 \(epoch 1\): layer 'fc2' .* non-finite output; no epoch was finished"):
        _training(tmp_path, network, digits, recipe).run()
    assert list(tmp_path.iterdir()) == []


def test_weights_that_break_in_the_last_step_are_noticed_before_the_checkpoint(tmp_path, digits, monkeypatch):
    network = dense_network(_RECIPE, digits)
    train_epoch = Training._train_epoch

    def broken(self, epoch):
        row = train_epoch(self, epoch)
        network.model.get_submodule("fc3").weight.data[0, 0] = math.inf
        return row

    monkeypatch.setattr(Training, "_train_epoch", broken)
    with pytest.raises(Diverged, match=r"test loss became nan after step 90 \(epoch 1\): layer 'fc3'"):
        _training(tmp_path, network, digits).run()
    assert list(tmp_path.iterdir()) == []
