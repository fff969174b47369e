"""The command, run in the process of the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cli.command import Outcome, Tithe
from cli.comparison import TWO
from tithe.cli import status


@pytest.fixture
def tithe(capsys: pytest.CaptureFixture[str]) -> Iterator[Tithe]:
    """The command, run in this process with one thread: tiny layers gain nothing from more."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        exit_status = status([str(argument) for argument in arguments])
        return Outcome(exit_status, *capsys.readouterr())

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "cmp"
    assert status([str(word) for word in ["compare", *TWO, "--out", out]]) == 0
    return out
