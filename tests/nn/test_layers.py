"""SparseLinear and SparseConv2d are nn.Linear and nn.Conv2d on the masked weight."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tithe import SparseConv2d, SparseLinear, Topology, UsageError
from tithe.nn import SparseLayer

from .kinds import DENSE, both, inputs_of, make

LINEAR_INPUTS = {"vector": (12,), "matrix": (5, 12), "sequence": (2, 3, 12), "deeper": (2, 1, 3, 12), "none": (0, 12)}
MODES = ("zeros", "reflect", "replicate", "circular")
CONVS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 3},
    "no bias": {"kernel_size": 3, "bias": False},
    "stride and padding": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2)},
    "pointwise": {"kernel_size": 1, "stride": 2},
    "valid": {"kernel_size": 3, "padding": "valid"},
    **{f"same, {mode}": {"kernel_size": 3, "padding": "same", "padding_mode": mode} for mode in MODES},
    **{f"same, even, {mode}": {"kernel_size": (4, 2), "padding": "same", "padding_mode": mode} for mode in MODES},
    **{f"padded, {mode}": {"kernel_size": 3, "padding": (2, 1), "padding_mode": mode} for mode in MODES},
}
REFERENCE: dict[str, dict[str, Any]] = {
    "groups": {"kernel_size": 3, "groups": 2},
    "depthwise": {"kernel_size": 3, "groups": 4, "padding": 1},
    "dilation": {"kernel_size": 3, "dilation": (2, 1)},
    "same, dilated": {"kernel_size": (2, 3), "dilation": 2, "padding": "same"},
    "groups, circular": {"kernel_size": 3, "groups": 2, "padding": 1, "padding_mode": "circular", "stride": 2},
}


def masked(dense: nn.Module, mask: Tensor) -> nn.Module:
    """A copy of the dense module with zeros where the mask is False."""
    twin = copy.deepcopy(dense)
    with torch.no_grad():
        twin.weight.mul_(mask)
    return twin


def assert_same_passes(layer: SparseLayer, dense: nn.Module, mask: Tensor, x: Tensor) -> None:
    """Equal outputs and gradients of input, weights and bias."""
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    y, expected = layer(inputs[0]), dense(inputs[1])
    torch.testing.assert_close(y, expected)
    dy = torch.randn_like(expected)
    y.backward(dy)
    expected.backward(dy)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(layer.values.grad, dense.weight.grad[mask])
    if dense.bias is not None:
        torch.testing.assert_close(layer.bias.grad, dense.bias.grad)


def twins(dense: nn.Module, density: float = 0.3) -> tuple[SparseLayer, nn.Module, Tensor]:
    mask = torch.rand(dense.weight.shape) < density
    mask.view(-1)[0] = True
    kind = SparseLinear if isinstance(dense, nn.Linear) else SparseConv2d
    return kind.from_dense(dense, mask=mask), masked(dense, mask), mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", LINEAR_INPUTS.values(), ids=LINEAR_INPUTS)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_masked_linear(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    layer, dense, mask = twins(nn.Linear(12, 9, bias=bias, dtype=dtype))
    assert_same_passes(layer, dense, mask, torch.randn(shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("how", CONVS.values(), ids=CONVS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even")  # torch's, about its own dense layer
def test_conv_is_the_masked_conv(how: dict[str, Any], dtype: torch.dtype) -> None:
    layer, dense, mask = twins(nn.Conv2d(3, 5, **how, dtype=dtype))
    assert_same_passes(layer, dense, mask, torch.randn(2, 3, 7, 6, dtype=dtype))


@pytest.mark.parametrize("how", REFERENCE.values(), ids=REFERENCE)
def test_groups_and_dilation_are_right_and_warn(how: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="groups or dilation runs the dense reference"):
        layer, dense, mask = twins(nn.Conv2d(4, 8, **how))
    assert_same_passes(layer, dense, mask, torch.randn(2, 4, 7, 6))
    with pytest.warns(UserWarning, match="groups or dilation"):
        assert torch.equal(SparseConv2d.from_dense(layer.to_dense(), mask=mask).values, layer.values)


def test_the_warning_about_groups_comes_once_from_one_place() -> None:
    def build() -> None:
        SparseConv2d.from_dense(nn.Conv2d(4, 8, 3, groups=2), density=0.5)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            build()
    assert len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.parametrize("how", [CONVS["stride and padding"], CONVS["same, circular"]])
def test_conv_takes_one_image_without_a_batch(how: dict[str, Any]) -> None:
    layer, dense, mask = twins(nn.Conv2d(3, 5, **how))
    assert_same_passes(layer, dense, mask, torch.randn(3, 7, 6))


def test_outputs_are_batch_innermost() -> None:
    linear = SparseLinear.from_dense(nn.Linear(12, 9), density=0.3)
    conv = SparseConv2d.from_dense(nn.Conv2d(3, 5, 3), density=0.3)
    assert linear(torch.randn(4, 12)).stride() == (1, 4)
    assert conv(torch.randn(4, 3, 7, 6)).movedim(0, -1).is_contiguous()


@both
class TestFromDense:
    def test_mask_and_back(self, kind: str) -> None:
        dense, sparse, _ = DENSE[kind]
        module = dense()
        mask = torch.rand(module.weight.shape) < 0.3
        layer = sparse.from_dense(module, mask=mask)
        assert torch.equal(layer.topology.to_mask().view(mask.shape), mask)
        assert torch.equal(layer.values, module.weight[mask])
        assert layer.weight_shape == module.weight.shape
        assert torch.equal(layer.dense_weight(), module.weight * mask)
        back = layer.to_dense()
        assert type(back) is type(module)
        assert torch.equal(back.weight, module.weight * mask)
        assert torch.equal(back.bias, module.bias)
        assert repr(back) == repr(module)

    def test_density_is_exact(self, kind: str) -> None:
        dense, sparse, _ = DENSE[kind]
        for density in (1.0, 0.37, 1 / dense().weight.numel()):
            layer = sparse.from_dense(dense(), density=density)
            assert layer.nnz == layer.topology.nnz == round(density * dense().weight.numel())
            assert layer.density == layer.nnz / dense().weight.numel()

    def test_generator_draws_the_topology(self, kind: str) -> None:
        assert make(kind, seed=1).topology == make(kind, seed=1).topology
        assert make(kind, seed=1).topology != make(kind, seed=2).topology

    def test_a_layer_may_have_no_weight_at_all(self, kind: str) -> None:
        dense, sparse, _ = DENSE[kind]
        layer = sparse.from_dense(dense(), mask=torch.zeros(dense().weight.shape, dtype=torch.bool))
        x = inputs_of(kind).requires_grad_()
        y = layer(x)
        y.sum().backward()
        assert torch.equal(y, layer.bias.view(-1, *[1] * (y.dim() - 2)).expand_as(y))
        assert not x.grad.any()
        assert layer.values.grad.shape == (0,)

    def test_what_is_frozen_stays_frozen_and_back(self, kind: str) -> None:
        dense, sparse, _ = DENSE[kind]
        for name in ("weight", "bias"):
            module = dense().eval()
            getattr(module, name).requires_grad_(False)
            layer = sparse.from_dense(module, density=0.5)
            assert layer.values.requires_grad == module.weight.requires_grad
            assert layer.bias.requires_grad == module.bias.requires_grad
            assert not layer.training
            back = layer.to_dense()
            assert back.weight.requires_grad == module.weight.requires_grad
            assert back.bias.requires_grad == module.bias.requires_grad
            assert not back.training

    def test_the_dense_module_stays_as_it_was(self, kind: str) -> None:
        dense, sparse, _ = DENSE[kind]
        module = dense()
        before = copy.deepcopy(module.state_dict())
        layer = sparse.from_dense(module, density=0.5)
        with torch.no_grad():
            layer.values.zero_()
            layer.bias.zero_()
        assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())

    def test_refusals(self, kind: str) -> None:
        dense, sparse, _ = DENSE[kind]
        mask = torch.ones(dense().weight.shape, dtype=torch.bool)
        for arguments in ({}, {"mask": mask, "density": 0.5}):
            with pytest.raises(UsageError, match=r"either mask= .* or density=.*exactly one"):
                sparse.from_dense(dense(), **arguments)
        with pytest.raises(UsageError, match="a mask of shape"):
            sparse.from_dense(dense(), mask=mask[:-1])
        for density in (0.0, -1, 1.5, float("nan")):
            with pytest.raises(UsageError, match=rf"density {density} was given; allowed is above 0"):
                sparse.from_dense(dense(), density=density)
        with pytest.raises(UsageError, match="use a density of at least"):
            sparse.from_dense(dense(), density=1e-9)


@both
def test_fresh_parameters_follow_each_neuron_s_own_fan_in(kind: str) -> None:
    torch.manual_seed(0)
    mask = torch.zeros(2, 400, dtype=torch.bool)
    mask[0, :4], mask[1] = True, True
    topology = Topology.from_mask(mask)
    layer = SparseLinear(400, 2, topology) if kind == "linear" else SparseConv2d(100, 2, 2, topology)
    few, many = layer.values[:4], layer.values[4:]
    assert few.abs().max() <= 0.5
    assert 0.045 < many.abs().max() <= 0.05
    assert many.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.1)
    assert layer.bias[1].abs() <= 0.05
    generator = torch.Generator().manual_seed(3)
    layer.reset_parameters(generator)
    first = layer.values.detach().clone()
    layer.reset_parameters(generator.manual_seed(3))
    assert torch.equal(layer.values, first)


def test_constructors_refuse_what_nn_conv2d_refuses() -> None:
    def conv(cols: int = 36, **how: Any) -> SparseConv2d:
        return SparseConv2d(4, 6, 3, Topology.random((6, cols), 10), **how)

    with pytest.raises(UsageError, match=r"topology of 6 x 35 was given for a weight of shape.*must be 6 x 36"):
        conv(cols=35)
    with pytest.raises(UsageError, match="topology of 9 x 12"):
        SparseLinear(9, 12, Topology.random((9, 12), 5))
    with pytest.raises(UsageError, match="groups=3 was given; it must divide the 4 input"):
        conv(cols=9, groups=3)
    with pytest.raises(UsageError, match="padding 'around' was given; allowed are 'valid', 'same'"):
        conv(padding="around")
    with pytest.raises(UsageError, match="padding 'same' was given with stride"):
        conv(padding="same", stride=2)
    with pytest.raises(UsageError, match="padding_mode 'mirror' was given; allowed are zeros, reflect"):
        conv(padding_mode="mirror")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_that_do_not_fit(dtype: torch.dtype) -> None:
    linear, conv = make("linear").to(dtype), make("conv").to(dtype)
    for shape in ((4, 11), (13,), (4, 6, 6), (4, 2, 6)):
        with pytest.raises(UsageError, match="last dimension must be the layer's 12 features"):
            linear(torch.randn(shape, dtype=dtype))
    for shape in ((4, 2, 7, 6), (4, 7, 6), (7, 6), (1, 4, 3, 7, 6)):
        with pytest.raises(UsageError, match=r"it must be \[batch, 3, height, width\]"):
            conv(torch.randn(shape, dtype=dtype))
    with pytest.raises((UsageError, RuntimeError), match=r"smaller|greater"):
        SparseConv2d.from_dense(nn.Conv2d(3, 5, 4).to(dtype), density=0.5)(torch.randn(2, 3, 3, 3, dtype=dtype))
