"""The steps of a forecast in their order: back-test the forms, fit them, draw what the runs leave open, mix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tithe.forecast.backtest import Backtest, backtest
from tithe.forecast.check import Runs
from tithe.forecast.fitting import Fit, fit
from tithe.forecast.forms import FORMS
from tithe.forecast.interval import draw
from tithe.forecast.loss import Loss
from tithe.forecast.mixture import Mixture

Watch = Callable[[str], None]
"""Is told what comes next."""


def silent(step: str) -> None:
    """Nobody watches."""


def mix(runs: Runs, loss: Loss, level: float, seed: int, watch: Watch = silent) -> tuple[Backtest, list[Fit], Mixture]:
    """Back-test, fits and draws of every form, in the order of `FORMS`."""
    log_size, log_error = np.log(runs.compute), np.log(runs.error)
    watch("how the forms extrapolate")
    tried, x = backtest(log_size, log_error, loss), log_size - log_size[-1]
    rng = np.random.default_rng(seed)
    fits = [fit(form, x, log_error, np.ones(len(x)), loss) for form in FORMS]
    parts = []
    for form, fitted in zip(FORMS, fits, strict=True):
        watch(f"curves that the runs leave open: {form.name.replace('_', ' ')}")
        parts.append(draw(form, x, log_error, fitted, loss, rng))
    return tried, fits, Mixture(tuple(zip(tried.weights, parts, strict=True)), level, seed)
