"""Up to which density a sparse linear layer is as fast as the best dense one.

python benchmarks/where_a_sparse_linear_layer_breaks_even.py [--seconds 30]
"""

from pathlib import Path

from timing import given, measured

from tithe.bench.rows import layer_rows

DENSITIES = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2)

if __name__ == "__main__":
    rows = layer_rows("linear:1024x1024@128")
    measured(Path(__file__).stem, "layer", rows, DENSITIES, given(__doc__, 30))
