"""Under torch.autocast("cpu", torch.bfloat16) a sparse layer stores activations in bfloat16 and sums in float32."""

from __future__ import annotations

import copy
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import tithe
from tithe import SparseConv2d, SparseLinear, UsageError, sparse_layers, sparsify
from tithe.nn import SparseLayer

ROUNDING = 2.0**-8  # |round(s) - s| <= ROUNDING |s|: bfloat16 has 8 significant bits

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(120, 50), (33, 120)),
    "linear, sequence": (lambda: nn.Linear(30, 20), (4, 5, 30)),
    "linear, no bias": (lambda: nn.Linear(120, 50, bias=False), (32, 120)),
    "conv": (lambda: nn.Conv2d(8, 12, 3, padding=1), (5, 8, 9, 7)),
    "conv, stride": (lambda: nn.Conv2d(8, 12, (3, 2), stride=2, padding=1), (32, 8, 9, 7)),
    "conv, circular": (lambda: nn.Conv2d(8, 12, 3, padding=2, padding_mode="circular"), (5, 8, 9, 7)),
    "conv, reflect": (lambda: nn.Conv2d(8, 12, 3, padding=2, padding_mode="reflect"), (5, 8, 9, 7)),
    "conv, replicate": (lambda: nn.Conv2d(8, 12, 3, padding=2, padding_mode="replicate"), (5, 8, 9, 7)),
    "conv, same": (lambda: nn.Conv2d(8, 12, (4, 2), padding="same"), (5, 8, 9, 7)),
    "conv, groups": (lambda: nn.Conv2d(8, 12, 3, groups=2), (5, 8, 9, 7)),
    "conv, dilation": (lambda: nn.Conv2d(8, 12, 3, dilation=2), (5, 8, 9, 7)),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)
pytestmark = [
    pytest.mark.filterwarnings("ignore:SparseConv2d with groups or dilation"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even"),  # torch's, about its own dense layer
]


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def make(kind: str) -> tuple[SparseLayer, nn.Module, Tensor, Tensor]:
    """A sparse layer of density 0.3, the dense layer with the masked weight, x and dy."""
    torch.manual_seed(0)
    dense, shape = LAYERS[kind][0](), LAYERS[kind][1]
    sparse = (SparseLinear if isinstance(dense, nn.Linear) else SparseConv2d).from_dense(dense, density=0.3)
    sparse.kernel = "sparse"
    masked, x = sparse.to_dense(), torch.randn(shape)
    return sparse, masked, x, torch.randn(masked(x).shape)


def passes(layer: nn.Module, x: Tensor, dy: Tensor, sparse: SparseLayer) -> dict[str, Tensor]:
    """Output and gradients in double; of a dense layer's weight gradient what exists in the sparse one."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(dy.to(y.dtype))
    found = {"y": y.detach(), "dx": x.grad}
    if isinstance(layer, SparseLayer):
        found["dw"] = layer.values.grad
    else:
        found["dw"] = layer.weight.grad[sparse.topology.to_mask().view(layer.weight.shape)]
    if layer.bias is not None:
        found["db"] = layer.bias.grad
    return {name: value.double() for name, value in found.items()}


def magnitudes(dense: nn.Module, x: Tensor, dy: Tensor, sparse: SparseLayer) -> dict[str, Tensor]:
    """The sums of the terms' magnitudes: the same passes with |weight|, |bias|, |x|, |dy|."""
    positive = copy.deepcopy(dense).double()
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    positive.zero_grad()
    return passes(positive, x.double().abs(), dy.double().abs(), sparse)


@every_layer
def test_accuracy_is_that_of_rounding_what_is_stored(kind: str) -> None:
    """Two roundings at most lie on the way to each result, each worth ROUNDING of every term.

    y: x is rounded, and y itself; dx: dy is rounded, and dx itself; dw: each product has x and dy rounded; db: dy is
    rounded. (The float32 sums add what is far less: 1e-5.) So |error| <= (2 ROUNDING + ROUNDING^2 + 1e-5) magnitude.
    """
    sparse, dense, x, dy = make(kind)
    exact = passes(copy.deepcopy(dense).double(), x.double(), dy.double(), sparse)
    with autocast():
        assert sparse(x).dtype == sparse(x.bfloat16()).dtype == torch.bfloat16
        found = passes(sparse, x, dy, sparse)
    assert sparse.values.grad.dtype == torch.float32
    for name, magnitude in magnitudes(dense, x, dy, sparse).items():
        bound = (2 * ROUNDING + ROUNDING**2 + 1e-5) * magnitude
        assert ((found[name] - exact[name]).abs() <= bound).all(), name


@every_layer
def test_as_accurate_as_the_dense_layer_under_autocast(kind: str) -> None:
    """torch rounds the weight and its gradient too."""
    sparse, dense, x, dy = make(kind)
    exact = passes(copy.deepcopy(dense).double(), x.double(), dy.double(), sparse)
    with autocast():
        found, theirs = passes(sparse, x, dy, sparse), passes(dense, x, dy, sparse)
    for name, value in exact.items():
        assert (found[name] - value).norm() <= 2 * (theirs[name] - value).norm(), name


@pytest.mark.parametrize("kind", ["linear", "conv", "conv, groups"])
def test_layouts_and_what_is_saved(kind: str) -> None:
    """The output is bfloat16 and batch-innermost, and for the backward pass no float32 activation is kept."""
    sparse, _, x, _ = make(kind)
    saved: list[Tensor] = []
    with autocast(), torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        y = sparse(x)
    assert y.movedim(0, -1).is_contiguous()
    kept = [t for t in saved if t.dtype == torch.float32 and t.numel() >= x.numel()]
    assert not kept


@every_layer
def test_in_the_dispatcher(kind: str) -> None:
    """A FLOP counter listens: the bias is then added to what is rounded already."""
    sparse, dense, x, dy = make(kind)
    with autocast():
        past = passes(sparse, x, dy, sparse)
        sparse.zero_grad()
        with FlopCounterMode(display=False) as counter:
            through = passes(sparse, x, dy, sparse)
    assert counter.get_total_flops() > 0
    for name, magnitude in magnitudes(dense, x, dy, sparse).items():
        assert ((past[name] - through[name]).abs() <= 2 * ROUNDING * magnitude).all(), name


@every_layer
def test_without_autocast_bfloat16_is_refused(kind: str) -> None:
    sparse, _, x, _ = make(kind)
    with pytest.raises(UsageError, match=r"torch.bfloat16 was given .* torch.float32 values; convert one .*autocast"):
        sparse(x.bfloat16())
    with torch.autocast("cpu", enabled=False), pytest.raises(UsageError, match="bfloat16"):
        sparse(x.bfloat16())


@every_layer
def test_values_of_another_dtype_and_another_autocast_stay_as_they_are(kind: str) -> None:
    sparse, _, x, _ = make(kind)
    with torch.autocast("cpu", torch.float16):
        assert sparse(x.half()).dtype == torch.float32
        sparse(x).float().sum().backward()
    with autocast():
        assert copy.deepcopy(sparse).double()(x.bfloat16()).dtype == torch.float64
        assert copy.deepcopy(sparse).bfloat16()(x).dtype == torch.bfloat16


@every_layer
def test_double_backward(kind: str) -> None:
    sparse, dense, x, dy = make(kind)

    def penalty(layer: nn.Module, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        (dx,) = torch.autograd.grad(layer(x), x, dy.to(torch.bfloat16).to(layer(x).dtype), create_graph=True)
        return torch.autograd.grad((dx.double() ** 2).sum(), next(layer.parameters()))[0]

    exact = penalty(copy.deepcopy(dense).double(), x.double())[sparse.topology.to_mask().view(dense.weight.shape)]
    with autocast():
        found = penalty(sparse, x)
    assert (found.double() - exact).norm() <= 4 * ROUNDING * exact.norm()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    dense = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(54, 20),
        nn.ReLU(),
        nn.Linear(20, 4),
    )
    return sparsify(dense, 0.3, kernel="sparse")


def test_compile_in_one_graph() -> None:
    torch.compiler.reset()
    model = network()
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)
    x = torch.randn(8, 2, 6, 6)
    for each in (model, compiled):
        with autocast():
            y = each(x)
        assert y.dtype == torch.bfloat16
        y.float().pow(2).sum().backward()
    for one, two in zip(model.parameters(), compiled.parameters(), strict=True):
        assert (one.grad - two.grad).norm() <= 8 * ROUNDING * one.grad.norm()


def test_activation_checkpointing() -> None:
    model, x = network(), torch.randn(8, 2, 6, 6)
    gradients = []
    for run in (model, lambda x: checkpoint(model, x, use_reentrant=False)):
        model.zero_grad()
        with autocast():
            y = run(x)
        y.float().pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*gradients, strict=True))


@every_layer
@pytest.mark.parametrize("rewire_under_autocast", [False, True])
def test_scouting_sees_float32_gradients(kind: str, rewire_under_autocast: bool) -> None:
    """The scouted gradient of existing weights is the one that the kernels make from the same bfloat16 tensors."""
    sparse, _, x, dy = make(kind)
    optimizer = torch.optim.SGD(sparse.parameters(), lr=0.0, momentum=0.9)
    rewire = tithe.SparseMomentum(nn.Sequential(sparse), optimizer, every=2, total_steps=10, scout_steps=2)
    with autocast():
        y = sparse(x)
    y.backward(dy.to(y.dtype))
    assert [[t.dtype for t in pair] for pair in sparse.record.passes] == [[torch.bfloat16, torch.bfloat16]]
    gradient = sparse.values.grad.clone()
    optimizer.step()
    with torch.autocast("cpu", torch.bfloat16, enabled=rewire_under_autocast):
        rewire.step()
    (scout,) = rewire._scouts.values()
    assert scout.first.dtype == torch.float32
    existing = scout.first[sparse.topology.to_mask()]
    torch.testing.assert_close(existing, gradient, rtol=1e-4, atol=1e-4)


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from tithe.train import data

    found = data.load("digits")
    x_train, x_test = (part.float().flatten(1) for part in (found.x_train, found.x_test))
    return (
        (x_train - x_train.mean()) / x_train.std(),
        found.y_train,
        (x_test - x_train.mean()) / x_train.std(),
        found.y_test,
    )


def accuracy_of_training(bf16: bool, seed: int) -> float:
    """LeNet-300-100 at 10 % on the handwritten digits, rewired; test accuracy after 8 epochs."""
    torch.manual_seed(seed)
    x, labels, x_test, labels_test = digits()
    model = nn.Sequential(nn.Linear(x.shape[1], 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    sparsify(model, 0.1, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rewire = tithe.SparseMomentum(model, optimizer, every=90, total_steps=8 * 45)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        for part in torch.randperm(len(x), generator=generator).split(32):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                y = model(x[part])
                assert y.dtype == (torch.bfloat16 if bf16 else torch.float32)
                functional.cross_entropy(y.float(), labels[part]).backward()
            optimizer.step()
            rewire.step()
    assert all(layer.values.dtype == torch.float32 for layer in sparse_layers(model).values())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return (model(x_test).argmax(1) == labels_test).float().mean().item()


def test_training_reaches_the_accuracy_of_float32() -> None:
    """On the mean of three runs: two runs of the same kind differ by up to 2 %."""
    full, half = (statistics.mean(accuracy_of_training(bf16, seed) for seed in range(3)) for bf16 in (False, True))
    assert full > 0.93
    assert half > full - 0.02


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_norm_between_sparse_layers(training: bool) -> None:
    """It takes bfloat16 as it comes; of the activations nothing is kept in float32."""
    torch.manual_seed(0)
    model = sparsify(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)), 0.3)
    model.train(training)
    x, saved = torch.randn(16, 3, 9, 9), list[Tensor]()
    exact = copy.deepcopy(model).double()(x.double())
    with autocast(), torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        y = model(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert not [t for t in saved if t.dtype == torch.float32 and t.dim() == 4]
    assert (y.double() - exact).norm() <= 4 * ROUNDING * exact.norm()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
