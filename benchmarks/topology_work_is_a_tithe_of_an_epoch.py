"""Scouting and rewiring take at most 10 % of an epoch: WRN-16-2 at 5 % density on CIFAR-10's images, batch 128.

One epoch with its rewiring at the end, the last 44 steps scouted. Topology work is the time inside the method, and
what a scouted step takes longer than the median of the others.

    python benchmarks/topology_work_is_a_tithe_of_an_epoch.py --data ARRAYS.npz [--steps 390]

ARRAYS.npz holds x_train (uint8 [n, 32, 32, 3] or [n, 3, 32, 32]) and y_train (integers [n]).
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import tithe
from tithe.train import models
from tithe.train.files import write_json
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
BATCH, DENSITY, SCOUT = 128, 0.05, 44


def epoch(images: torch.Tensor, labels: torch.Tensor, steps: int) -> dict[str, list[float]]:
    """Seconds of each step: outside the method, scouted or not, and inside it."""
    torch.manual_seed(0)
    model = tithe.sparsify(models.build("wrn-16-2", (3, 32, 32), 10), DENSITY)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    rewire = tithe.SparseMomentum(model, optimizer, every=steps, total_steps=10 * steps, scout_steps=SCOUT)
    found: dict[str, list[float]] = {"plain": [], "scouted": [], "method": []}
    order = torch.randperm(len(images))
    for step in range(steps):
        batch = order[step * BATCH % len(order) :][:BATCH]
        x = images[batch].float().div(255).sub(0.5)
        kind = "scouted" if rewire.scouting else "plain"
        start = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(model(x), labels[batch]).backward()
        optimizer.step()
        middle = time.perf_counter()
        rewire.step()
        found[kind].append(middle - start)
        found["method"].append(time.perf_counter() - middle)
        if step % 20 == 0:
            print(f"step {step} of {steps}: {middle - start:.3f} s", file=sys.stderr)
    assert len(rewire.history) == 1
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=390)
    given = parser.parse_args()
    arrays = np.load(given.data)
    images, labels = (torch.from_numpy(arrays[name]) for name in ("x_train", "y_train"))
    if images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2).contiguous()
    found = epoch(images, labels.long(), given.steps)
    plain = statistics.median(found["plain"])
    more = sum(found["scouted"]) - plain * len(found["scouted"])
    topology, total = sum(found["method"]) + more, sum(map(sum, found.values()))
    figures = {
        "unit": "s",
        "known": "measured",
        "machine": machine(),
        "steps": given.steps,
        "scouted_steps": len(found["scouted"]),
        "median_plain_step": plain,
        "median_scouted_step": statistics.median(found["scouted"]),
        "inside_the_method": sum(found["method"]),
        "largest_inside_the_method": max(found["method"]),
        "topology_work": topology,
        "epoch": total,
        "share": topology / total,
    }
    write_json(RESULTS, figures)
    print(f"epoch {total:.1f} s, topology work {topology:.1f} s = {topology / total:.1%} (measured); wanted <= 10 %")


if __name__ == "__main__":
    main()
