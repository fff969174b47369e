"""kernel="auto" | "sparse" | "dense": the same result, the faster one measured once, and seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import tithe
from tithe.nn import choice
from tithe.nn.record import Record


@pytest.fixture(autouse=True)
def nothing_measured() -> Iterator[None]:
    choice._measured.clear()
    yield
    choice._measured.clear()


def layers(density: float, kernel: str = "auto") -> list[tuple[nn.Module, Tensor]]:
    """A linear layer and a convolution with an input each."""
    torch.manual_seed(0)
    cases = [
        (nn.Linear(40, 30), torch.randn(7, 40)),
        (nn.Conv2d(5, 6, (3, 2), stride=(2, 1), padding=(1, 0)), torch.randn(4, 5, 9, 8)),
        (nn.Conv2d(4, 6, 3, padding="same", padding_mode="reflect", bias=False), torch.randn(4, 4, 9, 8)),
    ]
    return [(tithe.sparsify(nn.Sequential(module), density, "uniform", kernel=kernel)[0], x) for module, x in cases]


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    return [y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_kernels_compute_the_same(dtype: torch.dtype) -> None:
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    for layer, x in layers(0.5):
        layer, x = layer.to(dtype), x.to(dtype)
        layer.kernel = "sparse"
        sparse = results(layer, x)
        assert layer.kernel_used == "sparse"
        layer.kernel = "dense"
        for one, other in zip(results(layer, x), sparse, strict=True):
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
        assert layer.kernel_used == "dense"


def test_the_dense_kernel_sees_a_new_topology_and_new_values() -> None:
    for layer, x in layers(0.5, "dense"):
        layer(x)
        topology = tithe.Topology.random(layer.matrix_shape, 11, torch.Generator().manual_seed(1))
        layer.replace(topology, torch.arange(1.0, 12))
        expected = layer.to_dense()(x)
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


def stopwatch(monkeypatch: pytest.MonkeyPatch, sparse: float, dense: float) -> list[str]:
    """Replace the clock: a sparse pass takes `sparse` seconds, a dense one `dense`. Returns what is timed."""
    now, timed = [0.0], []

    def timed_pass(forward: object, layer: nn.Module, x: Tensor):
        name = forward.__name__

        def run() -> None:
            timed.append(name)
            now[0] += {"sparse_forward": sparse, "dense_forward": dense}[name]

        return run

    monkeypatch.setattr(choice, "_training_pass", timed_pass)
    monkeypatch.setattr(choice.time, "perf_counter", lambda: now[0])
    return timed


@pytest.mark.parametrize(("sparse", "dense", "faster"), [(1.0, 2.0, "sparse"), (2.0, 1.0, "dense")])
def test_auto_takes_the_faster_one_and_measures_once(
    sparse: float, dense: float, faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = stopwatch(monkeypatch, sparse, dense)
    for layer, x in layers(0.5):
        layer(x)
        layer(x)
        assert layer.kernel_used == faster
        assert timed == ["sparse_forward", "dense_forward"] * choice.ROUNDS
        assert ("kernel=auto (dense)" in repr(layer)) == (faster == "dense")
        timed.clear()
        layer(x[:2])  # another shape is another question
        assert timed
        timed.clear()


def test_auto_makes_nothing_dense_at_low_density(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = stopwatch(monkeypatch, sparse=2.0, dense=1.0)
    for layer, x in layers(choice.ALWAYS_SPARSE):
        layer(x)
        assert layer.kernel_used == "sparse"
    assert not timed


def test_auto_obeys_deterministic_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = stopwatch(monkeypatch, sparse=2.0, dense=1.0)
    torch.use_deterministic_algorithms(True)
    try:
        for layer, x in layers(0.5):
            layer(x)
            assert layer.kernel_used == "sparse"
    finally:
        torch.use_deterministic_algorithms(False)
    assert not timed


def test_measuring_leaves_nothing_behind() -> None:
    for layer, x in layers(0.5):
        x.requires_grad_()
        calls = []
        layer.values.register_hook(lambda g, calls=calls: calls.append(g))
        state = torch.get_rng_state()
        layer.record = Record()
        layer(x)
        assert choice._measured
        assert not calls
        assert not layer.record.passes
        assert not layer.record.pending
        assert x.grad is None
        assert layer.values.grad is None
        assert torch.equal(torch.get_rng_state(), state)


def test_frozen_layers_and_evaluation_can_be_measured() -> None:
    for layer, x in layers(0.5):
        layer.requires_grad_(False)
        with torch.no_grad():
            assert layer(x).shape[0] == len(x)
        assert layer.kernel_used in ("sparse", "dense")


def test_an_unknown_kernel_is_refused_and_the_model_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(tithe.UsageError, match="kernel 'fast' was given; allowed are 'auto', 'sparse', 'dense'"):
        tithe.sparsify(model, 0.5, kernel="fast")
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize(("density", "used"), [(0.4, "sparse"), (0.6, "dense"), (1.0, "dense")])
def test_by_density_asks_no_clock(density: float, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = stopwatch(monkeypatch, 1.0, 1.0)
    model = tithe.sparsify(nn.Sequential(nn.Linear(20, 30)), density, kernel="by-density")
    model(torch.randn(4, 20))
    assert model[0].kernel_used == used
    assert timed == []


def test_a_full_layer_on_the_dense_kernel_holds_no_topology_until_one_is_needed() -> None:
    model = tithe.sparsify(nn.Sequential(nn.Conv2d(2, 3, 3)), 1.0, kernel="by-density")
    layer, x = model[0], torch.randn(4, 2, 5, 5)
    assert layer.packed.numel() == 0
    expected = layer.to_dense()(x)
    torch.testing.assert_close(layer(x), expected)
    assert layer.topology == tithe.Topology.from_mask(torch.ones(3, 18))
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert saved["0.indices"].numel() == 54
    for kernel in ("sparse", "auto"):
        layer.kernel = kernel
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
        assert layer.packed.numel() > 0
    layer.kernel = "dense"
    model.load_state_dict(saved)
    torch.testing.assert_close(layer(x), expected)
    assert layer.packed.numel() == 0
