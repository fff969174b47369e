"""What a new test set cost published networks: ImageNet against ImageNetV2, from the tables of timm."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from tithe.cost.figure import Figure
from tithe.errors import UsageError
from tithe.studies import verdict
from tithe.studies.study import Claim, Column, Table
from tithe.studies.verdict import says

OLD, NEW = "results-imagenet.csv", "results-imagenetv2-matched-frequency.csv"
WHERE = "https://github.com/huggingface/pytorch-image-models/tree/main/results"
LOST = 10.0  # points
SOURCE = "Recht, Roelofs, Schmidt, Shankar 2019, arXiv 1902.10811, section 4; networks' results by timm, " + WHERE


@dataclass(frozen=True)
class Published:
    """Top-1 accuracies of the same networks on both test sets, percent."""

    models: Sequence[str]
    old: np.ndarray
    new: np.ndarray

    @property
    def drop(self) -> np.ndarray:
        """Points lost."""
        return self.old - self.new


def read(folder: Path) -> Published:
    """Both tables, joined on model and size of image: names alone repeat.

    Raises:
        UsageError: one is missing, or is not such a table.
    """
    old, new = (_accuracies(folder.expanduser() / name) for name in (OLD, NEW))
    both = sorted(old.keys() & new.keys())
    if len(both) < 3:
        raise UsageError(f"{folder}: {OLD} and {NEW} share {len(both)} networks; give tables of the same version.")
    names = [f"{model} at {size}" for model, size in both]
    return Published(names, np.array([old[key] for key in both]), np.array([new[key] for key in both]))


def _accuracies(path: Path) -> dict[tuple[str, str], float]:
    try:
        with path.open(newline="") as file:
            return {(row["model"], row["img_size"]): float(row["top1"]) for row in csv.DictReader(file)}
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing: get {OLD} and {NEW} from {WHERE} and name their folder.") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no table of timm's with model, img_size and top1: get it from {WHERE}.") from error


def claims(found: Published) -> list[Claim]:
    """What the tables say."""
    return [_lost(found), _slope(found)]


def mean_drop(found: Published) -> Figure:
    """Points; the interval is that of a mean of independent networks, which families of networks are not."""
    return verdict.mean(found.drop.tolist(), "percentage points", f"{len(found.drop)} networks")


def share_above(found: Published) -> Figure:
    """Networks that lose more than ten points; Wilson's interval."""
    count = int((found.drop > LOST).sum())
    ends = stats.binomtest(count, len(found.drop)).proportion_ci(0.95, method="wilson")
    return Figure(count / len(found.drop), "1", "measured", float(ends.low), float(ends.high), "share of networks")


def _lost(found: Published) -> Claim:
    drop, share = mean_drop(found), share_above(found)
    return Claim(
        "A new test set, made like the old one, costs networks more than ten points of accuracy on ImageNet.",
        SOURCE,
        verdict.all_of((verdict.above(drop, LOST), verdict.above(share, 0.5))),
        f"{len(found.drop)} networks lose {says(drop)} points in the mean from ImageNet to ImageNetV2; "
        f"{100 * share.value:.1f} % [{100 * share.least:.1f}, {100 * share.most:.1f}] of them lose more than ten. "
        "(Networks of one family are alike, so the intervals are too narrow.)",
        {"mean_drop": drop, "share_above_ten": share},
    )


def _slope(found: Published) -> Claim:
    line = stats.linregress(found.old, found.new)
    half = float(stats.t.ppf(0.975, len(found.old) - 2)) * float(line.stderr)  # type: ignore[attr-defined]
    at = float(line.slope)  # type: ignore[attr-defined]
    slope = Figure(at, "1", "measured", at - half, at + half, "points on the new test set a point on the old one")
    return Claim(
        "The better networks lose less: a point gained on the old test set is more than a point on the new one.",
        SOURCE,
        verdict.above(slope, 1),
        f"{says(slope)} points on ImageNetV2 for each on ImageNet.",
        {"slope": slope},
    )


def table(found: Published) -> Table:
    """A row a network."""
    columns = [
        Column("model"),
        *[Column(f"{name}_top1", "percent", "measured", f"by timm, on {name}") for name in ("imagenet", "imagenetv2")],
        Column("drop", "percentage points", "measured", "the difference"),
    ]
    parts = zip(found.models, found.old, found.new, found.drop, strict=True)
    names = [column.name for column in columns]
    rows = [dict(zip(names, (m, float(o), float(n), round(float(d), 6)), strict=True)) for m, o, n, d in parts]
    return Table("published", "ImageNet and ImageNetV2", columns, rows)
