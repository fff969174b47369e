"""Sparse layers in the middle of ordinary torch: optimizers, autocast, clipping, accumulation, compile."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from torch.utils.checkpoint import checkpoint

from tithe import Topology, densify, sparse_layers, sparsify
from tithe.methods.scouting import GRADIENT
from tithe.scout import Scout


def network(density: float = 0.3) -> nn.Sequential:
    torch.manual_seed(0)
    dense = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 3 * 3, 20),
        nn.ReLU(),
        nn.Linear(20, 4),
    )
    return sparsify(dense, density)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 2, 6, 6, generator=generator), torch.randint(4, (8,), generator=generator)


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def masks(model: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.weight": layer.topology.to_mask().view(layer.weight_shape)
        for name, layer in sparse_layers(model).items()
    }


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "SGD, Nesterov": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "Adam": lambda p: Adam(p, lr=0.01),
    "Adam, amsgrad": lambda p: Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: AdamW(p, lr=0.01, weight_decay=0.1),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: Adagrad(p, lr=0.05),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_trains_it_as_it_trains_the_masked_dense_model(make: Callable[..., Optimizer]) -> None:
    """Ten steps: the existing weights move as in a dense model whose other weights are held at zero."""
    sparse = network()
    dense = densify(copy.deepcopy(sparse))
    keep = masks(sparse)
    optimizers = make(list(sparse.parameters())), make(list(dense.parameters()))
    x, y = batch()
    first = loss_of(sparse, x, y).item()
    for _ in range(10):
        for model, optimizer in zip((sparse, dense), optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model, x, y).backward()
            optimizer.step()
        with torch.no_grad():
            for name, mask in keep.items():
                dense.get_parameter(name).mul_(mask)
    assert loss_of(sparse, x, y).item() < first
    for name, value in densify(sparse).state_dict().items():
        torch.testing.assert_close(
            value, dense.state_dict()[name], rtol=2e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
    for parameter, state in optimizers[0].state.items():
        assert all(s.shape in (parameter.shape, ()) for s in state.values() if isinstance(s, Tensor))


def test_accumulated_gradients_are_the_whole_batch_s() -> None:
    model = network()
    x, y = batch()
    loss_of(model, x, y).backward()
    whole = gradients(model)
    model.zero_grad()
    for part in (slice(0, 5), slice(5, 8)):
        (loss_of(model, x[part], y[part]) * len(y[part]) / len(y)).backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, whole[name])


def test_clipping_sees_the_norm_of_what_exists() -> None:
    model = network()
    dense, keep = densify(copy.deepcopy(model)), masks(model)
    x, y = batch()
    loss_of(model, x, y).backward()
    loss_of(dense, x, y).backward()
    for name, mask in keep.items():
        dense.get_parameter(name).grad.mul_(mask)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(dense.parameters(), 0.1))
    after = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    assert after.item() == pytest.approx(0.1, rel=1e-3)


def test_autocast_in_bfloat16() -> None:
    """Sparse layers among dense ones; tests/nn/test_autocast.py looks at each layer."""
    model = network()
    model[4] = nn.Linear(6 * 3 * 3, 20)  # dense: gives bfloat16 to the sparse layer behind it
    x, y = batch()
    expected = loss_of(model, x, y)
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(model, x, y)
    loss.backward()
    torch.testing.assert_close(loss.float(), expected, rtol=0.03, atol=0.03)
    for parameter in model.parameters():
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()


def test_without_autocast_nothing_is_converted_silently() -> None:
    with pytest.raises(RuntimeError, match="type"):
        network()(batch()[0].double())


def test_activation_checkpointing() -> None:
    model = network()
    x, y = batch()
    loss_of(model, x, y).backward()
    expected = gradients(model)
    model.zero_grad()
    nn.functional.cross_entropy(checkpoint(model, x, use_reentrant=False), y).backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name])


def test_functional_call() -> None:
    model = network()
    x, y = batch()
    loss_of(model, x, y).backward()
    values = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    loss = nn.functional.cross_entropy(torch.func.functional_call(model, values, (x,)), y)
    for name, gradient in zip(values, torch.autograd.grad(loss, list(values.values())), strict=True):
        torch.testing.assert_close(gradient, model.get_parameter(name).grad)


def test_averaged_models() -> None:
    model = network()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    average.update_parameters(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    average.update_parameters(model)
    for mean, parameter in zip(average.module.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mean, parameter - 0.5)


def test_parameters_as_one_vector() -> None:
    model = network()
    vector = torch.nn.utils.parameters_to_vector(model.parameters())
    assert len(vector) == sum(p.numel() for p in model.parameters())
    torch.nn.utils.vector_to_parameters(vector * 2, model.parameters())
    torch.testing.assert_close(torch.nn.utils.parameters_to_vector(model.parameters()), vector * 2)


def test_safetensors(tmp_path) -> None:
    from safetensors.torch import load_file, load_model, save_file, save_model

    model, x = network(), batch()[0]
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    fresh = network(density=0.6)
    fresh.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(fresh(x), model(x))
    save_model(model, str(tmp_path / "model.safetensors"))
    other = network(density=0.6)
    load_model(other, str(tmp_path / "model.safetensors"))
    assert torch.equal(other(x), model(x))


def rewire_one_layer(model: nn.Module) -> None:
    layer = model[4]
    topology = Topology.random(layer.matrix_shape, layer.nnz + 7, torch.Generator().manual_seed(2))
    layer.replace(topology, torch.linspace(-0.1, 0.1, topology.nnz))


@pytest.fixture
def fresh_compiler() -> None:
    torch.compiler.reset()


@pytest.mark.usefixtures("fresh_compiler")
def test_compile_in_one_graph_and_after_a_rewiring() -> None:
    model = network()
    compiled = torch.compile(copy.deepcopy(model), backend="aot_eager", fullgraph=True)
    x, y = batch()
    for _ in range(2):
        for each in (model, compiled):
            each.zero_grad()
            loss_of(each, x, y).backward()
        inner = compiled._orig_mod
        for name, gradient in gradients(inner).items():
            torch.testing.assert_close(gradient, model.get_parameter(name).grad)
        rewire_one_layer(model)
        rewire_one_layer(inner)


@pytest.mark.usefixtures("fresh_compiler")
def test_compile_with_any_batch_size() -> None:
    model = network()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=True)
    x = batch()[0]
    for size in (8, 5, 2):
        torch.testing.assert_close(compiled(x[:size]), model(x[:size]))


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's, at a graph break
def test_compile_while_scouting() -> None:
    """The record of inputs and output gradients is taken outside the graph, and is complete."""
    model = network()
    compiled = torch.compile(model, backend="aot_eager")
    x, y = batch()
    for layer in sparse_layers(model).values():
        Scout(layer, GRADIENT)
    loss_of(compiled, x, y).backward()
    for name, layer in sparse_layers(model).items():
        assert len(layer.record.passes) == 1, name
        dense = layer.weight_gradient(*layer.record.passes[0], slice(0, layer.matrix_shape[0]))
        torch.testing.assert_close(dense[layer.topology.to_mask()], layer.values.grad)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.filterwarnings("ignore")  # inductor's own
def test_compile_with_inductor() -> None:
    model = sparsify(nn.Sequential(nn.Linear(12, 9), nn.ReLU()), 0.3)
    compiled, x = torch.compile(copy.deepcopy(model), fullgraph=True), torch.randn(5, 12)
    for each in (model, compiled):
        each(x).pow(2).sum().backward()
    for name, gradient in gradients(compiled._orig_mod).items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad, rtol=1e-4, atol=1e-5)


def test_hooks_see_the_sparse_gradient() -> None:
    model, seen = network(), []
    model[4].values.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.shape))
    x, y = batch()
    loss_of(model, x, y).backward()
    assert seen == [(model[4].nnz,)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_and_rewires_under_autocast() -> None:
    model = network().cuda()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = (t.cuda() for t in batch())
    first = loss_of(model, x, y).item()
    for step in range(10):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = loss_of(model, x, y)
        loss.backward()
        optimizer.step()
        assert loss.isfinite(), step
    assert loss.item() < first
    assert model[4].packed.is_cuda
