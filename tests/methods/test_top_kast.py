"""Top-KAST against plain dense arithmetic, what it costs, and the layers that compute with some of their weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tithe
from tithe.nn.explore import Exploring
from tithe.nn.layer import SparseLayer

from .table import DENSITY, EVERY, MODELS, STEPS, trial

LR, DECAY, MOMENTUM = 0.05, 5e-4, 0.9  # of the battery's optimizer


def largest(values: torch.Tensor, count: int) -> set[int]:
    flat = values.view(-1).tolist()
    return set(sorted(range(len(flat)), key=lambda i: (abs(flat[i]), i))[len(flat) - count :])


@pytest.mark.parametrize("model", MODELS)
def test_the_sets_are_the_largest_of_all_weights_and_hidden_ones_decay_more(model: str) -> None:
    """Beside dense vectors that are kept here, in double."""
    run = trial("top-kast", model, dtype=torch.float64)
    torch.manual_seed(1)
    weights = [m.weight for m in MODELS[model][0]().double() if isinstance(m, nn.Linear | nn.Conv2d)]
    dense = dict(zip(run.method.layers, [weight.detach().clone().view(-1) for weight in weights], strict=True))
    for step in range(1, STEPS + 1):
        if step % EVERY == 1:
            for name, layer in run.method.layers.items():
                places, mask = layer.topology.positions(), run.method._exploring[name].mask
                assert len(places) == round(2 * DENSITY * dense[name].numel())
                assert set(places.tolist()) == largest(dense[name], len(places))
                assert set(places[mask].tolist()) == largest(dense[name], round(DENSITY * dense[name].numel()))
        run.optimizer.zero_grad()
        run.loss(step).backward()
        run.optimizer.step()
        for name, layer in run.method.layers.items():
            values = layer.values.detach().clone()
            more = dense[name].numel() / mask_size(run, name) - 1
            values[~run.method._exploring[name].mask] *= 1 - LR / (1 - MOMENTUM) * DECAY * more
            dense[name][layer.topology.positions()] = values
        shown = {n: run.method.layers[n].topology.positions()[e.mask] for n, e in run.method._exploring.items()}
        run.method.step()
        for name, layer in run.method.layers.items():
            wanted = dense[name][layer.topology.positions()]
            torch.testing.assert_close(layer.values.detach(), wanted, rtol=1e-12, atol=1e-14)
    assert sum(rewiring.grown for rewiring in run.method.history) > 0
    for name, layer in run.method.layers.items():
        assert torch.equal(layer.topology.positions(), shown[name]), "what is not computed with goes in the last step"
    assert run.method.held_bytes() == 0
    assert run.method.settled


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.filterwarnings("ignore:step 5. no gradient")  # weight decay alone
def test_what_is_hidden_decays_one_over_density_times_as_fast(momentum: float) -> None:
    """Also with momentum, through which the optimizer's own weight decay goes."""
    torch.manual_seed(0)
    model = tithe.sparsify(nn.Sequential(nn.Linear(40, 50)), 1.0)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum, weight_decay=0.01)
    method = tithe.TopKAST(model, optimizer, total_steps=1000, density=0.1, every=500)
    before, mask = model[0].values.detach().clone(), method._exploring["0"].mask
    for _ in range(300):
        model[0].values.grad = torch.zeros_like(model[0].values)
        optimizer.step()
        method.step()
    decayed = (before / model[0].values.detach()).log()
    assert float(decayed[~mask].mean() / decayed[mask].mean()) == pytest.approx(10, rel=0.05)


def mask_size(run, name: str) -> int:
    return int(run.method._exploring[name].mask.sum())


def test_a_step_costs_two_forward_sets_and_one_backward_set() -> None:
    run = trial("top-kast")
    with FlopCounterMode(display=False) as counter:
        run.train(1, 1)
    backward = run.nnz()
    forward = [round(DENSITY * size) for size in (12 * 20, 20 * 16, 16 * 4)]
    first = forward[0]  # nobody needs the gradient of the input
    assert counter.get_total_flops() == 16 * 2 * (2 * sum(forward) - first + sum(backward))
    assert backward == [2 * size for size in forward]


LAYERS = {
    "linear": (lambda: nn.Linear(12, 20), (8, 12)),
    "linear, 3-D": (lambda: nn.Linear(12, 20), (2, 4, 12)),
    "conv": (lambda: nn.Conv2d(3, 5, 3, stride=2, padding=1), (4, 3, 7, 6)),
    "conv, no batch": (lambda: nn.Conv2d(3, 5, 3), (3, 7, 6)),
    "conv, same": (lambda: nn.Conv2d(3, 5, (3, 2), padding="same"), (4, 3, 7, 6)),
    "conv, circular": (lambda: nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), (4, 3, 7, 6)),
    "conv, groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (4, 4, 7, 6)),
}


@pytest.mark.filterwarnings("ignore:.*reference", "ignore:Using padding")
@pytest.mark.parametrize("kernel", ["sparse", "dense"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_exploring_layer_shows_some_weights_and_learns_all(name: str, kernel: str, dtype: torch.dtype) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    plain = make().to(dtype)
    layer = tithe.sparsify(nn.Sequential(copy.deepcopy(plain)), 0.5, kernel=kernel)[0]
    shown = torch.arange(layer.nnz) % 3 == 0
    with torch.no_grad():
        plain.weight.view(-1).zero_()[layer.topology.positions()[shown]] = layer.values[shown]
        plain.bias.copy_(layer.bias)
    exploring = Exploring(layer, shown)
    x = torch.randn(shape, dtype=dtype)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [torch.relu_(module(part)) for module, part in zip((plain, layer), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for y in outputs:
        (y * torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    torch.testing.assert_close(layer.values.grad, plain.weight.grad.view(-1)[layer.topology.positions()])
    torch.testing.assert_close(layer.bias.grad, plain.bias.grad)
    exploring.stop()
    assert layer(x).sub(plain(x)).abs().max() > 1e-3


def exploring_layer() -> SparseLayer:
    layer = tithe.sparsify(nn.Sequential(nn.Linear(12, 20)), 0.5)[0]
    Exploring(layer, torch.arange(layer.nnz) % 3 == 0)
    return layer


def test_a_copy_explores_too_and_an_error_leaves_the_layer_whole() -> None:
    layer = exploring_layer()
    x = torch.randn(8, 12)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), layer(x))
    with torch.no_grad():
        twin.values.zero_()
    assert layer(x).abs().max() > twin(x).abs().max(), "with its own values"
    nnz = layer.nnz
    with pytest.raises(tithe.UsageError, match="12 features"):
        layer(torch.randn(8, 11))
    assert isinstance(layer.values, nn.Parameter)
    assert layer.nnz == nnz == layer.topology.nnz


def test_exploring_under_autocast() -> None:
    layer, x = exploring_layer(), torch.randn(8, 12)
    layer(x).square().sum().backward()
    exact = layer.values.grad.clone()
    layer.values.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    torch.testing.assert_close(layer.values.grad, exact, rtol=0.05, atol=0.05)


def test_all_may_be_shown() -> None:
    """backward = density: no hidden weights, and sets that only change with the sizes outside."""
    run = trial("top-kast", backward=DENSITY)
    assert sum(run.nnz()) == round(DENSITY * 624)
    run.train(1, STEPS)
    assert sum(run.nnz()) == round(DENSITY * 624)
    assert run.method.settled


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backward": DENSITY / 2}, "backward=0.1 was given; it is at least density=0.2"),
        ({"backward": 1.5}, "at most 1"),
        ({"budget": "global"}, "budget 'global'"),
        ({"stop": 0.0}, "stop=0.0"),
    ],
)
def test_bad_arguments_are_named(options: dict, words: str) -> None:
    with pytest.raises(tithe.UsageError, match=words):
        trial("top-kast", **options)


def test_a_model_without_all_weights_is_refused() -> None:
    model = tithe.sparsify(MODELS["mlp"][0](), 0.7)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(tithe.UsageError, match=r"layer '0' has only 0.\d+ of its weights.*density=1.0"):
        tithe.TopKAST(model, optimizer, total_steps=10, density=0.1)


@pytest.mark.parametrize("copied", [True, False])
def test_densify_while_it_explores_gives_all_the_weights_it_holds(copied: bool) -> None:
    """An ordinary layer knows nothing of what is shown; the user's own hooks go along."""
    run = trial("top-kast")
    x, seen = run.batch(0)[0], []
    shown = run.model(x)
    weights = {name: layer.dense_weight() for name, layer in run.method.layers.items()}
    run.model[0].register_forward_hook(lambda *_: seen.append("forward"))
    dense = tithe.densify(copy.deepcopy(run.model) if copied else run.model)
    y = dense(x)
    assert seen == ["forward"]
    for name, weight in weights.items():
        assert torch.equal(dense.get_submodule(name).weight, weight)
    assert not torch.allclose(y, shown), "with hidden weights too"
    if copied:
        assert torch.equal(run.model(x), shown), "the original explores on"
        run.train(1, STEPS)
        assert run.method.settled
