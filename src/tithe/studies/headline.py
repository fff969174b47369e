"""What stands above every study's picture: the claim, its verdict, how to read the picture."""

import re
import textwrap

from matplotlib.figure import Figure

from tithe.report.drawing import DENSE, INK, TEXT
from tithe.studies.study import Claim

VERDICT_COLOURS = {"holds": "#007A55", "does not hold": "#B34700", "not decided": "#8A6100"}  # dark enough for text
_WIDEST = 94  # characters in a line of 11 inches
_LINE = 0.3  # inches


def headline(figure: Figure, claim: Claim, reading: str) -> None:
    """Claim and verdict in bold, then how the picture is read; takes at most an inch and a quarter at the top."""
    height = figure.get_size_inches()[1]
    lines = textwrap.wrap(raised(claim.claim), _WIDEST)
    top = 1 - 0.28 / height
    for place, line in enumerate(lines):
        figure.text(0.02, top - place * _LINE / height, line, fontsize=14, color=INK, weight="bold", va="center")
    below = top - len(lines) * _LINE / height
    word = figure.text(0.02, below, claim.verdict.capitalize(), fontsize=14, weight="bold", va="center")
    word.set_color(VERDICT_COLOURS[claim.verdict])
    figure.text(0.165, below, reading, fontsize=TEXT, color=DENSE, va="center")


def raised(text: str) -> str:
    """k^4 as print has it.

    >>> raised("k^2 the data, k^4 the compute")
    'k² the data, k⁴ the compute'
    """
    digits = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"\^(\d+)", lambda found: found[1].translate(digits), text)
