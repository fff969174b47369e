"""Table and pictures of a realistic report: what a program can check; their looks are for people to judge."""

import copy
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tithe import human
from tithe.errors import UsageError
from tithe.report import curves, first_layer, table

EPOCHS = 20


def run(density: float, accuracy: float, seconds: float, flop: float) -> dict[str, Any]:
    """A run of LeNet-300-100 on MNIST: numbers of the right size, curves of the right shape."""
    logical = 784 * 300 + 300 * 100 + 100 * 10
    nnz = pixels(28, density).total + round(30000 * density) + 50 if density < 1 else logical
    size = 8 * nnz + 1640 if density < 1 else 4 * nnz + 1640
    rows = []
    for epoch in range(1, EPOCHS + 1):
        share, wobble = epoch / EPOCHS, 0.002 * math.sin(7.3 * epoch) * (1 - epoch / EPOCHS)
        rows.append(
            {
                "epoch": epoch,
                "loss": 0.01 + 0.5 * math.exp(-6 * share),
                "train_accuracy": 0.999 - 0.09 * math.exp(-5 * share),
                "test_loss": 0.06 + (1.2 if density < 1 else 0.8) * math.exp(-9 * share) + wobble,
                "accuracy": accuracy - 0.2 * math.exp(-15 * share) - 0.02 * math.exp(-4 * share) + wobble,
                "seconds": seconds * share,
                "training_flop": round(flop * share),
                "density": density,
                "nnz": nnz,
                "lr": 0.1,
            }
        )
    rows[-1]["accuracy"] = accuracy
    return {
        "accuracy": accuracy,
        "loss": 0.06,
        "density": density,
        "nnz": nnz,
        "logical_weights": logical,
        "seconds": seconds,
        "training_flop": round(flop),
        "weight_bytes": size,
        "index_bytes": 4 * nnz if density < 1 else 0,
        "gradient_bytes": 4 * nnz + 1640,
        "optimizer_bytes": 4 * nnz + 1640,
        "steady_bytes": size + 8 * nnz + 3280,
        "peak_bytes": size + 8 * nnz + 3280 + (4 * logical if density < 1 else 0),
        "scout_bytes": 4 * logical if density < 1 else 0,
        "epochs": EPOCHS,
        "steps": 12000,
        "rewirings": EPOCHS - 1 if density < 1 else 0,
        "history": rows,
        "layers": [
            {"name": "fc1", "shape": [300, 784], "nnz": pixels(28, density).total, "density": density},
            {"name": "fc2", "shape": [100, 300], "nnz": round(30000 * density), "density": density},
        ],
        "first_layer_inputs": {"shape": [1, 28, 28], "kept": pixels(28, density).kept},
    }


class pixels:  # noqa: N801
    """Kept weights per pixel: many in the middle, none in the corners."""

    def __init__(self, side: int, density: float) -> None:
        middle = (side - 1) / 2
        radius = [[math.hypot(y - middle, x - middle) / side for x in range(side)] for y in range(side)]
        peak = 300 * density * 4.68
        self.kept = [
            [round(peak * math.exp(-((r / 0.28) ** 4)) * (1 + 0.3 * math.sin(9.7 * y * x))) for x, r in enumerate(row)]
            for y, row in enumerate(radius)
        ]
        self.total = sum(map(sum, self.kept))


@pytest.fixture
def report() -> dict[str, Any]:
    """What `tithe train mnist` writes into report.json."""
    measured = ["accuracy", "loss", "seconds", "weight_bytes", "steady_bytes", "peak_bytes"]
    counted = ["training_flop", "nnz", "density"]
    return {
        "format": 1,
        "tithe": "0.1.0",
        "data": {"name": "mnist", "n_train": 60000, "n_test": 10000, "input_shape": [1, 28, 28], "classes": 10},
        "model": "lenet-300-100",
        "method": "sparse-momentum",
        "recipe": {"epochs": EPOCHS},
        "machine": {"threads": 2},
        "sparse": run(0.05, 0.9853, 41.23, 1.52e11 * 0.094),
        "dense": run(1.0, 0.9869, 64.9, 1.52e11),
        "ratios": None,
        "units": {
            field: {"unit": "", "known": known, "meaning": ""}
            for known, fields in [("measured", measured), ("counted", counted)]
            for field in fields
        },
    }


def printed(report: dict[str, Any], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return [cell.strip() for cell in line.strip().removeprefix(label).split("  ") if cell.strip()]


# ---- the table


def test_table_holds_every_figure_with_unit_ratio_and_source(report: dict[str, Any]) -> None:
    text = printed(report)
    assert cells(text, "test accuracy") == ["98.53 %", "98.69 %", "-0.16 points", "measured"]
    assert cells(text, "training time") == ["41.2 s", "64.9 s", "0.635", "measured"]
    assert cells(text, "training FLOP") == ["14.3 GFLOP", "152 GFLOP", "0.0940", "counted"]
    sparse, dense = report["sparse"], report["dense"]
    for label, field in [
        ("memory ", "steady_bytes"),
        ("memory while scouting", "peak_bytes"),
        ("weights and indices", "weight_bytes"),
    ]:
        ratio = human.three_digits(sparse[field] / dense[field])
        assert cells(text, label) == [human.si(sparse[field], "B"), human.si(dense[field], "B"), ratio, "measured"]
    assert cells(text, "weights kept (nnz)") == [f"{sparse['nnz']:,}", "266,200", "0.0500", "counted"]
    assert "sparse, 5 %" in text
    assert "lenet-300-100 on mnist, 20 epochs, sparse-momentum" in text


def test_table_fits_eighty_columns_without_wrapping_a_row(report: dict[str, Any]) -> None:
    assert printed(report, 80).count("\n") == printed(report, 81).count("\n")
    assert all(len(line.rstrip()) <= 80 for line in printed(report).splitlines())
    assert sum("measured" in line or "counted" in line for line in printed(report).splitlines()) == 7


def test_table_of_a_sparse_run_alone(report: dict[str, Any]) -> None:
    text = printed(report | {"dense": None})
    assert cells(text, "test accuracy") == ["98.53 %", "measured"]
    assert "dense" not in text


def test_table_does_not_guess(report: dict[str, Any]) -> None:
    """No source given: a dash; nothing to divide by: a dash."""
    report["units"].pop("nnz")
    report["dense"]["seconds"] = 0.0
    text = printed(report)
    assert cells(text, "weights kept (nnz)")[-1] == "-"
    assert cells(text, "training time")[-2:] == ["-", "measured"]


def test_few_test_examples_have_few_decimals(report: dict[str, Any]) -> None:
    report["data"]["n_test"] = 360
    assert cells(printed(report), "test accuracy") == ["98.5 %", "98.7 %", "-0.2 points", "measured"]


# ---- numbers for people


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (12, "12 B"),
        (999, "999 B"),
        (999.6, "1.00 kB"),
        (1234567, "1.23 MB"),
        (999_600, "1.00 MB"),
        (1.2e9, "1.20 GB"),
        (4.56e22, "45.6 ZB"),
        (3e29, "300,000 YB"),
        (0.5, "0.500 B"),
    ],
)
def test_si(value: float, text: str) -> None:
    assert human.si(value, "B") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2134, "0.213 s"),
        (41.23, "41.2 s"),
        (99.9, "99.9 s"),
        (99.96, "1 min 40 s"),
        (185, "3 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert human.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (1, "1.00"),
        (0.0791, "0.0791"),
        (312.4, "312"),
        (999.4, "999"),
        (41234, "41,234"),
        (5e-7, "5.00e-07"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    assert human.three_digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1, "1"), (1000, "1 k"), (2e9, "2 G"), (5e11, "500 G"), (1e30, "1e+06 Y")]
)
def test_tick(value: float, text: str) -> None:
    assert human.tick(value) == text


@pytest.mark.parametrize(("fraction", "text"), [(0.05, "5 %"), (0.025, "2.5 %"), (0.0499992, "5 %"), (1.0, "100 %")])
def test_density(fraction: float, text: str) -> None:
    assert human.density(fraction) == text


# ---- the pictures

PICTURES = pytest.mark.parametrize("draw", [curves, first_layer])
SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@PICTURES
@pytest.mark.parametrize("suffix", SIGNATURES)
def test_pictures_are_what_their_suffix_says(draw, suffix: str, report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    assert draw(report, path) == path
    assert path.read_bytes().startswith(SIGNATURES[suffix])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@PICTURES
def test_same_report_same_picture_also_through_json(draw, report: dict[str, Any], tmp_path: Path) -> None:
    before = json.dumps(report)
    draw(report, tmp_path / "a.png")
    assert json.dumps(report) == before  # a picture reads, it does not write
    draw(json.loads(before), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert printed(json.loads(before)) == printed(report)


@PICTURES
def test_pictures_leave_the_users_matplotlib_alone(draw, report: dict[str, Any], tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "report.json").write_text(json.dumps(report))
    code = (
        "import json, sys, matplotlib\n"
        "def settings():\n"  # to look up the backend is to import pyplot
        "    return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = settings()\n"
        f"from tithe.report import {draw.__name__} as draw\n"
        "draw(json.load(open('report.json')), 'picture.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@PICTURES
def test_a_name_with_dollars_is_no_formula(draw, report: dict[str, Any], tmp_path: Path) -> None:
    report["data"]["name"] = "$\\frac{$"
    assert draw(report, tmp_path / "picture.png") is not None


@PICTURES
@pytest.mark.parametrize("name", ["picture", "picture.jpg", "picture.png.gz"])
def test_other_suffixes_are_refused(draw, name: str, report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png, \.svg, \.pdf"):
        draw(report, tmp_path / name)
    assert not list(tmp_path.iterdir())


@PICTURES
def test_a_folder_that_is_not_there(draw, report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        draw(report, tmp_path / "nowhere" / "picture.png")


def texts(report: dict[str, Any], draw, tmp_path: Path) -> str:
    """What is written in the picture: matplotlib notes each text of an svg in a comment above its outlines."""
    draw(report, tmp_path / "picture.svg")
    return " ".join(re.findall(r"<!-- (.*?) -->", (tmp_path / "picture.svg").read_text()))


def test_curves_say_the_result(report: dict[str, Any], tmp_path: Path) -> None:
    shown = texts(report, curves, tmp_path)
    assert "5 % of the weights: 98.53 % right with 9.4 % of the training FLOP; dense 98.69 %" in shown
    for label in ["dense 98.69 %", "sparse 98.53 %", "14.3 GFLOP", "152 GFLOP", "test loss, nat", "epoch"]:
        assert label in shown, label


def test_curves_of_a_sparse_run_alone(report: dict[str, Any], tmp_path: Path) -> None:
    shown = texts(report | {"dense": None}, curves, tmp_path)
    assert "5 % of the weights: 98.53 % right" in shown
    assert "dense" not in shown


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_curves_of_a_few_epochs(epochs: int, report: dict[str, Any], tmp_path: Path) -> None:
    for half in ("sparse", "dense"):
        report[half]["history"] = report[half]["history"][-epochs:]
    assert curves(report, tmp_path / "picture.png") is not None


def test_curves_of_a_perfect_model(report: dict[str, Any], tmp_path: Path) -> None:
    """All right and no loss: nothing to take the logarithm of, no span to zoom in on."""
    for half in ("sparse", "dense"):
        for row in report[half]["history"]:
            row.update(accuracy=1.0, test_loss=0.0)
    assert curves(report, tmp_path / "picture.png") is not None


def test_no_epoch_no_curves(report: dict[str, Any], tmp_path: Path) -> None:
    report["sparse"]["history"] = report["dense"]["history"] = []
    assert curves(report, tmp_path / "picture.png") is None
    assert not list(tmp_path.iterdir())


def test_first_layer_reads_its_numbers_out(report: dict[str, Any], tmp_path: Path) -> None:
    kept = [[0, 0, 0, 0], [0, 6, 3, 0], [0, 2, 1, 0], [0, 0, 0, 4]]
    report["sparse"]["first_layer_inputs"] = {"shape": [1, 4, 4], "kept": kept}
    report["sparse"]["layers"][0]["shape"] = [10, 16]
    shown = texts(report, first_layer, tmp_path)
    assert "keeps 16 of 160 weights (10.0 %)" in shown
    assert "25 % of its area, holds 75 % of them" in " ".join(shown.split())
    assert "11 of 16 pixels kept none; spread evenly, each would keep 1.0." in " ".join(shown.split())


def test_first_layer_adds_channels_up(report: dict[str, Any], tmp_path: Path) -> None:
    colours = copy.deepcopy(report)
    colours["sparse"]["first_layer_inputs"] = {"shape": [3, 2, 3], "kept": [[[1, 2, 0], [3, 4, 0]]] * 3}
    colours["sparse"]["layers"][0]["shape"] = [5, 18]
    summed = copy.deepcopy(colours)
    summed["sparse"]["first_layer_inputs"]["kept"] = [[3, 6, 0], [9, 12, 0]]
    assert texts(colours, first_layer, tmp_path) == texts(summed, first_layer, tmp_path)


def test_first_layer_that_kept_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    report["sparse"]["first_layer_inputs"] = {"shape": [1, 2, 2], "kept": [[0, 0], [0, 0]]}
    assert "keeps 0 of 235,200" in texts(report, first_layer, tmp_path)


@pytest.mark.parametrize("inputs", [None, {"shape": [500], "kept": [1] * 500}])
def test_no_image_no_picture(inputs: dict[str, Any] | None, report: dict[str, Any], tmp_path: Path) -> None:
    report["sparse"]["first_layer_inputs"] = inputs
    assert first_layer(report, tmp_path / "picture.png") is None
    assert not list(tmp_path.iterdir())
