"""Dense training: what everything else is compared with. Differs from the paper in nothing: there is none."""

from __future__ import annotations

from tithe.methods.base import Method


class Dense(Method):
    """Trains the model as it is.

    Args:
        model: any.
        optimizer: holds its parameters.
    """
