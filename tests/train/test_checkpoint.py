"""A checkpoint gives back what it was given, bit for bit, and refuses everything else with a sentence."""

import json
import math
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tithe.errors import UsageError
from tithe.train import checkpoint, files

IDENTITY = {"model": "mlp:8", "density": 0.05, "lr_drops": [0.5, 0.75]}


def _state() -> dict:
    return {
        "model": OrderedDict(weight=torch.randn(3, 2), flag=torch.tensor(True), empty=torch.empty(0, 4)),
        "optimizer": {"state": {0: {"step": 3, "m": torch.randn(3, 2).t()}, 1: {}}, "betas": (0.9, 0.999)},
        "rng": torch.get_rng_state(),
        "nothing": None,
        "lr": 0.1 + 0.2,
        "big": 2**70,
        "history": [{"loss": math.inf}, {"loss": -0.0}],
    }


def _same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)


def test_a_round_trip_through_the_disk_changes_nothing(tmp_path):
    state = _state()
    checkpoint.save(tmp_path, 1, IDENTITY, state)
    assert _same(state, checkpoint.load(tmp_path, IDENTITY))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1.safetensors", "checkpoint.json"]


_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.builds(torch.tensor, st.integers(0, 9))
)
_KEYS = st.text() | st.integers() | st.booleans() | st.none()
_STATES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(_KEYS, inner),
    max_leaves=12,
)


@given(_STATES)
def test_flatten_then_json_then_unflatten_is_the_identity(state):
    tensors, skeleton = checkpoint.flatten(state)
    assert _same(state, checkpoint.unflatten(tensors, json.loads(json.dumps(skeleton, allow_nan=False))))


def test_tensors_whose_paths_coincide_are_kept_apart():
    state = {"a/b": torch.tensor(1), "a": {"b": torch.tensor(2)}, 1: torch.tensor(3), "1": torch.tensor(4)}
    assert _same(state, checkpoint.unflatten(*checkpoint.flatten(state)))


def test_flatten_copies_so_that_later_training_does_not_reach_the_checkpoint():
    weight = torch.zeros(2)
    tensors, _ = checkpoint.flatten({"weight": weight})
    weight += 1
    assert tensors["/weight"].tolist() == [0, 0]


def test_state_of_an_unknown_kind_is_refused_and_named():
    with pytest.raises(TypeError, match="set at /method/seen"):
        checkpoint.flatten({"method": {"seen": {1, 2}}})


def test_a_loaded_tensor_owns_its_memory_only(tmp_path):
    checkpoint.save(tmp_path, 1, IDENTITY, {"a": torch.zeros(4), "b": torch.zeros(1000)})
    loaded = checkpoint.load(tmp_path, IDENTITY)
    assert loaded is not None
    assert loaded["a"].untyped_storage().nbytes() == 16


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.load(tmp_path, IDENTITY) is None


def test_the_next_checkpoint_replaces_the_one_before(tmp_path):
    for epoch in (1, 2):
        checkpoint.save(tmp_path, epoch, IDENTITY, {"epoch": epoch, "t": torch.tensor(epoch)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2.safetensors", "checkpoint.json"]
    assert _same({"epoch": 2, "t": torch.tensor(2)}, checkpoint.load(tmp_path, IDENTITY))


def test_loading_removes_what_a_kill_after_the_commit_left_of_the_one_before(tmp_path):
    checkpoint.save(tmp_path, 2, IDENTITY, {"epoch": 2})
    (tmp_path / "checkpoint-1.safetensors").write_bytes(b"older")
    assert checkpoint.load(tmp_path, IDENTITY) == {"epoch": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2.safetensors", "checkpoint.json"]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_kill_between_any_two_steps_of_writing_leaves_a_complete_pair(tmp_path, monkeypatch, stage):
    """A kill -9 runs no handler: here every step after `stage` file operations simply does not happen."""

    class Killed(BaseException):
        pass

    checkpoint.save(tmp_path, 1, IDENTITY, {"epoch": 1, "t": torch.ones(3)})
    done = 0

    def counted(real):
        def step(*arguments, **options):
            nonlocal done
            if done == stage:
                raise Killed
            done += 1
            return real(*arguments, **options)

        return step

    monkeypatch.setattr("tithe.train.files._write_synced", counted(files._write_synced))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr("tithe.train.files.remove_quietly", lambda path: None)
    monkeypatch.setattr("tithe.train.checkpoint.remove_quietly", lambda path: None)
    with pytest.raises(Killed):
        checkpoint.save(tmp_path, 2, IDENTITY, {"epoch": 2, "t": torch.zeros(3)})
    monkeypatch.undo()
    assert _same({"epoch": 1, "t": torch.ones(3)}, checkpoint.load(tmp_path, IDENTITY))
    checkpoint.save(tmp_path, 2, IDENTITY, {"epoch": 2, "t": torch.zeros(3)})
    assert _same({"epoch": 2, "t": torch.zeros(3)}, checkpoint.load(tmp_path, IDENTITY))


def _saved(folder: Path) -> tuple[Path, Path]:
    checkpoint.save(folder, 1, IDENTITY, _state())
    return folder / "checkpoint.json", folder / "checkpoint-1.safetensors"


@pytest.mark.parametrize("which", [0, 1], ids=["json", "tensors"])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path, which):
    path = _saved(tmp_path)[which]
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 200)):
        for bit in (0, 5):
            broken = bytearray(content)
            broken[at] ^= 1 << bit
            path.write_bytes(broken)
            with pytest.raises(UsageError, match=r"checkpoint.*(damaged|truncated)"):
                checkpoint.load(tmp_path, IDENTITY)


@pytest.mark.parametrize("which", [0, 1], ids=["json", "tensors"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_noticed(tmp_path, which, share):
    path = _saved(tmp_path)[which]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match=r"checkpoint.*(damaged|truncated)"):
        checkpoint.load(tmp_path, IDENTITY)


class _Bomb:
    """A pickle that leaves a trace if anybody loads it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("which", [0, 1], ids=["json", "tensors"])
def test_a_pickle_is_refused_and_not_loaded(tmp_path, which):
    (tmp_path / "run").mkdir()
    path = _saved(tmp_path / "run")[which]
    trace = tmp_path / "loaded"
    path.write_bytes(pickle.dumps(_Bomb(trace)))
    with pytest.raises(UsageError, match="pickles are never loaded"):
        checkpoint.load(tmp_path / "run", IDENTITY)
    assert not trace.exists()


def test_missing_tensors_are_named(tmp_path):
    _saved(tmp_path)[1].unlink()
    with pytest.raises(UsageError, match=r"cannot read .*checkpoint-1.safetensors"):
        checkpoint.load(tmp_path, IDENTITY)


@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"sha256": 1, "body": {}}', "[" * 100_000])
def test_json_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(UsageError, match="is not a checkpoint of tithe"):
        checkpoint.load(tmp_path, IDENTITY)


def test_a_checkpoint_of_something_else_is_refused_and_the_difference_named(tmp_path):
    _saved(tmp_path)
    with pytest.raises(UsageError, match="its model is 'mlp:8', not 'mlp:9'"):
        checkpoint.load(tmp_path, IDENTITY | {"model": "mlp:9"})


def test_a_failed_write_keeps_the_checkpoint_before_and_leaves_nothing_else(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, IDENTITY, {"epoch": 1})

    def full(path, content):
        path.write_bytes(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tithe.train.files._write_synced", full)
    with pytest.raises(UsageError, match="no space left on device"):
        checkpoint.save(tmp_path, 2, IDENTITY, {"epoch": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1.safetensors", "checkpoint.json"]
    assert checkpoint.load(tmp_path, IDENTITY) == {"epoch": 1}
