"""Sparse training methods: one published method a file, each a pure plan, and the objects that drive them."""

from tithe.methods.driver import Rewiring, SparseMomentum

METHODS = {"sparse-momentum": SparseMomentum}

__all__ = ["METHODS", "Rewiring", "SparseMomentum"]
