"""From times to figures, tables and the picture."""

import io
import json

import pytest
from rich.console import Console

from tithe.bench import picture
from tithe.bench.contestants import SYSTEMS
from tithe.bench.results import UNITS, LeftOut, Timed, best, report, row_report
from tithe.bench.rows import layer_rows
from tithe.bench.table import table

BY_LABEL = {system.label: system for system in SYSTEMS}


def timed(label: str, density: float | None, *times: float) -> Timed:
    return Timed(BY_LABEL[label], density, list(times))


def content(left_out=()) -> dict:
    (row,) = layer_rows("conv:4-4-3x3,8x8@16")
    found = [
        timed("dense float32, contiguous", None, 12.0, 10.0, 11.0),
        timed("dense float32, channels_last", None, 8.0, 8.0, 8.0),
        timed("dense bfloat16, contiguous", None, 160.0),
        *(timed("sparse", density, 80 * density, 80 * density, 100 * density) for density in (0.1, 0.05)),
        timed("SparseProp", 0.1, 16.0, 16.0),
        timed("SparseProp, over the width", 0.1, 4.0, 4.0),
    ]
    return report("layer", [row_report(row, 2, found, left_out)], finished=True)


def test_speed_ups_are_over_the_best_dense_variant():
    (row,) = content()["rows"]
    figures = {(r["system"], r["variant"], r["density"]): r for r in row["results"]}
    assert figures["sparse", "", 0.1]["speedup_float32"] == pytest.approx(1.0)
    assert figures["sparse", "", 0.05]["speedup_float32"] == pytest.approx(2.0)
    assert figures["sparse", "", 0.05]["speedup_bfloat16"] == pytest.approx(40.0)
    assert figures["sparse", "", 0.05]["limit"] == pytest.approx(20.0)
    assert figures["dense float32", "contiguous", None]["speedup_float32"] == pytest.approx(8 / 11)
    assert [(r["system"], r["variant"]) for r in best(row)] == [
        *[("dense float32", "channels_last"), ("dense bfloat16", "contiguous"), ("sparse", ""), ("sparse", "")],
        ("SparseProp", "over the width"),
    ]


def test_every_figure_has_a_unit_and_says_how_it_is_known():
    whole = content()
    json.dumps(whole, allow_nan=False)
    for result in whole["rows"][0]["results"]:
        assert set(result) - {"system", "variant", "density"} == set(UNITS)
    assert {unit["known"] for unit in whole["units"].values()} <= {"measured", "counted"}


def test_without_a_dense_figure_there_is_no_speed_up():
    (row,) = layer_rows("linear:2x2@2")
    found = row_report(row, 1, [timed("sparse", 0.5, 1.0)], [])
    assert found["results"][0]["speedup_float32"] is None
    assert picture.draw(content() | {"rows": [found]}, "unused.png") is None


def test_the_table_fits_in_80_columns_and_names_who_is_not_in_it():
    out = [LeftOut("SparseLab", "", None, "has no convolution"), LeftOut("SparseProp", "", 0.05, "wrong numbers: off")]
    screen = io.StringIO()
    Console(file=screen, width=80).print(table(content(out)["rows"][0]))
    said = screen.getvalue()
    assert "…" not in said
    assert "density 5 %, limit 20.0x" in said
    lines = [line.split() for line in said.splitlines()]
    assert ["sparse", "4.00", "4.00", "to", "4.50", "2.00x", "40.0x"] in lines
    assert ["bfloat16,", "contiguous", "160", "measured", "once", "0.0500x", "1.00x"] in lines
    assert "SparseLab: has no convolution." in said
    assert "SparseProp at 5 %: wrong numbers: off." in said


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_is_drawn(tmp_path, suffix):
    path = picture.draw(content(), tmp_path / f"bench.{suffix}")
    assert path is not None
    drawn = path.read_bytes()
    assert drawn.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_the_picture_names_its_lines_and_its_limit():
    lines = picture._lines(content()["rows"][0])
    assert [(line.system, line.densities) for line in lines] == [("sparse", [0.1, 0.05]), ("SparseProp", [0.1])]
    assert lines[0].speedups == pytest.approx([1.0, 2.0])
    assert lines[0].low < lines[0].speedups
    assert picture._dense_times(content()["rows"][0]) == "1x: 8.00 ms, channels_last; dense bfloat16: 160 ms"
    assert picture._claim(content()) == "With 5 % of the weights, layers train at 2x the speed of the best dense ones"


def test_names_are_moved_apart_and_no_further():
    assert picture.spread([0.0, 0.5, 1.0], 0.4) == pytest.approx([0.0, 0.5, 1.0])
    assert picture.spread([0.0, 0.1], 0.5) == pytest.approx([-0.2, 0.3])
    assert picture.spread([0.0, 0.1, 1.0], 0.5) == pytest.approx([-0.2, 0.3, 1.0])
    assert picture.spread([0.0] * 3 + [0.6], 0.5) == pytest.approx([-0.6, -0.1, 0.4, 0.9])
