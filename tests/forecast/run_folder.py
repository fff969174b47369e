"""A folder as `tithe train` leaves it when it is killed after some epochs."""

import json
from pathlib import Path

RECIPE = {"epochs": 10, "lr_drops": [0.4, 0.8]}
DATA = "d" * 64


def run_folder(folder: Path, errors: list[float], half: str = "sparse") -> Path:
    """With one line of metrics an epoch, one second each."""
    (folder / half).mkdir(parents=True)
    record = {"uid": "mine", "recipe": RECIPE, "data": {"sha256": DATA}}
    (folder / "run.json").write_text(json.dumps(record))
    rows = [
        json.dumps({"epoch": epoch, "accuracy": 1 - error, "seconds": float(epoch)})
        for epoch, error in enumerate(errors, 1)
    ]
    (folder / half / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))
    return folder
