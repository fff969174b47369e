"""How long threads that wait for work keep a core busy."""

import os

VARIABLE, SPIN_COUNT = "GOMP_SPINCOUNT", "1000"
_CHOSEN = (VARIABLE, "OMP_WAIT_POLICY")


def spin_briefly() -> None:
    """Have GNU's OpenMP put waiting threads to sleep after microseconds, unless the environment says otherwise.

    By default they spin for milliseconds. Where two processes share cores, each then holds up the threads that
    the other one waits for, and together they do half of what one does alone. A process of its own loses a
    few percent in steps of milliseconds (benchmarks/processes_that_share_cores_do_not_crawl.py). The runtime looks
    once, when torch is imported.
    """
    if not any(name in os.environ for name in _CHOSEN):
        os.environ[VARIABLE] = SPIN_COUNT
