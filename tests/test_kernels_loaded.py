"""How the kernels are loaded: one OpenMP runtime in the process, and the instruction set that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tithe import _kernels


def test_one_openmp_runtime_beside_torch() -> None:
    """Two runtimes in one process would fight for the cores: torch's is found by name and shared."""
    if not sys.platform.startswith("linux") or not _kernels.has_openmp():
        pytest.skip("needs /proc and a build with OpenMP")
    script = (
        "import torch, tithe._kernels\n"
        "from pathlib import Path\n"
        "torch.ones(1000, 1000) @ torch.ones(1000, 1000)\n"
        "maps = Path('/proc/self/maps').read_text().splitlines()\n"
        "found = {line.split()[-1] for line in maps if any(name in line for name in ('gomp', 'libomp', 'iomp'))}\n"
        "print(*found, sep='\\n')\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(found) == 1, f"OpenMP runtimes in one process: {found}"


def with_isa(name: str) -> subprocess.CompletedProcess[str]:
    script = "import tithe.ops; from tithe import _kernels; print(_kernels.instruction_set())"
    environment = os.environ | {"TITHE_ISA": name}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("name", _kernels.instruction_sets())
def test_the_environment_chooses(name: str) -> None:
    assert with_isa(name).stdout.strip() == name


def test_without_a_choice_it_is_the_best() -> None:
    assert with_isa("").stdout.strip() == _kernels.instruction_sets()[0]


def test_an_instruction_set_that_is_not_there() -> None:
    found = with_isa("avx1024")
    assert found.returncode != 0
    assert "TITHE_ISA=avx1024 was given; this machine can run" in found.stderr
