"""What training costs: figures that say how they are known, hardware and its prices, and rates from FLOP to money."""

from tithe.cost.figure import Figure
from tithe.cost.hardware import Hardware, find, this_machine
from tithe.cost.rates import Cost, Rates

__all__ = ["Cost", "Figure", "Hardware", "Rates", "find", "this_machine"]
