"""Tables with one label a row, two classes: .npz, .mat, .csv, or a folder as the UCI repository has madelon."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tithe.errors import UsageError

KINDS = "PATH.npz or PATH.mat with X and y, PATH.csv with a line of names and the label last, or madelon's UCI folder"
MADELON, MADELON_FEATURES, MADELON_RIGHT = "madelon", 500, 20
REDUNDANT = 0.3  # correlation between two of madelon's useful columns; next highest is 0.09


@dataclass(frozen=True)
class Tabular:
    """One table."""

    name: str
    x: np.ndarray  # [n, p] float64
    y: np.ndarray  # [n], -1 or 1
    right: tuple[int, ...]  # columns that matter, where that is known; else empty


def read(path: Path) -> Tabular:
    """The table at `path`.

    Raises:
        UsageError: it is missing, cannot be read, or is not a table of finite numbers with two classes.
    """
    path = path.expanduser()
    if not path.exists():
        raise UsageError(
            f"{path} does not exist: give {KINDS}. Madelon and ALLAML are at "
            "https://jundongl.github.io/scikit-feature/datasets.html as .mat, madelon also at "
            "https://archive.ics.uci.edu/dataset/171/madelon."
        )
    try:
        x, y = _arrays(path)
        x = np.asarray(x, np.float64)
    except UsageError:
        raise
    except Exception as error:  # readers of four formats, each with its own
        why = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read as a table ({why}): give {KINDS}.") from error
    return _checked(path, x, np.asarray(y).ravel())


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if path.is_dir():
        return _uci(path)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as held:
            return held["X"], held["y" if "y" in held else "Y"]
    if path.suffix == ".mat":
        from scipy.io import loadmat

        held = loadmat(path)
        return held["X"], held["y" if "y" in held else "Y"]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = np.array(list(csv.reader(file))[1:])
        return rows[:, :-1].astype(float), rows[:, -1]
    raise UsageError(f"{path} is no table that is known: give {KINDS}.")


def _uci(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """NIPS 2003's layout: NAME_train.data and NAME_train.labels, and the same of NAME_valid where it is there."""
    data = sorted(folder.glob("*_train.data")) + sorted(folder.glob("*_valid.data"))
    if not data:
        raise UsageError(f"{folder} has no *_train.data: give {KINDS}.")
    labels = [next(iter(folder.glob(f"{each.stem}.labels")), each) for each in data]
    return np.concatenate([np.loadtxt(each) for each in data]), np.concatenate([np.loadtxt(each) for each in labels])


def _checked(path: Path, x: np.ndarray, y: np.ndarray) -> Tabular:
    if x.ndim != 2 or len(x) != len(y) or not len(x):
        raise UsageError(f"{path}: X has shape {list(x.shape)} and y {list(y.shape)}; one label a row is needed.")
    if not np.isfinite(x).all():
        raise UsageError(f"{path}: X has values that are not finite; mend them.")
    classes = np.unique(y)
    if len(classes) != 2:
        raise UsageError(f"{path}: y has {len(classes)} classes; this study is about two.")
    name = path.stem
    return Tabular(name, x, np.where(y == classes[1], 1.0, -1.0), _right(name, x))


def _right(name: str, x: np.ndarray) -> tuple[int, ...]:
    """Madelon's 20 useful columns: five, and fifteen made of them; no other column correlates with any."""
    if MADELON not in name.lower() or x.shape[1] != MADELON_FEATURES:
        return ()
    alike = np.abs(np.corrcoef(x.T)) - np.eye(x.shape[1])
    found = tuple(int(column) for column in np.flatnonzero(alike.max(0) > REDUNDANT))
    return found if len(found) == MADELON_RIGHT else ()
