"""What stops a command from outside gets its sentence: what is kept and how to go on."""

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from tithe.cli import STATUS_INTERRUPTED, STATUS_TERMINATED, Stopped
from tithe.cli.interrupt import explained, stopping


@pytest.mark.parametrize(
    ("what", "status", "sentence"),
    [
        (KeyboardInterrupt(), STATUS_INTERRUPTED, "interrupted; all is kept."),
        (Stopped("terminated.", STATUS_TERMINATED), STATUS_TERMINATED, "terminated; all is kept."),
        (BrokenProcessPool(), STATUS_TERMINATED, "want of memory; all is kept."),
    ],
)
def test_an_end_from_outside_is_told(what: BaseException, status: int, sentence: str):
    with pytest.raises(Stopped, match=sentence) as told, stopping(lambda: "all is kept."):
        raise what
    assert told.value.exit_status == status


def test_how_to_go_on_is_told_where_something_was_written(tmp_path: Path):
    with pytest.raises(Stopped, match="nothing was written"), explained(tmp_path):
        raise KeyboardInterrupt
    (tmp_path / "run.json").touch()
    with pytest.raises(Stopped, match=f"tithe train --resume --out {tmp_path}"), explained(tmp_path):
        raise KeyboardInterrupt
