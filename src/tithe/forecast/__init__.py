"""What larger runs will reach: forms fitted to finished runs, weighed by how they extrapolate, with intervals."""

from tithe.forecast.forecaster import fit
from tithe.forecast.result import Forecast

__all__ = ["Forecast", "fit"]
