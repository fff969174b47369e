"""Threads that wait must not hold up other processes: the command says so to OpenMP before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tithe.cli import spin

SHOW = "import os, sys; from tithe.cli import spin; {0}; spin.spin_briefly(); print(os.environ.get('GOMP_SPINCOUNT'))"
MAIN = (
    "import os, sys; import tithe.cli as cli; "
    "cli.status = lambda _: print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules); cli.main([])"
)


def said(program: str, **variables: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in (spin.VARIABLE, "OMP_WAIT_POLICY")}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=clean | variables, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [({}, spin.SPIN_COUNT), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_short_unless_the_user_has_chosen(variables: dict[str, str], wanted: str) -> None:
    assert said(SHOW.format("pass"), **variables) == wanted


def test_the_command_says_so_before_torch_is_there() -> None:
    assert said(MAIN) == f"{spin.SPIN_COUNT} False"
