"""What a scout folds in is what the weights learn from: at the existing weights its gradient is theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import tithe
from tithe.methods.scouting import GRADIENT
from tithe.nn import SparseLayer
from tithe.scout import Scout

Pass = Callable[[nn.Module, Tensor, Tensor], None]


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def plain(model: nn.Module, x: Tensor, y: Tensor) -> None:
    loss_of(model, x, y).backward()


def adversarial(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """FGSM: the first backward pass is for the input, the second for the weights."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss_of(model, x, y), x)
    plain(model, (x + 0.1 * slope.sign()).detach(), y)


def saliency_afterwards(model: nn.Module, x: Tensor, y: Tensor) -> None:
    plain(model, x, y)
    x = x.clone().requires_grad_()
    torch.autograd.grad(loss_of(model, x, y), x)


def saliency_and_weights_of_one_graph(model: nn.Module, x: Tensor, y: Tensor) -> None:
    x = x.clone().requires_grad_()
    loss = loss_of(model, x, y)
    torch.autograd.grad(loss, x, retain_graph=True)
    loss.backward()


def gradient_of_weights_only_looked_at(model: nn.Module, x: Tensor, y: Tensor) -> None:
    torch.autograd.grad(loss_of(model, x, y), list(model.parameters()))
    plain(model, x, y)


def penalty_of_weights(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """The last backward pass reaches the weights, but not through the layer."""
    plain(model, x, y)
    x = x.clone().requires_grad_()
    torch.autograd.grad(loss_of(model, x, y), x)
    (0.0 * sum(parameter.square().sum() for parameter in model.parameters())).backward()


def accumulated(model: nn.Module, x: Tensor, y: Tensor) -> None:
    for part in (slice(0, 5), slice(5, 8)):
        adversarial(model, x[part], y[part])


def both_forwards_first(model: nn.Module, x: Tensor, y: Tensor) -> None:
    losses = [loss_of(model, x[part], y[part]) for part in (slice(0, 5), slice(5, 8))]
    for loss in losses:
        loss.backward()


def recomputed(reentrant: bool) -> Pass:
    def run(model: nn.Module, x: Tensor, y: Tensor) -> None:
        x = x.clone().requires_grad_()
        torch.autograd.grad(loss_of(model, x, y), x)
        halves = [lambda h, part=part: checkpoint(part, h, use_reentrant=reentrant) for part in (model[:2], model[2:])]
        nn.functional.cross_entropy(halves[1](halves[0](x)), y).backward()

    return run


PASSES: dict[str, Pass] = {
    "plain": plain,
    "adversarial": adversarial,
    "saliency afterwards": saliency_afterwards,
    "saliency and weights of one graph": saliency_and_weights_of_one_graph,
    "gradient of weights only looked at": gradient_of_weights_only_looked_at,
    "penalty of weights": penalty_of_weights,
    "accumulated": accumulated,
    "both forwards first": both_forwards_first,
    "recomputed": recomputed(False),
    "recomputed, reentrant": recomputed(True),
}


def used_twice() -> nn.Sequential:
    layer = nn.Linear(12, 12)
    return nn.Sequential(nn.Linear(12, 12), nn.ReLU(), layer, nn.ReLU(), layer)


def used_in_both_halves() -> nn.Sequential:
    layer = nn.Linear(12, 12)
    return nn.Sequential(layer, nn.ReLU(), layer)


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "linear": lambda: nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4)),
    "used twice": used_twice,
    "used in both halves": used_in_both_halves,
}


def scouted(layer: SparseLayer, scout: Scout) -> Tensor:
    scout.fold(GRADIENT, 1)
    return scout.first.view(-1)[layer.topology.positions()]


@pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_scout_sees_the_passes_that_the_weights_learn_from(network: Callable[[], nn.Sequential], run: Pass) -> None:
    torch.manual_seed(0)
    model = tithe.sparsify(network().double(), 0.5)
    x, y = torch.randn(8, 12, dtype=torch.float64), torch.randint(4, (8,))
    scouts = {name: Scout(layer, GRADIENT) for name, layer in tithe.sparse_layers(model).items()}
    for _ in range(2):  # the second step starts with nothing of the first
        model.zero_grad()
        run(model, x, y)
        for name, layer in tithe.sparse_layers(model).items():
            torch.testing.assert_close(scouted(layer, scouts[name]), layer.values.grad)


def test_what_is_no_use_is_not_kept() -> None:
    """Ten backward passes for the input leave no more behind than one."""
    model = tithe.sparsify(nn.Sequential(nn.Linear(12, 4)), 0.5)
    Scout(model[0], GRADIENT)
    x = torch.randn(8, 12, requires_grad=True)
    for _ in range(10):
        torch.autograd.grad(model(x).sum(), x)
    assert len(model[0].record.pending) == 1
    model(x).sum().backward()
    assert (len(model[0].record.passes), len(model[0].record.pending)) == (1, 0)


def training() -> tuple[nn.Sequential, torch.optim.Optimizer, tithe.SparseMomentum]:
    torch.manual_seed(0)
    model = tithe.sparsify(nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 4)), 0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9)
    return model, optimizer, tithe.SparseMomentum(model, optimizer, every=4, total_steps=20, scout_steps=4)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=False)
    plain(model, torch.randn(8, 12), torch.randint(4, (8,)))
    optimizer.step()


def test_gradients_that_are_zeroed_before_the_method_s_step_are_an_error() -> None:
    model, optimizer, method = training()
    step(model, optimizer)
    method.step()
    step(model, optimizer)
    optimizer.zero_grad(set_to_none=False)
    with pytest.raises(tithe.UsageError, match=r"call step\(\) after optimizer.step\(\) and before .*zero_grad\(\)"):
        method.step()


def test_gradients_that_are_zero_are_none() -> None:
    """Of one layer, by the loss, because its unit is frozen for a while, or of all, by the loss."""
    model, optimizer, method = training()
    step(model, optimizer)
    model[0].values.grad.zero_()
    method.step()
    optimizer.zero_grad()
    (0.0 * model(torch.randn(8, 12)).sum()).backward()
    optimizer.step()
    method.step()
    step(model, optimizer)
    for parameter in model.parameters():
        parameter.grad.mul_(1e-30)  # its square is zero
    method.step()
    assert all(scout.steps == 3 for scout in method._scouts.values())
