"""What every rewiring of sparse momentum promises, and what it refuses."""

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import tithe
from tithe.nn import sparse_layers

from .nets import mlp, sgd


def train(model, optimizer, method, steps, shape=(12,), classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(16, *shape, generator=generator)
        y = torch.randint(classes, (16,), generator=generator)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        method.step()


@settings(deadline=None, max_examples=25)
@given(
    widths=st.lists(st.integers(1, 24), min_size=2, max_size=5),
    density=st.floats(0.05, 1.0),
    rate=st.floats(0.01, 1.0),
    redistribute=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_density_is_exact_after_every_rewiring(widths, density, rate, redistribute, seed) -> None:
    torch.manual_seed(seed)
    model = mlp(12, *widths, 4)
    try:
        tithe.sparsify(model, density)
    except tithe.UsageError:
        return  # so few weights that a layer would get none
    layers = sparse_layers(model)
    nnz = sum(layer.nnz for layer in layers.values())
    optimizer = sgd(model)
    method = tithe.SparseMomentum(
        model, optimizer, every=3, total_steps=30, rate=rate, redistribute=redistribute, scout_steps=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some of these networks are cut through
        for _ in range(10):
            train(model, optimizer, method, 3)
            assert sum(layer.nnz for layer in layers.values()) == nnz
            assert all(layer.nnz >= 1 for layer in layers.values())
            for layer in layers.values():
                tithe.Topology.from_csr(layer.topology.indptr, layer.topology.indices, layer.matrix_shape)
    assert len(method.history) == 9


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05),
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, dampening=0.1),
    "maximize": lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, 1e-2),
    "amsgrad": lambda p: torch.optim.Adam(p, 1e-2, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_with_state_per_element(name: str) -> None:
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4), 0.3)
    optimizer = OPTIMIZERS[name](model.parameters())
    method = tithe.SparseMomentum(model, optimizer, every=10, total_steps=60, scout_steps=5)
    train(model, optimizer, method, 60)
    assert len(method.history) == 5
    assert all(rewiring.skipped is None for rewiring in method.history)
    for layer in sparse_layers(model).values():
        for state in optimizer.state[layer.values].values():
            assert state is None or state.dim() == 0 or state.shape == layer.values.shape
        assert torch.isfinite(layer.values).all()


def test_adam_ranks_by_its_direction_and_grown_weights_take_their_averages() -> None:
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 4).double(), 0.5)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    method = tithe.SparseMomentum(model, optimizer, every=8, total_steps=80, scout_steps=8, grown_momentum=True)
    (layer,) = sparse_layers(model).values()
    m, v = torch.zeros(4, 12, dtype=torch.float64), torch.zeros(4, 12, dtype=torch.float64)
    for _ in range(8):
        x, y = torch.randn(16, 12, dtype=torch.float64), torch.randint(4, (16,))
        weight = layer.dense_weight().requires_grad_()
        loss = functional.cross_entropy(functional.linear(x, weight, layer.bias.detach()), y)
        (gradient,) = torch.autograd.grad(loss, weight)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        before, values = layer.topology.positions(), layer.values.detach().clone()
        method.step()
    direction = (m / (v.sqrt() + 1e-8)).view(-1).abs()
    dropped = before[values.abs().argsort()[: method.history[0].dropped]]
    kept = set(before.tolist()) - set(dropped.tolist())
    free = [i for i in range(48) if i not in kept]
    expected = sorted(free, key=lambda i: -float(direction[i]))[: len(dropped)]
    assert sorted(kept | set(expected)) == layer.topology.positions().tolist()
    state = optimizer.state[layer.values]
    torch.testing.assert_close(state["exp_avg"], m.view(-1)[layer.topology.positions()])
    torch.testing.assert_close(state["exp_avg_sq"], v.view(-1)[layer.topology.positions()])


def final_values(accumulate: int, clip: float | None, scale: float = 1.0) -> list[torch.Tensor]:
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4).double(), 0.3)
    optimizer = sgd(model)
    method = tithe.SparseMomentum(model, optimizer, every=10, total_steps=60, scout_steps=10)
    for _ in range(60):
        x, y = torch.randn(16, 12, dtype=torch.float64), torch.randint(4, (16,))
        optimizer.zero_grad()
        for part_x, part_y in zip(x.chunk(accumulate), y.chunk(accumulate), strict=True):
            (functional.cross_entropy(model(part_x), part_y) * (scale / accumulate)).backward()
        for parameter in model.parameters():
            parameter.grad.div_(scale)
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        method.step()
    return [layer.dense_weight() for layer in sparse_layers(model).values()]


def test_gradient_accumulation_changes_nothing() -> None:
    for one, four in zip(final_values(1, None), final_values(4, None), strict=True):
        torch.testing.assert_close(one, four)


def test_loss_scaling_changes_nothing() -> None:
    """As a GradScaler does: the loss is scaled, the gradient unscaled before the step."""
    for plain, scaled in zip(final_values(1, 0.5), final_values(1, 0.5, scale=1024.0), strict=True):
        torch.testing.assert_close(plain, scaled)


def test_clipping_reaches_the_grown_weights_momentum() -> None:
    """Clipped by norm, the signal is scaled as the gradient was: momentum of old and grown weights is of one size."""
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4).double(), 0.3)
    optimizer = sgd(model)
    method = tithe.SparseMomentum(model, optimizer, every=10, total_steps=60, scout_steps=10, grown_momentum=True)
    for _ in range(10):
        x, y = torch.randn(16, 12, dtype=torch.float64), torch.randint(4, (16,))
        optimizer.zero_grad()
        (1000 * functional.cross_entropy(model(x), y)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        method.step()
    for layer in sparse_layers(model).values():
        momentum = optimizer.state[layer.values]["momentum_buffer"].abs()
        grown = layer.values.detach() == 0
        assert grown.any()
        assert momentum[grown].max() < 20 * momentum[~grown].max()


def test_stopped_in_a_scouting_window_and_resumed_equals_trained_through() -> None:
    def start():
        torch.manual_seed(1)
        model = tithe.sparsify(mlp(12, 20, 4), 0.3)
        optimizer = sgd(model)
        return model, optimizer, tithe.SparseMomentum(model, optimizer, every=10, total_steps=60, scout_steps=6)

    through = start()
    train(*through, 27)
    train(*through, 33, seed=9)
    stopped = start()
    train(*stopped, 27)
    assert stopped[2].scouting
    saved = copy.deepcopy([part.state_dict() for part in stopped])
    resumed = start()
    for part, state in zip(resumed, saved, strict=True):
        part.load_state_dict(state)
    train(*resumed, 33, seed=9)
    for one, other in zip(through[0].state_dict().items(), resumed[0].state_dict().items(), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    assert through[2].history == resumed[2].history


def test_old_graphs_may_live_over_a_rewiring() -> None:
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4), 0.3)
    optimizer = sgd(model)
    method = tithe.SparseMomentum(model, optimizer, every=2, total_steps=20, scout_steps=1)
    losses = []
    for _ in range(20):
        loss = functional.cross_entropy(model(torch.randn(8, 12)), torch.randint(4, (8,)))
        losses.append(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.step()
    assert len(method.history) == 9


def test_nothing_dense_lives_outside_the_window() -> None:
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4), 0.3)
    optimizer = sgd(model)
    method = tithe.SparseMomentum(model, optimizer, every=10, total_steps=40, scout_steps=3)
    alive = []
    for _ in range(40):
        alive.append(method.scouting)
        train(model, optimizer, method, 1)
    expected = [step % 10 >= 7 and step < 30 for step in range(40)]
    assert alive == expected
    assert method.scout_bytes() == 0
    assert all(layer.record is None for layer in sparse_layers(model).values())
    assert all(not (layer.values._post_accumulate_grad_hooks or {}) for layer in sparse_layers(model).values())


def test_no_rewiring_on_a_step_that_is_not_finite() -> None:
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4), 0.3)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    method = tithe.SparseMomentum(model, optimizer, every=4, total_steps=40, scout_steps=2)
    layers = sparse_layers(model)
    train(model, optimizer, method, 3)
    before = {name: layer.topology for name, layer in layers.items()}
    functional.cross_entropy(model(torch.full((2, 12), torch.inf)), torch.tensor([0, 1])).backward()
    method.step()
    assert method.history[-1].skipped is not None
    assert method.history[-1].grown == 0
    assert all(layer.topology == before[name] for name, layer in layers.items())
    train(model, optimizer, method, 4)  # and it goes on
    assert method.history[-1].skipped is None


def test_a_network_that_is_cut_through_says_so_and_heals() -> None:
    torch.manual_seed(0)
    model = mlp(6, 8, 4)
    first, second = torch.zeros(8, 6, dtype=torch.bool), torch.zeros(4, 8, dtype=torch.bool)
    first[:4] = torch.rand(4, 6) < 0.5  # the first layer writes to units 0-3, the second reads 4-7
    second[:, 4:] = torch.rand(4, 4) < 0.5
    model[0] = tithe.SparseLinear.from_dense(model[0], mask=first)
    model[2] = tithe.SparseLinear.from_dense(model[2], mask=second)
    with torch.no_grad():
        model[0].bias.fill_(0.0)
    model[0].bias.requires_grad_(False)
    optimizer = sgd(model)
    method = tithe.SparseMomentum(model, optimizer, every=5, total_steps=40, scout_steps=3)
    x = torch.rand(16, 6)
    y = torch.randint(4, (16,))

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        method.step()

    def steps(count: int) -> None:
        for _ in range(count):
            step()

    with pytest.warns(UserWarning, match="no gradient reaches layer '0', '2'"):
        steps(5)
    steps(14)  # and no second warning
    assert method.history[0].grown > 0
    assert model[0].values.grad.any(), "a path has grown"


def test_a_place_without_any_signal_is_not_grown() -> None:
    """Pixels that are always dark have no gradient: their weights would be wasted."""
    torch.manual_seed(0)
    model = tithe.sparsify(mlp(12, 20, 4), 0.2)
    optimizer = sgd(model)
    method = tithe.SparseMomentum(model, optimizer, every=5, total_steps=60, scout_steps=5)
    layer = model[0]
    dark = layer.topology.indices < 6
    assert dark.any()
    for _ in range(60):
        x = torch.randn(16, 12)
        x[:, :6] = 0
        optimizer.zero_grad()
        functional.cross_entropy(model(x), x[:, 6:].argmax(1) % 4).backward()
        optimizer.step()
        method.step()
    assert (layer.topology.indices < 6).sum() < dark.sum() / 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"every": 0}, "every=0"),
        ({"total_steps": -1}, "total_steps=-1"),
        ({"rate": 0.0}, "rate=0.0"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"schedule": "step"}, "'cosine', 'linear'"),
        ({"scout_steps": 0}, "scout_steps=0"),
    ],
)
def test_bad_arguments(change, sentence) -> None:
    model = tithe.sparsify(mlp(12, 4), 0.5)
    arguments = {"every": 10, "total_steps": 100} | change
    with pytest.raises(tithe.UsageError, match=sentence):
        tithe.SparseMomentum(model, sgd(model), **arguments)


def test_a_dense_model_is_refused() -> None:
    model = mlp(12, 4)
    with pytest.raises(tithe.UsageError, match="sparsify"):
        tithe.SparseMomentum(model, sgd(model), every=10, total_steps=100)


def test_a_state_of_another_model_is_refused() -> None:
    one, other = tithe.sparsify(mlp(12, 4), 0.5), tithe.sparsify(mlp(9, 4), 0.5)
    method = tithe.SparseMomentum(one, sgd(one), every=10, total_steps=100, scout_steps=10)
    with pytest.raises(tithe.UsageError, match="'0'"):
        tithe.SparseMomentum(other, sgd(other), every=10, total_steps=100).load_state_dict(method.state_dict())
