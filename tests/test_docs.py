"""What the README and the docs show runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]


def snippets(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_python_snippets_run(page: str, tmp_path: Path) -> None:
    """All of a page's snippets in one process, in their order: later ones use what earlier ones made."""
    code = "import torch; torch.set_num_threads(1)\n" + "\n".join(snippets(page))
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_the_first_working_lines_of_the_readme_come_early() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert any("tithe train" in line for line in lines[:25])
    assert snippets("README.md")


def test_the_readmes_two_commands_use_the_constraints() -> None:
    commands = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    python3 -m venv")
    ]
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[0].endswith("tithe train")
    assert commands[1].endswith("pytest")


@pytest.mark.parametrize(
    "name",
    [
        *[
            "tithe",
            "tithe.nn.linear",
            "tithe.nn.supar",
            "tithe.train.data.catalog",
            "tithe.bench.rows",
            "tithe.report.drawing",
        ],
        *["tithe.cost.meter", "tithe.cost.plan", "tithe.cost.size", "tithe.train.data.sizes", "tithe.compare.budget"],
        *["tithe.studies.verdict", "tithe.studies.headline", "tithe.studies.expert_tables", "tithe.methods.health"],
    ],
)
def test_docstring_examples_run(name: str) -> None:
    code = f"import doctest, importlib, sys; sys.exit(doctest.testmod(importlib.import_module({name!r})).failed)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
