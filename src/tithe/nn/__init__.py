"""Sparse layers and the conversion of models."""

from tithe.nn.conv import SparseConv2d
from tithe.nn.convert import densify, sparse_layers, sparsify
from tithe.nn.layer import SparseLayer
from tithe.nn.linear import SparseLinear

__all__ = ["SparseConv2d", "SparseLayer", "SparseLinear", "densify", "sparse_layers", "sparsify"]
