"""A checkpoint: every tensor in one safetensors file, everything else in one JSON file that names it.

`checkpoint-<epoch>.safetensors` is written first, then `checkpoint.json`; the rename of the JSON file is the
moment at which the new checkpoint counts. Older tensor files are removed only afterwards, so a kill at any
moment leaves one complete pair. Nothing is ever unpickled.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from tithe.errors import UsageError
from tithe.train.files import remove_quietly, write_atomically

FORMAT = 1
KIND = "tithe checkpoint"
NAME = "checkpoint.json"


def flatten(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a nested state into its tensors, by path, and a JSON skeleton that refers to them.

    Dicts (any string, int, float, bool or None keys), lists, tuples, numbers, strings, None and tensors may
    be nested freely; `unflatten` gives the same state back, types and bits included.

    Raises:
        TypeError: something else is in the state. It is refused, since dropping it would break a resume.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _encode(state, "", tensors)


def unflatten(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """The state that `flatten` has taken apart."""
    if isinstance(skeleton, list):
        return [unflatten(tensors, item) for item in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    ((tag, content),) = skeleton.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "float":
        return float(content)
    if tag == "tuple":
        return tuple(unflatten(tensors, item) for item in content)
    return {key: unflatten(tensors, value) for key, value in content}


def _encode(node: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        while path in tensors:  # {1: a, "1": b} and {"x/y": a} beside {"x": {"y": b}} have one path for two
            path += "'"
        # A copy of its own: safetensors refuses tensors that share memory or are not contiguous.
        tensors[path] = node.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"tensor": path}
    if isinstance(node, Mapping):
        return {"dict": [[_key(key, path), _encode(node[key], f"{path}/{key}", tensors)] for key in node]}
    if isinstance(node, list | tuple):
        items = [_encode(item, f"{path}/{index}", tensors) for index, item in enumerate(node)]
        return {"tuple": items} if isinstance(node, tuple) else items
    if isinstance(node, float) and not math.isfinite(node):
        return {"float": repr(node)}
    return _key(node, path)


def _key(node: Any, path: str) -> str | int | float | bool | None:
    if node is None or type(node) in (str, int, float, bool):
        return node
    raise TypeError(f"a checkpoint cannot hold the {type(node).__name__} at {path or '/'}")


def save(folder: Path, epoch: int, identity: dict[str, Any], state: Any) -> None:
    """Write the checkpoint of `epoch` into `folder`, then remove the one before.

    `identity` says whose checkpoint it is (model, recipe, data ...), as plain JSON; `load` compares it.

    Raises:
        UsageError: not writable or disk full. The checkpoint that was there stays and is complete.
    """
    tensors, skeleton = flatten(state)
    content = safetensors.torch.save(tensors)
    path = folder / f"checkpoint-{epoch}.safetensors"
    body = {
        "kind": KIND,
        "format": FORMAT,
        "epoch": epoch,
        "identity": identity,
        "tensors": {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()},
        "state": skeleton,
    }
    try:
        write_atomically(path, content)
        write_atomically(folder / NAME, _serialised(body))
    finally:
        _remove_all_but(folder, _named(folder))


def load(folder: Path, identity: dict[str, Any]) -> Any | None:
    """The state of the checkpoint in `folder`, or None where there is none.

    Raises:
        UsageError: the checkpoint is damaged, is no tithe checkpoint, or belongs to something else than
            `identity` (the message names the first difference).
    """
    path = folder / NAME
    if not path.exists():
        return None
    body = _read_body(path)
    _check_identity(path, body["identity"], identity)
    tensors = _read_tensors(folder / body["tensors"]["file"], body["tensors"]["sha256"])
    _remove_all_but(folder, body["tensors"]["file"])  # a kill right after the commit leaves the one before behind
    return unflatten(tensors, body["state"])


def _read_body(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        body = json.loads(content)["body"]
        kind, number = body["kind"], body["format"]
        intact = content == _serialised(body)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; check its permissions.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a checkpoint of tithe (truncated, damaged or of another kind; pickles are never "
            "loaded); move the folder away and train again."
        ) from error
    if kind != KIND or not intact:
        raise UsageError(f"{path} is damaged, its checksum does not match; move the folder away and train again.")
    if number != FORMAT:
        raise UsageError(
            f"{path} has checkpoint format {number}, this tithe reads format {FORMAT}; resume it with the "
            "version that wrote it."
        )
    return body


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        intact = hashlib.sha256(content).hexdigest() == sha256
        if intact:
            return safetensors.torch.load(content)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}, which {NAME} names: {error.strerror}; put it back or train again in a new folder."
        ) from error
    except SafetensorError:
        pass  # the checksum is right, so something else was written there on purpose
    raise UsageError(
        f"{path} is damaged or is not the file that {NAME} names (pickles are never loaded); move the folder "
        "away and train again."
    )


def _check_identity(path: Path, found: Any, wanted: dict[str, Any]) -> None:
    for name in wanted | found:
        if found.get(name) != wanted.get(name):
            raise UsageError(
                f"{path} belongs to another run: its {name} is {found.get(name)!r}, not {wanted.get(name)!r}; choose "
                "another folder with --out, or resume with the options it was started with."
            )


def _serialised(body: dict[str, Any]) -> bytes:
    """The bytes of `checkpoint.json`, checksum included; reading compares all of them, so that a flipped bit shows."""
    text = json.dumps(body, allow_nan=False)
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "body": body}, allow_nan=False).encode()


def _named(folder: Path) -> str | None:
    """The tensor file that the committed checkpoint names; None if there is no readable checkpoint."""
    try:
        return _read_body(folder / NAME)["tensors"]["file"]
    except (UsageError, KeyError):
        return None


def _remove_all_but(folder: Path, keep: str | None) -> None:
    """Remove the tensor files no checkpoint names; with nothing committed yet, all of them."""
    for path in folder.glob("checkpoint-*.safetensors"):
        if path.name != keep:
            remove_quietly(path)
