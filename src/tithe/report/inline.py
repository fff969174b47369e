"""A picture as SVG inside a page: its text is text, its colours are the page's, light or dark."""

import hashlib
import io
import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from tithe.report.drawing import DENSE, FAINT, INK, PALETTE

_VARIABLES = {INK: "--ink", DENSE: "--dense", FAINT: "--faint"} | {
    colour: f"--c{place}" for place, colour in enumerate(PALETTE)
}
_UNUSED_IDS = re.compile(r' id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib\.axis|legend)_\d+"')


def svg(picture: Figure, says: str) -> Markup:
    """An <svg> element, as wide as what holds it.

    Args:
        picture: what to draw; its white ground is left out.
        says: the picture in words, for those who do not see it.
    """
    content = io.StringIO()
    salt = hashlib.sha256(says.encode()).hexdigest()[:8]
    # Text stays text. Ids are made from their content and the salt, so that the same report gives the same page.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        picture.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    whole = content.getvalue()
    inner = whole[whole.index("<defs>") : whole.rindex("</svg>")]
    box = re.search(r'viewBox="([^"]+)"', whole)
    assert box is not None
    inner = _UNUSED_IDS.sub("", inner)
    for colour, name in _VARIABLES.items():
        inner = re.sub(colour, f"var({name})", inner, flags=re.IGNORECASE)
    head = f'<svg viewBox="{box.group(1)}" role="img" aria-label="{escape(says)}">'
    return Markup(head + inner + "</svg>")  # matplotlib escapes what is in it, and we what says
