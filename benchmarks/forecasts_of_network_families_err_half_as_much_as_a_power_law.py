"""Forecasts of the larger networks of a family from the smaller ones, on timm's published results.

For every family (timm_families.py): fit the smaller 60 % of the sizes, predict the error of the others, compare with
what was measured. Twice: with three sizes at least in the fit, and with four, the fewest that `tithe forecast` accepts.
Beside it a pure power law, fitted to the same sizes. Nominal interval: 90 %, for a new network with its noise.

    python benchmarks/forecasts_of_network_families_err_half_as_much_as_a_power_law.py --timm FOLDER

FOLDER is `results/` of https://github.com/huggingface/pytorch-image-models. Results go to benchmarks/results/.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from timm_families import Member, families

from tithe.forecast.check import Runs
from tithe.forecast.holdout import extrapolate
from tithe.forecast.loss import TYPICAL

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
SHARE, LEVEL = 0.6, 0.9
COLUMNS = ("model", "gmac", "measured", "forecast", "low", "high", "power_law")
NAMED = (  # their errors of a pure power law were known before: -3.2, -3.4, -4.0, -3.9, -3.1 and +0.1 points
    "RegNetY, pycls_in1k",
    "RegNetX, pycls_in1k",
    "EfficientNet, aa_in1k",
    "ResNet, a1_in1k",
    "DenseNet, tv_in1k",
    "VGG-BN, tv_in1k",
)


def predicted(name: str, members: list[Member], fewest: int) -> dict[str, Any] | None:
    """One family; None where nothing would be left to predict."""
    cut = max(fewest, int(SHARE * len(members)))
    if cut >= len(members):
        return None
    runs = Runs(np.array([m.gmac for m in members]), np.array([m.error for m in members]))
    low, middle, high, power = extrapolate(runs, cut, TYPICAL, LEVEL, seed=0)
    rows = [
        {
            "model": member.model,
            "gmac": member.gmac,
            "measured": round(member.error, 5),
            "forecast": round(float(middle[place]), 5),
            "low": round(float(low[place]), 5),
            "high": round(float(high[place]), 5),
            "power_law": round(float(power[place]), 5),
        }
        for place, member in enumerate(members[cut:])
    ]
    decades = float(np.log10(members[-1].gmac / members[cut - 1].gmac))
    return {"family": name, "fitted": cut, "decades_beyond": round(decades, 2), "predicted": rows}


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the largest network of each family, and over all that were predicted; errors in points."""
    largest = [family["predicted"][-1] for family in found]
    every = [row for family in found for row in family["predicted"]]
    return {"families": len(found), "largest": figures(largest), "all": figures(every)}


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    off, power = ([100 * (row[name] - row["measured"]) for row in rows] for name in ("forecast", "power_law"))
    inside = [row["low"] <= row["measured"] <= row["high"] for row in rows]
    return {
        "networks": len(rows),
        "mean_absolute_error_points": round(statistics.mean(map(abs, off)), 2),
        "median_absolute_error_points": round(statistics.median(map(abs, off)), 2),
        "bias_points": round(statistics.mean(off), 2),
        "too_optimistic": sum(error < 0 for error in off),
        "inside_the_interval": round(statistics.mean(inside), 3),
        "median_width_points": round(statistics.median(100 * (row["high"] - row["low"]) for row in rows), 2),
        "power_law": {
            "mean_absolute_error_points": round(statistics.mean(map(abs, power)), 2),
            "bias_points": round(statistics.mean(power), 2),
            "too_optimistic": sum(error < 0 for error in power),
        },
    }


def compact(family: dict[str, Any]) -> list[Any]:
    """Sizes in the fit, decades beyond the largest of them, a row of `COLUMNS` a network."""
    rows = [[row[name] for name in COLUMNS] for row in family["predicted"]]
    return [family["fitted"], family["decades_beyond"], rows]


def write(report: dict[str, Any], raw: dict[str, Any]) -> None:
    """The summary readably, then a line a family."""
    text = json.dumps(report | {"columns": COLUMNS}, indent=1)[:-2]
    for title, found in raw.items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in found.items())
        text += f",\n {json.dumps('raw, ' + title)}: {{\n{lines}\n }}"
    RESULTS.write_text(text + "\n}\n", encoding="utf-8")


def main() -> None:
    """Predict, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timm", type=Path, required=True, help="folder of timm's results")
    every = families(parser.parse_args().timm)
    report: dict[str, Any] = {"level": LEVEL, "share": SHARE}
    raw: dict[str, Any] = {}
    for fewest in (3, 4):
        found = [result for name, members in every.items() if (result := predicted(name, members, fewest))]
        named = [family for family in found if family["family"] in NAMED]
        report[f"{fewest} sizes or more"] = {
            "all families": summary(found),
            "six families named beforehand": summary(named),
        }
        raw[f"{fewest} sizes or more"] = {family["family"]: compact(family) for family in found}
        for title in ("all families", "six families named beforehand"):
            print(f"{fewest} sizes or more, {title}:")
            for which, values in report[f"{fewest} sizes or more"][title].items():
                print(f"  {which}: {values}")
    write(report, raw)


if __name__ == "__main__":
    main()
