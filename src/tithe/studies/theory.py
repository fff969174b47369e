"""How a linear model's error falls with data and with compute: is it k^2 data and k^4 compute for k times better?

Thompson et al. 2020 (arXiv 2007.05558, sections 2 and 3) argue: error, as the root of the mean square, falls with the
number of examples n no faster than n^-1/2, so k times better takes k^2 the examples. A model that is to stay larger
than its data grows with them, and training costs examples x parameters, so at least n^2, which is k^4.

Three linear models of y = w x + noise, x ~ N(0, 1), noise ~ N(0, 1), 10 of the weights of w are not zero:

    fixed     32 parameters, least squares              error = sqrt(32 / (n - 33)), cost n 32^2
    growing   2n parameters, lasso                      more parameters than examples, regularised
    filled    n/2 parameters, least squares             grows without regularisation

The error is |w' - w| = the root mean square of (w' - w) x over new x, beyond the noise. The exponent of the data is b
in n ~ (1 / error)^b, fitted to each seed's curve by itself; its interval is that of the mean over seeds.

Differs from the paper in: 1. it has no experiment of the theory, this is one. 2. The lasso's penalty is the theory's,
sqrt(2 log(parameters) / n), which knows the noise. 3. A step of FLOP is 2 a multiply-add: least squares n p^2 for the
matrix of products, lasso n p for each pass over the coordinates.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tithe.cost.figure import Figure
from tithe.studies import verdict
from tithe.studies.kept import Kept
from tithe.studies.study import Asked, Claim, Column, Study, Table, with_ends
from tithe.studies.theory_picture import draw
from tithe.studies.verdict import ends, mean, says

RELEVANT, FIXED = 10, 32
SEEDS, QUICK_SEEDS = 30, 3
TOLERANCE = 0.2  # of an exponent that is said to be 2 or 4: a tenth, a twentieth
SOURCE = "Thompson, Greenewald, Lee, Manso 2020, arXiv 2007.05558, sections 2 and 3"
SMALL_CHANGE = 1.1  # k from the smallest to the largest n: less is no improvement to speak of


@dataclass(frozen=True)
class Model:
    """One of the three: for which numbers of examples, with how many parameters."""

    name: str
    examples: tuple[int, ...]
    quick: tuple[int, ...]

    def parameters(self, n: int) -> int:
        """Weights of the model that n examples train."""
        return {"fixed": FIXED, "growing": 2 * n, "filled": n // 2}[self.name]


MODELS = (
    Model("fixed", tuple(FIXED * 2**power for power in range(4, 13)), tuple(FIXED * 4**power for power in range(2, 5))),
    Model("growing", (125, 250, 500, 1000, 2000, 4000), (125, 250, 500)),
    Model("filled", (125, 250, 500, 1000, 2000), (125, 250, 500)),
)


def study(asked: Asked, kept: Kept) -> Study:
    """Measure the three curves and judge the exponents."""
    seeds = asked.seeds or (QUICK_SEEDS if asked.quick else SEEDS)
    examples = {model.name: model.quick if asked.quick else model.examples for model in MODELS}
    todo = {
        _name(model, examples[model.name], seed): partial(curve, model, examples[model.name], seed)
        for model in MODELS
        for seed in range(seeds)
    }
    found = kept.measure(todo, "curves")
    curves = {
        model.name: [found[_name(model, examples[model.name], seed)] for seed in range(seeds)] for model in MODELS
    }
    claims = judged(curves)
    picture = asked.out / "theory.png"
    draw(curves, claims, picture)
    return Study(claims, [_exponents(curves), _points(curves)], [picture], {"seeds": seeds, "relevant": RELEVANT})


def _name(model: Model, examples: Sequence[int], seed: int) -> str:
    return f"{model.name}, seed {seed}, {' '.join(map(str, examples))} examples"


def curve(model: Model, examples: Sequence[int], seed: int) -> list[dict[str, float]]:
    """The model trained with each number of examples."""
    return [{"n": n} | measure(model.name, n, model.parameters(n), seed) for n in examples]


def measure(model: str, n: int, parameters: int, seed: int) -> dict[str, float]:
    """Train one model; its error beyond the noise, and the FLOP that took."""
    dice = np.random.default_rng([seed, n, parameters])
    x = dice.standard_normal((parameters, n)).T  # columns lie together, as coordinate descent reads them
    w = np.zeros(parameters)
    w[: min(RELEVANT, parameters)] = dice.choice([-1.0, 1.0], min(RELEVANT, parameters))
    y = x @ w + dice.standard_normal(n)
    trained, flop = _lasso(x, y) if model == "growing" else _least_squares(x, y)
    return {"parameters": parameters, "error": float(np.linalg.norm(trained - w)), "flop": flop}


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    return np.linalg.solve(x.T @ x, x.T @ y), 2.0 * len(y) * x.shape[1] ** 2


def _lasso(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import Lasso

    n, parameters = x.shape
    fitted = Lasso(math.sqrt(2 * math.log(parameters) / n), fit_intercept=False, copy_X=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-learn's about its own arguments
        fitted.fit(x, y)
    return fitted.coef_, 2.0 * n * parameters * int(np.max(fitted.n_iter_))


Curves = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]  # model -> seed -> points with n, error, flop


def amount(point: Mapping[str, Any], of: str) -> float:
    """Examples n, FLOP, or data x parameters: the cost of one pass."""
    return point["n"] * point["parameters"] if of == "once" else point[of]


def exponent(curve: Sequence[Mapping[str, Any]], of: str) -> float:
    """b in `of` ~ (1 / error)^b, by least squares on logarithms: of log error over log `of`, which is exact.

    An error that does not fall has the exponent infinity.
    """
    slope = np.polyfit(np.log([amount(point, of) for point in curve]), np.log([point["error"] for point in curve]), 1)[
        0
    ]
    return math.inf if slope >= 0 else float(-1 / slope)


def exponents(curves: Sequence[Sequence[Mapping[str, Any]]], of: str) -> Figure:
    """The exponent with its interval over seeds."""
    values = [exponent(curve, of) for curve in curves]
    if not all(map(math.isfinite, values)):
        return Figure(math.inf, "1", "measured", source="the error of a seed does not fall")
    return mean(values, "1", f"mean of {len(values)} seeds' fits")


def judged(curves: Curves) -> list[Claim]:
    """What the curves say about the claims."""
    return [_data_claim(curves), _pass_claim(curves), _flop_claim(curves), _growth_claim(curves)]


def _data_claim(curves: Curves) -> Claim:
    data = exponents(curves["fixed"], "n")
    return Claim(
        "To be k times better, measured by root mean square error, a linear model needs k^2 the data.",
        SOURCE,
        verdict.between(data, 2 - TOLERANCE, 2 + TOLERANCE),
        f"With {FIXED} parameters the data grow as k^{says(data)}. For the squared error it would be half of that.",
        {"data_exponent": data},
    )


def _pass_claim(curves: Curves) -> Claim:
    once, data = exponents(curves["growing"], "once"), exponents(curves["growing"], "n")
    return Claim(
        "A linear model larger than its data needs at least k^4 the compute, data x parameters, to be k times better.",
        SOURCE,
        verdict.above(once, 4 - TOLERANCE),
        f"With twice as many parameters as examples, regularised (lasso), data x parameters grow as k^{says(once)}, "
        f"data as k^{says(data)}. By theory the error falls as sqrt(log(parameters) / examples), slower than the root.",
        {"compute_exponent": once, "data_exponent": data},
    )


def _flop_claim(curves: Curves) -> Claim:
    """The same with what training really takes: how often the data are passed through changes, too."""
    spent = exponents(curves["growing"], "flop")
    return Claim(
        "So it is for the FLOP that lasso really takes, all passes over the data counted.",
        SOURCE + " (there, the number of passes is taken for constant)",
        verdict.above(spent, 4 - TOLERANCE),
        f"They grow as k^{says(spent)}; at least {4 - TOLERANCE:g} is asked.",
        {"compute_exponent": spent},
    )


def _growth_claim(curves: Curves) -> Claim:
    """The other side: what makes k^4 is the growth, not the linear model."""
    compute = exponents(curves["fixed"], "flop")
    gains = {name: mean([seed[0]["error"] / seed[-1]["error"] for seed in curves[name]], "1") for name in curves}
    filled, growing = gains["filled"], gains["growing"]
    times = {name: curves[name][0][-1]["n"] / curves[name][0][0]["n"] for name in curves}
    return Claim(
        "The growing model is what costs: one of fixed size needs k^2 the compute. Growth pays only if regularised.",
        SOURCE + " (their reason for k^4)",
        verdict.all_of(
            (
                verdict.between(compute, 2 - TOLERANCE, 2 + TOLERANCE),
                verdict.below(filled, SMALL_CHANGE),
                verdict.above(growing, SMALL_CHANGE),
            )
        ),
        f"Of fixed size, the compute grows as k^{says(compute)}. Growing with the data, least squares gets "
        f"{says(filled)} times better with {times['filled']:g} times the data, lasso {says(growing)} times with "
        f"{times['growing']:g} times.",
        {"compute_exponent": compute, "gain_of_filled": filled, "gain_of_growing": growing},
    )


def _exponents(curves: Curves) -> Table:
    meaning = "b in amount ~ (1 / error)^b; 95 % t interval over seeds"
    columns = [Column("model"), Column("parameters")]
    for of in ("data", "one_pass", "FLOP"):
        columns += with_ends(f"{of}_exponent", "1", "measured", meaning)
    rows = []
    for model, grows in (("fixed", str(FIXED)), ("growing", "2 x examples"), ("filled", "examples / 2")):
        row: dict[str, Any] = {"model": model, "parameters": grows}
        for name, of in (("data", "n"), ("one_pass", "once"), ("FLOP", "flop")):
            found = exponents(curves[model], of)
            row |= ends(f"{name}_exponent", found)
        rows.append(row)
    return Table("exponents", "To be k times better takes k^exponent", columns, rows)


def _points(curves: Curves) -> Table:
    columns = [
        Column("model"),
        Column("examples", "examples", "counted"),
        Column("parameters", "weights", "counted"),
        Column("flop", "FLOP", "counted", "mean over seeds; 2 a multiply-add"),
        *with_ends("error", "1", "measured", "root mean square beyond the noise"),
    ]
    rows = []
    for model, seeds in curves.items():
        for points in zip(*seeds, strict=True):
            error = mean([point["error"] for point in points], "1")
            row = {"model": model, "examples": points[0]["n"], "parameters": points[0]["parameters"]}
            row["flop"] = float(np.mean([point["flop"] for point in points]))
            rows.append(row | ends("error", error))
    return Table("points", "Error over data and compute", columns, rows)
