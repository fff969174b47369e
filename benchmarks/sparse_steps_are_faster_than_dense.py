"""A whole training step is several times faster sparse than dense: forward, loss, backward and SGD with momentum.

The networks have the same density in every layer. Everything interleaved in one run; medians with the middle half.
Under bfloat16 autocast too, which on a processor without bfloat16 arithmetic takes minutes a step: --no-bfloat16.

    python benchmarks/sparse_steps_are_faster_than_dense.py [--seconds 90] [--no-bfloat16]
"""

from pathlib import Path

from timing import given, measured

from tithe.bench.rows import model_rows

DENSITIES = (0.1, 0.05, 0.02)

if __name__ == "__main__":
    measured(Path(__file__).stem, "step", model_rows("all"), DENSITIES, given(__doc__, 90))
