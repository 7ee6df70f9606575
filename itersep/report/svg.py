"""Figures as SVG inside a page: its font, its colours in light and dark. Equal input gives equal text."""

import io
import re
from collections.abc import Callable

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itersep.report.figures import COLOURS, GREY, GRID, INK, line_look

# What the style sheet calls the colours of the figures.
VARIABLES = {INK: "ink", GREY: "muted", GRID: "line", **{colour: f"series-{k}" for k, colour in enumerate(COLOURS)}}
DASHES = {"-": "none", "--": "6 3", ":": "2 2", "-.": "7 3 2 3"}  # as matplotlib's names look
SHAPES = {  # markers, as matplotlib's names look
    "o": '<circle cx="16" cy="4" r="2.5"/>',
    "^": '<path d="M16 2L18 6H14Z"/>',
    "s": '<path d="M14 2H18V6H14Z"/>',
    "D": '<path d="M16 1.5L18.5 4L16 6.5L13.5 4Z"/>',
}
METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # none of it


def draw_svg(
    name: str, draw: Callable[[Axes], None], width_in: float, height_in: float, legend: bool = False
) -> Markup:
    """An <svg> of axes that ``draw`` fills, as large as the element around it; ``name`` is for who does not see it."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    draw(figure.add_subplot())
    if legend:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    written = io.StringIO()
    # The salt makes the ids of clip paths and markers follow from what they are, and differ from other figures'.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(written, format="svg", transparent=True, metadata=METADATA)
    return Markup('<svg role="img" aria-label="{}" ').format(name) + Markup(_fit_page(written.getvalue()))


def draw_key(k: int) -> Markup:
    """A short piece of the k-th experiment's line, as an <svg>."""
    look = line_look(k)
    style = look["linestyle"]
    dashes = DASHES[style] if isinstance(style, str) else " ".join(map(str, style[1]))
    return Markup(
        '<svg aria-hidden="true" viewBox="0 0 32 8" style="stroke: var(--{0}); fill: var(--{0})">'
        '<path d="M0 4H32" stroke-width="2" stroke-dasharray="{1}"/>{2}</svg>'
    ).format(VARIABLES[look["color"]], dashes, Markup(SHAPES[look["marker"]]))


def _fit_page(svg: str) -> str:
    """What follows ``<svg``, without what belongs to a file of its own or would be there once for each figure."""
    svg = svg[svg.index("<svg") + len("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z0-9.]+_[0-9_]+"', "", svg)
    svg = re.sub(r' (width|height)="[^"]*pt"| xmlns(:xlink)?="[^"]*"|font-family: [^;]*; ', "", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
