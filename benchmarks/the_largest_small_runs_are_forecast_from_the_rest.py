"""Eight dense and eight sparse networks of different sizes on MNIST: the two largest are forecast from the other six.

One hidden layer, 8 to 1,024 wide, ten epochs, one seed; sparse ones with 10 % of the weights (ERK). What is forecast is
the error over training FLOP, for dense and sparse networks each by themselves; beside it a pure power law. Also: each
run's error at its end, forecast half way, from how the other seven went on and from its own curve alone.

    python benchmarks/the_largest_small_runs_are_forecast_from_the_rest.py --data-dir FOLDER [--work FOLDER]

Results go to benchmarks/results/, one entry a width; a width that is already there is not trained again. The seconds in
the results come from a machine that had other work to do: they are no claim of speed.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from tithe.cost.run import Point, Run
from tithe.forecast import rest
from tithe.forecast.check import Runs
from tithe.forecast.holdout import extrapolate
from tithe.forecast.loss import TYPICAL
from tithe.train.defaults import DEFAULTS
from tithe.train.files import write_json
from tithe.train.run import Job, run

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
PREDICTED = 2  # the largest
LEVEL = 0.9
MNIST = DEFAULTS["mnist"]
RECIPE = {"density": 0.1, "epochs": 10, "compare": "dense", "seed": 0, "threads": 1}
FIELDS = ("accuracy", "density", "nnz", "seconds", "training_flop")


def trained(width: int, data_dir: Path, work: Path) -> dict[str, Any]:
    """Both halves of one width."""
    out = work / f"mnist-mlp-{width}"
    recipe = RECIPE | {"model": f"mlp:{width}"}
    report = run(Job(out=out, data="mnist", data_dir=data_dir, resume=out.exists(), recipe=recipe, ledger=False))
    return {
        half: {name: report[half][name] for name in FIELDS}
        | {"curve": [round(1 - epoch["accuracy"], 5) for epoch in report[half]["history"]]}
        for half in ("sparse", "dense")
    }


def forecast(half: str, runs: dict[str, Any]) -> list[dict[str, Any]]:
    """Predicted beside measured, of the largest networks; errors are fractions."""
    found = sorted(
        (runs[str(width)][half]["training_flop"], 1 - runs[str(width)][half]["accuracy"]) for width in WIDTHS
    )
    flop, error = np.array(found).T
    cut = len(found) - PREDICTED
    low, middle, high, power = extrapolate(Runs(flop, error), cut, TYPICAL, LEVEL, seed=0)
    return [
        {
            "flop": float(flop[cut + place]),
            "times_the_largest_fitted": round(float(flop[cut + place] / flop[cut - 1]), 2),
            "measured": round(float(error[cut + place]), 5),
            "forecast": round(float(middle[place]), 5),
            "low": round(float(low[place]), 5),
            "high": round(float(high[place]), 5),
            "power_law": round(float(power[place]), 5),
        }
        for place in range(PREDICTED)
    ]


def half_way(half: str, runs: dict[str, Any]) -> dict[str, Any]:
    """Errors at the end, forecast half way: in points, means over the eight runs."""
    curves = {width: run[half]["curve"] for width, run in runs.items()}
    recipe = {"epochs": len(curves[str(WIDTHS[0])]), "lr_drops": MNIST.lr_drops}
    drops = tuple(math.ceil(fraction * recipe["epochs"]) for fraction in recipe["lr_drops"])
    past = {
        width: Run(width, half, "", error=curve[-1], more={"recipe": recipe, "data_sha256": ""}, curve=points(curve))
        for width, curve in curves.items()
    }
    off: dict[str, list[float]] = {rest.PAST: [], rest.CURVE: []}
    inside: dict[str, list[bool]] = {rest.PAST: [], rest.CURVE: []}
    for width, curve in curves.items():
        progress = rest.Progress(half, curve[: recipe["epochs"] // 2], recipe["epochs"], drops, 1.0, width, "")
        for others in ([other for name, other in past.items() if name != width], []):
            found = rest.rest(progress, others)
            off[found.how].append(100 * (found.error.value - curve[-1]))
            inside[found.how].append(found.error.least <= curve[-1] <= found.error.most)
    return {
        how: {
            "mean_absolute_error_points": round(float(np.abs(errors).mean()), 3),
            "bias_points": round(float(np.mean(errors)), 3),
            "inside": sum(inside[how]),
        }
        for how, errors in off.items()
    }


def points(curve: list[float]) -> tuple[Point, ...]:
    return tuple(Point(epoch, error, None, None, None) for epoch, error in enumerate(curve, 1))


def show(forecasts: dict[str, Any]) -> None:
    """A line a prediction."""
    for half, rows in forecasts.items():
        for row in rows:
            measured, predicted, low, high, power = (
                f"{100 * row[name]:.2f} %" for name in ("measured", "forecast", "low", "high", "power_law")
            )
            print(
                f"{half:6} {row['flop']:.3g} FLOP, {row['times_the_largest_fitted']} times the largest of the fit: "
                f"measured {measured}, forecast {predicted} ({low} to {high}), pure power law {power}"
            )


def main() -> None:
    """Train what is missing, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with the four official MNIST files")
    parser.add_argument("--work", type=Path, default=Path("benchmark-runs"), help="where checkpoints go")
    options = parser.parse_args()
    content = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"level": LEVEL, "recipe": RECIPE, "runs": {}}
    for width in WIDTHS:
        if str(width) not in content["runs"]:
            content["runs"][str(width)] = trained(width, options.data_dir, options.work)
            write_json(RESULTS, content)
            print(width, {half: entry["accuracy"] for half, entry in content["runs"][str(width)].items()}, flush=True)
    content["forecasts"] = {half: forecast(half, content["runs"]) for half in ("dense", "sparse")}
    content["half_way"] = {half: half_way(half, content["runs"]) for half in ("dense", "sparse")}
    write_json(RESULTS, content)
    show(content["forecasts"])
    for half, found in content["half_way"].items():
        print(f"{half:6} at the end, forecast half way: {found}")


if __name__ == "__main__":
    main()
