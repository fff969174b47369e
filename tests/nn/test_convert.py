"""sparsify and densify: what is replaced, what is left alone, and that nothing is lost on the way."""

from __future__ import annotations

import copy
import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import tithe
from tithe import SparseConv2d, SparseLinear, UsageError, densify, sparse_layers, sparsify
from tithe.budget import counts


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Sequential(nn.Linear(8 * 5 * 5, 30), nn.ReLU(), nn.Linear(30, 10, bias=False)),
    )


def images() -> torch.Tensor:
    return torch.randn(4, 3, 5, 5)


@pytest.mark.parametrize("budget", ["erk", "uniform"])
@pytest.mark.parametrize("density", [0.05, 0.123, 0.5, 1.0])
def test_the_count_is_exact(density: float, budget: str) -> None:
    model = sparsify(network(), density, budget)
    layers = sparse_layers(model)
    assert list(layers) == ["0", "4.0", "4.2"]
    logical = sum(math.prod(layer.weight_shape) for layer in layers.values())
    assert sum(layer.nnz for layer in layers.values()) == round(density * logical)
    shapes = {name: layer.weight_shape for name, layer in layers.items()}
    assert {name: layer.nnz for name, layer in layers.items()} == counts(shapes, density, budget)


def test_types_and_everything_else() -> None:
    model = network()
    others = [model[1], model[2], model[3], model[4], model[4][1]]
    assert sparsify(model, 0.2) is model
    assert [type(layer) for layer in sparse_layers(model).values()] == [SparseConv2d, SparseLinear, SparseLinear]
    assert all(a is b for a, b in zip(others, [model[1], model[2], model[3], model[4], model[4][1]], strict=True))
    assert model(images()).shape == (4, 10)
    names = [name for name, _ in model.named_parameters()]
    assert names == ["0.values", "0.bias", "1.weight", "1.bias", "4.0.values", "4.0.bias", "4.2.values"]


def test_densities_by_name() -> None:
    layers = sparse_layers(sparsify(network(), 0.2, {"0": 1.0, "4.2": 0.5}))
    assert [layer.density for layer in layers.values()] == [1.0, 0.2, 0.5]


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_densify_of_sparsify_is_the_model_masked(density: float) -> None:
    """densify(sparsify(m)) equals m masked, and so does the sparse model."""
    model = network().eval()
    original = copy.deepcopy(model)
    sparsify(model, density, init="keep")
    masks = {name: layer.topology.to_mask() for name, layer in sparse_layers(model).items()}
    x = images()
    sparse_output = model(x)
    assert densify(model) is model
    assert not sparse_layers(model)
    with torch.no_grad():
        for name, mask in masks.items():
            weight = original.get_submodule(name).weight
            weight.mul_(mask.view(weight.shape))
    assert str(model) == str(original)
    assert list(model.state_dict()) == list(original.state_dict())
    for name, value in original.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    torch.testing.assert_close(sparse_output, model(x))


def test_initial_variance_of_each_neuron_is_the_dense_one() -> None:
    """sum over a neuron's weights of their variance: with few or many inputs the same as with all of them."""
    torch.manual_seed(0)
    dense = nn.Linear(500, 1500)
    bias = dense.bias.detach().clone()
    x = torch.randn(200, 500)
    expected = (dense(x) - bias).var(0).mean().detach()
    for density in (0.01, 0.05, 0.5):
        model = sparsify(nn.Sequential(copy.deepcopy(dense)), density)
        variance = (model(x) - bias).var(0).detach()
        fan_in = model[0].topology.fan_in()
        assert torch.equal(model[0].bias, bias)
        assert variance[fan_in > 0].mean() == pytest.approx(expected.item(), rel=0.05)
        # Not only on average: neurons with few inputs have it as well as those with many.
        middle = fan_in.median()
        for side in (fan_in < middle, fan_in > middle):
            assert variance[side & (fan_in > 0)].mean() == pytest.approx(expected.item(), rel=0.1)


def test_initial_variance_of_a_convolution() -> None:
    torch.manual_seed(0)
    dense = nn.Conv2d(32, 600, 3, bias=False)
    x = torch.randn(10, 32, 8, 8)
    model = sparsify(nn.Sequential(copy.deepcopy(dense)), 0.05)
    assert model(x).var().item() == pytest.approx(dense(x).var().item(), rel=0.1)


def test_keep_copies_the_weights_as_they_are() -> None:
    model = network()
    weight = model[0].weight.detach().clone()
    layer = sparse_layers(sparsify(model, 0.3, init="keep"))["0"]
    assert torch.equal(layer.values, weight.view(8, -1)[layer.topology.to_mask()])


def test_one_generator_one_topology() -> None:
    def topologies(seed: int) -> list[tithe.Topology]:
        model = sparsify(network(), 0.2, generator=torch.Generator().manual_seed(seed))
        return [layer.topology for layer in sparse_layers(model).values()]

    before = torch.get_rng_state()
    torch.set_rng_state(before)
    assert topologies(1) == topologies(1)
    assert topologies(1) != topologies(2)
    torch.manual_seed(5)
    one = [layer.topology for layer in sparse_layers(sparsify(network(), 0.2)).values()]
    torch.manual_seed(5)
    assert one == [layer.topology for layer in sparse_layers(sparsify(network(), 0.2)).values()]


class TestKeepDense:
    def test_by_name_with_all_that_is_inside(self) -> None:
        assert list(sparse_layers(sparsify(network(), 0.2, keep_dense=["4"]))) == ["0"]
        assert list(sparse_layers(sparsify(network(), 0.2, keep_dense=["4.0"]))) == ["0", "4.2"]

    def test_a_name_is_not_a_prefix(self) -> None:
        model = nn.ModuleDict({"fc": nn.Linear(9, 9), "fc2": nn.Linear(9, 9)})
        assert list(sparse_layers(sparsify(model, 0.5, keep_dense=["fc"]))) == ["fc2"]

    def test_by_type(self) -> None:
        assert list(sparse_layers(sparsify(network(), 0.2, keep_dense=[nn.Conv2d]))) == ["4.0", "4.2"]

        class Head(nn.Sequential):
            pass

        model = nn.Sequential(nn.Linear(9, 9), Head(nn.Linear(9, 9)))
        assert list(sparse_layers(sparsify(model, 0.5, keep_dense=[Head]))) == ["0"]

    def test_one_name_or_type_by_itself(self) -> None:
        model = nn.Sequential(*[nn.Linear(9, 9) for _ in range(11)])
        names = list(sparse_layers(sparsify(model, 0.5, keep_dense="10")))
        assert names == [str(i) for i in range(10)], "not 1 and 0"
        assert list(sparse_layers(sparsify(network(), 0.2, keep_dense=nn.Conv2d))) == ["4.0", "4.2"]

    def test_what_is_kept_counts_for_nothing_in_the_budget(self) -> None:
        layers = sparse_layers(sparsify(network(), 0.2, keep_dense=["4.0"]))
        assert sum(layer.nnz for layer in layers.values()) == round(0.2 * (8 * 27 + 300))

    def test_unknown_name(self) -> None:
        with pytest.raises(UsageError, match=r"keep_dense names '7', which the model does not have; its modules are 0"):
            sparsify(network(), 0.2, keep_dense=["7"])

    def test_everything_kept_warns(self) -> None:
        model = network()
        with pytest.warns(UserWarning, match="sparsify changed nothing"):
            assert sparsify(model, 0.2, keep_dense=[nn.Linear, nn.Conv2d]) is model


def test_nothing_to_replace_warns_at_the_caller() -> None:
    with pytest.warns(UserWarning, match=r"changed nothing: the model has no nn.Linear or nn.Conv2d") as seen:
        sparsify(nn.Sequential(nn.ReLU()), 0.5)
    assert seen[0].filename == __file__


def test_twice_changes_nothing_the_second_time() -> None:
    model = sparsify(network(), 0.2)
    with pytest.warns(UserWarning, match="changed nothing"):
        sparsify(model, 0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"density": 0}, "above 0 and at most 1"),
        ({"density": 1.2}, "above 0 and at most 1"),
        ({"density": float("nan")}, "above 0 and at most 1"),
        ({"density": 1e-5}, "a layer would get none"),
        ({"budget": "even"}, "allowed are 'erk', 'uniform'"),
        ({"budget": {"9": 0.5}}, "names layer '9'"),
        ({"budget": {"0": 2.0}}, "density of layer '0'"),
        ({"init": "zeros"}, "allowed are 'fan_in' and 'keep'"),
        ({"keep_dense": ["nope"]}, "which the model does not have"),
    ],
)
def test_refusals_leave_the_model_as_it_was(arguments: dict, words: str) -> None:
    model = network()
    modules = list(model.modules())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UsageError, match=words):
        sparsify(model, **arguments)
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model", [nn.Linear(3, 3), nn.Conv2d(3, 3, 3)], ids=["linear", "conv"])
def test_a_bare_layer_cannot_replace_itself(model: nn.Module) -> None:
    with pytest.raises(UsageError, match=rf"a bare {type(model).__name__} was given; use tithe.Sparse.*from_dense"):
        sparsify(model, 0.5)


def test_a_bare_sparse_layer_cannot_replace_itself() -> None:
    with pytest.raises(UsageError, match="call its to_dense"):
        densify(SparseLinear.from_dense(nn.Linear(3, 3), density=0.5))


class TestSharing:
    def test_a_module_used_twice_stays_one_module(self) -> None:
        layer = nn.Linear(6, 6)
        model = nn.Sequential(layer, nn.ReLU(), layer, nn.ModuleList([layer]))
        sparsify(model, 0.5)
        assert model[0] is model[2] is model[3][0]
        assert isinstance(model[0], SparseLinear)
        assert list(sparse_layers(model)) == ["0"]
        densify(model)
        assert model[0] is model[2] is model[3][0]

    def test_a_weight_of_two_modules_is_refused(self) -> None:
        model = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7))
        model[1].weight = model[0].weight
        with pytest.raises(UsageError, match=r"'1' and '0' share a weight.*name both in keep_dense"):
            sparsify(model, 0.5)
        assert isinstance(model[1], nn.Linear)
        model.append(nn.Linear(7, 3))
        assert list(sparse_layers(sparsify(model, 0.5, keep_dense=["0", "1"]))) == ["2"]


class TestCarriedAlong:
    def test_frozen_and_evaluating(self) -> None:
        model = network()
        model[0].weight.requires_grad_(False)
        model[4].eval()
        sparsify(model, 0.5)
        assert not model[0].values.requires_grad
        assert model[0].bias.requires_grad
        assert model[0].training
        assert not model[4][0].training
        densify(model)
        assert not model[0].weight.requires_grad
        assert model[4][0].weight.requires_grad
        assert not model[4][0].training

    def test_dtype(self) -> None:
        model = sparsify(network().double(), 0.5)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
        assert {value.dtype for value in densify(model).parameters()} == {torch.float64}

    def test_hooks_and_their_handles(self) -> None:
        model, seen = network(), []
        handles = [
            model[0].register_forward_hook(lambda *_: seen.append("forward")),
            model[0].register_forward_pre_hook(lambda *_, **__: seen.append("before"), with_kwargs=True),
            model[0].register_full_backward_hook(lambda *_: seen.append("backward")),
            model[0].register_full_backward_pre_hook(lambda *_: seen.append("before backward")),
        ]
        for change in (lambda m: sparsify(m, 0.5), densify):
            change(model)(images().requires_grad_()).sum().backward()
            assert seen == ["before", "forward", "before backward", "backward"]
            seen.clear()
        for handle in handles:
            handle.remove()
        model(images()).sum().backward()
        assert seen == []


class TestLeftAlone:
    def test_subclasses(self) -> None:
        class Own(nn.Linear):
            pass

        model = nn.Sequential(Own(5, 5), nn.Linear(5, 5))
        assert list(sparse_layers(sparsify(model, 0.5))) == ["1"]

    def test_weights_that_are_made_of_others(self) -> None:
        model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5))
        parametrizations.weight_norm(model[0])
        prune.l1_unstructured(model[1], "weight", amount=0.5)
        torch.nn.utils.spectral_norm(model[2])
        assert list(sparse_layers(sparsify(model, 0.5))) == ["3"]
        model(torch.randn(2, 5)).sum().backward()

    def test_multihead_attention(self) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
                self.mlp = nn.Linear(8, 8)

            def forward(self, x):
                return self.mlp(self.attention(x, x, x)[0])

        block = Block()
        before = copy.deepcopy(block.attention.state_dict())
        assert list(sparse_layers(sparsify(block, 0.5))) == ["mlp"]
        assert all(torch.equal(value, before[name]) for name, value in block.attention.state_dict().items())
        x = torch.randn(2, 3, 8)
        block(x).sum().backward()
        with torch.no_grad():
            assert block.eval()(x).shape == x.shape

    def test_only_the_layers_of_an_encoder_layer_become_sparse_and_it_still_evaluates(self) -> None:
        """torch's encoder layer hands `linear1.weight` to a fused kernel when it evaluates: that path must be off."""
        model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), 2)
        sparsify(model, 0.5)
        assert list(sparse_layers(model)) == [f"layers.{i}.linear{j}" for i in (0, 1) for j in (1, 2)]
        x, padding = torch.randn(2, 3, 16), torch.tensor([[False, False, True], [False, False, False]])
        trained = model(x, src_key_padding_mask=padding)
        with torch.no_grad():
            evaluated = model.eval()(x, src_key_padding_mask=padding)
        torch.testing.assert_close(evaluated, trained)
        densify(model)
        torch.testing.assert_close(model(x, src_key_padding_mask=padding), trained)


def test_groups_warn_once_a_model() -> None:
    model = nn.Sequential(*[nn.Conv2d(4, 4, 3, padding=1, groups=2) for _ in range(3)])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        sparsify(model, 0.5)
    assert [str(warning.message)[:24] for warning in seen] == ["SparseConv2d with groups"]
    assert model(torch.randn(2, 4, 5, 5)).shape == (2, 4, 5, 5)


def test_a_rewired_model_loads_into_a_freshly_sparsified_one() -> None:
    rewired, fresh = sparsify(network(), 0.2), sparsify(network(), 0.5)
    for layer in sparse_layers(rewired).values():
        topology = tithe.Topology.random(layer.matrix_shape, layer.nnz - 1)
        layer.replace(topology, torch.randn(topology.nnz))
    fresh.load_state_dict(rewired.state_dict())
    x = images()
    assert torch.equal(rewired.eval()(x), fresh.eval()(x))
    with pytest.raises(RuntimeError, match=r"0\.weight is dense[\s\S]*4\.2\.weight is dense"):
        fresh.load_state_dict(network().state_dict())
    with pytest.raises(RuntimeError, match=r"0\.weight"):
        network().load_state_dict(rewired.state_dict())
