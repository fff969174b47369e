"""A rehearsed step takes what a real one takes: FLOP to the last multiply-add, and every byte of what is held."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.flop_counter import FlopCounterMode

import tithe
from tithe.cost.memory import footprint
from tithe.cost.rehearsal import Rehearsal, Sparse
from tithe.train.models import build

MNIST, CIFAR, IMAGENET = (1, 28, 28), (3, 32, 32), (3, 224, 224)
MODELS = [
    *[("lenet-300-100", MNIST), ("lenet-5", MNIST), ("mlp:40-30", (13,)), ("alexnet-s", CIFAR), ("alexnet-b", CIFAR)],
    *[("vgg-c", CIFAR), ("vgg-d", CIFAR), ("vgg-like", CIFAR), ("wrn-10-2", CIFAR), ("wrn-16-8", CIFAR)],
    *[("resnet18", CIFAR), ("resnet50", (3, 64, 64))],
]
BATCH = 3


def on_meta(name: str, shape: tuple[int, ...], classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build(name, shape, classes)


def sgd(parameters) -> optim.Optimizer:
    return optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True)


def batch(shape: tuple[int, ...], size: int = BATCH):
    return torch.empty(size, *shape, device="meta"), torch.empty(size, dtype=torch.int64, device="meta")


def positions(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Where each weight of a layer is used, for one example: output pixels of a convolution, 1 of a linear layer."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda m, x, y, name=name: found.update({name: math.prod(y.shape[2:])}))
    model(torch.empty(2, *shape, device="meta"))
    return found


def closed_form(uses: dict[str, int], weights: dict[str, int], first: str) -> int:
    """2 FLOP a weight, example and use in each of three passes; the first layer's input needs no gradient."""
    passes = {name: 2 if name == first else 3 for name in weights}
    return sum(2 * BATCH * uses[name] * count * passes[name] for name, count in weights.items())


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_flop_are_those_of_the_closed_form(name, shape):
    uses = positions(on_meta(name, shape), shape)
    dense = on_meta(name, shape)
    logical = {name: dense.get_submodule(name).weight.numel() for name in uses}
    first = next(iter(uses))
    assert Rehearsal(dense, sgd, None, F.cross_entropy).step(*batch(shape)).flop == closed_form(uses, logical, first)
    twin = Rehearsal(dense, sgd, Sparse(0.1), F.cross_entropy)
    nnz = {name: layer.nnz for name, layer in twin.layers.items()}
    assert sum(nnz.values()) == round(0.1 * sum(logical.values()))
    plain = closed_form(uses, nnz, first)
    assert twin.step(*batch(shape)).flop == plain
    scouting = sum(2 * BATCH * uses[name] * logical[name] for name in logical)
    assert twin.step(*batch(shape), scouting=True).flop == plain + scouting
    assert twin.step(*batch(shape)).flop == plain, "and none of it stays"


def test_resnet_50_has_the_published_multiply_adds():
    """4.09 G forward for one image of 224 x 224 (torchvision's table of weights); 25.6 M parameters."""
    model = on_meta("resnet50", IMAGENET, 1000)
    uses = positions(on_meta("resnet50", IMAGENET, 1000), IMAGENET)
    macs = {name: uses[name] * model.get_submodule(name).weight.numel() for name in uses}
    assert sum(macs.values()) == 4_089_184_256
    assert sum(p.numel() for p in model.parameters()) == 25_557_032
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, *IMAGENET, device="meta"))
    assert counter.get_total_flops() == 2 * 4_089_184_256
    step = Rehearsal(model, sgd, None, lambda outputs, y: F.cross_entropy(outputs, y))
    assert step.step(*batch(IMAGENET, 1)).flop == 2 * (3 * sum(macs.values()) - macs["conv1"])


@pytest.mark.parametrize(("name", "shape"), [MODELS[1], ("mlp:40-30", (13,)), ("wrn-10-1", (3, 8, 8))])
@pytest.mark.parametrize("optimizer", [sgd, lambda p: optim.Adam(p, 1e-3), lambda p: optim.SGD(p, 0.1)])
def test_what_is_held_and_counted_is_what_a_real_step_holds_and_counts(name, shape, optimizer):
    torch.manual_seed(0)
    model = tithe.sparsify(build(name, shape, 10), 0.3, kernel="sparse")
    optimiser = optimizer(model.parameters())
    method = tithe.SparseMomentum(model, optimiser, every=4, total_steps=9, scout_steps=2, redistribute=False)
    x, y = torch.randn(BATCH, *shape), torch.randint(10, (BATCH,))
    seen = []
    for _ in range(4):
        with FlopCounterMode(display=False) as counter:
            F.cross_entropy(model(x), y).backward()
            optimiser.step()
            held = footprint(model, optimiser, method.scout_bytes())
            method.step()
        optimiser.zero_grad()
        seen.append((counter.get_total_flops(), held))
    twin = Rehearsal(on_meta(name, shape), optimizer, Sparse(0.3), F.cross_entropy)
    for step, scouting in ((1, False), (3, True)):  # the second and the last, which rewires
        rehearsed = twin.step(x, y, scouting=scouting)
        assert (rehearsed.flop, rehearsed.held) == seen[step]


def test_nothing_is_allocated_and_the_model_stays_as_it_is():
    """A layer of 40 GB: whoever touched its memory would not come back."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(100_000, 100_000, bias=False), nn.Linear(100_000, 10))
    twin = Rehearsal(model, sgd, Sparse(0.01), F.cross_entropy)
    step = twin.step(*batch((100_000,)), scouting=True)
    assert step.held.scouting == 4 * (10**10 + 10**6)
    assert step.held.weights + step.held.gradients == 2 * 4 * (round(0.01 * (10**10 + 10**6)) + 10)
    assert [type(module) for module in model] == [nn.Linear, nn.Linear]
    assert all(parameter.is_meta and parameter.grad is None for parameter in model.parameters())


def test_a_real_model_is_looked_at_only():
    torch.manual_seed(0)
    model = build("wrn-10-1", (3, 8, 8), 10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    Rehearsal(model, sgd, Sparse(0.3), F.cross_entropy).step(*batch((3, 8, 8)), scouting=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_activations_grow_with_the_batch_and_weights_do_not():
    twin = Rehearsal(on_meta("lenet-5", MNIST), sgd, Sparse(0.1), F.cross_entropy)
    one, four = twin.step(*batch(MNIST, 8)), twin.step(*batch(MNIST, 32))
    assert four.held == one.held
    assert four.activations == pytest.approx(4 * one.activations, rel=0.05)
    assert four.peak > one.peak


def test_in_bfloat16_activations_take_half():
    full, half = (
        Rehearsal(on_meta("resnet18", CIFAR), sgd, Sparse(0.05), F.cross_entropy, bf16).step(*batch(CIFAR, 8))
        for bf16 in (False, True)
    )
    assert half.activations == pytest.approx(full.activations / 2, rel=0.1)
    assert half.held == full.held
    assert half.flop == full.flop


def peak_of_torch(step) -> int:
    """Most bytes that torch's allocator has given out beyond those at the start, while `step` runs."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as profiler:
        step()
    alive = highest = 0
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        highest = max(highest, alive)
    return highest


@pytest.mark.parametrize(("name", "shape"), [("lenet-300-100", MNIST), ("wrn-10-1", (3, 8, 8))])
@pytest.mark.parametrize("density", [None, 0.1])
def test_the_peak_is_the_allocators(name, shape, density):
    """Within 10 %; benchmarks/plans_say_what_training_takes.py has all models."""
    torch.manual_seed(0)
    model = build(name, shape, 10)
    if density is not None:
        tithe.sparsify(model, density, kernel="sparse")
    optimiser = sgd(model.parameters())
    x, y = torch.randn(16, *shape), torch.randint(10, (16,))

    def step() -> None:
        outputs = model(x)
        loss = F.cross_entropy(outputs, y)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    held = footprint(model, optimiser, 0).total + x.nbytes + y.nbytes
    sparse = None if density is None else Sparse(density)
    rehearsed = Rehearsal(on_meta(name, shape), sgd, sparse, F.cross_entropy).step(x, y)
    assert rehearsed.peak == pytest.approx(held + peak_of_torch(step), rel=0.1)
