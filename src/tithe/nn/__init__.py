"""Sparse layers, the layers between them that keep their layout, and the conversion of models."""

from tithe.nn.conv import SparseConv2d
from tithe.nn.convert import densify, sparse_layers, sparsify
from tithe.nn.fuse import fuse
from tithe.nn.layer import SparseLayer
from tithe.nn.linear import SparseLinear
from tithe.nn.norm import BatchNorm2d, ReLU
from tithe.nn.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "MaxPool2d",
    "ReLU",
    "SparseConv2d",
    "SparseLayer",
    "SparseLinear",
    "densify",
    "fuse",
    "sparse_layers",
    "sparsify",
]
