"""Nominal 90 % intervals hold the truth of simulated curves about 90 times in a hundred, with a floor and without.

Each setting draws runs from a known curve, forecasts runs 2, 4 and 10 times as large as the largest, and asks how often
the interval holds a new run (drawn as the others were; the share of them, exactly), how often it holds the curve, how
often that of the compute at the error of the 4-fold run holds the true compute, and how often those of floor and slope
hold theirs. Breaks: the slope changes among the runs, for the better or for the worse, or right behind them, where
nothing can see it; and how often a break is told, also where there is none.

    python benchmarks/intervals_hold_the_truth_of_simulated_curves.py [--repeats 200] [--only TEXT]

Results go to benchmarks/results/. Two hundred repeats tell 85 from 90 of 100: their standard error is 2.1.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from tithe.forecast.breaks import after_break
from tithe.forecast.check import Runs
from tithe.forecast.engine import mix
from tithe.forecast.forms import Array
from tithe.forecast.loss import TYPICAL
from tithe.forecast.mixture import Mixture
from tithe.train.files import write_json

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
LEVEL = 0.9
POOLED = "all settings without a break"
WORSE = 1.3  # times the error of its curve: an outlier's
BEYOND = (2.0, 4.0, 10.0)  # times the largest run


class Setting(NamedTuple):
    """A curve, and the runs that are seen of it: error = floor + above (C / C_least)^-slope."""

    floor: float
    above: float
    slope: float
    decades: float
    runs: int
    noise: float  # of the log error
    bent: Callable[[Array, float], Array] | None = None  # (error, log10 of C / C_top) -> error
    outliers: float = 0.0  # share of the runs that end 30 % worse


def bend(by: float, before: float) -> Callable[[Array, float], Array]:
    """From so many decades before the largest run on, the slope is another one: `by` powers of ten a decade more."""
    return lambda error, x: error * 10.0 ** (-by * np.maximum(x + before, 0))


def sudden_floor(error: Array, x: Array) -> Array:
    """Nothing more is gained behind the largest run."""
    return np.where(x > 0, error[x <= 0].min() if (x <= 0).any() else error, error)


SETTINGS = {
    "floor, 5 runs, noise 2 %": Setting(0.15, 0.25, 0.5, 1.5, 5, 0.02),
    "floor, 8 runs, noise 1 %": Setting(0.15, 0.25, 0.5, 2, 8, 0.01),
    "floor, 8 runs, noise 3 %": Setting(0.15, 0.25, 0.5, 2, 8, 0.03),
    "floor, 12 runs, noise 3 %": Setting(0.1, 0.3, 0.4, 2.5, 12, 0.03),
    "floor, 12 runs, noise 10 %": Setting(0.1, 0.3, 0.4, 3, 12, 0.1),
    "floor, 30 runs, noise 5 %": Setting(0.1, 0.3, 0.4, 3, 30, 0.05),
    "no floor, 5 runs, noise 2 %": Setting(0, 0.4, 0.2, 1.5, 5, 0.02),
    "no floor, 8 runs, noise 1 %": Setting(0, 0.4, 0.15, 2, 8, 0.01),
    "no floor, 8 runs, noise 3 %": Setting(0, 0.4, 0.15, 2, 8, 0.03),
    "no floor, 12 runs, noise 3 %": Setting(0, 0.4, 0.2, 2.5, 12, 0.03),
    "no floor, 30 runs, noise 10 %": Setting(0, 0.4, 0.1, 5, 30, 0.1),
    "floor, 20 runs, noise 3 %, every tenth 30 % worse": Setting(0.1, 0.3, 0.4, 3, 20, 0.03, outliers=0.1),
    "break to a steeper slope, 8 runs, noise 2 %": Setting(0, 0.4, 0.1, 2, 8, 0.02, bend(0.2, 1)),
    "break to a steeper slope, 12 runs, noise 2 %": Setting(0, 0.4, 0.1, 2, 12, 0.02, bend(0.2, 1)),
    "break to a steeper slope, 24 runs, noise 3 %": Setting(0, 0.4, 0.1, 3, 24, 0.03, bend(0.2, 1)),
    "break to a flatter slope, 12 runs, noise 2 %": Setting(0, 0.4, 0.3, 2, 12, 0.02, bend(-0.2, 1)),
    "break to a flatter slope, 24 runs, noise 2 %": Setting(0, 0.4, 0.3, 3, 24, 0.02, bend(-0.2, 1.5)),
    "break behind the runs, 12 runs, noise 2 %": Setting(0, 0.4, 0.2, 2, 12, 0.02, sudden_floor),
}


def once(setting: Setting, repeat: int) -> dict[str, Any]:
    """One draw of the runs, one forecast."""
    rng = np.random.default_rng([repeat, setting.runs, round(1000 * setting.noise)])
    powers = np.linspace(0, setting.decades, setting.runs)
    powers[1:-1] += rng.uniform(-0.3, 0.3, setting.runs - 2) * setting.decades / setting.runs
    ahead = powers[-1] + np.log10(BEYOND)
    every = truth(setting, np.concatenate([powers, ahead]))
    curve, true = every[: setting.runs], every[setting.runs :]
    error = curve * np.exp(setting.noise * rng.standard_normal(setting.runs))
    error *= np.where(rng.random(setting.runs) < setting.outliers, WORSE, 1.0)
    used, broke = after_break(Runs(10**powers, np.minimum(error, 1.0)), TYPICAL)
    _, _, mixture = mix(used, TYPICAL, LEVEL, repeat)
    x = np.log(BEYOND)
    low, middle, high = mixture.errors(x)
    reached = mixture.band(mixture.reached(float(true[1])))
    draws = mixture.draws("with_floor")
    alone = Mixture(((1.0, draws),), LEVEL, repeat)
    floor, slope = alone.band(np.exp(draws.theta[:, 0])), alone.band(np.exp(draws.theta[:, 2]))
    return {
        "new_run": new_runs_inside(setting, mixture, true),
        "curve": ((low <= true) & (true <= high)).tolist(),
        "off": np.log(middle / true).tolist(),
        "compute_inside": reached.low <= x[1] <= reached.high,
        "floor_inside": floor.low <= setting.floor <= floor.high,
        "slope_inside": slope.low <= setting.slope <= slope.high,
        "floor": floor.value,
        "slope": slope.value,
        "break_told": broke is not None,
        "weights": [weight for weight, _ in mixture.parts],
    }


def new_runs_inside(setting: Setting, mixture: Mixture, true: Array) -> list[float]:
    """Of all new runs of these sizes, the share in their interval: normal noise, and outliers as before."""
    low, _, high = mixture.errors(np.log(BEYOND), new_run=True)

    def share(worse: float) -> Array:
        return ndtr(np.log(high / (worse * true)) / setting.noise) - ndtr(np.log(low / (worse * true)) / setting.noise)

    return ((1 - setting.outliers) * share(1.0) + setting.outliers * share(WORSE)).tolist()


def truth(setting: Setting, powers: Array) -> Array:
    """The error of the curve at log10(C / C_least)."""
    error = setting.floor + setting.above * 10 ** (-setting.slope * powers)
    return error if setting.bent is None else setting.bent(error, powers - setting.decades)


def summary(setting: Setting, found: list[dict[str, Any]]) -> dict[str, Any]:
    mean = {name: np.mean([each[name] for each in found], 0) for name in found[0]}
    off = np.array([each["off"] for each in found])
    result = {
        "repeats": len(found),
        "new_run_inside": [round(float(share), 3) for share in mean["new_run"]],
        "curve_inside": [round(float(share), 3) for share in mean["curve"]],
        "compute_inside": round(float(mean["compute_inside"]), 3),
        "bias": [round(float(value), 4) for value in off.mean(0)],
        "mean_absolute_log_error": [round(float(value), 4) for value in np.abs(off).mean(0)],
        "break_told": round(float(mean["break_told"]), 3),
        "weights": [round(float(weight), 3) for weight in mean["weights"]],
    }
    if setting.floor:
        result |= {
            "floor": setting.floor,
            "floor_median": round(float(np.median([each["floor"] for each in found])), 4),
            "floor_inside": round(float(mean["floor_inside"]), 3),
            "slope": setting.slope,
            "slope_median": round(float(np.median([each["slope"] for each in found])), 3),
            "slope_inside": round(float(mean["slope_inside"]), 3),
        }
    return result


def pooled(report: dict[str, Any]) -> dict[str, Any]:
    """Mean coverage over the settings without a break, each counting the same; of single settings least and most."""
    found = [entry for name, entry in report.items() if name in SETTINGS and "break" not in name]
    new_run, curve = ([share for entry in found for share in entry[of]] for of in ("new_run_inside", "curve_inside"))
    floored = [entry for entry in found if "floor" in entry]
    return {
        "settings": len(found),
        "new_run_inside": round(float(np.mean(new_run)), 3),
        "new_run_least_and_most": [min(new_run), max(new_run)],
        "curve_inside": round(float(np.mean(curve)), 3),
        "curve_least_and_most": [min(curve), max(curve)],
        "compute_inside": round(float(np.mean([entry["compute_inside"] for entry in found])), 3),
        "floor_inside": round(float(np.mean([entry["floor_inside"] for entry in floored])), 3),
        "slope_inside": round(float(np.mean([entry["slope_inside"] for entry in floored])), 3),
        "break_told": round(float(np.mean([entry["break_told"] for entry in found])), 3),
    }


def main() -> None:
    """Simulate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--only", default="", help="only the settings whose name begins with this")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name, setting in SETTINGS.items():
        if name.startswith(options.only):
            report[name] = summary(setting, [once(setting, repeat) for repeat in range(options.repeats)])
            write_json(options.out, report)
            print(name, report[name], flush=True)
    if any("break" not in name for name in report):
        report[POOLED] = pooled(report)
        write_json(options.out, report)
        print(POOLED, report[POOLED])


if __name__ == "__main__":
    main()
