"""Whole networks: after sparsify no activation and no gradient changes its layout behind the first layer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import tithe.nn
from tithe import SparseConv2d, densify, sparsify
from tithe.nn import BatchNorm2d, MaxPool2d, ReLU
from tithe.train.models import build

NETWORKS = {
    "wrn-16-8": ((3, 8, 8), 13, 13),
    "resnet18": ((3, 8, 8), 17, 20),  # the norms of three shortcuts have no ReLU
    "vgg-c": ((3, 32, 32), 13, 13),
    "alexnet-s": ((3, 32, 32), 5, 5),
    "lenet-5": ((1, 28, 28), 0, 0),
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Without dropout, so that two copies compute the same."""
    torch.manual_seed(0)
    shape = NETWORKS[name][0]
    model = sparsify(build(name, shape, 10), 0.05, kernel="sparse")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model, torch.randn(6, *shape)


def plain(model: nn.Module) -> nn.Module:
    """A copy with torch's own norms, ReLUs and pools around the sparse layers."""
    model = copy.deepcopy(model)
    tithe.nn.layout.leave_layout(model.modules())
    return model


def is_innermost(x: Tensor) -> bool:
    return x.movedim(0, -1).is_contiguous()


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_image_and_its_gradient_is_batch_innermost(name: str, bf16: bool, training: bool, monkeypatch) -> None:
    """And so is what a flattening makes of the last one: [N, F] with N innermost, for a sparse linear layer.

    Under autocast all of them are bfloat16, and no norm is torch's.
    """
    model, x = network(name)
    model.train(training)
    monkeypatch.setattr(BatchNorm2d, "_plain", None)
    dtype = torch.bfloat16 if bf16 else torch.float32
    seen: dict[tuple[str, str], bool] = {}

    def kept(x: Tensor) -> bool:
        return is_innermost(x) and x.dtype == dtype

    def look(where: str, kind: type, y: Tensor) -> None:
        if y.dim() == 4 or kind is nn.Flatten:
            seen[where, "activation"] = kept(y)
            y.register_hook(lambda g: seen.update({(where, "gradient"): kept(g)}))

    for where, module in model.named_modules():
        module.register_forward_hook(lambda m, _, y, where=where: look(where, type(m), y))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = model(x)
    y.float().logsumexp(1).sum().backward()
    assert len(seen) >= 2 * sum(isinstance(m, (SparseConv2d, nn.BatchNorm2d, MaxPool2d)) for m in model.modules())
    assert [place for place, good in seen.items() if not good] == []
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_and_relus_are_fused(name: str) -> None:
    model, _ = network(name)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(type(module) is BatchNorm2d for module in norms)
    assert (sum(norm.reader is not None for norm in norms), len(norms)) == NETWORKS[name][1:]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_result_is_that_of_torch_s_modules(name: str) -> None:
    model, x = network(name)
    reference = plain(model)
    assert not any(type(m) in (BatchNorm2d, ReLU, MaxPool2d) for m in reference.modules())
    for training in (True, False):
        outputs = []
        for each in (model, reference):
            each.train(training).zero_grad()
            outputs.append(each(x))
            outputs[-1].logsumexp(1).sum().backward()
        torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-3)
        for (where, p), q in zip(model.named_parameters(), reference.parameters(), strict=True):
            assert (p.grad - q.grad).norm() <= 1e-3 * q.grad.norm() + 1e-5, where
    for (key, value), other in zip(model.state_dict().items(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", ["wrn-16-8", "resnet18", "vgg-c"])
def test_in_bfloat16_errors_are_no_larger_than_with_torch_s_modules(name: str, training: bool) -> None:
    """A network amplifies what each layer rounds, in its gradients above all; with either modules about as much."""
    model, x = network(name)
    model.train(training)
    exact = copy.deepcopy(model).double()
    should = exact(x.double())
    should.logsumexp(1).sum().backward()
    errors = []
    for each in (model, plain(model)):
        with torch.autocast("cpu", torch.bfloat16):
            y = each(x)
        y.float().logsumexp(1).sum().backward()
        pairs = zip(each.parameters(), exact.parameters(), strict=True)
        of_gradients = [((p.grad - q.grad).norm() / q.grad.norm()).item() for p, q in pairs]
        errors.append(((y.double() - should).norm().item(), sum(of_gradients)))
    for ours, theirs in zip(*errors, strict=True):
        assert ours <= 2 * theirs


def test_there_and_back() -> None:
    torch.manual_seed(0)
    model = build("resnet18", (3, 8, 8), 10)
    kinds, keys = [type(m) for m in model.modules()], list(model.state_dict())
    norm = model.norm1
    calls = []
    norm.register_forward_hook(lambda *_: calls.append(1))
    norm.weight.requires_grad_(False)
    norm.eval()
    sparsify(model, 0.1)
    assert model.norm1 is norm
    assert type(norm) is BatchNorm2d
    assert (norm.weight.requires_grad, norm.bias.requires_grad, norm.training) == (False, True, False)
    assert [key for key in model.state_dict() if "norm" in key] == [key for key in keys if "norm" in key]
    model(torch.randn(2, 3, 8, 8))
    assert calls == [1]
    densify(model)
    assert [type(m) for m in model.modules()] == kinds
    assert list(model.state_dict()) == keys
    assert not any("reader" in vars(m) for m in model.modules())


def test_keep_dense_keeps_norms_and_pools() -> None:
    stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(stem, nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
    sparsify(model, 0.5, keep_dense=["0", nn.MaxPool2d])
    assert [type(m) for m in stem] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]
    assert type(model[2]) is BatchNorm2d
    assert type(model[4]) is nn.MaxPool2d
    assert model(torch.randn(2, 1, 14, 14)).shape == (2, 3, 2, 2)


def test_subclasses_and_models_without_sparse_convolutions_are_left_alone() -> None:
    class Own(nn.BatchNorm2d):
        pass

    model = sparsify(nn.Sequential(nn.Conv2d(1, 2, 3), Own(2), nn.ReLU()), 0.5)
    assert [type(m) for m in model][1:] == [Own, nn.ReLU]
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(18, 2))
    sparsify(model, 0.5, keep_dense=["0"])
    assert type(model[1]) is nn.BatchNorm2d
