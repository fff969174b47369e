"""Data sets for `tithe train`: real files read, checked and handed on as tensors."""

from tithe.train.data.catalog import load, names
from tithe.train.data.dataset import Dataset
from tithe.train.data.download import Progress
from tithe.train.data.official import default_data_dir
from tithe.train.data.validation import held_out

__all__ = ["Dataset", "Progress", "default_data_dir", "held_out", "load", "names"]
