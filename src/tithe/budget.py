"""How many weights each layer gets. Pure functions from shapes to counts; totals are exact integers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tithe.errors import UsageError

Shapes = Mapping[str, tuple[int, ...]]  # name -> weight shape [out, in] or [out, in, kh, kw]


def counts(shapes: Shapes, density: float, budget: str | Mapping[str, float] = "erk") -> dict[str, int]:
    """Weights per layer: "uniform", "erk", or a density for each layer by name.

    The sum is round(density * logical weights) exactly; each layer has at least one weight and is at most full.
    With a mapping, layers that it does not name get `density`.

    Raises:
        UsageError: density outside (0, 1], too small for a weight in each layer, or an unknown budget or name.
    """
    _check_density(density, "density")
    if isinstance(budget, Mapping):
        return _named(shapes, density, budget)
    if budget not in BUDGETS:
        raise UsageError(
            f"budget {budget!r} was given; allowed are {', '.join(map(repr, BUDGETS))} or a density by name"
        )
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = round(density * sum(sizes.values()))
    if total < len(sizes):
        raise UsageError(
            f"density {density:g} gives {total} weights to {len(sizes)} layers, so a layer would get none; "
            f"use a density of at least {len(sizes) / sum(sizes.values()):.2g}"
        )
    shares = BUDGETS[budget](shapes)
    return dict(
        zip(
            sizes,
            apportion(total, list(shares.values()), [1] * len(sizes), list(sizes.values())),
            strict=True,
        )
    )


def uniform(shapes: Shapes) -> dict[str, float]:
    """Share of each layer under one density for all: its size."""
    return {name: float(math.prod(shape)) for name, shape in shapes.items()}


def erdos_renyi_kernel(shapes: Shapes) -> dict[str, float]:
    r"""Share of each layer under Erdos-Renyi-Kernel: the sum of its dimensions.

    density_l is proportional to (out + in + kh + kw) / (out * in * kh * kw), so the count is proportional to the
    numerator. For linear layers this is Erdos-Renyi (Mocanu et al. 2018, arXiv 1707.04780); with kernels, RigL
    (Evci et al. 2020, arXiv 1911.11134, section 3, "Sparsity Distribution").
    """
    return {name: float(sum(shape)) for name, shape in shapes.items()}


BUDGETS = {"erk": erdos_renyi_kernel, "uniform": uniform}


def apportion(total: int, shares: Sequence[float], least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Integers that sum to exactly `total`, near-proportional to `shares`, with least <= each <= most.

    What a full (or a starved) part cannot take goes to the others in proportion to their shares; the last units go
    to the largest remainders, ties to the earlier part. Shares of zero stay at their least while another part can
    take more.

    Raises:
        UsageError: no such integers exist, or a share is negative or not finite.
    """
    if not all(0 <= share < math.inf for share in shares):  # also refuses NaN
        raise UsageError(f"shares {list(shares)} were given; each must be a finite number of at least 0")
    if not sum(least) <= total <= sum(most):
        raise UsageError(f"{total} weights were to be spread; these layers take {sum(least)} to {sum(most)}")
    ideal = _water_fill(total, shares, least, most)
    result = [min(max(math.floor(want + 1e-9), low), high) for want, low, high in zip(ideal, least, most, strict=True)]
    order = sorted(range(len(ideal)), key=lambda i: (-(ideal[i] - result[i]), i))
    step = 1 if sum(result) <= total else -1
    while sum(result) != total:  # a few units, the roundings
        for i in order if step > 0 else reversed(order):
            if sum(result) != total and least[i] <= result[i] + step <= most[i]:
                result[i] += step
    return result


def _water_fill(total: int, shares: Sequence[float], least: Sequence[int], most: Sequence[int]) -> list[float]:
    """Reals share_i * scale, clipped to [least_i, most_i], that sum to `total`: scale found by bisection."""
    largest = max(shares, default=0.0) or 1.0
    weights = [max(share / largest, 1e-30) for share in shares]  # the floor lets zero shares fill up last

    def filled(scale: float) -> list[float]:
        return [min(max(w * scale, low), high) for w, low, high in zip(weights, least, most, strict=True)]

    low, high = 0.0, max((m / w for m, w in zip(most, weights, strict=True)), default=0.0) + 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):  # neighbours: nothing lies between
            break
        low, high = (middle, high) if sum(filled(middle)) < total else (low, middle)
    return filled(high)


def _named(shapes: Shapes, density: float, budget: Mapping[str, float]) -> dict[str, int]:
    unknown = [name for name in budget if name not in shapes]
    if unknown:
        raise UsageError(f"the budget names layer {unknown[0]!r}; the sparse layers are {', '.join(shapes)}")
    result = {}
    for name, shape in shapes.items():
        wanted = budget.get(name, density)
        _check_density(wanted, f"density of layer {name!r}")
        result[name] = round(wanted * math.prod(shape))
        if result[name] == 0:
            raise UsageError(
                f"density {wanted:g} leaves layer {name!r} of {math.prod(shape)} weights with none; "
                f"use at least {1 / math.prod(shape):.2g}"
            )
    return result


def _check_density(density: float, what: str) -> None:
    if not 0 < density <= 1:  # also refuses NaN
        raise UsageError(f"{what} {density} was given; allowed is above 0 and at most 1, e.g. 0.05 for 5 %")
