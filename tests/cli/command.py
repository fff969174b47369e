"""What the tests of the command share: what a user sees of it, and a network that trains in a second."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = ["--model", "mlp:24-16", "--epochs", "3", "--batch-size", "32", "--threads", "1", "--rewire-every", "60"]


@dataclass
class Outcome:
    """What a user of the command sees."""

    status: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """Standard output as the one JSON object that --json promises."""
        return json.loads(self.stdout)

    def refused(self, *words: str) -> bool:
        """Exit status 2, nothing on stdout, and one line on stderr that has the words in it."""
        lines = self.stderr.splitlines()
        one = len(lines) == 1 and lines[0].startswith("tithe: ") and all(word in lines[0] for word in words)
        assert self.status == 2, self
        assert not self.stdout, self
        assert one, self
        return True


Tithe = Callable[..., Outcome]


def final_tensors(out: Path) -> dict[str, bytes]:
    """The bytes of each half's last tensors: weights, topologies, optimizer state and generators."""
    return {path.parent.name: path.read_bytes() for path in out.glob("*/checkpoint-*.safetensors")}
