"""Two training processes on the same two cores: each is about half as fast as one alone, sparse as dense.

Torch's own operators run between ours in every step (ReLU, loss, optimizer), so this also shows that both live on
one OpenMP runtime. Each process trains MLP 3072-1024-1024-10, batch 100, at 5 % density or dense, with 1 and 2 threads.

    python benchmarks/processes_that_share_cores_do_not_crawl.py
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from tithe.train.files import write_json
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
SECONDS = 4.0

WORKER = """
import sys, time, torch, tithe
from tithe.train import models
kind, threads, start, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(0)
model = models.build("mlp:1024-1024", (3072,), 10)
if kind == "sparse":
    tithe.sparsify(model, 0.05, "uniform")
optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
x, y = torch.randn(100, 3072), torch.randint(10, (100,))
def step():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
for _ in range(5):
    step()
time.sleep(max(0.0, start - time.time()))
steps, begin = 0, time.perf_counter()
while time.perf_counter() - begin < seconds:
    step()
    steps += 1
print(1000 * (time.perf_counter() - begin) / steps)
libraries = {line.split()[-1] for line in open("/proc/self/maps") if any(n in line for n in ("gomp", "libomp", "iomp"))}
print(len(libraries))
"""


def together(kind: str, threads: int, processes: int) -> tuple[list[float], int]:
    """Milliseconds a step of each process, all at once, and how many OpenMP runtimes each has."""
    start = time.time() + 6
    command = [sys.executable, "-c", WORKER, kind, str(threads), str(start), str(SECONDS)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    printed = [process.communicate()[0].split() for process in running]
    return [float(ms) for ms, _ in printed], max(int(count) for _, count in printed)


def main() -> None:
    """Measure, print, write."""
    rows = []
    for kind in ("dense", "sparse"):
        for threads in (1, 2):
            for processes in (1, 2):
                times, runtimes = together(kind, threads, processes)
                rows.append(
                    {
                        "kind": kind,
                        "threads": threads,
                        "processes": processes,
                        "ms_a_step": times,
                        "openmp_runtimes": runtimes,
                    }
                )
                print(json.dumps(rows[-1]))
    write_json(RESULTS, {"unit": "ms", "known": "measured", "machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
