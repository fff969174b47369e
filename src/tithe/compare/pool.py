"""Several runs at once, each in a process; none of them outlives the one that started it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tithe.compare.execute import Spec
    from tithe.train.watch import Watch

SECONDS_BETWEEN_LOOKS = 0.2

_messages: Any = None  # of a worker: where it tells how things go


def each(do: Callable[[Any, Any], None], todo: Sequence[Spec], processes: int, watch: Watch) -> None:
    """Call `do(spec, watch)` for each of `todo`, in so many processes; an error of one ends them all."""
    from tithe.compare.execute import ending

    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    messages, stop = context.Queue(), context.Event()
    executor = ProcessPoolExecutor(processes, context, _begin, (messages, stop))
    try:
        waiting: dict[Future[None], Spec] = {executor.submit(_one, do, spec): spec for spec in todo}
        while waiting:
            done, _ = wait(waiting, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            _tell(messages, watch)
            for future in done:
                future.result()
                spec = waiting.pop(future)
                watch.end(spec.name, ending(spec))
        executor.shutdown()
    except BaseException:
        stop.set()
        executor.shutdown(cancel_futures=True)
        raise


def _tell(messages: Any, watch: Watch) -> None:
    while not messages.empty():
        name, said = messages.get()
        if isinstance(said, str):
            warnings.warn(f"{name}: {said}", stacklevel=2)
        else:
            watch.training(name, said)


# ---- in a worker


def _begin(messages: Any, stop: Any) -> None:
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    threading.Thread(target=_leave_with_parent, args=(stop,), daemon=True).start()


def _leave_with_parent(stop: Any) -> None:
    """End at once when the parent says so or is gone; what a run has written is safe at any moment."""
    parent = multiprocessing.parent_process()
    while parent is not None and parent.is_alive() and not stop.wait(SECONDS_BETWEEN_LOOKS):
        pass
    os._exit(1)


def _one(do: Callable[[Any, Any], None], spec: Spec) -> None:
    import torch  # noqa: F401  # before tithe's kernels: both must use torch's OpenMP

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: _messages.put((spec.name, str(message)))
        do(spec, lambda name, tick: _messages.put((name, tick)))
