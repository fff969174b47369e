"""A sparse layer is several times faster than the best dense one and than other sparse libraries, at 20 to 1 % density.

Forward and both gradients through the public modules, autograd and changes of layout included; everything interleaved
in one run; medians with the middle half. SparseLab and SparseProp take part where they are installed.

    python benchmarks/sparse_layers_are_faster_than_dense.py [--seconds 60]
"""

from pathlib import Path

from timing import given, measured

from tithe.bench.rows import layer_rows

DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)

if __name__ == "__main__":
    measured(Path(__file__).stem, "layer", layer_rows("all"), DENSITIES, given(__doc__, 60))
