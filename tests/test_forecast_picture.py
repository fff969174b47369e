"""The picture of a forecast: what it claims, that everything is inside it, that it is the same each time."""

import math
from pathlib import Path

import numpy as np
import pytest

from tithe.errors import UsageError
from tithe.forecast import fit
from tithe.forecast.result import Forecast
from tithe.report.forecast import draw, powers
from tithe.report.log_axes import ticks

SIZES = [1e15 * 2**place for place in range(9)]


@pytest.fixture(scope="module")
def forecasts() -> dict[str, Forecast]:
    """One of each verdict that looks different."""
    floored = [0.1 + 0.3 * (size / 1e15) ** -0.5 for size in SIZES]
    falling = [0.3 * (size / 1e15) ** -0.2 for size in SIZES]
    rng = np.random.default_rng(0)
    noisy = [error * math.exp(0.08 * rng.standard_normal()) for error in floored]
    return {
        "within": fit(SIZES, falling, target=0.2),
        "reached": fit(SIZES, falling, target=0.07),
        "out of reach": fit(SIZES, floored, target=0.05),
        "open": fit(SIZES, noisy, target=0.08),
        "labels": fit(SIZES, falling, target=0.07, axis="data"),
    }


@pytest.mark.parametrize("name", ["within", "reached", "out of reach", "open", "labels"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_it_is_drawn(forecasts, tmp_path: Path, name: str, suffix: str) -> None:
    path = draw(forecasts[name], tmp_path / f"forecast{suffix}")
    assert path.stat().st_size > 10_000


def test_the_same_forecast_gives_the_same_file(forecasts, tmp_path: Path) -> None:
    first, second = (draw(forecasts["reached"], tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second


def test_interval_holds_the_curve_and_is_smooth(forecasts) -> None:
    """Drawn over 200 sizes, an interval whose noise was drawn anew at each would be a saw."""
    sizes = np.geomspace(SIZES[0], SIZES[-1] * 1000, 200)
    low, _, high = forecasts["open"].errors(sizes, new_run=True)
    _, curve, _ = forecasts["open"].errors(sizes)
    assert (low < curve).all()
    assert (curve < high).all()
    for edge in (low, high):
        assert np.abs(np.diff(np.log(edge), 2)).max() < 0.03


@pytest.mark.parametrize(("bottom", "top"), [(0.03, 0.4), (0.17, 0.34), (0.18, 0.21), (1e-4, 1.0), (0.95, 1.0)])
def test_error_axes_have_ticks_inside(bottom: float, top: float) -> None:
    found = ticks(bottom, top)
    assert 3 <= len(found) <= 30
    assert all(bottom <= tick <= top for tick in found)


def test_powers_as_print_has_them() -> None:
    assert powers("takes 9.41e25 FLOP") == "takes 9.41 × 10²⁵ FLOP"


def test_other_suffixes_are_refused(forecasts, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png"):
        draw(forecasts["reached"], tmp_path / "forecast.bmp")
