"""A whole training step is several times faster sparse than dense: forward, loss, backward and SGD with momentum.

The networks have the same density in every layer. Everything interleaved in one run; medians with the middle half.
In float32: under bfloat16 autocast a dense WRN-16-8 takes minutes a step on a processor without bfloat16 arithmetic.

    python benchmarks/sparse_steps_are_faster_than_dense.py [--seconds 90]
"""

from pathlib import Path

from timing import measured, seconds_given

from tithe.bench.rows import model_rows

DENSITIES = (0.1, 0.05, 0.02)

if __name__ == "__main__":
    measured(Path(__file__).stem, "step", model_rows("all"), DENSITIES, seconds_given(__doc__, 90), bfloat16=False)
