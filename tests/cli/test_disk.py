"""A disk that is full or cannot be written: one sentence, the last checkpoint stays, and training can go on."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.command import SMALL, Tithe, final_tensors

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a tmpfs with the given options; called again, change its options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(options: str) -> Path:
        again = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small tmpfs (root, in most containers)")
        return folder

    yield mounted
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_training_and_keeps_the_last_checkpoint(tithe: Tithe, tmp_path, mount: Mount):
    alone = [*SMALL, "--compare", "none", "--no-plan"]  # a plan takes some kilobytes
    assert tithe("train", *alone, "--out", tmp_path / "whole").status == 0
    size = (tmp_path / "whole" / "sparse" / "checkpoint-3.safetensors").stat().st_size
    out = mount(f"size={int(1.9 * size) + 20480}") / "run"  # room for one checkpoint, not for two at a time
    outcome = tithe("train", *alone, "--out", out)
    assert outcome.status == 2
    assert "no space left on device" in outcome.stderr.splitlines()[-1]
    assert "Traceback" not in outcome.stderr
    assert sorted(path.name for path in (out / "sparse").iterdir()) == [
        *("checkpoint-1.safetensors", "checkpoint.json", "metrics.jsonl"),
    ]
    mount("size=10m")
    assert tithe("train", "--resume", "--out", out).status == 0
    assert final_tensors(out) == final_tensors(tmp_path / "whole")


def test_a_disk_without_room_for_anything_is_left_as_it_was(tithe: Tithe, mount: Mount):
    disk = mount("size=4k")
    (disk / "filler").write_bytes(bytes(4096))
    assert tithe("train", *SMALL, "--out", disk / "run").refused("no space left on device", "--out")
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_read_only_disk_is_refused(tithe: Tithe, mount: Mount):
    disk = mount("ro,size=10m")
    assert tithe("train", *SMALL, "--out", disk / "run").refused(str(disk), "--out")
    assert tithe("train", *SMALL, "--out", disk).refused(str(disk), "--out")
