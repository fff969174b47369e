"""BatchNorm2d is torch's in all but speed and layout: values, gradients, statistics, state, errors."""

from __future__ import annotations

import copy
import pickle
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tithe.nn import BatchNorm2d, ReLU
from tithe.ops import dispatch

CHANNELS = 4
ARGUMENTS = [
    {},
    {"momentum": None},
    {"momentum": 0.7, "eps": 0.1},
    {"affine": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False},
]


def pair(**arguments: object) -> tuple[BatchNorm2d, nn.BatchNorm2d]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(CHANNELS, **arguments)
    if theirs.affine:
        nn.init.normal_(theirs.weight)
        nn.init.normal_(theirs.bias)
    ours = BatchNorm2d(CHANNELS, **arguments)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def batch(step: int, *shape: int) -> Tensor:
    shape = shape or (6, CHANNELS, 5, 3)
    return torch.randn(shape, generator=torch.Generator().manual_seed(step)) * (step + 1) + step


def assert_same_state(ours: nn.Module, theirs: nn.Module) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("innermost", [True, False])
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_trains_and_evaluates_as_torch_s(arguments: dict[str, object], innermost: bool) -> None:
    ours, theirs = pair(**arguments)
    for step, training in enumerate([True, True, False, True, False]):
        x = batch(step)
        results = []
        for module in (ours, theirs):
            module.train(training).zero_grad()
            leaf = (dispatch.restride(x) if innermost and module is ours else x.clone()).requires_grad_()
            y = module(leaf)
            y.pow(3).sum().backward()
            results.append([y, leaf.grad, *[p.grad for p in module.parameters()]])
        assert results[0][0].movedim(0, -1).is_contiguous()
        for actual, expected in zip(*results, strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
        assert_same_state(ours, theirs)


@pytest.mark.parametrize(("training", "with_residual"), list(product([True, False], repeat=2)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relu_and_residual(training: bool, with_residual: bool, dtype: torch.dtype) -> None:
    ours, theirs = (module.train(training).to(dtype) for module in pair())
    ours.relu = True
    x, residual = batch(0).to(dtype), batch(1).to(dtype) if with_residual else None
    expected = (theirs(x) if residual is None else theirs(x) + residual).relu()
    torch.testing.assert_close(ours(x, residual), expected, rtol=1e-5, atol=1e-5)


def test_the_state_goes_both_ways() -> None:
    ours, theirs = pair()
    ours(batch(3))
    theirs.load_state_dict(ours.state_dict())
    assert_same_state(ours, theirs)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("shape", [(1, CHANNELS, 1, 1), (2, CHANNELS + 1, 3, 3), (CHANNELS, 3, 3), (2, CHANNELS)])
def test_errors_are_torch_s(shape: tuple[int, ...]) -> None:
    messages = []
    for module in pair():
        with pytest.raises((ValueError, RuntimeError)) as caught:
            module(torch.ones(shape))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_one_value_per_channel_is_fine_in_evaluation() -> None:
    ours, theirs = (module.eval() for module in pair())
    torch.testing.assert_close(ours(batch(1, 1, CHANNELS, 1, 1)), theirs(batch(1, 1, CHANNELS, 1, 1)))


@pytest.fixture
def no_torch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where ours hands over to nn.BatchNorm2d."""

    def forward(*_: object) -> None:
        raise AssertionError("torch's norm was called")

    monkeypatch.setattr(nn.BatchNorm2d, "forward", forward)


@pytest.mark.usefixtures("no_torch_norm")
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("autocast", [True, False])
def test_bfloat16_beside_float32_parameters(autocast: bool, arguments: dict[str, object]) -> None:
    """Stored in bfloat16, y and dx are what the module makes of the same numbers in float32, but for one rounding."""
    half, full = (pair(**arguments)[0] for _ in range(2))
    for step, (training, relu, with_residual) in enumerate(product([True, False], repeat=3)):
        results = []
        for module, dtype in ((half, torch.bfloat16), (full, torch.float32)):
            module.train(training).zero_grad()
            module.relu = relu
            x, residual = (dispatch.restride(batch(step + i).bfloat16().to(dtype)) for i in (0, 1))
            leaves = [t.requires_grad_() for t in ([x, residual] if with_residual else [x])]
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                y = module(*leaves)
            y.backward(batch(step + 2).bfloat16().to(dtype))
            results.append([y, *[t.grad for t in leaves], *[p.grad for p in module.parameters()]])
        for actual, expected in zip(*results, strict=True):
            rounding = 1e-5
            if expected.dim() == 4:
                assert actual.dtype == torch.bfloat16
                assert actual.movedim(0, -1).is_contiguous()
                rounding, actual = 2**-8 + 1e-5, actual.float()
            torch.testing.assert_close(actual, expected, rtol=rounding, atol=1e-5 * (1 + expected.abs().max().item()))
    assert all(t.dtype in (torch.float32, torch.int64) for t in half.state_dict().values())
    assert_same_state(half, full)


@pytest.mark.usefixtures("no_torch_norm")
@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_compiles_in_one_graph_under_autocast(training: bool) -> None:
    torch.compiler.reset()
    ours = pair()[0].train(training)
    compiled = torch.compile(copy.deepcopy(ours), backend="aot_eager", fullgraph=True)
    results = []
    for module in (ours, compiled):
        x = batch(2).bfloat16().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        assert y.dtype == torch.bfloat16
        y.float().pow(2).sum().backward()
        results.append([y, x.grad, *[p.grad for p in module.parameters()]])
    for actual, expected in zip(*results, strict=True):
        assert torch.equal(actual, expected)


def test_a_shortcut_of_another_dtype_is_promoted_as_in_torch() -> None:
    ours, theirs = pair()
    x, shortcut = batch(0).bfloat16(), batch(1)
    y = ours(x, shortcut)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, theirs(x) + shortcut)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_go_to_torch(dtype: torch.dtype) -> None:
    ours, theirs = (module.to(dtype) for module in pair())
    assert torch.equal(ours(batch(0).to(dtype)), theirs(batch(0).to(dtype)))
    assert_same_state(ours, theirs)


def test_autocast_and_no_grad_and_inference() -> None:
    ours, theirs = pair()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(ours(batch(0).bfloat16()), theirs(batch(0).bfloat16()))
        torch.testing.assert_close(ours(batch(0)), theirs(batch(0)), rtol=1e-5, atol=1e-5)  # float32 stays float32
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(ours(batch(0)), theirs(batch(0)), rtol=1e-5, atol=1e-5)
    assert_same_state(ours, theirs)


def test_nan_spreads_in_its_channel_only() -> None:
    x = batch(0)
    x[2, 1, 3, 1] = torch.nan
    ours, _ = pair()
    ours.relu = True
    y = ours(x)
    assert y[:, 1].isnan().all()
    assert not y[:, [0, 2, 3]].isnan().any()
    assert ours.running_mean[1].isnan()


def test_function_transforms_and_modes() -> None:
    ours, theirs = (module.eval() for module in pair())
    x = batch(0)
    for module in (ours, theirs):
        module.requires_grad_(False)
    torch.testing.assert_close(torch.func.vmap(ours)(torch.stack([x, x])), torch.func.vmap(theirs)(torch.stack([x, x])))
    square = [torch.func.grad(lambda t, m=module: m(t).pow(2).sum())(x) for module in (ours, theirs)]
    torch.testing.assert_close(*square)
    with FlopCounterMode(display=False):
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_compiles_in_one_graph(training: bool) -> None:
    torch.compiler.reset()
    ours, theirs = (nn.Sequential(module, nn.ReLU()).train(training) for module in pair())
    ours[1].__class__ = ReLU
    ours[0].relu = True
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    results = []
    for run, module in ((compiled, ours), (theirs, theirs)):
        x = batch(2).requires_grad_()
        y = run(x)
        y.pow(2).sum().backward()
        results.append([y, x.grad, *[p.grad for p in module.parameters()]])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)
    assert_same_state(ours, theirs)


def test_copies_and_pickles() -> None:
    ours, _ = pair()
    ours.relu = True
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert twin.relu
        assert torch.equal(twin(batch(0)), copy.deepcopy(ours)(batch(0)))


# ReLU: passes on what it knows to be rectified.


def rectified() -> Tensor:
    ours, _ = pair()
    ours.relu = True
    return ours(batch(0))


@pytest.mark.parametrize("inplace", [True, False])
def test_relu_passes_on_what_is_rectified(inplace: bool) -> None:
    y = rectified()
    assert ReLU(inplace)(y) is y


@pytest.mark.parametrize("inplace", [True, False])
def test_relu_works_on_everything_else(inplace: bool) -> None:
    x = batch(0)
    assert torch.equal(ReLU(inplace)(x.clone()), x.relu())
    plain, _ = pair()
    y = plain(x)
    assert ReLU(inplace)(y.clone()).min() == 0
    for changed in (rectified() - 1, rectified().sub_(1), rectified()[1:].sub(1)):
        assert changed.min() < 0
        assert ReLU(inplace)(changed).min() == 0


def test_what_inference_mode_makes_is_rectified_again() -> None:
    with torch.inference_mode():
        y = rectified()
        y.sub_(1)  # such tensors count no versions
        assert ReLU()(y).min() == 0


@pytest.mark.parametrize("change", [torch.relu_, lambda y: y.add_(1)], ids=["relu_", "add_"])
def test_in_place_behind_the_norm_is_allowed(change) -> None:
    """As with torch's norm, which does not keep its output."""
    grads = []
    for module in pair():
        x = batch(0).requires_grad_()
        change(module(x)).pow(2).sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-3)
