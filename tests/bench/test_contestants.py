"""Every system that is installed computes what dense computes, in its layout; one that does not is not timed."""

import pytest
import torch

from tithe.bench import contestants
from tithe.bench.agreement import disagreement
from tithe.bench.contestants import SYSTEMS, System, mask_weights, random_masks, refusal
from tithe.bench.csr_linear import CsrLinear
from tithe.bench.entries import Entries
from tithe.bench.rows import Row, layer_rows, model_rows
from tithe.bench.trial import trial

ROWS = [*layer_rows("linear:40x24@16,linear:7x5@3,conv:5-8-3x3,9x8@16"), *model_rows("mlp:12@8,wrn-10-1@8")]


def entered(row: Row, density: float = 0.3) -> Entries:
    entries = Entries(row, threads=1, seconds=60.0, budget="uniform")
    for _ in entries.fill([density]):
        pass
    return entries


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.spec)
def test_whoever_can_take_part_agrees_with_dense(row):
    entries = entered(row)
    taken = {entry.system.name for entry in entries.taken.values()}
    assert {contestants.SPARSE, contestants.DENSE, contestants.DENSE_BF16} <= taken
    wrong = [one for one in entries.left_out if one.reason.startswith(("wrong", "failed")) and one.variant == ""]
    assert wrong == []
    for entry in entries.taken.values():
        entry.turns.run()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.label)
def test_a_wrong_weight_is_found_out(system: System, monkeypatch):
    row = ROWS[2] if system.for_images else ROWS[0]
    model = row.make()
    if system.dense or refusal(system, model):
        pytest.skip("dense, or not installed")
    masks = random_masks(row.make(), 0.3, "uniform", seed=0)
    masked = mask_weights(model, masks)
    x = torch.randn(row.input_shape)
    wanted = trial(SYSTEMS[0], row, masked, masks, x).results(masks)
    tolerance = 3e-2 if system.autocast else 1e-4
    made = trial(system, row, masked, masks, x)
    for _ in range(2):  # nothing is left over from the pass before
        made.run()
        assert disagreement(made.results(masks), wanted, tolerance) is None
    with torch.no_grad():
        layer = contestants.layers(masked)["0"]
        layer.weight[masks["0"]] *= 1.1
    assert "wrong numbers: output is off" in (
        disagreement(trial(system, row, masked, masks, x).results(masks), wanted, tolerance) or ""
    )


def test_in_bfloat16_the_middle_error_may_be_twice_that_of_dense():
    right = {name: torch.ones(4) for name in "abc"}
    dense = {name: torch.full((4,), 1.1) for name in "abc"}
    assert disagreement({"a": right["a"], "b": dense["b"], "c": 9 * right["c"]}, right, 0.0, dense) is None
    found = disagreement({"a": right["a"], "b": 1.3 * right["b"], "c": 9 * right["c"]}, right, 0.0, dense)
    assert found is not None
    assert "the middle tensor is off by 0.3 of its norm (measured; 0.2 is allowed)" in found
    assert disagreement(dense | {"c": torch.full((4,), torch.nan)}, right, 0.0, dense) is not None


def test_disagreement_names_what_is_wrong():
    right = {"output": torch.ones(3), "gradient": torch.ones(2)}
    assert disagreement(right, right, 0.0) is None
    assert disagreement({"output": torch.ones(3)}, right, 1.0) == "wrong numbers: no gradient"
    assert "shape [1] for [2]" in (disagreement(right | {"gradient": torch.ones(1)}, right, 1.0) or "")
    assert "gradient is off by nan" in (
        disagreement(right | {"gradient": torch.full((2,), torch.nan)}, right, 1.0) or ""
    )
    assert "gradient is off by 0.5 of" in (disagreement(right | {"gradient": torch.full((2,), 1.5)}, right, 0.1) or "")


def test_whoever_gives_wrong_numbers_or_fails_is_left_out_with_the_reason(monkeypatch):
    def zeros(layer, mask):
        made = CsrLinear(layer, mask)
        torch.nn.init.zeros_(made.values)
        return made

    def fails(layer, mask):
        raise RuntimeError("no such instruction")

    how = {"gradient": lambda module: module.values.grad, "package": "torch"}
    ours = [system for system in SYSTEMS if system.dense or system.name == contestants.SPARSE]
    broken = [System("zeros", convert=zeros, **how), System("fails", convert=fails, **how)]
    absent = System("absent", convert=fails, package="no_such_package", install="pip install it")
    monkeypatch.setattr("tithe.bench.entries.SYSTEMS", (*ours, *broken, absent))
    entries = entered(ROWS[0])
    assert {name for name, _ in entries.taken} == {
        *("dense float32, contiguous", "dense bfloat16, contiguous", contestants.SPARSE),
    }
    reasons = {one.system: (one.density, one.reason) for one in entries.left_out}
    assert reasons["zeros"][0] == 0.3
    assert reasons["zeros"][1].startswith("wrong numbers: output is off by ")
    assert reasons["fails"] == (0.3, "failed: RuntimeError: no such instruction")
    assert reasons["absent"] == (None, "not installed: pip install it")


def test_a_pass_that_would_take_too_long_is_not_begun(monkeypatch):
    costs = {True: 100.0, False: 0.1}
    monkeypatch.setattr("tithe.bench.entries.pass_seconds", lambda system, *_: costs[system.autocast])
    entries = entered(ROWS[0])
    assert not any(entry.system.dense and entry.system.autocast for entry in entries.taken.values())
    (reason,) = [one.reason for one in entries.left_out if one.system == contestants.DENSE_BF16]
    assert "one pass would take about 100 s, 1000x dense float32" in reason


def test_inputs_come_in_the_layout_that_the_system_names():
    row = ROWS[2]
    x = torch.randn(row.input_shape)
    strides = {}
    for system in SYSTEMS[:2] + tuple(s for s in SYSTEMS if s.name == contestants.INSIDE):
        masks = random_masks(row.make(), 0.3, "uniform", seed=0)
        made = trial(system, row, mask_weights(row.make(), masks), masks, x)
        strides[system.layout] = made.x.stride()
        assert torch.equal(made.x, x)
        assert made.x.requires_grad
    assert strides["contiguous"] == x.stride()
    assert strides["channels_last"][1] == 1
    assert strides["batch_innermost"][0] == 1
