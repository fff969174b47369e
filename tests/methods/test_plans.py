"""What each method drops and grows, against its paper in plain Python."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

import tithe
from tithe.methods import METHODS, dsr, sparse_momentum
from tithe.methods import set as set_method
from tithe.methods.one_shot import repeated_half
from tithe.methods.view import LayerView

from .table import DENSITY, STEPS, Trial, trial


def dense_gradients(run: Trial, step: int) -> dict[str, torch.Tensor]:
    """Of every logical weight, by torch on dense weights."""
    layers = tithe.sparse_layers(run.model)
    dense = {name: layer.dense_weight().requires_grad_() for name, layer in layers.items()}
    h, y = run.batch(step)
    for index, (name, layer) in enumerate(layers.items()):
        h = functional.linear(torch.relu(h) if index else h, dense[name], layer.bias.detach())
    gradients = torch.autograd.grad(functional.cross_entropy(h, y), list(dense.values()))
    return dict(zip(dense, gradients, strict=True))


def smallest(values: torch.Tensor, count: int) -> set[int]:
    return set(sorted(range(len(values)), key=lambda i: (abs(float(values[i])), i))[:count])


def test_rigl_grows_where_the_gradient_of_this_step_is_largest() -> None:
    run = trial("rigl", dtype=torch.float64)
    run.train(1, 7)
    gradients = dense_gradients(run, 8)
    run.optimizer.zero_grad()
    run.loss(8).backward()
    run.optimizer.step()
    layers = run.method.layers
    before = {n: (layers[n].topology.positions().tolist(), layers[n].values.detach().clone()) for n in layers}
    run.method.step()
    rate = 0.3 / 2 * (1 + math.cos(math.pi * 8 / round(0.75 * STEPS)))
    assert run.method.history[0].rate == pytest.approx(rate)
    for name, layer in run.method.layers.items():
        positions, values = before[name]
        dropped = smallest(values, round(rate * len(values)))
        kept = {p for i, p in enumerate(positions) if i not in dropped}
        signal = gradients[name].view(-1)
        free = [p for p in range(signal.numel()) if p not in kept]
        grown = sorted(free, key=lambda p: (-abs(float(signal[p])), p))[: len(dropped)]
        assert set(layer.topology.positions().tolist()) == kept | set(grown)


def test_neuron_wise_growth_gives_each_neuron_its_share() -> None:
    """Their `momentum_neuron`, with exact counts: shares by mean |momentum|, the largest of each neuron."""
    torch.manual_seed(0)
    signal = torch.randn(6, 40, dtype=torch.float64) * torch.tensor([[1.0], [2], [3], [1], [1], [4]])
    mask = torch.rand(6, 40) < 0.2
    topology = tithe.Topology.from_mask(mask)
    values = torch.randn(topology.nnz, dtype=torch.float64)
    view = LayerView(topology, values, signal[mask], lambda rows: signal[rows])
    found = sparse_momentum.plan({"a": view}, 0.5, redistribute=False, growth="neuron")["a"]
    kept = mask.clone()
    kept[mask] = ~found.drop
    total, share = int(found.drop.sum()), signal.abs().mean(1) / signal.abs().mean(1).sum()
    grown = torch.zeros(240, dtype=torch.bool)
    grown[found.grow] = True
    grown = grown.view(6, 40)
    assert grown.sum() == total
    assert not (grown & kept).any()
    for row in range(6):
        assert abs(int(grown[row].sum()) - total * float(share[row])) <= 1
        free = signal[row].abs()[~kept[row]]
        assert signal[row].abs()[grown[row]].min() >= free.sort(descending=True).values[int(grown[row].sum()) - 1]


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_neuron_wise_growth_keeps_the_density(model: str) -> None:
    run = trial("sparse-momentum", model, growth="neuron")
    before = sum(run.nnz())
    run.train(1, STEPS)
    assert sum(run.nnz()) == before
    assert len(run.method.history) == 6
    with pytest.raises(tithe.UsageError, match="'weight', 'neuron'"):
        trial("sparse-momentum", growth="layer")


def test_set_drops_the_weights_nearest_to_zero_on_either_side() -> None:
    values = torch.tensor([0.5, -0.1, 0.2, -0.9, 0.1, -0.3, 0.8, -0.2, 0.9, 0.7])
    drop = set_method.nearest_to_zero(values, 0.5)
    assert drop.nonzero().view(-1).tolist() == [0, 1, 2, 4, 7], "3 of the 6 positive, 2 of the 4 negative"


def test_dsr_shares_growth_by_what_is_left_and_moves_its_threshold() -> None:
    run = trial("dsr", threshold=0.1)
    layers = run.method.layers
    run.train(1, 7)
    plans = dsr.plan(layers, 0.1, 3, 8)
    left = {}
    for name, layer in layers.items():
        assert plans[name].drop.equal(layer.values.detach().abs() < 0.1)
        left[name] = layer.nnz - int(plans[name].drop.sum())
    total = sum(int(p.drop.sum()) for p in plans.values())
    assert total > 10
    for name, layer in layers.items():
        free = math.prod(layer.matrix_shape) - left[name]
        assert abs(plans[name].grow.numel() - total * left[name] / sum(left.values())) <= 1 or (
            plans[name].grow.numel() == free
        )
    assert dsr.adapted(0.1, dropped=50, wanted=100, tolerance=0.1) == 0.2
    assert dsr.adapted(0.1, dropped=111, wanted=100, tolerance=0.1) == 0.05
    assert dsr.adapted(0.1, dropped=109, wanted=100, tolerance=0.1) == 0.1


def test_random_growth_depends_on_seed_step_and_layer_alone() -> None:
    def grown(seed: int) -> list[list[int]]:
        run = trial("set", seed=seed)
        torch.manual_seed(seed + 17)  # torch's own generator, which a process's rank may decide, plays no part
        run.train(1, 8)
        return [layer.topology.positions().tolist() for layer in run.method.layers.values()]

    assert grown(5) == grown(5)
    assert grown(5) != grown(6)


def test_deepr_weights_keep_their_sign_or_go() -> None:
    run = trial("deepr", every=5)
    for step in range(1, STEPS):
        signs = {name: sign.clone() for name, sign in run.method.signs.items()}
        run.train(step, step)
        if step % 5:
            for name, layer in run.method.layers.items():
                assert ((layer.values.detach() * signs[name]) >= 0).all()
        else:
            for name, layer in run.method.layers.items():
                assert len(run.method.signs[name]) == layer.nnz
    assert sum(rewiring.dropped for rewiring in run.method.history) > 5
    born = torch.cat(list(run.method.signs.values()))
    assert {-1.0, 1.0} == set(born.tolist())


def test_snip_keeps_the_largest_gradient_times_weight() -> None:
    run = trial("snip", kernel="dense", dtype=torch.float64)
    gradients = dense_gradients(run, 0)
    scores = torch.cat(
        [(gradients[name] * layer.dense_weight()).abs().view(-1) for name, layer in run.method.layers.items()]
    )
    kept = round(DENSITY * len(scores))
    wanted = set(scores.topk(kept).indices.tolist())
    start = 0
    run.prepare()
    for layer in run.method.layers.values():
        logical = math.prod(layer.matrix_shape)
        assert {start + p for p in layer.topology.positions().tolist()} == {
            i for i in wanted if start <= i < start + logical
        }
        start += logical


def test_grasp_keeps_the_largest_weight_times_hessian_gradient() -> None:
    """H g by a difference quotient of two gradients."""
    run = trial("grasp", kernel="dense", dtype=torch.float64)
    layers = run.method.layers
    h, y = run.batch(0)

    def gradients(move: list[torch.Tensor] | None, size: float) -> list[torch.Tensor]:
        dense = [layer.dense_weight() for layer in layers.values()]
        if move is not None:
            dense = [w + size * m for w, m in zip(dense, move, strict=True)]
        dense = [w.requires_grad_() for w in dense]
        z = h
        for index, (weight, layer) in enumerate(zip(dense, layers.values(), strict=True)):
            z = functional.linear(torch.relu(z) if index else z, weight, layer.bias.detach())
        return list(torch.autograd.grad(functional.cross_entropy(z / 200, y), dense))

    g = gradients(None, 0)
    size = 1e-4 / max(float(part.abs().max()) for part in g)
    up, down = gradients(g, size), gradients(g, -size)
    scores = torch.cat(
        [
            (layer.dense_weight() * (a - b) / (2 * size)).view(-1)
            for layer, a, b in zip(layers.values(), up, down, strict=True)
        ]
    )
    wanted = set(scores.topk(round(DENSITY * len(scores))).indices.tolist())
    run.prepare()
    found, start = set(), 0
    for layer in layers.values():
        found |= {start + p for p in layer.topology.positions().tolist()}
        start += math.prod(layer.matrix_shape)
    assert len(found & wanted) >= 0.98 * len(wanted)


def test_gradual_pruning_follows_the_cubic() -> None:
    run = trial("gradual-magnitude", every=5, begin=0.1, end=0.9)
    first = run.nnz()
    last = [round(DENSITY * count) for count in first]
    for step in range(1, STEPS + 1):
        values = {name: layer.values.detach().clone() for name, layer in run.method.layers.items()}
        run.train(step, step)
        if 5 < step <= 45 and step % 5 == 0:
            done = 1 - (1 - (step - 5) / 40) ** 3
            for count, start, end in zip(run.nnz(), first, last, strict=True):
                assert abs(count - (start - (start - end) * done)) <= 1
        else:
            assert [len(v) for v in values.values()] == run.nnz()
    assert sum(run.nnz()) == round(DENSITY * sum(first))


@pytest.mark.parametrize("name", ["one-shot", "gradual-magnitude", "l1"])
def test_the_smallest_weights_go(name: str) -> None:
    run = trial(name, budget="global")
    if run.method.needs_loss:
        run.prepare()
    step = 8 if name == "gradual-magnitude" else 25
    run.train(1, step - 1)
    run.optimizer.zero_grad()
    run.loss(step).backward()
    run.optimizer.step()
    sizes = torch.cat([layer.values.detach().abs() for layer in run.method.layers.values()])
    run.method.step()
    kept = torch.cat([layer.values.detach().abs() for layer in run.method.layers.values()])
    assert run.method.history[0].dropped == len(sizes) - len(kept) > 0
    floor = kept.sort().values
    assert torch.allclose(floor, sizes.sort().values[-len(kept) :]) or name == "l1"
    assert kept.min() >= sizes.kthvalue(len(sizes) - len(kept)).values or name == "l1"


def test_l1_makes_weights_exactly_zero_and_chooses_its_strength_by_share() -> None:
    run = trial("l1", strength=None, share=0.2)
    penalty = sum(float(layer.values.detach().abs().sum()) for layer in run.method.layers.values())
    loss = float(run.loss(0).detach())
    run.prepare()
    assert run.method.strength * penalty / (run.method.strength * penalty + loss) == pytest.approx(0.2)
    run.train(1, 20)
    values = torch.cat([layer.values.detach() for layer in run.method.layers.values()])
    assert (values == 0).sum() > 0.02 * len(values)


def test_a_lottery_ticket_goes_back_to_where_it_began() -> None:
    run = trial("lottery-ticket", "cnn", rounds=1, rewind=0.0, budget="uniform")
    before = {name: tensor.clone() for name, tensor in run.method._beginning.items()}
    places = {name: layer.topology for name, layer in run.method.layers.items()}
    (end,) = run.method._ends
    run.train(1, end)
    assert run.method.history[-1].dropped > 0
    assert not run.optimizer.state
    for name, parameter in run.model.named_parameters():
        if name.endswith("values"):
            layer = name.removesuffix(".values")
            index = torch.searchsorted(places[layer].positions(), run.method.layers[layer].topology.positions())
            assert torch.equal(parameter, before[name][index])
        else:
            assert torch.equal(parameter, before[name])
    assert run.method.held_bytes() == 0, "after the last round nothing is kept"


def test_a_lottery_ticket_of_three_rounds_prunes_the_same_share_in_each() -> None:
    run = trial("lottery-ticket", rounds=3, rewind=0.1)
    counts = [sum(run.nnz())]
    for step in range(1, STEPS + 1):
        run.train(step, step)
        if sum(run.nnz()) != counts[-1]:
            counts.append(sum(run.nnz()))
    shares = [later / earlier for earlier, later in itertools.pairwise(counts)]
    assert shares == pytest.approx([DENSITY ** (1 / 3)] * 3, abs=0.01)


def test_granet_prunes_and_exchanges_in_one_go() -> None:
    run = trial("granet", every=8, rate=0.5)
    run.train(1, 8)
    (first,) = run.method.history
    assert first.grown == pytest.approx(first.rate * sum(run.nnz()), abs=3)
    assert first.dropped - first.grown == pytest.approx(
        (1 - DENSITY) * 624 * (1 - (1 - 8 / run.method.end) ** 3), abs=1
    )


def test_the_schedule_repeats_its_second_half_after_the_pruning() -> None:
    assert [repeated_half(step, 50, 100) for step in (1, 25, 50, 51, 75, 100)] == [2, 50, 100, 51, 75, 100]


def test_every_dense_start_is_in_a_family_that_says_so() -> None:
    for entry in METHODS.values():
        assert (
            entry.start == "sparse"
            or entry.family != "sparse from scratch"
            or entry.name in ("snip", "grasp", "top-kast")
        )
