"""SparseLinear and SparseConv2d are nn.Linear and nn.Conv2d on the masked weight, and their state travels."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tithe import SparseConv2d, SparseLinear, Topology, UsageError
from tithe.nn import SparseLayer
from tithe.nn.record import Record

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


DENSE = {
    "linear": (lambda: nn.Linear(12, 9), SparseLinear, (4, 12)),
    "conv": (lambda: nn.Conv2d(3, 5, (3, 2), stride=2, padding=1), SparseConv2d, (4, 3, 7, 6)),
}
both = pytest.mark.parametrize("kind", DENSE)


def make(kind: str, density: float = 0.3, seed: int | None = None) -> SparseLayer:
    dense, sparse, _ = DENSE[kind]
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return sparse.from_dense(dense(), density=density, generator=generator)


def inputs_of(kind: str) -> Tensor:
    return torch.randn(DENSE[kind][2])


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


@both
class TestState:
    def test_keys(self, kind: str) -> None:
        layer = make(kind)
        state = layer.state_dict()
        assert list(state) == ["values", "bias", "indptr", "indices"]
        assert [name for name, _ in layer.named_parameters()] == ["values", "bias"]

    def test_a_rewired_layer_loads_into_a_fresh_one(self, kind: str) -> None:
        rewired, fresh = make(kind), make(kind, density=0.8)
        mask = torch.rand(rewired.matrix_shape) < 0.2
        topology = Topology.from_mask(mask)
        rewired.replace(topology, torch.randn(topology.nnz))
        parameter, x = fresh.values, inputs_of(kind)
        fresh(x).sum().backward()
        assert fresh.load_state_dict(rewired.state_dict()).missing_keys == []
        assert fresh.values is parameter, "optimizers hold the parameter"
        assert fresh.values.grad is None, "the gradient belonged to other weights"
        assert fresh.topology == topology
        assert torch.equal(fresh(x), rewired(x))
        fresh(x).sum().backward()
        assert fresh.values.grad.shape == (topology.nnz,)

    def test_loading_copies(self, kind: str) -> None:
        one, two = make(kind), make(kind)
        two.load_state_dict(one.state_dict())
        with torch.no_grad():
            two.values.add_(1)
        two.packed.zero_()
        assert not torch.equal(one.values, two.values)
        assert one.topology.nnz == one.topology.indptr[-1]

    def test_assign(self, kind: str) -> None:
        one, two = make(kind), make(kind, density=0.8)
        state = {name: value.clone() for name, value in one.state_dict().items()}
        two.load_state_dict(state, assign=True)
        assert two.values.data_ptr() == state["values"].data_ptr()
        assert isinstance(two.values, nn.Parameter)
        assert two.topology == one.topology
        x = inputs_of(kind)
        assert torch.equal(one(x), two(x))

    def test_assign_off_the_meta_device(self, kind: str) -> None:
        one, two = make(kind), make(kind, density=0.8).to("meta")
        assert two(inputs_of(kind).to("meta")).shape == one(inputs_of(kind)).shape
        two.load_state_dict(one.state_dict(), assign=True)
        x = inputs_of(kind)
        assert two.packed.device == two.values.device == torch.device("cpu")
        assert torch.equal(one(x), two(x))

    def test_to_empty_then_load(self, kind: str) -> None:
        one, two = make(kind), make(kind).to("meta").to_empty(device="cpu")
        two.load_state_dict(one.state_dict())
        x = inputs_of(kind)
        assert torch.equal(one(x), two(x))

    def test_not_strict(self, kind: str) -> None:
        one, two = make(kind), make(kind, density=0.8)
        state = dict(one.state_dict()) | {"more": torch.ones(1)}
        del state["bias"]
        with pytest.raises(RuntimeError, match=r"bias[\s\S]*more|more[\s\S]*bias"):
            copy.deepcopy(two).load_state_dict(state)
        bias = two.bias.detach().clone()
        answer = two.load_state_dict(state, strict=False)
        assert (answer.missing_keys, answer.unexpected_keys) == (["bias"], ["more"])
        assert two.topology == one.topology
        assert torch.equal(two.values, one.values)
        assert torch.equal(two.bias, bias)

    def test_values_without_indices_are_refused_even_if_not_strict(self, kind: str) -> None:
        state, layer = dict(make(kind).state_dict()), make(kind)
        del state["indptr"]
        before = layer.values.detach().clone()
        with pytest.raises(RuntimeError, match="comes without indptr and indices"):
            layer.load_state_dict({**state, "values": state["values"] + 1}, strict=False)
        assert torch.equal(layer.values, before)

    def test_missing_indices_are_named(self, kind: str) -> None:
        state = dict(make(kind).state_dict())
        del state["indptr"]
        with pytest.raises(RuntimeError, match=r'Missing key.*"indptr"'):
            make(kind).load_state_dict(state)

    def test_saved_safely_and_only_what_is_needed(self, kind: str) -> None:
        layer, file = make(kind), io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        loaded = torch.load(file, weights_only=True)
        twin = make(kind, density=0.8)
        twin.load_state_dict(loaded)
        assert torch.equal(twin.values, layer.values)
        assert twin.topology == layer.topology
        for name in ("indptr", "indices"):
            assert loaded[name].untyped_storage().nbytes() == 4 * loaded[name].numel(), "not the transpose with it"

    def test_a_state_dict_is_not_changed_by_rewiring(self, kind: str) -> None:
        layer = make(kind)
        state = layer.state_dict()
        kept = {name: value.clone() for name, value in state.items()}
        topology = Topology.random(layer.matrix_shape, 3)
        layer.replace(topology, torch.zeros(3))
        assert all(torch.equal(state[name], value) for name, value in kept.items())

    @pytest.mark.parametrize(
        ("key", "damage", "words"),
        [
            ("indptr", lambda t: t[:-1], "row pointers"),
            ("indptr", lambda t: t.flip(0), "row pointers"),
            ("indptr", lambda t: t.float(), "integers"),
            ("indices", lambda t: t + 10_000, "column index"),
            ("indices", lambda t: t - 1, "column index"),
            ("indices", lambda t: torch.zeros_like(t), "must ascend"),
            ("indices", lambda t: t[:-1], "each value needs one"),
            ("values", lambda t: t[:-1], "each value needs one"),
            ("values", lambda t: torch.cat([t, t]), "each value needs one"),
            ("values", lambda t: t[None], "each value needs one"),
        ],
    )
    def test_damaged_states_leave_the_layer_as_it_was(self, kind: str, key: str, damage: Any, words: str) -> None:
        layer = make(kind, seed=5)
        state = dict(make(kind, density=0.6, seed=6).state_dict())
        state[key] = damage(state[key])
        if key == "indices" and "index" in words and damage(torch.ones(1)) < 1:
            state[key][0] = -1
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        for strict in (True, False):
            with pytest.raises(RuntimeError, match=words):
                layer.load_state_dict(state, strict=strict)
            assert all(torch.equal(layer.state_dict()[name], value) for name, value in before.items())

    def test_a_state_of_another_layer(self, kind: str) -> None:
        other = SparseLinear.from_dense(nn.Linear(30, 40), density=0.5)
        with pytest.raises(RuntimeError, match="row pointers"):
            make(kind).load_state_dict(other.state_dict())

    def test_a_dense_state_says_what_to_do(self, kind: str) -> None:
        layer = make(kind)
        before = layer.dense_weight()
        with pytest.raises(RuntimeError, match="weight is dense; load it into the dense model first"):
            layer.load_state_dict(layer.to_dense().state_dict())
        assert torch.equal(layer.dense_weight(), before)

    @pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
    def test_copies_stand_alone(self, kind: str, remake: Any) -> None:
        layer, x = make(kind), inputs_of(kind)
        twin = remake(layer)
        expected = layer(x)
        assert torch.equal(twin(x), expected)
        twin.packed.zero_()
        with torch.no_grad():
            twin.values.zero_()
        assert torch.equal(layer(x), expected)

    def test_copies_leave_a_scouting_record_behind(self, kind: str) -> None:
        layer = make(kind)
        layer.record = record = Record()
        assert copy.deepcopy(layer).record is None
        assert pickle.loads(pickle.dumps(layer)).record is None
        assert layer.record is record


@both
def test_replace_while_an_old_graph_is_alive(kind: str) -> None:
    """A loss kept from before a rewiring must neither break the next backward nor see other weights."""
    layer, x = make(kind), inputs_of(kind)
    old = layer(x).sum()
    old.backward(retain_graph=True)
    for nnz in (3, 20, 20):
        topology = Topology.random(layer.matrix_shape, nnz)
        layer.replace(topology, torch.randn(nnz))
        loss = layer(x).pow(2).sum()
        loss.backward()
        assert layer.values.grad.shape == (nnz,)
    assert old.requires_grad


@both
def test_dtype_moves_values_and_never_the_topology(kind: str) -> None:
    layer, x = make(kind), inputs_of(kind)
    expected = layer(x)
    double = copy.deepcopy(layer).to(torch.float64)
    assert double.packed.dtype == torch.int32
    torch.testing.assert_close(double(x.double()).float(), expected)
    half = copy.deepcopy(layer).bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="type"):
        double(x)


@both
def test_meta(kind: str) -> None:
    layer = make(kind).to("meta")
    y = layer(inputs_of(kind).to("meta"))
    assert y.device.type == "meta"
    assert y.shape == make(kind)(inputs_of(kind)).shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@both
def test_cuda(kind: str) -> None:
    layer, x = make(kind), inputs_of(kind)
    moved = copy.deepcopy(layer).to("cuda")
    assert moved.packed.is_cuda
    torch.testing.assert_close(moved(x.cuda()).cpu(), layer(x), rtol=1e-4, atol=1e-4)
    moved(x.cuda()).sum().backward()
    layer(x).sum().backward()
    torch.testing.assert_close(moved.values.grad.cpu(), layer.values.grad, rtol=1e-4, atol=1e-4)
    fresh = make(kind, density=0.8).cuda()
    fresh.load_state_dict(layer.state_dict())
    assert fresh.topology == layer.topology
    assert fresh.values.is_cuda


def test_print_shows_nnz_and_density() -> None:
    layer = SparseLinear.from_dense(nn.Linear(10, 10), density=0.25)
    assert str(layer) == "SparseLinear(in_features=10, out_features=10, bias=True, nnz=25, density=0.25)"
    conv = SparseConv2d.from_dense(nn.Conv2d(2, 5, 1), density=0.5)
    assert "nnz=5, density=0.5" in str(conv)
