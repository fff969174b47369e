"""How fast a sparse layer is beside the best dense one: forward and backward through the public modules.

Dense is the better of contiguous and channels_last in float32; bfloat16 autocast stands beside it. Sparse is float32.
All are interleaved in one process, round by round; medians with the middle half of the rounds. Not a claim of speed:
the kernels are plain in this version, and this says where they stand.

    python benchmarks/sparse_layers_against_dense.py [--rounds 30]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import tithe
from tithe.train.files import write_json
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
DENSITIES = (0.1, 0.05, 0.02)
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear 1024 -> 1024, batch 128": (lambda: nn.Linear(1024, 1024), (128, 1024)),
    "Linear 784 -> 300, batch 128": (lambda: nn.Linear(784, 300), (128, 784)),
    "Conv 64 -> 64 3x3, 32x32, batch 32": (lambda: nn.Conv2d(64, 64, 3, padding=1), (32, 64, 32, 32)),
    "Conv 256 -> 256 3x3, 16x16, batch 64": (lambda: nn.Conv2d(256, 256, 3, padding=1), (64, 256, 16, 16)),
}


def batch_innermost(x: torch.Tensor) -> torch.Tensor:
    """The layout in which one sparse layer hands over to the next."""
    return x.movedim(0, -1).contiguous().movedim(-1, 0)


def contestants(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> dict[str, Callable[[], None]]:
    """One training pass of each, ready to call."""
    torch.manual_seed(0)
    dense, x = make(), torch.randn(shape)
    passes = {"dense float32": one_pass(dense, x), "dense bfloat16": one_pass(dense, x, autocast=True)}
    if len(shape) == 4:
        last = make().to(memory_format=torch.channels_last)
        passes["dense float32 channels_last"] = one_pass(last, x.to(memory_format=torch.channels_last))
        passes["dense bfloat16 channels_last"] = one_pass(last, x.to(memory_format=torch.channels_last), autocast=True)
    for density in DENSITIES:
        sparse = tithe.sparsify(nn.Sequential(make()), density)
        passes[f"sparse {density:g}"] = one_pass(sparse, batch_innermost(x))
    return passes


def one_pass(layer: nn.Module, x: torch.Tensor, autocast: bool = False) -> Callable[[], None]:
    """Forward and both gradients, through autograd."""
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        gradient = torch.randn_like(layer(x))
    x.requires_grad_()

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(x)
        y.backward(gradient)

    return run


def measure(passes: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each: median and quartiles over interleaved rounds."""
    times: dict[str, list[float]] = {name: [] for name in passes}
    for index in range(rounds + 2):
        for name, run in passes.items():
            start = time.perf_counter()
            run()
            if index >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    result = {}
    for name, found in times.items():
        low, middle, high = statistics.quantiles(found, n=4)
        result[name] = {"median_ms": middle, "low_quartile_ms": low, "high_quartile_ms": high}
    return result


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    results: dict[str, object] = {"unit": "ms", "known": "measured", "rounds": rounds, "machine": machine()}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, (make, shape) in LAYERS.items():
            found = measure(contestants(make, shape), rounds)
            results[f"{name}, {threads} threads"] = found
            best = {
                kind: min(f["median_ms"] for n, f in found.items() if kind in n) for kind in ("float32", "bfloat16")
            }
            print(
                f"{name}, {threads} threads: dense float32 {best['float32']:.2f} ms, bfloat16 {best['bfloat16']:.2f} ms"
            )
            for density in DENSITIES:
                ours = found[f"sparse {density:g}"]
                print(
                    f"   density {density:4.0%}: {ours['median_ms']:7.2f} ms ({ours['low_quartile_ms']:.2f} to "
                    f"{ours['high_quartile_ms']:.2f}), {best['float32'] / ours['median_ms']:.1f}x dense float32, "
                    f"{best['bfloat16'] / ours['median_ms']:.1f}x dense bfloat16",
                    flush=True,
                )
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
