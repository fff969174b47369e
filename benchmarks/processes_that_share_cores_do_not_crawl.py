"""Two processes on the same cores, and torch's operators between ours, do not make training crawl.

Every process trains an MLP 3072-1024-1024-10, batch 100, SGD with momentum: dense, sparse at 5 % density, or mixed,
whose first and last layer are sparse and the middle one is torch's own. Alone and two at a time, with one thread and
with two, always on the same two cores. The processes of a run begin together and count the steps that they finish in
some seconds; the runs take turns, for several rounds. Each process says which OpenMP runtimes it has mapped.

Waiting threads of GNU's OpenMP spin before they sleep, by default for some milliseconds. Every run is made with that
and with the shorter time that the command `tithe` sets, GOMP_SPINCOUNT=1000.

Two processes crawl if together they do less than half of what one of them does alone.

    python benchmarks/processes_that_share_cores_do_not_crawl.py [--quick]
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import tithe
from tithe.cli.spin import SPIN_COUNT, VARIABLE
from tithe.train import models
from tithe.train.files import write_json
from tithe.train.results import machine

RESULTS = Path(__file__).parent / "results" / f"{Path(__file__).stem}.json"
KINDS = {"dense": None, "sparse": (), "mixed": ("fc2",)}  # which layers stay torch's; None: all
DENSITY, BATCH, CORES, CRAWL = 0.05, 100, 2, 0.5
SPINS = {"OpenMP's": None, "tithe's": SPIN_COUNT}
WARM_SECONDS, AHEAD_SECONDS, TAIL_SECONDS = 1.0, 0.3, 0.3
OPENMP = ("libgomp", "libomp", "libiomp")
OPENMP_SAYS = ("OMP_", "GOMP_", "KMP_", "MKL_")  # variables that a run does not inherit


@dataclass(frozen=True)
class Run:
    """What is run at once."""

    kind: str
    threads: int
    processes: int
    spin: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.threads} thread(s), {self.processes} process(es), {self.spin} spinning"


@dataclass
class Found:
    """Of each process of each round."""

    steps_per_second: list[list[float]] = field(default_factory=list)
    cpu_ms_per_step: list[list[float]] = field(default_factory=list)
    openmp_runtimes: list[str] = field(default_factory=list)

    def total(self) -> float:
        """Steps per second of all processes together, median of the rounds."""
        return statistics.median(map(sum, self.steps_per_second))

    def cpu_ms(self) -> float:
        """CPU time of a step of one process, all its threads together; waiting threads that spin are in it."""
        return statistics.median(ms for one in self.cpu_ms_per_step for ms in one)


# One process.


def work(run: Run, seconds: float) -> None:
    """Train; say when ready; count the steps between two moments that are read from the standard input."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    torch.set_num_threads(run.threads)
    step = training(run.kind)
    until(time.time() + WARM_SECONDS, step)
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    until(start, step)
    cpu, begin = time.process_time(), time.perf_counter()
    steps = until(start + seconds, step)
    elapsed, cpu = time.perf_counter() - begin, time.process_time() - cpu
    until(start + seconds + TAIL_SECONDS, step)  # nobody finishes his last steps on an empty machine
    found = {"steps_per_second": steps / elapsed, "cpu_ms_per_step": 1e3 * cpu / steps, "runtimes": runtimes()}
    print(json.dumps(found), flush=True)


def training(kind: str) -> Callable[[], None]:
    """A step of this kind of network, always on the same batch."""
    torch.manual_seed(0)
    model, kept = models.build("mlp:1024-1024", (3072,), 10), KINDS[kind]
    if kept is not None:
        tithe.sparsify(model, DENSITY, "uniform", keep_dense=kept, kernel="sparse")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, y = torch.randn(BATCH, 3072), torch.randint(10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def until(moment: float, step: Callable[[], None]) -> int:
    """Steps that were made until then."""
    steps = 0
    while time.time() < moment:
        step()
        steps += 1
    return steps


def runtimes() -> list[str]:
    """The OpenMP runtimes that this process has mapped, by file name."""
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    return sorted(Path(path).name for path in paths if Path(path).name.startswith(OPENMP))


# All of them.


def together(run: Run, seconds: float, found: Found) -> None:
    """Start the processes of a run, wait until each is ready, let them begin at one moment."""
    command = [sys.executable, __file__, "--work", json.dumps(asdict(run)), "--seconds", str(seconds)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OPENMP_SAYS)}
    if (spin := SPINS[run.spin]) is not None:
        environment[VARIABLE] = spin
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    running = [subprocess.Popen(command, **pipes) for _ in range(run.processes)]
    try:
        for process in running:
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"a process of '{run}' ended before it was ready; its error stands above")
        start = time.time() + AHEAD_SECONDS
        for process in running:
            print(start, file=process.stdin, flush=True)
        said = [json.loads(process.communicate()[0]) for process in running]
    finally:
        for process in running:
            process.kill()
    found.steps_per_second.append([one["steps_per_second"] for one in said])
    found.cpu_ms_per_step.append([one["cpu_ms_per_step"] for one in said])
    found.openmp_runtimes = sorted({name for one in said for name in one["runtimes"]} | set(found.openmp_runtimes))


def rounds(runs: list[Run], number: int, seconds: float) -> dict[Run, Found]:
    """All runs in turns, each round in an order drawn anew."""
    found, dice = {run: Found() for run in runs}, random.Random(0)
    for one in range(1, number + 1):
        for run in dice.sample(runs, len(runs)):
            together(run, seconds, found[run])
            rate = sum(found[run].steps_per_second[-1])
            print(f"round {one} of {number}: {run}: {rate:.1f} steps/s in all", file=sys.stderr)
    return found


def table(found: dict[Run, Found]) -> Iterator[str]:
    """A line a kind of network and number of threads; what the figures say."""
    yield "steps per second, median of the rounds, and CPU time of a process (measured)"
    yield "network  threads  spinning    alone  each of two  two in all  ratio  CPU ms a step, alone  one of two"
    for run in (run for run in found if run.processes == 2):
        alone, two = found[replace(run, processes=1)], found[run]
        yield (
            f"{run.kind:8} {run.threads:6}  {run.spin:8} {alone.total():9.1f} {two.total() / 2:12.1f} "
            f"{two.total():11.1f} {ratio(found, run):6.2f} {alone.cpu_ms():21.1f} {two.cpu_ms():11.1f}"
        )
    yield ""
    for kind in dict.fromkeys(run.kind for run in found):
        shared = [run for run in found if run.kind == kind and run.processes == 2]
        best = max(shared, key=lambda run: found[run].total())
        how = f"{best.threads} thread(s) each and {best.spin} spinning"
        yield f"two {kind} processes do most with {how}: {found[best].total():.1f} steps/s"
    names = sorted({name for one in found.values() for name in one.openmp_runtimes})
    yield f"OpenMP runtimes mapped: {', '.join(names) or 'none'}"
    crawling = [run for run in found if run.processes == 2 and run.spin == "tithe's" and ratio(found, run) < CRAWL]
    yield (
        f"wanted: one runtime: {'held' if len(names) == 1 else 'NOT held'}; "
        f"every ratio with tithe's spinning >= {CRAWL:g}: "
        + (f"NOT held: {'; '.join(map(str, crawling))}" if crawling else "held")
    )


def ratio(found: dict[Run, Found], run: Run) -> float:
    """What two processes do together over what one does alone."""
    return found[run].total() / found[replace(run, processes=1)].total()


def report(found: dict[Run, Found], seconds: float) -> dict[str, Any]:
    """The raw results."""
    return {
        "unit": "1/s for steps, ms for CPU time",
        "known": "measured",
        "machine": {name: value for name, value in machine().items() if name != "threads"},  # a run has its own
        "spin_counts": SPINS,
        "cores": CORES,
        "seconds_a_run": seconds,
        "runs": [asdict(run) | asdict(one) for run, one in found.items()],
    }


def main() -> None:
    """Parse the options, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of each run that are counted; 4 by default, 1 with --quick")
    parser.add_argument("--rounds", type=int, help="5 by default, 1 with --quick")
    parser.add_argument("--only", choices=KINDS, help="one kind of network; nothing is written unless --out says where")
    parser.add_argument("--quick", action="store_true", help="to try it: results only where --out says")
    parser.add_argument("--out", type=Path, help=f"raw results; {RESULTS.parent.name}/{RESULTS.name} by default")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seconds = given.seconds or (1.0 if given.quick else 4.0)
    if given.work:
        work(Run(**json.loads(given.work)), seconds)
        return
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < CORES:
        print(f"skipped: this needs Linux and {CORES} cores", file=sys.stderr)
        return
    kinds = [given.only] if given.only else list(KINDS)
    several = itertools.product(kinds, (1, 2), (1, 2), SPINS)
    runs = [Run(*each) for each in several if each[1] > 1 or each[3] == "tithe's"]  # one thread waits for nobody
    found = rounds(runs, given.rounds or (1 if given.quick else 5), seconds)
    print("\n".join(table(found)))
    out = given.out or (None if given.quick or given.only else RESULTS)
    if out is not None:
        write_json(out, report(found, seconds))


if __name__ == "__main__":
    main()
