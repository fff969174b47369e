"""Hyper-parameters, widths and depths found by Optuna, with every trial paid for in the bill."""
