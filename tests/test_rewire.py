"""The one place that changes a live model."""

import pytest
import torch
from torch import nn

import tithe
from tithe import rewire
from tithe.nn import sparse_layers
from tithe.rewire import LayerPlan


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return tithe.sparsify(nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3)), 0.4)


def stepped(model: nn.Module, make=torch.optim.Adam) -> torch.optim.Optimizer:
    optimizer = make(model.parameters(), lr=0.01)
    model(torch.randn(5, 10)).square().sum().backward()
    optimizer.step()
    return optimizer


def at(layer: tithe.SparseLinear, *indices: int) -> torch.Tensor:
    chosen = torch.zeros(layer.nnz, dtype=torch.bool)
    chosen[list(indices)] = True
    return chosen


def free_positions(layer: tithe.SparseLinear) -> torch.Tensor:
    return (~layer.topology.to_mask()).view(-1).nonzero().view(-1)


def test_values_and_state_follow_their_positions(model) -> None:
    optimizer = stepped(model)
    layer = model[0]
    parameter = layer.values
    grow, drop = free_positions(layer)[[1, 5, 9]], at(layer, 0, 4)
    old = {int(p): i for i, p in enumerate(layer.topology.positions())}
    values, state = layer.values.detach().clone(), {k: v.clone() for k, v in optimizer.state[parameter].items()}
    average = torch.tensor([1.0, 2.0, 3.0])
    rewire.apply(sparse_layers(model), optimizer, {"0": LayerPlan(drop, grow, {"exp_avg": average})})
    assert layer.values is parameter
    assert layer.values.grad is None
    assert layer.nnz == len(old) + 1
    for index, position in enumerate(layer.topology.positions().tolist()):
        new = {key: value[index] for key, value in optimizer.state[parameter].items() if value.dim()}
        if position in old:
            assert not drop[old[position]]
            assert layer.values[index] == values[old[position]]
            assert all(new[key] == state[key][old[position]] for key in new)
        else:
            assert layer.values[index] == 0
            assert new["exp_avg"] == average[grow.tolist().index(position)]
            torch.testing.assert_close(new["exp_avg_sq"], state["exp_avg_sq"].mean())
    assert optimizer.state[parameter]["step"] == state["step"]


def test_dropped_and_grown_at_once_keeps_its_momentum_and_starts_at_zero(model) -> None:
    optimizer = stepped(model)
    layer = model[0]
    position = layer.topology.positions()[3:4].clone()
    average = optimizer.state[layer.values]["exp_avg"][3].clone()
    plan = LayerPlan(at(layer, 3), position, {"exp_avg": torch.tensor([99.0])})
    rewire.apply(sparse_layers(model), optimizer, {"0": plan})
    assert layer.topology.positions()[3] == position
    assert layer.values[3] == 0
    assert optimizer.state[layer.values]["exp_avg"][3] == average


def test_unknown_state_is_an_error_and_nothing_changes(model) -> None:
    optimizer = stepped(model)
    layers = sparse_layers(model)
    before = {name: (layer.topology, layer.values.detach().clone()) for name, layer in layers.items()}
    optimizer.state[layers["2"].values]["row_factors"] = torch.zeros(3)
    plans = {name: LayerPlan(at(layer, 0), free_positions(layer)[:1]) for name, layer in layers.items()}
    with pytest.raises(tithe.UsageError, match=r"Adam keeps 'row_factors'.*layer '2'"):
        rewire.apply(layers, optimizer, plans)
    for name, layer in layers.items():
        assert layer.topology == before[name][0]
        assert torch.equal(layer.values, before[name][1])


def test_an_optimizer_made_before_sparsify_is_refused() -> None:
    model = nn.Sequential(nn.Linear(10, 8))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tithe.sparsify(model, 0.5)
    with pytest.raises(tithe.UsageError, match=r"after sparsify"):
        tithe.SparseMomentum(model, optimizer, every=10, total_steps=100)


def test_lbfgs_is_refused_at_the_first_rewiring_before_anything_changes(model) -> None:
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1e-3, max_iter=1)
    x = torch.randn(5, 10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    method = tithe.SparseMomentum(model, optimizer, every=2, total_steps=10, scout_steps=1)
    before = [layer.topology for layer in sparse_layers(model).values()]
    optimizer.step(closure)
    method.step()
    optimizer.step(closure)
    with pytest.raises(tithe.UsageError, match="LBFGS keeps"):
        method.step()
    assert before == [layer.topology for layer in sparse_layers(model).values()]
