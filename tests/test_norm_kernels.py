"""Batch normalisation's kernels: fast against naive, naive against torch in double, and nothing out of bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_kernels import ALL_SETS, GUARD, POISON, guarded, storage, to_bf16, widened
from torch.nn.functional import batch_norm

from tithe import _kernels

EPS, MOMENTUM = 1e-5, 0.3
FENCE = 12345
STORED = ("y", "dx", "dresidual")  # as activations are; all else is float32
# Blocks are 256, 1024, 2048 or 4096 numbers, steps 4 to 64: below, at and above each.
LENGTHS = [2, 3, 5, 15, 16, 17, 63, 64, 65, 100, 255, 257, 1023, 1024, 1025, 4095, 4096, 4097, 8200, 10_001]


@dataclass(frozen=True)
class Norm:
    """One call's sizes and data, each channel with a scale and an offset of its own."""

    channels: int
    length: int
    relu: bool
    shortcut: bool  # a residual is added
    affine: bool = True  # there are weights and biases
    offset: float = 1.0  # how far the means are from 0, in standard deviations
    seed: int = 0
    bf16: bool = False  # how activations are stored

    def random(self, salt: int, *shape: int) -> np.ndarray:
        return np.random.default_rng([self.seed, salt]).standard_normal(shape).astype(np.float32)

    def storable(self, array: np.ndarray) -> np.ndarray:
        """float32 that can be stored without a loss."""
        return widened(to_bf16(array)) if self.bf16 else array

    @cached_property
    def x(self) -> np.ndarray:
        noise, scale = self.random(1, self.channels, self.length), np.exp(self.random(2, self.channels, 1))
        return self.storable(((noise + self.offset) * scale).astype(np.float32))

    @cached_property
    def dy(self) -> np.ndarray:
        return self.storable(self.random(3, self.channels, self.length) + np.float32(0.5))

    @cached_property
    def residual(self) -> np.ndarray | None:
        return self.storable(self.random(4, self.channels, self.length)) if self.shortcut else None

    @cached_property
    def weight(self) -> np.ndarray | None:
        return self.random(5, self.channels) if self.affine else None

    @cached_property
    def bias(self) -> np.ndarray | None:
        return self.random(6, self.channels) if self.affine else None

    @cached_property
    def running(self) -> tuple[np.ndarray, np.ndarray]:
        return self.random(7, self.channels), np.abs(self.random(8, self.channels)) + np.float32(0.5)


class Memory:
    """Arrays between fences: inputs between NaN, which a stray read would spread; outputs full of NaN themselves."""

    def __init__(self, bf16: bool) -> None:
        self.bf16 = bf16
        self.kept: list[tuple[np.ndarray, np.ndarray]] = []
        self.written: list[tuple[np.ndarray, np.ndarray]] = []

    def give(self, array: np.ndarray | None) -> int:
        if array is None:
            return 0
        self.kept.append((guarded(array, POISON[array.dtype])[0], array))
        return self.kept[-1][0].ctypes.data

    def give_stored(self, array: np.ndarray | None) -> int:
        return self.give(to_bf16(array) if self.bf16 and array is not None else array)

    def take(self, start: np.ndarray | tuple[int, ...]) -> tuple[int, np.ndarray]:
        array = start if isinstance(start, np.ndarray) else np.full(start, np.nan, np.float32)
        inside, buffer = guarded(array, FENCE)
        self.written.append((inside, buffer))
        return inside.ctypes.data, inside.reshape(array.shape)

    def take_stored(self, shape: tuple[int, ...]) -> tuple[int, np.ndarray]:
        return self.take(np.full(shape, POISON[np.dtype(np.uint16)], np.uint16) if self.bf16 else shape)

    def check(self) -> None:
        for inside, buffer in self.written:
            assert (buffer[:GUARD] == FENCE).all(), "written before an output"
            assert (buffer[GUARD + inside.size :] == FENCE).all(), "written behind an output"
            assert not np.isnan(as_float(inside)).any(), "not written, or memory outside an input was read"
        for inside, before in self.kept:
            np.testing.assert_array_equal(inside, before.ravel(), "an input was changed")


def as_float(array: np.ndarray) -> np.ndarray:
    return widened(array) if array.dtype == np.uint16 else array.copy()


def run(
    case: Norm, training: bool, naive: bool = False, threads: int = 1, bf16: bool | None = None
) -> dict[str, np.ndarray]:
    """Forward and backward; by the batch's statistics, or by the running ones. The answers are float32.

    Activations are stored as bf16 says, or as the case does.
    """
    bf16 = case.bf16 if bf16 is None else bf16
    memory, name = Memory(bf16), f"{'naive_' if naive else ''}norm_%s{'_bf16' if bf16 else ''}"
    at, y = memory.take_stored(case.x.shape)
    sizes = (case.channels, case.length, EPS)
    x, weight, bias = memory.give_stored(case.x), memory.give(case.weight), memory.give(case.bias)
    residual, found = memory.give_stored(case.residual), {"y": y}
    if training:
        (mean_at, found["mean"]), (var_at, found["var"]) = (memory.take((case.channels,)) for _ in range(2))
        moving = [memory.take(start) for start in case.running]
        found |= {"running mean": moving[0][1], "running var": moving[1][1]}
        where = (at, mean_at, var_at, moving[0][0], moving[1][0], x, weight, bias, residual)
        getattr(_kernels, name % "train")(*where, *sizes, MOMENTUM, case.relu, threads)
    else:
        mean_at, var_at = (memory.give(start) for start in case.running)
        getattr(_kernels, name % "apply")(at, x, mean_at, var_at, weight, bias, residual, *sizes, case.relu, threads)
    places = {"dresidual": 0}
    places["dx"], found["dx"] = memory.take_stored(case.x.shape)
    if case.shortcut and case.relu:
        places["dresidual"], found["dresidual"] = memory.take_stored(case.x.shape)
    for each in ("dweight", "dbias"):
        places[each], found[each] = memory.take((case.channels,))
    where = [places[each] for each in ("dx", "dresidual", "dweight", "dbias")]
    where += [memory.give_stored(case.dy), x, at if case.shortcut and case.relu else 0, mean_at, var_at, weight, bias]
    getattr(_kernels, name % "backward")(*where, training, *sizes, case.relu, threads)
    memory.check()
    return {each: as_float(array) for each, array in found.items()}


def reference(case: Norm, training: bool, kept: np.ndarray) -> dict[str, np.ndarray]:
    """By torch in double; `kept` [C, M] says what the ReLU let through: near 0 rounding decides."""
    tensors = {name: getattr(case, name) for name in ("x", "weight", "bias", "residual")}
    leaves = {
        name: torch.from_numpy(array).double().requires_grad_() for name, array in tensors.items() if array is not None
    }
    running = [torch.from_numpy(start).double() for start in case.running]
    x = leaves["x"].t()  # [M, C]
    y = batch_norm(x, *running, leaves.get("weight"), leaves.get("bias"), training, MOMENTUM, EPS).t()
    if case.shortcut:
        y = y + leaves["residual"]
    if case.relu:
        y = torch.where(torch.from_numpy(kept), y, 0)
    gradients = torch.autograd.grad(y, list(leaves.values()), torch.from_numpy(case.dy).double())
    found = {f"d{name}": gradient.numpy() for name, gradient in zip(leaves, gradients, strict=True)}
    if training:
        found |= {"running mean": running[0].numpy(), "running var": running[1].numpy()}
    return found | {"y": y.detach().numpy()}


def tolerances(case: Norm, training: bool, expected: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How far rounding can take each result of a channel, [C, 1].

    A mean in float32 is off by up to 2^-24 of itself, and with it each normalised x by `shift` standard deviations.
    Sums add 64 terms at a time in float32, so they are off by less than 64 * 2^-24 of the terms' magnitudes. For
    squared deviations most of that cancels, unless x has so few digits that the same ones come again and again.
    """
    squares = 2**-18 if case.bf16 else 2**-22
    x = case.x.astype(np.float64)
    mean, var = (x.mean(1), x.var(1)) if training else case.running
    mean, deviation = mean[:, None], np.sqrt(var + EPS)[:, None]
    weight = np.abs(np.ones(case.channels) if case.weight is None else case.weight)[:, None]
    normal = 1 + np.abs(x - mean) / deviation
    mean = np.abs(mean)
    shift = 2**-24 * (1 + mean / deviation)
    terms = np.abs(case.dy).sum(1, keepdims=True) * normal.max(1, keepdims=True)
    each = np.abs(case.dy).max(1, keepdims=True) * normal.max(1, keepdims=True) ** 2
    return {
        "y": weight * (4 * shift + squares * normal) + 2**-22 * np.abs(expected["y"]).max(1, keepdims=True),
        "dx": weight / deviation * each * (16 * shift + 4 * squares),
        "dweight": (4e-6 + 2 * shift) * terms,
        "dbias": 4e-6 * terms,
        "dresidual": np.zeros((case.channels, 1)),
        "mean": 2**-23 * mean + 2**-22 * deviation,
        "var": squares * deviation**2,
        "running mean": 2**-22 * (1 + mean + deviation),
        "running var": 2**-21 + 2 * squares * deviation**2,
    }


def assert_close(case: Norm, training: bool, actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Within the tolerance; what is stored in bfloat16 is then rounded once, to the nearest."""
    limits = tolerances(case, training, expected)
    for name, value in actual.items():
        if name in expected:
            value, should = value.reshape(case.channels, -1), expected[name].reshape(case.channels, -1)
            low, high = should - limits[name] - 1e-30, should + limits[name] + 1e-30
            if case.bf16 and name in STORED:
                low, high = widened(to_bf16(low)), widened(to_bf16(high))
            assert ((low <= value) & (value <= high)).all(), f"{name} is off by {np.abs(value - should).max():.3g}"


def check(case: Norm, training: bool) -> None:
    fast, naive = run(case, training), run(case, training, naive=True)
    exact = run(case, training, naive=True, bf16=False)
    kept = fast["y"] > 0
    assert_close(case, training, fast, reference(case, training, kept))
    if not case.relu or all((kept == (other["y"] > 0)).all() for other in (naive, exact)):
        assert_close(case, training, fast, exact)
        assert_close(case, training, naive, exact)
    for threads in (2, 3):
        for name, value in run(case, training, threads=threads).items():
            np.testing.assert_array_equal(value, fast[name], name)


@pytest.fixture(params=ALL_SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """A test that uses this runs on each instruction set that the machine has."""
    if request.param not in _kernels.instruction_sets():
        pytest.skip(f"this machine has no {request.param}")
    before = _kernels.instruction_set()
    _kernels.use_instruction_set(request.param)
    yield request.param
    _kernels.use_instruction_set(before)


CASES = st.builds(
    Norm,
    channels=st.integers(0, 5),
    length=st.sampled_from(LENGTHS),
    relu=st.booleans(),
    shortcut=st.booleans(),
    affine=st.booleans(),
    offset=st.sampled_from([0.0, 1.0, -30.0]),
    seed=st.integers(0, 99),
)


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("training", [True, False])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=CASES)
@example(case=Norm(1, 2, True, True))
@example(case=Norm(7, 4097, True, False))
@example(case=Norm(3, 8200, True, True))
def test_norm(training: bool, case: Norm, bf16: bool) -> None:
    case = replace(case, bf16=bf16)
    if case.channels:
        check(case, training)
    else:
        assert run(case, training)["y"].size == 0


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("length", [7, 5000, 300_001])
def test_a_large_mean_does_not_swamp_the_variance(length: int, bf16: bool) -> None:
    """Mean 1000, standard deviation 1: in float32 the mean of squares minus the squared mean would be off by 0.1."""
    case = Norm(3, length, relu=False, shortcut=False, offset=1000.0, bf16=bf16)
    found, x = run(case, training=True), case.x.astype(np.float64)
    np.testing.assert_allclose(found["mean"], x.mean(1), rtol=1.2e-7)  # the nearest float, or the one beside it
    np.testing.assert_allclose(found["var"], x.var(1), rtol=1e-6)


@storage
@pytest.mark.usefixtures("instruction_set")
def test_blocks_far_apart(bf16: bool) -> None:
    """The mean moves by 10,000 standard deviations along the channel, so no single shift suits all of it."""
    case = Norm(1, 25_000, relu=False, shortcut=False, bf16=bf16)
    steps = np.repeat(np.arange(5), 5000) * 10_000.0
    x = case.storable((np.random.default_rng(0).standard_normal((1, 25_000)) + steps).astype(np.float32))
    case.__dict__["x"] = x
    found = run(case, training=True)
    np.testing.assert_allclose(found["mean"], x.astype(np.float64).mean(1), rtol=1e-6)
    np.testing.assert_allclose(found["var"], x.astype(np.float64).var(1), rtol=1e-6)


@storage
@pytest.mark.usefixtures("instruction_set")
def test_long_sums_stay_exact(bf16: bool) -> None:
    """Ten million times 0.1: one float accumulator would be 1 % off."""
    case = Norm(1, 10_000_000, relu=False, shortcut=False, affine=False, bf16=bf16)
    tenth = case.storable(np.full((1, case.length), 0.1, np.float32))
    case.__dict__["x"] = case.__dict__["dy"] = tenth
    found = run(case, training=True)
    assert found["mean"][0] == tenth[0, 0]
    assert found["var"][0] == 0
    np.testing.assert_allclose(found["dbias"], 1e7 * tenth[0, 0], rtol=1e-6)


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("length", [10, 100, 5000])
@pytest.mark.parametrize("shortcut", [True, False])
def test_the_gradient_at_zero_is_zero(length: int, shortcut: bool, bf16: bool) -> None:
    """Where the output is 0 exactly, and only there, the gradient stops, as in torch.relu."""
    case = Norm(2, length, relu=True, shortcut=shortcut, affine=False, bf16=bf16)
    case.__dict__["x"] = np.tile(np.array([0, 1, -1, 0, 2], np.float32), (2, length // 5))
    case.__dict__["residual"] = np.zeros_like(case.x) if shortcut else None
    case.__dict__["running"] = (np.zeros(2, np.float32), np.ones(2, np.float32))
    found = run(case, training=False)
    np.testing.assert_array_equal(found["dx"] != 0, case.x > 0)
    np.testing.assert_array_equal(found["y"] != 0, case.x > 0)


@storage
@pytest.mark.usefixtures("instruction_set")
def test_the_mask_of_the_gradient_is_that_of_the_output(bf16: bool) -> None:
    """It is computed from x again: to the last bit, also within a rounding of 0."""
    case = Norm(4, 4099, relu=True, shortcut=False, seed=5, bf16=bf16)
    step = np.float32(2**-7 if bf16 else 2**-23)
    tiny = np.float32(1) + np.arange(-2050, 2049, dtype=np.float32) * step  # neighbours of 1
    case.__dict__["x"] = np.tile(case.storable(tiny), (4, 1))
    case.__dict__["running"] = (np.full(4, 0.3, np.float32), np.full(4, 0.7, np.float32))
    scale = case.weight / np.sqrt(np.float32(0.7) + EPS)
    case.__dict__["bias"] = (-scale * np.float32(0.7)).astype(np.float32)  # so y crosses 0 where x is 1
    found = run(case, training=False)
    assert (found["y"] > 0).any(1).all()
    assert (found["y"] == 0).any(1).all()
    np.testing.assert_array_equal(found["dx"] != 0, found["y"] > 0)


@storage
@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("where", [0, 70, 99])
def test_nan_stays_nan(where: int, bf16: bool) -> None:
    x, y = np.ones((2, 100), np.float32), np.zeros((2, 100), np.float32)
    x[0, where] = np.nan
    x, y = (to_bf16(x), to_bf16(y)) if bf16 else (x, y)
    mean, var = np.zeros(2, np.float32), np.zeros(2, np.float32)
    addresses = [a.ctypes.data for a in (y, mean, var)]
    train = _kernels.norm_train_bf16 if bf16 else _kernels.norm_train
    train(*addresses, 0, 0, x.ctypes.data, 0, 0, 0, 2, 100, EPS, MOMENTUM, True, 1)
    assert np.isnan(as_float(y)[0]).all()
    assert not np.isnan(as_float(y)[1]).any()


# In bfloat16, bit by bit: with mean 0, variance 1 and eps 0 the arithmetic is exact, so all that is left is rounding.


def forward_by_one(x: np.ndarray, residual: np.ndarray, relu: bool) -> np.ndarray:
    """y = relu?(x + residual) [length], by the kernel, all in bfloat16 as uint16."""
    y, zero, one = np.full_like(x, 0x7FC0), np.zeros(1, np.float32), np.ones(1, np.float32)
    at = [a.ctypes.data for a in (y, x, zero, one)]
    _kernels.norm_apply_bf16(*at, 0, 0, residual.ctypes.data, 1, x.size, 0.0, relu, 1)
    return y


def backward_by_one(dy: np.ndarray, weight: float) -> np.ndarray:
    """dx = dy * weight [length], likewise."""
    dx, zero, one = np.full_like(dy, 0x7FC0), np.zeros(1, np.float32), np.ones(1, np.float32)
    x, scale = np.zeros_like(dy), np.full(1, weight, np.float32)
    at = [a.ctypes.data for a in (dx, dy, x, zero, one, scale)]
    _kernels.norm_backward_bf16(
        at[0], 0, 0, 0, at[1], at[2], 0, at[3], at[4], at[5], 0, False, 1, dy.size, 0.0, False, 1
    )
    return dx


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Of bfloat16 as uint16; any NaN is as good as another, and so is a zero's sign."""
    a, e = widened(actual), widened(expected)
    assert ((a == e) | (np.isnan(a) & np.isnan(e))).all()


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("length", [63, 64, 1031])
def test_rounding_is_to_the_nearest_and_ties_go_to_even(length: int) -> None:
    """Whole numbers of 8 bits, so 1 is their last digit: with a half, and times 1.5, many end in a tie."""
    draw = np.random.default_rng(length)
    x = (draw.integers(128, 256, length) * draw.choice([1, -1], length)).astype(np.float32)
    residual = (draw.integers(-80, 80, length) / 2).astype(np.float32)
    for exact in (x + residual, x * np.float32(1.5)):
        assert ((exact.view(np.uint32) & 0xFFFF) == 0x8000).mean() > 0.2, "ties are what this is about"
    assert_same_bits(forward_by_one(to_bf16(x), to_bf16(residual), False), to_bf16(x + residual))
    assert_same_bits(forward_by_one(to_bf16(x), to_bf16(residual), True), to_bf16(np.maximum(x + residual, 0)))
    assert_same_bits(backward_by_one(to_bf16(x), 1.5), to_bf16(x * np.float32(1.5)))


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("length", [1, 9, 64, 73])
def test_nan_and_infinity_pass_through(length: int) -> None:
    """And what is finite in float32 but past the largest bfloat16 becomes infinite."""
    largest = widened(np.array([0x7F7F], np.uint16))[0]
    x = np.resize(np.array([np.inf, -np.inf, np.nan, largest, -largest, 1.0, 0.0], np.float32), length)
    residual = np.resize(np.array([0.0, 1.0, 0.0, largest * 2**-8, -largest * 2**-8], np.float32), length)
    for relu in (False, True):
        y = torch.from_numpy(x) + torch.from_numpy(widened(to_bf16(residual)))
        expected = to_bf16((y.relu() if relu else y).numpy())
        assert_same_bits(forward_by_one(to_bf16(x), to_bf16(residual), relu), expected)
    assert_same_bits(backward_by_one(to_bf16(x), 1.0), to_bf16(x))
