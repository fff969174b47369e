"""The peak memory of a training process grows by activations and existing weights, not by dense weights.

Linear layers 8192 -> 8192, at 2 % density: a dense weight would be 268 MB. Each number of layers trains in a process of
its own; what one layer more adds to the largest resident set is compared with what it holds.

    python benchmarks/peak_memory_holds_no_dense_weight.py
"""

import subprocess
import sys
from pathlib import Path

from tithe.train.files import write_json

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
WIDTH, BATCH, DENSITY = 8192, 64, 0.02

WORKER = """
import resource, sys, torch, tithe
layers, width, batch, density = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(1)
nnz = round(density * width * width)
make = lambda: tithe.SparseLinear(width, width, tithe.Topology.random((width, width), nnz))
model = torch.nn.Sequential(*[module for _ in range(layers) for module in (make(), torch.nn.ReLU())])
optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
for _ in range(4):
    optimizer.zero_grad()
    model(torch.randn(batch, width)).square().mean().backward()
    optimizer.step()
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(layers: int) -> int:
    """Bytes of the largest resident set of a process that trains so many layers."""
    command = [sys.executable, "-c", WORKER, *map(str, (layers, WIDTH, BATCH, DENSITY))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure, print, write."""
    peaks = {layers: peak(layers) for layers in (1, 4, 8)}
    each = (peaks[8] - peaks[4]) / 4
    nnz = round(DENSITY * WIDTH * WIDTH)
    # values, gradient, momentum; indices and their transpose with its permutation; input, output, two gradients
    held = 4 * (3 * nnz + 3 * nnz) + 4 * (4 * BATCH * WIDTH)
    figures = {
        "unit": "byte",
        "known": "measured",
        "peaks_by_layers": {str(layers): size for layers, size in peaks.items()},
        "added_by_a_layer": each,
        "what_a_layer_holds": {"bytes": held, "known": "counted"},
        "a_dense_weight": 4 * WIDTH * WIDTH,
    }
    write_json(RESULTS, figures)
    print(f"a layer more adds {each / 1e6:.1f} MB (measured); it holds {held / 1e6:.1f} MB (counted)")
    print(f"a dense weight alone would be {4 * WIDTH * WIDTH / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
