"""Training at 5 % density holds at most 15 % of dense memory outside scouting and at most 50 % at its peak.

Measured by torch's own memory profiler: every allocation and release of the CPU allocator in a few training steps, with
two rewirings, whatever it is for (weights, indices, gradients, optimizer state, accumulators, activations, what a
rewiring needs for itself). The model is two linear layers of 4096 x 4096; the batch is small, so that activations are
little beside weights.

    python benchmarks/training_memory_is_a_tithe_of_dense.py
"""

from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

import tithe
from tithe.train.files import write_json

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
WIDTH, BATCH, EVERY, STEPS = 4096, 16, 6, 13


def peak(density: float | None, rewire: bool = True) -> int:
    """Largest number of bytes alive during STEPS training steps; making the model is not in it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        if density is not None:
            model = tithe.sparsify(model, density, budget="uniform")
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        method = None
        if density is not None:
            every = EVERY if rewire else 10 * STEPS
            method = tithe.SparseMomentum(model, optimizer, every=every, total_steps=20 * STEPS, scout_steps=2)
        with record_function("training"):
            for _ in range(STEPS):
                model(torch.randn(BATCH, WIDTH)).square().mean().backward()
                optimizer.step()
                if method is not None:
                    method.step()
                optimizer.zero_grad()
    if method is not None:
        assert len(method.history) == (STEPS // EVERY if rewire else 0)
    events = profiler.profiler.kineto_results.events()
    (start,) = (event.start_ns() for event in events if event.name() == "training")
    alive = highest = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        alive += event.nbytes()
        if event.start_ns() >= start:
            highest = max(highest, alive)
    return highest


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    dense, steady, scouting = peak(None), peak(0.05, rewire=False), peak(0.05)
    figures = {
        "unit": "byte",
        "known": "measured",
        "dense_peak": dense,
        "sparse_peak_outside_scouting": steady,
        "sparse_peak": scouting,
        "steady_ratio": steady / dense,
        "peak_ratio": scouting / dense,
        "torch": str(torch.__version__),
    }
    write_json(RESULTS, figures)
    print(f"dense: {dense / 1e6:.1f} MB at its peak (measured)")
    print(f"sparse, 5 %: {steady / 1e6:.1f} MB outside scouting, {steady / dense:.1%} of dense; wanted <= 15 %")
    print(f"sparse, 5 %: {scouting / 1e6:.1f} MB at its peak, {scouting / dense:.1%} of dense; wanted <= 50 %")


if __name__ == "__main__":
    main()
