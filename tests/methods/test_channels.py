"""Channels that go: what is left computes and learns the same, and everything that holds them is smaller."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import tithe
from tithe.methods.group_lasso import norms
from tithe.nn.channels import spaces
from tithe.resize import keep_channels
from tithe.train import models

from .channel_models import ENDS, MODELS, Followable, stepped, weights
from .table import DENSITY, STEPS, cnn, mlp, trial

pytestmark = pytest.mark.filterwarnings("ignore:step .*the penalty has left one channel")  # of these few


@pytest.mark.parametrize("name", MODELS)
def test_which_channels_go_together(name: str) -> None:
    make, _, sizes = MODELS[name]
    assert [space.size for space in spaces(make())] == sizes


@pytest.mark.parametrize(
    ("name", "count"), [("lenet-5", 3), ("lenet-300-100", 2), ("vgg-d", 15), ("wrn-16-2", 10), ("resnet18", 12)]
)
def test_the_models_of_the_catalogue(name: str, count: int) -> None:
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    model = models.build(name, shape, 10)
    assert len(spaces(model)) == count
    tithe.sparsify(model, 0.1)
    assert len(spaces(model)) == count, "and sparse"


def test_what_cannot_be_followed_is_left_alone() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x):
            return self.b(self.a(self.a(x)))

    class Data(Twice):
        def forward(self, x):
            return self.b(self.a(x)) if x.sum() > 0 else self.b(x)

    assert spaces(Twice()) == []
    assert spaces(Data()) == []

    class Ends(nn.Module):
        def __init__(self, end) -> None:
            super().__init__()
            self.a, self.b, self.end = nn.Conv2d(1, 8, 1), nn.Linear(8, 4), end

        def forward(self, x):
            return self.b(self.end(self.a(x)))

    assert [space.size for space in spaces(Ends(lambda x: x.mean((2, 3))))] == [8]
    assert spaces(Ends(lambda x: x.mean((1, 3)))) == []
    assert spaces(Ends(lambda x: x.mean((2, 3)) * x.shape[1])) == []
    assert spaces(Ends(lambda x: x.view(x.shape[1], -1))) == []
    assert spaces(Ends(lambda x: functional.max_pool2d(x, 2, return_indices=True)[0].flatten(1))) == []
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    tied[2].weight = tied[0].weight
    assert spaces(tied) == []


def sparse_with_dead_channels(name: str) -> nn.Module:
    """Some channels of each space lose all weights that read them."""
    torch.manual_seed(0)
    model = tithe.sparsify(MODELS[name][0]().double(), 0.5, kernel="sparse")
    for space in spaces(model):
        for reader in space.readers.values():
            mask = reader.topology.to_mask().view(reader.topology.shape[0], space.size, -1)
            mask[:, 1:3] = False
            topology = tithe.Topology.from_mask(mask.view(reader.topology.shape))
            reader.replace(topology, torch.randn(topology.nnz, dtype=torch.float64) / 4)
    return model


@pytest.mark.parametrize("name", [name for name in MODELS if name != "sliced"])
def test_removing_dead_channels_changes_neither_results_nor_learning(name: str) -> None:
    shape = MODELS[name][1]
    whole = sparse_with_dead_channels(name)
    smaller = copy.deepcopy(whole)
    optimizers = [stepped(model, shape, 3) for model in (whole, smaller)]
    removed = tithe.remove_dead_channels(smaller, optimizers[1])
    assert removed >= 2 * len(MODELS[name][2])
    for space in spaces(smaller):
        assert space.size > 1
    count = [sum(p.numel() for p in model.parameters()) for model in (whole, smaller)]
    assert count[1] < count[0]
    for model, optimizer in zip((whole, smaller), optimizers, strict=True):
        stepped(model, shape, 10, optimizer, first=3)
    x = torch.randn(32, *shape, dtype=torch.float64)
    for training in (True, False):
        torch.testing.assert_close(whole.train(training)(x), smaller.train(training)(x), rtol=1e-9, atol=1e-11)
    for parameter in smaller.parameters():
        for state in optimizers[1].state[parameter].values():
            assert state is None or state.shape == parameter.shape
    assert tithe.remove_dead_channels(smaller, optimizers[1]) == 0
    torch.testing.assert_close(tithe.densify(smaller)(x), whole(x), rtol=1e-9, atol=1e-11)


def test_removing_goes_on_with_what_has_died_with_a_channel() -> None:
    """A unit of the first layer that only dead units of the second read is dead too."""
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    chain = torch.eye(4, dtype=torch.bool)
    model[2] = tithe.SparseLinear.from_dense(model[2], mask=chain)
    last = torch.ones(3, 4, dtype=torch.bool)
    last[:, 1] = False
    model[4] = tithe.SparseLinear.from_dense(model[4], mask=last)
    x = torch.randn(5, 6)
    before = model(x)
    assert tithe.remove_dead_channels(model) == 2
    assert (model[0].out_features, model[2].in_features, model[2].out_features) == (3, 3, 3)
    torch.testing.assert_close(model(x), before)


def test_a_channel_without_inputs_goes_only_if_it_is_zero() -> None:
    for bias in (False, True):
        model = nn.Sequential(nn.Linear(6, 4, bias=bias), nn.ReLU(), nn.Linear(4, 3))
        mask = torch.ones(4, 6, dtype=torch.bool)
        mask[2] = False
        model[0] = tithe.SparseLinear.from_dense(model[0], mask=mask)
        x = torch.randn(5, 6)
        before = model(x)
        assert tithe.remove_dead_channels(model) == (0 if bias else 1), "with a bias it is a constant that is read"
        torch.testing.assert_close(model(x), before)


def test_a_channel_that_nobody_reads_any_more_may_be_removed_from_dense_layers() -> None:
    torch.manual_seed(0)
    model = Followable().double().eval()
    x = torch.randn(8, 1, 6, 6, dtype=torch.float64)
    space = spaces(model)[0]
    with torch.no_grad():
        for reader in space.readers.values():
            reader.weight.view(reader.weight.shape[0], space.size, -1)[:, [0, 3]] = 0
    before = model(x)
    keep_channels(space, torch.tensor([1, 2, 4, 5]), None)
    torch.testing.assert_close(model(x), before)
    assert (model.first.out_channels, model.second.out_channels, model.norm.num_features) == (4, 4, 4)
    assert (model.inner.in_channels, model.last.in_features) == (4, 36)


@pytest.mark.parametrize(("model", "strength"), [("mlp", 0.0), ("mlp", 0.03), ("cnn", 0.0), ("cnn", 0.06)])
def test_group_lasso_removes_channels_down_to_the_density(model: str, strength: float) -> None:
    run = trial("group-lasso", model, strength=strength)
    logical = weights(run.model)
    counts = []
    for step in range(1, STEPS + 1):
        run.train(step, step)
        counts.append(weights(run.model))
    assert (counts[23] < logical) == (strength > 0), "some were zero before the pruning"
    assert counts[-1] <= DENSITY * logical
    assert strength > 0 or counts[-1] > 0.5 * DENSITY * logical
    assert counts[-1] == counts[24], "then it stays"
    assert sum(rewiring.dropped for rewiring in run.method.history) == logical - counts[-1]
    run.model(run.batch(0)[0])


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_group_lasso_equals_the_dense_twin_whose_channels_are_held_at_zero(model: str) -> None:
    run, twin = (trial("group-lasso", model, dtype=torch.float64, prune_at=0.9, strength=0.03) for _ in range(2))
    twin.method._remove = lambda gone: None
    full = {name: space.size for name, space in twin.method.spaces.items()}
    for step in range(1, 45):
        for each in (run, twin):
            each.train(step, step)
        with torch.no_grad():
            for name, space in twin.method.spaces.items():
                gone = torch.ones(full[name], dtype=torch.bool)
                gone[run.method.kept[name]] = False
                for reader in space.readers.values():
                    for tensor in (reader.weight, twin.optimizer.state[reader.weight]["momentum_buffer"]):
                        tensor.view(tensor.shape[0], full[name], -1)[:, gone] = 0
                for writer in space.writers.values():
                    for tensor in (writer.weight, twin.optimizer.state[writer.weight]["momentum_buffer"]):
                        tensor[gone] = 0
    x = run.batch(99)[0]
    assert weights(run.model) < weights(twin.model)
    torch.testing.assert_close(run.model(x), twin.model(x), rtol=1e-9, atol=1e-11)


def test_group_lasso_chooses_its_strength_by_share() -> None:
    run = trial("group-lasso", strength=None, share=0.25)
    penalty = sum(float(norms(space).sum()) for space in run.method.spaces.values())
    loss = float(run.loss(0).detach())
    run.prepare()
    assert run.method.strength * penalty / (run.method.strength * penalty + loss) == pytest.approx(0.25)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("density", [0.1, 0.3, 0.9])
def test_small_dense_has_as_many_weights_as_fit(model: str, density: float) -> None:
    logical = weights((mlp if model == "mlp" else cnn)())
    run = trial("small-dense", model, density=density)
    assert 0.6 * density * logical < weights(run.model) <= density * logical
    run.train(1, 5)


@pytest.mark.parametrize("name", ["blocks", *ENDS])
def test_small_dense_cuts_through_what_is_written_as_torchvision_does(name: str) -> None:
    make, shape, _ = MODELS[name]
    model = make().double()
    logical = weights(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9)
    tithe.SmallDense(model, optimizer, density=0.4)
    assert 0.2 * logical < weights(model) <= 0.4 * logical
    stepped(model, shape, 3, optimizer)


def hidden(model: nn.Module) -> list[int]:
    """Channels of each layer but the last."""
    return [module.weight.shape[0] for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)][:-1]


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_small_dense_tapers(model: str) -> None:
    """A taper of 4 leaves the last space four times the first one's share, no space more than it has."""
    for taper in (1 / 4, 4.0, 1000.0):
        run = trial("small-dense", model, density=0.3, taper=taper)
        full, kept = (hidden(each) for each in ((mlp if model == "mlp" else cnn)(), run.model))
        assert weights(run.model) <= 0.3 * weights((mlp if model == "mlp" else cnn)())
        assert all(1 <= now <= before for now, before in zip(kept, full, strict=True))
        first, last = kept[0] / full[0], kept[-1] / full[-1]
        assert (last > first) == (taper > 1)
    for taper in (0.0, -1.0, float("nan"), 1e4):
        with pytest.raises(tithe.UsageError, match=r"taper=.* allowed is 0.001 to 1000"):
            trial("small-dense", model, density=0.3, taper=taper)


def test_small_dense_starts_with_the_variance_of_its_fan_in() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 10))
    tithe.SmallDense(model, torch.optim.SGD(model.parameters(), 0.1), density=0.3)
    fan_in = model[2].in_features
    assert fan_in < 400
    assert float(model[2].weight.detach().std()) == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.05)


@pytest.mark.parametrize("kind", ["SmallDense", "GroupLasso"])
def test_a_model_without_channels_to_remove_is_refused(kind: str) -> None:
    model = nn.Sequential(nn.Linear(12, 4))
    options = {"density": 0.5} | ({"total_steps": 10, "every": 2} if kind == "GroupLasso" else {})
    with pytest.raises(tithe.UsageError, match="no channels to remove"):
        getattr(tithe, kind)(model, torch.optim.SGD(model.parameters(), 0.1), **options)
    model = mlp()
    with pytest.raises(tithe.UsageError, match="with one channel in each layer"):
        getattr(tithe, kind)(model, torch.optim.SGD(model.parameters(), 0.1), **options | {"density": 0.001})


def normed(*first: nn.Module, width: int = 30, positions: int = 30) -> nn.Sequential:
    """Its norm is over features of [N, 10], or over the positions of [N, positions, 10]."""
    return nn.Sequential(
        *first, nn.Linear(10, width), nn.BatchNorm1d(positions), nn.ReLU(), nn.Linear(width, 4)
    ).double()


@pytest.mark.parametrize("first", [(), (nn.Flatten(),)])
@pytest.mark.parametrize("saved", [True, False])
def test_a_norm_over_features_is_cut(first: tuple[nn.Module, ...], saved: bool) -> None:
    model = normed(*first)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9)
    tithe.SmallDense(model, optimizer, density=0.5)
    model = copy.deepcopy(model) if saved else model
    stepped(model, (10,), 3)
    assert model[-1].in_features < 30


def test_a_norm_over_positions_is_not_taken_for_one_over_features() -> None:
    """Where both numbers are the same nothing tells them apart but the first input."""
    for positions in (15, 31, 60):
        assert spaces(normed(positions=positions)) == []
    model = normed()
    tithe.SmallDense(model, torch.optim.SGD(model.parameters(), 0.05), density=0.5)
    for _ in range(2):
        with pytest.raises(tithe.UsageError, match=r"\(16, 30, 15\).*prunes weights"):
            stepped(model, (30, 10), 1)


def test_a_flat_norm_has_a_feature_for_each_pixel_of_a_channel() -> None:
    layers = (
        nn.Conv2d(1, 6, 3),
        nn.Flatten(),
        nn.BatchNorm1d(96),
        nn.Linear(96, 30),
        nn.BatchNorm1d(30),
        nn.Linear(30, 4),
    )
    model = nn.Sequential(*layers).double()
    assert [space.size for space in spaces(model)] == [6, 30]
    tithe.SmallDense(model, torch.optim.SGD(model.parameters(), 0.05), density=0.5)
    stepped(model, (1, 6, 6), 2)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_cut_norm_compiles() -> None:
    model = normed()
    tithe.SmallDense(model, torch.optim.SGD(model.parameters(), 0.05), density=0.5)
    torch.compiler.reset()
    stepped(torch.compile(model, backend="aot_eager", fullgraph=True), (10,), 3)


def test_state_that_cannot_shrink_is_refused_before_anything_changes() -> None:
    """Adafactor keeps one number a row and one a column of a matrix; of a sparse layer's values, one a weight."""
    torch.manual_seed(0)
    model, small = mlp(), mlp()
    keep_channels(spaces(small)[0], torch.arange(5), None)
    half = mlp()  # nobody reads a unit of its first space, which could shrink; a unit of the second is always zero
    mask = torch.ones(16, 20, dtype=torch.bool)
    mask[3], mask[:, 2] = False, False
    half[0] = tithe.SparseLinear.from_dense(half[0], density=0.5)
    half[2] = tithe.SparseLinear.from_dense(nn.Linear(20, 16, bias=False), mask=mask)

    def trained(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adafactor(model.parameters(), 0.01)
        model(torch.randn(8, 12)).sum().backward()
        optimizer.step()
        return optimizer

    optimizer, other = trained(model), trained(half)
    changes = [
        (model, tithe.GroupLasso(model, optimizer, total_steps=2, density=0.3, every=1, strength=0.01).step),
        (model, lambda: tithe.fit_channels(model, small.state_dict(), optimizer)),
        (half, lambda: tithe.remove_dead_channels(half, other)),
    ]
    for changed, change in changes:
        shapes = [value.shape for value in changed.state_dict().values()]
        with pytest.raises(tithe.UsageError, match=r"Adafactor keeps 'row_var' \(.*\) for layer '.'.*use SGD, Adam"):
            change()
        assert [value.shape for value in changed.state_dict().values()] == shapes
