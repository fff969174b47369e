"""Fixtures that several test files share, and how many examples hypothesis tries."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# No test writes to the ledger of whoever runs it; processes that tests start inherit this.
_LEDGERS = tempfile.mkdtemp(prefix="tithe-tests-")
os.environ["TITHE_LEDGER"] = f"{_LEDGERS}/ledger.sqlite"
atexit.register(shutil.rmtree, _LEDGERS, ignore_errors=True)

# codecarbon takes two seconds to start in each process; the tests of energy ask for it by name.
os.environ["TITHE_ENERGY"] = "watts"

# Small tensors gain nothing from threads, and on busy cores waiting for each other costs a lot.
torch.set_num_threads(1)

settings.register_profile("tithe", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tithe-ci", settings.get_profile("tithe"), derandomize=True, database=None)
settings.load_profile("tithe-ci" if os.environ.get("CI") else "tithe")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets that tests may read; its absence skips a test, never fails it."""
    given = os.environ.get("TITHE_SHARED")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the real data sets in {folder}/data (set TITHE_SHARED to their folder)")
    return folder
