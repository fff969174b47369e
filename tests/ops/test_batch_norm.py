"""The operators of batch normalisation: values and gradients in any layout, with or without the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
from cases import LAYOUTS
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tithe import UsageError, ops
from tithe.ops import dispatch, norm_kernels

MOMENTUM, EPS = 0.3, 1e-5
CHANNELS = 4
HOWS = list(product([True, False], repeat=3))  # training, relu, residual
NAMES = [
    "-".join(n if on else f"no {n}" for n, on in zip(("training", "relu", "residual"), how, strict=True))
    for how in HOWS
]
every_how = pytest.mark.parametrize(("training", "relu", "with_residual"), HOWS, ids=NAMES)


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(shape: tuple[int, ...], with_residual: bool) -> list[Tensor]:
    """x, weight, bias and, maybe, a residual, in double."""
    found = [randn(1, *shape) + 0.3, randn(2, shape[1]), randn(3, shape[1])]
    return [*found, randn(4, *shape)] if with_residual else found


def running(channels: int = CHANNELS) -> tuple[Tensor, Tensor]:
    return randn(5, channels), randn(6, channels).abs() + 0.5


def ours(training: bool, relu: bool, stats: tuple[Tensor, Tensor]) -> Callable[..., Tensor]:
    def f(x: Tensor, weight: Tensor | None, bias: Tensor | None, residual: Tensor | None = None) -> Tensor:
        return ops.batch_norm(x, weight, bias, *stats, training, MOMENTUM, EPS, relu, residual)

    return f


def theirs(training: bool, relu: bool, stats: tuple[Tensor, Tensor]) -> Callable[..., Tensor]:
    def f(x: Tensor, weight: Tensor | None, bias: Tensor | None, residual: Tensor | None = None) -> Tensor:
        y = functional.batch_norm(x, *stats, weight, bias, training, MOMENTUM, EPS)
        y = y if residual is None else y + residual
        return y.relu() if relu else y

    return f


def by_hand(training: bool, relu: bool, stats: tuple[Tensor, Tensor]) -> Callable[..., Tensor]:
    def f(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None = None) -> Tensor:
        mean, var = (t.view(-1, 1, 1) for t in stats)
        if training:
            mean = x.mean((0, 2, 3), keepdim=True)
            var = (x - mean).square().mean((0, 2, 3), keepdim=True)
        y = (x - mean) / (var + EPS).sqrt() * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)
        y = y if residual is None else y + residual
        return y.relu() if relu else y

    return f


def results(f: Callable[..., Tensor], given: list[Tensor], dy: Tensor) -> list[Tensor]:
    leaves = [t.detach().requires_grad_() for t in given]
    y = f(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, dy)]


def assert_all_close(actual: list[Tensor], expected: list[Tensor], rounding: float) -> None:
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.double(), e, rtol=rounding, atol=rounding * (1 + e.abs().max().item()))


@every_how
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7, CHANNELS, 5, 3), (2, CHANNELS, 1, 1), (1, CHANNELS, 1, 2), (33, CHANNELS, 9, 8)])
def test_equals_torch_in_double(shape, dtype, training: bool, relu: bool, with_residual: bool) -> None:
    """Two values per channel are +-1 when normalised: there dx is what rounding leaves of terms up to 10."""
    given, dy = inputs(shape, with_residual), randn(7, *shape)
    own, reference = running(), running()
    single = tuple(t.to(dtype) for t in own)
    actual = results(ours(training, relu, single), [t.to(dtype) for t in given], dy.to(dtype))
    expected = results(theirs(training, relu, reference), given, dy)
    assert_all_close(actual, expected, 2e-5 if dtype == torch.float32 else 1e-12)
    for moved, should in zip(single, reference, strict=True):
        torch.testing.assert_close(moved.double(), should, rtol=1e-6, atol=1e-6)


@every_how
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout(layout: str, training: bool, relu: bool, with_residual: bool) -> None:
    shape = (6, CHANNELS, 5, 3)
    change = LAYOUTS[layout]
    given = [change(t.float()) if t.dim() == 4 else t.float() for t in inputs(shape, with_residual)]
    dy, stats = change(randn(7, *shape).float()), tuple(t.float() for t in running())
    actual = results(ours(training, relu, stats), given, dy)
    assert actual[0].movedim(0, -1).is_contiguous()
    stats = tuple(t.float() for t in running())
    plain = results(ours(training, relu, stats), [t.contiguous() for t in given], dy.contiguous())
    for one, two in zip(actual, plain, strict=True):
        assert torch.equal(one, two)


@every_how
def test_past_the_dispatcher_the_bits_are_the_same(
    training: bool, relu: bool, with_residual: bool, monkeypatch
) -> None:
    shape = (6, CHANNELS, 5, 3)
    given, dy = [t.float() for t in inputs(shape, with_residual)], randn(7, *shape).float()
    seen = []
    for direct in (dispatch.direct, lambda *_: False):
        monkeypatch.setattr(dispatch, "direct", direct)
        seen.append(results(ours(training, relu, tuple(t.float() for t in running())), given, dy))
    for one, two in zip(*seen, strict=True):
        assert torch.equal(one, two)


@every_how
def test_gradients_to_second_order(training: bool, relu: bool, with_residual: bool) -> None:
    given = [t.requires_grad_() for t in inputs((3, 2, 2, 1), with_residual)]

    def f(*tensors: Tensor) -> Tensor:
        return ours(training, relu, running(2))(*tensors)

    assert torch.autograd.gradcheck(f, given)
    assert torch.autograd.gradgradcheck(f, given)


@every_how
def test_gradient_penalty_through_the_kernels(training: bool, relu: bool, with_residual: bool) -> None:
    """Third order as well: the gradient of a penalty on the gradient of a penalty.

    Against sums and products, since the third derivative of torch's own batch_norm is wrong (seen with torch 2.13).
    """

    def penalty(make: Callable[..., Callable[..., Tensor]], dtype: torch.dtype) -> list[Tensor]:
        given = [t.to(dtype).requires_grad_() for t in inputs((5, 2, 3, 2), with_residual)]
        value = make(training, relu, tuple(t.to(dtype) for t in running(2)))(*given).pow(3).mean()
        for _ in range(2):
            gradients = torch.autograd.grad(value, given, create_graph=True)
            value = sum(g.pow(2).mean() for g in gradients)
        return list(torch.autograd.grad(value, given))

    expected = penalty(by_hand, torch.float64)
    assert_all_close(penalty(ours, torch.float32), expected, 1e-3)
    assert_all_close(penalty(ours, torch.float64), expected, 1e-9)


@every_how
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype: torch.dtype, training: bool, relu: bool, with_residual: bool) -> None:
    x, weight, bias, *residual = [t.to(dtype).requires_grad_() for t in inputs((3, CHANNELS, 5, 2), with_residual)]
    stats = [t.to(dtype) for t in running()]
    after = (weight, bias, residual[0] if residual else None, EPS, relu)
    if training:
        torch.library.opcheck(torch.ops.tithe.batch_norm.default, (x, *after))
    else:
        torch.library.opcheck(torch.ops.tithe.batch_norm_by.default, (x, *stats, *after))
    dy, y = (torch.randn_like(x) for _ in range(2))
    given = (dy.requires_grad_(), x, y if with_residual else None, *stats, weight, bias, EPS, relu, training)
    if not training:  # with the batch's statistics, mean and var must be those of x
        torch.library.opcheck(torch.ops.tithe.batch_norm_backward.default, given)


@every_how
def test_without_weight_and_bias_and_only_what_is_asked_for(training: bool, relu: bool, with_residual: bool) -> None:
    shape = (6, CHANNELS, 5, 3)
    x, weight, bias, *residual = inputs(shape, with_residual)
    dy = randn(7, *shape)
    for given in ([x, None, None, *residual], [x, weight, None, *residual], [x, None, bias, *residual]):
        found = []
        for make, dtype in ((ours, torch.float32), (theirs, torch.float64)):
            leaves = [None if t is None else t.to(dtype, copy=True) for t in given]
            leaves[0].requires_grad_()
            y = make(training, relu, tuple(t.to(dtype) for t in running()))(*leaves)
            found.append([y.detach(), *torch.autograd.grad(y, leaves[0], dy.to(dtype))])
        assert_all_close(*found, 1e-5)
    assert not ours(training, relu, running())(x, weight, bias, *residual).requires_grad


def test_the_fake_has_the_layout_of_the_real() -> None:
    x, weight, bias = (t.float() for t in inputs((3, CHANNELS, 5, 2), False))
    real = torch.ops.tithe.batch_norm(x, weight, bias, None, EPS, True)
    with FakeTensorMode() as mode:
        fake = torch.ops.tithe.batch_norm(*[mode.from_tensor(t) for t in (x, weight, bias)], None, EPS, True)
    for one, two in zip(real, fake, strict=True):
        assert (one.shape, one.stride(), one.dtype) == (two.shape, two.stride(), two.dtype)


def test_a_listener_sees_the_operator() -> None:
    x = inputs((3, CHANNELS, 5, 2), False)[0].float()
    with FlopCounterMode(display=False), torch.profiler.profile() as profile:
        ours(True, True, tuple(t.float() for t in running()))(x, None, None)
    assert "tithe::batch_norm" in {event.key for event in profile.key_averages()}


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(norm_kernels, "GRAIN", 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@every_how
@pytest.mark.usefixtures("threads")
def test_same_bits_for_any_number_of_threads(training: bool, relu: bool, with_residual: bool) -> None:
    shape = (33, CHANNELS, 9, 8)
    given, dy = [t.float() for t in inputs(shape, with_residual)], randn(7, *shape).float()
    seen = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        assert norm_kernels._sizes(given[0])[2] == count
        seen.append(results(ours(training, relu, tuple(t.float() for t in running())), given, dy))
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))


def test_running_statistics_in_a_graph_are_guarded() -> None:
    """They are moved by address; autograd must notice, as it does when torch moves its own."""
    x, stats = inputs((3, CHANNELS, 5, 2), False)[0].float().requires_grad_(), tuple(t.float() for t in running())
    y = ours(False, False, stats)(x, None, None)
    ours(True, False, stats)(x, None, None)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_strided_running_statistics_and_weights() -> None:
    x, weight, bias = (t.float() for t in inputs((3, CHANNELS, 5, 2), False))
    apart = [torch.stack([t, t], 1)[:, 0] for t in (weight, bias, *(t.float() for t in running()))]
    together = [t.contiguous() for t in apart]
    y = [ops.batch_norm(x, *four, True, MOMENTUM, EPS) for four in (apart, together)]
    assert torch.equal(*y)
    for one, two in zip(apart, together, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(3, 4, 5)}, r"must be \[N, C, H, W\]"),
        ({"weight": torch.ones(3)}, r"\(3,\).*each of them \[C\]"),
        ({"running_var": torch.ones(5)}, r"\(5,\).*each of them \[C\]"),
        ({"residual": torch.ones(2, 4, 5, 6)}, r"\(2, 4, 5, 6\) and \(3, 4, 5, 2\) were given"),
        ({"x": torch.ones(1, 4, 1, 1)}, "training needs 2 values per channel"),
        ({"training": False, "running_mean": None}, "no running statistics were given"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    stats = {"running_mean": torch.ones(4), "running_var": torch.ones(4)}
    given = {"x": torch.ones(3, 4, 5, 2), "weight": None, "bias": None, **stats, "training": True}
    with pytest.raises(UsageError, match=message):
        ops.batch_norm(**(given | {"momentum": 0.1, "eps": 1e-5} | change))


def test_operators_refuse_by_themselves() -> None:
    x, four, three = torch.ones(3, 4, 5, 2), torch.ones(4), torch.ones(3)
    with pytest.raises(UsageError):
        torch.ops.tithe.batch_norm(x, three, None, None, EPS, False)
    with pytest.raises(UsageError):
        torch.ops.tithe.batch_norm_by(x, four, three, None, None, None, EPS, False)
    with pytest.raises(UsageError):
        torch.ops.tithe.batch_norm_backward(x[:2], x, None, four, four, None, None, EPS, False, True)
