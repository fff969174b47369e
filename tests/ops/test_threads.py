"""How many threads a call takes: all of torch's or one, so that no call starts or ends any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tithe
from tithe import _kernels
from tithe.ops import dispatch

TASKS = Path("/proc/self/task")


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@given(st.sampled_from([1, 2, 3, 4, 16, 100]), st.integers(0, 200))
def test_all_threads_or_one(count: int, grains: int) -> None:
    torch.set_num_threads(count)
    assert dispatch.threads(dispatch.GRAIN, grains) in (1, count)
    assert dispatch.threads(dispatch.GRAIN, max(grains, 100)) == count


def tasks() -> set[str]:
    return {task.name for task in TASKS.iterdir()}


@pytest.mark.skipif(not (TASKS.exists() and _kernels.has_openmp()), reason="counts OpenMP's threads in /proc")
@pytest.mark.parametrize("grains", [1, 2, 3, 4, 9])
def test_calls_of_any_size_between_torchs_own_start_no_thread(grains: int) -> None:
    """A team smaller than the last one would end threads, which torch's next operator would have to start anew."""
    torch.set_num_threads(4)
    nnz = 4096
    layer = tithe.SparseLinear(256, 256, tithe.Topology.random((256, 256), nnz))
    x, large = torch.randn(grains * dispatch.GRAIN // nnz, 256), torch.zeros(500_000)

    def work() -> None:
        large.add_(1)
        layer(x).sum().backward()

    work()
    known = tasks()
    for _ in range(10):
        work()
        assert tasks() <= known
