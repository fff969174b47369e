"""The networks that `tithe train --model NAME` knows, one family a file, and those of the user's own."""

from tithe.train.models.catalogue import build, names

__all__ = ["build", "names"]
