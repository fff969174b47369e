"""What bounds a sparse kernel is the cache that its activations come from: GFLOP/s over the size of the working set.

The forward kernel of a linear layer, 50 weights a neuron, batch 128, one thread. It goes over the batch in blocks of
eight registers (512 bytes with AVX-512, 256 with AVX2), and each weight reads such a block of one of the inputs: inputs
* block is the working set. Beside it torch's dense product, which is fed from registers. Their ratio, times 1/density,
is the most that a sparse layer can be faster.

    python benchmarks/the_cache_that_feeds_the_kernels_bounds_them.py
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

import tithe
from tithe import _kernels
from tithe.ops import dispatch
from tithe.train.files import write_json
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
BATCH, FAN_IN, NNZ = 128, 50, 100_000
FLOATS = {"avx512": 16, "avx2": 8, "sse2": 4, "neon": 4, "plain": 1}  # in a register
REGISTERS = 8  # of a block


def rates(passes: dict[str, tuple[Callable[[], object], float]], rounds: int = 60) -> dict[str, float]:
    """GFLOP/s of each pass (callable, FLOP): medians of interleaved rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for index in range(rounds + 3):
        for name, (run, _) in passes.items():
            run()  # what ran before has emptied the caches
            start = time.perf_counter()
            run()
            if index >= 3:
                seconds[name].append(time.perf_counter() - start)
    return {name: flop / statistics.median(seconds[name]) / 1e9 for name, (_, flop) in passes.items()}


def sparse_pass(inputs: int) -> tuple[Callable[[], object], float]:
    """The forward kernel on x [inputs, BATCH] in memory; the output is there already."""
    rows = NNZ // FAN_IN
    packed = tithe.Topology.random((rows, inputs), NNZ).packed
    values, x, y = torch.randn(NNZ), torch.randn(inputs, BATCH), torch.empty(rows, BATCH)
    indptr, indices, *_ = dispatch.addresses(packed, rows, inputs, NNZ)

    def run() -> None:
        addresses = (y.data_ptr(), x.data_ptr(), values.data_ptr(), 0, indptr, indices)
        _kernels.linear_forward(*addresses, rows, inputs, BATCH, 1)
        assert packed is not None  # the addresses are its own

    return run, 2.0 * NNZ * BATCH


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    block = 4 * min(BATCH, REGISTERS * FLOATS[_kernels.instruction_set()])  # bytes
    sizes = (32, 64, 128, 256, 512, 1024, 2048, 8192)  # KiB
    passes = {f"{size} KiB": sparse_pass(1024 * size // block) for size in sizes}
    a, b = torch.randn(1024, 1024), torch.randn(1024, BATCH)
    out = torch.empty(1024, BATCH)
    passes["dense product"] = (lambda: torch.mm(a, b, out=out), 2.0 * 1024 * 1024 * BATCH)
    with torch.no_grad():
        found = rates(passes)
    for name, rate in found.items():
        print(f"{name:>14}: {rate:6.1f} GFLOP/s, {rate / found['dense product']:.2f} of dense (measured)")
    write_json(RESULTS, {"unit": "GFLOP/s", "known": "measured", "machine": machine(), "by_working_set": found})


if __name__ == "__main__":
    main()
