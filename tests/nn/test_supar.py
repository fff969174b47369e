"""SuPar: the coordinate check, and what it says to what it cannot scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import tithe
from tithe.errors import UsageError
from tithe.nn.supar import sizes, supar
from tithe.train import data

BASE, STEPS = 64, 10
RATES = {"adam": 3e-3, "sgd": 0.1}
NETWORKS = [(256, 1.0), (256, 0.25), (512, 0.0625)]  # width, density


def mlp(width: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
        *(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)),
    )


def optimizer_of(kind: str, groups: Any) -> torch.optim.Optimizer:
    if kind == "adam":
        return torch.optim.Adam(groups, lr=RATES[kind])
    return torch.optim.SGD(groups, lr=RATES[kind], momentum=0.9)


def moved(kind: str, width: int, density: float, scaled: bool) -> torch.Tensor:
    """By how much the outputs of each layer have changed after some steps: the mean of |change|, [layers]."""
    digits = data.load("digits")
    x = (digits.x_train[:128].flatten(1) - digits.x_train.mean()) / digits.x_train.std()
    torch.manual_seed(0)
    model = mlp(width)
    if density < 1:  # the output layer stays dense, as in the paper
        tithe.sparsify(model, density, budget="uniform", keep_dense=["6"], kernel="dense")
    optimizer = optimizer_of(
        kind, supar(model, RATES[kind], mlp(BASE), optimizer=kind) if scaled else model.parameters()
    )
    before = outputs(model, x)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), digits.y_train[:128]).backward()
        optimizer.step()
    return torch.stack([(after - first).abs().mean() for after, first in zip(outputs(model, x), before, strict=True)])


@torch.no_grad()
def outputs(model: nn.Sequential, x: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for layer in model:
        x = layer(x)
        if not isinstance(layer, nn.ReLU):
            found.append(x)
    return found


def spread(kind: str, scaled: bool) -> float:
    """Over widths and densities, the largest change of a layer's outputs over the smallest."""
    found = torch.stack([moved(kind, width, density, scaled) for width, density in [(BASE, 1.0), *NETWORKS]])
    return float((found.amax(0) / found.amin(0)).max())


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_coordinate_check(kind: str) -> None:
    """Activations change as much at every width and density with SuPar; without it they do not, by far."""
    assert spread(kind, scaled=True) < 2
    assert spread(kind, scaled=False) > 8


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_on_the_base_itself_nothing_is_scaled(kind: str) -> None:
    model = mlp(16)
    before = [parameter.clone() for parameter in model.parameters()]
    (group,) = supar(model, 0.1, mlp(16), optimizer=kind, weight_decay=1e-3)
    assert (group["lr"], group["weight_decay"], group["lr_scale"]) == (0.1, 1e-3, 1.0)
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))


def test_table_1_of_the_paper_and_table_3_of_yang_et_al() -> None:
    """Four times as wide, a quarter of the hidden weights: hidden layers have the fan-in of the base."""
    model = tithe.sparsify(mlp(64), 0.25, budget="uniform", keep_dense=["0", "6"])
    scale = {}
    for kind in ("adam", "sgd"):
        groups = supar(model, 1.0, sizes(mlp(16)), optimizer=kind)
        scale[kind] = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    hidden, bias, first, last = model[2].values, model[2].bias, model[0].weight, model[6].weight
    assert [scale["adam"][id(p)] for p in (first, hidden, bias, last)] == [1, 1, 1, 1 / 4]
    # The output layer is dense and four times as wide, so gradients come back four times smaller.
    assert [scale["sgd"][id(p)] for p in (first, hidden, bias, last)] == [4, 4, 4, 1 / 4]


def test_every_parameter_is_in_one_group_and_decays_as_much_as_before() -> None:
    model = tithe.sparsify(mlp(40), 0.2)
    groups = supar(model, 0.1, weight_decay=5e-4)
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(map(id, model.parameters()))
    assert all(group["lr"] * group["weight_decay"] == pytest.approx(0.1 * 5e-4) for group in groups)
    assert len(groups) > 1


def test_refusals() -> None:
    with pytest.raises(UsageError, match="'lion' was given; allowed are 'sgd', 'adam'"):
        supar(mlp(8), 0.1, optimizer="lion")
    with pytest.raises(UsageError, match="base of the same depth"):
        supar(mlp(8), 0.1, nn.Sequential(nn.Linear(64, 10)))
    with pytest.raises(UsageError, match="nothing to scale"):
        supar(nn.Sequential(nn.ReLU()), 0.1)
