"""Which vector instructions the kernels use: the best that the machine has, or what TITHE_ISA names."""

from __future__ import annotations

import os

from tithe import _kernels
from tithe.errors import UsageError

VARIABLE = "TITHE_ISA"


def choose() -> str:
    """Obey the environment variable TITHE_ISA, if it is set; the instruction set that is then in use.

    Raises:
        UsageError: the name is not one that this machine can run.
    """
    name = os.environ.get(VARIABLE, "")
    if name:
        if name not in _kernels.instruction_sets():
            allowed = ", ".join(_kernels.instruction_sets())
            raise UsageError(f"{VARIABLE}={name} was given; this machine can run {allowed}: name one or unset it")
        _kernels.use_instruction_set(name)
    return _kernels.instruction_set()
