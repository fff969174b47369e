"""The operators compute what dense ones compute on the masked weight: every shape, layout and order of gradient."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cases import ANY_CASES, CONV, FEW, KERNEL_CASES, LAYOUTS, LINEAR, PLAIN, Case, dense_results, results
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode

from tithe.ops import dispatch

Cases = tuple[Case, ...]
Dtypes = tuple[torch.dtype, torch.dtype]
DTYPES = [  # of the values, and in which activations are stored
    (torch.float32, torch.float32),
    (torch.float64, torch.float64),
    (torch.float32, torch.bfloat16),
    (torch.bfloat16, torch.bfloat16),
]
SMALLEST = (Case((1, 1), (1, 1), (), 1.0), Case((1, 1, 1, 1), (1, 1, 1, 1), PLAIN, 1.0))
LARGE = (
    Case((300, 200), (128, 200), (), 0.1),
    Case((24, 16, 3, 3), (32, 16, 13, 11), ((2, 2), (1, 1), (1, 1), 1), 0.3),
)
MOSTLY_EMPTY = (  # rows and columns without a weight, and pixels that no output looks at
    Case((30, 20), (7, 20), (), 0.01),
    Case((8, 4, 3, 3), (7, 4, 8, 8), ((4, 4), (0, 0), (1, 1), 1), 0.01),
)


def assert_near(actual: dict[str, Tensor], expected: dict[str, Tensor], magnitude: dict[str, Tensor], rounding: float):
    """|actual - expected| <= rounding * (sum of the terms' magnitudes): far below what a lost or doubled term does."""
    for name, value in actual.items():
        assert value.shape == expected[name].shape, name
        error = (value.double() - expected[name]).abs()
        assert (error <= rounding * magnitude[name] + 1e-30).all(), f"{name} is off by {error.max():.3g}"  # NaN fails


@given(ANY_CASES)
@example(SMALLEST)
def test_double_equals_masked_dense(cases: Cases) -> None:
    for case in cases:
        sparse = results(case.sparse, case.x, case.values, case.dy)
        assert_near(sparse, dense_results(case), dense_results(case.all_positive()), 1e-13)


@given(KERNEL_CASES)
@example(SMALLEST)
def test_float_kernels_equal_masked_dense_in_double(cases: Cases) -> None:
    for case in cases:
        sparse = results(case.sparse, case.x.float(), case.values.float(), case.dy.float())
        assert all(value.dtype == torch.float32 for value in sparse.values())
        assert_near(sparse, dense_results(case), dense_results(case.all_positive()), 3e-6)


@given(ANY_CASES, *[st.sampled_from(sorted(LAYOUTS))] * 3, st.sampled_from([torch.float32, torch.float64]))
def test_any_memory_layout(cases: Cases, x_layout: str, dy_layout: str, values_layout: str, dtype: torch.dtype) -> None:
    for case in cases:
        x, dy = LAYOUTS[x_layout](case.x.to(dtype)), LAYOUTS[dy_layout](case.dy.to(dtype))
        values = LAYOUTS[values_layout](case.values.to(dtype))
        plain = results(case.sparse, x.contiguous(), values.contiguous(), dy.contiguous())
        laid_out = results(case.sparse, x, values, dy)
        for name, value in plain.items():
            if dtype == torch.float32 and case.has_kernel:
                assert torch.equal(laid_out[name], value), f"{name}: the kernels see the same numbers in the same order"
            else:
                torch.testing.assert_close(laid_out[name], value, rtol=1e-5, atol=1e-4)


@given(ANY_CASES, st.sampled_from(DTYPES))
def test_outputs_are_batch_innermost_and_the_fake_says_so(cases: Cases, dtypes: Dtypes) -> None:
    calls = [call for case in cases for call in case.calls(*dtypes).items()]
    for name, (op, arguments) in calls:
        reals = outputs(op(*arguments))
        assert reals[0].movedim(0, -1).is_contiguous(), name
        with FakeTensorMode() as mode:
            fakes = outputs(op(*[mode.from_tensor(a) if isinstance(a, Tensor) else a for a in arguments]))
        metas = outputs(op(*[a.to("meta") if isinstance(a, Tensor) else a for a in arguments]))
        for real, fake, meta in zip(reals, fakes, metas, strict=True):
            for stand_in in (fake, meta):
                assert (stand_in.shape, stand_in.dtype) == (real.shape, real.dtype), name
                # A stride over one element, or in a tensor of none, means nothing.
                many = [i for i, size in enumerate(real.shape) if size > 1 and real.numel()]
                assert [stand_in.stride(i) for i in many] == [real.stride(i) for i in many], name


def outputs(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("dtypes", DTYPES)
@pytest.mark.parametrize("op", ["forward", "dx", "dw", "gradients"])
@pytest.mark.parametrize("name", FEW)
def test_opcheck(name: str, op: str, dtypes: Dtypes) -> None:
    """All of torch's checks: schema, autograd registration, fake tensors, and tracing forward and backward."""
    function, arguments = FEW[name].calls(*dtypes)[op]
    for argument in arguments[: 3 if op == "gradients" else 2]:
        argument.requires_grad_()
    torch.library.opcheck(function.default, arguments)


@pytest.mark.parametrize("op", ["forward", "dx", "dw", "gradients"])
@pytest.mark.parametrize("name", FEW)
def test_gradients_of_every_operator_to_second_order(name: str, op: str) -> None:
    function, arguments = small(FEW[name]).calls(torch.float64)[op]
    split = 3 if op == "gradients" else 2
    inputs, rest = tuple(a.requires_grad_() for a in arguments[:split]), arguments[split:]
    assert torch.autograd.gradcheck(lambda *a: function(*a, *rest), inputs)
    assert torch.autograd.gradgradcheck(lambda *a: function(*a, *rest), inputs)


def small(case: Case) -> Case:
    return Case(case.weight_shape, (2, case.x_shape[1], *[5 for _ in case.x_shape[2:]]), case.how, 0.3)


@pytest.mark.parametrize("case", [LINEAR, CONV], ids=["linear", "conv2d"])
def test_double_backward_through_the_kernels(case: Case) -> None:
    """The gradient of a gradient penalty, float32 kernels against dense in double."""

    def penalty(f, dtype: torch.dtype) -> tuple[Tensor, ...]:
        x, values = (t.to(dtype, copy=True).requires_grad_() for t in (case.x, case.values))
        dx, dv = torch.autograd.grad(f(x, values).pow(2).sum(), (x, values), create_graph=True)
        return torch.autograd.grad(dx.pow(2).sum() + dv.pow(3).sum(), (x, values))

    dense = penalty(lambda x, values: case.dense(x, case.weight(values)), torch.float64)
    for actual, expected in zip(penalty(case.sparse, torch.float32), dense, strict=True):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("name", FEW)
def test_only_the_gradients_that_are_asked_for(name: str) -> None:
    case, expected = FEW[name], dense_results(FEW[name])
    x, values = case.x.clone().requires_grad_(), case.values.clone().requires_grad_()
    (dx,) = torch.autograd.grad(case.sparse(x, case.values), x, case.dy)
    torch.testing.assert_close(dx, expected["dx"])
    (dv,) = torch.autograd.grad(case.sparse(case.x, values), values, case.dy)
    torch.testing.assert_close(dv, expected["dv"])
    assert not case.sparse(case.x, case.values).requires_grad


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All threads for every call, however small: with the usual grain these cases would get one."""
    monkeypatch.setattr(dispatch, "GRAIN", 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(KERNEL_CASES)
@example(LARGE)
def test_same_bits_for_any_number_of_threads(cases: Cases) -> None:
    seen = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        assert dispatch.threads(2, 2) == count
        seen.append([results(c.sparse, c.x.float(), c.values.float(), c.dy.float()) for c in cases])
    for other in seen[1:]:
        for one, two in zip(seen[0], other, strict=True):
            assert all(torch.equal(two[name], value) for name, value in one.items())


def test_small_calls_take_one_thread_and_large_ones_no_more_than_torch_has() -> None:
    assert dispatch.threads(0, 0) == dispatch.threads(1000, 100) == 1
    assert dispatch.threads(10**6, 128, 1000) == torch.get_num_threads()


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """torch fills what it allocates with NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.ones(1).new_empty(1000).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned_memory")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KERNEL_CASES)
@example(MOSTLY_EMPTY)
def test_every_output_element_is_written(cases: Cases) -> None:
    for case in cases:
        for name, value in results(case.sparse, case.x.float(), case.values.float(), case.dy.float()).items():
            assert not value.isnan().any(), name


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_goes_through_the_reference(name: str, dtype: torch.dtype) -> None:
    case = FEW[name]
    sparse = results(case.sparse, case.x.to(dtype), case.values.to(dtype), case.dy.to(dtype))
    assert all(value.dtype == dtype for value in sparse.values())
    assert_near(sparse, dense_results(case), dense_results(case.all_positive()), 0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", FEW)
def test_cuda_equals_masked_dense(name: str) -> None:
    case, device = FEW[name], torch.device("cuda")
    topology = case.topology.to(device)
    twin = Case(**{k: v for k, v in vars(case).items() if k in Case.__dataclass_fields__})
    twin.__dict__["topology"] = topology
    sparse = results(twin.sparse, case.x.to(device), case.values.to(device), case.dy.to(device))
    expected = dense_results(case)
    for key, value in sparse.items():
        torch.testing.assert_close(value.cpu(), expected[key])
