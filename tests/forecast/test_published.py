"""The package's table of ImageNet: what print said of it, and that it agrees with the authors' own table."""

import csv
import math
from pathlib import Path

import pytest

from tithe.forecast import published
from tithe.forecast.published import BURDEN, OPERATIONS


def test_every_row_is_whole_and_cited() -> None:
    results = published.results()
    assert len({result.model for result in results}) == len(results) >= 50
    for result in results:
        assert 0 < result.error < 1
        assert 2012 <= result.year <= 2022
        assert result.operations or result.burden, result.model
        assert len(result.source) > 20
        for amount in (result.operations, result.burden):
            assert amount is None or 1e17 < amount < 1e24, result.model


def test_about_the_ninth_power_up_to_2019() -> None:
    found = published.line(BURDEN, up_to=2019)
    assert round(found.exponent) in (9, 10)
    assert found.low < 9 < found.high
    assert 2**found.exponent > 500


def test_the_later_exponent_is_inside_the_interval() -> None:
    found = published.line(OPERATIONS)
    assert found.low < 10.7 < found.high
    assert found.r2 > 0.72


def test_press_figures_follow_from_each_other() -> None:
    """1e28 FLOP are 1e11 dollars and New York's CO2 of months; 1e26 are 1e9 dollars; 2^9 is more than 500."""
    first, second, _ = published.PRESS
    assert math.floor(math.log10(published.dollars(first.flop))) == 11
    assert math.floor(math.log10(published.dollars(second.flop))) == 9
    assert 1 <= published.months_of_new_york(first.flop) < 10
    assert 2**first.exponent > 500


def test_a_thousand_times_the_compute_from_alexnet_to_nasnet() -> None:
    split = published.split()
    assert split.burden == pytest.approx(1000, rel=0.2)
    assert split.hardware == pytest.approx(6, rel=0.05)
    assert split.error == pytest.approx(2, rel=0.2)
    assert split.burden == pytest.approx(split.hardware * split.processors * split.time)


def test_arithmetic_of_the_table() -> None:
    assert published.arithmetic("2*1.5e12*5.5") == pytest.approx(1.65e13)
    assert published.arithmetic("3e9*90*1e6+1e9*30*1e6") == pytest.approx(3e17)
    assert published.arithmetic("55e18/6") == pytest.approx(55e18 / 6)


SAME = {  # ours -> theirs
    "VGG-16": "VGG-19",
    "Xception": "Xception",
    "NASNet-A (6 @ 4032)": "NASNET-A(6)",
    "ResNeXt-101 64x4d": "ResNeXt-101 64x4",
    "RegNetY-32GF": "RegNetY-32GF",
    "NoisyStudent EfficientNet-L2": "NoisyStudent (EfficientNet-L2)",
    "ViT-H/14 (JFT, fine-tuned at 518)": "ViT-H/14",
    "V-MoE-15B (JFT)": "ViT-MoE-15B (Every-2)",
    "CoCa": "CoCa",
    "ResNet-50 with tricks": "ResNet-50 + tricks",
    "SKNet-101": "SKNet-101",
    "ResNet-RS-420": "ResNet-RS-420",
    "ResNet-152": "ResNet-152",
    "PReLU-net C": "PReLUNet-C",
}


def test_it_agrees_with_the_authors_table(shared: Path) -> None:
    """Compute within a factor of 2.1 (they take one multiply-add for one FLOP here and there), errors within 2
    points (other crops and sizes)."""
    with (shared / "data/scaling/thompson/image-classification-on-imagenet.csv").open(encoding="utf-8") as file:
        theirs = {row["name"].strip(): row for row in list(csv.DictReader(file))[3:]}
    ours = {result.model: result for result in published.results()}
    compared = 0
    for mine, name in SAME.items():
        row, result = theirs[name], ours[mine]
        assert result.error == pytest.approx(1 - float(row["(TOP 1 score)"]) / 100, abs=0.02), mine
        for amount, column in ((result.operations, "network_operations"), (result.burden, "hardware_burden")):
            if amount and row[column]:
                compared += 1
                assert 1 / 2.1 < amount / float(row[column]) < 2.1, (mine, column, amount, row[column])
    assert compared >= 12
