"""The warning of layers that a gradient hardly reaches: given where it vanishes, once, and nowhere else."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import tithe
from tithe.methods.health import STARVED, WATCH_STEPS, rms, starved
from tithe.train.run import Job, run

WIDTH = 32


class Skipping(nn.Module):
    """x plus what a layer makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.relu(self.inner(x)) / 4


def deep(skips: bool) -> nn.Sequential:
    torch.manual_seed(0)
    plain = lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU())  # noqa: E731
    blocks = [Skipping() if skips else plain() for _ in range(20)]
    return tithe.sparsify(nn.Sequential(*blocks, nn.Linear(WIDTH, 4)), 0.3)


def train(model: nn.Module, steps: int, every: int = 10) -> tithe.SET:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    method = tithe.SET(model, optimizer, every=every, total_steps=1000)
    go_on(model, method, steps)
    return method


def go_on(model: nn.Module, method: tithe.SET, steps: int) -> None:
    for seed in itertools.islice(itertools.count(method.steps), steps):
        x = torch.randn(16, WIDTH, generator=torch.Generator().manual_seed(seed))
        method.optimizer.zero_grad()
        functional.cross_entropy(model(x), x[:, :4].argmax(1)).backward()
        method.optimizer.step()
        method.step()


def test_layers_far_from_the_loss_starve_without_skips() -> None:
    with pytest.warns(
        UserWarning, match=rf"step {WATCH_STEPS}: layers '0.0', '1.0', '2.0' and \d+ more starve: "
    ) as seen:
        train(deep(skips=False), 30)
    assert len(seen) == 1, "each layer is named once"
    assert "skip connections or norms" in str(seen[0].message)


def test_no_layer_starves_with_skips() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(deep(skips=True), 30)


def test_who_was_told_before_a_stop_is_not_told_after_it() -> None:
    with pytest.warns(UserWarning, match="starve"):
        before = train(deep(skips=False), 12)
    model = deep(skips=False)
    model.load_state_dict(before.model.state_dict())
    after = tithe.SET(model, torch.optim.SGD(model.parameters(), lr=0.01), every=10, total_steps=1000)
    after.load_state_dict(before.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        go_on(model, after, 20)


def test_an_older_state_knows_only_the_silent() -> None:
    model = deep(skips=True)
    method = train(model, 3)
    state = method.state_dict()
    del state["felt"], state["told"]
    method.load_state_dict(state | {"silent": ["0.inner"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the layer has felt something since
        go_on(model, method, 4)


def test_starved_compares_with_the_largest() -> None:
    just = 0.5 * STARVED
    assert starved({"a": 2.0, "b": 2.0 * STARVED, "c": 2.0 * just, "cut": 0.0}) == pytest.approx({"c": just})
    assert starved({"a": float("nan"), "b": 1.0, "c": 1e-9}) == {"c": 1e-9}
    assert starved({}) == {}


def test_a_small_gradient_has_a_size() -> None:
    assert rms(torch.full((7,), 1e-30)) == pytest.approx(1e-30)


@pytest.mark.parametrize("method", ["sparse-momentum", "dense"])
def test_tithe_train_says_so(tmp_path: Path, method: str) -> None:
    recipe = {"model": "mlp:" + "-".join(["32"] * 20), "density": 0.3, "epochs": 1}
    recipe |= {"method": method, "compare": "none", "threads": 1}
    with pytest.warns(UserWarning, match="layers 'fc1', 'fc2', 'fc3' and .* starve: "):
        run(Job(tmp_path / "run", "digits", recipe=recipe, ledger=False, plan=False, pictures=False))
