"""The page: whole, safe, complete, and honest about what is not known."""

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from report.runs import HOSTILE, half, imported, pair
from tithe.cost.run import Run
from tithe.errors import UsageError
from tithe.report import page
from tithe.report.gather import Story

VOID = {"meta", "br", "img", "link", "hr", "input"}
# What fetches, or runs.
FORBIDDEN = {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "source", "base", "form", "image"}


class _Page(HTMLParser):
    """Reads a page, and refuses what is not closed in its order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> in the wrong place"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def read(html: str) -> _Page:
    parsed = _Page()
    parsed.feed(html)
    parsed.close()
    assert not parsed.open, parsed.open
    return parsed


def text(html: str) -> str:
    return " ".join(" ".join(read(html).text).split())


def story(*halves: Run, name: str = "17") -> Story:
    return Story(name, halves)


def three() -> list[Story]:
    """Three runs; the last two differ from the first in density and seed."""
    second = [dataclasses.replace(run, run="b" * 32, seed=1) for run in pair()]
    third = dataclasses.replace(half("sparse", 0.02, 3e9, 30.0), run="c" * 32, density=0.01)
    return [story(*pair()), story(*second, name="19"), story(third, name="21")]


PAGES: dict[str, Any] = {
    "one": lambda: [story(*pair())],
    "sparse alone": lambda: [story(half("sparse"))],
    "three": three,
    "imported": lambda: [story(imported())],
    "all kinds": lambda: [*three(), story(imported(), name="22")],
    "diverged": lambda: [story(half("sparse", None, status="diverged", curve=()))],
    "dense diverged": lambda: [story(half("sparse"), half("dense", None, status="diverged", curve=()))],
    "no bill": lambda: [story(*pair(more={}))],
    "bare": lambda: [story(Run("d" * 32, "sparse", ""))],
    "bare and whole": lambda: [story(Run("d" * 32, "sparse", "")), story(*pair(), name="3")],
    "one epoch": lambda: [story(half("sparse", curve=half("sparse").curve[-1:]))],
    "no error left": lambda: [story(half("sparse", 0.0))],
    "hostile": lambda: [story(*pair(data=HOSTILE, model=HOSTILE, method=HOSTILE, machine=HOSTILE), name=HOSTILE)],
}
every_page = pytest.mark.parametrize("name", PAGES)


@every_page
def test_a_page_is_whole_and_needs_nothing_else(name):
    """Closed in order, no id twice, nothing that loads or runs."""
    html = page.page(PAGES[name]())
    parsed = read(html)
    assert not FORBIDDEN & set(parsed.tags)
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for attribute, value in parsed.attributes:
        assert not attribute.startswith("on")
        if attribute in ("href", "src", "xlink:href", "data", "action"):
            assert value.startswith("#"), (attribute, value)
    assert "url(http" not in html
    assert "@import" not in html
    for reference in re.findall(r"url\((.*?)\)", html):
        assert reference.strip("'\"").startswith("#")
    assert {f"#{found}" for found in ids} >= {v for n, v in parsed.attributes if n in ("href", "xlink:href")}


@every_page
def test_the_same_runs_give_the_same_page(name):
    assert page.page(PAGES[name]()) == page.page(PAGES[name]())


def test_what_users_named_is_text_and_nothing_else():
    html = page.page([story(*pair(data=HOSTILE, model=HOSTILE, machine=HOSTILE), name=HOSTILE)])
    assert "<script" not in html
    assert "<img" not in html
    assert "alert(1)" in text(html)
    assert "{{ 7*7 }}" in text(html)


def test_hostile_configurations_are_text_too():
    more = {"recipe": {HOSTILE: HOSTILE}, "machine": {HOSTILE: [HOSTILE]}, HOSTILE: {HOSTILE: None}}
    more["layers"] = [{"name": HOSTILE, "shape": [3, 2], "nnz": 3, "density": 0.5}]
    html = page.page([story(half("sparse", more=more))])
    assert not FORBIDDEN & set(read(html).tags)
    assert text(html).count("alert(1)") >= 6


def test_the_answer_comes_first():
    said = text(page.page([story(*pair())]))
    assert "With 5 % of the weights, the test error is 1.47 %; dense it is 1.31 %." in said
    assert "9 % of the FLOP" in said
    order = [said.index(word) for word in ("Test error measured", "The curve", "The bill", "Configuration")]
    assert order == sorted(order)
    assert "+0.16 points" in said
    assert "1.43 GFLOP" not in said
    assert "14.3 GFLOP" in said


def test_every_figure_of_the_bill_says_how_it_is_known():
    html = page.page([story(*pair())])
    table = html[html.index('<table class="bill">') :]
    rows = re.findall(r"<tr><th scope.*?</tr>", table[: table.index("</table>")], re.DOTALL)
    assert len(rows) >= 8
    for row in rows:
        assert re.search(r'class="tag (measured|counted|modelled|assumed)"', row), row


def test_what_was_predicted_stands_beside_what_came():
    said = text(page.page([story(*pair())]))
    assert "training time sparse 37.1 s modelled 20.6 to 82.4 s 41.2 s measured 1.11" in said
    assert "The plan, checked" not in text(page.page([story(half("sparse", more={}))]))


def test_what_is_not_known_is_not_guessed():
    said = text(page.page([story(Run("d" * 32, "sparse", "")), story(*pair(), name="3")]))
    assert "–" in said
    assert "nan" not in said.lower().split()
    assert "None" not in said
    bare = text(page.page([story(Run("d" * 32, "sparse", ""))]))
    assert "The sparse half has no error on record." in bare
    assert "None" not in bare


def test_other_peoples_figures_are_not_called_measured():
    html = page.page([story(imported())])
    body = html[html.index("<main>") : html.index("<footer>")]
    assert 'class="tag assumed"' in body
    assert 'class="tag measured"' not in body
    assert "as its owner reported it" in text(html)


def test_runs_side_by_side_show_what_tells_them_apart():
    html = page.page(three())
    head = html[html.index('<table class="overview">') : html.index("</thead>")]
    assert re.findall(r"<th>(\w+)</th>", head) == ["run", "density", "seed"]
    said = text(html)
    assert "Lowest test error: 1.31 %, run 1, dense." in said
    assert "Least work: 3.00 GFLOP, run 3, sparse." in said
    assert html.count('class="run"') == 3


@pytest.mark.parametrize("name", ["one", "three"])
def test_pictures_have_text_words_and_the_pages_colours(name):
    html = page.page(PAGES[name]())
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 2 + 6, "two curves, and bars of FLOP, time, memory, energy, CO2 and rent"
    for picture in pictures:
        assert 'aria-label="' in picture
        assert "<text" in picture
        assert "var(--c" in picture
        assert not re.search(r"(?:fill|stroke): ?#(?!none)[0-9a-f]{6}", picture), (
            "a colour that the dark page cannot change"
        )


def test_a_curve_of_one_half_and_no_bill_to_compare():
    html = page.page([story(half("sparse"))])
    assert len(re.findall("<svg", html)) == 2, "curves, and no bar chart: there is nothing beside it"


def test_a_page_leaves_the_users_matplotlib_alone():
    code = (
        "import sys, matplotlib\n"
        "before = {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "sys.path.insert(0, 'tests')\n"
        "from report.runs import pair\n"
        "from tithe.report import page\n"
        "from tithe.report.gather import Story\n"
        "page.page([Story('1', tuple(pair()))])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules, 'a report needs no torch'\n"
        "assert before == {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=root, check=True)


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        page.write([story(*pair())], tmp_path / "nowhere" / "page.html")
    assert not list(tmp_path.iterdir())
