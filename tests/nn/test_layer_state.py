"""The state of a sparse layer: saved, loaded, copied, moved, rewired; what is damaged is refused."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from tithe import SparseConv2d, SparseLinear, Topology
from tithe.nn.record import Record

from .kinds import both, inputs_of, make


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
