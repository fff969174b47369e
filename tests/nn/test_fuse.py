"""Which ReLUs a norm may do: those that are its only reader, in training and evaluation, unseen by anybody."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tithe.nn import BatchNorm2d, ReLU, fuse
from tithe.nn.layout import leave_layout
from tithe.nn.norm import norm_plus


class Net(nn.Module):
    """Two norms, two ReLUs, and a forward that a test gives."""

    def __init__(self, way: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.norm, self.other = BatchNorm2d(3), BatchNorm2d(3)
        for norm in (self.norm, self.other):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self.relu, self.inplace = nn.ReLU(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def results(model: nn.Module) -> list[Tensor]:
    """Outputs, gradients and state of a training and an evaluating pass."""
    found = []
    for training in (True, False):
        model.train(training).zero_grad()
        x = torch.randn(5, 3, 4, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = model(x)
        y.pow(2).sum().backward()
        found += [y.detach(), x.grad, *[p.grad.clone() for p in model.parameters() if p.grad is not None]]
    return found + list(model.state_dict().values())


def assert_same(model: nn.Module, expected: list[Tensor]) -> None:
    for actual, should in zip(results(model), expected, strict=True):
        torch.testing.assert_close(actual, should, rtol=1e-4, atol=1e-4)


def expected(model: nn.Module) -> list[Tensor]:
    plain = copy.deepcopy(model)
    leave_layout(plain.modules())
    return results(plain)


FUSED = {
    "module": (lambda net, x: net.relu(net.norm(x)), 1),
    "in place": (lambda net, x: net.inplace(net.norm(x)), 1),
    "one ReLU for two norms": (lambda net, x: net.relu(net.other(net.relu(net.norm(x)))), 2),
    "a shortcut": (lambda net, x: net.relu(net.norm(x)) + x, 1),
    "added by the norm": (lambda net, x: net.relu(norm_plus(net.norm, x, x)), 1),
    "added to behind the ReLU, in place": (lambda net, x: net.relu(net.norm(x)).mul_(2), 1),
}
NOT_FUSED = {
    "function": lambda net, x: functional.relu(net.norm(x)),
    "method": lambda net, x: net.norm(x).relu(),
    "another reader": lambda net, x: (lambda y: net.relu(y) + y)(net.norm(x)),
    "something between": lambda net, x: net.relu(net.norm(x) + 1),
    "no ReLU": lambda net, x: net.norm(x) * 2,
    "also the output": lambda net, x: (lambda y: torch.cat([net.relu(y), y]))(net.norm(x)),
    "called twice": lambda net, x: net.relu(net.norm(net.relu(net.norm(x)))),
    "only in training": lambda net, x: net.relu(net.norm(x)) if net.training else net.norm(x),
    "only in evaluation": lambda net, x: net.norm(x) if net.training else net.relu(net.norm(x)),
    "control flow": lambda net, x: net.relu(net.norm(x)) if x.sum() > -1e9 else x,
    "hooked": lambda net, x: (lambda y: (y.register_hook(lambda g: None), net.relu(y))[1])(net.norm(x)),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused(name: str) -> None:
    way, count = FUSED[name]
    model = Net(way)
    if name != "added to behind the ReLU, in place":  # which torch refuses, since its ReLU keeps its output
        should = expected(model)
    else:
        should = expected(Net(lambda net, x: net.relu(net.norm(x)) * 2))
    assert fuse(model) == count
    assert type(model.relu) is ReLU or type(model.inplace) is ReLU
    assert_same(model, should)


@pytest.mark.parametrize("name", NOT_FUSED)
def test_not_fused(name: str) -> None:
    model = Net(NOT_FUSED[name])
    should = expected(model)
    assert fuse(model) == 0
    assert model.norm.reader is None
    assert type(model.relu) is nn.ReLU
    assert_same(model, should)


def test_modes_are_as_before() -> None:
    model = Net(FUSED["module"][0]).train()
    model.other.eval()
    fuse(model)
    assert [m.training for m in model.modules()] == [True, True, False, True, True]


def test_nothing_about_the_model_is_new() -> None:
    model = Net(FUSED["module"][0])
    names, keys = [name for name, _ in model.named_modules()], list(model.state_dict())
    fuse(model)
    assert [name for name, _ in model.named_modules()] == names
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize("where", ["norm", "relu"])
def test_a_hook_sees_what_it_would_see_without(where: str) -> None:
    """Hooks that come after fusing as well: while there is one, norm and ReLU do each its own work."""
    seen: list[Tensor] = []
    models = [Net(FUSED["module"][0]), Net(FUSED["module"][0])]
    fuse(models[0])
    handles = []
    for model in models:
        module = getattr(model, where)
        handles.append(module.register_forward_hook(lambda _, x, y: seen.append((x[0] * 1, y * 1))))
        handles.append(module.register_full_backward_hook(lambda _, dx, dy: seen.append((dx[0] * 1, dy[0] * 1))))
    found = [results(model) for model in models]
    assert len(seen) == 8
    torch.testing.assert_close(seen[:4], seen[4:])
    torch.testing.assert_close(*found)
    for handle in handles:
        handle.remove()
    x = torch.randn(5, 3, 4, 2)
    assert models[0].norm(x).min() == 0, "the hooks are gone: fused again"


def test_global_hooks() -> None:
    model = Net(FUSED["module"][0])
    fuse(model)
    least = []
    with nn.modules.module.register_module_forward_hook(lambda m, _, y: least.append((m, y.min().item()))):
        model(torch.randn(5, 3, 4, 2))
    assert dict(least)[model.norm] < 0 == dict(least)[model.relu]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_stay_fused_among_themselves(clone: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(BatchNorm2d(3), nn.ReLU())
    fuse(model)
    twin = clone(model)
    assert twin[0].reader is twin[1]
    assert twin[1] is not model[1]
    torch.testing.assert_close(results(clone(model)), results(twin))


def test_unknown_modules_are_not_looked_into() -> None:
    class Opaque(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    model = nn.Sequential(Opaque(), BatchNorm2d(3), nn.ReLU(), Opaque())
    assert fuse(model) == 1
